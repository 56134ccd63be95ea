"""The level and domain of every call: who may be computed together, because nothing else has to be computed in between.

Along each edge the level rises by one, but not between two calls that may share a nest. So calls of one level and one domain never wait for
anything that waits for one of them. Calls move to the level of their first reader, so that what only the gradient reads is computed there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import count
from nnspec.ops.elementwise import Elementwise, Where
from nnspec.ops.fused import ends
from nnspec.ops.index import OneHot, Pick
from nnspec.ops.reduce import AllFinite, ArgMax, Reduction

UPDATE = "update:"
Domain = tuple[int, ...]


class Loops(Protocol):
    """What a backend says of loop nests."""

    exact: bool  # whether nests round as their bodies do, and never reorder a sum

    def takes(self, c: Call) -> bool:
        """Whether a nest may hold this call."""

    def worth(self, calls: Sequence[Call]) -> bool:
        """Whether these calls of one nest run sooner as one than each by itself."""


class Levels:
    """Of one graph: ``places`` holds the level and domain of every call that may be in a nest."""

    def __init__(self, graph: Graph, loops: Loops) -> None:
        self.graph, self.loops = graph, loops
        self.guarded = {v.call for name, v in graph.outputs.items() if name.startswith(UPDATE) and _waits(v)}
        self.old = self._old_readers()
        self.places = self._levels()

    def domain(self, c: Call, domains: dict[Call, Domain | None]) -> Domain | None:
        """The shape that the loops around a call walk; None where it can be in no nest."""
        if c in self.guarded or not isinstance(c.op, Elementwise | AllFinite | Reduction | ArgMax | OneHot | Pick):
            return None
        shapes = {v.shape for v in _walked(c)}
        if len(shapes) != 1 or not self.loops.takes(c):
            return None
        shape = shapes.pop()
        if not all(isinstance(d, int) for d in shape) or not count(shape):
            return None
        if count(shape) == 1:
            return () if isinstance(c.op, Elementwise) else None
        if isinstance(c.op, Elementwise) and shape[-1] == 1:
            shape = _rows_of(c, domains) or shape
        return shape  # type: ignore[return-value]  # all are numbers

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


def _rows_of(c: Call, domains: dict[Call, Domain | None]) -> Domain | None:
    """Of a call on one number a row, the domain whose rows they are: that of a reduction which it reads."""
    shape = c.outputs[0].shape
    if any(v.shape != shape and count(v.shape) > 1 for v in c.inputs):
        return None
    for v in c.inputs:
        whole = domains.get(v.call)
        if whole and v.shape == shape and whole[:-1] == shape[:-1] and whole[-1] > 1 and not ends(v.call):
            return whole
    return None


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
