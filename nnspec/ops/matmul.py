"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.graph import OPERATORS, Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import TensorType, count, show, size
from nnspec.ops.elementwise import alike, broadcast, unbroadcast
from nnspec.ops.movement import reshape, swap


class MatMul(Op):
    """``a @ b`` over the last two axes; leading axes broadcast."""

    kept: str = ""  # how the right side lies, by rows or columns, where it stands still between runs: what is made of it is kept
    onnx = "MatMul"
    samples = (case((2, 3), (3, 4)), case((5, 2, 3), (5, 3, 1)), case((2, 1, 4, 3), (3, 3, 2)), case((1, 1), (1, 1)))

    def infer(self, *x: TensorType) -> TensorType:
        alike(*x)
        a, b = x
        if a.rank < 2 or b.rank < 2 or a.shape[-1] != b.shape[-2]:
            raise ShapeError("shapes cannot be multiplied", f"{show(a.shape)}  @  {show(b.shape)}",
                             "the last axis of the first equal to the last but one of the second")
        return TensorType((*broadcast(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]) if a.rank + b.rank > 4
                          else (a.shape[-2], b.shape[-1]), a.dtype)

    def reference(self, *x: Array) -> Any:
        return np.matmul(*x)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, b = x
        return unbroadcast(g @ swap(b), a.shape), unbroadcast(swap(a) @ g, b.shape)

    def flops(self, *x: TensorType) -> int:
        return 2 * count(self.infer(*x).shape) * count(x[0].shape[-1:])


class Linear(Op):
    """``x @ w + b`` for matrices: a product with its bias folded in."""

    onnx = "Gemm"
    samples = (case((2, 3), (3, 4), (4,)), case((1, 1), (1, 1), (1,)))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType((x[0].shape[0], x[1].shape[1]), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        return np.matmul(x[0], x[1]) + x[2]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return g @ swap(x[1]), swap(x[0]) @ g, unbroadcast(g, x[2].shape)

    def flops(self, *x: TensorType) -> int:
        return 2 * count(self.infer(*x).shape) * count(x[0].shape[-1:])


def matmul(a: Value, b: Value) -> Value:
    return MatMul().one(a, b)


def project(x: Value, w: Value) -> Value:
    """``x @ w`` over the last axis of any rank, as one matrix product."""
    if x.rank == 2:
        return x @ w
    rows = size(x.shape[:-1])
    return reshape(reshape(x, (rows, x.shape[-1])) @ w, (*x.shape[:-1], w.shape[-1]))


OPERATORS["MatMul"] = MatMul()
