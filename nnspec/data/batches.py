"""The order of the rows in an epoch, and the batches made of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping

import numpy as np
from numpy.typing import NDArray

from nnspec.data.column import Array
from nnspec.data.load import Rows
from nnspec.data.pixels import Decoded, Pixels
from nnspec.data.prefetch import ahead
from nnspec.data.split import shuffled
from nnspec.records import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """``size`` rows, the ``position``-th batch of its epoch (from 0); arrays hold these rows and no padding."""

    arrays: dict[str, Array]
    size: int
    position: int


def order(seed: int, epoch: int, size: int) -> NDArray[np.intp]:
    """The rows' order in an epoch (from 0): a permutation that (seed, epoch, size) alone decide."""
    return shuffled(seed, "data/order", epoch, size)


def count(size: int, batch_size: int) -> int:
    """How many batches an epoch has, the ragged last one too."""
    return -(-size // batch_size)


def batches(
    rows: Rows, batch_size: int, order: NDArray[np.intp] | None = None, start: int = 0, reuse: bool = False
) -> Generator[Batch]:
    """The batches of an epoch from number ``start`` on; the last may be smaller.

    ``order`` None takes the rows as they stand, without a copy. With ``reuse`` the arrays are overwritten by the next
    batch: rows are gathered into one buffer a column.
    """
    buffers = (
        {name: np.empty((batch_size, *x.shape[1:]), x.dtype) for name, x in rows.arrays.items()}
        if reuse and order is not None
        else {}
    )
    total = rows.size if order is None else len(order)
    for position in range(start, count(total, batch_size)):
        begin, end = position * batch_size, min(total, (position + 1) * batch_size)
        if order is None:
            arrays = {name: x[begin:end] for name, x in rows.arrays.items()}
        else:
            chosen = order[begin:end]
            arrays = {name: _take(x, chosen, buffers.get(name)) for name, x in rows.arrays.items()}
        yield Batch(arrays, end - begin, position)


def pieces(rows: Mapping[str, Array], size: int) -> Generator[dict[str, Array]]:
    """The rows as they stand, ``size`` at a time, without a copy of what is in memory; images are decoded by a thread meanwhile."""
    total = len(next(iter(rows.values())))
    decoded = any(isinstance(x, Pixels) and isinstance(x.source, Decoded) for x in rows.values())
    starts = range(0, total, size)
    return ahead(lambda start: {name: x[start : start + size] for name, x in rows.items()}, starts, int(decoded))


def _take(x: Array, rows: NDArray[np.intp], buffer: Array | None) -> Array:
    if buffer is None:
        return x.take(rows, axis=0)
    return x.take(rows, axis=0, out=buffer[: len(rows)], mode="clip")  # clip: no copy of out; the rows are a permutation
