"""Means of windows and their gradients: compiled kernels, or sums over the places of a window as for the largest."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.pool import AvgPool, AvgPoolGrad, Pool

from . import compiled
from .grid import Grid
from .kernel import Arrays, Kernel, Run, Types, sequence
from .pool import Read, Write, alone_workspace, apart, backward, cleared, grid_of, native, piece


def counts(op: Pool, grid: Grid) -> Array:
    """By what a window's sum is divided: one number, or with borders one for each element of a chunk's grid."""
    w = grid.windows
    each = np.asarray(op.counts((1, *w.spatial, 1)), grid.dtype.numpy)
    if (each == each.reshape(-1)[0]).all():
        return each.reshape(-1)[:1].reshape(())
    spread = np.ones((grid.images, *grid.extent, w.channels), grid.dtype.numpy)
    grid.valid(spread.reshape(-1), slice(0, grid.images))[...] = each
    return spread.reshape(-1)


def bind_avg(op: AvgPool, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, y, space = inputs[0], outputs[0], list(workspace)
    grid = grid_of(op, x.shape, y.shape, DType(x.dtype.name))
    if native(grid):
        return sequence([compiled.call("mean", grid.windows, x, y, compiled.row(0.0, x.shape[-1]))])
    read, divisor = Read(grid, x, space, 0.0), counts(op, grid)
    values = None if grid.tight else space.pop(0)
    for images, seen in read.chunks():
        total = read.target(y, images, values)
        for at in grid.pieces(images.stop - images.start):
            part, views = total[at], [s[at] for s in seen]
            first = partial(np.add, *views[:2], part) if len(views) > 1 else partial(np.copyto, part, views[0])
            read.steps.append(first)
            read.steps += [partial(np.add, part, view, part) for view in views[2:]]
            read.steps.append(partial(np.divide, part, divisor[at] if divisor.ndim else divisor, part))
        read.finish(y, images, values)
    return sequence(read.steps)


def avg_grad_workspace(op: AvgPoolGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    grid = backward(op, inputs, outputs)
    return () if native(grid) else (*grid.grids(), *grid.starts(), piece(grid.dtype))


def bind_avg_grad(op: AvgPoolGrad, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    g, x, space = inputs[0], outputs[0], list(workspace)
    grid = grid_of(op, x.shape, g.shape, DType(g.dtype.name))
    if native(grid):
        return sequence([*cleared(grid, x), compiled.call("mean_gradient", grid.windows, g, x, compiled.nowhere(x.shape[-1]))])
    write, divisor = Write(grid, x, space), counts(op, grid)
    values = None if grid.tight else space.pop(0)
    for images, upstream in write.values(g, values):
        targets = write.targets(images, clear=not apart(grid))
        for at in grid.pieces(images.stop - images.start):
            share = space[0][: at.stop - at.start]
            write.steps.append(partial(np.divide, upstream[at], divisor[at] if divisor.ndim else divisor, share))
            write.steps += [partial(np.copyto, t[at], share) if apart(grid) else partial(np.add, t[at], share, t[at])
                            for t in targets]
        write.finish(images)
    return sequence(write.steps)


AVERAGE: dict[type[Any], Kernel] = {AvgPool: Kernel(bind_avg, alone_workspace), AvgPoolGrad: Kernel(bind_avg_grad, avg_grad_workspace)}
