"""A nest as commands: one kernel, and one more for each result of which several blocks have parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen.views import Layout
from nnspec.ir.graph import Call, Value
from nnspec.ir.interpret import evaluate
from nnspec.ir.op import Op
from nnspec.ir.program import Array, Step
from nnspec.ir.types import TensorType
from nnspec.ops.fused import Fused, ends
from nnspec.ops.reduce import AllFinite, Max, Min, Sum
from nnspec_cupy.commands import Launch
from nnspec_cupy.cuda import reduce
from nnspec_cupy.cuda.flat import THREADS, flat, grid
from nnspec_cupy.cuda.lanes import LEAST
from nnspec_cupy.cuda.nest import Nest, partial_of
from nnspec_cupy.cuda.stages import Stages, by_column
from nnspec_cupy.cuda.walk import Walk, walk
from nnspec_cupy.lowering import plain


def commands(step: Step) -> tuple[Launch, ...]:
    """The kernels of a nest."""
    op = step.call.op
    assert isinstance(op, Fused)
    stages, w = Stages(op), walk(op)
    if stages.alone:
        kernel = flat(op.body, "nest", op.domain, step.inputs, step.outputs, step.guarded)
        return (Launch(kernel, grid(op.domain, step.inputs, step.outputs), (THREADS, 1, 1), step.inputs, step.outputs, op.reference, step.guard),)
    partial = dict(zip(partial_of(op), step.workspace, strict=True))
    results = list(zip(stages.outputs, step.outputs, strict=True))
    written = [(v, a) for v, a in results if v.call not in partial] + [(c.outputs[0], a) for c, a in partial.items()]
    writes = tuple(a for _, a in written)
    kernel = Nest(op, step.inputs, written, step.guarded).kernel()
    first = Launch(kernel, (w.blocks * w.tiles, 1, 1), (THREADS, 1, 1), step.inputs, writes, _meaning(op, [v for v, _ in written], set(partial), w),
                   step.guard)  # fmt: skip
    return (first, *(_joined(v.call, partial[v.call], a, step) for v, a in results if v.call in partial))


def _meaning(op: Fused, wanted: Sequence[Value], partial: set[Call], w: Walk) -> Callable[..., Any]:
    """What the first kernel computes: results, and of those that are joined later the part of every block."""

    def meaning(*x: NDArray[Any]) -> tuple[Any, ...]:
        needed = dict.fromkeys(x for v in wanted for x in (v.call.inputs if v.call in partial else (v,)))
        values = evaluate(needed, dict(zip(op.body.inputs.values(), x, strict=True)))
        return tuple(_parts(v.call, [values[i] for i in v.call.inputs], w) if v.call in partial else values[v] for v in wanted)

    return meaning


def _parts(c: Call, x: Sequence[NDArray[Any]], w: Walk) -> NDArray[Any]:
    """What each block makes of its rows, and of its columns where those are shared, too."""
    own = np.arange(w.rows) // w.together % w.blocks
    found = []
    for block in range(w.blocks):
        rows = [np.reshape(a, (w.rows, w.length))[own == block] if a.size > 1 else a for a in x]
        if by_column(c):
            found.append([_reduced(c, rows, 0)])
            continue
        tiles = np.arange(w.length) // (w.width * w.count) % w.tiles
        found.append([_reduced(c, [a[:, tiles == tile] if a.ndim == 2 else a for a in rows], None) for tile in range(w.tiles)])
    return np.array(found).reshape(-1, w.length if by_column(c) else 1)


def _reduced(c: Call, x: Sequence[NDArray[Any]], axis: int | None) -> Any:
    if isinstance(c.op, AllFinite):
        return all(np.isfinite(a).all() for a in x)
    assert isinstance(c.op, Sum | Max | Min)
    return type(c.op)((axis,) if axis is not None else tuple(range(x[0].ndim))).reference(x[0])


def _joined(c: Call, partial: Array, y: Array, step: Step) -> Launch:
    """Parts of a result as one."""
    one = replace(y, type=TensorType(partial.shape[1:], y.type.dtype), strides=(1,))
    if isinstance(c.op, AllFinite):
        return Launch(reduce.all_true(partial, one, step.guarded), (1, 1, 1), (THREADS, 1, 1), (partial,), (one,), np.all, step.guard)
    assert isinstance(c.op, Sum | Max | Min)
    op = type(c.op)((0,))
    kernel = reduce.reduction(op, partial, one, step.guarded)
    return Launch(kernel, reduce.grid(op, partial.shape), (THREADS, 1, 1), (partial,), (one,), op.reference, step.guard)


def in_place(op: Fused) -> tuple[int, ...]:
    """An element is read before it is written, by one thread and once."""
    return tuple(i for i, v in enumerate(op.body.inputs.values()) if v.shape == op.domain) if op.elementwise else ()


def reads(op: Op, i: int, x: Layout) -> bool:
    """What lies along another axis than rows is turned before, by squares; elements alone are turned as they are read."""
    assert isinstance(op, Fused)
    if len(x.shape) < 2 or x.shape[-1] < LEAST or x.strides[-1] in (0, 1) or Stages(op).alone:
        return True
    return not any(n >= LEAST and s == 1 for n, s in zip(x.shape, x.strides, strict=True))


def writes(op: Op, i: int, y: Layout) -> bool:
    """What is there after all rows is written without gaps."""
    assert isinstance(op, Fused)
    return not ends(Stages(op).outputs[i].call) or plain(op, i, y)
