"""Counted draws for rows of an epoch: a number depends on (seed, name, epoch, row, copy) alone, whatever batch it is in."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from nnspec.ops.random import philox, stream
from nnspec.records import dataclass

Floats = NDArray[np.float64]
MOST = 1 << 13  # counters at a time, so that they stay in the cache


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws for some rows; ``copy`` counts how often a row came before in the epoch (and sets partners of mixup apart)."""

    seed: int
    epoch: int
    rows: NDArray[np.intp]
    copy: NDArray[np.intp]

    def of(self, chosen: NDArray[np.intp]) -> Draws:
        """Those of a few of the rows."""
        return Draws(self.seed, self.epoch, self.rows[chosen], self.copy[chosen])

    def words(self, name: str, n: int) -> NDArray[np.uint32]:
        """``n`` times 32 bits a row: Philox of the counters (number, row, epoch, copy)."""
        each = -(-n // 4)
        counter = np.empty((len(self.rows), each, 4), np.uint32)
        counter[..., 0] = np.arange(each)
        counter[..., 1], counter[..., 3] = self.rows[:, None], self.copy[:, None]
        counter[..., 2] = self.epoch & 0xFFFFFFFF
        return philox((self.seed & 0xFFFFFFFF, stream(name)), counter.reshape(-1, 4)).reshape(len(self.rows), each * 4)[:, :n]

    def uniform(self, name: str, n: int) -> Floats:
        """``n`` numbers a row above 0 and below 1, 53 bits each: ``(rows, n)``."""
        words = self.words(name, 2 * n).astype(np.uint64)
        bits = (words[:, 0::2] << np.uint64(21)) | (words[:, 1::2] >> np.uint64(11))
        return (bits.astype(np.float64) + 0.5) * 2.0**-53

    def whole(self, name: str, below: tuple[int, ...]) -> NDArray[np.intp]:
        """A whole number from 0 to below - 1 for each of ``below``: ``(rows, len(below))``."""
        return np.asarray(self.uniform(name, len(below)) * np.array(below), np.intp)

    def normal(self, name: str, n: int) -> NDArray[np.float32]:
        """``n`` numbers a row of mean 0 and deviation 1, from 65,536 equally likely quantiles: at most 4.3 from 0."""
        out = np.empty((len(self.rows), n), np.float32)
        step = max(1, MOST * 8 // max(1, n))
        for start in range(0, len(self.rows), step):
            some = self.of(np.arange(start, min(len(self.rows), start + step)))
            bits = np.ascontiguousarray(some.words(name, -(-n // 2)).astype("<u4", copy=False)).view("<u2")
            np.take(_quantiles(), bits[:, :n], out=out[start : start + step], mode="clip")
        return out

    def beta(self, name: str, alpha: float) -> Floats:
        """A number a row between 0 and 1 from Beta(alpha, alpha): one of two gammas over their sum."""
        difference = self._log_gamma(f"{name}/b", alpha) - self._log_gamma(f"{name}/a", alpha)
        return 1.0 / (1.0 + np.exp(np.clip(difference, -700, 700)))

    def _log_gamma(self, name: str, alpha: float) -> Floats:
        """The logarithm of a Gamma(alpha) draw a row. Source: Marsaglia and Tsang, 2000, with their boost below 1."""
        d = (alpha + 1.0) - 1.0 / 3.0
        c = 1.0 / np.sqrt(9.0 * d)
        out = np.log(self.uniform(f"{name}/boost", 1)[:, 0]) / alpha  # of Gamma(alpha + 1), whatever alpha
        waiting = np.arange(len(self.rows))
        for trial in range(1000):
            u = self.of(waiting).uniform(f"{name}/{trial}", 3)
            x = np.sqrt(-2.0 * np.log(u[:, 0])) * np.cos(2.0 * np.pi * u[:, 1])
            v = (1.0 + c * x) ** 3
            with np.errstate(invalid="ignore", divide="ignore"):
                good = (v > 0) & (np.log(u[:, 2]) < 0.5 * x * x + d - d * v + d * np.log(v))
            out[waiting[good]] += np.log(d * v[good])
            waiting = waiting[~good]
            if not waiting.size:
                break
        return out


@cache
def _quantiles() -> NDArray[np.float32]:
    """The standard normal's quantiles at the middles of 65,536 equal parts."""
    normal = NormalDist()
    upper = [normal.inv_cdf((i + 0.5) / 65536) for i in range(32768, 65536)]
    half = np.array(upper) / np.sqrt(np.mean(np.square(upper)))  # so that the deviation is 1
    return np.concatenate([-half[::-1], half]).astype(np.float32)
