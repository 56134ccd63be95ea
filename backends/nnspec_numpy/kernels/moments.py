"""The mean and the variance of every column in one walk over memory."""

from __future__ import annotations

from functools import partial
from math import isqrt
from typing import Any

import numpy as np

from nnspec.ir.types import DType, TensorType
from nnspec.ops.normalization import Moments
from nnspec_numpy.llvm.library import Kernels, library
from nnspec_numpy.llvm.moments import family
from nnspec_numpy.products import parts_of

from .kernel import Arrays, Kernel, Run, Types, cut, elements, flat, rows_of, sequence, sizes, together
from .lanes import MOVED

LEAST, MOST = 32, 256  # rows of a block
PARTS = 2  # that threads share
SHORT = 16  # columns: rows of no more are joined to rows of several
BYTES = 1 << 16  # of rows that NumPy centres at a time


def native(dtype: DType) -> Kernels | None:
    """The compiled kernels, where there are some."""
    return library(family) if dtype == DType.float32 else None


def parted(rows: int, columns: int) -> tuple[int, list[slice]]:
    """How many rows are taken as one, so that vectors are full, and the rows of each part: by shapes alone."""
    one = next((k for k in range(min(SHORT // columns, rows // LEAST), 1, -1) if rows % k == 0), 1) if columns < SHORT else 1
    rows //= one
    count = max(1, min(parts_of(MOVED * rows * one * columns), PARTS, rows // MOST))
    ends = [rows * i // count for i in range(count + 1)]
    return one, [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def _matrix(x: TensorType) -> tuple[int, int]:
    columns = sizes(x)[-1]
    return elements(x.shape) // max(columns, 1), columns


def workspace(op: Moments, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    """Room for what is left of each part, columns of joined rows apart."""
    dtype, (rows, columns) = inputs[0].dtype, _matrix(inputs[0])
    if not rows * columns:
        return ()
    if native(dtype) is None:
        return (flat(_at_once(rows, columns, dtype) * columns, dtype), flat(columns, dtype))
    one, parts = parted(rows, columns)
    return (flat(one * columns * len(parts), dtype),) * 3


def bind(op: Moments, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x = rows_of(inputs[0])
    rows, columns = x.shape
    if not x.size:
        return sequence([partial(y.fill, 0) for y in outputs])
    kernels = native(DType(x.dtype.name))
    if kernels is None:
        return _by_blocks(x, outputs, workspace)
    one, parts = parted(rows, columns)
    wide, block = x.reshape(rows // one, one * columns), block_of(rows // one)
    left = [cut(w, (len(parts), one * columns)) for w in workspace]
    runs: list[Any] = [kernels.bind("moments", wide[p], *(a[i] for a in left), p.stop - p.start, one * columns, block) for i, p in enumerate(parts)]
    counts = np.repeat(np.array([p.stop - p.start for p in parts], np.int64), one)
    return sequence([together(runs), kernels.bind("joined", *left, counts, *outputs, len(counts), columns, rows)])


def choice(op: Moments, inputs: Types, outputs: Types) -> str:
    rows, columns = _matrix(inputs[0])
    if native(inputs[0].dtype) is None or not rows * columns:
        return "by NumPy: compiled for float32 alone"
    one, parts = parted(rows, columns)
    shared = f" in {len(parts)} parts" if len(parts) > 1 else ""
    return f"blocks of {block_of(rows // one)} rows{shared}: read once, shifted by the mean of what was before"


def block_of(rows: int) -> int:
    """Rows of a block: about as many as there are blocks, for sums of sums lose few digits."""
    return min(MOST, max(LEAST, 1 << isqrt(rows).bit_length()))


def _at_once(rows: int, columns: int, dtype: DType) -> int:
    return min(rows, max(1, BYTES // (columns * dtype.size)))


def _by_blocks(x: Any, outputs: Arrays, workspace: Arrays) -> Run:
    """The sums by NumPy: first that of the rows, then, block after block, that of the squares of what is centred."""
    (mean, variance), (rows, columns) = outputs, x.shape
    part = workspace[1]
    blocks = [x[i : i + len(workspace[0]) // columns] for i in range(0, rows, len(workspace[0]) // columns)]
    centred = cut(workspace[0], blocks[0].shape)

    def run() -> None:
        np.add.reduce(x, axis=0, out=mean)
        np.divide(mean, rows, out=mean)
        variance.fill(0)
        for block in blocks:
            d = centred[: len(block)]
            np.subtract(block, mean, out=d)
            np.square(d, out=d)
            np.add.reduce(d, axis=0, out=part)
            np.add(variance, part, out=variance)
        np.divide(variance, rows, out=variance)

    return run


MOMENTS: dict[type[Any], Kernel] = {Moments: Kernel(bind, workspace, choice=choice)}
