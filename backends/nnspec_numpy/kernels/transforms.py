"""Winograd's transformations of a chunk of tiles: as products between moves, or compiled, in registers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from nnspec.ir.op import Array
from nnspec_numpy.llvm.library import Kernels, library

from . import direct
from .ending import Ending
from .kernel import Arrays, Step, cut
from .move import move
from .tiles import NOISE, TAPS, Tiles, Writing, both, matrices
from .windows import Chunk


class Products:
    """Transformations as products with Kronecker's matrices, between moves."""

    def __init__(self, tiles: Tiles, dtype: np.dtype[np.floating]) -> None:
        self.tiles = tiles
        a, _, b = matrices(tiles.m)
        self.a, self.b, self.spreading = both(a, dtype), both(b, dtype), both(np.ascontiguousarray(a.T), dtype)

    def read(self, x: Array, chunk: Chunk, changed: Array, space: Arrays) -> list[Step]:
        """The input's tiles, changed; ``space`` holds them as they are and the input with its border."""
        steps, seen = self.tiles.read(x, chunk, list(space[1:]))
        plain = cut(space[0], seen.shape)
        planes = len(changed)
        return [*steps, move(plain, seen), partial(np.matmul, self.b, plain.reshape(planes, -1), changed.reshape(planes, -1))]

    def multiply(self, changed: Array, kernel: Array, summed: Array) -> Step:
        """The sums over channels."""
        return partial(np.matmul, changed, kernel, summed)

    def add(self, changed: Array, upstream: Array, total: Array, share: Sequence[Array]) -> list[Step]:
        """The sums over tiles, added to ``total``."""
        return [partial(np.matmul, changed.transpose(0, 2, 1), upstream, share[0]), partial(np.add, total, share[0], total)]

    def taps(self, total: Array, made: Array, share: Sequence[Array]) -> list[Step]:
        """The kernel's gradient from all sums; what is noise is zero. ``total`` and ``share`` are free then."""
        planes, taps = total.reshape(len(total), -1), made.reshape(TAPS * TAPS, -1)
        change = both(np.ascontiguousarray(matrices(self.tiles.m)[1].T), total.dtype)
        return [partial(np.matmul, change, planes, taps), partial(_quiet, taps, planes, share[0].reshape(planes.shape), NOISE[self.tiles.m])]

    def spread(self, g: Array, chunk: Chunk, changed: Array, space: Arrays) -> list[Step]:
        """The tiles of the output's gradient, changed."""
        plain = cut(space[0], self._made(chunk))
        empty: list[Step] = [] if self.tiles.even else [partial(plain.fill, 0)]
        moves = [move(part, place) for place, part in self.tiles.written(g, plain, chunk)]
        return [*empty, *moves, partial(np.matmul, self.spreading, plain.reshape(self.tiles.m**2, -1), changed.reshape(len(changed), -1))]

    def write(self, y: Array, chunk: Chunk, summed: Array, space: Array) -> list[Step]:
        """The output's tiles from summed ones."""
        made = cut(space, self._made(chunk))
        change = partial(np.matmul, self.a, summed.reshape(len(summed), -1), made.reshape(self.tiles.m**2, -1))
        return [change, *(move(place, part) for place, part in self.tiles.written(y, made, chunk))]

    def _made(self, chunk: Chunk) -> tuple[int, ...]:
        m = self.tiles.m
        return m, m, chunk.last - chunk.first, chunk.bottom - chunk.top, self.tiles.grid.out[1], self.tiles.filters


def _quiet(taps: Array, planes: Array, free: Array, noise: float) -> None:
    """Zero for what is less than ``noise`` times the largest of ``planes``, which are lost."""
    least, sizes = free[0], free[1 : 1 + len(taps)]
    small = free[1 + len(taps) :].reshape(-1).view(np.bool_)[: taps.size].reshape(taps.shape)
    np.maximum.reduce(np.abs(planes, out=planes), axis=0, out=least)
    np.multiply(least, least.dtype.type(noise), out=least)
    np.copyto(taps, 0, where=np.less(np.abs(taps, out=sizes), least, out=small))


class Compiled:
    """Transformations in registers, from where things lie to where they are wanted."""

    def __init__(self, tiles: Tiles, kernels: Kernels) -> None:
        self.tiles, self.kernels = tiles, kernels
        self.zeros = np.zeros(max(tiles.windows.channels, tiles.filters), np.float32)
        self.nowhere = np.zeros_like(self.zeros)

    def read(self, x: Array, chunk: Chunk, changed: Array, space: Arrays) -> list[Step]:
        low = self.tiles.windows.low
        return [self._bound("read", x, chunk, changed, self.zeros, (low[0], low[1]))]

    def multiply(self, changed: Array, kernel: Array, summed: Array) -> Step:
        return direct.products("forward", changed, summed, kernel)

    def add(self, changed: Array, upstream: Array, total: Array, share: Sequence[Array]) -> list[Step]:
        return [direct.products("kernel_gradient", changed, upstream, total)]

    def taps(self, total: Array, made: Array, share: Sequence[Array]) -> list[Step]:
        return [self.kernels.bind(f"taps_{self.tiles.m}", total, made, total[0].size)]

    def spread(self, g: Array, chunk: Chunk, changed: Array, space: Arrays) -> list[Step]:
        return [self._bound("spread", g, chunk, changed, self.zeros, (0, 0))]

    def write(self, y: Array, chunk: Chunk, summed: Array, space: Array) -> list[Step]:
        return [self._bound("write", y, chunk, summed, self.nowhere, (0, 0))]

    def finish(self, y: Array, chunk: Chunk, summed: Array, ending: Ending) -> list[Step]:
        """``write`` with an epilogue."""
        kernels = library(Writing(self.tiles.m, ending.epilogue))
        assert kernels is not None
        return [self._bound("write", y, chunk, summed, self.nowhere, (0, 0), kernels, ending.arguments(y))]

    def _bound(self, name: str, images: Array, chunk: Chunk, changed: Array, row: Array, low: tuple[int, int], kernels: Kernels | None = None,
               further: Sequence[Array | int] = ()) -> Step:
        some, m = images[chunk.images], self.tiles.m
        count, height, width, channels = some.shape
        return (kernels or self.kernels).bind(
            f"{name}_{m}", some, changed, row, count, chunk.bottom - chunk.top, self.tiles.grid.out[1], channels, height, width,
            chunk.top * m - low[0], -low[1], changed.shape[1] * channels, some.strides[2] // 4, *further)
