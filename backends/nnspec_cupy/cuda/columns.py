"""What the windows of a convolution see, as rows of a matrix, and back; and depthwise convolutions, which need no matrix.

A row of columns is a window; its elements are taps outermost, then the channels of a group. Groups are the leading axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from nnspec.ir.program import Array
from nnspec.ops.conv import Convolution, pads
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.each import each
from nnspec_cupy.cuda.elements import C
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
        found, inside = _places(op, o, t, x.shape[1:-1], size)
        own = f"{i[-1]} * {count}" if count > 1 else i[-1]
        channel = f"{i[0]} * {channels} + {own}" if groups > 1 else own
        at = place(x, [i[1], *(f"p{k}" for k in range(rank)), f"({channel})"])
        kind = vector(x, count)
        if count == 1:
            return [*found, f"out0[n] = {inside} ? in0[{at}] : 0;"]
        return [*found, f"{kind} moved = {{}};", f"if ({inside}) moved = *(const {kind}*)(in0 + ({at}));", f"(({kind}*)out0)[n] = moved;"]

    return each("columns", [x], [y], False, lines, shape)


def image(op: Convolution, x: Array, y: Array, size: Sizes, outer: Sizes) -> Kernel:
    """Each element of an image as the sum of what its windows' rows say of it, tap after tap."""
    groups, channels, count = op.groups, y.shape[-1] // op.groups, together(op, y, x)
    rank, kind = len(size), vector(y, count)
    rows, width = y.shape[0] * prod(outer), prod(size) * channels

    def lines(i: list[str]) -> Sequence[str]:
        found = [f"{kind} sum = {{}};"]
        found += _holders(op, i[1:-1], y.shape[1:-1], size, outer)
        window = " + ".join([f"{i[0]} * {prod(outer)}u", *(f"q{k} / {op.stride[k]} * {prod(outer[k + 1 :])}" for k in range(rank))])
        tap = " + ".join(f"t{k} * {prod(size[k + 1 :])}" for k in range(rank))
        own = f"({i[-1]} * {count})"
        group, channel = (f"{own} / {channels}", f"{own} % {channels}") if groups > 1 else ("0", own)
        row = f"(({group}) * {rows}ull + {window}) * {width}u"
        found.append(f"const {kind} part = *(const {kind}*)(in0 + ({row} + ({tap}) * {channels} + {channel}));")
        found.append(f"for (int lane = 0; lane < {count}; ++lane) sum.at[lane] += part.at[lane];")
        return [*found, *("}" for _ in size), f"*({kind}*)(out0 + ({place(y, [*i[:-1], own])})) = sum;"]

    return each("image", [x], [y], False, lines, (*y.shape[:-1], y.shape[-1] // count))


def depthwise(op: Convolution, x: Array, w: Array, y: Array, guarded: bool) -> Kernel:
    """A thread an element of the result, where a group has one channel."""
    size, rank = w.shape[:-2], len(w.shape) - 2
    many, kind = w.shape[-1] // op.groups, C[y.type.dtype]

    def lines(i: list[str]) -> Sequence[str]:
        t = [f"t{k}" for k in range(rank)]
        found, inside = _places(op, i[1:-1], t, x.shape[1:-1], size)
        loops = [f"for (offset t{k} = 0; t{k} < {size[k]}; ++t{k}) {{" for k in range(rank)]
        channel = f"({i[-1]} / {many})" if many > 1 else i[-1]
        at = place(x, [i[0], *(f"p{k}" for k in range(rank)), channel])
        return [f"{kind} sum = 0;", *loops, *found, f"if ({inside}) sum += in0[{at}] * in1[{place(w, [*t, '0', i[-1]])}];",
                *("}" for _ in size), f"out0[{place(y, i)}] = sum;"]

    return each("depthwise", [x, w], [y], guarded, lines)


def depthwise_input(op: Convolution, g: Array, w: Array, y: Array, guarded: bool) -> Kernel:
    """The gradient of a depthwise convolution in its input: an element looks at the windows that hold it."""
    size, rank = w.shape[:-2], len(w.shape) - 2
    many, kind = w.shape[-1] // op.groups, C[y.type.dtype]

    def lines(i: list[str]) -> Sequence[str]:
        found = [f"{kind} sum = 0;"]
        found += _holders(op, i[1:-1], y.shape[1:-1], size, g.shape[1:-1])
        o = [f"(q{k} / {op.stride[k]})" for k in range(rank)]
        channel = f"({i[-1]} * {many} + m)"
        found.append(f"for (count m = 0; m < {many}u; ++m) sum += in0[{place(g, [i[0], *o, channel])}] * "
                     f"in1[{place(w, [*(f't{k}' for k in range(rank)), '0', channel])}];")
        return [*found, *("}" for _ in size), f"out0[{place(y, i)}] = sum;"]

    return each("depthwise_input", [g, w], [y], guarded, lines)


def _holders(op: Convolution, at: Sequence[str], spatial: Sizes, size: Sizes, outer: Sizes) -> Iterator[str]:
    """The heads of loops over the windows that hold a place: window ``q / stride`` does at tap ``t``."""
    for k, (low, _) in enumerate(pads(op.padding, spatial, size, op.stride, op.dilation)):
        yield f"for (offset t{k} = 0; t{k} < {size[k]}; ++t{k}) {{"
        yield f"const offset q{k} = (offset){at[k]} + {low} - t{k} * {op.dilation[k]};"
        yield f"if (q{k} < 0 || q{k} % {op.stride[k]} || q{k} / {op.stride[k]} >= {outer[k]}) continue;"


def _places(op: Convolution, o: Sequence[str], t: Sequence[str], spatial: Sizes, size: Sizes) -> tuple[list[str], str]:
    """Lines that say where in the image a tap of a window stands, and whether that is inside."""
    around = pads(op.padding, spatial, size, op.stride, op.dilation)
    lines = [f"const offset p{k} = (offset){a} * {op.stride[k]} + (offset){b} * {op.dilation[k]} - {around[k][0]};"
             for k, (a, b) in enumerate(zip(o, t, strict=True))]
    return lines, " && ".join(f"p{k} >= 0 && p{k} < {n}" for k, n in enumerate(spatial)) or "true"
