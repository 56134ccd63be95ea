"""What the windows of a convolution see, as rows of a matrix, and back.

A row of columns is a window; its elements are taps outermost, then the channels of a group. Groups are the leading axis. What is
added up is added in float32 where images have 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from nnspec.ir.program import Array
from nnspec.ops.conv import Convolution, pads
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.each import each
from nnspec_cupy.cuda.elements import C, summed
from nnspec_cupy.cuda.lanes import BYTES, MOST, vector
from nnspec_cupy.cuda.places import place

Sizes = tuple[int, ...]


def together(op: Convolution, image: Array, matrix: Array) -> int:
    """How many channels a thread moves at once: they lie side by side in an image and in a row, from places that are a multiple of their bytes."""
    channels = image.shape[-1] // op.groups
    count = min(MOST, BYTES // image.type.dtype.size)
    while count > 1 and (channels % count or image.offset % (count * image.type.dtype.size) or matrix.offset % (count * image.type.dtype.size)):
        count //= 2
    return count


def columns(op: Convolution, x: Array, y: Array, size: Sizes, outer: Sizes) -> Kernel:
    """``(groups, rows, taps * channels)`` from ``(n, *spatial, groups * channels)``; zero beyond the image."""
    groups, channels, count = op.groups, x.shape[-1] // op.groups, together(op, x, y)
    shape = (groups, x.shape[0], *outer, *size, channels // count)

    def lines(i: list[str]) -> Sequence[str]:
        rank = len(size)
        o, t = i[2 : 2 + rank], i[2 + rank : 2 + 2 * rank]
        found, inside = places_of(op, o, t, x.shape[1:-1], size)
        own = f"{i[-1]} * {count}" if count > 1 else i[-1]
        channel = f"{i[0]} * {channels} + {own}" if groups > 1 else own
        at = place(x, [i[1], *(f"p{k}" for k in range(rank)), f"({channel})"])
        kind = vector(x, count)
        if count == 1:
            return [*found, f"{C[x.type.dtype]} moved = {{}};", f"if ({inside}) moved = in0[{at}];", "out0[n] = moved;"]
        return [*found, f"{kind} moved = {{}};", f"if ({inside}) moved = *(const {kind}*)(in0 + ({at}));", f"(({kind}*)out0)[n] = moved;"]

    return each("columns", [x], [y], False, lines, shape)


def image(op: Convolution, x: Array, y: Array, size: Sizes, outer: Sizes) -> Kernel:
    """Each element of an image as the sum of what its windows' rows say of it, tap after tap."""
    groups, channels, count = op.groups, y.shape[-1] // op.groups, together(op, y, x)
    rank, kind, part = len(size), vector(y, count), vector(x, count)
    rows, width = y.shape[0] * prod(outer), prod(size) * channels

    def lines(i: list[str]) -> Sequence[str]:
        found = [f"{summed(y)} sum[{count}] = {{}};"]
        found += holders(op, i[1:-1], y.shape[1:-1], size, outer)
        window = " + ".join([f"{i[0]} * {prod(outer)}u", *(f"q{k} / {op.stride[k]} * {prod(outer[k + 1 :])}" for k in range(rank))])
        tap = " + ".join(f"t{k} * {prod(size[k + 1 :])}" for k in range(rank))
        own = f"({i[-1]} * {count})"
        group, channel = (f"{own} / {channels}", f"{own} % {channels}") if groups > 1 else ("0", own)
        row = f"(({group}) * {rows}ull + {window}) * {width}u"
        found.append(f"const {part} part = *(const {part}*)(in0 + ({row} + ({tap}) * {channels} + {channel}));")
        found.append(f"for (int lane = 0; lane < {count}; ++lane) sum[lane] += part.at[lane];")
        found += [*("}" for _ in size), f"{kind} whole;", f"for (int lane = 0; lane < {count}; ++lane) whole.at[lane] = sum[lane];"]
        return [*found, f"*({kind}*)(out0 + ({place(y, [*i[:-1], own])})) = whole;"]

    return each("image", [x], [y], False, lines, (*y.shape[:-1], y.shape[-1] // count))


def holders(op: Convolution, at: Sequence[str], spatial: Sizes, size: Sizes, outer: Sizes) -> Iterator[str]:
    """The heads of loops over the windows that hold a place: window ``q / stride`` does at tap ``t``."""
    for k, (low, _) in enumerate(pads(op.padding, spatial, size, op.stride, op.dilation)):
        yield f"for (offset t{k} = 0; t{k} < {size[k]}; ++t{k}) {{"
        yield f"const offset q{k} = (offset){at[k]} + {low} - t{k} * {op.dilation[k]};"
        yield f"if (q{k} < 0 || q{k} % {op.stride[k]} || q{k} / {op.stride[k]} >= {outer[k]}) continue;"


def places_of(op: Convolution, o: Sequence[str], t: Sequence[str], spatial: Sizes, size: Sizes) -> tuple[list[str], str]:
    """Lines that say where in the image a tap of a window stands, and whether that is inside."""
    around = pads(op.padding, spatial, size, op.stride, op.dilation)
    lines = [f"const offset p{k} = (offset){a} * {op.stride[k]} + (offset){b} * {op.dilation[k]} - {around[k][0]};"
             for k, (a, b) in enumerate(zip(o, t, strict=True))]
    return lines, " && ".join(f"p{k} >= 0 && p{k} < {n}" for k, n in enumerate(spatial)) or "true"
