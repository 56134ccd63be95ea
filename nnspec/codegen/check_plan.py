"""Replays a program over the bytes of its arenas, to prove that every read sees the value written for it.

Every element of every value gets a number of its own, and what moves elements moves their numbers by the ops' own
references. Independent of the planner: it knows arrays and the graph, not buffers or lifetimes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.program import STATE, Array, Copy, Program, Step
from nnspec.ir.types import known
from nnspec.ops.elementwise import Where
from nnspec.ops.movement import Concat, Pack

Ids = NDArray[np.int64]
UPDATE = "update:"
GARBAGE = -1


def check_plan(graph: Graph, program: Program) -> None:
    """Raises AssertionError, naming step and array: a value is overwritten too early, never made, or out of bounds."""
    replay = _Replay(program, dict(_conditions(graph)))
    for label, v in graph.inputs.items():
        place = program.inputs.get(label) or program.state[label]
        replay.put(place, replay.fresh(v))
    for a in program.arrays:
        if a.arena == "constants" and a.data is not None:
            replay.put(a, replay.constant(a))
    for i, step in enumerate(program.steps):
        replay.step(step, f"step {i}, {step}")
    for name, v in graph.outputs.items():
        if name.startswith(UPDATE):
            label = name.removeprefix(UPDATE)
            replay.expect(program.state[label], _guarded(graph, label, v)[1], f"after the last step, {name}")
        else:
            replay.expect(program.outputs[name], v, f"after the last step, output {name}")


def _conditions(graph: Graph) -> Iterator[tuple[str, Value]]:
    """The arena of each state that may only be written under a condition, and the condition."""
    for name, v in graph.outputs.items():
        if name.startswith(UPDATE):
            ok, _ = _guarded(graph, name.removeprefix(UPDATE), v)
            if ok is not None and not isinstance(ok.op, Constant):
                yield STATE + name.removeprefix(UPDATE), ok


def _guarded(graph: Graph, label: str, v: Value) -> tuple[Value | None, Value]:
    """The condition and new content of an update; the replay takes every step, so it must end with that content."""
    match v:
        case Value(Where(), (ok, new, Value(Input(label=old)))) if ok.rank == 0 and old == label and graph.uses[v] == 1:
            return ok, v.inputs[2] if isinstance(ok.op, Constant) and not ok.op.data else new
    return None, v


def reach(a: Array) -> int:
    """Bytes from the first element's start to the last one's end."""
    return (sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)) + 1) * a.type.dtype.size


class _Replay:
    def __init__(self, program: Program, conditions: dict[str, Value]) -> None:
        self.conditions = conditions
        self.bytes: dict[str, Ids] = {name: np.zeros(size, np.int64) for name, size in program.arenas.items()}
        self.bytes["segments"] = np.zeros(program.arenas.get("segments", 0), np.int64)
        for name, ids in self.bytes.items():
            if name != "segments":  # which starts as zeros, and its gaps stay so
                ids[:] = GARBAGE
        self.ids: dict[Value, Ids] = {}
        self.constants: dict[bytes, Ids] = {}
        self.next = 1

    def number(self, shape: tuple[int, ...]) -> Ids:
        count = int(np.prod(shape, dtype=np.int64))
        self.next += count
        return np.arange(self.next - count, self.next).reshape(shape)

    def fresh(self, v: Value) -> Ids:
        self.ids[v] = self.number(known(v.shape))
        return self.ids[v]

    def constant(self, a: Array) -> Ids:
        assert a.data is not None
        return self._constant(a.data)

    def _constant(self, data: NDArray[Any]) -> Ids:
        key = data.dtype.name.encode() + data.tobytes()
        if key not in self.constants:
            self.constants[key] = self.number((data.size,))
        return self.constants[key].reshape(data.shape)

    def of(self, v: Value) -> Ids:
        """The numbers that ``v`` must hold by the meaning of the graph."""
        if v not in self.ids:
            match v.op:
                case Constant(data=data):
                    self.ids[v] = self._constant(data)
                case Copy() | Pack() | Concat():
                    self.ids[v] = v.op.reference(*(self.of(x) for x in v.inputs))
                case op if op.view:
                    self.ids[v] = op.reference(*(self.of(x) for x in v.inputs))
                case op:
                    raise AssertionError(f"{op} is read, but no step made it")
        return self.ids[v]

    def seen(self, a: Array, where: str) -> Ids:
        """The bytes of ``a``: its shape and a last axis over the bytes of an element."""
        size = a.type.dtype.size
        inside = a.offset >= 0 and a.offset + reach(a) <= self.bytes[a.arena].size
        assert inside or 0 in a.shape, f"{where}: {a} is out of bounds"
        assert a.offset % size == 0, f"{where}: {a} is not aligned"
        steps = tuple(8 * size * s for s in a.strides)
        start = self.bytes[a.arena][a.offset :] if 0 not in a.shape else np.zeros(1, np.int64)
        return as_strided(start, (*a.shape, size), (*steps, 8))

    def put(self, a: Array, ids: Ids, where: str = "before the first step") -> None:
        assert all(s for n, s in zip(a.shape, a.strides, strict=True) if n > 1), f"{where}: {a} repeats elements"
        self.seen(a, where)[...] = ids.reshape(a.shape)[..., None]

    def expect(self, a: Array, v: Value, where: str) -> None:
        assert a.type == v.type, f"{where}: {a} does not fit {v}"
        if a.literal:
            assert a.data is not None and isinstance(v.op, Constant) and a.data.tobytes() == v.op.data.tobytes(), where
            return
        assert (self.seen(a, where) == self.of(v)[..., None]).all(), f"{where}: {a.name} does not hold its value"

    def step(self, step: Step, where: str) -> None:
        for a, v in zip(step.inputs, step.call.inputs, strict=True):
            self.expect(a, v, where)
        for a in step.outputs:
            ok = self.conditions.get(a.arena)
            if ok is not None:
                assert step.guard is not None, f"{where}: {a.name} is written without its condition"
                self.expect(step.guard, ok, where)
        self._disjoint(step, where)
        for a in step.workspace:
            if a.data is None:
                self.put(a, np.full(a.shape, GARBAGE), where)
            else:
                assert (self.seen(a, where) == self.constant(a)[..., None]).all(), f"{where}: {a.name} was overwritten"
        for a, v in zip(step.outputs, step.call.outputs, strict=True):
            assert a.arena in ("work", "outputs", "segments") or a.arena.startswith(STATE), f"{where}: writes {a}"
            self.put(a, self.of(v) if isinstance(step.call.op, Copy) else self.fresh(v), where)

    def _disjoint(self, step: Step, where: str) -> None:
        """Results lie apart from each other, from scratch and from operands, but for elementwise ops in place."""
        scratch = [a for a in step.workspace if a.data is None]
        written = [*step.outputs, *scratch]
        for i, y in enumerate(written):
            for other in written[:i]:
                assert not self._overlap(y, other), f"{where}: {y.name} and {other.name} overlap"
            for x in self._operands(step):
                same = (y.arena, y.offset, y.strides, y.type) == (x.arena, x.offset, x.strides, x.type)
                in_place = same and y in step.outputs and step.call.op.elementwise
                assert in_place or not self._overlap(x, y), f"{where}: {y.name} overlaps {x.name}"

    def _operands(self, step: Step) -> Iterable[Array]:
        tables = (a for a in step.workspace if a.data is not None)
        return [a for a in (*step.inputs, *tables) if not a.literal]

    def _overlap(self, a: Array, b: Array) -> bool:
        if a.arena != b.arena or 0 in (*a.shape, *b.shape):
            return False
        low, high = sorted((a, b), key=lambda x: x.offset)
        return bool(low.offset + reach(low) > high.offset) and np.shares_memory(self.seen(a, ""), self.seen(b, ""))
