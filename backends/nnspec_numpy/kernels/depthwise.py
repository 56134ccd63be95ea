"""Convolution of every channel by itself: tap by tap, multiply and add over channels-last rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType

from .kernel import Arrays, Step, cut, flat
from .windows import Chunk, Windows, border

BYTES = 1 << 17  # of output at a time
ROW = 512  # channels from which a row of the kernel is long enough to be multiplied as it is


def _wanted(w: Windows, dtype: DType) -> int:
    return max(1, BYTES // (w.channels * dtype.size))


def _tile(w: Windows) -> tuple[int, ...]:
    """A tap's factors, repeated along the output's last axis where channels alone make short rows."""
    return (w.out[-1], w.channels) if w.channels < ROW else (w.channels,)


def _piece(w: Windows, dtype: DType) -> int:
    wanted = _wanted(w, dtype)
    return w.images(wanted) * w.lines(wanted) * prod(w.out[1:]) * w.channels


def _padded(w: Windows, dtype: DType) -> int:
    return w.images(_wanted(w, dtype)) * prod(w.padded) * w.channels


def workspace(w: Windows, groups: int, dtype: DType, channels: int) -> tuple[TensorType, ...]:
    """For the kernel's tiles, a product, a sum and the padded images."""
    tiles = prod(w.size) * (channels // groups) * prod(_tile(w))
    piece = _piece(w, dtype)
    return flat(tiles, dtype), flat(piece, dtype), flat(piece, dtype), *([flat(_padded(w, dtype), dtype)] if w.bordered else [])


def input_workspace(w: Windows, groups: int, dtype: DType, channels: int) -> tuple[TensorType, ...]:
    """For the kernel's tiles, a product and the padded images."""
    tiles = prod(w.size) * (channels // groups) * prod(_tile(w))
    return flat(tiles, dtype), flat(_piece(w, dtype), dtype), flat(_padded(w, dtype), dtype)


def kernel_workspace(w: Windows, groups: int, dtype: DType, channels: int) -> tuple[TensorType, ...]:
    """For the sums of a row, a product, a chunk's sum and the padded images."""
    row = w.out[-1] * w.channels
    sums = prod(w.size) * (channels // groups) * row
    return (flat(sums, dtype), flat(_piece(w, dtype), dtype), flat(row, dtype),
            *([flat(_padded(w, dtype), dtype)] if w.bordered else []))


def _spread(w: Windows, kernel: Array, space: Array) -> tuple[Array, list[Step]]:
    """The kernel as (tap, multiple, *tile), and the steps that write it."""
    taps, times = prod(w.size), kernel.shape[-1] // w.channels
    tiles = cut(space, (taps, times, *_tile(w)))
    rows = kernel.reshape(taps, w.channels, times).transpose(0, 2, 1)
    return tiles, [partial(np.copyto, tiles, rows[:, :, None] if len(_tile(w)) == 2 else rows)]


def _sources(w: Windows, x: Array, space: Arrays) -> Iterator[tuple[Chunk, Array, list[Step]]]:
    """Each chunk with its images, padded where there are borders, and the steps that pad them."""
    for n, chunk in enumerate(w.chunks(_wanted(w, DType(x.dtype.name)))):
        source, steps = x[chunk.images], []
        if w.bordered:
            whole = cut(space[-1], (w.images(_wanted(w, DType(x.dtype.name))), *w.padded, w.channels))
            steps += border(whole, w.low, w.high, 0.0) if n == 0 else []
            padded = whole[: chunk.last - chunk.first]
            steps += [partial(np.copyto, padded[(slice(None), *w.inside)], source)] if chunk.top == 0 else []
            source = padded
        yield chunk, source, steps


def forward(w: Windows, x: Array, kernel: Array, y: Array, space: Arrays) -> list[Step]:
    """Steps for ``y[..., c * m + j] = sum over taps of x[..., c] * kernel[tap, 0, c * m + j]``."""
    tiles, steps = _spread(w, kernel, space[0])
    times = tiles.shape[1]
    for chunk, source, before in _sources(w, x, space):
        steps += before
        part = y[chunk.images, chunk.places]
        shape = (*part.shape[:-1], w.channels)
        product = cut(space[1], shape)
        for j in range(times):
            total = part if times == 1 else cut(space[2], shape)
            for i, tap in enumerate(w.taps()):
                seen = source[(slice(None), *w.tap(tap, chunk.top, chunk.bottom))]
                steps.append(partial(np.multiply, seen, tiles[i, j], product if i else total))
                if i:
                    steps.append(partial(np.add, total, product, total))
            if times > 1:
                steps.append(partial(np.copyto, part[..., j::times], total))
    return steps


def backward(w: Windows, g: Array, kernel: Array, x: Array, space: Arrays) -> list[Step]:
    """Steps for the gradient in the input: each tap's products added where the tap looked."""
    tiles, steps = _spread(w, kernel, space[0])
    times = tiles.shape[1]
    wanted = _wanted(w, DType(g.dtype.name))
    whole = cut(space[2], (w.images(wanted), *w.padded, w.channels))
    for chunk in w.chunks(wanted):
        if chunk.top == 0:
            steps.append(partial(whole.fill, 0))
        padded = whole[: chunk.last - chunk.first]
        for j in range(times):
            upstream = g[chunk.images, chunk.places][..., j::times]
            product = cut(space[1], upstream.shape)
            for i, tap in enumerate(w.taps()):
                place = padded[(slice(None), *w.tap(tap, chunk.top, chunk.bottom))]
                steps.append(partial(np.multiply, upstream, tiles[i, j], product))
                steps.append(partial(np.add, place, product, place))
        if chunk.bottom == w.out[0]:
            steps.append(partial(np.copyto, x[chunk.images], padded[(slice(None), *w.inside)]))
    return steps


def kernel_gradient(w: Windows, x: Array, g: Array, kernel: Array, space: Arrays) -> list[Step]:
    """Steps for the gradient in the kernel: products summed over lines chunk by chunk, then over the last axis."""
    taps, times, row = prod(w.size), kernel.shape[-1] // w.channels, w.out[-1] * w.channels
    sums, line = cut(space[0], (taps, times, row)), cut(space[2], (row,))
    steps: list[Step] = []
    for n, (chunk, source, before) in enumerate(_sources(w, x, space)):
        steps += before
        for j in range(times):
            upstream = g[chunk.images, chunk.places][..., j::times]
            product = cut(space[1], upstream.shape)
            for i, tap in enumerate(w.taps()):
                seen = source[(slice(None), *w.tap(tap, chunk.top, chunk.bottom))]
                steps.append(partial(np.multiply, seen, upstream, product))
                steps.append(partial(np.add.reduce, product.reshape(-1, row), axis=0, out=line if n else sums[i, j]))
                if n:
                    steps.append(partial(np.add, sums[i, j], line, sums[i, j]))
    target = kernel.reshape(taps, w.channels, times).transpose(0, 2, 1)
    steps.append(partial(np.add.reduce, sums.reshape(taps, times, w.out[-1], w.channels), axis=2, out=target))
    return steps
