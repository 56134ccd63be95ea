"""What a spec's text becomes: scalars, lists and mappings that know their place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeAlias

from nnspec.errors import Place, Problem, SpecError
from nnspec.ir.types import Symbol
from nnspec.records import dataclass
from nnspec.spec.scalars import LARGEST_INTEGER

MOST_LEVELS = 64
MOST_NODES = 100_000  # after every alias is replaced by what it stands for

Value: TypeAlias = "None | bool | int | float | str | Symbol"


@dataclass(eq=False, slots=True)
class Node:
    """A part of a spec; nodes that aliases share are the same object, so nothing may be changed in place."""

    place: Place


@dataclass(eq=False, slots=True)
class Scalar(Node):
    """A value: ``text`` as written, without quotes. A formula's result may be a symbolic length."""

    value: Value
    text: str
    quoted: bool


@dataclass(eq=False, slots=True)
class Sequence(Node):
    """A list."""

    items: list[Node]
    flow: bool


@dataclass(eq=False, slots=True)
class Mapping(Node):
    """Keys in the order of the text; ``keys`` holds where each stands."""

    pairs: dict[str, Node]
    keys: dict[str, Place]
    flow: bool


def plain(node: Node) -> Any:
    """The Python value of a node: lists as tuples, mappings as dicts."""
    if isinstance(node, Sequence):
        return tuple(plain(item) for item in node.items)
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.pairs.items()}
    return node.value if isinstance(node, Scalar) else None


def literal(value: object, place: Place) -> Node:
    """Nodes of a Python value, all at one place; a path and NumPy's numbers and arrays count as such.

    Raises SpecError for what no spec can hold.
    """
    return _literal(value, place, iter(range(MOST_NODES)), 1)


def _literal(value: object, place: Place, budget: Iterator[int], level: int) -> Node:
    if next(budget, None) is None or level > MOST_LEVELS + 1:
        raise SpecError(
            Problem(
                "a value is too large or too deep",
                place,
                wanted=f"at most {MOST_NODES:,} values in {MOST_LEVELS} levels",
                rule="too-large",
            )
        )
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return Sequence(place, [_literal(item, place, budget, level + 1) for item in value], True)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return Mapping(
            place,
            {key: _literal(item, place, budget, level + 1) for key, item in value.items()},
            dict.fromkeys(value, place),
            True,
        )
    if isinstance(value, int) and not -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER:
        raise SpecError(
            Problem(
                "a whole number that does not fit into 64 bits",
                place,
                wanted="at most 9223372036854775807",
                rule="number",
            )
        )
    if value is None or isinstance(value, (bool, int, float, str, Symbol)):
        return Scalar(place, value, spelled(value), False)
    raise SpecError(
        Problem(
            "a spec cannot hold this value",
            place,
            found=f"{type(value).__name__}",
            wanted="a number, text, list or mapping",
            rule="bad-value",
        )
    )


def spelled(value: Value) -> str:
    """A scalar as YAML writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
