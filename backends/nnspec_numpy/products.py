"""Matrix products in tiles of the output, so that threads can share them.

BLAS runs on one thread: it splits by its number of threads, and then sums differ in their last bits. How many tiles there are, and where they end,
is decided by shapes alone; on one thread they are computed one after another.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from numpy import matmul
from numpy.typing import NDArray

from nnspec_numpy.team import TEAM

PARTS = ((1 << 27, 4), (1 << 21, 2))  # so many multiply-adds, so many tiles: one takes 15 us and more, where handing it over takes one
UNIT = 64  # rows or columns that a tile is a multiple of


def parts_of(work: int) -> int:
    """In how many parts threads share so many multiply-adds."""
    return next((parts for least, parts in PARTS if work >= least), 1)


def tiles(m: int, k: int, n: int) -> tuple[int, int]:
    """The rows and columns of a tile of an ``m`` by ``n`` product over ``k``: the longer side in two or four parts."""
    parts = parts_of(m * k * n)  # few: each packs the whole other operand
    if n >= m:
        return m, min(n, _height(n, parts))
    return min(m, _height(m, parts)), n


def _height(length: int, parts: int) -> int:
    size = -(-length // parts)
    return -(-size // UNIT) * UNIT


def product(a: NDArray[Any], b: NDArray[Any], rows: int, columns: int, out: NDArray[Any]) -> None:
    """``out = a @ b``, in tiles of so many rows and columns."""
    m, n = out.shape
    TEAM.run([partial(matmul, a[i : i + rows], b[:, j : j + columns], out[i : i + rows, j : j + columns])
              for i in range(0, m, rows) for j in range(0, n, columns)])
