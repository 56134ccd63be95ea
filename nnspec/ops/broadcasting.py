"""What every op on one element at a time is: inputs of one dtype, broadcast as NumPy does it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nnspec.ir.graph import Value
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


# Samples of several ops

UNARY = (case((3, 5)), case((1,)), case(()))
POSITIVE = (case((3, 5), least=0.2, most=3.0), case((1,), least=0.2), case((), least=0.2))
AWAY = (case(np.array([[-1.7, -0.4, 0.3], [0.9, 2.2, -2.0]])), case(np.array([0.7])))
