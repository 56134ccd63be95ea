"""Convolution of every channel by itself: a compiled kernel, or for each tap one multiplication and one addition over parted images.

The factors of a tap are repeated into a tile as long as a pass, so that all arithmetic is one-dimensional.
"""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType

from . import compiled
from .ending import Ending
from .grid import PIECE, Grid
from .kernel import Arrays, Step, flat
from .move import fill, move
from .windows import Windows


def _tile(grid: Grid) -> int:
    """Elements of a pass: whole rows of channels."""
    channels = grid.windows.channels
    return max(1, min(PIECE // channels, grid.images * grid.pitch // channels)) * channels


def _times(w: Windows, channels: int) -> int:
    """Outputs a channel."""
    return channels // w.channels


def _tiles(grid: Grid, times: int) -> TensorType:
    return flat(len(grid.taps) * times * _tile(grid), grid.dtype)


def native(w: Windows, dtype: DType, channels: int) -> bool:
    """Whether a compiled kernel does it: one output a channel."""
    return channels == w.channels and compiled.possible(w, dtype)


def workspace(w: Windows, dtype: DType, channels: int) -> tuple[TensorType, ...]:
    """For the kernel's tiles or their gradients, a product, the grids, and values of windows that are not the grid; compiled, for sums."""
    if native(w, dtype, channels):
        return (flat(prod(w.size) * channels, dtype),)
    grid, times = Grid(w, dtype), _times(w, channels)
    values = [] if grid.tight and times == 1 else [flat(grid.images * grid.pitch, dtype)]
    return _tiles(grid, times), flat(_tile(grid), dtype), *grid.grids(), *values


def _spread(tiles: Array, kernel: Array, channels: int, turned: bool = False) -> Step:
    """The step that repeats the kernel into ``tiles``: (tap, multiple, elements of a pass), from the last tap where ``turned``."""
    taps, times, size = tiles.shape
    rows = kernel.reshape(taps, 1, channels, times)[:: -1 if turned else 1].transpose(0, 3, 1, 2)
    return partial(np.copyto, tiles.reshape(taps, times, size // channels, channels), rows)


def _shaped(space: Array, grid: Grid, times: int) -> Array:
    return space.reshape(len(grid.taps), times, -1)


def forward(w: Windows, x: Array, kernel: Array, y: Array, workspace: Arrays, turned: bool = False, ending: Ending | None = None) -> list[Step]:
    """Steps for ``y[..., c * m + j] = sum over taps of x[..., c] * kernel[tap, 0, c * m + j]``; ``turned``: the taps reversed."""
    if native(w, DType(x.dtype.name), y.shape[-1]) and not turned:
        return [compiled.call("depthwise", w, x, kernel, y, compiled.row(0.0, w.channels), ending=ending)]
    assert ending is None, "only the compiled kernel has an epilogue"
    grid, times, space = Grid(w, DType(x.dtype.name)), _times(w, y.shape[-1]), list(workspace)
    tiles, product = _shaped(space.pop(0), grid, times), space.pop(0)
    steps = [_spread(tiles, kernel, w.channels, turned)]
    grids = [] if grid.plain else grid.of(space.pop(0))
    steps += [partial(g.fill, 0) for g in grids] if w.bordered else []
    for images in grid.chunks():
        steps += grid.load(x, images, grids) if grids else []
        sources = grids or [x[images].reshape(-1)]
        for j in range(times):
            sums = space[0] if space else y[images].reshape(-1)
            for at in grid.pieces(images.stop - images.start, w.channels):
                part = sums[at]
                for i, tap in enumerate(grid.taps):
                    seen = sources[tap.grid][tap.offset :][at]
                    out = product[: part.size] if i else part
                    steps.append(partial(np.multiply, seen, tiles[i, j, : part.size], out))
                    steps += [partial(np.add, part, out, part)] if i else []
            if space:
                steps.append(move(y[images][..., j::times], grid.valid(sums, images)))
    return steps


def _upstream(grid: Grid, g: Array, images: slice, j: int, times: int, space: list[Array]) -> tuple[Array, list[Step]]:
    """The gradient of one output a channel, laid out as a grid that holds zeros at places of no window."""
    if not space:
        return g[images].reshape(-1), []
    return space[0], [move(grid.valid(space[0], images), g[images][..., j::times])]


def backward(w: Windows, g: Array, kernel: Array, x: Array, workspace: Arrays) -> list[Step]:
    """Steps for the gradient in the input: each tap's products added where the tap looked."""
    if native(w, DType(g.dtype.name), g.shape[-1]):
        if prod(w.stride) == 1:
            return [compiled.call("depthwise", w, g, kernel, x, compiled.row(0.0, w.channels), back=True)]
        return [fill(x), compiled.call("depthwise_scatter", w, g, kernel, x, compiled.nowhere(w.channels))]
    grid, times, space = Grid(w, DType(g.dtype.name)), _times(w, g.shape[-1]), list(workspace)
    tiles, product = _shaped(space.pop(0), grid, times), space.pop(0)
    steps = [_spread(tiles, kernel, w.channels)]
    steps += [] if grid.covers else [partial(x.fill, 0)]
    grids = [] if grid.plain else grid.of(space.pop(0))
    steps += [partial(s.fill, 0) for s in space]
    for images in grid.chunks():
        targets = grids or [x[images].reshape(-1)]
        steps += [partial(t.fill, 0) for t in targets]
        for j in range(times):
            values, before = _upstream(grid, g, images, j, times, space)
            steps += before
            for at in grid.pieces(images.stop - images.start, w.channels):
                part = product[: at.stop - at.start]
                for i, tap in enumerate(grid.taps):
                    target = targets[tap.grid][tap.offset :][at]
                    steps.append(partial(np.multiply, values[at], tiles[i, j, : part.size], part))
                    steps.append(partial(np.add, target, part, target))
        steps += grid.store(x, images, grids) if grids else []
    return steps


def kernel_gradient(w: Windows, x: Array, g: Array, kernel: Array, workspace: Arrays) -> list[Step]:
    """Steps for the gradient in the kernel: products added up pass by pass, then over the rows of a tile."""
    if native(w, DType(x.dtype.name), g.shape[-1]):
        return [fill(kernel), compiled.call("depthwise_kernel", w, x, g, kernel, compiled.row(0.0, w.channels), workspace[0])]
    grid, times, space = Grid(w, DType(x.dtype.name)), _times(w, g.shape[-1]), list(workspace)
    sums, product = _shaped(space.pop(0), grid, times), space.pop(0)
    steps: list[Step] = [partial(sums.fill, 0)]
    grids = [] if grid.plain else grid.of(space.pop(0))
    steps += [partial(s.fill, 0) for s in (*grids, *space)]  # what no window sees is multiplied too, by zero
    for images in grid.chunks():
        steps += grid.load(x, images, grids) if grids else []
        sources = grids or [x[images].reshape(-1)]
        for j in range(times):
            values, before = _upstream(grid, g, images, j, times, space)
            steps += before
            for at in grid.pieces(images.stop - images.start, w.channels):
                part = product[: at.stop - at.start]
                for i, tap in enumerate(grid.taps):
                    total = sums[i, j, : part.size]
                    steps.append(partial(np.multiply, sources[tap.grid][tap.offset :][at], values[at], part))
                    steps.append(partial(np.add, total, part, total))
    rows = sums.reshape(len(grid.taps), times, -1, w.channels)
    target, total = kernel.reshape(len(grid.taps), w.channels, times), product[: w.channels]
    for i in range(len(grid.taps)):
        for j in range(times):
            steps.append(partial(np.add.reduce, rows[i, j], axis=0, out=total))
            steps.append(partial(np.copyto, target[i, :, j], total))
    return steps
