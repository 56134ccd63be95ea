"""Resizing and borders along an axis: whole runs taken by number where each place reads one, else products with narrow bands.

The places that neighbouring places read lie close together, so that a block of the output is a small matrix times a block of
the input; the gradient is the transposed matrices. A block costs about as much as moving it, and nothing is held between.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.resample import Resample, ResampleAxes, ResampleAxesGrad, ResampleGrad
from nnspec_numpy.llvm.library import library
from nnspec_numpy.llvm.weighted_rows import Weighted

from .copies import step
from .direct import lanes
from .kernel import Arrays, Kernel, Run, Step, Types, sequence, sizes

BLOCK = 16  # places of the result that one product gives
SHORTEST = 4  # elements of a place from which rows are added by a compiled kernel
TOGETHER = 4  # vectors of a row that are added up side by side, at most
MOST = 3  # axes of one kernel
BORDERS, COPIES = ("edge", "reflect"), 16  # rules of which so many places around an image are copied one by one
NARROW = 16  # elements a place below which a product has places and elements in one axis


Reads: TypeAlias = tuple[Array, Array, Array]  # the places that each place reads, and the share of the second


def _seen(x: Array, axis: int) -> Array:
    """(before, places, after) of a contiguous array."""
    return x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), x.shape[axis], -1)


def bind_resample(op: Resample, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    if _few([op], inputs[0].shape):
        return sequence(_bordered([op], inputs[0], outputs[0]))
    x, y = _seen(inputs[0], op.axis), _seen(outputs[0], op.axis)
    first, second, share = op.reads(x.shape[1], y.shape[1])
    if _native(x, y):
        return sequence([_compiled(x, y, [(first, second, share)])])
    if not share.any():
        return sequence([partial(np.take, x, first, axis=1, out=y, mode="clip")])
    steps = []
    for start in range(0, y.shape[1], BLOCK):
        some = slice(start, min(start + BLOCK, y.shape[1]))
        low, high = int(first[some].min()), int(second[some].max()) + 1
        steps.append(_product(_band(first[some] - low, second[some] - low, share[some], high - low), x[:, low:high], y[:, some]))
    return sequence(steps)


def bind_resample_grad(op: ResampleGrad, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    g, x = _seen(inputs[0], op.axis), _seen(outputs[0], op.axis)
    first, second, share = op.reads(x.shape[1], g.shape[1])
    if _native(g, x):
        return sequence([_compiled(g, x, [(first, second, share)], back=True)])
    steps: list[Step] = []
    for start in range(0, x.shape[1], BLOCK):
        stop = min(start + BLOCK, x.shape[1])
        readers = np.flatnonzero(((first >= start) & (first < stop)) | ((second >= start) & (second < stop) & (share > 0)))
        if not readers.size:
            steps.append(partial(np.copyto, x[:, start:stop], 0))
            continue
        some = slice(int(readers[0]), int(readers[-1]) + 1)
        band = _band(first[some] - start, second[some] - start, share[some], stop - start)
        steps.append(_product(band.T, g[:, some], x[:, start:stop]))
    return sequence(steps)


def _few(parts: Sequence[Resample], shape: Sequence[int]) -> bool:
    """Whether these are borders of an image, and so few places of each axis that each is a copy of its own."""
    around = [known((p.length,))[0] - shape[p.axis] for p in parts]
    return all(p.rule in BORDERS and n >= 0 for p, n in zip(parts, around, strict=True)) and sum(around) <= COPIES


def _bordered(parts: Sequence[Resample], x: Array, y: Array) -> list[Step]:
    """Steps that write the image, then what is around it: places of its last axis first, then along those before whole ones."""
    inside = [slice(None)] * x.ndim
    for p in parts:
        inside[p.axis] = slice(p.low, p.low + x.shape[p.axis])
    steps = [step(y[tuple(inside)], x)]
    for p in reversed(parts):
        n, m = x.shape[p.axis], y.shape[p.axis]
        first, _, _ = p.reads(n, m)
        for o in (*range(p.low), *range(p.low + n, m)):
            here, there = ((*inside[: p.axis], slice(at, at + 1)) for at in (o, p.low + int(first[o])))
            steps.append(step(y[here], y[there]))
        inside[p.axis] = slice(None)
    return steps


def _native(x: Array, y: Array) -> bool:
    """Whether there is a compiled kernel: for rows that are not so short that vectors hold little else than nothing."""
    return bool(lanes() and x.dtype == np.float32 and x.size and y.size and x.shape[-1] >= SHORTEST)


def _compiled(x: Array, y: Array, reads: Sequence[Reads], back: bool = False) -> Step:
    """Each row of y, behind all axes that are read along, as a sum of rows of x: of those that it reads, or backwards of those that read it."""
    vectors = -(-x.shape[-1] // lanes())
    kernels = library(Weighted(len(reads), min(TOGETHER, vectors), back))
    assert kernels is not None
    tables = [t for n, each in zip(y.shape[1:], reads, strict=False) for t in _terms(n, *each, back)]
    return kernels.bind("sum", x, y, *tables, x.shape[0], *y.shape[1:-1], *x.shape[1:-1], x.shape[-1])


def _terms(n: int, first: Array, second: Array, share: Array, back: bool) -> tuple[Array, Array, Array]:
    """Where the terms of each of n places begin, and their places and weights; what has none is nothing times any."""
    places = np.arange(len(first))
    some = share > 0
    rows, terms = np.concatenate([places, places[some]]), np.concatenate([first, second[some]])
    weights = np.concatenate([1.0 - share, share[some]])
    if back:
        rows, terms = terms, rows
    alone = np.setdiff1d(np.arange(n), rows)
    rows, terms, weights = np.append(rows, alone), np.append(terms, 0 * alone), np.append(weights, 0.0 * alone)
    order = np.lexsort((terms, rows))
    starts = np.searchsorted(rows[order], np.arange(n + 1))
    return starts.astype(np.int64), terms[order].astype(np.int64), weights[order].astype(np.float32)


def _band(first: Array, second: Array, share: Array, width: int) -> Array:
    """Row o holds the shares of the places that o reads; those outside of the ``width`` places are left out."""
    band = np.zeros((len(first), width))
    rows = np.arange(len(first))
    for places, shares in ((first, 1.0 - share), (second, share)):
        here = (places >= 0) & (places < width)
        np.add.at(band, (rows[here], places[here]), shares[here])
    return band


def _product(band: Array, x: Array, y: Array) -> Step:
    """The step ``y = band @ x`` for each of the places before."""
    narrow = x.shape[2]
    band = np.ascontiguousarray(band, dtype=x.dtype)
    if narrow >= NARROW:
        return partial(np.matmul, band, x, y)
    wide = np.ascontiguousarray(np.kron(band, np.eye(narrow, dtype=x.dtype)).T)
    return partial(np.matmul, _lines(x), wide, _lines(y))


def _lines(x: Array) -> Array:
    """A block of places and their elements as one axis, a view."""
    return np.lib.stride_tricks.as_strided(x, (x.shape[0], x.shape[1] * x.shape[2]), (x.strides[0], x.itemsize))


AXES: TypeAlias = ResampleAxes | ResampleAxesGrad


def axes_workspace(op: AXES, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    """What lies between one axis and the next, where they are taken one after another."""
    shape = sizes(inputs[0])
    if _at_once(op, shape, inputs[0].dtype) or isinstance(op, ResampleAxes) and _few(op.parts(), shape):
        return ()
    types = [inputs[0]]
    for part in op.parts():
        types.append(part.infer(types[-1]))
    return tuple(types[1:-1])


def bind_axes(op: AXES, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, y = inputs[0], outputs[0]
    if isinstance(op, ResampleAxes) and _few(op.parts(), x.shape):
        return sequence(_bordered(op.parts(), x, y))
    if not _at_once(op, x.shape, DType(x.dtype.name)):
        arrays = [x, *workspace, y]
        bind: Any = bind_resample if isinstance(op, ResampleAxes) else bind_resample_grad
        return sequence([bind(part, [a], [b], []) for part, a, b in zip(op.parts(), arrays, arrays[1:], strict=False)])
    back, first, last = isinstance(op, ResampleAxesGrad), op.axes[0], op.axes[-1]
    read, reader = (y, x) if back else (x, y)
    parts = {p.axis: p for p in op.parts()}
    reads = [parts[a].reads(read.shape[a], reader.shape[a]) if a in parts else _itself(x.shape[a]) for a in range(first, last + 1)]
    shapes = [(prod(a.shape[:first]), *a.shape[first : last + 1], prod(a.shape[last + 1 :])) for a in (x, y)]
    return sequence([_compiled(x.reshape(shapes[0]), y.reshape(shapes[1]), reads, back)])


def _at_once(op: AXES, shape: Sequence[int], dtype: DType) -> bool:
    """Whether one compiled kernel takes all axes: neighbours, or with as many between as are left alone."""
    return bool(lanes()) and dtype == DType.float32 and op.axes[-1] - op.axes[0] < MOST and prod(shape[op.axes[-1] + 1 :]) >= SHORTEST


def _itself(n: int) -> Reads:
    return np.arange(n), np.arange(n), np.zeros(n)


RESAMPLE: dict[type[Any], Kernel] = {Resample: Kernel(bind_resample), ResampleGrad: Kernel(bind_resample_grad)}
RESAMPLE_AXES: dict[type[Any], Kernel] = {op: Kernel(bind_axes, axes_workspace) for op in (ResampleAxes, ResampleAxesGrad)}
