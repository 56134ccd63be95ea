"""Which calls of a graph become one loop nest: those of one domain between which nothing else has to be computed.

Every call has a level: along each edge it rises by one, but not between two calls that may share a nest. So calls of
one level and one domain never wait for anything that waits for one of them, and any of them may be computed together.
Calls move to the level of their first reader, so that what only the gradient reads is computed there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import count
from nnspec.ops.elementwise import (
    Add,
    And,
    Cast,
    Elementwise,
    Equal,
    Less,
    LessEqual,
    Maximum,
    Minimum,
    Multiply,
    Negative,
    Not,
    Or,
    Relu,
    Square,
    Step,
    Subtract,
    Where,
)
from nnspec.ops.fused import ends
from nnspec.ops.index import OneHot, Pick
from nnspec.ops.reduce import AllFinite, ArgMax, Reduction

UPDATE = "update:"
CHEAP = (Add, And, Cast, Equal, Less, LessEqual, Maximum, Minimum, Multiply, Negative, Not, Or, Relu, Square, Step, Subtract, Where)
DEEPEST = 3  # calls of a chain that is computed again
Domain = tuple[int, ...]


class Loops(Protocol):
    """What a backend says of loop nests."""

    exact: bool  # whether nests round as their bodies do, and never reorder a sum

    def takes(self, c: Call) -> bool:
        """Whether a nest may hold this call."""

    def worth(self, calls: Sequence[Call]) -> bool:
        """Whether these calls of one nest run sooner as one than each by itself."""


class Nest:
    """Calls that are computed together; a cheap one may stand in several nests, and is ``home`` in one."""

    def __init__(self) -> None:
        self.calls: dict[Call, None] = {}
        self.outputs: dict[Value, None] = {}  # what is read outside
        self.inside: set[Call] = set()  # the calls that the outputs need

    @property
    def large(self) -> bool:
        """Whether it walks more than one number."""
        return any(count(v.shape) > 1 for c in self.calls for v in (*c.inputs, *c.outputs))


class Nests:
    """The nests of a graph."""

    def __init__(self, graph: Graph, loops: Loops) -> None:
        self.graph, self.loops = graph, loops
        self.readers: dict[Value, list[Call]] = defaultdict(list)
        for c in graph.calls:
            for v in dict.fromkeys(c.inputs):
                self.readers[v].append(c)
        self.results = set(graph.outputs.values())
        self.guarded = {v.call for name, v in graph.outputs.items() if name.startswith(UPDATE) and _waits(v)}
        self.old = self._old_readers()
        self.bound = {r for readers in self.old.values() for r in readers}  # calls that no other place may repeat
        self.home: dict[Call, Nest] = {}
        self._join(self._levels())
        self._leave_what_is_not_worth_it()
        self._look_before_writing()
        self.live()
        self._repeat_what_is_cheap()
        self._take_numbers_in()
        self.live()

    # Who stands together

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
            return int(domains[c] is None or domains[p] != domains[c] or _is_closed(p))

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

    def _join(self, levels: dict[Call, tuple[int, Domain]]) -> None:
        """One nest for calls of one level and domain that read one another, or the same memory."""
        parent: dict[Call, Call] = {c: c for c in levels}

        def root(c: Call) -> Call:
            while parent[c] is not c:
                parent[c] = c = parent[parent[c]]
            return c

        first: dict[tuple[Value, tuple[int, Domain]], Call] = {}
        for c, place in levels.items():
            for v in c.inputs:
                if levels.get(v.call) == place and not _is_closed(v.call):
                    parent[root(v.call)] = root(c)
                elif v.shape == place[1]:
                    parent[root(first.setdefault((v, place), c))] = root(c)
            for r in self.old.get(c, ()):
                if levels.get(r) == place:
                    parent[root(r)] = root(c)
        nests: dict[Call, Nest] = defaultdict(Nest)
        for c in levels:
            nests[root(c)].calls[c] = None
            self.home[c] = nests[root(c)]

    def nests(self) -> list[Nest]:
        return list(dict.fromkeys(self.home.values()))

    def _leave_what_is_not_worth_it(self) -> None:
        for nest in self.nests():
            if not self.loops.worth(list(nest.calls)):
                for c in nest.calls:
                    del self.home[c]

    # What is computed twice, because it is read and written less often so

    def _look_before_writing(self) -> None:
        """An update that waits for its own finite numbers: one nest looks at them, another writes them.

        Both compute the same from the old state. So no new state is kept beside the old one, and less memory is touched.
        """
        for nest in self.nests():
            if not any(isinstance(c.op, AllFinite) for c in nest.calls):
                continue
            made = [(v, r) for c in nest.calls for v in c.outputs for r in self.readers[v]]
            written = {v for v, r in made if r in self.guarded and v is r.inputs[1]}
            others = {v for v, r in made if r not in nest.calls and not (r in self.guarded and v is r.inputs[1])}
            others |= {v for c in nest.calls for v in c.outputs if v in self.results}
            chain = self._needed(nest, written)
            if not written or any(isinstance(c.op, AllFinite) for c in chain) or written & others:
                continue
            update = Nest()
            update.calls = dict.fromkeys(c for c in nest.calls if c in chain)
            looked_at = self._needed(nest, others)
            nest.calls = {c: None for c in nest.calls if c in looked_at}
            for c in update.calls:
                if not any(v in others for v in c.outputs):
                    self.home[c] = update

    def _needed(self, nest: Nest, values: set[Value]) -> set[Call]:
        """The calls of a nest behind some of its values."""
        found: set[Call] = set()
        stack = [v.call for v in values]
        while stack:
            c = stack.pop()
            if c in nest.calls and c not in found:
                found.add(c)
                stack.extend(v.call for v in c.inputs)
        return found

    def _repeat_what_is_cheap(self) -> None:
        """A cheap call that other nests read, and that comes from at most one array which is kept anyway, is made in each of them."""
        held = self._held()
        for c in self.graph.calls:
            own = self.home.get(c)
            if own is None or c.outputs[0] not in own.outputs or c.outputs[0] in self.results:
                continue
            elsewhere = [r for r in self.readers[c.outputs[0]] if r not in own.calls]
            chain = self._cheap(c, DEEPEST)
            if chain is None or not all(r in self.home for r in elsewhere):
                continue
            for nest in dict.fromkeys(n for r in elsewhere for n in held[r]):
                for copy in chain:
                    if copy not in nest.calls:
                        nest.calls[copy] = None
                        held[copy].append(nest)

    def _cheap(self, c: Call, depth: int) -> list[Call] | None:
        """The calls that make ``c`` from what is kept anyway; None where that would cost more than to read its result."""
        if not isinstance(c.op, CHEAP) or not depth or c in self.bound:
            return None
        large = [v for v in dict.fromkeys(c.inputs) if count(v.shape) > 1 and v.shape == c.outputs[0].shape]
        if len(large) > 1:
            return None
        if not large or self._is_kept(large[0]):
            return [c]
        before = self._cheap(large[0].call, depth - 1)
        return None if before is None else [c, *before]

    def _is_kept(self, v: Value) -> bool:
        """Whether an array is in memory, whoever else computes it again."""
        return v.call not in self.home or v in self.results or any(r not in self.home for r in self.readers[v])

    def _held(self) -> dict[Call, list[Nest]]:
        """The nests that each call stands in."""
        held: dict[Call, list[Nest]] = defaultdict(list)
        for nest in self.nests():
            for c in nest.calls:
                held[c].append(nest)
        return held

    def _take_numbers_in(self) -> None:
        """A number that only larger nests read is computed in each of them."""
        large = {n for n in self.nests() if n.large}
        held = {c: [n for n in nests if n in large] for c, nests in self._held().items()}
        for c in reversed(self.graph.calls):
            v = c.outputs[0]
            if held.get(c) or not isinstance(c.op, Elementwise) or count(v.shape) != 1 or v in self.results or c in self.guarded or c in self.bound:
                continue
            if not all(held.get(r) for r in self.readers[v]) or not self.loops.takes(c):
                continue
            nests = list(dict.fromkeys(n for r in self.readers[v] for n in held[r]))
            for nest in nests:
                nest.calls[c] = None
            held[c] = nests
            self.home.setdefault(c, nests[0])

    # Who is read

    def live(self) -> None:
        """Finds, from the graph's outputs upwards, what each nest has to give and which of its calls that takes."""
        for nest in self.nests():
            nest.outputs, nest.inside = {}, set()
        seen: set[Value] = set()
        stack = list(self.graph.outputs.values())
        while stack:
            v = stack.pop()
            if v in seen:
                continue
            seen.add(v)
            own = self.home.get(v.call)
            if own is None:
                stack.extend(v.call.inputs)
                continue
            own.outputs[v] = None
            inner = [v.call]
            while inner:
                c = inner.pop()
                if c not in own.inside:
                    own.inside.add(c)
                    inner.extend(x.call for x in c.inputs if x.call in own.calls)
                    stack.extend(x for x in c.inputs if x.call not in own.calls)


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


def _is_closed(c: Call) -> bool:
    """Whether a result is read by other nests alone: it is there after all loops, or has an axis less than what they walk."""
    return ends(c) or isinstance(c.op, Pick | ArgMax) or isinstance(c.op, Reduction) and not c.op.keep


def _waits(v: Value) -> bool:
    """Whether an update keeps the old state where a condition fails."""
    match v:
        case Value(Where(), (ok, _, Value(Input()))) if ok.rank == 0:
            return True
    return False
