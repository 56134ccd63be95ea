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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec_numpy.llvm import tiles as compiled
from nnspec_numpy.llvm.code import Code
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.library import Kernels, library

from . import direct
from .kernel import Arrays, Step, cut, elements, flat
from .move import move
from .windows import Chunk, Windows

TAPS = 3
POINTS = {2: (0, 1, -1), 4: (0, Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))}  # and infinity
BYTES = 1 << 20  # of a chunk's tiles
KERNEL = 10 << 20  # of a transformed kernel: of larger ones some filters at a time
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


def family(cpu: Cpu) -> Iterator[tuple[str, Code]]:
    """The compiled transformations of every size of tiles."""
    for m in POINTS:
        a, _, b = matrices(m)
        for name, matrix, reads in compiled.winograd(m, a, b):
            yield name, compiled.write(cpu, matrix, m, reads)


@dataclass(frozen=True)
class Tiles:
    """The tiles of a convolution: windows of ``n x n`` that move by ``m``; ``windows`` are the convolution's own."""

    windows: Windows
    m: int
    dtype: DType
    filters: int

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

    @property
    def blocks(self) -> list[tuple[slice, Tiles]]:
        """The filters, as many at a time as make a transformed kernel that is not too large."""
        most = max(64, KERNEL // (self.n * self.n * self.windows.channels * self.dtype.size) // 64 * 64)
        share = -(-self.filters // -(-self.filters // most))
        return [(slice(i, min(i + share, self.filters)), replace(self, filters=min(share, self.filters - i))) for i in range(0, self.filters, share)]

    @property
    def compiled(self) -> Kernels | None:
        """The compiled transformations, where there are enough channels for a vector, and vectors long enough to multiply with."""
        kernels = library(family) if self.dtype == DType.float32 else None
        return kernels if kernels and min(self.windows.channels, self.filters) >= kernels.lanes >= 8 else None

    @property
    def wanted(self) -> int:
        """Tiles in a chunk, about."""
        return max(LEAST, BYTES // (self.n * self.n * max(self.windows.channels, self.filters) * self.dtype.size))

    def chunks(self) -> list[Chunk]:
        return self.grid.chunks(self.wanted)

    def workspace(self, buffers: int) -> list[TensorType]:
        """So many buffers for a chunk's transformed tiles, and one for its input with the border where there is one."""
        grid = self.grid
        tiles = grid.images(self.wanted) * grid.lines(self.wanted) * grid.out[1]
        size = self.n * self.n * tiles * max(self.windows.channels, self.filters)
        around = [flat(prod(self._around), self.dtype)] if grid.bordered and self.compiled is None else []
        return [*(flat(size, self.dtype) for _ in range(buffers)), *around]

    @property
    def _around(self) -> tuple[int, int, int, int]:
        grid = self.grid
        return grid.images(self.wanted), grid.lines(self.wanted) * self.m + TAPS - 1, grid.padded[1], grid.channels

    def read(self, x: Array, chunk: Chunk, space: list[Array]) -> tuple[list[Step], Array]:
        """Steps that add the border to a chunk of ``x``, and its tiles: (n, n, image, *tile, channel)."""
        grid, m = self.grid, self.m
        count, lines = chunk.last - chunk.first, chunk.bottom - chunk.top
        first, seen = chunk.top * m, x[chunk.images]
        steps: list[Step] = []
        if grid.bordered:
            height, left = lines * m + TAPS - 1, grid.low[1]
            seen = cut(space[0], self._around)[:count, :height]
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


def workspace(tiles: Tiles, turned: bool = False) -> tuple[TensorType, ...]:
    """For the transformed kernel, transformed tiles twice, the input with its border, and the kernel where it does not lie in one run."""
    found = []
    for _, t in tiles.blocks:
        kernel = t.windows.channels * t.filters
        plain = [flat(TAPS * TAPS * kernel, t.dtype)] if turned or t.filters < tiles.filters else []
        found.append([*plain, flat(t.n * t.n * kernel, t.dtype), *t.workspace(2)])
    return _widest(found)


def _widest(asked: list[list[TensorType]]) -> tuple[TensorType, ...]:
    """What serves one after the other."""
    return tuple(max(some, key=lambda t: elements(t.shape)) for some in zip(*asked, strict=True))


def convolve(tiles: Tiles, x: Array, taps: Array, y: Array, space: Arrays, turned: bool = False) -> list[Step]:
    """Steps for ``y``; ``taps`` is (3, 3, channels, filters), or where they are ``turned`` (3, 3, filters, channels) from the last on."""
    g = matrices(tiles.m)[1]
    change = both(g[:, ::-1] if turned else g, x.dtype)
    steps: list[Step] = []
    for some, t in tiles.blocks:
        own, rest = np.swapaxes(taps, 2, 3)[..., some] if turned else taps[..., some], space
        if turned or t.filters < tiles.filters:
            plain, *rest = cut(space[0], own.shape), *space[1:]
            steps.append(partial(np.copyto, plain, own))
            own = plain
        kernel = cut(rest[0], (t.n * t.n, t.windows.channels, t.filters))
        steps.append(partial(np.matmul, change, own.reshape(TAPS * TAPS, -1), kernel.reshape(t.n * t.n, -1)))
        steps += _multiply(t, x, kernel, y[..., some], rest[1:])
    return steps


def _multiply(t: Tiles, x: Array, kernel: Array, y: Array, space: Arrays) -> list[Step]:
    steps: list[Step] = []
    through = Compiled(t, t.compiled) if t.compiled else Products(t, x.dtype)
    for chunk in t.chunks():
        count = (chunk.last - chunk.first) * (chunk.bottom - chunk.top) * t.grid.out[1]
        changed, summed = cut(space[0], (t.n * t.n, count, t.windows.channels)), cut(space[1], (t.n * t.n, count, t.filters))
        steps += through.read(x, chunk, changed, space[1:])
        steps.append(through.multiply(changed, kernel, summed))
        steps += through.write(y, chunk, summed, space[0])
    return steps


def gradient_workspace(tiles: Tiles) -> tuple[TensorType, ...]:
    """For the transformed gradient and a chunk's share of it, transformed tiles, the input with its border, and the gradient of a block."""
    found = []
    for _, t in tiles.blocks:
        size = t.windows.channels * t.filters
        plain = [flat(TAPS * TAPS * size, t.dtype)] if t.filters < tiles.filters else []
        kernel = flat(t.n * t.n * size, t.dtype)
        found.append([*plain, *([kernel] if t.compiled else [kernel, kernel]), *t.workspace(2 if t.compiled else 3)])
    return _widest(found)


def kernel_gradient(tiles: Tiles, x: Array, g: Array, w: Array, space: Arrays) -> list[Step]:
    """Steps for ``w``, (3, 3, channels, filters), from the input and the output's gradient."""
    change = both(np.ascontiguousarray(matrices(tiles.m)[1].T), x.dtype)
    steps: list[Step] = []
    for some, t in tiles.blocks:
        whole = t.filters == tiles.filters
        made, rest = (w, space) if whole else (cut(space[0], (*w.shape[:3], t.filters)), space[1:])
        total = cut(rest[0], (t.n * t.n, t.windows.channels, t.filters))
        steps += [partial(total.fill, 0), *_add_up(t, x, g[..., some], total, rest[1:])]
        steps.append(partial(np.matmul, change, total.reshape(t.n * t.n, -1), made.reshape(TAPS * TAPS, -1)))
        steps += [] if whole else [partial(np.copyto, w[..., some], made)]
    return steps


def _add_up(t: Tiles, x: Array, g: Array, total: Array, space: Arrays) -> list[Step]:
    steps: list[Step] = []
    through = Compiled(t, t.compiled) if t.compiled else Products(t, x.dtype)
    share, space = ([], space) if t.compiled else ([cut(space[0], total.shape)], space[1:])
    for chunk in t.chunks():
        count = (chunk.last - chunk.first) * (chunk.bottom - chunk.top) * t.grid.out[1]
        changed, upstream = cut(space[0], (t.n * t.n, count, t.windows.channels)), cut(space[1], (t.n * t.n, count, t.filters))
        steps += through.read(x, chunk, changed, space[2:])
        steps += through.spread(g, chunk, upstream, space[2:])
        steps += through.add(changed, upstream, total, share)
    return steps


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

    def spread(self, g: Array, chunk: Chunk, changed: Array, space: Arrays) -> list[Step]:
        return [self._bound("spread", g, chunk, changed, self.zeros, (0, 0))]

    def write(self, y: Array, chunk: Chunk, summed: Array, space: Array) -> list[Step]:
        return [self._bound("write", y, chunk, summed, self.nowhere, (0, 0))]

    def _bound(self, name: str, images: Array, chunk: Chunk, changed: Array, row: Array, low: tuple[int, int]) -> Step:
        some, m = images[chunk.images], self.tiles.m
        count, height, width, channels = some.shape
        return self.kernels.bind(f"{name}_{m}", some, changed, row, count, chunk.bottom - chunk.top, self.tiles.grid.out[1], channels,
                                 height, width, chunk.top * m - low[0], -low[1], changed.shape[1] * channels, some.strides[2] // 4)
