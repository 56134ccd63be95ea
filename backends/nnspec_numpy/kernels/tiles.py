"""Winograd's matrices, and how a convolution is cut into tiles and chunks of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache, partial
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass, replace
from nnspec_numpy.llvm import tiles as compiled
from nnspec_numpy.llvm.code import Code
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.epilogue import Epilogue
from nnspec_numpy.llvm.library import Kernels, library

from .kernel import Step, cut, flat
from .move import move
from .windows import Chunk, Windows

TAPS = 3
POINTS = {2: (0, 1, -1), 4: (0, Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))}  # and infinity
NOISE = {2: 2.0**-22, 4: 2.0**-18}  # of the largest number of a tile that becomes a kernel's gradient: what rounding makes of a zero, at most
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
        a, g, b = matrices(m)
        for name, matrix, reads in compiled.winograd(m, a, b):
            yield name, compiled.write(cpu, matrix, m, reads)
        yield f"taps_{m}", compiled.taps(cpu, g.T, NOISE[m])


@dataclass(frozen=True)
class Writing:
    """The one transformation that writes tiles of ``m``, with an epilogue."""

    m: int
    epilogue: Epilogue

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield f"write_{self.m}", compiled.write(cpu, matrices(self.m)[0], self.m, False, self.epilogue)


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
