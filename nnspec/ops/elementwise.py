"""Ops on one element at a time, after NumPy's broadcasting."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from nnspec.ir.graph import OPERATORS, Operand, Value, as_value, constant
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import Dim, DType, Shape, TensorType, show


def alike(*x: TensorType) -> None:
    """Raises ShapeError where dtypes differ."""
    if any(t.dtype != x[0].dtype for t in x):
        whole = not all(t.dtype.is_float for t in x)
        raise ShapeError("dtypes differ", "  and  ".join(str(t.dtype) for t in x), "one dtype",
                         "whole numbers go through an embedding, or are declared as float32" if whole else "")


def broadcast(*shapes: Shape) -> Shape:
    """The common shape; axes are equal or 1, aligned at the end."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    out: list[Dim] = []
    for dims in zip(*padded, strict=True):
        wide = {d for d in dims if d != 1}
        if len(wide) > 1:
            raise ShapeError("shapes do not broadcast", "  and  ".join(map(show, shapes)),
                             "equal axes, or axes of length 1")
        out.append(wide.pop() if wide else 1)
    return tuple(out)


def unbroadcast(g: Value, shape: Shape) -> Value:
    """``g`` summed over the axes along which ``shape`` was broadcast: the gradient of broadcasting."""
    from nnspec.ops.movement import reshape
    from nnspec.ops.reduce import sum_

    if g.shape == shape:
        return g
    extra = g.rank - len(shape)
    axes = tuple(i for i in range(g.rank) if i < extra or (shape[i - extra] == 1 and g.shape[i] != 1))
    summed = sum_(g, axes, keep=True) if axes else g
    return reshape(summed, shape)


class Elementwise(Op, abstract=True):
    """Inputs broadcast; the output has their common shape and the first input's dtype."""

    elementwise = True
    function: ClassVar[Any] = None  # the NumPy function
    floating: ClassVar[bool] = False  # whether it has no result among whole numbers

    def infer(self, *x: TensorType) -> TensorType:
        alike(*x)
        first = x[0].dtype
        if self.floating and not first.is_float:
            raise ShapeError(f"{self.name.lower()} asks for floats", str(first), "float32", "cast: float32 comes first")
        return TensorType(broadcast(*(t.shape for t in x)), first)

    def reference(self, *x: Array) -> Any:
        return type(self).function(*x)


class Comparison(Elementwise, abstract=True):
    """As Elementwise, but the output is bool; no gradient flows."""

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(super().infer(*x).shape, DType.bool)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,) * len(x)


PAIRS = (case((3, 4), (3, 4)), case((2, 1, 5), (3, 1)), case((4,), ()), case((), ()))
UNARY = (case((3, 5)), case((1,)), case(()))
POSITIVE = (case((3, 5), least=0.2, most=3.0), case((1,), least=0.2), case((), least=0.2))
AWAY = (case(np.array([[-1.7, -0.4, 0.3], [0.9, 2.2, -2.0]])), case(np.array([0.7])))
APART = (case(np.array([[1.0, -2.0, 0.5]]), np.array([[0.3], [0.9]])), case((), np.array(3.0)))


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


class Maximum(Elementwise):
    """The larger of two; where they are equal each takes half of the gradient, as in PyTorch."""

    onnx = "Max"
    samples = APART
    function = np.maximum

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, b = x
        share = _share(greater(a, b), equal(a, b), g)
        return unbroadcast(share, a.shape), unbroadcast(g - share, b.shape)


class Minimum(Elementwise):
    """The smaller of two; where they are equal each takes half of the gradient."""

    onnx = "Min"
    samples = APART
    function = np.minimum

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, b = x
        share = _share(less(a, b), equal(a, b), g)
        return unbroadcast(share, a.shape), unbroadcast(g - share, b.shape)


def _share(wins: Value, ties: Value, g: Value) -> Value:
    return where(wins, g, where(ties, g * 0.5, as_value(0.0, g)))


class Negative(Elementwise):
    """``-x``."""

    onnx = "Neg"
    samples = UNARY
    function = np.negative

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (-g,)


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


class Sqrt(Elementwise):
    """The square root."""

    onnx = "Sqrt"
    samples = POSITIVE
    function = np.sqrt
    floating = True

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * 0.5 / y,)


class Square(Elementwise):
    """``x * x``."""

    samples = UNARY
    function = np.square

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * (x[0] * 2.0),)


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


class Cast(Elementwise):
    """The same numbers as another dtype; gradients flow between floating dtypes."""

    to: DType
    onnx = "Cast"
    samples = (case((3, 4), to=DType.float64), case(np.array([0, 1, 5]), to=DType.float64, differentiable=False))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(x[0].shape, self.to)

    def reference(self, *x: Array) -> Array:
        return x[0].astype(self.to.numpy)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (cast(g, x[0].dtype) if x[0].dtype.is_float and self.to.is_float else None,)


def exp(x: Value) -> Value:
    return Exp().one(x)


def expm1(x: Value) -> Value:
    return Expm1().one(x)


def log(x: Value) -> Value:
    return Log().one(x)


def log1p(x: Value) -> Value:
    return Log1p().one(x)


def sqrt(x: Value) -> Value:
    return Sqrt().one(x)


def square(x: Value) -> Value:
    return Square().one(x)


def absolute(x: Value) -> Value:
    return Abs().one(x)


def sign(x: Value) -> Value:
    return Sign().one(x)


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


def relu(x: Value) -> Value:
    return Relu().one(x)


def step(x: Value) -> Value:
    return Step().one(x)


def floor(x: Value) -> Value:
    return Floor().one(x)


def round_(x: Value) -> Value:
    return Round().one(x)


def power(x: Value, exponent: float) -> Value:
    return Power(exponent).one(x)


def raise_(a: Operand, b: Value) -> Value:
    return Raise().one(as_value(a, b), b)


def maximum(a: Value, b: Operand) -> Value:
    return Maximum().one(a, as_value(b, a))


def minimum(a: Value, b: Operand) -> Value:
    return Minimum().one(a, as_value(b, a))


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


def cast(x: Value, dtype: DType) -> Value:
    return x if x.dtype == dtype else Cast(dtype).one(x)


def zeros_like(x: Value) -> Value:
    from nnspec.ops.movement import broadcast_to

    return broadcast_to(constant(0, x.dtype), x.shape)


OPERATORS.update(Add=Add(), Subtract=Subtract(), Multiply=Multiply(), Divide=Divide(), Negative=Negative())
