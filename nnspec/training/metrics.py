"""What is measured: counts in the step and in evaluation, added up over a whole split; a measure is made of them once, never of batches."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType, show, size
from nnspec.ops.elementwise import Sigmoid, Step, absolute, cast, equal, greater, square, where
from nnspec.ops.index import TopK
from nnspec.ops.movement import broadcast_to, reshape
from nnspec.ops.reduce import argmax, max_, min_, sum_
from nnspec.ops.softmax import Softmax
from nnspec.records import dataclass
from nnspec.spec.model import Count, Kind
from nnspec.training.losses import Loss, per_row
from nnspec.training.origin import made_by
from nnspec.training.void import Void

Counts = Mapping[str, NDArray[np.float64]]
Table = list[list[float]]


@dataclass(frozen=True)
class Reading:
    """An output and its target as a metric sees them; ``loss`` is what the output is trained for, if anything."""

    y: Value
    t: Value
    loss: Loss | None = None
    weight: Value | None = None  # of the rows
    counts: Value | None = None  # where the target does, if not everywhere

    @property
    def yes(self) -> bool:
        """Whether every element says yes or no by itself; else the last axis has the classes' scores."""
        if self.y.rank == 1 or self.y.shape[-1] == 1:
            return True
        if self.loss is not None and self.loss.classes:
            return self.loss.binary(self.y)
        return self.t.shape == self.y.shape and made_by(self.y, Sigmoid, Step)

    def cut(self, threshold: float) -> float:
        """Where yes begins: a probability, or its logit."""
        plain = made_by(self.y, Sigmoid, Step) or (self.loss is not None and self.loss.numbers)
        return threshold if plain else math.log(threshold / (1.0 - threshold))

    def said(self, threshold: float = 0.5) -> Value:
        """1 where an element says yes, else 0."""
        return cast(greater(self.y, self.cut(threshold)), DType.float64)

    def meant(self) -> Value:
        """1 where it should, in the output's shape; a target of -1 is no."""
        t = reshape(cast(self.t, DType.float64), self.y.shape)
        return cast(greater(t, 0.5), DType.float64)

    def guesses(self) -> Value:
        """The class with the largest score."""
        return argmax(self.y)

    def labels(self) -> Value:
        """The right class: a number, or where one-hot is largest."""
        return argmax(self.t) if self.t.dtype.is_float else cast(self.t, DType.int64)

    def weights(self, like: Value) -> Value:
        """The row's weight at each place of a value, in float64; 0 where nothing counts, if it is a value of every place."""
        ones = (1,) * (like.rank - 1)
        w = constant(1.0, DType.float64) if self.weight is None else reshape(cast(self.weight, DType.float64), (*like.shape[:1], *ones))
        w = broadcast_to(w, like.shape)
        if self.counts is None or size(self.counts.shape) != size(like.shape):
            return w
        return w * cast(reshape(self.counts, like.shape), DType.float64)


def reading(y: Value, t: Value, loss: Loss | None = None, weight: Value | None = None, void: Void | None = None) -> Reading:
    """An output and its target, of which a class may count for nothing."""
    if void is None:
        return Reading(y, t, loss, weight)
    t, counts = void.seen(t)
    return Reading(y, t, loss, weight, counts)


class Metric(Kind):
    """A measure of an output ``y`` against a target ``t`` over all rows of a split, each by its weight."""

    registry: ClassVar[dict[str, type[Any]]] = {}
    better: ClassVar[str] = "more"  # or "less"
    power: ClassVar[int] = 0  # how it grows with the target's unit: metrics are given in physical units
    targeted: ClassVar[bool] = True  # it compares with something
    table: ClassVar[bool] = False  # the measure is a table, not a number
    keeps_rows: ClassVar[bool] = False  # its counts are values a row, joined and not added
    parts: ClassVar[tuple[str, ...]]  # the names of its counts

    @abstractmethod
    def counts(self, r: Reading) -> dict[str, Value]:
        """What a batch adds, in float64."""

    @abstractmethod
    def value(self, c: Counts) -> float | Table:
        """The measure, from the counts of a whole split."""

    def join(self, a: Counts, b: Counts) -> Counts:
        """The counts of two batches taken together."""
        return {name: a[name] + b[name] for name in self.parts}

    def check(self, r: Reading) -> None:
        """Raises ShapeError where output and target cannot be compared."""
        y, t = r.y, r.t
        if t.shape != y.shape and not (r.yes and y.shape[-1:] == (1,) and t.shape == y.shape[:-1]):
            hint = "accuracy, f1 and auc measure classes" if not t.dtype.is_float else ""
            raise ShapeError(f"{self.kind} cannot compare output and target", f"output {show(y.shape)}, target {t.type}", "equal shapes", hint)


class RowMean(Metric):
    """The weighted mean of a number a row; where not all places count, of all that do."""

    parts = ("sum", "mass")

    @abstractmethod
    def places(self, r: Reading) -> Value:
        """The measure of each place of a row: ``(batch, ...)``, float64; a row's is the mean over its places."""

    def counts(self, r: Reading) -> dict[str, Value]:
        rows = self.places(r) if r.counts is not None else per_row(self.places(r))
        w = r.weights(rows)
        return {"sum": sum_(rows * w), "mass": sum_(w)}

    def value(self, c: Counts) -> float | Table:
        return share(c["sum"], c["mass"])


def share(part: Any, whole: Any) -> float:
    """``part / whole``, 0 of nothing."""
    return float(part) / float(whole) if whole else 0.0


def classes_fit(metric: Metric, r: Reading, one_hot: bool = False) -> None:
    """Raises ShapeError but for class numbers, one-hot, or yes and no; numbers may be one-hot where that cannot be told apart."""
    y, t = r.y, r.t
    if r.yes:
        Metric.check(metric, r)
        return
    if t.dtype.is_float and r.loss is not None and r.loss.numbers and not one_hot and not made_by(y, Softmax):
        raise ShapeError(f"{metric.kind} measures classes, the loss {r.loss.kind} of its output compares numbers", f"target {t.type}",
                         "a class as the target", "mae, mse, rmse and r2 measure numbers")
    if t.shape != y.shape[:-1] if not t.dtype.is_float else t.shape != y.shape:
        raise ShapeError(f"{metric.kind} cannot compare output and target", f"output {show(y.shape)}, target {t.type}",
                         f"class numbers of shape {show(y.shape[:-1])}, or one-hot of shape {show(y.shape)}")


class Accuracy(RowMean, kind="accuracy"):
    """The share of right answers: the largest score is the target's class; of what says yes or no, the right side of 1/2.

    ``hits / places``. Scores ``(…, classes)`` and class numbers ``(…)``, or one-hot; or yes and no, ``(…)`` both.
    """

    def check(self, r: Reading) -> None:
        classes_fit(self, r, one_hot=True)

    def places(self, r: Reading) -> Value:
        right = equal(r.said(), r.meant()) if r.yes else equal(r.guesses(), r.labels())
        return cast(right, DType.float64)


class TopKAccuracy(RowMean, kind="top_k", primary="k"):
    """The share of rows whose class is among the ``k`` largest scores: 5.

    Scores ``(…, classes)`` and class numbers ``(…)``; of equal scores the lower class comes first.
    """

    k: Count = 5

    def check(self, r: Reading) -> None:
        units = r.y.shape[-1]
        if isinstance(units, int) and units < self.k:
            raise ShapeError("top_k asks for more classes than there are", f"k = {self.k} of {units} classes", "a smaller k")
        if r.yes:
            raise ShapeError("top_k ranks classes that share a row", "units that say yes or no each", "accuracy")
        classes_fit(self, r, one_hot=True)

    def places(self, r: Reading) -> Value:
        return cast(TopK(self.k).one(r.y, r.labels()), DType.float64)


def difference(r: Reading) -> Value:
    """``y - t`` in float64."""
    y = cast(r.y, DType.float64)
    return y - reshape(cast(r.t, DType.float64), y.shape)


class MeanAbsoluteError(RowMean, kind="mae"):
    """``|y - t|`` in the target's unit.

    The mean over a row's elements, then over rows. Output and target ``(…)`` of one shape.
    """

    better, power = "less", 1

    def places(self, r: Reading) -> Value:
        return absolute(difference(r))


class MeanSquaredError(RowMean, kind="mse"):
    """``(y - t)^2`` in the target's unit squared.

    The mean over a row's elements, then over rows. Output and target ``(…)`` of one shape.
    """

    better, power = "less", 2

    def places(self, r: Reading) -> Value:
        return square(difference(r))


class RootMeanSquaredError(MeanSquaredError, kind="rmse"):
    """The root of ``mse``, in the target's unit.

    ``sqrt(mean (y - t)^2)``: the root of the mean over all rows, not the mean of roots.
    """

    power = 1

    def value(self, c: Counts) -> float | Table:
        return math.sqrt(share(c["sum"], c["mass"]))


class R2(Metric, kind="r2"):
    """``1 - sum (y - t)^2 / sum (t - mean t)^2``, the mean over the outputs of the last axis; 1 is perfect, 0 is the mean itself.

    Where every target is equal it is 1 for answers without error, else 0, as scikit-learn.
    """

    parts = ("mass", "mean", "spread", "rest", "least", "most")

    def counts(self, r: Reading) -> dict[str, Value]:
        y = r.y
        flat = (size(y.shape[:-1]), y.shape[-1]) if y.rank > 1 else (y.shape[0], 1)
        d, t = reshape(difference(r), flat), reshape(cast(r.t, DType.float64), flat)
        w = reshape(r.weights(y), flat)
        mass = sum_(w, 0)
        mean = sum_(t * w, 0) / mass
        seen = greater(w, 0.0)
        return {"mass": mass, "mean": mean, "spread": sum_(square(t - mean) * w, 0), "rest": sum_(square(d) * w, 0),
                "least": min_(where(seen, t, math.inf), 0), "most": max_(where(seen, t, -math.inf), 0)}

    def join(self, a: Counts, b: Counts) -> Counts:
        """The spread about the common mean. Source: Chan, Golub and LeVeque, 1983."""
        if not a["mass"].all() or not b["mass"].all():
            return b if not a["mass"].all() else a
        mass = a["mass"] + b["mass"]
        step = b["mean"] - a["mean"]
        spread = a["spread"] + b["spread"] + step * step * (a["mass"] * b["mass"] / mass)
        return {"mass": mass, "mean": a["mean"] + step * (b["mass"] / mass), "spread": spread, "rest": a["rest"] + b["rest"],
                "least": np.minimum(a["least"], b["least"]), "most": np.maximum(a["most"], b["most"])}

    def value(self, c: Counts) -> float | Table:
        flat = (c["least"] == c["most"]) | (c["spread"] == 0)  # the mean of equal numbers may be rounded, and then they spread about it
        of_each = 1.0 - c["rest"] / np.where(flat, 1.0, c["spread"])
        return float(np.where(flat, np.where(c["rest"] == 0, 1.0, 0.0), of_each).mean())


def physical(r: Reading, scale: tuple[float, ...]) -> Reading:
    """A prepared output and target in physical units, up to their offset."""
    if all(s == 1.0 for s in scale):
        return r
    factor = constant(scale if len(scale) > 1 else scale[0], DType.float64)
    y = cast(r.y, DType.float64) * factor
    return Reading(y, reshape(cast(r.t, DType.float64), y.shape) * factor, r.loss, r.weight, r.counts)


def fits(metric: Metric, y: Value, t: TensorType, loss: Loss | None, void: Void | None = None) -> None:
    """Raises ShapeError where a metric cannot compare an output with a target of this type."""
    from nnspec.ir.graph import abstract

    r = reading(y, abstract(t, "target"), loss, None, void)
    metric.check(r)
    metric.counts(r)
