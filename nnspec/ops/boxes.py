"""Boxes of which the best are kept, and those that overlap them are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import DType, TensorType, count, show

BOXES = np.array([[[0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 4.0, 5.0], [6.0, 6.0, 8.0, 9.0], [0.5, 0.0, 4.5, 4.0], [6.0, 6.0, 8.0, 9.0]],
                  [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 4.0], [2.0, 2.0, 5.0, 5.0]]])  # fmt: skip
SCORES = np.array([[0.5, 0.9, 0.4, 0.9, 0.4], [0.1, 0.2, np.nan, -np.inf, 0.3]])


class NonMaxSuppression(Op):
    """The numbers of at most ``maximum`` boxes of each row, best score first, and how many they are.

    Boxes ``(rows, n, 4)`` as (x1, y1, x2, y2), scores ``(rows, n)``, and perhaps whole numbers ``(rows, n)``: boxes of different numbers do
    not meet. Again and again the best that is left is taken (of equals the first), and what it overlaps with more than ``overlap`` is
    out: the area of both over the area of either. A score of NaN or minus infinity never counts. Numbers ``(rows, maximum)`` are
    int64, 0 past the count ``(rows,)``, which is int32.
    """

    maximum: int
    overlap: float
    groups: int = 0  # how many different numbers there are at most, counted from 0; 0 where that is not known
    samples = (
        case(BOXES, SCORES, maximum=3, overlap=0.5, differentiable=False),
        case(BOXES, SCORES, np.array([[0, 0, 1, 1, 1], [2, 2, 2, 2, 2]]), maximum=5, overlap=0.6, groups=3, differentiable=False),
        case(BOXES[:1, :1], SCORES[:1, :1], maximum=2, overlap=0.5, differentiable=False),
    )  # fmt: skip

    def infer(self, *x: TensorType) -> tuple[TensorType, ...]:
        boxes, scores = x[:2]
        if boxes.rank != 3 or boxes.shape[-1] != 4 or boxes.shape[:2] != scores.shape or not scores.dtype.is_float or boxes.dtype != scores.dtype:
            raise ShapeError("boxes and scores do not fit each other", f"{boxes}  and  {scores}", "(rows, n, 4)  and  (rows, n), of one float dtype")
        if len(x) > 2 and (x[2].shape != scores.shape or x[2].dtype not in (DType.int32, DType.int64)):
            raise ShapeError("groups do not fit the scores", f"{show(x[2].shape)} of {x[2].dtype}", f"whole numbers of {show(scores.shape)}")
        rows = scores.shape[0]
        return TensorType((rows, self.maximum), DType.int64), TensorType((rows,), DType.int32)

    def reference(self, *x: Array) -> Any:
        boxes, scores, *groups = x
        numbers = np.zeros((len(scores), self.maximum), np.int64)
        counts = np.zeros(len(scores), np.int32)
        for i, row in enumerate(scores):
            alive = row > -np.inf
            order = np.argsort(-np.where(alive, row, 0), kind="stable")
            for n in order[alive[order]]:
                if alive[n] and counts[i] < self.maximum:
                    numbers[i, counts[i]] = n
                    counts[i] += 1
                    meet = groups[0][i] == groups[0][i, n] if groups else True
                    alive &= ~(meet & (overlaps(boxes[i], boxes[i, n]) > boxes.dtype.type(self.overlap)))
        return numbers, counts

    def grad(self, g: Any, y: Any, *x: Value) -> Gradients:
        return (None,) * len(x)

    def flops(self, *x: TensorType) -> int:
        return 12 * count(x[1].shape) * self.maximum


def overlaps(boxes: Array, box: Array) -> Array:
    """The area that each of ``(n, 4)`` boxes shares with one, over the area of either; NaN for two of no area."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.maximum(sides, 0).prod(-1)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    own = (box[2] - box[0]) * (box[3] - box[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(shared / (area + own - shared))


def non_max_suppression(maximum: int, overlap: float, *x: Value, groups: int = 0) -> tuple[Value, Value]:
    """Numbers and counts of the boxes that are kept."""
    numbers, counts = NonMaxSuppression(maximum, overlap, groups)(*x)
    return numbers, counts
