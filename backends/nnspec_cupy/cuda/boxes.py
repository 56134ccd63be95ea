"""The best boxes of a row, and none that overlap them: a block a row, whose threads look for the best together and each takes out its own."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.ir.program import Array
from nnspec.ops.boxes import NonMaxSuppression
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.elements import C, number
from nnspec_cupy.cuda.flat import THREADS, parameters
from nnspec_cupy.cuda.lanes import counting


def non_max_suppression(op: NonMaxSuppression, x: Sequence[Array], y: Sequence[Array], guarded: bool) -> Kernel:
    """Everything lies without gaps. The last result says which boxes are left."""
    kind, n = C[x[0].type.dtype], x[1].shape[1]
    zero, lowest = number(0, x[0].type.dtype), f"-nn_inf<{kind}>()"
    meet = " && in2[base + m] == in2[base + w]" if len(x) > 2 else ""
    body = [
        counting((), [*x, *y]),
        *(["if (!*guard) return;"] if guarded else []),
        f"__shared__ {kind} held[{THREADS}];",
        f"__shared__ offset which[{THREADS}];",
        f"const unsigned long long base = (unsigned long long)blockIdx.x * {n}u, first = (unsigned long long)blockIdx.x * {op.maximum}u;",
        f"for (count m = threadIdx.x; m < {n}u; m += {THREADS}u) out2[base + m] = in1[base + m] > {lowest};",
        "offset found = 0;",
        f"for (; found < {op.maximum}; ++found) {{",
        f"    {kind} best = {lowest};",
        "    offset at = -1;",
        f"    for (count m = threadIdx.x; m < {n}u; m += {THREADS}u)",
        "        if (out2[base + m] && in1[base + m] > best) { best = in1[base + m]; at = (offset)m; }",
        "    held[threadIdx.x] = best; which[threadIdx.x] = at;",
        f"    for (unsigned int half = {THREADS // 2}; half; half /= 2) {{",
        "        __syncthreads();",
        "        if (threadIdx.x < half) {",
        f"            const {kind} b = held[threadIdx.x + half];",
        "            const offset k = which[threadIdx.x + half], own = which[threadIdx.x];",
        "            if (k >= 0 && (own < 0 || b > held[threadIdx.x] || (b == held[threadIdx.x] && k < own))) {",
        "                held[threadIdx.x] = b; which[threadIdx.x] = k;",
        "            }",
        "        }",
        "    }",
        "    __syncthreads();",
        "    const offset w = which[0];",
        "    __syncthreads();",
        "    if (w < 0) break;",
        "    if (threadIdx.x == 0) out0[first + found] = w;",
        f"    const {kind}* box = in0 + (base + w) * 4;",
        f"    const {kind} own = (box[2] - box[0]) * (box[3] - box[1]);",
        f"    for (count m = threadIdx.x; m < {n}u; m += {THREADS}u) {{",
        f"        const {kind}* other = in0 + (base + m) * 4;",
        f"        const {kind} wide = nn_minimum(other[2], box[2]) - nn_maximum(other[0], box[0]);",
        f"        const {kind} high = nn_minimum(other[3], box[3]) - nn_maximum(other[1], box[1]);",
        f"        const {kind} shared = nn_maximum(wide, {zero}) * nn_maximum(high, {zero});",
        f"        const {kind} area = (other[2] - other[0]) * (other[3] - other[1]);",
        f"        if ((offset)m == w || (shared / (area + own - shared) > {number(op.overlap, x[0].type.dtype)}{meet})) out2[base + m] = false;",
        "    }",
        "    __syncthreads();",
        "}",
        "if (threadIdx.x == 0) out1[blockIdx.x] = found;",
        f"for (offset k = found + (offset)threadIdx.x; k < {op.maximum}; k += {THREADS}) out0[first + k] = 0;",
    ]
    return Kernel("non_max_suppression", parameters(list(x), list(y), guarded), "".join(f"    {line}\n" for line in body), THREADS)
