"""The text of one LLVM function: registers, loops and branches, one line an instruction."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np

from nnspec.ir.types import DType

IN_REGISTER = {DType.bool: "i1", DType.int8: "i8", DType.uint8: "i8", DType.int16: "i16", DType.uint16: "i16", DType.int32: "i32",
               DType.uint32: "i32", DType.int64: "i64", DType.uint64: "i64", DType.float32: "float", DType.float64: "double"}
IN_MEMORY = {**IN_REGISTER, DType.bool: "i8"}

FLUSH = 0x8040  # the bits of MXCSR that make what is below 2^-126 zero, read and written
Register = str
Carried = tuple[str, Register]  # type and value


def vector(element: str, lanes: int) -> str:
    """``<16 x float>``, or ``float`` for one lane."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def mangled(element: str, lanes: int) -> str:
    """``v16f32``: how intrinsics name a type."""
    short = {"float": "f32", "double": "f64"}.get(element, element)
    return short if lanes == 1 else f"v{lanes}{short}"


def number(x: float | int | bool, dtype: DType) -> str:
    """A constant as LLVM reads it back to the last bit."""
    if dtype == DType.bool:
        return "true" if x else "false"
    if not dtype.is_float:
        return str(int(x))
    wide = float(np.float32(x)) if dtype == DType.float32 else float(x)
    return f"0x{struct.unpack('>Q', struct.pack('>d', wide))[0]:016X}"


def everywhere(value: str, element: str, lanes: int) -> str:
    """A constant in every lane."""
    return value if lanes == 1 else "<" + ", ".join([f"{element} {value}"] * lanes) + ">"


def lanes_below(count: int, lanes: int) -> str:
    """The mask of the first ``count`` lanes."""
    return "<" + ", ".join(f"i1 {'true' if i < count else 'false'}" for i in range(lanes)) + ">"


class Code:
    """Lines of a function in the making; ``block`` is the label that instructions now go to."""

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact  # whether a product and a sum round twice
        self.lines: list[str] = []
        self.head: list[str] = []  # places on the stack, before everything else
        self.block = "entry"
        self.declared: dict[str, None] = {}
        self._next = 0

    def name(self, hint: str = "v") -> str:
        self._next += 1
        return f"{hint}{self._next}"

    def let(self, text: str) -> Register:
        """A new register that holds an instruction's result."""
        register = f"%{self.name()}"
        self.lines.append(f"  {register} = {text}")
        return register

    def stack(self, count: int, kind: str) -> Register:
        """The address of ``count`` elements on the stack."""
        register = f"%{self.name('stack')}"
        self.head.append(f"  {register} = alloca [{count} x {kind}], align 64")
        return register

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def call(self, result: str, function: str, *arguments: str) -> Register:
        """A call of an intrinsic; ``arguments`` are written with their types."""
        self.declare(result, function, arguments)
        return self.let(f"call {result} @{function}({', '.join(arguments)})")

    def run(self, function: str, *arguments: str) -> None:
        """A call of an intrinsic without a result."""
        self.declare("void", function, arguments)
        self.do(f"call void @{function}({', '.join(arguments)})")

    def flush(self) -> list[str]:
        """Lines for the beginning that have numbers below 2^-126 count as zero, on x86; the function's end sets that back."""
        old, new, bits, more = (f"%{self.name('mode')}" for _ in range(4))
        for name, argument in (("stmxcsr", old), ("ldmxcsr", new)):
            self.declare("void", f"llvm.x86.sse.{name}", [f"ptr {argument}"])
        self.run("llvm.x86.sse.ldmxcsr", f"ptr {old}")
        return [f"  {old} = alloca i32, align 4", f"  {new} = alloca i32, align 4", f"  call void @llvm.x86.sse.stmxcsr(ptr {old})",
                f"  {bits} = load i32, ptr {old}, align 4", f"  {more} = or i32 {bits}, {FLUSH}", f"  store i32 {more}, ptr {new}, align 4",
                f"  call void @llvm.x86.sse.ldmxcsr(ptr {new})"]

    def declare(self, result: str, function: str, arguments: Sequence[str]) -> None:
        kinds = ", ".join(_type_of(a) for a in arguments)
        self.declared[f"declare {result} @{function}({kinds})"] = None

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def loop(self, count: int | Register, body: Callable[[Register, list[Register]], list[Register]],
             carried: Sequence[Carried] = ()) -> list[Register]:
        """``body(i, values)`` for i from 0 to ``count`` - 1, at least once, giving the next values; the last of them."""
        if count == 1:
            return body("0", [v for _, v in carried])
        head, after, before = self.name("loop"), self.name("after"), self.block
        self.do(f"br label %{head}")
        self.label(head)
        i = f"%{self.name('i')}"
        inside = [f"%{self.name('c')}" for _ in carried]
        place = len(self.lines)
        results = body(i, inside)
        following = self.let(f"add nuw nsw i64 {i}, 1")
        phis = [f"  {i} = phi i64 [ 0, %{before} ], [ {following}, %{self.block} ]"]
        phis += [f"  {name} = phi {kind} [ {start}, %{before} ], [ {result}, %{self.block} ]"
                 for name, (kind, start), result in zip(inside, carried, results, strict=True)]
        self.lines[place:place] = phis
        again = self.let(f"icmp ult i64 {following}, {count}")
        self.do(f"br i1 {again}, label %{head}, label %{after}")
        self.label(after)
        return results


def _type_of(argument: str) -> str:
    """``<4 x float>`` of ``<4 x float> %v1``, ``i32`` of ``i32 immarg 4``."""
    if argument.startswith("<"):
        return argument[: argument.index(">") + 1]
    return argument.split(" ")[0]
