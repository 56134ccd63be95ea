"""Measures of classes over a whole split, as scikit-learn has them: precision, recall, f1, confusion, mean_iou, auc."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, size
from nnspec.ops.elementwise import cast, equal, greater
from nnspec.ops.index import ScatterAdd
from nnspec.ops.movement import reshape, slice_axis
from nnspec.ops.reduce import sum_
from nnspec.ops.softmax import Softmax, softmax
from nnspec.training.metrics import Counts, Metric, Reading, Table, classes_fit
from nnspec.training.origin import made_by

Floats = NDArray[np.float64]
Threshold = Annotated[float, Field(gt=0, lt=1)]


def ratio(a: Floats, b: Floats) -> Floats:
    """``a / b``, 0 where b is 0."""
    return np.where(b > 0, a / np.where(b > 0, b, 1.0), 0.0)


def counted(ids: Value, w: Value, classes: int) -> Value:
    """How much weight each class number has."""
    flat = (size(ids.shape),)
    return ScatterAdd(classes).one(reshape(w, flat), reshape(ids, flat))


class PerClass(Metric):
    """A measure from three counts a class: ``hits`` are right, ``guessed`` said, ``actual`` meant; ``mass`` is all of them.

    Of what says yes or no there is one count a unit, of yes.
    """

    parts = ("hits", "guessed", "actual", "mass")
    threshold: Threshold | None = None

    def check(self, r: Reading) -> None:
        classes_fit(self, r)
        if self.threshold is not None and not r.yes and r.y.shape[-1] != 2:
            raise ShapeError("'threshold' is for yes and no", f"{r.y.shape[-1]} classes, of which the likeliest is taken", "leave it out")

    def counts(self, r: Reading) -> dict[str, Value]:
        if r.yes:
            said, meant = r.said(self.threshold or 0.5), r.meant()
            w = r.weights(said)
            axes = tuple(range(said.rank - 1)) if said.rank > 1 else (0,)
            found = {"hits": said * meant, "guessed": said, "actual": meant}
            return {**{name: sum_(v * w, axes) for name, v in found.items()}, "mass": sum_(w, axes)}
        n = int(r.y.shape[-1])  # type: ignore[arg-type]  # classes are never symbolic
        guesses, labels = self._guesses(r), r.labels()
        w = r.weights(labels)
        right = cast(equal(guesses, labels), DType.float64)
        return {"hits": counted(labels, w * right, n), "guessed": counted(guesses, w, n), "actual": counted(labels, w, n), "mass": sum_(w)}

    def _guesses(self, r: Reading) -> Value:
        """The likeliest class; of two, by the threshold where there is one."""
        if self.threshold is None:
            return r.guesses()
        y = r.y if made_by(r.y, Softmax) else softmax(r.y)
        return reshape(cast(greater(slice_axis(y, y.rank - 1, 1, 2), self.threshold), DType.int64), y.shape[:-1])


def of_no(c: Counts) -> Counts:
    """The counts of one unit as those of two classes: no, then yes."""
    if c["hits"].ndim and c["hits"].shape != (1,):
        return c
    hits, guessed, actual, mass = (np.atleast_1d(c[name]) for name in PerClass.parts)
    return {"hits": np.concatenate([mass - guessed - actual + hits, hits]), "guessed": np.concatenate([mass - guessed, guessed]),
            "actual": np.concatenate([mass - actual, actual]), "mass": mass}


class Averaged(PerClass):
    """``average: binary`` is of yes, or of the second of two classes; ``macro`` the mean over classes, ``weighted`` that mean by how
    often each is meant, ``micro`` from the sums of the counts. The default is binary for one unit, else macro.

    Classes that nothing is, and nothing is taken for, are left out of a mean; what would divide by 0 is 0. Units that say yes or no
    each are averaged over all units. What says yes or no says yes above ``threshold``: a probability, 0.5.
    """

    average: Literal["binary", "macro", "micro", "weighted"] | None = None

    def check(self, r: Reading) -> None:
        super().check(r)
        units = 1 if r.y.rank == 1 else r.y.shape[-1]
        if self.average == "binary" and units != (1 if r.yes else 2):
            raise ShapeError("'average: binary' is for yes and no", f"{units} {'units' if r.yes else 'classes'}", "macro, micro or weighted")

    @abstractmethod
    def of(self, hits: Floats, guessed: Floats, actual: Floats) -> Floats:
        """The measure of each class."""

    def value(self, c: Counts) -> float | Table:
        single = c["hits"].shape in ((), (1,))
        how = self.average or ("binary" if single else "macro")
        if how == "binary":
            return float(self.of(*(np.atleast_1d(c[name])[-1:] for name in ("hits", "guessed", "actual")))[0])
        each = c["mass"].shape == c["hits"].shape and not single  # units by themselves, not classes
        two = of_no(c)
        hits, guessed, actual = two["hits"], two["guessed"], two["actual"]
        if how == "micro":
            return float(self.of(*(a.sum(keepdims=True) for a in (hits, guessed, actual)))[0])
        values = self.of(hits, guessed, actual)
        if how == "weighted":
            return float((values * actual).sum() / actual.sum()) if actual.sum() > 0 else 0.0
        seen = np.ones_like(hits, bool) if each else (guessed + actual) > 0
        return float(values[seen].mean()) if seen.any() else 0.0


class Precision(Averaged, kind="precision"):
    """Of what was said to be a class, the share that is: ``hits / guessed``.

    Scores ``(…, classes)`` and class numbers ``(…)``, or one-hot; or yes and no, ``(…)`` both. Where nothing was guessed it is 0.
    """

    def of(self, hits: Floats, guessed: Floats, actual: Floats) -> Floats:
        return ratio(hits, guessed)


class Recall(Averaged, kind="recall"):
    """Of what is a class, the share that was said to be: ``hits / actual``.

    Scores ``(…, classes)`` and class numbers ``(…)``, or one-hot; or yes and no, ``(…)`` both. Where there is nothing to find it is 0.
    """

    def of(self, hits: Floats, guessed: Floats, actual: Floats) -> Floats:
        return ratio(hits, actual)


class F1(Averaged, kind="f1"):
    """The harmonic mean of precision and recall: ``2 hits / (guessed + actual)``.

    Scores ``(…, classes)`` and class numbers ``(…)``, or one-hot; or yes and no, ``(…)`` both.
    """

    def of(self, hits: Floats, guessed: Floats, actual: Floats) -> Floats:
        return ratio(2.0 * hits, guessed + actual)


class MeanIou(PerClass, kind="mean_iou"):
    """``hits / (guessed + actual - hits)``: the common area of a class over that of both, the mean over the classes that are there.

    One unit has two classes, yes and no. Masks that say yes or no each are averaged over all of them.
    """

    def value(self, c: Counts) -> float | Table:
        each = c["mass"].shape == c["hits"].shape and c["hits"].shape not in ((), (1,))
        two = of_no(c)
        union = two["guessed"] + two["actual"] - two["hits"]
        seen = np.ones_like(union, bool) if each else union > 0
        return float(ratio(two["hits"], union)[seen].mean()) if seen.any() else 0.0


class Confusion(Metric, kind="confusion"):
    """A table of how much weight each class (a row) has that was taken for each class (a column)."""

    table: ClassVar[bool] = True
    parts = ("table", "actual")
    threshold: Threshold = 0.5

    def check(self, r: Reading) -> None:
        classes_fit(self, r)
        if r.yes and r.y.rank > 1 and r.y.shape[-1] != 1:
            raise ShapeError("confusion is a table of classes", f"{r.y.shape[-1]} units that say yes or no each", "one unit, or several classes",
                             "precision and recall tell of each")
        if not r.yes and "threshold" in self.model_fields_set:
            raise ShapeError("'threshold' is for yes and no", f"{r.y.shape[-1]} classes, of which the likeliest is taken", "leave it out")

    def counts(self, r: Reading) -> dict[str, Value]:
        if r.yes:
            n, guesses, labels = 2, cast(r.said(self.threshold), DType.int64), cast(r.meant(), DType.int64)
        else:
            n, guesses, labels = int(r.y.shape[-1]), r.guesses(), r.labels()  # type: ignore[arg-type]  # classes are never symbolic
        w = r.weights(labels)
        return {"table": counted(labels * n + guesses, w, n * n), "actual": counted(labels, w, n)}

    def value(self, c: Counts) -> float | Table:
        n = len(c["actual"])
        rows: Table = c["table"].reshape(n, n).tolist()
        return rows


class Auc(Metric, kind="auc"):
    """The area under the curve of true over false positives; how likely a positive ranks above a negative, ties counting half.

    Of several classes the mean over each against the others, by its probability; of several units that say yes or no the mean over
    units. What has no positive or no negative row is left out of the mean; where nothing is left, the area is not a number.
    Every row's scores are kept until the split's end.
    """

    keeps_rows: ClassVar[bool] = True
    parts = ("scores", "labels", "weights")

    def check(self, r: Reading) -> None:
        classes_fit(self, r)

    def counts(self, r: Reading) -> dict[str, Value]:
        y, scores = r.y, cast(r.y, DType.float64)
        if r.yes:
            wide = scores if y.rank > 1 else reshape(scores, (*y.shape, 1))
            labels = reshape(r.meant(), wide.shape)
        else:
            wide = scores if made_by(y, Softmax) else softmax(scores)
            labels = cast(r.labels(), DType.float64)
        rows = labels if r.counts is not None else sum_(wide, tuple(range(1, wide.rank)))
        return {"scores": wide, "labels": labels, "weights": r.weights(rows)}

    def join(self, a: Counts, b: Counts) -> Counts:
        return {name: np.concatenate([a[name], b[name]]) for name in self.parts}

    def value(self, c: Counts) -> float | Table:
        n = c["scores"].shape[-1]
        scores = c["scores"].reshape(-1, n)
        w = self._of_places(c["weights"], c["scores"].shape)
        if c["labels"].shape == c["scores"].shape:
            hot = c["labels"].reshape(-1, n) > 0.5
        else:
            hot = c["labels"].reshape(-1, 1) == np.arange(n)
        areas = [area(scores[:, i], hot[:, i], w[:, i]) for i in range(n)]
        known = [a for a in areas if a == a]
        return float(np.mean(known)) if known else float("nan")

    def _of_places(self, w: Floats, shape: tuple[int, ...]) -> Floats:
        """The weight of each score: that of its row, or of its place."""
        return np.broadcast_to(w.reshape(*w.shape, *(1,) * (len(shape) - w.ndim)), shape).reshape(-1, shape[-1])


def area(scores: Floats, positive: NDArray[Any], w: Floats) -> float:
    """The area under one curve, by trapezoids between distinct scores; NaN without a positive or without a negative."""
    order = np.argsort(-scores, kind="stable")
    s, yes, no = scores[order], (w * positive)[order].cumsum(), (w * ~positive)[order].cumsum()
    if not len(s) or not yes[-1] > 0 or not no[-1] > 0:
        return float("nan")
    ends = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)
    high, wide = np.append(0.0, yes[ends]) / yes[-1], np.append(0.0, no[ends]) / no[-1]
    return float(((high[1:] + high[:-1]) * np.diff(wide)).sum() / 2.0)
