"""The gradient of a convolution in its input.

With stride 1 it is the convolution of the gradient with the flipped kernel; otherwise columns of products are added
back where their windows stood (col2im).
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import ConvInputGrad

from . import depthwise
from .columns import LEAST, Columns
from .conv import parts, products
from .kernel import Arrays, Kernel, Run, Step, Types, cut, flat, rows_of, sequence, sizes
from .windows import Windows, of_convolution

BYTES = 1 << 19  # of columns at a time


def mirrored(w: Windows, channels: int) -> Windows | None:
    """The windows of the flipped convolution over the gradient; None where it would compute much more, or needs a crop."""
    if prod(w.stride) != 1 or prod(w.spatial) > 1.5 * prod(w.out):
        return None
    low = tuple((k - 1) * d - a for k, d, a in zip(w.size, w.dilation, w.low, strict=True))
    high = tuple(n + (k - 1) * d - m - a for n, k, d, m, a in zip(w.spatial, w.size, w.dilation, w.out, low, strict=True))
    if min(low + high) < 0:
        return None
    return Windows(w.n, w.out, channels, w.size, w.stride, w.dilation, low, high, w.spatial)


def _windows(op: ConvInputGrad, g: tuple[int, ...], w: tuple[int, ...], x: tuple[int, ...]) -> Windows:
    return of_convolution(op, x, w[:-2], g)


def _planes(w: Windows, groups: int) -> bool:
    """Whether columns hold one element of all windows after the other: where channels are few."""
    return w.channels // groups < min(16, w.out[-1])


def _wanted(w: Windows, depth: int, dtype: DType) -> int:
    return max(LEAST, BYTES // (depth * dtype.size))


def workspace(op: ConvInputGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    g, w = inputs
    kernel, dtype = sizes(w), g.dtype
    windows = _windows(op, sizes(g), kernel, sizes(outputs[0]))
    if windows.pointwise:
        return ()
    if kernel[-2] == 1 and op.groups > 1:
        return depthwise.input_workspace(windows, op.groups, dtype, kernel[-1])
    flipped = mirrored(windows, kernel[-1])
    if flipped is not None:
        return flat(prod(kernel), dtype), *Columns(flipped, op.groups, dtype).workspace()
    wanted = _wanted(windows, prod(kernel[:-1]), dtype)
    images, lines = windows.images(wanted), windows.lines(wanted)
    return (flat(images * lines * prod(windows.out[1:]) * prod(kernel[:-1]), dtype),
            flat(images * prod(windows.padded) * windows.channels, dtype))


def bind(op: ConvInputGrad, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    g, w = inputs
    x = outputs[0]
    windows = _windows(op, g.shape, w.shape, x.shape)
    if windows.pointwise:
        triples = zip(parts(rows_of(g), op.groups), parts(rows_of(w), op.groups), parts(rows_of(x), op.groups), strict=True)
        return sequence([partial(np.matmul, a, b.T, out) for a, b, out in triples])
    if w.shape[-2] == 1 and op.groups > 1:
        return sequence(depthwise.backward(windows, g, w, x, space))
    flipped = mirrored(windows, w.shape[-1])
    if flipped is not None:
        return sequence(_convolve(op, flipped, g, w, x, space))
    return sequence(_scatter(op, windows, g, w, x, space))


def _convolve(op: ConvInputGrad, windows: Windows, g: Array, w: Array, x: Array, space: Arrays) -> list[Step]:
    size, share = w.shape[:-2], w.shape[-1] // op.groups
    turned = cut(space[0], (op.groups, *size, share, w.shape[-2]))
    back = w[(slice(None, None, -1),) * len(size)]
    steps: list[Step] = [partial(np.copyto, out, np.swapaxes(part, -1, -2))
                         for out, part in zip(turned, parts(back, op.groups), strict=True)]
    columns = Columns(windows, op.groups, DType(g.dtype.name))
    return steps + products(columns, g, [rows_of(t) for t in turned], x, space[1:])


def _scatter(op: ConvInputGrad, w: Windows, g: Array, kernel: Array, x: Array, space: Arrays) -> list[Step]:
    depth = prod(kernel.shape[:-1])
    wanted = _wanted(w, depth, DType(g.dtype.name))
    share, planes, rank = kernel.shape[-2], _planes(w, op.groups), len(w.size)
    images = w.images(wanted)
    padded = cut(space[1], (w.channels, images, *w.padded) if planes else (images, *w.padded, w.channels))
    steps: list[Step] = []
    for chunk in w.chunks(wanted):
        count, lines = chunk.last - chunk.first, chunk.bottom - chunk.top
        m = count * lines * prod(w.out[1:])
        target = padded[:, :count] if planes else padded[:count]
        target = np.moveaxis(target, 0, -1) if planes else target
        if chunk.top == 0:
            steps.append(partial(padded.fill, 0))
        for i, (rows, part) in enumerate(zip(parts(rows_of(g)[w.span(chunk)], op.groups),
                                             parts(rows_of(kernel), op.groups), strict=True)):
            if planes:
                columns = cut(space[0], (depth, m))
                steps.append(partial(np.matmul, part, rows.T, columns))
                seen = columns.reshape(*w.size, share, count, lines, *w.out[1:])
                seen = np.moveaxis(seen, rank, -1)
            else:
                columns = cut(space[0], (m, depth))
                steps.append(partial(np.matmul, rows, part.T, columns))
                seen = columns.reshape(count, lines, *w.out[1:], *w.size, share)
                seen = np.moveaxis(seen, range(rank + 1, 2 * rank + 1), range(rank))
            channels = target[..., i * share : (i + 1) * share]
            for tap in w.taps():
                place = channels[(slice(None), *w.tap(tap, chunk.top, chunk.bottom))]
                steps.append(partial(np.add, place, seen[tap], place))
        if chunk.bottom == w.out[0]:
            steps.append(partial(np.copyto, x[chunk.images], target[(slice(None), *w.inside)]))
    return steps


CONV_INPUT_GRAD: dict[type[Any], Kernel] = {ConvInputGrad: Kernel(bind, workspace)}
