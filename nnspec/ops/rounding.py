"""Rounding of float32 to the numbers that 16 bits hold: what mixed precision does to what products read and give."""

from __future__ import annotations

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, case
from nnspec.ir.types import DType
from nnspec.ops.broadcasting import Elementwise

SHIFT = 16  # bits of float32 that bfloat16 has not
NUMBERS = np.array([[1.0, -1.00390625, 1.01171875, 3.0e-6], [70000.0, -65519.0, 5.9e-8, 1e-9]])


class Rounded(Elementwise):
    """The nearest number that ``to`` holds, of two equally near the one whose last bit is 0; what is too large is infinite.

    The gradient is rounded likewise, as that of a cast is. Float32 in, float32 out: what has 16 bits in memory is the planner's to say.
    """

    to: DType
    samples = (case(NUMBERS, to=DType.bfloat16, differentiable=False), case(NUMBERS, to=DType.float16, differentiable=False),
               case((3, 5), to=DType.bfloat16, differentiable=False), case((), to=DType.float16, differentiable=False))

    def reference(self, *x: Array) -> Array:
        return nearest(x[0], self.to)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (self.one(g),)


def nearest(x: Array, to: DType) -> Array:
    """``x`` in its own dtype, rounded to float32 and then to ``to``."""
    single = np.asarray(x, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if to == DType.float16:
            return np.asarray(single.astype(np.float16), np.asarray(x).dtype)
        bits = np.atleast_1d(single).view(np.uint32)
        half = np.uint32((1 << (SHIFT - 1)) - 1)
        bits = (bits + half + (bits >> np.uint32(SHIFT) & np.uint32(1))) >> np.uint32(SHIFT) << np.uint32(SHIFT)
        found = bits.view(np.float32).reshape(single.shape)
        return np.asarray(np.where(np.isnan(single), single, found), np.asarray(x).dtype)


def rounded(x: Value, to: DType) -> Value:
    """``x``, unless it is rounded already."""
    return x if isinstance(x.op, Rounded) and x.op.to == to else Rounded(to).one(x)
