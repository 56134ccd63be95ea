"""Arithmetic on vectors of one width: what elements and functions are written in."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import IN_REGISTER, Code, Register, everywhere, mangled, number, vector


class Lanes:
    """Instructions on values of one element type and number of lanes."""

    def __init__(self, code: Code, dtype: DType, lanes: int) -> None:
        self.code, self.dtype, self.lanes = code, dtype, lanes
        self.element = IN_REGISTER[dtype]
        self.type = vector(self.element, lanes)
        self.mask = vector("i1", lanes)
        self.whole = vector({4: "i32", 8: "i64"}.get(dtype.size, "i32"), lanes)

    def of(self, x: float | int | bool) -> Register:
        return everywhere(number(x, self.dtype), self.element, self.lanes)

    def binary(self, instruction: str, a: Register, b: Register) -> Register:
        return self.code.let(f"{instruction} {self.type} {a}, {b}")

    # Floats. Only float32 may be contracted: there a fused product rounds once instead of twice.

    @property
    def flags(self) -> str:
        return " contract" if self.dtype == DType.float32 and not self.code.exact else ""

    def add(self, a: Register, b: Register) -> Register:
        return self.binary(f"fadd{self.flags}", a, b)

    def sub(self, a: Register, b: Register) -> Register:
        return self.binary(f"fsub{self.flags}", a, b)

    def mul(self, a: Register, b: Register) -> Register:
        return self.binary(f"fmul{self.flags}", a, b)

    def div(self, a: Register, b: Register) -> Register:
        return self.binary("fdiv", a, b)

    def exact_sub(self, a: Register, b: Register) -> Register:
        """A difference that is never part of a fused product."""
        return self.binary("fsub", a, b)

    def fma(self, a: Register, b: Register, c: Register) -> Register:
        """``a b + c``, rounded once where the processor can."""
        kind = mangled(self.element, self.lanes)
        return self.code.call(self.type, f"llvm.fmuladd.{kind}", *(f"{self.type} {x}" for x in (a, b, c)))

    def neg(self, a: Register) -> Register:
        return self.code.let(f"fneg {self.type} {a}")

    def intrinsic(self, name: str, *x: Register) -> Register:
        return self.code.call(self.type, f"llvm.{name}.{mangled(self.element, self.lanes)}", *(f"{self.type} {a}" for a in x))

    def compare(self, how: str, a: Register, b: Register) -> Register:
        instruction = "fcmp" if self.dtype.is_float else "icmp"
        return self.code.let(f"{instruction} {how} {self.type} {a}, {b}")

    def select(self, mask: Register, a: Register, b: Register) -> Register:
        return self.code.let(f"select {self.mask} {mask}, {self.type} {a}, {self.type} {b}")

    def polynomial(self, coefficients: Sequence[float], x: Register) -> Register:
        """Horner's rule, the highest power first."""
        y = self.of(coefficients[0])
        for c in coefficients[1:]:
            y = self.fma(y, x, self.of(c))
        return y

    # Bits

    def bits(self, a: Register) -> Register:
        return self.code.let(f"bitcast {self.type} {a} to {self.whole}")

    def from_bits(self, a: Register) -> Register:
        return self.code.let(f"bitcast {self.whole} {a} to {self.type}")

    def integer(self, instruction: str, a: Register, b: int | Register) -> Register:
        other = everywhere(str(b), "i32", self.lanes) if isinstance(b, int) else b
        return self.code.let(f"{instruction} {self.whole} {a}, {other}")

    def from_integer(self, a: Register) -> Register:
        return self.code.let(f"sitofp {self.whole} {a} to {self.type}")
