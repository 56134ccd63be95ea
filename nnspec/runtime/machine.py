"""What this machine can do at most, measured: the rate of a large matrix product, and that of moving memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from nnspec.records import dataclass

SIDE = 1024  # of the matrices
ELEMENTS = 1 << 24  # of each vector of the triad: more than caches hold
CHUNK = 1 << 14  # elements that the triad works on at a time, so that what it has just written is still in the nearest cache
ROUNDS = 5


@dataclass(frozen=True)
class Peak:
    """Floating point operations and bytes a second, and how they were measured."""

    flops: float
    bytes: float
    how: str


def peak(dtype: np.dtype[np.generic], threads: int) -> Peak:
    """The best of five rounds of each, with what BLAS is set to; half a second in all."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIDE, SIDE)).astype(dtype) for _ in range(2))
    c = np.empty_like(a)
    product = _least(lambda: np.matmul(a, b, out=c))
    x, y, z = (np.full(ELEMENTS, v, dtype) for v in (1.0, 2.0, 0.0))
    starts = [range(k * ELEMENTS // threads, (k + 1) * ELEMENTS // threads, CHUNK) for k in range(threads)]

    def triad(part: range) -> None:
        for i in part:
            own = slice(i, min(i + CHUNK, part.stop))
            np.multiply(y[own], 3, out=z[own])
            np.add(x[own], z[own], out=z[own])

    with ThreadPoolExecutor(threads) as pool:
        moved = _least(lambda: list(pool.map(triad, starts)))
    size = 3 * x.nbytes
    how = f"a product of {SIDE} x {SIDE} in {dtype}, and z = x + 3 y over {size >> 20} MiB; {threads} thread{'' if threads == 1 else 's'}"
    return Peak(2 * SIDE**3 / product, size / moved, how)


def _least(run: Callable[[], object]) -> float:
    """Seconds of the shortest of several calls."""
    run()
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)
