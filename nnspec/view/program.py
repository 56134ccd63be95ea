"""A compiled program as a graph that can be drawn: a node a step in its order, with its kernel and the memory that it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import networkx

from nnspec.ir.op import Input
from nnspec.ir.program import KEPT, STATE, Array, Program, Step
from nnspec.ops.fused import Fused, written
from nnspec.view import amounts

LEGEND = (
    "In each box: the step's number and what it makes · its kernel · FLOPs · bytes, the arena and the offset at which they are written. "
    "Weights and numbers of the step are not drawn as edges."
)
FAMILIES = (  # the first whose word is in the op's name
    ("Conv", "convolution"), ("MatMul", "dense"), ("Linear", "dense"), ("Pool", "pooling"), ("Fused", "fused"), ("Norm", "normalisation"),
    ("Copy", "shape"),
)  # fmt: skip
_MEASURE = "measure"  # what is only told: it reads the backward pass, and nothing of that reads it
_FILLED = 3  # a buffer that more steps fill is a node of its own
_Write = tuple[int, int, int, Array]  # number of the step, first byte, the byte after the last, the array


def graph_of(program: Program, kernel: Callable[[Step], str]) -> networkx.MultiDiGraph[Any]:
    """The steps with their data in frames by stage and layer; an edge for each array that a step reads of another.

    ``kernel`` says how a step is computed, or nothing. Nodes carry ``step``, ``reads`` and ``writes`` besides what is drawn.
    """
    steps = program.steps
    reads = _reads(program)
    stages = _stages(steps, [[w[0] for w in sources] for sources in reads])
    flops = [step.call.op.flops(*(v.type for v in step.call.inputs)) for step in steps]
    heading = f"{len(steps)} steps · {amounts.flops(sum(flops))} · {amounts.memory(program.peak)} at the peak"
    graph: networkx.MultiDiGraph[Any] = networkx.MultiDiGraph(name=program.title, heading=heading, legend=LEGEND)
    graph.graph["heads"] = ("result", "at", "FLOP", "bytes")
    fed = _fed(program)
    for a in fed.values():
        graph.add_node(a.name, kind="input", name=a.name, shape=a.shape, dtype=str(a.type.dtype), says=f"fed  {a.type}", costs=_place(a), frames=())
    over = _overwritten(steps)
    for number, (step, stage) in enumerate(zip(steps, stages, strict=True)):
        graph.add_node(str(number), **_node(number, step, stage, flops[number], kernel(step), over[number]))
    for number, step in enumerate(steps):
        _edges(graph, number, step, reads[number], fed)
    told = {id(_root(a)) for a in program.outputs.values() if a.arena == "outputs"}
    graph.graph["outputs"] = tuple(str(n) for n, step in enumerate(steps) if any(id(_root(a)) in told for a in step.outputs))
    return graph


def _edges(graph: networkx.MultiDiGraph[Any], number: int, step: Step, sources: Sequence[_Write], fed: Mapping[int, Array]) -> None:
    """What the step reads: of steps, of buffers that several steps fill, of the host."""
    end, slot = str(number), 0
    for root, writes in _by_buffer(sources).items():
        if len(writes) > _FILLED:
            graph.add_edge(_buffer(graph, end, writes), end, key=slot, output="", shape=root.shape, dtype=str(root.type.dtype))
            slot += 1
            continue
        for write in writes:
            graph.add_edge(str(write[0]), end, key=slot, **_carried(graph, write))
            slot += 1
    for a in {id(_root(a)): fed[id(_root(a))] for a in step.inputs if id(_root(a)) in fed}.values():
        graph.add_edge(a.name, end, key=slot, output="", shape=a.shape, dtype=str(a.type.dtype))
        slot += 1


def _by_buffer(sources: Iterable[_Write]) -> dict[Array, list[_Write]]:
    found: dict[Array, list[_Write]] = {}
    for write in dict.fromkeys(sources):
        found.setdefault(_root(write[3]), []).append(write)
    return found


def _buffer(graph: networkx.MultiDiGraph[Any], reader: str, writes: Sequence[_Write]) -> str:
    """The node of a buffer that these steps have filled; it stands with the first that reads it."""
    root = _root(writes[0][3])
    name = f"{root.name} of {len(writes)} steps, the last {writes[-1][0]}"
    if name not in graph:
        frames = graph.nodes[reader]["frames"][:1]
        cost = f"{amounts.memory(root.bytes)} at {_place(root)}"
        said = (str(root.type), _place(root), "", amounts.memory(root.bytes))
        graph.add_node(name, kind="buffer", family="shape", name=root.name, shape=root.shape, dtype=str(root.type.dtype), frames=frames)
        graph.nodes[name].update(says=f"buffer  of {len(writes)} steps", costs=cost, amounts=said)
        for slot, write in enumerate(writes):
            graph.add_edge(str(write[0]), name, key=slot, **_carried(graph, write))
    return name


def _carried(graph: networkx.MultiDiGraph[Any], write: _Write) -> dict[str, Any]:
    a = write[3]
    several = len(graph.nodes[str(write[0])]["writes"]) > 1
    return {"output": a.name if several else "", "shape": a.shape, "dtype": str(a.type.dtype)}


def _node(number: int, step: Step, stage: str, flops: int, how: str, over: Mapping[str, str]) -> dict[str, Any]:
    first, op = step.outputs[0], step.call.op
    layer = step.call.origin.layer
    held = sum(a.bytes for a in step.outputs)
    ops = _ops(step)
    says = f"{op.name}  {how}" if how else op.name
    if isinstance(op, Fused):
        says = f"{len(ops)} ops in one loop{f' over {how}' if how else ''}: {written(op.body)}"
    notes = [f"{'in place of' if a.name in _names(step) else 'over'} {old}" for a in step.outputs if (old := over.get(a.name))][:1]
    notes += [f"only if {step.guard.name}"] if step.guard else []
    notes += [f"{amounts.memory(sum(a.bytes for a in step.workspace))} beside"] if step.workspace else []
    work = [amounts.flops(flops)] if flops else []
    return {
        "kind": op.name,
        "family": next((family for part, family in FAMILIES if part in op.name), "other"),
        "name": f"{number} {first.name}",
        "says": says,
        "costs": " · ".join([*work, f"{amounts.memory(held)} at {_place(first)}"]),
        "notes": tuple(notes),
        "amounts": (str(first.type), _place(first), amounts.flops(flops).removesuffix("FLOP").strip() if flops else "", amounts.memory(held)),
        "shape": first.shape,
        "dtype": str(first.type.dtype),
        "flops": flops,
        "frames": (stage, f"{stage}/{layer}") if layer else (stage,),
        "step": {"number": number, "kernel": how, "ops": ops, "layer": layer, "stage": step.call.origin.stage},
        "reads": [a.name for a in step.inputs],
        "writes": [_told(a, over.get(a.name, "")) for a in step.outputs],
        "workspace": [_told(a, "") for a in step.workspace],
        "guard": step.guard.name if step.guard else "",
    }


def _names(step: Step) -> set[str]:
    """The outputs that lie where one of the step's own inputs lies."""
    return {a.name for a in step.outputs if any(_root(a) is _root(b) or (a.arena, a.offset) == (b.arena, b.offset) for b in step.inputs)}


def _ops(step: Step) -> list[str]:
    op = step.call.op
    return [c.op.name for c in op.body.calls if not isinstance(c.op, Input)] if isinstance(op, Fused) else [op.name]


def _told(a: Array, over: str) -> dict[str, Any]:
    return {"name": a.name, "type": str(a.type), "arena": a.arena, "offset": a.offset, "bytes": a.bytes, "over": over}


def _place(a: Array) -> str:
    arena = a.arena.removeprefix(STATE).removeprefix(KEPT)
    return f"{arena} + {a.offset:,}" if arena else "literal"


def _root(a: Array) -> Array:
    while a.base is not None:
        a = a.base
    return a


def _span(a: Array) -> tuple[int, int]:
    """The bytes from the first to behind the last that it sees."""
    if not prod(a.shape):
        return a.offset, a.offset
    return a.offset, a.offset + (sum((n - 1) * abs(s) for n, s in zip(a.shape, a.strides, strict=True)) + 1) * a.type.dtype.size


def _fed(program: Program) -> dict[int, Array]:
    """What the host writes that is more than one number, by the array that owns the memory."""
    return {id(_root(a)): a for a in program.inputs.values() if a.arena and a.type.rank}


def _reads(program: Program) -> list[list[_Write]]:
    """For each step the writes of others that it sees: of weights none, but what this program has written to them."""
    last: dict[int, list[_Write]] = {}
    found = []
    for number, step in enumerate(program.steps):
        seen: list[_Write] = []
        for a in (*step.inputs, *([step.guard] if step.guard else [])):
            start, end = _span(a)
            seen += [w for w in last.get(id(_root(a)), ()) if w[1] < end and start < w[2]]
        found.append(seen)
        for a in step.outputs:
            start, end = _span(a)
            old = last.get(id(_root(a)), [])
            last[id(_root(a))] = [w for w in old if not (start <= w[1] and w[2] <= end)] + [(number, start, end, a)]
    return found


def _overwritten(steps: Sequence[Step]) -> list[dict[str, str]]:
    """For each step, by the name of an output, the array whose bytes in the arena of activations were there last."""
    held: list[tuple[int, int, str]] = []
    found = []
    for step in steps:
        over: dict[str, str] = {}
        for a in step.outputs:
            if a.arena != "work":
                continue
            start, end = _span(a)
            before = [w for w in held if w[0] < end and start < w[1]]
            if before and before[-1][2] != a.name:
                over[a.name] = before[-1][2]
            held = [w for w in held if not (w[0] < end and start < w[1])] + [(start, end, a.name)]
        found.append(over)
    return found


def _stages(steps: Sequence[Step], sources: Sequence[Sequence[int]]) -> list[str]:
    """The stage of each step such that data never flow back: forward, backward, update; and what is told beside."""
    order = {"forward": 0, "backward": 1, "update": 2}
    level: list[int] = []
    for step, before in zip(steps, sources, strict=True):
        level.append(max([order.get(step.call.origin.stage, 0), *(level[n] for n in before)]))
    needed = [False] * len(steps)  # whether something of the backward pass itself reads it
    for number in reversed(range(len(steps))):
        own = level[number] == 1 and (needed[number] or steps[number].call.origin.stage == "backward")
        for n in sources[number]:
            needed[n] |= own
    names = list(order)
    told = [level[n] == 1 and steps[n].call.origin.stage == "forward" and not needed[n] for n in range(len(steps))]
    return [_MEASURE if aside else names[of] for aside, of in zip(told, level, strict=True)]
