"""Copies between strided arrays, run by run.

NumPy copies the last axis in a loop of its own, which costs more than a short run itself. Seen as one element of
opaque bytes, a run costs a move: two to four times as fast for runs of a few numbers. Arithmetic on arrays that are
not one contiguous run makes NumPy ask for buffers, so kernels move first and compute on what is contiguous.
Where there is a compiled copy it is taken: what follows it or shares a part with it then needs no Python between.
"""

from __future__ import annotations

from functools import partial
from math import gcd, prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnspec.ir.op import Array

from .copies import copy
from .kernel import Step

ROW = 1024  # numbers of the row that an array is filled with, at most
ACROSS = 16  # numbers of a row that are written at a time
APART, LARGE = 1 << 10, 1 << 18  # where lines of a matrix of so many bytes lie a multiple of so many apart


def move(target: Array, source: Array) -> Step:
    """The step ``target[...] = source`` for arrays of one shape and dtype that share no memory."""
    if compiled := copy(target, source):
        return compiled
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


def fill(target: Array, value: float = 0.0) -> Step:
    """The step ``target[...] = value``: copies of a short row."""
    rows = target
    while rows.ndim > 1 and rows.strides[-2] == rows.shape[-1] * rows.strides[-1]:
        rows = rows.reshape(*rows.shape[:-2], -1)
    n = rows.shape[-1] if rows.ndim else 0
    run = n if n <= ROW and rows.ndim > 1 else gcd(n, ROW)
    run = run // 2 if run == n and rows.ndim == 1 else run  # two rows at least: one alone is no strided copy
    compiled = None
    if run > 1:
        rows = rows.reshape(*rows.shape[:-1], n // run, run)
        compiled = copy(rows, np.broadcast_to(np.full(run, value, target.dtype), rows.shape))
    return compiled or partial(target.fill, value)


def turn(target: Array, source: Array) -> list[Step]:
    """Steps for ``target[...] = source`` with the last two axes changed about, where that is quicker a few numbers of all rows at a time.

    NumPy writes rows of the target from end to end, and each number comes from a line of its own: of lines that lie a large power of two
    apart a cache has few, and they are read again for every row.
    """
    if compiled := copy(target, np.swapaxes(source, -1, -2)):
        return [compiled]
    apart = source.strides[-2] % APART == 0 and source.nbytes >= LARGE
    source = np.swapaxes(source, -1, -2)
    width = ACROSS if apart else max(1, source.shape[-1])
    return [partial(np.copyto, target[..., i : i + width], source[..., i : i + width]) for i in range(0, source.shape[-1], width)]


def _runs(a: Array, axes: int, run: int) -> Array:
    """The array with its last axes as one element of ``run`` numbers' bytes."""
    assert prod(a.shape[axes:]) == run
    rows = as_strided(a, (*a.shape[:axes], run), (*a.strides[:axes], a.itemsize))
    return rows.view(np.dtype((np.void, run * a.itemsize)))[..., 0]
