"""Boxes in an image: how they are written, where they begin, and how a network moves them."""

from math import log
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import show
from nnspec.layers.layer import Built, Layer, Merge, Mode, Values, fixed
from nnspec.ops.elementwise import broadcast, exp, maximum, minimum
from nnspec.ops.movement import broadcast_to, concat, reshape, slice_axis
from nnspec.spec.model import Count, Number, Positive

Format = Literal["xyxy", "xywh", "cxcywh"]
Sides = tuple[Count, Count]
Positives = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=64)]


def nested(value: Any) -> Any:
    """A list of numbers stands for the same list at each map."""
    return (value,) if isinstance(value, tuple) and value and not any(isinstance(v, tuple) for v in value) else value


def alone(value: Any) -> Any:
    """A number stands for a list of one."""
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


Lists = Annotated[tuple[tuple[Positive, ...], ...], BeforeValidator(nested), Field(min_length=1, max_length=64)]
Steps = Annotated[Positives, BeforeValidator(alone)]


def parts(boxes: Value, what: str) -> tuple[Value, ...]:
    """The four numbers of boxes, each with a last axis of length 1."""
    if boxes.rank < 2 or boxes.shape[-1] != 4 or not boxes.dtype.is_float:
        raise ShapeError(f"{what} asks for boxes", f"{show(boxes.shape)} of {boxes.dtype}", "four floats a box along the last axis: (…, 4)")
    last = boxes.rank - 1
    return tuple(slice_axis(boxes, last, i, i + 1) for i in range(4))


def corners(cx: Value, cy: Value, width: Value, height: Value) -> Value:
    """Corners of boxes around their centres."""
    w, h = width * 0.5, height * 0.5
    return concat((cx - w, cy - h, cx + w, cy + h))


def maps_of(x: tuple[Value, ...], what: str) -> list[tuple[int, int]]:
    """Heights and widths of feature maps, which must be known."""
    for v in x:
        if v.rank != 4:
            raise ShapeError(f"{what} asks for feature maps", show(v.shape), "(height, width, channels), the batch not counted")
    return [(fixed(v.shape[1], "the height of a map"), fixed(v.shape[2], "the width of a map")) for v in x]


def each(given: tuple[Any, ...], x: tuple[Value, ...], what: str) -> tuple[Any, ...]:
    """One for each map."""
    if len(given) not in (1, len(x)):
        raise ShapeError(f"{what} does not fit the maps", f"{len(given)} for {len(x)} maps", "one for all, or one for each map")
    return given * len(x) if len(given) == 1 else given


def in_rows(table: Any, x: Value, mode: Mode) -> Value:
    """A table that follows from shapes, the same in every row."""
    held = constant(np.asarray(table), x.dtype)
    return broadcast_to(held, (mode.batch, *held.shape)) if any(mode.batched) else held


class GridPoints(Merge, kind="grid_points"):
    """The centres of the pixels of feature maps, in pixels of the image: ``((j + offset) * stride, (i + offset) * stride)``.

    ``from: [p3, p4, p5]``, maps ``(height, width, channels)``; ``stride`` of each, or of all. Output ``name`` or ``name.points`` ``(n, 2)``
    of (across, down), map after map, row after row, and ``name.strides`` ``(n, 1)``. ``offset`` is 0.5.
    """

    inputs = (1, 64)
    stride: Steps
    offset: Number = 0.5

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        points, strides = [], []
        for (high, wide), stride in zip(maps_of(x, "grid_points"), each(self.stride, x, "'stride' of grid_points"), strict=True):
            down, across = np.meshgrid(np.arange(high), np.arange(wide), indexing="ij")
            points.append((np.stack([across, down], -1).reshape(-1, 2) + self.offset) * stride)
            strides.append(np.full((high * wide, 1), stride))
        y = in_rows(np.concatenate(points), x[0], mode)
        return Built(y, outputs={"points": y, "strides": in_rows(np.concatenate(strides), x[0], mode)})

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        return self.apply(x, Values({}), mode).y


class Anchors(Merge):
    """Boxes that begin at the pixels of feature maps: map after map, row after row, all boxes of a pixel beside one another."""

    inputs = (1, 64)
    image: Sides

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        return in_rows(np.concatenate(self.tables(x)), x[0], mode)

    def tables(self, x: tuple[Value, ...]) -> list[Any]:
        """Of each map its boxes."""
        raise NotImplementedError


class AnchorBoxes(Anchors, kind="anchor_boxes"):
    """Boxes around the pixels of feature maps, of given sizes and ratios: what a region proposal network or RetinaNet moves.

    ``from: [p2, p3, p4]``, maps ``(height, width, channels)`` of an ``image: [height, width]``; ``sizes`` (the square root of a box's area) and
    ``ratios`` (height over width) of each map, or one list for all. Output ``(n, 4)``, corners (x1, y1, x2, y2) in pixels of the
    image: for each map, row, column, ratio, size. Corners of a box at the origin are rounded to whole pixels; it moves by
    ``stride`` of the map, by default ``image // map``. Torchvision's AnchorGenerator. Source: Ren et al., "Faster R-CNN", 2015.
    """

    sizes: Lists
    ratios: Lists = ((0.5, 1.0, 2.0),)
    stride: Steps | None = None

    def tables(self, x: tuple[Value, ...]) -> list[Any]:
        sizes, ratios = each(self.sizes, x, "'sizes' of anchor_boxes"), each(self.ratios, x, "'ratios' of anchor_boxes")
        spatial = maps_of(x, "anchor_boxes")
        found = [(self.image[0] // h or 1, self.image[1] // w or 1) for h, w in spatial]
        steps = found if self.stride is None else [(s, s) for s in each(self.stride, x, "'stride' of anchor_boxes")]
        return [moved(cell(s, r), (high, wide), step) for s, r, (high, wide), step in zip(sizes, ratios, spatial, steps, strict=True)]


def cell(sizes: tuple[float, ...], ratios: tuple[float, ...]) -> Any:
    """The boxes at the origin, by ratio and size; in single precision up to the rounding, as torchvision."""
    root = np.sqrt(np.asarray(ratios, np.float32))
    wide, high = ((by[:, None] * np.asarray(sizes, np.float32)).reshape(-1) for by in (1 / root, root))
    return np.round(np.stack([-wide, -high, wide, high], -1) / 2).astype(np.float64)


def moved(boxes: Any, spatial: tuple[int, int], step: tuple[float, float]) -> Any:
    """Boxes at the origin, at each pixel of a map."""
    down, across = np.meshgrid(np.arange(spatial[0]) * step[0], np.arange(spatial[1]) * step[1], indexing="ij")
    shift = np.stack([across, down, across, down], -1).reshape(-1, 1, 4)
    return (shift + boxes).reshape(-1, 4)


class DefaultBoxes(Anchors, kind="default_boxes"):
    """Boxes around the pixels of feature maps, as SSD begins with: two squares a pixel, and two boxes for each ratio.

    ``from: [six maps]`` of an ``image: [height, width]``; ``scales``, one more than maps, are sides as shares of the image: map k has squares of
    ``scales[k]`` and ``sqrt(scales[k] * scales[k + 1])``, and of each of its ``ratios`` (width over height) ``(s * sqrt(r), s / sqrt(r))`` and the
    same on its side. Sides are cut to the image. Centres are ``step`` pixels apart, by default the image over the map. Output ``(n, 4)``,
    corners (x1, y1, x2, y2) in pixels. Torchvision's DefaultBoxGenerator. Source: Liu et al., "SSD: single shot multibox detector", 2016.
    """

    scales: Positives
    ratios: Lists = ((2.0,),)
    steps: Steps | None = None

    def tables(self, x: tuple[Value, ...]) -> list[Any]:
        if len(self.scales) != len(x) + 1:
            found = f"{len(self.scales)} for {len(x)} maps"
            raise ShapeError("'scales' of default_boxes does not fit the maps", found, f"{len(x) + 1}: one more than maps")
        ratios = each(self.ratios, x, "'ratios' of default_boxes")
        high, wide = self.image
        boxes: list[Any] = []
        for k, (rows, columns) in enumerate(maps_of(x, "default_boxes")):
            sides = self.sides(k, ratios[k])
            step = None if self.steps is None else each(self.steps, x, "'steps' of default_boxes")[k]
            per = (rows, columns) if step is None else (high / step, wide / step)
            down, across = np.meshgrid((np.arange(rows) + 0.5) / per[0], (np.arange(columns) + 0.5) / per[1], indexing="ij")
            centre = np.stack([across, down], -1).reshape(-1, 1, 2)
            own = np.concatenate([centre - sides * 0.5, centre + sides * 0.5], -1)
            boxes.append((own * np.array([wide, high, wide, high])).reshape(-1, 4))
        return boxes

    def sides(self, k: int, ratios: tuple[float, ...]) -> Any:
        """Width and height of the boxes of a map, as shares of the image."""
        s, between = self.scales[k], (self.scales[k] * self.scales[k + 1]) ** 0.5
        found = [(s, s), (between, between)]
        for r in ratios:
            found += [(s * r**0.5, s / r**0.5), (s / r**0.5, s * r**0.5)]
        return np.clip(np.asarray(found), 0, 1)


class DecodeBoxes(Merge, kind="decode_boxes"):
    """Boxes moved by what a network says: ``from: {deltas: d, anchors: a}`` with corners ``(…, 4)`` of anchors.

    Of an anchor around (cx, cy), w wide and h high, and deltas (dx, dy, dw, dh) over ``weights``: ``(cx + dx * w, cy + dy * h)`` is the centre, and
    ``w * exp(min(dw, limit))``, ``h * exp(min(dh, limit))`` are the sides of the box that is given as corners. Deltas ``(n, 4)`` or ``(n, classes,
    4)`` over anchors ``(n, 4)``; the output is of the deltas' shape. ``limit`` is log(1000 / 16), ``weights`` are ones. Torchvision's BoxCoder.
    Source: Girshick et al., "Rich feature hierarchies", 2014.
    """

    inputs = (2, 2)
    roles = ("deltas", "anchors")
    weights: tuple[Positive, Positive, Positive, Positive] = (1.0, 1.0, 1.0, 1.0)
    limit: Positive = log(1000.0 / 16)

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        x = tuple(v if batched else reshape(v, (1, *v.shape)) for v, batched in zip(x, mode.batched, strict=True))
        dx, dy, dw, dh = (d if w == 1.0 else d / w for d, w in zip(parts(x[0], "decode_boxes"), self.weights, strict=True))
        if x[1].rank < x[0].rank:
            x = (x[0], reshape(x[1], (*x[1].shape[:-1], *(1,) * (x[0].rank - x[1].rank), x[1].shape[-1])))
        x1, y1, x2, y2 = parts(x[1], "decode_boxes")
        try:
            fits = broadcast(x[0].shape, x[1].shape)[1:] == x[0].shape[1:]
        except ShapeError:
            fits = False
        if not fits:
            raise ShapeError("deltas do not fit their anchors", "  and  ".join(show(v.shape) for v in x), "(n, 4) or (n, classes, 4)  and  (n, 4)")
        w, h = x2 - x1, y2 - y1
        return corners(dx * w + (x1 + w * 0.5), dy * h + (y1 + h * 0.5), exp(minimum(dw, self.limit)) * w, exp(minimum(dh, self.limit)) * h)


class DecodeDistances(Merge, kind="decode_distances"):
    """Boxes around points: ``from: {distances: d, points: p}``, (left, top, right, bottom) ``(n, 4)`` from (x, y) ``(n, 2)``.

    Output corners ``(n, 4)``: ``(x - left, y - top, x + right, y + bottom)``. Source: Tian et al., "FCOS", 2019.
    """

    inputs = (2, 2)
    roles = ("distances", "points")

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        x = tuple(v if batched else reshape(v, (1, *v.shape)) for v, batched in zip(x, mode.batched, strict=True))
        left, top, right, bottom = parts(x[0], "decode_distances")
        points = x[1]
        if points.rank != x[0].rank or points.shape[1:-1] != x[0].shape[1:-1] or points.shape[-1] != 2:
            raise ShapeError("distances do not fit their points", "  and  ".join(show(v.shape) for v in x), "(n, 4)  and  (n, 2)")
        px, py = (slice_axis(points, points.rank - 1, i, i + 1) for i in range(2))
        return concat((px - left, py - top, px + right, py + bottom))


class ConvertBoxes(Layer, kind="convert_boxes"):
    """The same boxes written otherwise: ``source`` and ``target`` are ``xyxy``, ``xywh`` or ``cxcywh``.

    ``xyxy`` are two corners, ``xywh`` a corner, width and height, ``cxcywh`` the centre, width and height; torchvision's words.
    ``(…, 4)`` to ``(…, 4)``.
    An error where a box's last axis is not 4 long.
    """

    source: Format
    target: Format

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        a, b, c, d = parts(x, "convert_boxes")
        if self.source == self.target:
            return x
        if self.source == "xyxy":
            a, b, c, d = a, b, c - a, d - b
        elif self.source == "cxcywh":
            a, b = a - c * 0.5, b - d * 0.5
        if self.target == "xyxy":
            c, d = a + c, b + d
        elif self.target == "cxcywh":
            a, b = a + c * 0.5, b + d * 0.5
        return concat((a, b, c, d))


class ClipBoxes(Layer, kind="clip_boxes", primary="image"):
    """Corners ``(…, 4)`` brought into an ``image: [height, width]``: x within 0 and the width, y within 0 and the height.

    ``(…, 4)`` to ``(…, 4)``: ``min(max(x, 0), width)``, ``min(max(y, 0), height)``.
    """

    image: Sides

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        high, wide = (float(n) for n in self.image)
        ends = (wide, high, wide, high)
        return concat(tuple(minimum(maximum(v, 0.0), end) for v, end in zip(parts(x, "clip_boxes"), ends, strict=True)))
