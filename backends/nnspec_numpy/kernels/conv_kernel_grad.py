"""The gradient of a convolution in its kernel: columns, or transformed tiles, times the output's gradient, chunk after chunk."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import ConvKernelGrad

from . import algorithm, depthwise, direct, packed, volumes, winograd
from .algorithm import Way, way
from .columns import Columns
from .conv import parts
from .kernel import Arrays, Kernel, Run, Step, Types, cut, flat, rows_of, sequence, sizes
from .move import fill
from .windows import Windows, of_convolution

LEAST = 512  # rows of a product: adding up the results of shorter ones costs too much


def _windows(op: ConvKernelGrad, x: tuple[int, ...], g: tuple[int, ...]) -> Windows:
    return of_convolution(op, x, op.size, g)


def _way(op: ConvKernelGrad, windows: Windows, g: tuple[int, ...], dtype: DType) -> Way:
    if op.way:
        return algorithm.ways(windows, g[-1], op.groups, dtype, op.tiles, "kernel")[op.way]
    return way(windows, g[-1], op.groups, dtype, op.tiles, "kernel")


def choice(op: ConvKernelGrad, inputs: Types, outputs: Types) -> str:
    x, g = inputs
    return str(_way(op, _windows(op, sizes(x), sizes(g)), sizes(g), x.dtype))


def ways(op: ConvKernelGrad, inputs: Types, outputs: Types) -> tuple[str, ...]:
    x, g = inputs
    return tuple(algorithm.ways(_windows(op, sizes(x), sizes(g)), sizes(g)[-1], op.groups, x.dtype, op.tiles, "kernel"))


def workspace(op: ConvKernelGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    x, g = inputs
    kernel = sizes(outputs[0])
    windows = _windows(op, sizes(x), sizes(g))
    chosen = _way(op, windows, sizes(g), x.dtype)
    if chosen.tiles:
        return winograd.gradient_workspace(chosen.tiles)
    if chosen.name == "one product":
        return ()
    if chosen.name == "taps":
        return depthwise.workspace(windows, x.dtype, kernel[-1])
    if chosen.name == "packed":
        return packed.Few(windows, kernel[-1]).workspace("gradient")
    if chosen.name in ("direct", "direct by planes"):
        return direct.Direct(windows, op.groups, kernel[-1]).workspace(strips=False)
    return flat(prod(kernel), x.dtype), *Columns(windows, op.groups, x.dtype, LEAST).workspace()


def bind(op: ConvKernelGrad, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    x, g = inputs
    w, dtype = outputs[0], DType(x.dtype.name)
    windows = _windows(op, x.shape, g.shape)
    chosen = _way(op, windows, g.shape, dtype)
    if chosen.tiles:
        return sequence(winograd.kernel_gradient(chosen.tiles, x, g, w, space))
    if chosen.name == "one product":
        return sequence(_product(op, x, g, w))
    if chosen.name == "taps":
        return sequence(depthwise.kernel_gradient(windows, x, g, w, space))
    if chosen.name == "packed":
        return sequence(packed.kernel_gradient(packed.Few(windows, w.shape[-1]), x, g, rows_of(w), space))
    if chosen.name == "direct by planes":
        whole = direct.Direct(windows, 1, w.shape[-1])
        return sequence([*whole.begin(space), fill(w), *volumes.kernel_gradient(whole, x, g, rows_of(w), space)])
    if chosen.name == "direct":
        own = direct.kernel_gradient(direct.Direct(windows, op.groups, w.shape[-1]), x, g, parts(rows_of(w), op.groups), space)
        return sequence([fill(w), *own])
    return sequence(_columns(op, windows, x, g, w, space))


def _product(op: ConvKernelGrad, x: Array, g: Array, w: Array) -> list[Step]:
    pairs = zip(parts(rows_of(x), op.groups), parts(rows_of(g), op.groups), parts(rows_of(w), op.groups), strict=True)
    return [partial(np.matmul, a.T, b, out) for a, b, out in pairs]


def _columns(op: ConvKernelGrad, windows: Windows, x: Array, g: Array, w: Array, space: Arrays) -> list[Step]:
    columns = Columns(windows, op.groups, DType(x.dtype.name), LEAST)
    whole = parts(rows_of(w), op.groups)
    share = parts(cut(space[0], rows_of(w).shape), op.groups)
    steps: list[Step] = columns.begin(space[1:])
    for i, piece in enumerate(columns.pieces(x, space[1:])):
        steps += piece.steps
        upstream = parts(rows_of(g)[piece.rows], op.groups)
        for a, b, out in zip(piece.matrices, upstream, whole if i == 0 else share, strict=True):
            steps.append(partial(np.matmul, a.T, b, out))
        if i:
            steps.append(partial(np.add, rows_of(w), cut(space[0], rows_of(w).shape), rows_of(w)))
    return steps


CONV_KERNEL_GRAD: dict[type[Any], Kernel] = {ConvKernelGrad: Kernel(bind, workspace, choice=choice, ways=ways)}
