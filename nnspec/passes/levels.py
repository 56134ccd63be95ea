"""The level and domain of every call: who may be computed together, because nothing else has to be computed in between.

Along each edge the level rises by one, but not between two calls that may share a nest. So calls of one level and one domain never wait for
anything that waits for one of them. Calls move to the level of their first reader, so that what only the gradient reads is computed there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Protocol

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import Shape, count
from nnspec.ops.elementwise import Elementwise, Where
from nnspec.ops.fused import ends
from nnspec.ops.index import OneHot, Pick
from nnspec.ops.reduce import AllFinite, ArgMax, Reduction

UPDATE = "update:"
Domain = tuple[int, ...]


class Loops(Protocol):
    """What a backend says of loop nests. ``multiplies``, where there is one, says which products read and give numbers of 16 bits."""

    exact: bool  # whether nests round as their bodies do, and never reorder a sum

    def takes(self, c: Call) -> bool:
        """Whether a nest may hold this call."""

    def worth(self, calls: Sequence[Call]) -> bool:
        """Whether these calls of one nest run sooner as one than each by itself."""

    def follows(self, first: Call, calls: Sequence[Call]) -> bool:
        """Whether the kernel of ``first`` computes these calls, in order, of each element of its result as soon as it is there."""


class Levels:
    """Of one graph: ``places`` holds the level and domain of every call that may be in a nest, ``of`` the level of every call."""

    of: dict[Call, int]

    def __init__(self, graph: Graph, loops: Loops) -> None:
        self.graph, self.loops = graph, loops
        self.guarded = {v.call for name, v in graph.outputs.items() if name.startswith(UPDATE) and _waits(v)}
        self.old = self._old_readers()
        self.ways = self._ways()
        self.places = self._levels()

    def domain(self, c: Call, domains: dict[Call, Domain | None]) -> Domain | None:
        """The shape that the loops around a call walk; None where it can be in no nest."""
        if c in self.guarded or not isinstance(c.op, Elementwise | AllFinite | Reduction | ArgMax | OneHot | Pick):
            return None
        shapes = {v.shape for v in _walked(c)}
        if len(shapes) != 1 or not self.loops.takes(c):
            return None
        shape = shapes.pop()
        if (way := _way(c, shape)) is not None and way != self.ways[shape, 0 in way]:
            return None
        if not all(isinstance(d, int) for d in shape) or not count(shape):
            return None
        if count(shape) == 1:
            return () if isinstance(c.op, Elementwise) else None
        if isinstance(c.op, Elementwise) and 1 in shape:
            shape = _rows_of(c, domains) or shape
        return shape  # type: ignore[return-value]  # all are numbers

    def _ways(self) -> dict[tuple[Shape, bool], tuple[int, ...]]:
        """Over which axes calls that walk a shape may reduce it: loops over one shape reduce one way, and add up one way what has no rows left."""
        found: dict[tuple[Shape, bool], Counter[tuple[int, ...]]] = defaultdict(Counter)
        for c in self.graph.calls:
            if isinstance(c.op, Reduction | ArgMax | OneHot | Pick) and self.loops.takes(c):
                shape = _walked(c)[0].shape
                way = _way(c, shape)
                if way is not None:
                    found[shape, 0 in way][way] += 1
        return {(shape, first): max(ways, key=lambda way: (way in _usual(shape), ways[way])) for (shape, first), ways in found.items()}

    def _levels(self) -> dict[Call, tuple[int, Domain]]:
        """The level and domain of every call that may be in a nest."""
        domains: dict[Call, Domain | None] = {}
        for c in self.graph.calls:
            domains[c] = self.domain(c, domains)
        levels: dict[Call, int] = {}

        def rise(p: Call, c: Call) -> int:
            return int(domains[c] is None or domains[p] != domains[c] or is_closed(p))

        order, before, after = self._order()
        for c in order:
            levels[c] = max((levels[p] + rise(p, c) for p in before[c]), default=0)
        for c in reversed(order):
            if domains[c] is not None and after[c]:
                levels[c] = max(levels[c], min(levels[r] - rise(c, r) for r in after[c]))
        self.of = levels
        return {c: (levels[c], domain) for c, domain in domains.items() if domain is not None}

    def _order(self) -> tuple[list[Call], dict[Call, list[Call]], dict[Call, list[Call]]]:
        """All calls, each behind what it waits for: what it reads, and who reads the old content of a state that it writes."""
        before: dict[Call, list[Call]] = {}
        after: dict[Call, list[Call]] = defaultdict(list)
        for c in self.graph.calls:
            before[c] = list(dict.fromkeys([v.call for v in c.inputs if not isinstance(v.op, Input | Constant)] + self.old.get(c, [])))
            for p in before[c]:
                after[p].append(c)
        missing = {c: len(b) for c, b in before.items()}
        order = [c for c in self.graph.calls if not missing[c]]
        for c in order:  # which grows as it goes
            for r in after[c]:
                missing[r] -= 1
                if not missing[r]:
                    order.append(r)
        if len(order) < len(self.graph.calls):
            raise ValueError("a state is read by a call that needs its new content")
        return order, before, after

    def _old_readers(self) -> dict[Call, list[Call]]:
        """For each call that writes a state, unasked: the calls that read the old content."""
        root: dict[Value, Value] = {}
        readers: dict[Value, list[Call]] = defaultdict(list)
        for c in self.graph.calls:
            for v in c.outputs:
                root[v] = root[c.inputs[0]] if c.op.view else v
            for v in c.inputs if not c.op.view else ():
                readers[root[v]].append(c)
        found = {}
        for name, v in self.graph.outputs.items():
            state = self.graph.inputs.get(name.removeprefix(UPDATE)) if name.startswith(UPDATE) else None
            if state is not None and v.call not in self.guarded and not isinstance(v.op, Input | Constant):
                found[v.call] = [r for r in dict.fromkeys(readers[state]) if r is not v.call]
        return found


def _way(c: Call, shape: Shape) -> tuple[int, ...] | None:
    """The axes over which a call reduces what it walks; None where it reduces nothing, or all to a number."""
    real = tuple(i for i, n in enumerate(shape) if n != 1)
    if isinstance(c.op, Reduction) and not set(real) <= set(c.op.axis):
        return tuple(i for i in real if i in c.op.axis) or None
    return real[-1:] if isinstance(c.op, ArgMax | OneHot | Pick) else None


def _usual(shape: Shape) -> tuple[tuple[int, ...], ...]:
    """What most networks reduce: the last axis, or all but the last."""
    real = tuple(i for i, n in enumerate(shape) if n != 1)
    return real[-1:], real[:-1]


def _rows_of(c: Call, domains: dict[Call, Domain | None]) -> Domain | None:
    """Of a call on fewer numbers, one a row or a column, the domain that was reduced to them: that of a reduction which it reads."""
    shape = c.outputs[0].shape
    if any(v.shape != shape and count(v.shape) > 1 for v in c.inputs):
        return None
    for v in c.inputs:
        whole = domains.get(v.call)
        if whole and v.shape == shape != whole and _within(shape, whole) and not ends(v.call):
            return whole
    return None


def _within(shape: Shape, whole: Domain) -> bool:
    """Whether a shape is a domain with some axes left at 1."""
    return len(shape) == len(whole) and all(n in (1, w) for n, w in zip(shape, whole, strict=True))


def _walked(c: Call) -> Sequence[Value]:
    """The values whose elements the loops around a call walk; a number in a proof is of any loops."""
    if isinstance(c.op, AllFinite):
        return [v for v in c.inputs if count(v.shape) > 1]
    return c.inputs if isinstance(c.op, Reduction | ArgMax) else c.inputs[:1] if isinstance(c.op, Pick) else c.outputs


def is_closed(c: Call) -> bool:
    """Whether a result is read by other nests alone: it is there after all loops, or has an axis less than what they walk."""
    return ends(c) or isinstance(c.op, Pick | ArgMax) or isinstance(c.op, Reduction) and not c.op.keep


def _waits(v: Value) -> bool:
    """Whether an update keeps the old state where a condition fails."""
    match v:
        case Value(Where(), (ok, _, Value(Input()))) if ok.rank == 0:
            return True
    return False
