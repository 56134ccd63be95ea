"""Depthwise convolutions, a group a channel: sums of taps, which need no matrix, in float32 where images have 16 bits."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nnspec.ir.program import Array
from nnspec.ops.conv import Convolution
from nnspec_cupy.commands import Kernel, Three
from nnspec_cupy.cuda.columns import Sizes, holders, places_of
from nnspec_cupy.cuda.each import each
from nnspec_cupy.cuda.elements import summed
from nnspec_cupy.cuda.flat import THREADS, parameters
from nnspec_cupy.cuda.lanes import counting
from nnspec_cupy.cuda.places import digits, place

WIDE = 32  # filters that a block looks at
LINES = THREADS // WIDE  # places that it takes at once
EACH, MOST = 64, 64  # places that a block takes in all, at least; how many blocks share a tap at most


def parts(places: int) -> int:
    """How many blocks share the places of a tap: from shapes alone, for that decides the order of sums."""
    return max(1, min(MOST, places // EACH))


def depthwise(op: Convolution, x: Array, w: Array, y: Array, guarded: bool) -> Kernel:
    """A thread an element of the result, where a group has one channel."""
    size, rank = w.shape[:-2], len(w.shape) - 2
    many, kind = w.shape[-1] // op.groups, summed(y)

    def lines(i: list[str]) -> Sequence[str]:
        t = [f"t{k}" for k in range(rank)]
        found, inside = places_of(op, i[1:-1], t, x.shape[1:-1], size)
        loops = [f"for (offset t{k} = 0; t{k} < {size[k]}; ++t{k}) {{" for k in range(rank)]
        channel = f"({i[-1]} / {many})" if many > 1 else i[-1]
        at = place(x, [i[0], *(f"p{k}" for k in range(rank)), channel])
        return [f"{kind} sum = 0;", *loops, *found, f"if ({inside}) sum += ({kind})in0[{at}] * ({kind})in1[{place(w, [*t, '0', i[-1]])}];",
                *("}" for _ in size), f"out0[{place(y, i)}] = sum;"]

    return each("depthwise", [x, w], [y], guarded, lines)


def depthwise_input(op: Convolution, g: Array, w: Array, y: Array, guarded: bool) -> Kernel:
    """The gradient of a depthwise convolution in its input: an element looks at the windows that hold it."""
    size, rank = w.shape[:-2], len(w.shape) - 2
    many, kind = w.shape[-1] // op.groups, summed(y)

    def lines(i: list[str]) -> Sequence[str]:
        found = [f"{kind} sum = 0;", *holders(op, i[1:-1], y.shape[1:-1], size, g.shape[1:-1])]
        o = [f"(q{k} / {op.stride[k]})" for k in range(rank)]
        channel = f"({i[-1]} * {many} + m)"
        found.append(f"for (count m = 0; m < {many}u; ++m) sum += ({kind})in0[{place(g, [i[0], *o, channel])}] * "
                     f"({kind})in1[{place(w, [*(f't{k}' for k in range(rank)), '0', channel])}];")
        return [*found, *("}" for _ in size), f"out0[{place(y, i)}] = sum;"]

    return each("depthwise_input", [g, w], [y], guarded, lines)


def kernel_blocks(size: Sizes, filters: int, places: int) -> Three:
    """The grid of ``depthwise_kernel``."""
    return (prod(size) * -(-filters // WIDE) * parts(places), 1, 1)


def depthwise_kernel(op: Convolution, x: Array, g: Array, y: Array, size: Sizes) -> Kernel:
    """The gradient in a kernel: of each tap and filter what each of ``parts`` blocks adds up of its places, ``y`` as (parts, taps * filters)."""
    rank, filters, kind = len(size), g.shape[-1], summed(y)
    many, rows, tiles = filters // op.groups, prod(g.shape[:-1]), -(-filters // WIDE)
    shared = parts(rows)
    taken, (tap, tile, part) = digits("block", (prod(size), tiles, shared), "b")
    taps, t = digits("tap", size, "t")
    rest, (first, *o) = digits("r", g.shape[:-1], "o")
    found, inside = places_of(op, o, t, x.shape[1:-1], size)
    channel = f"(f / {many})" if many > 1 else "f"
    body = [
        counting(x.shape, [x, g, y]),
        f"__shared__ {kind} held[{THREADS}];",
        "const count block = blockIdx.x;",
        *taken,
        f"const count tap = {tap};",
        *taps,
        f"const count f = {tile} * {WIDE}u + threadIdx.x % {WIDE}u;",
        f"{kind} sum = 0;",
        f"if (f < {filters}u) for (count r = {part} * {LINES}u + threadIdx.x / {WIDE}u; r < {rows}u; r += {LINES * shared}u) {{",
        *(f"    {line}" for line in [*rest, *found]),
        f"    if ({inside}) sum += ({kind})in0[{place(x, [first, *(f'p{k}' for k in range(rank)), channel])}] * "
        f"({kind})in1[{place(g, [first, *o, 'f'])}];",
        "}",
        "held[threadIdx.x] = sum;",
        f"for (unsigned int half = {THREADS // 2}u; half >= {WIDE}u; half /= 2) {{",
        "    __syncthreads();",
        "    if (threadIdx.x < half) held[threadIdx.x] += held[threadIdx.x + half];",
        "}",
        f"if (threadIdx.x < {WIDE}u && f < {filters}u) out0[({part} * {prod(size)}u + tap) * {filters}u + f] = held[threadIdx.x];",
    ]
    return Kernel("depthwise_kernel", parameters([x, g], [y], False), "".join(f"    {line}\n" for line in body), THREADS)
