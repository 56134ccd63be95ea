"""Rows and elements chosen by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import Dim, DType, TensorType, count, known
from nnspec.ops.elementwise import cast

IDS = np.array([[0, 2], [1, 2]])


def _whole(ids: TensorType) -> None:
    if ids.dtype.is_float or ids.dtype == DType.bool:
        raise ShapeError("asks for whole numbers", f"{ids.dtype}", "int32 or int64",
                         "declare the input as {dtype: int64}")


class Gather(Op):
    """``table[ids]``: rows of a table by number."""

    onnx = "Gather"
    samples = (case((3, 4), IDS), case((3, 1), np.array([2])))

    def infer(self, *x: TensorType) -> TensorType:
        _whole(x[1])
        return TensorType((*x[1].shape, *x[0].shape[1:]), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        return x[0][x[1]]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return ScatterAdd(x[0].shape[0])(g, x[1]), None

    def flops(self, *x: TensorType) -> int:
        return 0


class ScatterAdd(Op):
    """A table of ``rows`` rows, zero but for ``values`` added at ``ids``."""

    rows: Dim
    samples = (case((2, 2, 4), IDS, rows=3),)
    mixes_rows = True

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType((self.rows, *x[0].shape[x[1].rank :]), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        table = np.zeros(known((self.rows, *x[0].shape[x[1].ndim :])), x[0].dtype)
        np.add.at(table, x[1], x[0])
        return table

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return Gather()(g, x[1]), None

    def flops(self, *x: TensorType) -> int:
        return count(x[0].shape)


class OneHot(Op):
    """1 at each number's place along a new last axis of length ``depth``, else 0."""

    depth: int
    dtype: DType
    onnx = "OneHot"
    samples = (case(IDS, depth=3, dtype=DType.float64, differentiable=False),)

    def infer(self, *x: TensorType) -> TensorType:
        _whole(x[0])
        return TensorType((*x[0].shape, self.depth), self.dtype)

    def reference(self, *x: Array) -> Any:
        return (x[0][..., None] == np.arange(self.depth)).astype(self.dtype.numpy)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None,)


class Pick(Op):
    """``x[..., ids]``: one element of the last axis for each number."""

    samples = (case((2, 2, 3), IDS), case((2, 3), np.array([1, 0])))

    def infer(self, *x: TensorType) -> TensorType:
        _whole(x[1])
        if x[0].shape[:-1] != x[1].shape:
            raise ShapeError("labels do not fit the scores", str(x[1]), f"shape {x[0].shape[:-1]}")
        return TensorType(x[1].shape, x[0].dtype)

    def reference(self, *x: Array) -> Any:
        return np.take_along_axis(x[0], x[1][..., None].astype(np.int64), -1)[..., 0]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        from nnspec.ops.movement import reshape

        hot = OneHot(int(x[0].shape[-1]), x[0].dtype)(x[1])  # type: ignore[arg-type]  # classes are never symbolic
        return reshape(g, (*g.shape, 1)) * hot, None


class TopK(Op):
    """1 where the label's score is among the ``k`` largest of the last axis, ties going to the first, else 0."""

    k: int
    samples = (case(np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]]), np.array([2, 2]), k=2, differentiable=False),)

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(x[1].shape, x[0].dtype)

    def reference(self, *x: Array) -> Any:
        labels = x[1][..., None].astype(np.int64)
        own = np.take_along_axis(x[0], labels, -1)
        before = (x[0] > own) | ((x[0] == own) & (np.arange(x[0].shape[-1]) < labels))
        return (before.sum(-1) < self.k).astype(x[0].dtype)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return None, None


def gather(table: Value, ids: Value) -> Value:
    return Gather().one(table, ids)


def one_hot(ids: Value, depth: int, dtype: DType) -> Value:
    return OneHot(depth, dtype).one(ids)


def pick(x: Value, ids: Value) -> Value:
    return Pick().one(x, ids)


def as_ids(x: Value) -> Value:
    """Class numbers as int64."""
    return cast(x, DType.int64)
