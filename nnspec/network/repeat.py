"""``repeat``: how many copies of an entry there are, and what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnspec.errors import Problem, SpecError
from nnspec.records import dataclass
from nnspec.spec.explain import describe
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence
from nnspec.spec.variables import formula_name

MOST = 10_000  # copies of one entry


@dataclass(frozen=True)
class Copy:
    """One copy: what its counter is called, its number, and the fields it sets."""

    counter: str
    number: int
    fields: Mapping[str, Node]
    shares: bool = False  # the weights of the first copy


ONE = Copy("", 0, {})


def copies(node: Node | None) -> list[Copy]:
    """The copies that a ``repeat`` asks for; formulas are already numbers."""
    if node is None:
        return [ONE]
    if isinstance(node, MappingNode):
        return _walk(node)
    return [Copy("i", n, {}) for n in range(_times(node))]


def _times(node: Node) -> int:
    value: Any = node.value if isinstance(node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise SpecError(
            Problem("'repeat' does not fit", node.place, found=describe(node), wanted=f"a whole number from 0 to {MOST:,}", rule="bad-value")
        )
    return value


def _walk(node: MappingNode) -> list[Copy]:
    counter, times, shares = "i", None, False
    lists: dict[str, Sequence] = {}
    for key, value in node.pairs.items():
        if key == "share":
            if not isinstance(value, Scalar) or not isinstance(value.value, bool):
                raise SpecError(
                    Problem("'share' of 'repeat' does not fit", value.place, found=describe(value), wanted="true or false", rule="bad-value")
                )
            shares = value.value
            continue
        if key == "as":
            if not isinstance(value, Scalar) or not isinstance(value.value, str):
                raise SpecError(Problem("'as' of 'repeat' does not fit", value.place, found=describe(value), wanted="a name", rule="bad-value"))
            if problems := formula_name(value.value, value.place, "counter", ("input", "data")):
                raise SpecError(*problems)
            counter = value.value
        elif key == "times":
            times = _times(value)
        elif key in ("name", "repeat"):
            raise SpecError(
                Problem(
                    f"'{key}' cannot be a list of 'repeat'",
                    node.keys[key],
                    wanted="one name beside it: copies are numbered" if key == "name" else "another repeat inside",
                    hint="name: x gives x_1, x_2, …" if key == "name" else "",
                    rule="bad-value",
                )
            )
        elif isinstance(value, Sequence):
            lists[key] = value
        else:
            raise SpecError(
                Problem(
                    f"'{key}' of 'repeat' does not fit",
                    value.place,
                    found=describe(value),
                    wanted="a list, one value a copy",
                    hint="repeat: 3 makes three equal copies",
                    rule="bad-value",
                )
            )
    lengths = {len(s.items) for s in lists.values()} | ({times} if times is not None else set())
    if len(lengths) != 1:
        found = ", ".join(f"{k}: {len(s.items)}" for k, s in lists.items()) + (f", times: {times}" if times is not None else "")
        raise SpecError(
            Problem("the lists of 'repeat' differ in length", node.place, found=found or "nothing", wanted="one length for all", rule="bad-value")
        )
    n = lengths.pop()
    if n > MOST:
        raise SpecError(Problem("'repeat' does not fit", node.place, found=f"{n:,} copies", wanted=f"at most {MOST:,}", rule="bad-value"))
    return [Copy(counter, i, {k: s.items[i] for k, s in lists.items()}, shares) for i in range(n)]
