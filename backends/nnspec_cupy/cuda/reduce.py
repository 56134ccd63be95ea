"""Reductions outside nests: a block a result, whose threads each take every so manieth element and then join in a fixed tree."""

from __future__ import annotations

from math import prod

import numpy as np

from nnspec.ir.program import Array
from nnspec.ir.types import DType
from nnspec.ops.reduce import ArgMax, Max, Reduction, Sum
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.elements import C, number
from nnspec_cupy.cuda.flat import parameters
from nnspec_cupy.cuda.places import digits, place

THREADS = 256


def reduction(op: Reduction, x: Array, y: Array, guarded: bool) -> Kernel:
    """``y`` of the axes of ``x``; block b makes result b."""
    kind = C[y.type.dtype]
    first = start(op, y.type.dtype)
    step = "a + b" if isinstance(op, Sum) else f"nn_{'maximum' if isinstance(op, Max) else 'minimum'}(a, b)"
    rest = tuple(i for i in range(len(x.shape)) if i not in op.axis)
    lines, outer = digits("blockIdx.x", [x.shape[i] for i in rest], "o")
    inner_lines, inner = digits("n", [x.shape[i] for i in op.axis])
    index = [""] * len(x.shape)
    for i, name in [*zip(rest, outer, strict=True), *zip(op.axis, inner, strict=True)]:
        index[i] = name
    target = [o for i in range(len(x.shape)) for o in ([outer[rest.index(i)]] if i in rest else ["0"] if op.keep else [])]
    body = [
        *(["if (!*guard) return;"] if guarded else []),
        f"__shared__ {kind} held[{THREADS}];",
        *lines,
        f"{kind} a = {first};",
        f"for (unsigned int n = threadIdx.x; n < {prod(x.shape[i] for i in op.axis)}u; n += {THREADS}u) {{",
        *(f"    {line}" for line in inner_lines),
        f"    const {kind} b = in0[{place(x, index)}];",
        f"    a = {step};",
        "}",
        "held[threadIdx.x] = a;",
        f"for (unsigned int half = {THREADS // 2}; half; half /= 2) {{",
        "    __syncthreads();",
        f"    if (threadIdx.x < half) {{ const {kind} a = held[threadIdx.x], b = held[threadIdx.x + half]; held[threadIdx.x] = {step}; }}",
        "}",
        f"if (threadIdx.x == 0) out0[{place(y, target)}] = held[0];",
    ]
    return Kernel(op.name.lower(), parameters([x], [y], guarded), "".join(f"    {line}\n" for line in body), THREADS)


def start(op: Reduction, dtype: DType) -> str:
    """What a reduction begins with."""
    least = isinstance(op, Max)
    if isinstance(op, Sum):
        return number(0, dtype)
    if dtype.is_float:
        return number(-float("inf") if least else float("inf"), dtype)
    if dtype == DType.bool:
        return "false" if least else "true"
    info = np.iinfo(dtype.value)
    return f"({C[dtype]}){info.min if least else info.max}" + ("ull" if not least and info.min == 0 else "")


def argmax(op: ArgMax, x: Array, y: Array, guarded: bool) -> Kernel:
    """A thread a result; the first of equals, NaN above all."""
    lines, outer = digits("n", y.shape)
    index = [*outer[: op.axis], "k", *outer[op.axis :]]
    kind = C[x.type.dtype]
    body = [
        *(["if (!*guard) return;"] if guarded else []),
        f"const unsigned int n = blockIdx.x * {THREADS}u + threadIdx.x;",
        f"if (n >= {prod(y.shape)}u) return;",
        *lines,
        "long long best = 0;",
        f"{kind} most = in0[{place(x, [*outer[: op.axis], '0', *outer[op.axis :]])}];",
        f"for (unsigned int k = 1; k < {x.shape[op.axis]}u; ++k) {{",
        f"    const {kind} b = in0[{place(x, index)}];",
        "    if (most == most && (b > most || b != b)) { most = b; best = k; }",
        "}",
        f"out0[{place(y, outer)}] = best;",
    ]
    return Kernel("argmax", parameters([x], [y], guarded), "".join(f"    {line}\n" for line in body), THREADS)


def all_finite(x: tuple[Array, ...], y: Array, guarded: bool) -> Kernel:
    """One block over all arrays, each without gaps."""
    body = [*(["if (!*guard) return;"] if guarded else []), "bool fine = true;"]
    for k, a in enumerate(x):
        if a.type.dtype.is_float:
            body.append(f"for (unsigned int n = threadIdx.x; n < {prod(a.shape)}u; n += {THREADS}u) fine = fine && nn_finite(in{k}[n]);")
    body += ["fine = __syncthreads_and(fine);", "if (threadIdx.x == 0) *out0 = fine;"]
    return Kernel("all_finite", parameters(list(x), [y], guarded), "".join(f"    {line}\n" for line in body), THREADS)


def all_true(x: Array, y: Array, guarded: bool) -> Kernel:
    """Whether all of an array without gaps is true; one block."""
    body = [*(["if (!*guard) return;"] if guarded else []), "bool fine = true;",
            f"for (unsigned int n = threadIdx.x; n < {prod(x.shape)}u; n += {THREADS}u) fine = fine && in0[n];",
            "fine = __syncthreads_and(fine);", "if (threadIdx.x == 0) *out0 = fine;"]
    return Kernel("all_true", parameters([x], [y], guarded), "".join(f"    {line}\n" for line in body), THREADS)
