"""Which calls of a graph become one loop nest: those of one level and domain that read one another, or the same memory.

What is cheap is computed again in other nests rather than read there; numbers are computed where they are read; and what an update looks at is
computed apart from what it writes.
"""

from __future__ import annotations

from collections import defaultdict

from nnspec.ir.graph import Call, Graph, Value
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
from nnspec.ops.reduce import AllFinite
from nnspec.passes.levels import Domain, Levels, Loops, is_closed

CHEAP = (Add, And, Cast, Equal, Less, LessEqual, Maximum, Minimum, Multiply, Negative, Not, Or, Relu, Square, Step, Subtract, Where)
DEEPEST = 3  # calls of a chain that is computed again


class Nest:
    """Calls that are computed together; a cheap one may stand in several nests, and is ``home`` in one."""

    def __init__(self) -> None:
        self.calls: dict[Call, None] = {}
        self.outputs: dict[Value, None] = {}  # what is read outside
        self.inside: set[Call] = set()  # the calls that the outputs need
        self.first: Call | None = None  # the call whose kernel computes the others as its epilogue

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
        levels = Levels(graph, loops)
        self.level = levels.of
        self.guarded, self.old = levels.guarded, levels.old
        self.bound = {r for readers in self.old.values() for r in readers}  # calls that no other place may repeat
        self.home: dict[Call, Nest] = {}
        self._join(levels.places)
        self._leave_what_is_not_worth_it()
        self._look_before_writing()
        self.live()
        self._repeat_what_is_cheap()
        self._take_numbers_in()
        self.live()
        self._follow()
        self.live()

    # Who stands together

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
                if levels.get(v.call) == place and not is_closed(v.call):
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
            if not self.loops.worth(list(nest.calls)) and self._product(nest, list(nest.calls)) is None:
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

    # What follows a product

    def _follow(self) -> None:
        """A nest becomes the epilogue of a product that it reads, so that it finds each element in a register, or in the nearest cache."""
        for nest in self.nests():
            calls = sorted((c for c in nest.calls if c in nest.inside), key=lambda c: c.serial)
            if not calls:
                continue
            nest.first = self._product(nest, calls)
            if nest.first is not None:
                nest.calls[nest.first] = None
                self.home[nest.first] = nest
            elif not self.loops.worth(calls):
                for c in calls:
                    if self.home.get(c) is nest:
                        del self.home[c]

    def _product(self, nest: Nest, calls: list[Call]) -> Call | None:
        """The last call that is in no nest and may have these calls as its epilogue, where whoever else reads it waits longer than they do.

        Then the two can be one: levels rise along every edge to them and from them, as before.
        """
        level = max((self.level[c] for c in calls if c in self.home and self.home[c] is nest), default=0)
        found = [v.call for v in dict.fromkeys(v for c in calls for v in c.inputs) if v.call not in self.home and len(v.call.outputs) == 1]
        for first in sorted(found, key=lambda c: -c.serial):
            others = [r for r in self.readers[first.outputs[0]] if self.home.get(r) is not nest]  # it may hold copies of theirs
            alike = all(v.type == first.outputs[0].type for v in nest.outputs)  # they are stored where it would be
            if alike and all(self.level[r] > level for r in others) and first not in self.bound and self.loops.follows(first, calls):
                return first
        return None

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
