"""Convolution of 3x3 with stride 1 by Winograd's algorithm, as matrix products: fewer multiplications for the same sums.

A tile of ``m x m`` outputs sees ``n x n`` inputs, ``n = m + 2``. Tiles, kernel and outputs are seen through fixed matrices::

    y = A'[(G w G') * (B' x B)]A        over two axes; * element by element, summed over the input's channels

so that the sum over channels is ``n * n`` matrix products of (tiles, channels) with (channels, filters): 2.25 times fewer
multiplications for tiles of 2, 4 times fewer for tiles of 4. Both axes at once the fixed matrices are Kronecker products, and
a transformation is one product over all tiles and channels of a chunk. The gradient in the kernel is the same form read backwards::

    w = G'[(A g A') * (B' x B)]G

S. Winograd, "Arithmetic complexity of computations" (1980); A. Lavin, S. Gray, "Fast algorithms for convolutional neural
networks" (2016). B. Barabasz and others, "Error analysis and improving the accuracy of Winograd convolution" (2020), show
how much the points matter: those of ``POINTS`` err half as much as 0, 1, -1, 2, -2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType

from .kernel import Arrays, Step, cut, flat
from .move import move
from .windows import Chunk, Windows

TAPS = 3
POINTS = {2: (0, 1, -1), 4: (0, Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))}  # and infinity
BYTES = 1 << 20  # of a chunk's tiles
LEAST = 128  # tiles in a chunk: below it, packing the kernel costs more than multiplying


@cache
def matrices(m: int) -> tuple[Array, Array, Array]:
    """``A'`` (m, n), ``G`` (n, 3), ``B'`` (n, n) of one axis, exact until the last rounding: Toom and Cook's interpolation."""
    points = [Fraction(p) for p in POINTS[m]]
    n = m + TAPS - 1
    a = [[p**i for p in points] + [Fraction(i == m - 1)] for i in range(m)]
    g, b = [], []
    for p in points:
        others = [q for q in points if q != p]
        scale = prod((p - q for q in others), start=Fraction(1))
        g.append([p**k / scale for k in range(TAPS)])
        b.append([*_monic(others), Fraction(0)])
    g.append([Fraction(k == TAPS - 1) for k in range(TAPS)])
    b.append(_monic(points))
    one, two, three = (np.array([[float(v) for v in row] for row in rows]) for rows in (a, g, b))
    for i in range(n):  # a row's scale is free; as powers of two of about equal size no product is large or small
        lengths = np.array([np.linalg.norm(one[:, i]), np.linalg.norm(two[i]), np.linalg.norm(three[i])])
        up = np.round(np.log2(np.prod(lengths) ** (1 / 3) / lengths))
        two[i] *= 2.0 ** up[1]
        three[i] *= 2.0 ** up[2]
        one[:, i] *= 2.0 ** -(up[1] + up[2])
    return one, two, three


def _monic(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of ``x - root``, the constant first."""
    c = [Fraction(1)]
    for r in roots:
        c = [a - r * b for a, b in zip([Fraction(0), *c], [*c, Fraction(0)], strict=True)]
    return c


def both(matrix: Array, dtype: np.dtype[np.floating]) -> Array:
    """The matrix along both axes: its Kronecker product with itself."""
    return np.kron(matrix, matrix).astype(dtype)


@dataclass(frozen=True)
class Tiles:
    """The tiles of a convolution: windows of ``n x n`` that move by ``m``; ``windows`` are the convolution's own."""

    windows: Windows
    m: int
    dtype: DType

    @property
    def n(self) -> int:
        return self.m + TAPS - 1

    @property
    def grid(self) -> Windows:
        """As windows of their own; the last ones may reach beyond the border."""
        w, m = self.windows, self.m
        out = tuple(-(-o // m) for o in w.out)
        high = tuple((o - 1) * m + self.n - s - a for o, s, a in zip(out, w.spatial, w.low, strict=True))
        return replace(w, size=(self.n,) * 2, stride=(m, m), dilation=(1, 1), out=out, high=high)

    @property
    def even(self) -> bool:
        """Whether tiles fill the output, none of them in part."""
        return all(o % self.m == 0 for o in self.windows.out)

    def wanted(self, channels: int) -> int:
        return max(LEAST, BYTES // (self.n * self.n * channels * self.dtype.size))

    def most(self, channels: int) -> int:
        """Tiles in a chunk."""
        grid, wanted = self.grid, self.wanted(channels)
        return grid.images(wanted) * grid.lines(wanted) * grid.out[1]

    def source(self, channels: int) -> list[TensorType]:
        """Memory for a chunk of the input with its border; none where there is no border."""
        grid = self.grid
        return [flat(prod(self._around(channels)), self.dtype)] if grid.bordered else []

    def _around(self, channels: int) -> tuple[int, int, int, int]:
        grid, wanted = self.grid, self.wanted(channels)
        return grid.images(wanted), grid.lines(wanted) * self.m + TAPS - 1, grid.padded[1], grid.channels

    def space(self, filters: int) -> int:
        """Elements of a chunk of transformed tiles, of the input or of the output."""
        channels = max(self.windows.channels, filters)
        return self.n * self.n * self.most(channels) * channels

    def read(self, x: Array, chunk: Chunk, channels: int, space: list[Array]) -> tuple[list[Step], Array]:
        """Steps that add the border to a chunk of ``x``, and its tiles: (n, n, image, *tile, channel)."""
        grid, m = self.grid, self.m
        count, lines = chunk.last - chunk.first, chunk.bottom - chunk.top
        first, seen = chunk.top * m, x[chunk.images]
        steps: list[Step] = []
        if grid.bordered:
            height, left = lines * m + TAPS - 1, grid.low[1]
            seen = cut(space[0], self._around(channels))[:count, :height]
            low = min(height, max(0, grid.low[0] - first))
            high = max(low, min(height, grid.low[0] + grid.spatial[0] - first))
            start = first + low - grid.low[0]
            inside = seen[:, low:high]
            steps = [partial(np.copyto, part, 0) for part in (seen[:, :low], seen[:, high:], inside[:, :, :left],
                                                              inside[:, :, left + grid.spatial[1] :]) if part.size]
            steps.append(move(inside[:, :, left : left + grid.spatial[1]], x[chunk.images, start : start + high - low]))
        else:
            seen = seen[:, first:]
        image, row, place, channel = seen.strides
        shape = (self.n, self.n, count, lines, grid.out[1], grid.channels)
        return steps, as_strided(seen, shape, (row, place, image, m * row, m * place, channel), writeable=False)

    def written(self, y: Array, tiles: Array, chunk: Chunk) -> Iterator[tuple[Array, Array]]:
        """Places of ``y`` and of its ``tiles`` (m, m, image, *tile, filter) that belong together."""
        m, seen = self.m, y[chunk.images, chunk.top * self.m : chunk.bottom * self.m]
        if self.even:
            image, row, place, element = seen.strides
            yield as_strided(seen, tiles.shape, (row, place, image, m * row, m * place, element)), tiles
            return
        for i in range(m):
            for j in range(m):
                part = seen[:, i::m, j::m]
                if part.size:
                    yield part, tiles[i, j, :, : part.shape[1], : part.shape[2]]


def workspace(tiles: Tiles, filters: int) -> tuple[TensorType, ...]:
    """For the transformed kernel, transformed tiles twice, and the input with its border."""
    w, size = tiles.windows, tiles.space(filters)
    kernel = tiles.n * tiles.n * w.channels * filters
    return flat(kernel, tiles.dtype), flat(size, tiles.dtype), flat(size, tiles.dtype), *tiles.source(max(w.channels, filters))


def convolve(tiles: Tiles, x: Array, taps: Array, y: Array, space: Arrays, turned: bool = False) -> list[Step]:
    """Steps for ``y``; ``taps`` is (9, channels, filters), its places in reverse order where it is ``turned``."""
    n, m, channels, filters = tiles.n, tiles.m, tiles.windows.channels, y.shape[-1]
    a, g, b = matrices(m)
    a, g, b = (both(matrix, x.dtype) for matrix in (a, g[:, ::-1] if turned else g, b))
    kernel = cut(space[0], (n * n, channels, filters))
    steps: list[Step] = [partial(np.matmul, g, taps.reshape(TAPS * TAPS, -1), kernel.reshape(n * n, -1))]
    wide = max(channels, filters)
    for chunk in tiles.grid.chunks(tiles.wanted(wide)):
        before, seen = tiles.read(x, chunk, wide, list(space[3:]))
        count = prod(seen.shape[2:5])
        read, seen_through = cut(space[1], seen.shape), cut(space[2], (n * n, count, channels))
        summed, made = cut(space[1], (n * n, count, filters)), cut(space[2], (m, m, *seen.shape[2:5], filters))
        steps += [
            *before,
            move(read, seen),
            partial(np.matmul, b, read.reshape(n * n, -1), seen_through.reshape(n * n, -1)),
            partial(np.matmul, seen_through, kernel, summed),
            partial(np.matmul, a, summed.reshape(n * n, -1), made.reshape(m * m, -1)),
            *(move(place, part) for place, part in tiles.written(y, made, chunk)),
        ]
    return steps


def gradient_workspace(tiles: Tiles, filters: int) -> tuple[TensorType, ...]:
    """For the transformed gradient and a chunk's share of it, transformed tiles three times, and the input with its border."""
    w, size = tiles.windows, tiles.space(filters)
    kernel = flat(tiles.n * tiles.n * w.channels * filters, tiles.dtype)
    return kernel, kernel, *(flat(size, tiles.dtype) for _ in range(3)), *tiles.source(max(w.channels, filters))


def kernel_gradient(tiles: Tiles, x: Array, g: Array, w: Array, space: Arrays) -> list[Step]:
    """Steps for ``w``, (3, 3, channels, filters), from the input and the output's gradient."""
    n, m, channels, filters = tiles.n, tiles.m, tiles.windows.channels, g.shape[-1]
    a, k, b = (both(matrix, x.dtype) for matrix in matrices(m))
    a, k = np.ascontiguousarray(a.T), np.ascontiguousarray(k.T)
    total, share = (cut(s, (n * n, channels, filters)) for s in space[:2])
    steps: list[Step] = []
    wide = max(channels, filters)
    for i, chunk in enumerate(tiles.grid.chunks(tiles.wanted(wide))):
        before, seen = tiles.read(x, chunk, wide, list(space[5:]))
        count = prod(seen.shape[2:5])
        read, seen_through = cut(space[2], seen.shape), cut(space[3], (n * n, count, channels))
        upstream, through = cut(space[2], (m, m, *seen.shape[2:5], filters)), cut(space[4], (n * n, count, filters))
        steps += [
            *before,
            move(read, seen),
            partial(np.matmul, b, read.reshape(n * n, -1), seen_through.reshape(n * n, -1)),
            *([] if tiles.even else [partial(upstream.fill, 0)]),
            *(move(part, place) for place, part in tiles.written(g, upstream, chunk)),
            partial(np.matmul, a, upstream.reshape(m * m, -1), through.reshape(n * n, -1)),
            partial(np.matmul, seen_through.transpose(0, 2, 1), through, share if i else total),
            *([partial(np.add, total, share, total)] if i else []),
        ]
    steps.append(partial(np.matmul, k, total.reshape(n * n, -1), w.reshape(TAPS * TAPS, -1)))
    return steps
