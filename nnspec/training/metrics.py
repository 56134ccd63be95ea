"""What is measured: for each row a number; over a split the weighted mean of all rows, never of batches."""

from abc import abstractmethod
from typing import Any, ClassVar

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType, show
from nnspec.ops.elementwise import Sigmoid, Step, absolute, cast, equal, greater, square
from nnspec.ops.index import TopK
from nnspec.ops.reduce import argmax
from nnspec.spec.model import Count, Kind
from nnspec.training.losses import like, per_row


class Metric(Kind):
    """A measure of an output ``y`` against a target ``t``."""

    registry: ClassVar[dict[str, type[Any]]] = {}
    better: ClassVar[str] = "more"  # or "less"
    power: ClassVar[int] = 0  # how it grows with the target's unit: metrics are given in physical units

    @abstractmethod
    def rows(self, y: Value, t: Value) -> Value:
        """The measure of each row: ``(batch,)``."""

    def fits(self, y: Value, t: TensorType) -> None:
        """Raises ShapeError where the two cannot be compared."""
        if t.shape not in (y.shape, y.shape[:-1]):
            raise ShapeError(f"{self.kind} cannot compare output and target", f"output {show(y.shape)}, target {t}", "shapes that fit")


class Accuracy(Metric, kind="accuracy"):
    """The share of right answers: the largest score is the target's class; for one unit, the probability's side of 1/2."""

    def rows(self, y: Value, t: Value) -> Value:
        if y.shape[-1] == 1 or (t.shape == y.shape and _binary(y)):
            half = 0.5 if isinstance(y.op, (Sigmoid, Step)) else 0.0
            right = equal(cast(greater(y, half), y.dtype), like(t, y))
            return per_row(cast(right, y.dtype))
        labels = argmax(t) if t.dtype.is_float else cast(t, DType.int64)
        return per_row(cast(equal(argmax(y), labels), y.dtype))


def _binary(y: Value) -> bool:
    return isinstance(y.op, (Sigmoid, Step))


class TopKAccuracy(Metric, kind="top_k", primary="k"):
    """The share of rows whose class is among the ``k`` largest scores: 5."""

    k: Count = 5

    def fits(self, y: Value, t: TensorType) -> None:
        super().fits(y, t)
        if isinstance(y.shape[-1], int) and y.shape[-1] < self.k:
            raise ShapeError("top_k asks for more classes than there are", f"k = {self.k} of {y.shape[-1]} classes", "a smaller k")

    def rows(self, y: Value, t: Value) -> Value:
        labels = argmax(t) if t.dtype.is_float else cast(t, DType.int64)
        return per_row(TopK(self.k)(y, labels))


class MeanAbsoluteError(Metric, kind="mae"):
    """``|y - t|`` in the target's unit."""

    better, power = "less", 1

    def rows(self, y: Value, t: Value) -> Value:
        return per_row(absolute(y - like(t, y)))


class MeanSquaredError(Metric, kind="mse"):
    """``(y - t)^2`` in the target's unit squared."""

    better, power = "less", 2

    def rows(self, y: Value, t: Value) -> Value:
        return per_row(square(y - like(t, y)))


def scaled(x: Value, scale: tuple[float, ...]) -> Value:
    """A prepared output or target in physical units, up to its offset."""
    return x if all(s == 1.0 for s in scale) else x * constant(scale if len(scale) > 1 else scale[0], x.dtype)
