"""The largest of windows and its gradients: compiled kernels, or for each place of the window arithmetic on one contiguous slice of parted images.

A choice by masks takes NumPy ten times as long as arithmetic, so a tap's share of a gradient is its bits times 0 or 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.pool import MaxPool, MaxPoolGrad, MaxPoolPick, Pool, WindowMax

from . import compiled, packed
from .grid import PIECE, Grid
from .kernel import Arrays, Kernel, Run, Step, Types, flat, sequence, sizes
from .move import fill, move
from .windows import Ints, of_pool

BITS = {4: DType.int32, 8: DType.int64}


def grid_of(op: Pool, x: Ints, y: Ints, dtype: DType) -> Grid:
    return Grid(of_pool(op, x, y), dtype)


def forward(op: Pool, inputs: Types, outputs: Types) -> Grid:
    return grid_of(op, sizes(inputs[0]), sizes(outputs[0]), inputs[0].dtype)


def backward(op: Pool, inputs: Types, outputs: Types) -> Grid:
    return grid_of(op, sizes(outputs[0]), sizes(inputs[0]), inputs[0].dtype)


def native(grid: Grid) -> bool:
    """Whether a compiled kernel does it."""
    return compiled.possible(grid.windows, grid.dtype)


def cleared(grid: Grid, x: Array) -> list[Step]:
    """Zeros to add to; none where every place is in one window."""
    return [] if compiled.apart(grid.windows) and grid.covers else [fill(x)]


def piece(dtype: DType) -> TensorType:
    return flat(PIECE, dtype)


class Read:
    """A pool over images ``x``: chunk by chunk the grids that are read, and the values to write, one a window."""

    def __init__(self, grid: Grid, x: Array, space: list[Array], border: float) -> None:
        self.grid, self.x = grid, x
        self.steps: list[Step] = []
        if not grid.plain:
            self.grids = grid.of(space.pop(0))
            self.steps += [partial(g.fill, border) for g in self.grids] if grid.windows.bordered else []

    def chunks(self) -> Iterator[tuple[slice, list[Array]]]:
        """Each chunk's images, and what every place of the window sees from the chunk's first element on."""
        for images in self.grid.chunks():
            grids = [self.x[images].reshape(-1)] if self.grid.plain else self.grids
            if not self.grid.plain:
                self.steps += self.grid.load(self.x, images, grids)
            yield images, [grids[t.grid][t.offset :] for t in self.grid.taps]

    def target(self, y: Array, images: slice, space: Array | None) -> Array:
        """Where a chunk's values are written: the output itself where its windows are the grid."""
        return y[images].reshape(-1) if space is None else space

    def finish(self, y: Array, images: slice, space: Array | None) -> None:
        if space is not None:
            self.steps.append(move(y[images], self.grid.valid(space, images)))


class Write:
    """A pool's gradient into images ``x``: chunk by chunk the grids to add into, and the values read, one a window."""

    def __init__(self, grid: Grid, x: Array, space: list[Array]) -> None:
        self.grid, self.x = grid, x
        self.grids = [] if grid.plain else grid.of(space.pop(0))
        self.steps: list[Step] = [] if grid.covers else [fill(x)]

    def values(self, g: Array, space: Array | None) -> Iterator[tuple[slice, Array]]:
        """Each chunk of one value a window, zero at the places of the grid between."""
        if space is not None:
            self.steps.append(partial(space.fill, 0))
        for images in self.grid.chunks():
            if space is not None:
                self.steps.append(move(self.grid.valid(space, images), g[images]))
            yield images, g[images].reshape(-1) if space is None else space

    def targets(self, images: slice, clear: bool) -> list[Array]:
        """For every place of the window, where the shares of the chunk are added from its first element on."""
        grids = [self.x[images].reshape(-1)] if self.grid.plain else self.grids
        self.steps += [partial(g.fill, 0) for g in grids] if clear else []
        return [grids[t.grid][t.offset :] for t in self.grid.taps]

    def finish(self, images: slice) -> None:
        if not self.grid.plain:
            self.steps += self.grid.store(self.x, images, self.grids)


def apart(grid: Grid) -> bool:
    """Whether every place of the window has a grid of its own: no two windows share an element."""
    return grid.tight and len(grid.phases) == len(grid.taps)


def _codes(grid: Grid) -> DType:
    """A type that numbers the places of the window."""
    return DType.uint8 if len(grid.taps) <= 256 else DType.int32


def max_workspace(op: MaxPool, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    grid = forward(op, inputs, outputs)
    if native(grid):
        return ()
    codes = _codes(grid)
    return *grid.grids(), *grid.starts(), flat(grid.images * grid.pitch, codes), piece(codes), piece(DType.bool)


def bind_max(op: MaxPool, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    """The first of equals: a later one has to be larger. NaN stays."""
    x, (y, index), space = inputs[0], outputs, list(workspace)
    grid = grid_of(op, x.shape, y.shape, DType(x.dtype.name))
    if native(grid):
        few = packed.largest(grid.windows, x, y, index)
        return sequence([few or compiled.call("largest", grid.windows, x, y, index, compiled.row(-np.inf, x.shape[-1]))])
    read = Read(grid, x, space, -np.inf)
    values = None if grid.tight else space.pop(0)
    codes, number, larger = space
    for images, seen in read.chunks():
        best = read.target(y, images, values)
        for at in grid.pieces(images.stop - images.start):
            read.steps += _largest([s[at] for s in seen], best[at], codes[at], number, larger)
        read.finish(y, images, values)
        read.steps.append(partial(np.copyto, index[images], grid.valid(codes, images)))
    return sequence(read.steps)


def _largest(seen: list[Array], best: Array, codes: Array, number: Array, larger: Array) -> Iterator[Step]:
    number, larger = number[: best.size], larger[: best.size]
    if len(seen) == 1:
        yield partial(np.copyto, best, seen[0])
        yield partial(codes.fill, 0)
        return
    yield partial(np.greater, seen[1], seen[0], larger)
    yield partial(np.copyto, codes, larger)
    yield partial(np.maximum, seen[0], seen[1], out=best)
    for i, view in enumerate(seen[2:], 2):
        yield partial(np.greater, view, best, larger)
        if number.itemsize == 1:
            yield partial(np.multiply, larger.view(np.uint8), np.uint8(i), number)
        else:
            yield partial(np.copyto, number, larger)
            yield partial(np.multiply, number, np.int32(i), number)
        yield partial(np.maximum, codes, number, out=codes)
        yield partial(np.maximum, best, view, out=best)


def alone_workspace(op: Pool, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    grid = forward(op, inputs, outputs)
    return () if native(grid) else (*grid.grids(), *grid.starts())


def bind_alone(op: WindowMax, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, y, space = inputs[0], outputs[0], list(workspace)
    grid = grid_of(op, x.shape, y.shape, DType(x.dtype.name))
    if native(grid):
        few = packed.largest(grid.windows, x, y)
        return sequence([few or compiled.call("largest_alone", grid.windows, x, y, compiled.row(-np.inf, x.shape[-1]))])
    read = Read(grid, x, space, -np.inf)
    values = None if grid.tight else space.pop(0)
    for images, seen in read.chunks():
        best = read.target(y, images, values)
        for at in grid.pieces(images.stop - images.start):
            views = [s[at] for s in seen]
            read.steps.append(partial(np.maximum, *views[:2], out=best[at]) if len(views) > 1 else partial(np.copyto, best[at], views[0]))
            read.steps += [partial(np.maximum, best[at], view, out=best[at]) for view in views[2:]]
        read.finish(y, images, values)
    return sequence(read.steps)


def _share(i: int, index: Array, bits: Array, mask: Array, here: Array, out: Array) -> Iterator[Step]:
    """``out = bits`` where the index is ``i``, else 0."""
    mask, here = mask[: bits.size], here[: bits.size]
    yield partial(np.equal, index, np.int32(i), here)
    yield partial(np.copyto, mask, here)
    yield partial(np.multiply, mask, bits, out)


def max_grad_workspace(op: MaxPoolGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    grid = backward(op, inputs, outputs)
    if native(grid):
        return ()
    bits = BITS[grid.dtype.size]
    return (*grid.grids(), *grid.starts(), *grid.starts(DType.int32),
            piece(bits), piece(grid.dtype), piece(DType.bool))


def bind_max_grad(op: MaxPoolGrad, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    (g, index), x, space = inputs, outputs[0], list(workspace)
    grid = grid_of(op, x.shape, g.shape, DType(g.dtype.name))
    if native(grid):
        if few := packed.largest_gradient(grid.windows, g, index, x):
            return sequence([few])
        return sequence([*cleared(grid, x), compiled.call("largest_gradient", grid.windows, g, index, x, compiled.nowhere(x.shape[-1]))])
    write = Write(grid, x, space)
    values, places = (None, None) if grid.tight else (space.pop(0), space.pop(0))
    mask, share, here = space
    if places is not None:
        write.steps.append(partial(places.fill, 0))
    for images, upstream in write.values(g, values):
        numbers = index[images].reshape(-1) if places is None else places
        if places is not None:
            write.steps.append(move(grid.valid(places, images), index[images]))
        targets = write.targets(images, clear=not apart(grid))
        for at in grid.pieces(images.stop - images.start):
            bits = upstream[at].view(mask.dtype)
            for i, target in enumerate(targets):
                out = target[at] if apart(grid) else share[: bits.size]
                write.steps += _share(i, numbers[at], bits, mask, here, out.view(mask.dtype))
                if not apart(grid):
                    write.steps.append(partial(np.add, target[at], out, target[at]))
        write.finish(images)
    return sequence(write.steps)


def max_pick_workspace(op: MaxPoolPick, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    grid = forward(op, inputs, outputs)
    return *grid.grids(), *grid.starts(), *grid.starts(DType.int32), piece(BITS[grid.dtype.size]), piece(DType.bool)


def bind_max_pick(op: MaxPoolPick, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    (x, index), y, space = inputs, outputs[0], list(workspace)
    grid = grid_of(op, x.shape, y.shape, DType(x.dtype.name))
    read = Read(grid, x, space, 0.0)
    values, places = (None, None) if grid.tight else (space.pop(0), space.pop(0))
    mask, here = space
    if places is not None:
        read.steps.append(partial(places.fill, 0))
    for images, seen in read.chunks():
        numbers = index[images].reshape(-1) if places is None else places
        if places is not None:
            read.steps.append(move(grid.valid(places, images), index[images]))
        picked = read.target(y, images, values).view(mask.dtype)
        for at in grid.pieces(images.stop - images.start):
            read.steps.append(partial(picked[at].fill, 0))
            for i, view in enumerate(seen):
                bits = view[at].view(mask.dtype)
                read.steps += _share(i, numbers[at], bits, mask, here, mask[: bits.size])
                read.steps.append(partial(np.bitwise_or, picked[at], mask[: bits.size], picked[at]))
        read.finish(y, images, values)
    return sequence(read.steps)


POOL: dict[type[Any], Kernel] = {
    MaxPool: Kernel(bind_max, max_workspace),
    WindowMax: Kernel(bind_alone, alone_workspace),
    MaxPoolGrad: Kernel(bind_max_grad, max_grad_workspace),
    MaxPoolPick: Kernel(bind_max_pick, max_pick_workspace),
}
