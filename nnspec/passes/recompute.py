"""Compute again, near its gradient, what would otherwise lie in memory from the forward pass to there.

    y = Relu(x); …; dx = Multiply(g, Step(y))   ->   y = Relu(x); …; y' = Relu(x); dx = Multiply(g, Step(y'))

A call whose operands are gone by then takes the cheap calls behind it along. It comes after all other passes and repeats whole
calls, loop nests among them, so that every number is computed by the same call from the same numbers, and has the same bits.
Draws are counted, and are drawn again as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nnspec.ir.graph import Call, Graph, Origin, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.program import Program
from nnspec.ops.movement import Pack
from nnspec.passes.rewrite import again
from nnspec.passes.schedule import Lives, schedule

STAGE = "recomputed"
WORK = "work"  # the arena of what lives for a part of the step
ROUND = 32  # each graph takes at least a 32nd less than the one before, as far as that goes
LEAST = 1024  # what is smaller than this part of the peak is not computed again

MOST = 32  # calls that are repeated together
CHEAP = 8.0  # operations a byte of what is repeated only so that another call can be

Gap = tuple[int, int]  # the places between which a value only waits
Chosen = dict[Value, Gap]  # what is made again, and the gap after which that is read
Item = tuple[Value, bool]  # a value as it was first made, or made again


class Recomputed:
    """A graph, the calls of the graph before it that it computes twice, and about how many bytes of the work arena its plan will take.

    The plan takes at least nearly as many (they are those alive at once), and up to a fifth more where buffers do not fit together. The
    graph is made when it is asked for.
    """

    def __init__(self, plan: _Plan, chosen: Chosen, work: int) -> None:
        self._plan, self._chosen, self.work = plan, chosen, work

    @cached_property
    def graph(self) -> Graph:
        return self._plan.graph(self._chosen)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        plan, calls = self._plan, {v.call for v in self._chosen if not self._plan.moved(v.call, self._chosen)}
        return tuple(sorted(calls, key=plan.place.__getitem__))


def recompute(graph: Graph, program: Program) -> Iterator[Recomputed]:
    """Graphs of less and less memory, until nothing lowers the peak any more; each computes all again that those before it do.

    ``program`` is the plan of ``graph``: it knows what each call takes in scratch, and which results lie in memory that is kept anyway.
    The graphs follow from these two alone, so that whoever asks for less gets one further along. What costs the fewest operations a
    byte goes first: elementwise calls and normalisations before convolutions and products.
    """
    plan = _Plan(graph, program)
    chosen: Chosen = {}
    now = plan.profile(chosen)
    while True:
        level = now.peak
        target = level - max(1, level // ROUND)
        before = len(chosen)
        now = plan.lower(chosen, now, target)
        if len(chosen) == before or now.peak >= level:
            return
        yield Recomputed(plan, dict(chosen), now.peak)


class _Profile(NamedTuple):
    """The bytes alive at each call of a sequence, and where those calls stand in the order without repetitions."""

    alive: NDArray[np.int64]
    places: NDArray[np.int64]

    @property
    def peak(self) -> int:
        return int(self.alive.max(initial=0))

    def above(self, level: int) -> int:
        """Bytes above a level, over all calls."""
        return int(np.maximum(self.alive - level, 0).sum())


class _Plan:
    """What may be made twice, and what that does to memory."""

    def __init__(self, graph: Graph, program: Program) -> None:
        self.source, self.lives = graph, Lives(graph)
        self.order = schedule(graph)
        self.place = {c: i for i, c in enumerate(self.order)}
        self.bytes = {v: size for v, size in self.lives.bytes.items() if not isinstance(v.op, Pack)}
        self.scratch: dict[Call, int] = {}
        self.reused: dict[Call, Value] = {}  # the operand in whose memory a result is made
        self._look_at(program)
        self.gaps = {root: gap for root in self.bytes if (gap := self._gap(root))}

    def _look_at(self, program: Program) -> None:
        for step in program.steps:
            c = step.call
            if c not in self.place:
                continue  # a copy that the plan added
            self.scratch[c] = sum(a.bytes for a in step.workspace if a.arena == WORK)
            for v, a in zip(c.outputs, step.outputs, strict=True):
                if a.arena != WORK:
                    self.bytes.pop(v, None)
            first = step.outputs[0]
            for v, a in zip(c.inputs, step.inputs, strict=True):
                if a.arena == WORK == first.arena and a.offset == first.offset and v.type == first.type:
                    self.reused[c] = self.lives.root[v]

    def _gap(self, root: Value) -> Gap | None:
        """The making or reading before the longest wait, and the reading after it; None for what is kept anyway."""
        if root in self.lives.kept or isinstance(root.op, Input | Constant | Pack) or root.call in self.lives.writes:
            return None
        at = self._touched(root)
        waits = [(b - a, -i) for i, (a, b) in enumerate(zip(at, at[1:], strict=False))]
        if not waits:
            return None
        i = -max(waits)[1]
        return at[i], at[i + 1]

    def _touched(self, root: Value) -> list[int]:
        return [self.place[root.call], *sorted(self.place[r] for r in self.lives.readers.get(root, ()))]

    def moved(self, c: Call, chosen: Chosen) -> bool:
        """Whether all results of ``c`` are first read after their gaps: it is made there, and only there."""
        if not any(v in chosen for v in c.outputs):
            return False
        read = [v for v in c.outputs if self.lives.readers.get(v) or v in self.lives.kept]
        return bool(read) and all(v in chosen and chosen[v][0] == self.place[c] for v in read)

    @cached_property
    def candidates(self) -> list[Call]:
        """Calls that may be repeated, cheapest a byte first."""
        least = self.profile({}).peak // LEAST
        found = [c for c in self.order if sum(self.bytes[v] for v in c.outputs if v in self.gaps) > least]
        return sorted(found, key=lambda c: (self.cost(c), self.place[c]))

    def cost(self, c: Call) -> float:
        """Operations a byte."""
        return c.op.flops(*(v.type for v in c.inputs)) / max(1, sum(self.bytes.get(v, 0) for v in c.outputs))

    def alone(self, c: Call) -> Chosen:
        return {v: self.gaps[v] for v in c.outputs if v in self.gaps}

    def together(self, c: Call, chosen: Chosen) -> Chosen:
        """``c`` with the cheap calls behind it whose results are gone when it is made again."""
        found = self.alone(c)
        at = min(last for _, last in found.values())
        stack = [c]
        while stack and len(found) <= MOST:
            for root in self._roots[stack.pop()]:
                touched = self._touched(root)
                if root in found or root in chosen or root not in self.gaps or touched[-1] >= at or self.cost(root.call) > CHEAP:
                    continue
                for v in root.call.outputs:
                    if v in self.gaps and v not in chosen:
                        last = self._touched(v)[-1]
                        found[v] = self.gaps[v] if last >= at else (last, len(self.order))
                stack.append(root.call)
        return found

    def lower(self, chosen: Chosen, now: _Profile, target: int) -> _Profile:
        """Adds to ``chosen`` what brings the bytes alive nearer to ``target``; what it then takes."""
        changed = True
        while changed and now.above(target):
            changed = False
            for c in self.candidates:
                if any(v in chosen for v in c.outputs) or not self._waits(c, now.places[now.alive > target]):
                    continue
                for more in (self.alone(c), self.together(c, chosen)):
                    tried = self.profile({**chosen, **more})
                    if tried.above(target) < now.above(target):
                        chosen.update(more)
                        now, changed = tried, True
                        break
                if not now.above(target):
                    break
        return now

    def _waits(self, c: Call, places: NDArray[np.int64]) -> bool:
        """Whether some result of ``c`` only waits at one of these places."""
        gaps = (self.gaps[v] for v in c.outputs if v in self.gaps)
        return any(bool(((places > first) & (places <= last)).any()) for first, last in gaps)

    # The order of calls

    def version(self, root: Value, at: int, chosen: Chosen) -> Item:
        """Which of a value's two makings is read at a place."""
        return root, root in chosen and at > chosen[root][0]

    def sequence(self, chosen: Chosen) -> Iterator[tuple[Call, bool, int]]:
        """Every call but views, whether it is a repetition, and the place for which it is made; each after what it reads."""
        made: set[Call] = set()
        moved, reading = {v.call for v in chosen if self.moved(v.call, chosen)}, self.reading(chosen)
        for i, c in enumerate(self.order):
            if c.op.view or c in moved:
                continue
            if c not in reading:  # as nearly all are
                yield c, False, i
                continue
            stack = [(c, False)]
            while stack:
                top, late = stack[-1]
                if late and top in made:
                    stack.pop()
                    continue
                missing = [root.call for root, again in self.read(top, i, chosen) if again and root.call not in made]
                if missing:
                    stack.extend((m, True) for m in sorted(missing, key=self.place.__getitem__))
                    continue
                stack.pop()
                if late:
                    made.add(top)
                yield top, late, i

    def reading(self, chosen: Chosen) -> set[Call]:
        """The calls that may read what is made again."""
        return {c for root in chosen for c in self.lives.readers.get(root, ())}

    def read(self, c: Call, at: int, chosen: Chosen) -> list[Item]:
        return [self.version(root, at, chosen) for root in self._roots[c]]

    @cached_property
    def _roots(self) -> dict[Call, tuple[Value, ...]]:
        return {c: tuple(dict.fromkeys(self.lives.root[v] for v in c.inputs)) for c in self.order}

    def profile(self, chosen: Chosen) -> _Profile:
        """The bytes of the work arena alive at each call."""
        firsts: tuple[dict[Value, int], dict[Value, int]] = {}, {}  # of what is made first, and again: where it is made, and where last read
        lasts: tuple[dict[Value, int], dict[Value, int]] = {}, {}
        places: list[int] = []
        calls: list[Call] = []
        reading, roots, last = self.reading(chosen), self._roots, lasts[False]
        for k, (c, late, at) in enumerate(self.sequence(chosen)):
            places.append(at)
            calls.append(c)
            if late or c in reading:
                for root, again in self.read(c, at, chosen):
                    lasts[again][root] = k
            else:
                for root in roots[c]:
                    last[root] = k
            for v in c.outputs:
                firsts[late][v] = lasts[late][v] = k
        change = [0] * (len(places) + 1)
        for born, ends in zip(firsts, lasts, strict=True):
            for v, k in born.items():
                if size := self.bytes.get(v, 0):
                    change[k] += size
                    if v not in self.lives.kept:
                        end = ends[v]
                        change[end if self.reused.get(calls[end]) is v else end + 1] -= size
        scratch = np.array([self.scratch.get(c, 0) for c in calls], np.int64)
        return _Profile(np.cumsum(np.array(change[:-1], np.int64)) + scratch, np.array(places))

    def graph(self, chosen: Chosen) -> Graph:
        """The graph made again, its repetitions where they are needed first."""
        made: dict[Item, Value] = {}

        def seen(v: Value, at: int) -> Value:
            """``v`` as it is read at a place, views of it made as they are asked for."""
            late = self.version(self.lives.root[v], at, chosen)[1]
            views: list[Value] = []
            while (v, late) not in made:
                views.append(v)
                v = v.inputs[0]
            for view in reversed(views):
                rest = tuple(seen(x, at) for x in view.inputs[1:])
                made[view, late] = again(view.call, (made[view.inputs[0], late], *rest)).outputs[0]
            return made[views[0] if views else v, late]

        for c, late, at in self.sequence(chosen):
            new = c if isinstance(c.op, Input) else again(c, tuple(seen(v, at) for v in c.inputs))
            if late and not self.moved(c, chosen):
                new.origin = Origin(c.origin.layer, STAGE)
            made.update({(v, late): n for v, n in zip(c.outputs, new.outputs, strict=True)})
        return Graph({name: seen(v, -1) for name, v in self.source.outputs.items()})


