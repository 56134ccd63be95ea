"""Convolution as matrix products: over columns, over transformed tiles, or one where a window is one place."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import Conv

from . import algorithm, depthwise, direct, dots, packed, volumes, winograd
from .algorithm import Way, way
from .columns import Columns
from .ending import Ending
from .kernel import Arrays, Form, Kernel, Run, Step, Types, rows_of, sequence, sizes
from .windows import Windows, of_convolution


def parts(matrix: Array, groups: int) -> list[Array]:
    """The last axis in equal parts."""
    n = matrix.shape[-1] // groups
    return [matrix[..., i * n : (i + 1) * n] for i in range(groups)]


def products(columns: Columns, x: Array, kernels: list[Array], y: Array, workspace: Arrays) -> list[Step]:
    """Steps for ``y = columns of x @ kernel`` of each group, a chunk at a time."""
    steps = columns.begin(workspace)
    rows = rows_of(y)
    for piece in columns.pieces(x, workspace):
        steps += piece.steps
        for a, w, out in zip(piece.matrices, kernels, parts(rows[piece.rows], columns.groups), strict=True):
            steps.append(partial(np.matmul, a, w, out))
    return steps


def _windows(op: Conv, x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...]) -> Windows:
    return of_convolution(op, x, w[:-2], y)


def _way(op: Conv, windows: Windows, w: tuple[int, ...], dtype: DType) -> Way:
    if op.way:
        return algorithm.ways(windows, w[-1], op.groups, dtype, op.tiles)[op.way]
    return way(windows, w[-1], op.groups, dtype, op.tiles, kept=op.kept)


def choice(op: Conv, inputs: Types, outputs: Types) -> str:
    x, w = inputs
    kept = forms(op, inputs, outputs)
    return f"{_way(op, _windows(op, sizes(x), sizes(w), sizes(outputs[0])), sizes(w), x.dtype)}{'; its kernel is kept' if kept else ''}"


def ways(op: Conv, inputs: Types, outputs: Types) -> tuple[str, ...]:
    x, w = inputs
    return tuple(algorithm.ways(_windows(op, sizes(x), sizes(w), sizes(outputs[0])), sizes(w)[-1], op.groups, x.dtype, op.tiles))


def forms(op: Conv, inputs: Types, outputs: Types) -> tuple[Form, ...]:
    x, w = inputs
    if not op.kept:
        return ()
    windows = _windows(op, sizes(x), sizes(w), sizes(outputs[0]))
    chosen = _way(op, windows, sizes(w), x.dtype)
    if chosen.tiles:
        return (winograd.transformed(chosen.tiles),)
    own = direct.Direct(windows, op.groups, sizes(w)[-1])
    return (direct.Strips(own.depth, own.filters, own.kept),) if chosen.name == "direct" and own.kept else ()


def ends(op: Conv, inputs: Types, outputs: Types) -> bool:
    """Whether the kernel that is chosen can have an epilogue: what it sums up is in registers before it is written."""
    x, w = inputs
    windows = _windows(op, sizes(x), sizes(w), sizes(outputs[0]))
    chosen = _way(op, windows, sizes(w), x.dtype)
    if chosen.tiles:
        return all(t.compiled is not None for _, t in chosen.tiles.blocks)
    return chosen.name == "direct" or chosen.name == "taps" and depthwise.native(windows, x.dtype, sizes(w)[-1])


def workspace(op: Conv, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    x, w = inputs
    windows = _windows(op, sizes(x), sizes(w), sizes(outputs[0]))
    chosen = _way(op, windows, sizes(w), x.dtype)
    if chosen.tiles:
        return winograd.kept_workspace(chosen.tiles) if op.kept else winograd.workspace(chosen.tiles)
    if chosen.name == "one product":
        return ()
    if chosen.name == "taps":
        return depthwise.workspace(windows, x.dtype, sizes(w)[-1])
    if chosen.name == "dots":
        return dots.workspace(windows, sizes(w)[-1])
    if chosen.name == "packed":
        return packed.Few(windows, sizes(w)[-1]).workspace("forward")
    if chosen.name == "direct by planes":
        return direct.Direct(windows, 1, sizes(w)[-1]).workspace(strips=False)
    if chosen.name == "direct":
        own = direct.Direct(windows, op.groups, sizes(w)[-1])
        return own.workspace(strips=not (op.kept and own.kept))
    return tuple(Columns(windows, op.groups, x.dtype).workspace())


def bind(op: Conv, inputs: Arrays, outputs: Arrays, space: Arrays, ending: Ending | None = None) -> Run:
    x, w = inputs
    y, dtype = outputs[0], DType(x.dtype.name)
    windows = _windows(op, x.shape, w.shape, y.shape)
    chosen = _way(op, windows, w.shape, dtype)
    kernels = parts(rows_of(w), op.groups)
    if chosen.tiles and op.kept:
        return sequence(winograd.convolve_kept(chosen.tiles, x, space[-1], y, space, ending))
    if chosen.tiles:
        return sequence(winograd.convolve(chosen.tiles, x, w, y, space, ending=ending))
    if chosen.name == "one product":
        assert ending is None, "a library's product has no epilogue"
        pairs = zip(parts(rows_of(x), op.groups), kernels, parts(rows_of(y), op.groups), strict=True)
        return sequence([partial(np.matmul, a, b, out) for a, b, out in pairs])
    if chosen.name == "taps":
        return sequence(depthwise.forward(windows, x, w, y, space, ending=ending))
    if chosen.name == "dots":
        assert ending is None, "rows that are added up across have no epilogue yet"
        return sequence(dots.convolve(windows, x, kernels[0], y, space))
    if chosen.name == "packed":
        assert ending is None, "few places have no epilogue yet"
        return sequence(packed.convolve(packed.Few(windows, w.shape[-1]), x, kernels[0], y, space))
    if chosen.name == "direct by planes":
        whole = direct.Direct(windows, 1, w.shape[-1])
        return sequence([*whole.begin(space), *volumes.convolve(whole, x, kernels[0], y, space)])
    if chosen.name == "direct":
        own = direct.Direct(windows, op.groups, w.shape[-1])
        return sequence(direct.convolve(own, x, [space[-1]] if op.kept and own.kept else kernels, y, space, ending))
    assert ending is None, "a library's product has no epilogue"
    return sequence(products(Columns(windows, op.groups, dtype), x, kernels, y, space))


CONV: dict[type[Any], Kernel] = {Conv: Kernel(bind, workspace, choice=choice, forms=forms, ways=ways)}
