"""Pooling and its gradients: a pass over strided views for each place of the window."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.pool import AvgPool, AvgPoolGrad, MaxPool, MaxPoolGrad, MaxPoolPick, Pool

from .kernel import Arrays, Kernel, Run, Step, Types, sequence, sizes
from .windows import Windows, border, of_pool

BOOL = DType.bool


def views(windows: Windows, padded: Array) -> list[Array]:
    """For each place of the window, what all windows see there."""
    return [padded[(slice(None), *windows.tap(tap, 0, windows.out[0]))] for tap in windows.taps()]


def padded_type(windows: Windows, dtype: DType) -> list[TensorType]:
    """The padded images, where there are borders."""
    return [TensorType((windows.n, *windows.padded, windows.channels), dtype)] if windows.bordered else []


def gathered(windows: Windows, x: Array, space: list[Array], value: float) -> tuple[list[Step], list[Array]]:
    """Steps that pad ``x`` where it needs a border, and the views of what they leave."""
    if not windows.bordered:
        return [], views(windows, x)
    padded = space.pop(0)
    steps = border(padded, windows.low, windows.high, value)
    steps.append(partial(np.copyto, padded[(slice(None), *windows.inside)], x))
    return steps, views(windows, padded)


def scattered(windows: Windows, x: Array, space: list[Array]) -> tuple[list[Step], list[Array], list[Step]]:
    """Steps before, the views to add into, and steps after, for an output ``x`` that windows add to."""
    if not windows.bordered:
        return [partial(x.fill, 0)], views(windows, x), []
    padded = space.pop(0)
    return [partial(padded.fill, 0)], views(windows, padded), [partial(np.copyto, x, padded[(slice(None), *windows.inside)])]


def apart(windows: Windows) -> bool:
    """Whether no two windows share a place."""
    return all(k <= s for k, s in zip(windows.size, windows.stride, strict=True))


def _forward(op: Pool, inputs: Types, outputs: Types) -> Windows:
    return of_pool(op, sizes(inputs[0]), sizes(outputs[0]))


def _backward(op: Pool, inputs: Types, outputs: Types) -> Windows:
    return of_pool(op, sizes(outputs[0]), sizes(inputs[0]))


def max_workspace(op: MaxPool, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    return (*padded_type(_forward(op, inputs, outputs), inputs[0].dtype), TensorType(outputs[0].shape, BOOL))


def bind_max(op: MaxPool, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, (y, index), space = inputs[0], outputs, list(workspace)
    steps, seen = gathered(of_pool(op, x.shape, y.shape), x, space, -np.inf)
    larger = space.pop(0)
    steps += [partial(np.copyto, y, seen[0]), partial(index.fill, 0)]
    for i, view in enumerate(seen[1:], 1):
        steps += [partial(np.greater, view, y, larger), partial(np.maximum, y, view, out=y),
                  partial(np.copyto, index, np.int32(i), where=larger)]
    return sequence(steps)


def max_grad_workspace(op: MaxPoolGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    windows = _backward(op, inputs, outputs)
    g = inputs[0]
    share = [] if apart(windows) else [TensorType(g.shape, g.dtype)]
    return (*padded_type(windows, g.dtype), TensorType(g.shape, BOOL), *share)


def bind_max_grad(op: MaxPoolGrad, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    (g, index), x, space = inputs, outputs[0], list(workspace)
    windows = of_pool(op, x.shape, g.shape)
    steps, targets, after = scattered(windows, x, space)
    here = space.pop(0)
    for i, view in enumerate(targets):
        steps.append(partial(np.equal, index, np.int32(i), here))
        if apart(windows):
            steps.append(partial(np.copyto, view, g, where=here))
        else:
            share = space[0]
            steps += [partial(share.fill, 0), partial(np.copyto, share, g, where=here), partial(np.add, view, share, view)]
    return sequence(steps + after)


def max_pick_workspace(op: MaxPoolPick, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    return (*padded_type(_forward(op, inputs, outputs), inputs[0].dtype), TensorType(outputs[0].shape, BOOL))


def bind_max_pick(op: MaxPoolPick, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    (x, index), y, space = inputs, outputs[0], list(workspace)
    steps, seen = gathered(of_pool(op, x.shape, y.shape), x, space, 0.0)
    here = space.pop(0)
    steps.append(partial(y.fill, 0))
    for i, view in enumerate(seen):
        steps += [partial(np.equal, index, np.int32(i), here), partial(np.copyto, y, view, where=here)]
    return sequence(steps)


def counts(op: Pool, windows: Windows, x: tuple[int, ...], dtype: Any) -> Any:
    """By what a window's sum is divided: a number, or where there are borders an array."""
    if windows.bordered:
        return op.counts(x).astype(dtype)
    total = 1
    for n in windows.size:
        total *= n
    return dtype.type(total)


def avg_workspace(op: AvgPool, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    return tuple(padded_type(_forward(op, inputs, outputs), inputs[0].dtype))


def bind_avg(op: AvgPool, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, y = inputs[0], outputs[0]
    windows = of_pool(op, x.shape, y.shape)
    steps, seen = gathered(windows, x, list(workspace), 0.0)
    steps.append(partial(np.copyto, y, seen[0]))
    steps += [partial(np.add, y, view, y) for view in seen[1:]]
    steps.append(partial(np.divide, y, counts(op, windows, x.shape, y.dtype), y))
    return sequence(steps)


def avg_grad_workspace(op: AvgPoolGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    g = inputs[0]
    return (*padded_type(_backward(op, inputs, outputs), g.dtype), TensorType(g.shape, g.dtype))


def bind_avg_grad(op: AvgPoolGrad, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    g, x, space = inputs[0], outputs[0], list(workspace)
    windows = of_pool(op, x.shape, g.shape)
    steps, targets, after = scattered(windows, x, space)
    share = space.pop(0)
    steps.append(partial(np.divide, g, counts(op, windows, x.shape, g.dtype), share))
    steps += [partial(np.copyto, view, share) if apart(windows) else partial(np.add, view, share, view) for view in targets]
    return sequence(steps + after)


POOL: dict[type[Any], Kernel] = {
    MaxPool: Kernel(bind_max, max_workspace),
    MaxPoolGrad: Kernel(bind_max_grad, max_grad_workspace),
    MaxPoolPick: Kernel(bind_max_pick, max_pick_workspace),
    AvgPool: Kernel(bind_avg, avg_workspace),
    AvgPoolGrad: Kernel(bind_avg_grad, avg_grad_workspace),
}
