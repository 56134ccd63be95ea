"""The best boxes of an image, and none that overlap them: as many as a spec declares, and a count."""

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import Dim, DType, show
from nnspec.layers.boxes import parts
from nnspec.layers.layer import Built, Merge, Mode, Values, fixed
from nnspec.layers.sparse import rowed
from nnspec.layers.windows import wrong
from nnspec.ops.boxes import non_max_suppression
from nnspec.ops.elementwise import both, cast, greater, greater_equal, less, where
from nnspec.ops.movement import broadcast_to, concat, reshape, slice_axis, transpose
from nnspec.ops.reduce import argmax, max_, sum_
from nnspec.ops.rows import Largest, take_rows
from nnspec.records import dataclass
from nnspec.spec.model import Count, NotNegative, Number, Whole

OUT = -np.inf  # the score of what takes no part


@dataclass(frozen=True)
class Found:
    """Boxes by score: each ``(rows, k)``, but for the boxes ``(rows, k, 4)``. What is not there has the score OUT."""

    boxes: Value
    scores: Value
    labels: Value
    indices: Value

    def at(self, places: Value) -> "Found":
        """Those at some places of each row."""
        return Found(*(take_rows(v, places) for v in (self.boxes, self.scores, self.labels, self.indices)))


class NonMaxSuppression(Merge, kind="non_max_suppression", primary="maximum"):
    """The best boxes, and none that overlap a better one: ``from: {boxes: b, scores: s}``, at most ``maximum`` of an image.

    Boxes are corners ``(n, 4)``, or ``(n, classes, 4)`` where each class has its own; scores ``(n, classes)``, or ``(n)``. Again and again the
    best that is left is taken, and others of its class are out whose intersection with it over the union is above ``iou_threshold`` 0.5; then
    the best ``maximum`` of all classes are given, the best first, of equals the lower class, then the lower box. Only scores above
    ``score_threshold`` count (without it all, but for NaN and minus infinity), boxes at least ``minimum_size`` high and wide, and of each class
    the best ``candidates``. ``best_class: true``: a box counts for its best class alone; ``per_class: false``: boxes of other classes are in
    each other's way, too. A third input ``groups`` ``(n)`` of whole numbers, or ``group_sizes`` of boxes that follow one another, stand for
    classes where scores are ``(n)``. Outputs: ``name`` or ``name.boxes`` ``(maximum, 4)``, ``name.scores`` and ``name.labels`` (int32, counted from
    ``first_label``) ``(maximum)``, ``name.indices`` (int64, which box) ``(maximum)``, and ``name.count`` (int32) how many there are; past it boxes
    and scores are 0, labels and indices -1. Torchvision's batched_nms; ONNX's NonMaxSuppression keeps ``maximum`` of each class instead.
    """

    inputs = (2, 3)
    roles = ("boxes", "scores", "groups")
    maximum: Annotated[int, Field(ge=1, le=100_000)] = 100
    iou_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    score_threshold: Number | None = None
    candidates: Count | None = None
    minimum_size: NotNegative = 0.0
    best_class: bool = False
    per_class: bool = True
    group_sizes: Annotated[tuple[Count, ...], Field(min_length=1, max_length=64)] | None = None
    first_label: Whole = 0

    @model_validator(mode="after")
    def _agrees(self) -> "NonMaxSuppression":
        if self.group_sizes is not None and (self.best_class or not self.per_class):
            raise wrong("groups stand for classes", "group_sizes beside " + ("best_class" if self.best_class else "per_class: false"), "one of them")
        return self

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        return self.apply(x, Values({}), mode).y

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        boxes, scores, *groups = rowed(x, mode)
        self.check(boxes, scores, groups)
        if scores.rank == 3 and not self.best_class and self.per_class:
            found = self.by_class(boxes, scores)
        else:
            found = self.by_group(*self.candidates_of(boxes, scores, groups), many(scores, 2) if scores.rank == 3 else len(self.group_sizes or ()))
        return self.given(found)

    def check(self, boxes: Value, scores: Value, groups: list[Value]) -> None:
        """Refuses boxes, scores and groups that do not fit one another."""
        parts(boxes, "non_max_suppression")
        own = boxes.rank == 4
        fits = scores.rank in (2, 3) and boxes.rank in (3, 4) and scores.shape[1 : 3 if own else 2] == boxes.shape[1:-1]
        if not fits or scores.dtype != boxes.dtype:
            raise ShapeError("boxes and scores do not fit each other", f"{show(boxes.shape)}  and  {show(scores.shape)} of {scores.dtype}",
                             "(n, 4) and (n) or (n, classes), or (n, classes, 4) and (n, classes), floats", "the batch is not counted")
        n = fixed(boxes.shape[1], "the number of boxes")
        if groups or self.group_sizes is not None:
            if scores.rank == 3 or (groups and self.group_sizes is not None):
                raise ShapeError("groups stand for classes", f"scores {show(scores.shape)}" if scores.rank == 3 else "groups and group_sizes",
                                 "groups or group_sizes, and scores (n)")
            if groups and (groups[0].shape != scores.shape or groups[0].dtype not in (DType.int32, DType.int64)):
                raise ShapeError("groups do not fit the scores", str(groups[0]), f"int32 or int64 of {show(scores.shape)}")
            total = sum(self.group_sizes or ())
            if total not in (0, n):
                raise ShapeError("'group_sizes' of non_max_suppression does not fit", f"{total} boxes in all", f"{n}, as many as there are")
        elif scores.rank == 2 and (self.best_class or not self.per_class):
            raise ShapeError("scores have no classes", show(scores.shape), "(n, classes) for best_class and per_class")

    # Every class by itself

    def by_class(self, boxes: Value, scores: Value) -> Found:
        """The best of each class are found first, then the best of these."""
        rows, n, classes = scores.shape[0], many(scores, 1), many(scores, 2)
        scores = transpose(scores, (0, 2, 1))
        taken = min(self.candidates or n, n)
        own = boxes.rank == 4
        per = reshape(transpose(boxes, (0, 2, 1, 3)), (rows * classes, n, 4)) if own else boxes
        places = None
        if taken < n:
            scores, places = Largest(taken)(scores)
            per = take_rows(per, reshape(places, (rows * classes, taken) if own else (rows, classes * taken)))
        elif not own:
            per = broadcast_to(reshape(per, (rows, 1, n, 4)), (rows, classes, n, 4))
        flat = (rows * classes, taken)
        per, scores = reshape(per, (*flat, 4)), reshape(scores, flat)
        scores = self.eligible(per, scores)
        kept, count = non_max_suppression(min(self.maximum, taken), self.iou_threshold, per, scores)
        width = many(kept, 1)
        numbers = kept if places is None else take_rows(reshape(places, flat), kept)
        labels = broadcast_to(reshape(numbered(classes), (1, classes, 1)), (rows, classes, width))
        chosen = masked(take_rows(scores, kept), count)
        all_of = (rows, classes * width)
        found = Found(reshape(take_rows(per, kept), (*all_of, 4)), reshape(chosen, all_of), reshape(labels, all_of), reshape(numbers, all_of))
        return found if classes == 1 else found.at(Largest(min(self.maximum, classes * width))(found.scores)[1])

    # All boxes together, each in a group

    def candidates_of(self, boxes: Value, scores: Value, groups: list[Value]) -> tuple[Found, bool]:
        """Each box, or each box of each class, with its group; and whether groups are out of each other's way."""
        rows, n = scores.shape[0], many(scores, 1)
        if scores.rank == 3:
            classes = many(scores, 2)
            if self.best_class:
                labels = argmax(scores)
                best = max_(scores, -1)
                mine = boxes if boxes.rank == 3 else own_boxes(boxes, labels)
                return self.best(Found(mine, best, labels, in_every_row(numbered(n), rows))), self.per_class
            all_of = (rows, n * classes)
            wide = boxes if boxes.rank == 4 else broadcast_to(reshape(boxes, (rows, n, 1, 4)), (rows, n, classes, 4))
            which = constant(np.repeat(np.arange(n), classes), DType.int64)
            labels = constant(np.tile(np.arange(classes), n), DType.int64)
            found = Found(reshape(wide, (*all_of, 4)), reshape(scores, all_of), in_every_row(labels, rows), in_every_row(which, rows))
            return self.best(found), False
        indices = in_every_row(numbered(n), rows)
        if self.group_sizes is None:
            labels = cast(groups[0], DType.int64) if groups else indices * 0
            return self.best(Found(boxes, scores, labels, indices)), bool(groups)
        labels = in_every_row(constant(np.repeat(np.arange(len(self.group_sizes)), self.group_sizes), DType.int64), rows)
        start, some = 0, []
        for size in self.group_sizes:
            some.append(self.best(Found(*(slice_axis(v, 1, start, start + size) for v in (boxes, scores, labels, indices)))))
            start += size
        return Found(*(concat(v, 1) for v in zip(*((f.boxes, f.scores, f.labels, f.indices) for f in some), strict=True))), True

    def best(self, found: Found) -> Found:
        """Of a group, or of all, only the candidates."""
        n = many(found.scores, 1)
        return found if self.candidates is None or self.candidates >= n else found.at(Largest(self.candidates)(found.scores)[1])

    def by_group(self, found: Found, apart: bool, classes: int) -> Found:
        """All boxes at once, those of other groups out of the way."""
        scores = self.eligible(found.boxes, found.scores)
        n = many(scores, 1)
        groups = (found.labels,) if apart else ()
        kept, count = non_max_suppression(min(self.maximum, n), self.iou_threshold, found.boxes, scores, *groups, groups=classes if apart else 0)
        chosen = found.at(kept)
        return Found(chosen.boxes, masked(chosen.scores, count), chosen.labels, chosen.indices)

    # What is left, in the shape that was declared

    def eligible(self, boxes: Value, scores: Value) -> Value:
        """Scores, OUT where a box takes no part."""
        if self.score_threshold is not None:
            scores = where(greater(scores, self.score_threshold), scores, OUT)
        if self.minimum_size > 0:
            x1, y1, x2, y2 = (reshape(v, scores.shape) for v in parts(boxes, "non_max_suppression"))
            large = both(greater_equal(x2 - x1, self.minimum_size), greater_equal(y2 - y1, self.minimum_size))
            scores = where(large, scores, OUT)
        return scores

    def given(self, found: Found) -> Built:
        """Rows up to the maximum, 0 or -1 past the count."""
        rows, k = found.scores.shape
        there = greater(found.scores, OUT)
        boxes = where(reshape(there, (rows, k, 1)), found.boxes, 0.0)
        scores = where(there, found.scores, 0.0)
        labels = where(there, cast(found.labels, DType.int32) + self.first_label, -1)
        indices = where(there, found.indices, -1)
        outputs = {name: padded(v, self.maximum, rest) for name, v, rest in
                   (("boxes", boxes, 0), ("scores", scores, 0), ("labels", labels, -1), ("indices", indices, -1))}
        return Built(outputs["boxes"], outputs={**outputs, "count": sum_(cast(there, DType.int32), 1)})


def many(v: Value, axis: int) -> int:
    """The length of an axis, which is known."""
    return fixed(v.shape[axis], "the number of boxes" if axis == 1 else "the number of classes")


def numbered(n: int) -> Value:
    """0, 1, 2, …"""
    return constant(np.arange(n), DType.int64)


def in_every_row(v: Value, rows: Dim) -> Value:
    return broadcast_to(v, (rows, *v.shape))


def own_boxes(boxes: Value, labels: Value) -> Value:
    """``(rows, n, 4)``: of the boxes of all classes that of one class each."""
    rows, n, classes = boxes.shape[0], many(boxes, 1), many(boxes, 2)
    first = reshape(numbered(n) * classes, (1, n))
    return take_rows(reshape(boxes, (rows, n * classes, 4)), labels + first)


def masked(scores: Value, count: Value) -> Value:
    """OUT past the count of each row."""
    rows, k = scores.shape[0], many(scores, 1)
    return where(less(cast(numbered(k), DType.int32), reshape(count, (rows, 1))), scores, OUT)


def padded(v: Value, length: int, rest: float) -> Value:
    """Axis 1 made as long as was declared."""
    k = many(v, 1)
    if k == length:
        return v
    more = broadcast_to(constant(rest, v.dtype), (v.shape[0], length - k, *v.shape[2:]))
    return concat((v, more), 1)


class BestBoxes(Merge, kind="best_boxes", primary="maximum"):
    """Numbers of the best of each list of boxes, and none that overlap a better one: ``from: {boxes: b, scores: s}``, what
    non_max_suppression is made of.

    Boxes are corners ``(…, n, 4)``, scores ``(…, n)``, each of the axes before n a list of its own; a third input ``groups`` ``(…, n)`` of whole
    numbers keeps boxes of other groups out of each other's way. Again and again the best that is left is taken, of equals the first, and
    those are out whose intersection with it over the union is above ``iou_threshold`` 0.5. A score of NaN or minus infinity never counts.
    Outputs: ``name`` or ``name.indices`` ``(…, maximum)`` (int64, 0 past the count), and ``name.count`` ``(…)`` (int32).
    """

    inputs = (2, 3)
    roles = ("boxes", "scores", "groups")
    maximum: Annotated[int, Field(ge=1, le=100_000)] = 100
    iou_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        return self.apply(x, Values({}), mode).y

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        boxes, scores, *groups = rowed(x, mode)
        shape = scores.shape
        fits = scores.rank >= 2 and boxes.shape == (*shape, 4) and scores.dtype == boxes.dtype and scores.dtype.is_float
        if not fits or any(g.shape != shape or g.dtype not in (DType.int32, DType.int64) for g in groups):
            found = "  and  ".join(f"{show(v.shape)} of {v.dtype}" for v in (boxes, scores, *groups))
            raise ShapeError("best_boxes asks for lists of boxes with a score each", found,
                             "(…, n, 4)  and  (…, n) of floats, and perhaps (…, n) of whole numbers", "the batch is not counted")
        n = fixed(shape[-1], "the number of boxes")
        lists: Dim = 1
        for d in shape[:-1]:
            lists = lists * d
        flat = (reshape(boxes, (lists, n, 4)), *(reshape(v, (lists, n)) for v in (scores, *groups)))
        ids, count = non_max_suppression(self.maximum, self.iou_threshold, *flat)
        outputs = {"indices": reshape(ids, (*shape[:-1], self.maximum)), "count": reshape(count, shape[:-1])}
        return Built(outputs["indices"], outputs=outputs)
