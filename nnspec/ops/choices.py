"""Comparisons, logic, and what is chosen by them."""

from __future__ import annotations

import numpy as np

from nnspec.ir.graph import Operand, Value, as_value
from nnspec.ir.op import Array, Gradients, ShapeError, case
from nnspec.ir.types import DType, TensorType
from nnspec.ops.broadcasting import AWAY, Comparison, Elementwise, broadcast, unbroadcast

APART = (case(np.array([[1.0, -2.0, 0.5]]), np.array([[0.3], [0.9]])), case((), np.array(3.0)))


class Less(Comparison):
    """``a < b``."""

    onnx = "Less"
    samples = (case((3, 4), (4,), differentiable=False),)
    function = np.less


class LessEqual(Comparison):
    """``a <= b``."""

    onnx = "LessOrEqual"
    samples = (case(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]), differentiable=False),)
    function = np.less_equal


class Equal(Comparison):
    """``a == b``."""

    onnx = "Equal"
    samples = (case(np.array([[1.0, 2.0]]), np.array([[1.0], [2.0]]), differentiable=False),)
    function = np.equal


class And(Comparison):
    """Both are true."""

    onnx = "And"
    samples = (case(np.array([True, False, True]), np.array([True, True, False]), differentiable=False),)
    function = np.logical_and


class Or(Comparison):
    """One or both are true."""

    onnx = "Or"
    samples = (case(np.array([True, False, False]), np.array([True, True, False]), differentiable=False),)
    function = np.logical_or


class Not(Comparison):
    """Not true."""

    onnx = "Not"
    samples = (case(np.array([True, False]), differentiable=False),)
    function = np.logical_not


class Where(Elementwise):
    """``a`` where the condition is true, else ``b``."""

    onnx = "Where"
    samples = (case(np.array([[True, False, True], [False, False, True]]), (2, 3), (3,)),
               case(np.array(True), (2,), ()))

    def infer(self, *x: TensorType) -> TensorType:
        if x[0].dtype != DType.bool:
            raise ShapeError("where asks for a bool condition", str(x[0].dtype), "bool")
        return TensorType(broadcast(*(t.shape for t in x)), Elementwise.infer(self, *x[1:]).dtype)

    def reference(self, *x: Array) -> Array:
        return np.where(x[0], x[1], x[2])

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        c, a, b = x
        return None, unbroadcast(where(c, g, 0.0), a.shape), unbroadcast(where(c, 0.0, g), b.shape)


class Maximum(Elementwise):
    """The larger of two; where they are equal each takes half of the gradient, as in PyTorch."""

    onnx = "Max"
    samples = APART
    function = np.maximum

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return _shared(g, greater(*x), *x)


class Minimum(Elementwise):
    """The smaller of two; where they are equal each takes half of the gradient."""

    onnx = "Min"
    samples = APART
    function = np.minimum

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return _shared(g, less(*x), *x)


def _shared(g: Value, wins: Value, a: Value, b: Value) -> Gradients:
    """The gradient to who wins, half of it to each where neither does."""
    share = where(wins, g, where(equal(a, b), g * 0.5, as_value(0.0, g)))
    return unbroadcast(share, a.shape), unbroadcast(g - share, b.shape)


class Relu(Elementwise):
    """``max(x, 0)``; the gradient at 0 is 0."""

    onnx = "Relu"
    samples = AWAY

    def reference(self, *x: Array) -> Array:
        return np.asarray(np.maximum(x[0], 0))

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (where(greater(y, 0.0), g, 0.0),)


class Step(Elementwise):
    """1 where x > 0, else 0; no gradient flows."""

    samples = (case((3, 5), differentiable=False), case(np.array([0.0, -1.0, 2.0]), differentiable=False))

    def reference(self, *x: Array) -> Array:
        return (x[0] > 0).astype(x[0].dtype)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,)


def less(a: Value, b: Operand) -> Value:
    return Less().one(a, as_value(b, a))


def less_equal(a: Value, b: Operand) -> Value:
    return LessEqual().one(a, as_value(b, a))


def greater(a: Value, b: Operand) -> Value:
    return Less().one(as_value(b, a), a)


def greater_equal(a: Value, b: Operand) -> Value:
    return LessEqual().one(as_value(b, a), a)


def equal(a: Value, b: Operand) -> Value:
    return Equal().one(a, as_value(b, a))


def both(a: Value, b: Value) -> Value:
    return And().one(a, b)


def where(condition: Value, a: Operand, b: Operand) -> Value:
    like = a if isinstance(a, Value) else b
    assert isinstance(like, Value)
    return Where().one(condition, as_value(a, like), as_value(b, like))


def maximum(a: Value, b: Operand) -> Value:
    return Maximum().one(a, as_value(b, a))


def minimum(a: Value, b: Operand) -> Value:
    return Minimum().one(a, as_value(b, a))


def relu(x: Value) -> Value:
    return Relu().one(x)


def step(x: Value) -> Value:
    return Step().one(x)
