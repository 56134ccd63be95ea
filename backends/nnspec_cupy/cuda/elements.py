"""Each op of one element at a time as an expression of CUDA C, and which calls that covers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnspec.ir.graph import Call
from nnspec.ir.op import Op
from nnspec.ir.program import Array, Copy
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops.rounding import Rounded
from nnspec.ops.rows import StopGradient

C = {DType.bool: "bool", DType.int8: "signed char", DType.uint8: "unsigned char", DType.int16: "short", DType.uint16: "unsigned short",
     DType.int32: "int", DType.uint32: "unsigned int", DType.int64: "long long", DType.uint64: "unsigned long long",
     DType.bfloat16: "nn_bf16", DType.float16: "nn_f16", DType.float32: "float", DType.float64: "double"}
Write = Callable[[str, list[str]], str]  # the suffix of functions of single precision, the operands


def infix(sign: str) -> Write:
    return lambda f, x: f"({x[0]} {sign} {x[1]})"


def function(name: str) -> Write:
    return lambda f, x: f"{name}{f}({', '.join(x)})"


FLOATS: dict[type[Op], Write] = {
    e.Divide: infix("/"), e.Raise: function("pow"), e.Sqrt: function("sqrt"), e.Exp: function("exp"), e.Expm1: function("expm1"),
    e.Log: function("log"), e.Log1p: function("log1p"), e.Sin: function("sin"), e.Cos: function("cos"), e.Sinh: function("sinh"),
    e.Cosh: function("cosh"), e.Arctan: function("atan"), e.Tanh: function("tanh"), e.Erf: function("erf"), e.Floor: function("floor"),
    e.Round: function("rint"), e.Sigmoid: lambda f, x: f"nn_sigmoid({x[0]})", e.Remainder: lambda f, x: f"nn_remainder({x[0]}, {x[1]})",
    e.FloorDivide: lambda f, x: f"nn_floor_divide({x[0]}, {x[1]})", e.Sign: lambda f, x: f"nn_sign({x[0]})",
}
ANY: dict[type[Op], Write] = {
    e.Add: infix("+"), e.Subtract: infix("-"), e.Multiply: infix("*"), e.Negative: lambda f, x: f"(-{x[0]})",
    e.Square: lambda f, x: f"({x[0]} * {x[0]})", e.Less: infix("<"), e.LessEqual: infix("<="), e.Equal: infix("=="),
    e.And: infix("&&"), e.Or: infix("||"), e.Not: lambda f, x: f"(!{x[0]})", e.Where: lambda f, x: f"({x[0]} ? {x[1]} : {x[2]})",
    e.Maximum: lambda f, x: f"nn_maximum({x[0]}, {x[1]})", e.Minimum: lambda f, x: f"nn_minimum({x[0]}, {x[1]})",
    e.Abs: lambda f, x: f"nn_abs({x[0]})", e.Relu: lambda f, x: f"nn_relu({x[0]})", e.Step: lambda f, x: f"nn_step({x[0]})",
    StopGradient: lambda f, x: x[0], Copy: lambda f, x: x[0],
}


def write(c: Call, x: list[str]) -> str:
    """One call over expressions of its inputs."""
    op, kind = c.op, c.inputs[0].dtype
    suffix = "f" if kind == DType.float32 else ""
    if isinstance(op, e.Cast):
        return cast(x[0], kind, c.outputs[0].dtype)
    if isinstance(op, Rounded):
        return f"({C[kind]})nn_{op.to}((float)({x[0]}))"
    if isinstance(op, e.Power):
        return _power(x[0], op.exponent, kind)
    if type(op) in ANY:
        return ANY[type(op)](suffix, x)
    return FLOATS[type(op)](suffix, x)


def takes(c: Call) -> bool:
    """Whether there is an expression for a call."""
    op = c.op
    if isinstance(op, e.Cast | e.Power | Rounded) or type(op) in ANY:
        return True
    return type(op) in FLOATS


def summed(a: Array) -> str:
    """The type in which elements of an array are added up."""
    return "float" if a.type.dtype.half else C[a.type.dtype]


def cast(x: str, old: DType, new: DType) -> str:
    return f"({x} != 0)" if new == DType.bool and old != DType.bool else f"({C[new]})({x})"


def number(value: object, dtype: DType) -> str:
    """A constant that CUDA C reads back to the bit."""
    x = np.asarray(value, dtype.numpy)[()]
    if dtype == DType.bool:
        return "true" if x else "false"
    if not dtype.is_float:
        return f"({C[dtype]}){int(x)}" + {DType.int64: "ll", DType.uint64: "ull", DType.uint32: "u"}.get(dtype, "")
    if np.isnan(x):
        return f"nn_nan<{C[dtype]}>()"
    if np.isinf(x):
        return f"({'-' if x < 0 else ''}nn_inf<{C[dtype]}>())"
    return float(x).hex() + ("f" if dtype == DType.float32 else "")


def _power(x: str, exponent: float, kind: DType) -> str:
    if exponent == 2:
        return f"({x} * {x})"
    if exponent == 1:
        return x
    if kind.is_float and exponent == 0.5:
        return f"sqrt{'f' if kind == DType.float32 else ''}({x})"
    if kind.is_float and exponent == -1:
        return f"({number(1, kind)} / {x})"
    return f"nn_power({x}, {number(exponent, kind)})"
