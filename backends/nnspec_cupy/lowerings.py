"""How each op runs on a device: a table from op class to commands."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from nnspec.ir.graph import Graph, abstract
from nnspec.ir.op import REGISTRY, Op
from nnspec.ir.program import Copy, Step
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.boxes import NonMaxSuppression
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.ops.elementwise import Elementwise
from nnspec.ops.fused import Fused
from nnspec.ops.index import Gather, OneHot, Pick, ScatterAdd, TopK
from nnspec.ops.matmul import Linear, MatMul
from nnspec.ops.movement import Pad
from nnspec.ops.pool import AvgPool, AvgPoolGrad, MaxPool, MaxPoolGrad, MaxPoolPick, WindowMax
from nnspec.ops.random import RandomBits
from nnspec.ops.reduce import AllFinite, ArgMax, Max, Min, Sum
from nnspec.ops.resample import Resample, ResampleGrad
from nnspec.ops.roi_align import RoiAlign, RoiAlignGrad
from nnspec.ops.rows import AddRows, Largest, TakeRows
from nnspec_cupy import convolution, nest
from nnspec_cupy.commands import Kernel, Launch, Three
from nnspec_cupy.cuda import boxes, index, movement, reduce, roi_align, windows
from nnspec_cupy.cuda.flat import THREADS, blocks, flat, grid
from nnspec_cupy.cuda.nest import partial_of
from nnspec_cupy.lowering import Lowering, Types, plain
from nnspec_cupy.products import matrices, product


def elementwise(step: Step) -> tuple[Launch]:
    """One op of an element at a time: a nest of a single call."""
    op, out = step.call.op, step.outputs[0]
    body = Graph({"y": op.one(*(abstract(a.type, f"x{k}") for k, a in enumerate(step.inputs)))})
    kernel = flat(body, op.name.lower(), out.shape, step.inputs, step.outputs, step.guarded)
    return (Launch(kernel, grid(out.shape, step.inputs, step.outputs), (THREADS, 1, 1), step.inputs, step.outputs, op.reference, step.guard),)


def launched(step: Step, kernel: Kernel, size: Three) -> tuple[Launch]:
    """One kernel that does all that a step asks."""
    return (Launch(kernel, size, (THREADS, 1, 1), step.inputs, step.outputs, step.call.op.reference, step.guard),)


def reduction(step: Step) -> tuple[Launch]:
    (x,), (y,), op = step.inputs, step.outputs, step.call.op
    assert isinstance(op, Sum | Max | Min)
    return launched(step, reduce.reduction(op, x, y, step.guarded), reduce.grid(op, x.shape))


def algorithm(step: Step) -> str:
    """What a tune file says."""
    return f"{step.call.op.way}: tuned" if step.call.op.way else ""


def argmax(step: Step) -> tuple[Launch]:
    (x,), (y,), op = step.inputs, step.outputs, step.call.op
    assert isinstance(op, ArgMax)
    return launched(step, reduce.argmax(op, x, y, step.guarded), blocks(prod(y.shape)))


def all_finite(step: Step) -> tuple[Launch]:
    return launched(step, reduce.all_finite(step.inputs, step.outputs[0], step.guarded), (1, 1, 1))


def numbered(step: Step) -> tuple[Launch]:
    """What chooses elements by number."""
    op, y, x, guarded = step.call.op, step.outputs[0], step.inputs, step.guarded
    match op:
        case OneHot():
            kernel = index.one_hot(x[0], y, guarded)
        case Pick():
            kernel = index.pick(x[0], x[1], y, guarded)
        case Gather():
            kernel = index.gather(x[0], x[1], y, guarded)
        case TakeRows():
            kernel = index.take_rows(x[0], x[1], y, guarded)
        case ScatterAdd():
            kernel = index.added("scatter_add", x[0], x[1], y, guarded, False)
        case AddRows():
            kernel = index.added("add_rows", x[0], x[1], y, guarded, True)
        case TopK(k=k):
            kernel = index.rank(x[0], x[1], y, k, guarded)
        case Largest(k=k):
            kernel = index.largest(x[0], y, step.outputs[1], k, guarded)
            return launched(step, kernel, blocks(prod(x[0].shape)))
    return launched(step, kernel, blocks(prod(y.shape)))


def pooled(step: Step) -> tuple[Launch]:
    op, y, x, guarded = step.call.op, step.outputs[0], step.inputs, step.guarded
    match op:
        case MaxPool():
            kernel = windows.max_pool(op, x[0], y, step.outputs[1], guarded)
        case WindowMax():
            kernel = windows.window_max(op, x[0], y, guarded)
        case MaxPoolGrad():
            kernel = windows.max_pool_grad(op, x[0], x[1], y, guarded)
        case MaxPoolPick():
            kernel = windows.max_pool_pick(op, x[0], x[1], y, guarded)
        case AvgPool():
            kernel = windows.avg_pool(op, x[0], y, guarded)
        case AvgPoolGrad():
            kernel = windows.avg_pool_grad(op, x[0], y, guarded)
    return launched(step, kernel, blocks(prod(y.shape)))


def padded(step: Step) -> tuple[Launch]:
    op, y = step.call.op, step.outputs[0]
    assert isinstance(op, Pad)
    return launched(step, movement.pad(op, step.inputs[0], y, step.guarded), blocks(prod(y.shape)))


def drawn(step: Step) -> tuple[Launch]:
    op, y = step.call.op, step.outputs[0]
    assert isinstance(op, RandomBits)
    kernel = movement.random_bits(op, step.inputs[0], step.inputs[1], y, step.guarded)
    return launched(step, kernel, blocks(y.shape[0] * -(-prod(y.shape[1:]) // 8)))


def read_along(step: Step) -> tuple[Launch]:
    """Places of an axis by their tables."""
    op, x, y = step.call.op, step.inputs[0], step.outputs[0]
    assert isinstance(op, Resample | ResampleGrad)
    make = movement.resample if isinstance(op, Resample) else movement.resample_grad
    first, second, share = step.workspace
    kernel = make(op, x, y, first, second, share, step.guarded)
    reads = (x, first, second, share)
    return (Launch(kernel, blocks(prod(y.shape)), (THREADS, 1, 1), reads, (y,), lambda a, *tables: op.reference(a), step.guard),)


def places_along(op: Resample | ResampleGrad, x: Types, y: Types) -> Sequence[Any]:
    n, m = (known(t.shape)[op.axis] for t in ((x[0], y[0]) if isinstance(op, Resample) else (y[0], x[0])))
    return movement.tables(op, n, m, x[0].dtype.numpy)


def suppressed(step: Step) -> tuple[Launch]:
    """A block a row; which boxes are left is scratch."""
    op, (numbers, counts), (left,) = step.call.op, step.outputs, step.workspace
    assert isinstance(op, NonMaxSuppression)
    kernel = boxes.non_max_suppression(op, step.inputs, (numbers, counts, left), step.guarded)
    rows = (max(1, numbers.shape[0]), 1, 1)
    return (Launch(kernel, rows, (THREADS, 1, 1), step.inputs, (numbers, counts, left), lambda *x: (*op.reference(*x), x[1] < x[1]), step.guard),)


def regions(step: Step) -> tuple[Launch]:
    """A thread an element of the result."""
    op, x, (y,) = step.call.op, step.inputs, step.outputs
    assert isinstance(op, RoiAlign | RoiAlignGrad)
    kernel = roi_align.forward(op, x, y, step.guarded) if isinstance(op, RoiAlign) else roi_align.backward(op, x, y, step.guarded)
    return launched(step, kernel, blocks(prod(y.shape)))


LOWERINGS: dict[type[Op], Lowering] = {
    **{op: Lowering(elementwise, lambda op: tuple(range(len(op.samples[0].inputs)))) for op in REGISTRY.values() if issubclass(op, Elementwise)},
    Copy: Lowering(elementwise),
    Fused: Lowering(nest.commands, nest.in_place, nest.reads, nest.writes, workspace=lambda op, x, y: tuple(partial_of(op).values())),
    **{op: Lowering(reduction) for op in (Sum, Max, Min)},
    ArgMax: Lowering(argmax),
    AllFinite: Lowering(all_finite, reads=plain),
    **{op: Lowering(numbered) for op in (OneHot, Pick, Gather, TakeRows, TopK)},
    **{op: Lowering(numbered, reads=plain) for op in (ScatterAdd, AddRows, Largest)},
    **{op: Lowering(pooled) for op in (MaxPool, WindowMax, MaxPoolGrad, MaxPoolPick, AvgPool, AvgPoolGrad)},
    **{op: Lowering(convolution.commands, reads=plain, writes=plain, workspace=convolution.workspace, choice=convolution.choice, waits=False)
       for op in (Conv, ConvInputGrad, ConvKernelGrad)},
    **{op: Lowering(read_along, workspace=places_along) for op in (Resample, ResampleGrad)},
    NonMaxSuppression: Lowering(suppressed, reads=plain, writes=plain, workspace=lambda op, x, y: (TensorType(x[1].shape, DType.bool),)),
    **{op: Lowering(regions) for op in (RoiAlign, RoiAlignGrad)},
    Pad: Lowering(padded),
    RandomBits: Lowering(drawn, writes=plain),
    MatMul: Lowering(product, reads=matrices, writes=matrices, choice=algorithm, waits=False),
    Linear: Lowering(product, reads=matrices, writes=matrices, choice=algorithm, waits=False),
}
