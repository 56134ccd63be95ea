"""Elements chosen by number, rows added at numbers, and the largest of an axis: sums in the order of the numbers, never by chance."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nnspec.ir.program import Array
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.each import each
from nnspec_cupy.cuda.elements import C, number
from nnspec_cupy.cuda.places import place


def one_hot(ids: Array, y: Array, guarded: bool) -> Kernel:
    one, zero = (number(n, y.type.dtype) for n in (1, 0))
    return each("one_hot", [ids], [y], guarded, lambda i: [f"out0[{place(y, i)}] = in0[{place(ids, i[:-1])}] == {i[-1]} ? {one} : {zero};"])


def pick(x: Array, ids: Array, y: Array, guarded: bool) -> Kernel:
    """``x[..., ids]``; a number beyond the axis takes the nearest end."""
    return each("pick", [x, ids], [y], guarded, lambda i: [_nearest(f"in1[{place(ids, i)}]", x.shape[-1]),
                                                           f"out0[{place(y, i)}] = in0[{place(x, [*i, 'k'])}];"])


def gather(table: Array, ids: Array, y: Array, guarded: bool) -> Kernel:
    """``table[ids]``; a number beyond the table takes the nearest end."""
    rank = len(ids.shape)
    return each("gather", [table, ids], [y], guarded, lambda i: [_nearest(f"in1[{place(ids, i[:rank])}]", table.shape[0]),
                                                                 f"out0[{place(y, i)}] = in0[{place(table, ['k', *i[rank:]])}];"])


def take_rows(x: Array, ids: Array, y: Array, guarded: bool) -> Kernel:
    """``x[i, ids[i, …]]``."""
    rank = len(ids.shape)
    return each("take_rows", [x, ids], [y], guarded, lambda i: [_nearest(f"in1[{place(ids, i[:rank])}]", x.shape[1]),
                                                                f"out0[{place(y, i)}] = in0[{place(x, [i[0], 'k', *i[rank:]])}];"])


def added(word: str, values: Array, ids: Array, y: Array, guarded: bool, rows: bool) -> Kernel:
    """A table, zero but for values added at numbers, in the order in which they stand. Values and numbers lie without gaps.

    Every place looks at all numbers; with ``rows`` at those of its row.
    """
    outer = 1 if rows else 0
    count = prod(ids.shape[outer:])
    width = prod(y.shape[outer + 1 :])
    kind = C[y.type.dtype]

    def lines(i: list[str]) -> Sequence[str]:
        first = f"(unsigned long long){i[0]} * {count}u" if rows else "0"
        inner = " + ".join(f"{d} * {prod(y.shape[outer + 2 + k :])}" for k, d in enumerate(i[outer + 1 :])) or "0"
        return [f"const unsigned long long first = {first};", f"{kind} sum = 0;",
                f"for (count m = 0; m < {count}u; ++m)",
                f"    if (in1[first + m] == {i[outer]}) sum += in0[(first + m) * {width}u + ({inner})];",
                f"out0[{place(y, i)}] = sum;"]

    return each(word, [values, ids], [y], guarded, lines)


def rank(x: Array, ids: Array, y: Array, k: int, guarded: bool) -> Kernel:
    """1 where fewer than ``k`` scores come before the label's."""
    kind = C[x.type.dtype]
    one, zero = (number(n, y.type.dtype) for n in (1, 0))
    return each("rank", [x, ids], [y], guarded, lambda i: [
        _nearest(f"in1[{place(ids, i)}]", x.shape[-1]),
        f"const {kind} own = in0[{place(x, [*i, 'k'])}];",
        "count before = 0;",
        f"for (count m = 0; m < {x.shape[-1]}u; ++m) {{",
        f"    const {kind} other = in0[{place(x, [*i, 'm'])}];",
        "    before += other > own || (other == own && m < k);",
        "}",
        f"out0[{place(y, i)}] = before < {k}u ? {one} : {zero};",
    ])


def largest(x: Array, values: Array, ids: Array, k: int, guarded: bool) -> Kernel:
    """The ``k`` largest, largest first: every element counts those that come before it, and knows its place."""
    kind = C[x.type.dtype]
    return each("largest", [x], [values, ids], guarded, lambda i: [
        f"const {kind} own = in0[{place(x, i)}];",
        "count before = 0;",
        f"for (count m = 0; m < {x.shape[-1]}u; ++m)",
        f"    before += nn_above(in0[{place(x, [*i[:-1], 'm'])}], (long long)m, own, (long long){i[-1]});",
        f"if (before < {k}u) {{ out0[{place(values, [*i[:-1], 'before'])}] = own; out1[{place(ids, [*i[:-1], 'before'])}] = {i[-1]}; }}",
    ], x.shape)


def _nearest(number: str, length: int) -> str:
    return f"long long k = {number}; k = k < 0 ? 0 : k > {length - 1} ? {length - 1} : k;"
