"""Sums, extremes and counts along axes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import DType, Shape, TensorType, count
from nnspec.ops.elementwise import cast, equal
from nnspec.ops.movement import broadcast_to, reshape


class Reduction(Op, abstract=True):
    """Over ``axis``, counted from 0 in ascending order; ``keep`` leaves axes of length 1 in their place."""

    axis: tuple[int, ...]
    keep: bool = False
    function: ClassVar[Any] = None

    def infer(self, *x: TensorType) -> TensorType:
        shape = x[0].shape
        if any(not 0 <= a < len(shape) for a in self.axis):
            raise ShapeError("no such axis", str(self.axis), f"axes below {len(shape)}")
        return TensorType(self.kept(shape) if self.keep else
                          tuple(d for i, d in enumerate(shape) if i not in self.axis), x[0].dtype)

    def kept(self, shape: Shape) -> Shape:
        """The output's shape with the reduced axes left at 1."""
        return tuple(1 if i in self.axis else d for i, d in enumerate(shape))

    def reference(self, *x: Array) -> Any:
        return type(self).function(x[0], axis=self.axis, keepdims=self.keep)

    def flops(self, *x: TensorType) -> int:
        return count(x[0].shape)


class Sum(Reduction):
    """The sum along axes."""

    onnx = "ReduceSum"
    samples = (case((2, 3, 4), axis=(0, 2)), case((2, 3), axis=(1,), keep=True), case((5,), axis=(0,)),
               case((3, 1), axis=(1,)))

    def reference(self, *x: Array) -> Any:
        return np.sum(x[0], axis=self.axis, keepdims=self.keep, dtype=x[0].dtype)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (broadcast_to(reshape(g, self.kept(x[0].shape)), x[0].shape),)


class Max(Reduction):
    """The largest along axes; equal ones share the gradient evenly, as in PyTorch."""

    onnx = "ReduceMax"
    samples = (case(np.array([[1.0, 5.0, 2.0], [4.0, -1.0, 0.5]]), axis=(1,)),
               case(np.array([[1.0, 5.0, 2.0], [4.0, -1.0, 0.5]]), axis=(0, 1), keep=True))
    function = np.max

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        kept = self.kept(x[0].shape)
        best = cast(equal(x[0], reshape(y, kept)), g.dtype)
        return (best * (reshape(g, kept) / sum_(best, self.axis, keep=True)),)


class Min(Reduction):
    """The smallest along axes; equal ones share the gradient evenly."""

    onnx = "ReduceMin"
    samples = (case(np.array([[1.0, 5.0, 2.0], [4.0, -1.0, 0.5]]), axis=(1,)),)
    function = np.min
    grad = Max.grad


class ArgMax(Op):
    """Where the largest stands along one axis: the first of equals."""

    axis: int
    onnx = "ArgMax"
    samples = (case((3, 4), axis=1, differentiable=False), case((2, 5, 3), axis=1, differentiable=False))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(tuple(d for i, d in enumerate(x[0].shape) if i != self.axis), DType.int64)

    def reference(self, *x: Array) -> Any:
        return np.argmax(x[0], axis=self.axis)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,)


class AllFinite(Op):
    """True where no element of any input is NaN or infinite."""

    samples = (case((3, 4), (2,), differentiable=False), case(np.array([1.0, np.inf]), differentiable=False),
               case(np.array([[np.nan]]), differentiable=False))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType((), DType.bool)

    def reference(self, *x: Array) -> Any:
        return np.array(all(bool(np.isfinite(a).all()) for a in x))

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,) * len(x)

    def flops(self, *x: TensorType) -> int:
        return sum(count(t.shape) for t in x)


def _axes(x: Value, axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.rank))
    return tuple(sorted(a % x.rank for a in ((axis,) if isinstance(axis, int) else axis)))


def sum_(x: Value, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Value:
    axes = _axes(x, axis)
    return Sum(axes, keep).one(x) if axes else x


def max_(x: Value, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Value:
    axes = _axes(x, axis)
    return Max(axes, keep).one(x) if axes else x


def min_(x: Value, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Value:
    axes = _axes(x, axis)
    return Min(axes, keep).one(x) if axes else x


def mean(x: Value, axis: int | tuple[int, ...] | None = None, keep: bool = False) -> Value:
    """The plain mean; axes must be bound where numbers count."""
    axes = _axes(x, axis)
    return sum_(x, axes, keep) * (1.0 / max(1, count(tuple(x.shape[a] for a in axes))))


def argmax(x: Value, axis: int = -1) -> Value:
    return ArgMax(axis % x.rank).one(x)


def all_finite(*x: Value) -> Value:
    return AllFinite().one(*x)
