"""Sums, products, quotients, roundings and casts of elements."""

from __future__ import annotations

import numpy as np

from nnspec.ir.graph import OPERATORS, Value, constant
from nnspec.ir.op import Array, Gradients, case
from nnspec.ir.types import DType, TensorType
from nnspec.ops.broadcasting import AWAY, UNARY, Elementwise, unbroadcast

PAIRS = (case((3, 4), (3, 4)), case((2, 1, 5), (3, 1)), case((4,), ()), case((), ()))


class Add(Elementwise):
    """``a + b``."""

    onnx = "Add"
    samples = PAIRS
    function = np.add

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return unbroadcast(g, x[0].shape), unbroadcast(g, x[1].shape)


class Subtract(Elementwise):
    """``a - b``."""

    onnx = "Sub"
    samples = PAIRS
    function = np.subtract

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return unbroadcast(g, x[0].shape), unbroadcast(-g, x[1].shape)


class Multiply(Elementwise):
    """``a * b``."""

    onnx = "Mul"
    samples = PAIRS
    function = np.multiply

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, b = x
        return unbroadcast(g * b, a.shape), unbroadcast(g * a, b.shape)


class Divide(Elementwise):
    """``a / b``."""

    onnx = "Div"
    samples = (case((3, 4), np.linspace(0.5, 2, 12).reshape(3, 4)), case((2, 1, 5), np.array([[1.5], [-0.7], [2.0]])),
               case((), np.array(-1.3)))
    function = np.divide
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, b = x
        return unbroadcast(g / b, a.shape), unbroadcast(-(g * y) / b, b.shape)


class Negative(Elementwise):
    """``-x``."""

    onnx = "Neg"
    samples = UNARY
    function = np.negative

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (-g,)


class FloorDivide(Elementwise):
    """``a / b`` rounded down; no gradient flows."""

    samples = (case((3, 4), np.linspace(0.5, 2, 12).reshape(3, 4), differentiable=False),
               case(np.array([7, -7]), np.array([[2], [-3]]), differentiable=False))
    function = np.floor_divide

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return None, None


class Remainder(Elementwise):
    """``a - b * floor(a / b)``, of b's sign; the floor counts as fixed for the gradient, as in PyTorch."""

    samples = (case(np.array([[1.3, -0.4, 2.9]]), np.array([[0.8], [-1.1]])), case((), np.array(5.0)))
    function = np.remainder

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, b = x
        return unbroadcast(g, a.shape), unbroadcast(-(g * FloorDivide().one(a, b)), b.shape)


class Abs(Elementwise):
    """``|x|``; the gradient at 0 is 0."""

    onnx = "Abs"
    samples = AWAY
    function = np.absolute

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * sign(x[0]),)


class Sign(Elementwise):
    """-1, 0 or 1; no gradient flows."""

    onnx = "Sign"
    samples = (case((3, 5), differentiable=False), case((), differentiable=False))
    function = np.sign

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,)


class Floor(Elementwise):
    """The largest whole number that is not above x; no gradient flows."""

    onnx = "Floor"
    samples = (case((3, 5), differentiable=False), case(np.array([-1.5, -1.0, 2.5]), differentiable=False))
    function = np.floor

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,)


class Round(Elementwise):
    """The nearest whole number, of two equally near the even one; no gradient flows."""

    onnx = "Round"
    samples = (case((3, 5), differentiable=False), case(np.array([-1.5, -0.5, 0.5, 1.5]), differentiable=False))
    function = np.rint

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,)


class Cast(Elementwise):
    """The same numbers as another dtype; gradients flow between floating dtypes."""

    to: DType
    onnx = "Cast"
    samples = (case((3, 4), to=DType.float64), case(np.array([0, 1, 5]), to=DType.float64, differentiable=False))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(x[0].shape, self.to)

    def reference(self, *x: Array) -> Array:
        if self.to.half:
            from nnspec.ops.rounding import nearest  # which is an op of an element, too

            return nearest(np.asarray(x[0], np.float32), self.to)
        return x[0].astype(self.to.numpy)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (cast(g, x[0].dtype) if x[0].dtype.is_float and self.to.is_float else None,)


def absolute(x: Value) -> Value:
    return Abs().one(x)


def sign(x: Value) -> Value:
    return Sign().one(x)


def floor(x: Value) -> Value:
    return Floor().one(x)


def round_(x: Value) -> Value:
    return Round().one(x)


def cast(x: Value, dtype: DType) -> Value:
    return x if x.dtype == dtype else Cast(dtype).one(x)


def zeros_like(x: Value) -> Value:
    from nnspec.ops.movement import broadcast_to

    return broadcast_to(constant(0, x.dtype), x.shape)


OPERATORS.update(Add=Add(), Subtract=Subtract(), Multiply=Multiply(), Divide=Divide(), Negative=Negative())
