"""An entry that ``when`` or a ``repeat`` of none leaves out: its words are looked at all the same, and what it calls counts as called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnspec.errors import SpecError
from nnspec.layers.layer import Entry
from nnspec.network.entry import STRUCTURES, Written, known_kinds
from nnspec.spec.explain import unknown
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence

if TYPE_CHECKING:
    from nnspec.network.expand import Expander


def left_out(expander: Expander, written: Written) -> None:
    """Reports kinds and keys that nothing is called; formulas are not worked out, for they may only make sense where the entry is there."""
    kind, fields = written.kind, written.fields
    expander.used |= _called(expander, kind, fields)
    if kind in expander.broken:
        return
    if kind not in Entry.registry and kind not in STRUCTURES and kind not in expander.blocks and kind not in expander.networks:
        expander.report(unknown(kind, known_kinds((*expander.blocks, *expander.networks)), written.place, "layer"))
        return
    pairs = fields.pairs if isinstance(fields, MappingNode) else {}
    known, what = _keys(expander, kind)
    if known is not None:
        expander.report(*(unknown(k, known, written.keys.get(k, written.place), what, "unknown-key") for k in pairs if k not in known))
    if kind in STRUCTURES:
        lists = [fields, pairs.get("layers"), pairs.get("shortcut"), *_lists(pairs.get("paths"))]
        for node in (entry for entries in lists for entry in _lists(entries)):
            try:
                left_out(expander, expander.written(node))
            except SpecError as e:
                expander.report(*e.problems)


def _keys(expander: Expander, kind: str) -> tuple[list[str] | None, str]:
    """The keys of its own that an entry may have, where they can be told without working anything out, and what they are called."""
    if kind in STRUCTURES:
        return list(STRUCTURES[kind]), f"key of '{kind}'"
    if kind in expander.blocks:
        return list(expander.blocks[kind].args), f"argument of block '{kind}'"
    member = Entry.registry.get(kind)
    if member is None:
        return None, ""
    primary = member.model_fields.get(member.primary) if member.primary else None
    mapping = primary is not None and "dict" in str(primary.annotation)  # ``kind: {…}`` may be the primary value itself
    return None if mapping else [f.alias or name for name, f in member.model_fields.items()], f"key of layer '{kind}'"


def _lists(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Sequence) else []


def _called(expander: Expander, kind: str, fields: Node | None) -> set[str]:
    """The blocks and networks that an entry names, and those that these name."""
    found: set[str] = set()
    waiting = [kind, *_words(fields)]
    while waiting:
        name = waiting.pop()
        if name in found or not (name in expander.blocks or name in expander.networks):
            continue
        found.add(name)
        if name in expander.blocks:
            waiting += _words(expander.blocks[name].layers)
    return found


def _words(node: Node | None) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield node.text
    elif isinstance(node, MappingNode):
        for key, value in node.pairs.items():
            yield key
            yield from _words(value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _words(item)
