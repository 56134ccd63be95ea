"""Of each row the elements that its own numbers choose; the largest; and gradients that stop."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import Dim, DType, TensorType, count, known, show
from nnspec.ops.elementwise import Elementwise
from nnspec.ops.movement import reshape

IDS = np.array([[0, 2, 1, 2], [1, 0, 0, 2]])


class TakeRows(Op):
    """``x[i, ids[i, …]]`` for each row i: ``(rows, n, …)`` and ``(rows, k…)`` give ``(rows, k…, …)``; numbers lie within n."""

    samples = (case((2, 3, 2), IDS), case((2, 3), IDS), case((2, 3, 1), IDS.reshape(2, 2, 2)), case((1, 1), np.array([[0]])))

    def infer(self, *x: TensorType) -> TensorType:
        if x[1].dtype not in (DType.int32, DType.int64):
            raise ShapeError("asks for whole numbers", str(x[1].dtype), "int32 or int64")
        if x[0].shape[0] != x[1].shape[0]:
            raise ShapeError("rows differ", f"{show(x[0].shape)}  and  {show(x[1].shape)}", "as many rows of numbers as of values")
        return TensorType((*x[1].shape, *x[0].shape[2:]), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        rows = np.arange(len(x[0])).reshape(-1, *(1,) * (x[1].ndim - 1))
        return x[0][rows, x[1]]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return AddRows(x[0].shape[1])(g, x[1]), None

    def flops(self, *x: TensorType) -> int:
        return 0


class AddRows(Op):
    """``(rows, n, …)``, zero but for values ``(rows, k…, …)`` added in each row i at ``ids[i, …]``."""

    n: Dim
    samples = (case((2, 4, 2), IDS, n=3), case((2, 4), IDS, n=4), case((2, 2, 2, 1), IDS.reshape(2, 2, 2), n=3))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType((x[1].shape[0], self.n, *x[0].shape[x[1].rank :]), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        y = np.zeros(known((x[1].shape[0], self.n, *x[0].shape[x[1].ndim :])), x[0].dtype)
        np.add.at(y, (np.arange(len(y)).reshape(-1, *(1,) * (x[1].ndim - 1)), x[1]), x[0])
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return TakeRows()(g, x[1]), None

    def flops(self, *x: TensorType) -> int:
        return count(x[0].shape)


class Largest(Op):
    """The ``k`` largest along the last axis, largest first, and their numbers (int64): of equals the first; NaN is above all."""

    k: int
    onnx = "TopK"
    samples = (case(np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]]), k=2), case(np.array([[[1.5, -2.0, 4.0, 0.5]]]), k=4),
               case(np.array([3.0]), k=1))

    def infer(self, *x: TensorType) -> tuple[TensorType, ...]:
        shape = (*x[0].shape[:-1], self.k)
        return TensorType(shape, x[0].dtype), TensorType(shape, DType.int64)

    def reference(self, *x: Array) -> Any:
        # sorted upwards from the last element on, so that of equals the first comes last
        order = np.argsort(x[0][..., ::-1], axis=-1, kind="stable")[..., ::-1][..., : self.k]
        ids = x[0].shape[-1] - 1 - order
        return np.take_along_axis(x[0], ids, -1), ids

    def grad(self, g: Any, y: Any, *x: Value) -> Gradients:
        upstream, ids = g[0], y[1]
        if upstream is None:
            return (None,)
        rows: Dim = 1
        for d in ids.shape[:-1]:
            rows = rows * d
        flat = (rows, self.k)
        return (reshape(AddRows(x[0].shape[-1]).one(reshape(upstream, flat), reshape(ids, flat)), x[0].shape),)


class StopGradient(Elementwise):
    """``x``, through which no gradient flows. The passes leave it out: they come after the gradients."""

    samples = (case((2, 3), differentiable=False), case((), differentiable=False))

    def reference(self, *x: Array) -> Any:
        return x[0]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,)

    def flops(self, *x: TensorType) -> int:
        return 0


def take_rows(x: Value, ids: Value) -> Value:
    return TakeRows().one(x, ids)


def stop_gradient(x: Value) -> Value:
    return StopGradient().one(x)
