"""How often a row is walked, and what each walk computes: once more behind every reduction that something waits for.

What earlier walks made is read again where it is an output, computed again where it is cheap, and else waits on the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nnspec.ir.graph import Call, Value
from nnspec.ir.types import count
from nnspec.ops import elementwise as e
from nnspec.ops.fused import ends
from nnspec.ops.index import Pick
from nnspec.ops.reduce import ArgMax, Reduction
from nnspec_numpy.llvm import elements

COSTLY = (*elements.SINGLE, e.Divide, e.Sqrt)


def by_row(c: Call) -> bool:
    """Whether a call gives one number for each row of the domain."""
    return isinstance(c.op, Pick | ArgMax) or isinstance(c.op, Reduction) and not ends(c)


def last_is_one(v: Value) -> bool:
    """Whether a value has at most one number for each row."""
    return count(v.shape[-1:]) == 1


class Stages:
    """Which walk along a row computes what: a walk more behind every reduction that something waits for.

    ``numbers`` are there before the first, and ``alone`` says of a value made of such alone whether it is one itself.
    """

    def __init__(self, calls: Sequence[Call], numbers: set[Value], places: Iterable[Value], may_wait: bool,
                 alone: Callable[[Value], bool] = last_is_one) -> None:
        self.calls, self.places = calls, list(places)
        self.at: dict[Call, int] = {}  # the walk of a call
        self.rows: set[Call] = set()  # calls on one number a row
        known = dict.fromkeys(numbers, 0)
        stage: dict[Value, int] = dict(known)
        single = set(numbers)
        for c in calls:
            self.at[c] = max((stage.get(v, 0) for v in c.inputs), default=0)
            v = c.outputs[0]
            stage[v] = self.at[c] + by_row(c)
            if by_row(c):
                single.add(v)
            elif c.op.elementwise and not ends(c) and all(x in single for x in c.inputs) and alone(v):
                self.rows.add(c)
                single.add(v)
        self.single = single
        self.last = max(self.at.values())
        self.owner = {c.outputs[0]: c for c in calls}
        self.waiting: list[Value] = []
        for s in range(1, self.last + 1):
            for c in self._needed(s):
                v = c.outputs[0]
                if may_wait and self.at[c] < s and isinstance(c.op, COSTLY) and v not in self.places and v not in self.waiting:
                    self.waiting.append(v)

    def scalars(self, stage: int) -> list[Call]:
        return [c for c in self.calls if c in self.rows and self.at[c] == stage]

    def _targets(self, stage: int) -> list[Call]:
        return [c for c in self.calls if self.at[c] == stage and (by_row(c) or ends(c))]

    def _outputs(self, stage: int) -> list[Value]:
        return [v for v in self.places if v.call in self.at and self.at[v.call] == stage and self._full(v.call)]

    def _full(self, c: Call) -> bool:
        return c not in self.rows and not by_row(c) and not ends(c)

    def _needed(self, stage: int) -> list[Call]:
        """The calls on whole rows that a walk computes, in order; what waits from earlier walks is read."""
        found: set[Call] = set()
        stack = [v for c in self._targets(stage) for v in c.inputs] + self._outputs(stage)
        stack += [v for v in self.waiting if self.at[v.call] == stage]
        while stack:
            v = stack.pop()
            c = self.owner.get(v)
            if c is None or v in self.single or c in found or self.at[c] < stage and (v in self.places or v in self.waiting):
                continue
            found.add(c)
            stack.extend(c.inputs)
        return [c for c in self.calls if c in found]

    def walk(self, stage: int) -> tuple[list[Call], list[Call], list[Value]]:
        """Targets, what they need, and what is kept: outputs, and what later walks wait for."""
        kept = [*self._outputs(stage), *(v for v in self.waiting if self.at[v.call] == stage)]
        return self._targets(stage), self._needed(stage), kept

    def again(self, stage: int) -> list[Value]:
        """What earlier walks kept and this one reads."""
        needed = self._needed(stage)
        inputs = [v for c in (*needed, *self._targets(stage)) for v in c.inputs]
        return [v for v in dict.fromkeys(inputs) if v in self.owner and v not in self.single and self.owner[v] not in needed]
