"""Reductions outside nests: some results a block, whose threads each take every so manieth element and then join in a fixed tree."""

from __future__ import annotations

from math import prod

import numpy as np

from nnspec.ir.program import Array
from nnspec.ir.types import DType
from nnspec.ops.reduce import ArgMax, Max, Reduction, Sum
from nnspec_cupy.commands import Kernel, Three
from nnspec_cupy.cuda.each import each
from nnspec_cupy.cuda.elements import C, number, summed
from nnspec_cupy.cuda.flat import parameters
from nnspec_cupy.cuda.lanes import counting
from nnspec_cupy.cuda.places import digits, place

THREADS = 256
WARP = 32
MOST = (1 << 31) - 1  # blocks of a grid


def abreast(op: Reduction, shape: tuple[int, ...]) -> int:
    """How many results a block makes: neighbours along the last axis, where that is kept, so that what it reads lies side by side."""
    last = shape[-1] if shape and len(shape) - 1 not in op.axis else 1
    return min(WARP, 1 << (last - 1).bit_length()) if last > 1 else 1


def blocks(op: Reduction, shape: tuple[int, ...]) -> list[int]:
    """The results along each axis that is kept, those that a block makes as one."""
    kept, width = [n for i, n in enumerate(shape) if i not in op.axis], abreast(op, shape)
    return [*kept[:-1], -(-kept[-1] // width)] if width > 1 else kept


def grid(op: Reduction, shape: tuple[int, ...]) -> Three:
    """The blocks of ``reduction``."""
    return (min(max(1, prod(blocks(op, shape))), MOST), 1, 1)


def reduction(op: Reduction, x: Array, y: Array, guarded: bool) -> Kernel:
    """``y`` of the axes of ``x``; a block makes ``abreast`` results, by as many threads each as there is room for."""
    kind = summed(y)
    first, width = start(op, DType.float32 if y.type.dtype.half else y.type.dtype), abreast(op, x.shape)
    step = "a + b" if isinstance(op, Sum) else f"nn_{'maximum' if isinstance(op, Max) else 'minimum'}(a, b)"
    rest = tuple(i for i in range(len(x.shape)) if i not in op.axis)
    own = blocks(op, x.shape)
    lines, outer = digits("block", own, "o")
    if width > 1:
        last = x.shape[-1]
        lines += [f"count o = {outer[-1]} * {width}u + threadIdx.x % {width}u;", f"const bool live = o < {last}u;", f"if (!live) o = {last - 1}u;"]
        outer[-1] = "o"
    inner_lines, inner = digits("n", [x.shape[i] for i in op.axis])
    index = [""] * len(x.shape)
    for i, name in [*zip(rest, outer, strict=True), *zip(op.axis, inner, strict=True)]:
        index[i] = name
    target = [o for i in range(len(x.shape)) for o in ([outer[rest.index(i)]] if i in rest else ["0"] if op.keep else [])]
    body = [
        counting(x.shape, [x, y]),
        *(["if (!*guard) return;"] if guarded else []),
        f"__shared__ {kind} held[{THREADS}];",
        f"for (count block = blockIdx.x; block < {max(1, prod(own))}u; block += {grid(op, x.shape)[0]}u) {{",
        *lines,
        f"{kind} a = {first};",
        f"for (count n = threadIdx.x / {width}u; n < {prod(x.shape[i] for i in op.axis)}u; n += {THREADS // width}u) {{",
        *(f"    {line}" for line in inner_lines),
        f"    const {kind} b = in0[{place(x, index)}];",
        f"    a = {step};",
        "}",
        "held[threadIdx.x] = a;",
        f"for (unsigned int half = {THREADS // 2}; half >= {width}u; half /= 2) {{",
        "    __syncthreads();",
        f"    if (threadIdx.x < half) {{ const {kind} a = held[threadIdx.x], b = held[threadIdx.x + half]; held[threadIdx.x] = {step}; }}",
        "}",
        f"if (threadIdx.x < {width}u{' && live' if width > 1 else ''}) out0[{place(y, target)}] = held[threadIdx.x];",
        *(["__syncthreads();"] if prod(own) > MOST else []),
        "}",
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
    kind = C[x.type.dtype]
    return each("argmax", [x], [y], guarded, lambda i: [
        "long long best = 0;",
        f"{kind} most = in0[{place(x, [*i[: op.axis], '0', *i[op.axis :]])}];",
        f"for (count k = 1; k < {x.shape[op.axis]}u; ++k) {{",
        f"    const {kind} b = in0[{place(x, [*i[: op.axis], 'k', *i[op.axis :]])}];",
        "    if (most == most && (b > most || b != b)) { most = b; best = k; }",
        "}",
        f"out0[{place(y, i)}] = best;",
    ])


def all_finite(x: tuple[Array, ...], y: Array, guarded: bool) -> Kernel:
    """One block over all arrays, each without gaps."""
    body = [counting((), x), *(["if (!*guard) return;"] if guarded else []), "bool fine = true;"]
    for k, a in enumerate(x):
        if a.type.dtype.is_float:
            body.append(f"for (count n = threadIdx.x; n < {prod(a.shape)}u; n += {THREADS}u) fine = fine && nn_finite(in{k}[n]);")
    body += ["fine = __syncthreads_and(fine);", "if (threadIdx.x == 0) *out0 = fine;"]
    return Kernel("all_finite", parameters(list(x), [y], guarded), "".join(f"    {line}\n" for line in body), THREADS)


def all_true(x: Array, y: Array, guarded: bool) -> Kernel:
    """Whether all of an array without gaps is true; one block."""
    body = [counting((), [x]), *(["if (!*guard) return;"] if guarded else []), "bool fine = true;",
            f"for (count n = threadIdx.x; n < {prod(x.shape)}u; n += {THREADS}u) fine = fine && in0[n];",
            "fine = __syncthreads_and(fine);", "if (threadIdx.x == 0) *out0 = fine;"]
    return Kernel("all_true", parameters([x], [y], guarded), "".join(f"    {line}\n" for line in body), THREADS)
