"""ONNX's operators on one element at a time: arithmetic, comparisons, functions and activations. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce as fold
from typing import Any

import numpy as np

from nnspec.interop.nodes.node import CARRIED, Node, NotImportedError, Rule, sizes, type_of, unary, within
from nnspec.ir.graph import Value
from nnspec.ir.types import DType
from nnspec.ops import activation, movement, rounding
from nnspec.ops import elementwise as e


def aligned(n: Node) -> list[Value]:
    """Two inputs; before opset 7 the second may lie along an axis of the first that an attribute names."""
    a, b = n[0], n[1]
    axis = n.attribute("axis")
    if n.opset < 7 and n.attribute("broadcast", 0) and axis is not None:
        b = movement.reshape(b, (*sizes(b), *(1,) * (a.rank - within(axis, a.rank) - b.rank)))
    return [a, b]


def binary(op: Any) -> Rule:
    return lambda n: op().one(*aligned(n))


def slopes(n: Node) -> Value:
    """Below 0 a slope a channel; before opset 9 a vector counts as channels."""
    x, slope = n[0], n[1]
    if n.opset < 9 and slope.rank == 1 and x.rank > 1:
        slope = movement.reshape(slope, (*sizes(slope), *(1,) * (x.rank - 2)))
    return e.where(e.less(x, 0.0), x * slope, x)


def many(op: Any) -> Rule:
    return lambda n: fold(lambda a, b: op().one(a, b), n.inputs)


def divided(n: Node) -> Value:
    """Quotients; of whole numbers cut towards 0."""
    a, b = aligned(n)
    if a.dtype.is_float:
        return a / b
    down = e.FloorDivide().one(a, b)
    if not signed(a.dtype):
        return down
    rest = a - down * b  # of the divisor's sign
    up = e.both(e.Not().one(e.equal(rest, 0)), e.Not().one(e.Equal().one(e.less(a, 0), e.less(b, 0))))
    return down + e.cast(up, a.dtype)


def signed(dtype: DType) -> bool:
    return bool(dtype.numpy.kind == "i")


def remainder(n: Node) -> Value:
    """Of the divisor's sign, or with ``fmod`` of the dividend's."""
    a, b = n[0], n[1]
    if not n.attribute("fmod", 0):
        return e.Remainder().one(a, b)
    if not a.dtype.is_float and not signed(a.dtype):
        return e.Remainder().one(a, b)
    rest = e.Remainder().one(e.absolute(a), e.absolute(b))
    return e.where(e.less(a, 0), -rest, rest)


def raised(n: Node) -> Value:
    """``a ** b`` in a's type."""
    a, b = aligned(n)
    if a.dtype == b.dtype:
        return e.Raise().one(a, b)
    if a.dtype.is_float:
        return e.Raise().one(a, e.cast(b, a.dtype))
    wide = DType.float64
    return e.cast(e.Raise().one(e.cast(a, wide), e.cast(b, wide)), a.dtype)


def cast(n: Node) -> Value:
    """Numbers as another type; as bool whether they are not 0."""
    from onnx import helper

    to = helper.tensor_dtype_to_np_dtype(n.attribute("to")).name if isinstance(n.attribute("to"), int) else str(n.attribute("to")).lower()
    to = {"float": "float32", "double": "float64"}.get(to, to)  # as words before opset 6
    x = as_type(n[0], type_of(to))
    return rounding.rounded(x, DType(to)) if to in CARRIED else x


def as_type(x: Value, to: DType) -> Value:
    if to == DType.bool and x.dtype != to:
        return e.Not().one(e.equal(x, 0))
    return e.cast(x, to)


def clip(n: Node) -> Value:
    y = n[0]
    y = e.maximum(y, n[1] if n.has(1) else float(n.attribute("min"))) if n.has(1) or n.attribute("min") is not None else y
    return e.minimum(y, n[2] if n.has(2) else float(n.attribute("max"))) if n.has(2) or n.attribute("max") is not None else y


def leaky(n: Node) -> Value:
    return e.where(e.less(n[0], 0.0), n[0] * float(n.attribute("alpha", 0.01)), n[0])


def elu(n: Node) -> Value:
    return e.where(e.less(n[0], 0.0), e.expm1(e.minimum(n[0], 0.0)) * float(n.attribute("alpha", 1.0)), n[0])


def celu(n: Node) -> Value:
    alpha = float(n.attribute("alpha", 1.0))
    return e.maximum(n[0], 0.0) + e.minimum(e.expm1(n[0] / alpha) * alpha, 0.0)


def selu(n: Node) -> Value:
    alpha, gamma = float(n.attribute("alpha", 1.67326319217681884765625)), float(n.attribute("gamma", 1.05070102214813232421875))
    return e.where(e.less(n[0], 0.0), e.expm1(e.minimum(n[0], 0.0)) * (alpha * gamma), n[0] * gamma)


def hard_sigmoid(n: Node) -> Value:
    return activation.clip(n[0] * float(n.attribute("alpha", 0.2)) + float(n.attribute("beta", 0.5)), 0.0, 1.0)


def shrunk(n: Node) -> Value:
    x, bias, wide = n[0], n.attribute("bias", 0.0), n.attribute("lambd", 0.5)
    if not x.dtype.is_float:
        raise NotImportedError(f"Shrink of {x.dtype}")
    return e.where(e.less(x, -wide), x + bias, e.where(e.greater(x, wide), x - bias, 0.0))


def infinite(n: Node) -> Value:
    up, down = n.attribute("detect_positive", 1), n.attribute("detect_negative", 1)
    if up and down:
        return e.equal(e.absolute(n[0]), np.inf)
    if up or down:
        return e.equal(n[0], np.inf if up else -np.inf)
    return e.both(e.equal(n[0], np.inf), e.equal(n[0], -np.inf))  # never


def arcsine(x: Value) -> Value:
    return e.arctan(x / e.sqrt((1.0 - x) * (1.0 + x)))


def arccosine(x: Value) -> Value:
    return e.arctan(e.sqrt((1.0 - x) / (1.0 + x))) * 2.0


def area_sine(x: Value) -> Value:
    a = e.absolute(x)
    y = e.log1p(a + a * a / (e.sqrt(a * a + 1.0) + 1.0))
    return e.where(e.less(x, 0.0), -y, y)


def area_cosine(x: Value) -> Value:
    above = x - 1.0
    return e.log1p(above + e.sqrt(above * (x + 1.0)))


def area_tangent(x: Value) -> Value:
    a = e.absolute(x)
    y = e.log1p(a * 2.0 / (1.0 - a)) * 0.5
    return e.where(e.less(x, 0.0), -y, y)


def mean(n: Node) -> Value:
    return fold(Value.__add__, n.inputs) * (1.0 / len(n.inputs))


def ceiling(x: Value) -> Value:
    return -e.floor(-x)


RULES: Mapping[str, Rule] = {
    "Add": binary(e.Add), "Sub": binary(e.Subtract), "Mul": binary(e.Multiply), "Div": divided, "Mod": remainder, "Pow": raised,
    "Max": many(e.Maximum), "Min": many(e.Minimum), "Sum": many(e.Add), "Mean": mean,
    "Less": binary(e.Less), "LessOrEqual": binary(e.LessEqual), "Equal": binary(e.Equal), "And": binary(e.And), "Or": binary(e.Or),
    "Greater": lambda n: e.Less().one(n[1], n[0]), "GreaterOrEqual": lambda n: e.LessEqual().one(n[1], n[0]),
    "Not": lambda n: e.Not().one(n[0]), "Xor": lambda n: e.Not().one(e.Equal().one(n[0], n[1])),
    "Where": lambda n: e.Where().one(n[0], n[1], n[2]), "IsNaN": lambda n: e.Not().one(e.Equal().one(n[0], n[0])), "IsInf": infinite,
    "Abs": unary(e.absolute), "Neg": lambda n: e.Negative().one(n[0]), "Sign": unary(e.sign), "Floor": unary(e.floor), "Round": unary(e.round_),
    "Ceil": unary(ceiling), "Exp": unary(e.exp), "Log": unary(e.log), "Sqrt": unary(e.sqrt), "Erf": unary(e.erf), "Tanh": unary(e.tanh),
    "Sin": unary(e.sin), "Cos": unary(e.cos), "Tan": unary(lambda x: e.sin(x) / e.cos(x)), "Atan": unary(e.arctan),
    "Sinh": lambda n: e.Sinh().one(n[0]), "Cosh": lambda n: e.Cosh().one(n[0]), "Asin": unary(arcsine), "Acos": unary(arccosine),
    "Asinh": unary(area_sine), "Acosh": unary(area_cosine), "Atanh": unary(area_tangent),
    "Reciprocal": lambda n: 1.0 / n[0], "Identity": unary(lambda x: x), "Cast": cast, "CastLike": lambda n: as_type(n[0], n[1].dtype),
    "Sigmoid": unary(e.sigmoid), "Relu": unary(e.relu), "Softplus": unary(activation.softplus), "Clip": clip,
    "LeakyRelu": leaky, "Elu": elu, "Celu": celu, "Selu": selu, "Shrink": shrunk,
    "PRelu": slopes, "HardSigmoid": hard_sigmoid,
    "ThresholdedRelu": lambda n: e.where(e.greater(n[0], float(n.attribute("alpha", 1.0))), n[0], 0.0),
    "Softsign": lambda n: n[0] / (e.absolute(n[0]) + 1.0), "HardSwish": lambda n: n[0] * activation.clip(n[0] * (1 / 6) + 0.5, 0.0, 1.0),
    "Swish": lambda n: n[0] * e.sigmoid(n[0] * float(n.attribute("alpha", 1.0))),
    "Gelu": lambda n: activation.gelu(n[0], n.text("approximate", "none", "tanh") == "tanh"),
    "Mish": lambda n: n[0] * e.tanh(activation.softplus(n[0])),
}  # fmt: skip
