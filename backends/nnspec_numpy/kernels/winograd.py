"""Convolution of 3x3 with stride 1 by Winograd's algorithm, as matrix products: fewer multiplications for the same sums.

A tile of ``m x m`` outputs sees ``n x n`` inputs, ``n = m + 2``. Tiles, kernel and outputs are seen through fixed matrices::

    y = A'[(G w G') * (B' x B)]A        over two axes; * element by element, summed over the input's channels

so that the sum over channels is ``n * n`` matrix products of (tiles, channels) with (channels, filters): 2.25 times fewer
multiplications for tiles of 2, 4 times fewer for tiles of 4. Both axes at once the fixed matrices are Kronecker products, and
a transformation is one product over all tiles and channels of a chunk; compiled (extra ``fast``), a tile is changed in registers. The
gradient in the kernel is the same form read backwards::

    w = G'[(A g A') * (B' x B)]G

What is less of it than rounding leaves of a zero (``tiles.NOISE``) is zero: where terms are zero all along, as behind a relu, a sum of products is
too, and an optimizer that divides by a gradient's size (Adam) makes a step of any noise.

S. Winograd, "Arithmetic complexity of computations" (1980); A. Lavin, S. Gray, "Fast algorithms for convolutional neural
networks" (2016). B. Barabasz and others, "Error analysis and improving the accuracy of Winograd convolution" (2020), show
how much the points matter: those of ``POINTS`` err half as much as 0, 1, -1, 2, -2.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass

from . import direct
from .copies import step
from .ending import Ending
from .kernel import Arrays, Step, cut, elements, flat
from .matmul import multiplied
from .move import fill
from .tiles import TAPS, Tiles, both, matrices
from .transforms import Compiled, Products


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


@dataclass(frozen=True)
class Transformed:
    """A kernel that is transformed, its filters in as many blocks at a time, each in strips of ``width`` where that is not 0."""

    m: int
    channels: int
    blocks: tuple[tuple[int, int], ...]  # first and last filter
    width: int
    dtype: DType

    def __str__(self) -> str:
        return f"Winograd {self.m}x{self.m} by {self.width or self.blocks[0][1]}"

    @property
    def planes(self) -> int:
        return (self.m + TAPS - 1) ** 2

    @property
    def type(self) -> TensorType:
        return flat(self.planes * self.channels * self.blocks[-1][1], self.dtype)

    def parts(self, kept: Array) -> list[Array]:
        """Of every block: (planes, channels, filters), or (strips, planes, channels, width)."""
        found = []
        for a, b in self.blocks:
            one = kept[self.planes * self.channels * a : self.planes * self.channels * b]
            shape = (self.planes, self.channels, b - a)
            found.append(one.reshape((b - a) // self.width, *shape[:2], self.width) if self.width else one.reshape(shape))
        return found

    def fill(self, weight: Array, kept: Array) -> list[Step]:
        change = both(matrices(self.m)[1], weight.dtype)
        return [partial(self._fill, change, weight.reshape(TAPS * TAPS, self.channels, -1), self.parts(kept))]

    def _fill(self, change: Array, weight: Array, parts: list[Array]) -> None:
        for (a, b), part in zip(self.blocks, parts, strict=True):
            width = self.width or b - a
            for strip, first in zip(part if self.width else [part], range(a, b, width), strict=True):
                own = np.ascontiguousarray(weight[..., first : first + width]).reshape(TAPS * TAPS, -1)
                np.matmul(change, own, strip.reshape(self.planes, -1))


def transformed(tiles: Tiles) -> Transformed:
    """The form of a kernel that is kept."""
    channels, blocks = tiles.windows.channels, [(some.start, some.stop) for some, _ in tiles.blocks]
    width = 0
    if tiles.compiled:
        first = tiles.blocks[0][1]
        rows = max((c.last - c.first) * (c.bottom - c.top) for c in first.chunks()) * tiles.grid.out[1]
        width = direct.strip(rows, first.filters, channels)
        width = width if width and all((b - a) % width == 0 for a, b in blocks) else 0
    return Transformed(tiles.m, channels, tuple(blocks), width, tiles.dtype)


def kept_workspace(tiles: Tiles) -> tuple[TensorType, ...]:
    """For transformed tiles twice, and the input with its border, where the kernel is transformed already."""
    return _widest([t.workspace(2) for _, t in tiles.blocks])


def convolve_kept(tiles: Tiles, x: Array, kept: Array, y: Array, space: Arrays, ending: Ending | None = None) -> list[Step]:
    """Steps for ``y`` from a kernel that is transformed already."""
    steps: list[Step] = []
    for (some, t), kernel in zip(tiles.blocks, transformed(tiles).parts(kept), strict=True):
        steps += _multiply(t, x, kernel, y[..., some], space, ending)
    return steps


def convolve(tiles: Tiles, x: Array, taps: Array, y: Array, space: Arrays, turned: bool = False, ending: Ending | None = None) -> list[Step]:
    """Steps for ``y``; ``taps`` is (3, 3, channels, filters), or where they are ``turned`` (3, 3, filters, channels) from the last on."""
    g = matrices(tiles.m)[1]
    change = both(g[:, ::-1] if turned else g, x.dtype)
    steps: list[Step] = []
    for some, t in tiles.blocks:
        own, rest = np.swapaxes(taps, 2, 3)[..., some] if turned else taps[..., some], space
        if turned or t.filters < tiles.filters:
            plain, *rest = cut(space[0], own.shape), *space[1:]
            steps.append(step(plain, own))
            own = plain
        kernel = cut(rest[0], (t.n * t.n, t.windows.channels, t.filters))
        steps.append(multiplied(change, own.reshape(TAPS * TAPS, -1), kernel.reshape(t.n * t.n, -1)))
        steps += _multiply(t, x, kernel, y[..., some], rest[1:], ending)
    return steps


def _multiply(t: Tiles, x: Array, kernel: Array, y: Array, space: Arrays, ending: Ending | None) -> list[Step]:
    steps: list[Step] = []
    through = Compiled(t, t.compiled) if t.compiled else Products(t, x.dtype)
    for chunk in t.chunks():
        count = (chunk.last - chunk.first) * (chunk.bottom - chunk.top) * t.grid.out[1]
        changed, summed = cut(space[0], (t.n * t.n, count, t.windows.channels)), cut(space[1], (t.n * t.n, count, t.filters))
        steps += through.read(x, chunk, changed, space[1:])
        steps.append(through.multiply(changed, kernel, summed))
        if ending is None:
            steps += through.write(y, chunk, summed, space[0])
        else:
            assert isinstance(through, Compiled), "only compiled transformations have an epilogue"
            steps += through.finish(y, chunk, summed, ending)
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
    steps: list[Step] = []
    for some, t in tiles.blocks:
        whole = t.filters == tiles.filters
        made, rest = (w, space) if whole else (cut(space[0], (*w.shape[:3], t.filters)), space[1:])
        total = cut(rest[0], (t.n * t.n, t.windows.channels, t.filters))
        steps += [fill(total), *_add_up(t, x, g[..., some], total, made, rest[1:])]
        steps += [] if whole else [step(w[..., some], made)]
    return steps


def _add_up(t: Tiles, x: Array, g: Array, total: Array, made: Array, space: Arrays) -> list[Step]:
    steps: list[Step] = []
    through = Compiled(t, t.compiled) if t.compiled else Products(t, x.dtype)
    share, space = ([], space) if t.compiled else ([cut(space[0], total.shape)], space[1:])
    for chunk in t.chunks():
        count = (chunk.last - chunk.first) * (chunk.bottom - chunk.top) * t.grid.out[1]
        changed, upstream = cut(space[0], (t.n * t.n, count, t.windows.channels)), cut(space[1], (t.n * t.n, count, t.filters))
        steps += through.read(x, chunk, changed, space[2:])
        steps += through.spread(g, chunk, upstream, space[2:])
        steps += through.add(changed, upstream, total, share)
    return [*steps, *through.taps(total, made, share)]
