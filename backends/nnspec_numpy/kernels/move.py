"""Copies between strided arrays, run by run.

NumPy copies the last axis in a loop of its own, which costs more than a short run itself. Seen as one element of
opaque bytes, a run costs a move: two to four times as fast for runs of a few numbers. Arithmetic on arrays that are
not one contiguous run makes NumPy ask for buffers, so kernels move first and compute on what is contiguous.
"""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnspec.ir.op import Array

from .kernel import Step

ACROSS = 16  # numbers of a row that are written at a time
APART, LARGE = 1 << 10, 1 << 18  # where lines of a matrix of so many bytes lie a multiple of so many apart


def move(target: Array, source: Array) -> Step:
    """The step ``target[...] = source`` for arrays of one shape and dtype that share no memory."""
    if target.dtype != source.dtype:
        return partial(np.copyto, target, source)
    shape, item = target.shape, target.itemsize
    axes, run = len(shape), 1
    while axes and all(shape[axes - 1] == 1 or a.strides[axes - 1] == run * item for a in (target, source)):
        axes -= 1
        run *= shape[axes]
    if run == 1 or axes == 0:
        return partial(np.copyto, target, source)
    return partial(np.copyto, _runs(target, axes, run), _runs(source, axes, run))


def turn(target: Array, source: Array) -> list[Step]:
    """Steps for ``target[...] = source`` with the last two axes changed about, where that is quicker a few numbers of all rows at a time.

    NumPy writes rows of the target from end to end, and each number comes from a line of its own: of lines that lie a large power of two
    apart a cache has few, and they are read again for every row.
    """
    apart = source.strides[-2] % APART == 0 and source.nbytes >= LARGE
    source = np.swapaxes(source, -1, -2)
    width = ACROSS if apart else max(1, source.shape[-1])
    return [partial(np.copyto, target[..., i : i + width], source[..., i : i + width]) for i in range(0, source.shape[-1], width)]


def _runs(a: Array, axes: int, run: int) -> Array:
    """The array with its last axes as one element of ``run`` numbers' bytes."""
    assert prod(a.shape[axes:]) == run
    rows = as_strided(a, (*a.shape[:axes], run), (*a.strides[:axes], a.itemsize))
    return rows.view(np.dtype((np.void, run * a.itemsize)))[..., 0]
