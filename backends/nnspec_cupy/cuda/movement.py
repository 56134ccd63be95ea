"""Elements moved with others between them, read by rule, or drawn: a thread an element of the result."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.ir.program import Array
from nnspec.ops.movement import Pad
from nnspec.ops.random import RandomBits
from nnspec.ops.resample import Along
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.each import each
from nnspec_cupy.cuda.elements import C, number
from nnspec_cupy.cuda.places import digits, place


def pad(op: Pad, x: Array, y: Array, guarded: bool) -> Kernel:
    """Each element of the result from its place inside, or the padding's number."""

    def lines(i: list[str]) -> Sequence[str]:
        found, index = ["bool inside = true;"], []
        for axis, (digit, low, inner, n) in enumerate(zip(i, op.low, op.inner, x.shape, strict=True)):
            name = f"p{axis}"
            found.append(f"const offset q{axis} = (offset){digit} - {low}; const offset {name} = q{axis} / {inner + 1};")
            found.append(f"inside = inside && q{axis} >= 0 && {name} < {n} && {name} * {inner + 1} == q{axis};")
            index.append(name)
        return [*found, f"out0[{place(y, i)}] = inside ? in0[{place(x, index)}] : {number(op.value, y.type.dtype)};"]

    return each("pad", [x], [y], guarded, lines)


def resample(op: Along, x: Array, y: Array, first: Array, second: Array, share: Array, guarded: bool) -> Kernel:
    """Two places of an axis by their shares; tables say which."""
    kind, o = C[y.type.dtype], op.axis

    def lines(i: list[str]) -> Sequence[str]:
        a, b = ([*i[:o], f"(count)in{n}[{i[o]}]", *i[o + 1 :]] for n in (1, 2))
        return [f"const {kind} s = in3[{i[o]}];",
                f"out0[{place(y, i)}] = s == {number(0, y.type.dtype)} ? in0[{place(x, a)}] : "
                f"in0[{place(x, a)}] * ({number(1, y.type.dtype)} - s) + in0[{place(x, b)}] * s;"]

    return each("resample", [x, first, second, share], [y], guarded, lines)


def resample_grad(op: Along, g: Array, y: Array, first: Array, second: Array, share: Array, guarded: bool) -> Kernel:
    """Every place of the image adds up, in order, what read it."""
    kind, o = C[y.type.dtype], op.axis
    return each("resample_grad", [g, first, second, share], [y], guarded, lambda i: [
        f"{kind} sum = 0;",
        f"for (count m = 0; m < {g.shape[o]}u; ++m) {{",
        f"    const {kind} s = in3[m], v = in0[{place(g, [*i[:o], 'm', *i[o + 1 :]])}];",
        f"    if (in1[m] == {i[o]}) sum += v * ({number(1, y.type.dtype)} - s);",
        f"    if (in2[m] == {i[o]} && s != {number(0, y.type.dtype)}) sum += v * s;",
        "}",
        f"out0[{place(y, i)}] = sum;",
    ])


def tables(op: Along, n: int, m: int, dtype: np.dtype[np.generic]) -> tuple[NDArray[Any], ...]:
    """The two places of n that each of m reads, and the share of the second."""
    first, second, share = op.reads(n, m)
    return first.astype(np.int32), second.astype(np.int32), share.astype(dtype)


def random_bits(op: RandomBits, seed: Array, step: Array, y: Array, guarded: bool) -> Kernel:
    """Philox4x32-10: a thread draws the four words of eight elements of a row, which lie without gaps."""
    rows, width = y.shape[0], prod(y.shape[1:])
    words = -(-width // 8)
    _, (row, word) = digits("n", (rows, words), "i")
    body = [
        "const unsigned long long step = *in1;",
        f"unsigned int c0 = (unsigned int){word}, c1 = (unsigned int){row}, c2 = (unsigned int)step, c3 = (unsigned int)(step >> 32);",
        f"unsigned int k0 = *in0, k1 = {op.stream}u;",
        "#pragma unroll",
        "for (int round = 0; round < 10; ++round) {",
        "    const unsigned long long p = 0xD2511F53ull * c0, q = 0xCD9E8D57ull * c2;",
        "    c0 = (unsigned int)(q >> 32) ^ c1 ^ k0; c2 = (unsigned int)(p >> 32) ^ c3 ^ k1;",
        "    c1 = (unsigned int)q; c3 = (unsigned int)p;",
        "    k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;",
        "}",
        "const unsigned int drawn[4] = {c0, c1, c2, c3};",
        f"unsigned short* to = out0 + (unsigned long long){row} * {width}u + {word} * 8;",
        f"const count left = {width}u - {word} * 8;",
        "for (count m = 0; m < 8u && m < left; ++m) to[m] = (unsigned short)(drawn[m / 2] >> (m % 2 * 16));",
    ]
    return each("random_bits", [seed, step], [y], guarded, lambda i: body, (rows, words))
