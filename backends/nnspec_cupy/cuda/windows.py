"""Pools: a thread a window's result, and for gradients a thread an element, which looks at the windows that hold it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nnspec.ir.program import Array
from nnspec.ops.conv import pads
from nnspec.ops.pool import Pool
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.each import each
from nnspec_cupy.cuda.elements import C, number
from nnspec_cupy.cuda.places import place

Borders = Sequence[tuple[int, int]]


def borders(op: Pool, spatial: tuple[int, ...]) -> Borders:
    """Places added before and after each spatial axis."""
    return pads(op.padding, spatial, op.size, op.stride, (1,) * len(op.size))


def over_window(op: Pool, i: list[str], spatial: tuple[int, ...], inner: Sequence[str]) -> list[str]:
    """Loops over the places p0, p1… of one window that are inside the image; ``tap`` counts all of them."""
    around, lines = borders(op, spatial), []
    for axis, (size, stride, (low, _), n) in enumerate(zip(op.size, op.stride, around, spatial, strict=True)):
        lines.append(f"for (offset t{axis} = 0; t{axis} < {size}; ++t{axis}) {{")
        lines.append(f"const offset p{axis} = (offset){i[1 + axis]} * {stride} + t{axis} - {low};")
        if low or (any(around[axis]) or (size > stride) or n % stride):
            lines.append(f"if (p{axis} < 0 || p{axis} >= {n}) continue;")
    tap = " + ".join(f"t{axis} * {prod(op.size[axis + 1 :])}" for axis in range(len(op.size)))
    return [*lines, f"const int tap = {tap};", *inner, *("}" for _ in op.size)]


def over_holders(op: Pool, i: list[str], spatial: tuple[int, ...], outer: tuple[int, ...], inner: Sequence[str]) -> list[str]:
    """Loops over the windows o0, o1… that hold one element, in order; ``tap`` is its place in each."""
    lines = []
    for axis, (size, stride, (low, _), m) in enumerate(zip(op.size, op.stride, borders(op, spatial), outer, strict=True)):
        lines.append(f"const offset q{axis} = (offset){i[1 + axis]} + {low};")
        lines.append(f"const offset last{axis} = min((offset){m - 1}, q{axis} / {stride});")
        lines.append(f"for (offset o{axis} = max((offset)0, (q{axis} - {size} + {stride}) / {stride}); o{axis} <= last{axis}; ++o{axis}) {{")
        lines.append(f"const offset t{axis} = q{axis} - o{axis} * {stride};")
        lines.append(f"if (t{axis} < 0 || t{axis} >= {size}) continue;")
    tap = " + ".join(f"t{axis} * {prod(op.size[axis + 1 :])}" for axis in range(len(op.size)))
    return [*lines, f"const int tap = {tap};", *inner, *("}" for _ in op.size)]


def _inside(i: list[str], name: str, rank: int) -> list[str]:
    return [i[0], *(f"{name}{axis}" for axis in range(rank)), i[-1]]


def max_pool(op: Pool, x: Array, y: Array, taps: Array, guarded: bool) -> Kernel:
    """The largest, and the first tap where it stands; NaN is above all."""
    kind, spatial = C[x.type.dtype], x.shape[1:-1]
    first = number(-float("inf"), x.type.dtype)
    padded = any(any(b) for b in borders(op, spatial))

    def lines(i: list[str]) -> Sequence[str]:
        one = [f"const {kind} v = in0[{place(x, _inside(i, 'p', len(spatial)))}];",
               "if (best < 0 || (most == most && (v > most || v != v)) || (v == most && tap < best)) { most = v; best = tap; }"]
        found = over_window(op, i, spatial, one)
        # beyond the image stands minus infinity, which is the first of equals where its tap comes first
        late = [f"if (most == {first}) best = 0;"] if padded else []
        return [f"{kind} most = {first}; int best = -1;", *found, *late, "if (best < 0) best = 0;",
                f"out0[{place(y, i)}] = most;", f"out1[{place(taps, i)}] = best;"]

    return each("max_pool", [x], [y, taps], guarded, lines)


def window_max(op: Pool, x: Array, y: Array, guarded: bool) -> Kernel:
    """The largest alone."""
    kind, spatial = C[x.type.dtype], x.shape[1:-1]

    def lines(i: list[str]) -> Sequence[str]:
        one = [f"most = nn_maximum(most, in0[{place(x, _inside(i, 'p', len(spatial)))}]);"]
        return [f"{kind} most = {number(-float('inf'), x.type.dtype)};", *over_window(op, i, spatial, one), f"out0[{place(y, i)}] = most;"]

    return each("window_max", [x], [y], guarded, lines)


def max_pool_grad(op: Pool, g: Array, taps: Array, y: Array, guarded: bool) -> Kernel:
    kind, spatial = C[y.type.dtype], y.shape[1:-1]

    def lines(i: list[str]) -> Sequence[str]:
        at = _inside(i, "o", len(spatial))
        one = [f"if (in1[{place(taps, at)}] == tap) sum += in0[{place(g, at)}];"]
        return [f"{kind} sum = 0;", *over_holders(op, i, spatial, g.shape[1:-1], one), f"out0[{place(y, i)}] = sum;"]

    return each("max_pool_grad", [g, taps], [y], guarded, lines)


def max_pool_pick(op: Pool, x: Array, taps: Array, y: Array, guarded: bool) -> Kernel:
    kind, spatial = C[y.type.dtype], x.shape[1:-1]

    def lines(i: list[str]) -> Sequence[str]:
        one = [f"if (in1[{place(taps, i)}] == tap) found = in0[{place(x, _inside(i, 'p', len(spatial)))}];"]
        return [f"{kind} found = 0;", *over_window(op, i, spatial, one), f"out0[{place(y, i)}] = found;"]

    return each("max_pool_pick", [x, taps], [y], guarded, lines)


def avg_pool(op: Pool, x: Array, y: Array, guarded: bool) -> Kernel:
    kind, spatial = C[y.type.dtype], x.shape[1:-1]

    def lines(i: list[str]) -> Sequence[str]:
        one = [f"sum += in0[{place(x, _inside(i, 'p', len(spatial)))}]; ++held;"]
        return [f"{kind} sum = 0; int held = 0;", *over_window(op, i, spatial, one), f"out0[{place(y, i)}] = sum / held;"]

    return each("avg_pool", [x], [y], guarded, lines)


def avg_pool_grad(op: Pool, g: Array, y: Array, guarded: bool) -> Kernel:
    kind, spatial = C[y.type.dtype], y.shape[1:-1]

    def lines(i: list[str]) -> Sequence[str]:
        held = " * ".join(
            f"(min((offset){n + low}, o{axis} * {stride} + {size}) - max((offset){low}, o{axis} * {stride}))"
            for axis, (size, stride, (low, _), n) in enumerate(zip(op.size, op.stride, borders(op, spatial), spatial, strict=True)))
        one = [f"sum += in0[{place(g, _inside(i, 'o', len(spatial)))}] / ({held});"]
        return [f"{kind} sum = 0;", *over_holders(op, i, spatial, g.shape[1:-1], one), f"out0[{place(y, i)}] = sum;"]

    return each("avg_pool_grad", [g], [y], guarded, lines)

