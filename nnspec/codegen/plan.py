"""From a graph to a Program: which memory holds what, which step runs when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nnspec.codegen.allocate import share, stack
from nnspec.codegen.drafts import Buffer, Draft, Operand, Rules, Spot
from nnspec.codegen.emit import literal
from nnspec.codegen.in_place import reuse_dying, write_states
from nnspec.codegen.layout import Laid, lay_out
from nnspec.codegen.names import Names, spoken
from nnspec.codegen.views import plain
from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Input
from nnspec.ir.program import KEPT, STATE, Array, Copy, Program, Step
from nnspec.ir.types import TensorType, known
from nnspec.passes.schedule import schedule

OWN = ("data", "segments", "outputs", "constants")  # arenas whose memory is never shared


def plan(graph: Graph, title: str, rules: Rules, order: Sequence[Call] | None = None, reserved: Iterable[str] = (),
         ) -> Program:
    """The program of ``graph``, its calls in ``order`` (by default as scheduled); no array has a ``reserved`` name."""
    order = schedule(graph) if order is None else order
    laid = lay_out(graph, order, rules)
    drafts = write_states(laid.drafts, rules)
    reuse_dying(drafts, rules)
    arenas = _allocate(drafts, laid)
    return _Finish(graph, order, Names(reserved)).program(title, drafts, laid, arenas)


def _allocate(drafts: list[Draft], laid: Laid) -> dict[str, int]:
    found: dict[Buffer, None] = {}
    for o in laid.inputs.values():
        if o.spot:
            found[o.spot.buffer] = None
    for i, d in enumerate(drafts):
        for b in d.touched():
            found[b] = None
            b.born = i if b.born < 0 else b.born
            b.last = i
    for o in laid.outputs.values():
        if o.spot:
            found[o.spot.buffer.owner()] = None
    arenas = {b.arena: stack([b]) for b in found if b.arena.startswith((STATE, KEPT))}
    arenas.update({name: stack(b for b in found if b.arena == name) for name in OWN})
    arenas["work"] = share([b for b in found if b.arena == "work"], len(drafts))
    return {name: size for name, size in arenas.items() if size}


class _Finish:
    """Turns operands into arrays, each made once."""

    def __init__(self, graph: Graph, order: Sequence[Call], names: Names) -> None:
        self.names = names
        self.spoken = spoken(graph, order)
        self.arrays: dict[tuple[Value, Spot | None], Array] = {}
        self.owners: dict[Buffer, Array] = {}
        self.extra: list[Array] = []

    def program(self, title: str, drafts: list[Draft], laid: Laid, arenas: dict[str, int]) -> Program:
        inputs = {n: self.array(o) for n, o in laid.inputs.items()}
        steps = tuple(self.step(d) for d in drafts)
        outputs = {n: self.array(o) for n, o in laid.outputs.items()}
        state = {n: a for n, a in inputs.items() if a.arena.startswith(STATE)}
        hosts = {n: a for n, a in inputs.items() if n not in state}
        return Program(title, hosts, state, outputs, steps, (*self.arrays.values(), *self.extra), arenas)

    def step(self, d: Draft) -> Step:
        inputs = tuple(self.array(o) for o in d.reads)
        outputs = tuple(self.array(o) for o in d.writes)
        space = tuple(self.workspace(outputs[0], t, s) for t, s in d.workspace)
        return Step(d.call, inputs, outputs, space, self.array(d.guard) if d.guard else None)

    def array(self, o: Operand) -> Array:
        if o.spot and o.spot.buffer.arena.startswith(STATE) and o.spot.whole and o.spot.buffer in self.owners:
            owner = self.owners[o.spot.buffer]
            if owner.type == o.value.type:
                return owner  # the state itself, read or written
        key = (o.value, o.spot)
        if key not in self.arrays:
            self.arrays[key] = self._make(o)
        return self.arrays[key]

    def _make(self, o: Operand) -> Array:
        v, spot = o
        data = getattr(v.op, "data", None) if spot is None else spot.buffer.data
        if spot is None:
            assert data is not None
            return Array(literal(data), v.type, "", 0, (0,) * v.rank, data=data)
        name = self.names.take(self._wanted(v, spot))
        return self._placed(name, v.type, spot, v.call.origin.layer)

    def _wanted(self, v: Value, spot: Spot) -> str:
        if spot.buffer.arena.startswith(STATE) and not isinstance(v.op, Input) and v not in self.spoken:
            return spot.buffer.arena.removeprefix(STATE)
        if isinstance(v.op, Copy):
            return self._wanted(v.inputs[0], spot) + ("" if spot.buffer.arena == "segments" else "_copy")
        return self.spoken.get(v, v.op.label if isinstance(v.op, Input) else v.op.name.lower())

    def workspace(self, y: Array, type: TensorType, spot: Spot) -> Array:
        if spot.buffer in self.owners:
            return self.owners[spot.buffer]  # a table that another step asked for as well
        word = "kernel" if spot.buffer.arena.startswith(KEPT) else "space" if spot.buffer.data is None else "table"
        made = self._placed(self.names.take(f"{y.name}_{word}"), type, spot, y.layer)
        self.extra.append(made)
        return made

    def _placed(self, name: str, type: TensorType, spot: Spot, layer: str) -> Array:
        buffer = spot.buffer.owner()
        base = self.owners.get(buffer)
        whole = spot.whole
        if base is None and not whole and buffer.value is not None:
            v = buffer.value
            base = self.array(Operand(v, Spot(buffer, plain(known(v.shape)))))
        offset = buffer.offset + spot.layout.offset * type.dtype.size
        data = buffer.data.reshape(known(type.shape)) if whole and buffer.data is not None else None
        made = Array(name, type, buffer.arena, offset, spot.layout.strides, layer, base, data)
        if base is None and whole:
            self.owners[buffer] = made
        return made
