"""Decides for every value which memory holds it: its own buffer, a view of another's, or a slice of a container.

Views cost nothing. What is packed or joined is made in its place where a step makes it; else a copy step moves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from numpy.typing import NDArray

from nnspec.codegen.drafts import Buffer, Draft, Kept, Operand, Rules, Spot
from nnspec.codegen.views import Layout, plain, reshaped, see
from nnspec.ir.graph import Call, Graph, Value, abstract
from nnspec.ir.op import Constant, Input, Op
from nnspec.ir.program import KEPT, STATE, Copy
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.elementwise import Where
from nnspec.ops.movement import Concat, Pack, Reshape

UPDATE = "update:"  # an output of this prefix is the new content of a state


class Laid(NamedTuple):
    """Drafts in order, and where inputs, outputs and the guarded states lie."""

    drafts: list[Draft]
    inputs: dict[str, Operand]
    outputs: dict[str, Operand]


class _Target(NamedTuple):
    """A member that may be made inside its container."""

    container: Value
    position: int
    member: Value


def lay_out(graph: Graph, order: Sequence[Call], rules: Rules) -> Laid:
    """Buffers, views and drafts of steps for the calls of ``graph`` in ``order``."""
    return _Layout(graph, rules).run(order)


class _Layout:
    def __init__(self, graph: Graph, rules: Rules) -> None:
        self.graph, self.rules = graph, rules
        self.inputs = dict(graph.inputs)
        self.spots: dict[Value, Spot] = {}
        self.solid: dict[Value, Spot] = {}  # plain copies of values that lie otherwise
        self.targets: dict[Value, _Target] = {}
        self.tables: dict[tuple[TensorType, bytes], Spot] = {}  # constants of statements, each once
        self.kept: dict[str, Spot] = {}  # what is made of states, each form once
        self.drafts: list[Draft] = []
        self.guard: Operand | None = None

    def run(self, order: Sequence[Call]) -> Laid:
        updates = {n.removeprefix(UPDATE): v for n, v in self.graph.outputs.items() if n.startswith(UPDATE)}
        results = {n: v for n, v in self.graph.outputs.items() if not n.startswith(UPDATE)}
        guarded = {v: g for label, v in updates.items() if (g := self._guarded(label, v))}
        before, after = self._sides(order, updates, results, guarded)
        self._choose_targets(order)
        for label, v in updates.items():
            self.inputs.setdefault(label, abstract(v.type, label, "state"))  # a state that is written and never read
        for label, v in self.inputs.items():
            assert isinstance(v.op, Input)
            self.spots[v] = self._own(v.type, STATE + label if v.op.role == "state" else "data")
        for c in before:
            self._call(c)
        outputs = {name: Operand(v, self._result(v)) for name, v in results.items()}
        if any(not isinstance(c.op, Input | Constant) for c in after):
            ok = next(ok for ok, _ in guarded.values() if not isinstance(ok.op, Constant))
            self.guard = Operand(ok, self._spot(ok))
        solid = dict(self.solid)
        for c in after:
            self._call(c)
        self.guard, self.solid = None, solid  # what was made under the condition may not serve others
        self._update(updates, guarded)
        inputs = {label: Operand(v, self.spots[v]) for label, v in self.inputs.items()}
        return Laid(self.drafts, inputs, outputs)

    def _guarded(self, label: str, v: Value) -> tuple[Value, Value] | None:
        """(ok, new) of an update that is taken only where ``ok``."""
        match v:
            case Value(Where(), (ok, new, Value(Input(label=old)))) if ok.rank == 0 and old == label:
                return (ok, new) if self.graph.uses[v] == 1 else None
        return None

    def _sides(self, order: Sequence[Call], updates: dict[str, Value], results: dict[str, Value],
               guarded: dict[Value, tuple[Value, Value]]) -> tuple[list[Call], list[Call]]:
        """Calls that always run, and those that only serve updates and wait for their one condition."""
        skipped = {v.call for v in guarded}
        calls = [c for c in order if c not in skipped]
        waiting = {v: ok for v, (ok, _) in guarded.items() if not isinstance(ok.op, Constant)}
        if len(set(waiting.values())) != 1:
            return calls, []
        always: set[Call] = set()
        others = [v for v in updates.values() if v not in waiting]
        stack = [v.call for v in (*results.values(), *waiting.values(), *others)]
        while stack:
            c = stack.pop()
            if c not in always:
                always.add(c)
                stack.extend(v.call for v in c.inputs)
        return [c for c in calls if c in always], [c for c in calls if c not in always]

    # Where values lie

    def _choose_targets(self, order: Sequence[Call]) -> None:
        """Last container first, so that a container inside another is placed before its own members."""
        for c in reversed(order):
            if isinstance(c.op, Pack | Concat):
                for i, member in enumerate(c.inputs):
                    made = member
                    while isinstance(made.op, Reshape):
                        made = made.inputs[0]
                    if made not in self.targets and self._is_made(made):
                        self.targets[made] = _Target(c.outputs[0], i, member)

    def _is_made(self, v: Value) -> bool:
        return not (v.op.view or isinstance(v.op, Input | Constant | Pack))

    def _place(self, v: Value, op: Op, index: int = 0) -> Spot:
        """Where a step writes ``v``: in its container if it can, else in a buffer of its own."""
        shape = known(v.shape)
        if v in self.targets:
            spot = self._inside(*self.targets[v])
            layout = reshaped(spot.layout, shape)
            if layout is not None and self.rules.writes(op, index, layout):
                return Spot(spot.buffer, layout)
            del self.targets[v]
        return self._own(v.type, value=v)

    def _own(self, type: TensorType, arena: str = "work", value: Value | None = None) -> Spot:
        shape = known(type.shape)
        return Spot(Buffer(type.dtype, prod(shape), arena, value), plain(shape))

    def _inside(self, container: Value, index: int, member: Value) -> Spot:
        """The slice of a container that its member ``index`` fills."""
        whole = self._container(container)
        shape = known(member.shape)
        match container.op:
            case Pack(offsets=offsets):
                return Spot(whole.buffer, plain(shape, whole.layout.offset + offsets[index]))
            case Concat(axis=axis):
                start = sum(known(v.shape)[axis] for v in container.inputs[:index])
                strides = whole.layout.strides
                return Spot(whole.buffer, Layout(whole.layout.offset + start * strides[axis], shape, strides))
        raise AssertionError(container.op)

    def _container(self, v: Value) -> Spot:
        if v not in self.spots:
            self.spots[v] = self._own(v.type, "segments", v) if isinstance(v.op, Pack) else self._place(v, Copy())
        return self.spots[v]

    def _spot(self, v: Value) -> Spot:
        """Where ``v`` lies; a constant gets memory when it is first asked for."""
        if v not in self.spots:
            assert isinstance(v.op, Constant), v.op
            spot = self._own(v.type, "constants", v)
            spot.buffer.data = v.op.data
            self.spots[v] = spot
        return self.spots[v]

    def _plain(self, v: Value) -> Spot:
        """``v`` in row-major order, copied if it lies otherwise."""
        if v not in self.solid:
            self.solid[v] = self._copied(v, self._own(v.type))
        return self.solid[v]

    def _copied(self, v: Value, to: Spot, guard: Operand | None = None, source: Spot | None = None) -> Spot:
        if source is None and not (self._may_be_literal(v) and self.rules.literal(Copy(), 0)):
            source = self._spot(v)
        call = Call(Copy(), (v,), (v.type,), v.call.origin)
        self.drafts.append(Draft(call, [Operand(v, source)], [Operand(call.outputs[0], to)], guard=guard or self.guard))
        return to

    # Calls

    def _call(self, c: Call) -> None:
        v = c.outputs[0]
        match c.op:
            case Input() | Constant():
                pass  # placed before all calls; a literal, or placed when it is asked for
            case Pack() | Concat():
                for i, member in enumerate(c.inputs):
                    self._fill(v, i, member)
            case op if op.view:
                self.spots[v] = self._view(op, c.inputs[0], v)
            case _:
                self._compute(c)

    def _fill(self, container: Value, index: int, member: Value) -> None:
        there = self._inside(container, index, member)
        made = member
        while isinstance(made.op, Reshape):
            made = made.inputs[0]
        if self.targets.get(made) != _Target(container, index, member):
            self._copied(member, there)

    def _view(self, op: Op, source: Value, v: Value) -> Spot:
        spot = self._spot(source)
        layout = see(op, spot.layout)
        if layout is None:
            spot = self._plain(source)
            layout = see(op, spot.layout)
            assert layout is not None, op
        assert layout.shape == v.shape, (op, layout, v.type)
        return Spot(spot.buffer, layout)

    def _compute(self, c: Call) -> None:
        self.rules.check(c.op)
        literal = [self._may_be_literal(v) and self.rules.literal(c.op, i) for i, v in enumerate(c.inputs)]
        if literal and all(literal):
            literal[0] = False  # a statement needs one array to know its dtype
        reads = [Operand(v, None if literal[i] else self._read(c.op, i, v)) for i, v in enumerate(c.inputs)]
        writes = [Operand(v, self._place(v, c.op, i)) for i, v in enumerate(c.outputs)]
        self.spots.update((o.value, o.spot) for o in writes if o.spot)
        layouts = [o.spot.layout if o.spot else None for o in (*reads, *writes)]
        asked = self.rules.workspace(c.op, [v.type for v in c.inputs], [v.type for v in c.outputs], layouts)
        self.drafts.append(Draft(c, reads, writes, [self._workspace(w, reads) for w in asked], self.guard))

    def _read(self, op: Op, index: int, v: Value) -> Spot:
        spot = self._spot(v)
        return spot if self.rules.reads(op, index, spot.layout) else self._plain(v)

    def _may_be_literal(self, v: Value) -> bool:
        return isinstance(v.op, Constant) and v.op.data.size == 1

    def _workspace(self, asked: TensorType | NDArray[Any] | Kept, reads: Sequence[Operand]) -> tuple[TensorType, Spot]:
        if isinstance(asked, Kept):
            source = reads[asked.position].spot
            assert source is not None and source.buffer.arena.startswith(STATE), f"{reads[asked.position].value} is no state"
            arena = f"{KEPT}{source.buffer.arena.removeprefix(STATE)}+{source.layout.offset}:{asked.form}"
            return asked.type, self.kept.setdefault(arena, self._own(asked.type, arena))
        if isinstance(asked, TensorType):
            return asked, self._own(asked)
        type = TensorType(tuple(asked.shape), DType(asked.dtype.name))
        key = (type, asked.tobytes())
        if key not in self.tables:
            self.tables[key] = self._own(type, "constants")
            self.tables[key].buffer.data = asked
        return type, self.tables[key]

    # What leaves the program

    def _result(self, v: Value) -> Spot:
        """Where the host reads ``v``: memory that nothing else takes before the next run."""
        spot = self._spot(v)
        if spot.buffer.arena == "data" or spot.buffer.arena.startswith(STATE):
            return self._copied(v, self._own(v.type, "outputs"))
        if spot.buffer.arena == "work":
            spot.buffer.arena = "outputs"
        return spot

    def _update(self, updates: dict[str, Value], guarded: dict[Value, tuple[Value, Value]]) -> None:
        """New content into states, last of all, and never from a state that may already be new."""
        wanted: list[tuple[str, Value | None, Value]] = []
        for label, v in updates.items():
            ok, new = guarded.get(v, (None, v))
            unchanged = isinstance(new.op, Input) and new.op.label == label
            if not (unchanged or ok is not None and _is(ok, False)):
                wanted.append((label, ok, new))
        for _, _, new in wanted:
            if new in self.spots and self.spots[new].buffer.arena.startswith(STATE):
                self._plain(new)
        for label, ok, new in wanted:
            guard = None if ok is None or _is(ok, True) else Operand(ok, self._spot(ok))
            to = self.spots[self.inputs[label]]
            self._copied(new, to, guard, self.solid.get(new))


def _is(v: Value, flag: bool) -> bool:
    return isinstance(v.op, Constant) and bool(v.op.data) is flag
