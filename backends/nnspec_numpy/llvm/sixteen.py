"""Rounding of float32 to the numbers of bfloat16 and float16, as instructions on its bits."""

from __future__ import annotations

from nnspec.ir.types import DType
from nnspec_numpy.llvm import functions
from nnspec_numpy.llvm.code import Register
from nnspec_numpy.llvm.lanes import Lanes

BITS = {DType.bfloat16: 16, DType.float16: 13}  # that float32 has more behind the point
LEAST_NORMAL = 2.0**-14  # of float16
FIRST_INFINITE = 65520.0  # halfway between the largest number of float16 and what would come after it


def rounded(f: Lanes, x: Register, to: DType) -> Register:
    """The nearest number of ``to``, of two equally near the one whose last bit is 0."""
    shift = BITS[to]
    bits = f.bits(x)
    odd = f.integer("and", f.integer("lshr", bits, shift), 1)
    moved = f.integer("add", f.integer("add", bits, (1 << shift - 1) - 1), odd)
    near = f.from_bits(f.integer("and", moved, -(1 << shift)))
    if to == DType.float16:
        size = functions.absolute(f, x)
        small = f.sub(f.add(size, f.of(0.5)), f.of(0.5))  # below 2^-14 its steps are 2^-24, as those of float32 at 0.5
        near = f.select(f.compare("olt", size, f.of(LEAST_NORMAL)), functions.with_sign(f, small, x), near)
        near = f.select(f.compare("oge", size, f.of(FIRST_INFINITE)), functions.with_sign(f, f.of(float("inf")), x), near)
    return f.select(f.compare("uno", x, x), x, near)
