"""Powers, exponentials and logarithms, functions of angles, and functions that squash."""

from __future__ import annotations

import math

import numpy as np

from nnspec.ir.graph import Operand, Value, as_value
from nnspec.ir.op import Array, Gradients, case
from nnspec.ops.broadcasting import POSITIVE, UNARY, Elementwise, unbroadcast
from nnspec.ops.choices import both, equal, less_equal, where


class Square(Elementwise):
    """``x * x``."""

    samples = UNARY
    function = np.square

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * (x[0] * 2.0),)


class Sqrt(Elementwise):
    """The square root."""

    onnx = "Sqrt"
    samples = POSITIVE
    function = np.sqrt
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * 0.5 / y,)


class Power(Elementwise):
    """``x ** exponent`` for a fixed exponent."""

    exponent: float
    samples = (case((3, 4), least=0.3, most=2, exponent=3.0), case((2,), least=0.5, exponent=-0.5),
               case((), least=0.5, exponent=2.0))

    def reference(self, *x: Array) -> Array:
        return np.asarray(np.power(x[0], x[0].dtype.type(self.exponent)))

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * (self.exponent * power(x[0], self.exponent - 1.0)),)


class Raise(Elementwise):
    """``a ** b`` for two values; the gradient of ``b`` is that of ``a`` above zero."""

    onnx = "Pow"
    samples = (case((3, 4), (3, 4), least=0.3, most=2.0), case((), (), least=0.3))
    function = np.power

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, b = x
        zero = equal(a, 0.0)  # 0 ** b stays 0 for b near it, and x ** 0 stays 1
        of_a = where(equal(b, 0.0), 0.0, g * (b * Raise().one(a, b - 1.0)))
        of_b = where(both(zero, less_equal(as_value(0.0, b), b)), 0.0, g * (y * log(a)))
        return unbroadcast(of_a, a.shape), unbroadcast(of_b, b.shape)


class Exp(Elementwise):
    """``e ** x``."""

    onnx = "Exp"
    samples = UNARY
    function = np.exp
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * y,)


class Expm1(Elementwise):
    """``e ** x - 1``, exact near zero."""

    samples = UNARY
    function = np.expm1
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * (y + 1.0),)


class Log(Elementwise):
    """The natural logarithm."""

    onnx = "Log"
    samples = POSITIVE
    function = np.log
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g / x[0],)


class Log1p(Elementwise):
    """``log(1 + x)``, exact near zero."""

    samples = POSITIVE
    function = np.log1p
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g / (x[0] + 1.0),)


class Sin(Elementwise):
    """The sine of an angle in radians."""

    onnx = "Sin"
    samples = UNARY
    function = np.sin
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * cos(x[0]),)


class Cos(Elementwise):
    """The cosine of an angle in radians."""

    onnx = "Cos"
    samples = UNARY
    function = np.cos
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (-(g * sin(x[0])),)


class Cosh(Elementwise):
    """``(e ** x + e ** -x) / 2``."""

    onnx = "Cosh"
    samples = UNARY
    function = np.cosh
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * Sinh().one(x[0]),)


class Sinh(Elementwise):
    """``(e ** x - e ** -x) / 2``."""

    onnx = "Sinh"
    samples = UNARY
    function = np.sinh
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * Cosh().one(x[0]),)


class Arctan(Elementwise):
    """The angle in radians whose tangent is x."""

    onnx = "Atan"
    samples = UNARY
    function = np.arctan
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g / (square(x[0]) + 1.0),)


class Tanh(Elementwise):
    """The hyperbolic tangent."""

    onnx = "Tanh"
    samples = UNARY
    function = np.tanh
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * (1.0 - square(y)),)


class Sigmoid(Elementwise):
    """``1 / (1 + exp(-x))``."""

    onnx = "Sigmoid"
    samples = UNARY
    floating = True

    def reference(self, *x: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-x[0])), x[0].dtype)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * (y * (1.0 - y)),)


class Erf(Elementwise):
    """The error function ``2/sqrt(pi) * integral of exp(-t^2) from 0 to x``."""

    onnx = "Erf"
    samples = UNARY
    floating = True

    def reference(self, *x: Array) -> Array:
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(x[0]), x[0].dtype)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * (exp(-square(x[0])) * (2.0 / math.sqrt(math.pi))),)


def square(x: Value) -> Value:
    return Square().one(x)


def sqrt(x: Value) -> Value:
    return Sqrt().one(x)


def power(x: Value, exponent: float) -> Value:
    return Power(exponent).one(x)


def raise_(a: Operand, b: Value) -> Value:
    return Raise().one(as_value(a, b), b)


def exp(x: Value) -> Value:
    return Exp().one(x)


def expm1(x: Value) -> Value:
    return Expm1().one(x)


def log(x: Value) -> Value:
    return Log().one(x)


def log1p(x: Value) -> Value:
    return Log1p().one(x)


def sin(x: Value) -> Value:
    return Sin().one(x)


def cos(x: Value) -> Value:
    return Cos().one(x)


def arctan(x: Value) -> Value:
    return Arctan().one(x)


def tanh(x: Value) -> Value:
    return Tanh().one(x)


def sigmoid(x: Value) -> Value:
    return Sigmoid().one(x)


def erf(x: Value) -> Value:
    return Erf().one(x)
