"""Resizing and borders along an axis: whole runs taken by number where each place reads one, else products with narrow bands.

The places that neighbouring places read lie close together, so that a block of the output is a small matrix times a block of
the input; the gradient is the transposed matrices. A block costs about as much as moving it, and nothing is held between.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from nnspec.ir.op import Array
from nnspec.ops.resample import Along, Resample, ResampleGrad
from nnspec_numpy.llvm.library import Kernels, library
from nnspec_numpy.llvm.weighted_rows import family

from .kernel import Arrays, Kernel, Run, Step, sequence

BLOCK = 16  # places of the result that one product gives
SHORTEST = 4  # elements of a place from which rows are added by a compiled kernel
NARROW = 16  # elements a place below which a product has places and elements in one axis


def _seen(x: Array, axis: int) -> Array:
    """(before, places, after) of a contiguous array."""
    return x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), x.shape[axis], -1)


def bind_resample(op: Resample, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, y = _seen(inputs[0], op.axis), _seen(outputs[0], op.axis)
    first, second, share = op.reads(x.shape[1], y.shape[1])
    if (compiled := _native(x, y)) is not None:
        return sequence([_compiled(compiled, x, y, first, second, share)])
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
    if (compiled := _native(g, x)) is not None:
        return sequence([_compiled(compiled, g, x, first, second, share, back=True)])
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


def _native(x: Array, y: Array) -> Kernels | None:
    """The compiled kernel, where there is one: for rows that are not so short that vectors hold little else than nothing."""
    return library(family) if x.dtype == np.float32 and x.size and y.size and x.shape[2] >= SHORTEST else None


def _compiled(kernels: Kernels, x: Array, y: Array, first: Array, second: Array, share: Array, back: bool = False) -> Step:
    """Each row of y as a sum of rows of x: of those that it reads, or backwards of those that read it; of none as nothing times any."""
    places = np.arange(len(first))
    some = share > 0
    rows, terms = np.concatenate([places, places[some]]), np.concatenate([first, second[some]])
    weights = np.concatenate([1.0 - share, share[some]])
    if back:
        rows, terms = terms, rows
    alone = np.setdiff1d(np.arange(y.shape[1]), rows)
    rows, terms, weights = np.append(rows, alone), np.append(terms, 0 * alone), np.append(weights, 0.0 * alone)
    order = np.lexsort((terms, rows))
    starts = np.searchsorted(rows[order], np.arange(y.shape[1] + 1))
    tables = starts.astype(np.int64), terms[order].astype(np.int64), weights[order].astype(np.float32)
    return kernels.bind("sum", x, y, *tables, x.shape[0], y.shape[1], x.shape[1], x.shape[2])


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


RESAMPLE: dict[type[Along], Kernel] = {Resample: Kernel(bind_resample), ResampleGrad: Kernel(bind_resample_grad)}
