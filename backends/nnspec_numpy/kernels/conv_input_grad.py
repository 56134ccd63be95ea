"""The gradient of a convolution in its input.

With stride 1 it is the convolution of the gradient with the flipped kernel; otherwise the gradient is multiplied with
the kernel of one tap after the other and added where that tap looked.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import ConvInputGrad

from . import depthwise, direct, packed, phases, scattered, volumes, winograd
from .algorithm import TUNED, Way, way, ways
from .columns import Columns
from .conv import parts, products
from .grid import Grid
from .kernel import Arrays, Kernel, Run, Step, Types, cut, flat, rows_of, sequence, sizes
from .move import move, turn
from .windows import Windows, of_convolution

ROWS = 2048  # of a tap's product at a time
BYTES = 1 << 20  # of products of all taps at a time
THIN = 8  # filters below which a library's product, whose depth they are, is slow
WASTE = 1.5  # how much more the flipped convolution may compute


def mirrored(w: Windows, channels: int) -> Windows | None:
    """The windows of the flipped convolution over the gradient; None where it computes much more, or needs a crop."""
    if prod(w.stride) != 1 or prod(w.spatial) > WASTE * prod(w.out):
        return None
    low = tuple((k - 1) * d - a for k, d, a in zip(w.size, w.dilation, w.low, strict=True))
    high = tuple(n + (k - 1) * d - m - a
                 for n, k, d, m, a in zip(w.spatial, w.size, w.dilation, w.out, low, strict=True))
    if min(low + high) < 0:
        return None
    return Windows(w.n, w.out, channels, w.size, w.stride, w.dilation, low, high, w.spatial)


def few(w: Windows, groups: int) -> bool:
    """Whether channels are too few for a product that has them as its columns."""
    return groups == 1 and w.channels < 16


def _plane_grid(w: Windows, dtype: DType) -> Grid:
    one = Grid(w, dtype, planes=True)
    return Grid(w, dtype, planes=True, most=max(1, BYTES // (prod(w.size) * one.pitch * dtype.size)))


def _windows(op: ConvInputGrad, g: tuple[int, ...], w: tuple[int, ...], x: tuple[int, ...]) -> Windows:
    return of_convolution(op, x, w[:-2], g)


def _way(op: ConvInputGrad, windows: Windows, w: tuple[int, ...], dtype: DType) -> Way:
    if op.way:
        return _ways(op, windows, w, dtype)[op.way]
    if windows.pointwise and not direct.worth(windows, w[-1], op.groups, dtype, "input"):
        if op.groups == 1 and w[-1] < THIN and direct.possible(windows, dtype):
            return Way("direct", f"{w[-1]} filter{'s' if w[-1] > 1 else ''} of one place")
        return Way("one product", "a window is one place")
    if w[-2] == 1 and op.groups > 1:
        return Way("taps", "every channel by itself")
    flipped = mirrored(windows, w[-1])
    if flipped is not None:
        return way(flipped, windows.channels, op.groups, dtype, op.tiles, "input")
    if few(windows, op.groups):
        return Way("runs" if scattered.possible(windows, op.groups, dtype) else "lines", f"{windows.channels} channels")
    if phases.possible(windows, w[-1], op.groups, dtype):
        return Way("direct", "a stride, by remainders")
    return Way("scattered taps", "a stride" if prod(windows.stride) != 1 else "a border wider than the window")


def _ways(op: ConvInputGrad, windows: Windows, w: tuple[int, ...], dtype: DType) -> dict[str, Way]:
    """All ways that there are, by name."""
    if w[-2] == 1 and op.groups > 1:
        return {name: Way(name, TUNED) for name in ("taps", *(["one product"] if windows.pointwise else []))}
    if (flipped := mirrored(windows, w[-1])) is not None:
        return ways(flipped, windows.channels, op.groups, dtype, op.tiles, "input")
    names = ["scattered taps"]
    names += ["lines"] if few(windows, op.groups) else []
    names += ["runs"] if scattered.possible(windows, op.groups, dtype) else []
    names += ["direct"] if phases.possible(windows, w[-1], op.groups, dtype) else []
    return {name: Way(name, TUNED) for name in names}


def _gathering(w: Windows, filters: int, dtype: DType) -> Windows | None:
    """Windows over the gradient of a convolution of every channel by itself: a sum is gathered in half the time of a scattered one."""
    return mirrored(w, filters) if filters == w.channels and not depthwise.native(w, dtype, filters) else None


def choice(op: ConvInputGrad, inputs: Types, outputs: Types) -> str:
    g, w = inputs
    return str(_way(op, _windows(op, sizes(g), sizes(w), sizes(outputs[0])), sizes(w), g.dtype))


def all_ways(op: ConvInputGrad, inputs: Types, outputs: Types) -> tuple[str, ...]:
    g, w = inputs
    return tuple(_ways(op, _windows(op, sizes(g), sizes(w), sizes(outputs[0])), sizes(w), g.dtype))


def workspace(op: ConvInputGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    g, w = inputs
    kernel, dtype = sizes(w), g.dtype
    windows = _windows(op, sizes(g), kernel, sizes(outputs[0]))
    chosen = _way(op, windows, kernel, dtype)
    if chosen.name == "one product":
        return ()
    if chosen.name == "taps":
        return depthwise.workspace(_gathering(windows, kernel[-1], dtype) or windows, dtype, kernel[-1])
    if chosen.tiles:
        return winograd.workspace(chosen.tiles, turned=True)
    flipped = mirrored(windows, kernel[-1])
    if flipped is not None and chosen.name == "packed":
        return flat(prod(kernel), dtype), *packed.Few(flipped, windows.channels).workspace("forward")
    if flipped is not None and chosen.name == "direct by planes":
        return flat(prod(kernel), dtype), *direct.Direct(flipped, 1, windows.channels).workspace(strips=False)
    if flipped is not None and chosen.name == "direct":
        return flat(prod(kernel), dtype), *direct.Direct(flipped, op.groups, windows.channels).workspace()
    if flipped is not None:
        return flat(prod(kernel), dtype), *Columns(flipped, op.groups, dtype).workspace()
    if chosen.name == "runs":
        return scattered.Runs(windows, kernel[-1]).workspace()
    if chosen.name == "lines":
        grid = _plane_grid(windows, dtype)
        places = grid.images * prod(grid.extent)
        return (flat(prod(kernel[:-1]) * places, dtype), flat(len(grid.phases) * places * windows.channels, dtype),
                flat(places * kernel[-1], dtype))
    if chosen.name == "direct":
        return phases.workspace(windows, kernel, op.groups, dtype)
    grid = Grid(windows, dtype)
    starts = [] if grid.tight else [flat(grid.images * prod(grid.extent) * kernel[-1], dtype)]
    return flat(ROWS * windows.channels, dtype), *grid.grids(), *starts


def bind(op: ConvInputGrad, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    g, w = inputs
    x = outputs[0]
    windows = _windows(op, g.shape, w.shape, x.shape)
    chosen = _way(op, windows, w.shape, DType(g.dtype.name))
    if chosen.name == "one product":
        triples = zip(*(parts(rows_of(a), op.groups) for a in (g, w, x)), strict=True)
        return sequence([partial(np.matmul, a, b.T, out) for a, b, out in triples])
    if chosen.name == "taps":
        gathering = _gathering(windows, w.shape[-1], DType(g.dtype.name))
        return sequence(depthwise.backward(windows, g, w, x, space) if gathering is None
                        else depthwise.forward(gathering, g, w, x, space, turned=True))
    if chosen.tiles:
        return sequence(winograd.convolve(chosen.tiles, g, w, x, space, turned=True))
    flipped = mirrored(windows, w.shape[-1])
    if flipped is not None:
        return sequence(_convolve(op, flipped, g, w, x, space, chosen.name))
    if chosen.name == "runs":
        return sequence(scattered.scatter(scattered.Runs(windows, w.shape[-1]), g, rows_of(w), x, space))
    if chosen.name == "lines":
        return sequence(_scatter_planes(windows, g, w, x, space))
    if chosen.name == "direct":
        return sequence(phases.scatter(windows, g, w, x, op.groups, space))
    return sequence(_scatter(op, windows, g, w, x, list(space)))


def _convolve(op: ConvInputGrad, windows: Windows, g: Array, w: Array, x: Array, space: Arrays, way: str) -> list[Step]:
    size, share = w.shape[:-2], w.shape[-1] // op.groups
    turned = cut(space[0], (op.groups, *size, share, w.shape[-2]))
    back = w[(slice(None, None, -1),) * len(size)]
    steps = [step for out, part in zip(turned, parts(back, op.groups), strict=True) for step in turn(out, part)]
    if way == "packed":
        return steps + packed.convolve(packed.Few(windows, x.shape[-1]), g, rows_of(turned[0]), x, space[1:])
    if way == "direct by planes":
        whole = direct.Direct(windows, 1, x.shape[-1])
        return [*steps, *whole.begin(space[1:]), *volumes.convolve(whole, g, rows_of(turned[0]), x, space[1:])]
    if way == "direct":
        return steps + direct.convolve(direct.Direct(windows, op.groups, x.shape[-1]), g, [rows_of(t) for t in turned], x, space[1:])
    columns = Columns(windows, op.groups, DType(g.dtype.name))
    return steps + products(columns, g, [rows_of(t) for t in turned], x, space[1:])


def _scatter(op: ConvInputGrad, w: Windows, g: Array, kernel: Array, x: Array, space: list[Array]) -> list[Step]:
    """The gradient is laid out as a grid, zero at places of no window, so that a tap's products run on in one line."""
    grid, channels, filters = Grid(w, DType(g.dtype.name)), w.channels, kernel.shape[-1]
    product = space.pop(0)
    steps: list[Step] = [] if grid.covers else [partial(x.fill, 0)]
    grids = [] if grid.plain else grid.of(space.pop(0))
    steps += [partial(s.fill, 0) for s in space]
    taps = list(zip(grid.taps, kernel.reshape(-1, *kernel.shape[-2:]), strict=True))
    for images in grid.chunks():
        count = images.stop - images.start
        targets = grids or [x[images].reshape(-1)]
        steps += [partial(t.fill, 0) for t in targets]
        values = rows_of(g[images])
        if space:
            laid = cut(space[0], (count, *grid.extent, filters))
            steps.append(move(laid[(slice(None), *(slice(n) for n in w.out))], g[images]))
            values = rows_of(laid)
        stop = (count * grid.pitch - max(t.offset for t, _ in taps)) // channels
        for start in range(0, stop, ROWS):
            rows = values[start : min(start + ROWS, stop)]
            out = cut(product, (len(rows), channels))
            for tap, factors in taps:
                triples = zip(parts(rows, op.groups), parts(factors, op.groups), parts(out, op.groups), strict=True)
                steps += [partial(np.matmul, a, b.T, c) for a, b, c in triples]
                target = targets[tap.grid][tap.offset + start * channels :][: out.size]
                steps.append(partial(np.add, target, out.reshape(-1), target))
        steps += grid.store(x, images, grids) if grids else []
    return steps


def _scatter_planes(w: Windows, g: Array, kernel: Array, x: Array, space: Arrays) -> list[Step]:
    """One product for all taps: a line for each tap and channel, added where the tap looked, channel after channel.

    A line is as long as a channel's places, so that the lines of a tap run on in one; past the last window it is zero.
    """
    grid, taps, filters = _plane_grid(w, DType(g.dtype.name)), prod(w.size), kernel.shape[-1]
    steps: list[Step] = [partial(space[2].fill, 0), *([] if grid.covers else [partial(x.fill, 0)])]
    for images in grid.chunks():
        count = images.stop - images.start
        size = count * grid.pitch
        laid = cut(space[2], (count, *grid.extent, filters))
        steps.append(move(laid[(slice(None), *(slice(n) for n in w.out))], g[images]))
        product = cut(space[0], (taps * w.channels, size // w.channels))
        steps.append(partial(np.matmul, rows_of(kernel), rows_of(laid).T, product))
        grids = [s[:size] for s in space[1].reshape(len(grid.phases), -1)]
        steps += [partial(s.fill, 0) for s in grids]
        for tap, lines in zip(grid.taps, product.reshape(taps, -1), strict=True):
            target = grids[tap.grid][tap.offset :]
            steps.append(partial(np.add, target, lines[: target.size], target))
        steps += grid.store(x, images, grids)
    return steps


CONV_INPUT_GRAD: dict[type[Any], Kernel] = {ConvInputGrad: Kernel(bind, workspace, choice=choice, ways=all_ways)}
