"""The gradient of a convolution in its kernel: columns of the input times the output's gradient, chunk after chunk."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import ConvKernelGrad

from . import depthwise
from .columns import Columns
from .conv import parts
from .kernel import Arrays, Kernel, Run, Step, Types, cut, flat, rows_of, sequence, sizes
from .windows import Windows, of_convolution

LEAST = 512  # rows of a product: adding up the results of shorter ones costs too much


def _windows(op: ConvKernelGrad, x: tuple[int, ...], g: tuple[int, ...]) -> Windows:
    return of_convolution(op, x, op.size, g)


def workspace(op: ConvKernelGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    x, g = inputs
    kernel = sizes(outputs[0])
    windows = _windows(op, sizes(x), sizes(g))
    if windows.pointwise:
        return ()
    if kernel[-2] == 1 and op.groups > 1:
        return depthwise.workspace(windows, x.dtype, kernel[-1])
    return flat(prod(kernel), x.dtype), *Columns(windows, op.groups, x.dtype, LEAST).workspace()


def bind(op: ConvKernelGrad, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    x, g = inputs
    w = outputs[0]
    windows = _windows(op, x.shape, g.shape)
    whole = parts(rows_of(w), op.groups)
    if windows.pointwise:
        pairs = zip(parts(rows_of(x), op.groups), parts(rows_of(g), op.groups), whole, strict=True)
        return sequence([partial(np.matmul, a.T, b, out) for a, b, out in pairs])
    if w.shape[-2] == 1 and op.groups > 1:
        return sequence(depthwise.kernel_gradient(windows, x, g, w, space))
    columns = Columns(windows, op.groups, DType(x.dtype.name), LEAST)
    share = parts(cut(space[0], rows_of(w).shape), op.groups)
    steps: list[Step] = columns.begin(space[1:])
    for i, piece in enumerate(columns.pieces(x, space[1:])):
        steps += piece.steps
        upstream = parts(rows_of(g)[piece.rows], op.groups)
        for a, b, out in zip(piece.matrices, upstream, whole if i == 0 else share, strict=True):
            steps.append(partial(np.matmul, a.T, b, out))
        if i:
            steps.append(partial(np.add, rows_of(w), cut(space[0], rows_of(w).shape), rows_of(w)))
    return sequence(steps)


CONV_KERNEL_GRAD: dict[type[Any], Kernel] = {ConvKernelGrad: Kernel(bind, workspace)}
