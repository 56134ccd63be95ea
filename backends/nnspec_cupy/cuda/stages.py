"""What a nest's body asks of its loops: which values are one number, one a row or one an element, and in which walk along a row each is made."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from functools import cached_property
from math import prod

from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import count
from nnspec.ops.fused import Fused, ends
from nnspec.ops.index import OneHot, Pick
from nnspec.ops.reduce import AllFinite, ArgMax, Reduction


class Level(IntEnum):
    """How many numbers a value is."""

    NUMBER = 0
    ROW = 1
    ELEMENT = 2


def by_row(c: Call) -> bool:
    """Whether a call makes one number of each row."""
    return isinstance(c.op, Reduction | ArgMax | Pick) and not ends(c)


def by_column(c: Call) -> bool:
    """Whether a call sums over rows, and keeps the columns."""
    return isinstance(c.op, Reduction) and ends(c) and len(c.op.axis) < c.inputs[0].rank


class Stages:
    """The values of a body by level, and the walk after which each is known."""

    def __init__(self, op: Fused) -> None:
        self.op, self.domain = op, op.domain
        self.calls = [c for c in op.body.calls if not isinstance(c.op, Input)]
        self.chosen = {c.inputs[-1] for c in self.calls if isinstance(c.op, OneHot | Pick)}  # numbers of elements, one a row
        self.level: dict[Value, Level] = {v: self._level(v) for v in op.body.inputs.values()}
        self.stage: dict[Value, int] = dict.fromkeys(op.body.inputs.values(), 0)
        for c in self.calls:
            self._add(c)
        self.outputs = list(op.body.outputs.values())

    def _level(self, v: Value) -> Level:
        if v in self.chosen or self.length > 1 and v.rank == len(self.domain) and v.shape[-1] == 1 and count(v.shape) > 1:
            return Level.ROW
        return Level.NUMBER if count(v.shape) == 1 else Level.ELEMENT

    def _add(self, c: Call) -> None:
        v = c.outputs[0]
        before = max((self.stage[x] for x in c.inputs), default=0)
        if by_row(c):
            self.level[v], self.stage[v] = Level.ROW, before + 1
        elif isinstance(c.op, OneHot):
            self.level[v], self.stage[v] = Level.ELEMENT, before
        elif isinstance(c.op, Constant):
            self.level[v], self.stage[v] = Level.NUMBER, 0
        else:
            self.level[v], self.stage[v] = max(self.level[x] for x in c.inputs), before

    @property
    def length(self) -> int:
        """The elements of a row."""
        return self.domain[-1] if self.domain else 1

    @cached_property
    def ending(self) -> list[Call]:
        """The calls whose results are there after all rows."""
        return [c for c in self.calls if ends(c)]

    @cached_property
    def rows(self) -> list[Call]:
        """The calls that make one number of each row."""
        return [c for c in self.calls if by_row(c)]

    @property
    def whole(self) -> bool:
        """Whether rows are no matter: elements may be walked as they come."""
        return not self.rows and not any(by_column(c) or isinstance(c.op, OneHot) for c in self.calls)

    @property
    def alone(self) -> bool:
        """Whether every element is by itself: nothing is reduced."""
        return self.whole and not self.ending

    @cached_property
    def walks(self) -> int:
        """How often a row is walked along: once a stage of its reductions, and once more where what comes after them is of elements."""
        last = max((self.stage[c.outputs[0]] for c in self.rows), default=0)
        late = any(self.stage[v] == last for v in self.wanted)
        return last + (1 if late else 0)

    @cached_property
    def wanted(self) -> list[Value]:
        """Values of elements that are outputs, or that something is summed up of after all rows."""
        found = [v for v in self.outputs if self.level[v] == Level.ELEMENT and not ends(v.call)]
        found += [x for c in self.ending for x in c.inputs if self.level[x] == Level.ELEMENT]
        return list(dict.fromkeys(found))

    def walk_of(self, v: Value) -> int:
        """The walk, counted from 1, in which a wanted value is used."""
        return min(self.stage[v] + 1, self.walks)

    def needed(self, values: Iterable[Value], level: Level) -> list[Call]:
        """The calls of a level behind some values, in their order; those of lower levels are taken as known."""
        seen: set[Call] = set()
        stack = [v.call for v in values if self.level[v] == level]
        while stack:
            c = stack.pop()
            if c in seen or isinstance(c.op, Input) or by_row(c):
                continue
            seen.add(c)
            stack.extend(x.call for x in c.inputs if self.level[x] == level)
        return [c for c in self.calls if c in seen]

    def size(self) -> int:
        return prod(self.domain)


def all_finite(c: Call) -> bool:
    return isinstance(c.op, AllFinite)
