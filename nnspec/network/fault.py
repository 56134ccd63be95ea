"""Where shapes do not meet: the error, the layer, its inputs, and what stands above them."""

from __future__ import annotations

from typing import Any, NamedTuple

from nnspec.errors import Edit
from nnspec.ir.op import ShapeError
from nnspec.layers.layer import Entry
from nnspec.network.entry import Written
from nnspec.network.graph import Leaf, Network, Port
from nnspec.spec import edits

Lengths = tuple[int, ...]
MOST_ABOVE = 400  # layers that are looked at above a mistake


class Fault(NamedTuple):
    """Where shapes do not meet."""

    error: ShapeError
    x: tuple[Port, ...]
    entry: Entry
    written: Written
    network: Network
    once: bool  # whether the entry stands outside of blocks and repeats

    def name(self, n: int) -> str:
        """An input as a person finds it: its name and line."""
        line = self.line(n)
        return f"'{self.x[n].node}'" + (f" (line {line})" if line else "")

    def line(self, n: int) -> int:
        return self.network.nodes[self.x[n].node]["line"] if self.x[n].node in self.network.nodes else 0

    def leaf(self, n: int) -> Leaf | None:
        return self.network.nodes[self.x[n].node]["leaf"] if self.x[n].node in self.network.nodes else None

    def above(self, n: int, stop: str = "") -> list[Leaf]:
        """The layers that lead to an input, the nearest first, each by its first input, up to a node."""
        found: list[Leaf] = []
        at = self.x[n].node
        while at != stop and len(found) < MOST_ABOVE and (leaf := self.network.nodes.get(at, {}).get("leaf")) is not None:
            found.append(leaf)
            if not leaf.inputs:
                break
            at = leaf.inputs[0].node
        return found

    def set(self, key: str, value: str) -> tuple[Edit, ...]:
        """The edit that sets a key of the entry itself."""
        primary = self.entry.primary or ""
        return (edits.set_key(self.written.place, key, value, primary),) if self.once else ()


Proposal = tuple[str, tuple[Edit, ...]]
NONE: Proposal = "", ()


def numbers(shape: Any) -> Lengths | None:
    return tuple(shape) if all(isinstance(n, int) for n in shape) else None


def listed(numbers: list[int]) -> str:
    words = [str(n) for n in numbers[:6]]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}{', …' if len(numbers) > 6 else ''}"


def axes_called(n: int) -> str:
    return {1: "the length", 2: "height and width"}.get(n, "all lengths")
