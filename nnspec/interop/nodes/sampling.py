"""ONNX's images read at places that another tensor gives, in two axes or three. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce as fold
from itertools import product
from math import prod

from nnspec.interop.nodes.axes import first, last
from nnspec.interop.nodes.node import Node, NotImportedError, Rule, sizes
from nnspec.ir.graph import Value
from nnspec.ops import elementwise as e
from nnspec.ops import movement, rows
from nnspec.ops.grid_sample import GridSample, inside, within

SHARPNESS = -0.75  # of Keys' cubic


def sampled(n: Node) -> Value:
    """The image at places from -1 to 1, the last axis first."""
    image, grid = first(n[0]), n[1]
    mode = n.text("mode", "linear", "bilinear", "nearest", "cubic", "bicubic").removeprefix("bi")
    outside, corners = n.text("padding_mode", "zeros", "border", "reflection"), bool(n.attribute("align_corners", 0))
    if grid.rank != image.rank or sizes(grid)[-1] != image.rank - 2:
        raise NotImportedError(f"{sizes(grid)[-1]} numbers a place over {image.rank - 2} axes")
    if image.rank == 4 and mode != "cubic" and outside != "reflection" and image.dtype == grid.dtype:
        return last(GridSample(mode == "nearest", outside == "border", corners).one(image, grid))
    lengths, points = sizes(image)[1:-1], (sizes(grid)[0], prod(sizes(grid)[1:-1]))
    read = Read(mode, outside, corners)
    each = []
    for i, length in enumerate(lengths):
        at = len(lengths) - 1 - i
        each.append(read.around(movement.reshape(movement.slice_axis(grid, grid.rank - 1, at, at + 1), points), length))
    table = movement.reshape(image, (points[0], prod(lengths), sizes(image)[-1]))
    parts = []
    for taps in product(*each):
        ids = fold(Value.__add__, [inside(p, d) * prod(lengths[i + 1 :]) for i, ((p, _), d) in enumerate(zip(taps, lengths, strict=True))])
        parts.append(rows.take_rows(table, ids) * movement.reshape(fold(Value.__mul__, [share for _, share in taps]), (*points, 1)))
    y = fold(Value.__add__, parts)
    return last(movement.reshape(y, (*sizes(grid)[:-1], sizes(image)[-1])))


class Read:
    """How one axis is read."""

    def __init__(self, mode: str, outside: str, corners: bool) -> None:
        self.mode, self.outside, self.corners = mode, outside, corners

    def around(self, t: Value, n: int) -> list[tuple[Value, Value]]:
        """The places that are read for places from -1 to 1, each with its share."""
        return self.at((t + 1.0) * ((n - 1) / 2.0) if self.corners else ((t + 1.0) * float(n) - 1.0) * 0.5, n)

    def at(self, place: Value, n: int) -> list[tuple[Value, Value]]:
        """Those that are read for places among n."""
        if self.mode == "nearest":
            return [self.within(e.round_(place), n, None)]
        if self.mode == "linear":
            place = self.moved(place, n)
            low = e.floor(place)
            share = place - low
            return [self.within(low, n, 1.0 - share), self.within(low + 1.0, n, share)]
        low = e.floor(place)
        share = place - low
        return [self.within(low + float(i), n, cubic(share - float(i))) for i in range(-1, 3)]

    def within(self, place: Value, n: int, share: Value | None) -> tuple[Value, Value]:
        """A whole place of the image for one in or outside of it; what is outside counts nothing where zeros lie there."""
        if self.outside == "zeros":
            counts = e.cast(within(place, n), place.dtype)
            return place, counts if share is None else counts * share
        place = self.moved(place, n)
        return place, share if share is not None else place * 0.0 + 1.0

    def moved(self, place: Value, n: int) -> Value:
        """Onto the border, or mirrored at it, until it lies within."""
        if self.outside == "border":
            return e.minimum(e.maximum(place, 0.0), n - 1.0)
        if self.outside == "zeros":
            return place
        low, high = (0.0, n - 1.0) if self.corners else (-0.5, n - 0.5)
        wide = high - low
        if wide == 0:
            return place * 0.0
        t = e.Remainder().one(place - low, place * 0.0 + 2 * wide)
        return e.where(e.greater(t, wide), 2 * wide - t, t) + low


def cubic(t: Value) -> Value:
    """Keys' weight of a place at a distance."""
    t, a = e.absolute(t), SHARPNESS
    near = ((t * (a + 2)) - (a + 3)) * t * t + 1.0
    far = ((t * a - 5 * a) * t + 8 * a) * t - 4 * a
    return e.where(e.less_equal(t, 1.0), near, far)


RULES: Mapping[str, Rule] = {"GridSample": sampled}
