"""Layers as they will be written: an entry for each, what it reads, and the weights that it is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from nnspec.interop.nodes.node import Node
from nnspec.ir.graph import Value
from nnspec.ir.op import Array
from nnspec.records import dataclass, field

SOURCES = ("parameter", "constant")  # entries that read nothing


@dataclass(frozen=True)
class Step:
    """A node that is raised: where it stands, what is known of it, and the values that it makes."""

    where: str
    node: Node
    outputs: tuple[Value, ...]


@dataclass(eq=False)
class Entry:
    """One layer: its fields as a spec spells them, ``inputs`` in order, ``weights`` by the names of its parameters."""

    kind: str
    fields: dict[str, Any]
    inputs: list[Source]
    weights: dict[str, Array] = field(default_factory=dict)
    name: str = ""
    where: str = ""  # the node that it comes from
    shape: tuple[Any, ...] = ()  # of what it makes, without the rows; of an input axes may have a name instead of a length

    @property
    def main(self) -> Source:
        """What it makes, where it makes one thing."""
        return Source(self, "")


class Source(NamedTuple):
    """An output of an entry; a network's input is an entry without a kind."""

    entry: Entry
    output: str = ""


@dataclass(eq=False)
class Draft:
    """A network as entries in an order in which each stands behind what it reads."""

    inputs: list[Entry]
    entries: list[Entry]
    outputs: dict[str, Source]

    def readers(self) -> dict[Entry, list[Entry]]:
        """Who reads an entry, as often as it does; an output of the network is read by the entry itself."""
        found: dict[Entry, list[Entry]] = {e: [] for e in (*self.inputs, *self.entries)}
        for e in self.entries:
            for s in e.inputs:
                found[s.entry].append(e)
        for s in self.outputs.values():
            found[s.entry].append(s.entry)
        return found

    def replace(self, old: Source, new: Source) -> None:
        """Whoever reads ``old`` reads ``new``; an entry that made ``old`` alone is gone."""
        for e in self.entries:
            e.inputs = [new if s == old else s for s in e.inputs]
        self.outputs = {k: new if s == old else s for k, s in self.outputs.items()}
        if not old.output:
            self.drop([old.entry])

    def drop(self, gone: Iterable[Entry]) -> None:
        """Without these entries, which nobody reads any more."""
        left = set(gone)
        self.entries = [e for e in self.entries if e not in left]

    def drop_dead(self) -> None:
        """Without what no output needs."""
        wanted = {s.entry for s in self.outputs.values()}
        for e in reversed(self.entries):
            if e in wanted:
                wanted.update(s.entry for s in e.inputs)
        self.entries = [e for e in self.entries if e in wanted]
