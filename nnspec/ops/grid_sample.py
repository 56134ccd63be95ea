"""An image read at places that another tensor gives."""

from __future__ import annotations

from functools import reduce
from itertools import product
from math import prod

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Composite, ShapeError, case
from nnspec.ir.types import DType, TensorType, show
from nnspec.ops.elementwise import alike, both, cast, floor, greater_equal, less_equal, maximum, minimum, round_, where
from nnspec.ops.movement import reshape, slice_axis
from nnspec.ops.random import uniform
from nnspec.ops.rows import take_rows


def _places(seed: int, *shape: int) -> Array:
    """Places in and around an image."""
    return 2.8 * uniform(seed, "places", 2 * prod(shape)).reshape(*shape, 2) - 1.4


class GridSample(Composite):
    """``y[b, i, j] = image[b] at grid[b, i, j]``, (across, down) from -1 to 1; linear between the four places around, or the nearest."""

    nearest: bool = False
    border: bool = False  # outside of the image its border, instead of zero
    corners: bool = False  # -1 and 1 are the centres of the corner places, instead of their outer edges
    samples = (
        case((2, 3, 4, 2), _places(36, 2, 2, 3)),
        case((1, 4, 3, 1), _places(3, 1, 3, 2), border=True, corners=True),
        case((2, 3, 3, 2), _places(5, 2, 2, 2), nearest=True, fixed=(1,)),
    )  # fmt: skip

    def infer(self, *x: TensorType) -> TensorType:
        alike(*x)
        image, grid = x
        if image.rank != 4 or grid.rank != 4 or grid.shape[-1] != 2:
            raise ShapeError("grid_sample asks for an image and a grid of two numbers a place", f"{show(image.shape)}  and  {show(grid.shape)}",
                             "(batch, height, width, channels)  and  (batch, height', width', 2)")
        return TensorType((*grid.shape[:3], image.shape[-1]), image.dtype)

    def build(self, *x: Value) -> Value:
        image, grid = x
        batch, high, wide, _ = grid.shape
        points = (batch, high * wide)
        (height, width), channels = (int(d) for d in image.shape[1:3]), image.shape[-1]  # type: ignore[arg-type]  # bound
        table = reshape(image, (batch, height * width, channels))
        u, v = (self.place(reshape(slice_axis(grid, 3, i, i + 1), points), n) for i, n in enumerate((width, height)))
        parts = []
        for (row, *down), (column, *across) in product(self.around(v), self.around(u)):
            shares = [*down, *across]
            if not self.border:
                shares.append(cast(both(within(row, height), within(column, width)), image.dtype))
            part = take_rows(table, inside(row, height) * width + inside(column, width))
            parts.append(part * reshape(reduce(Value.__mul__, shares), (*points, 1)) if shares else part)
        return reshape(reduce(Value.__add__, parts), (batch, high, wide, channels))

    def place(self, t: Value, n: int) -> Value:
        """From -1 to 1, as a place among n."""
        place = (t + 1.0) * ((n - 1) / 2.0) if self.corners else ((t + 1.0) * float(n) - 1.0) * 0.5
        if not self.border:
            return place
        return where(less_equal(place, 0.0), 0.0, where(greater_equal(place, n - 1.0), n - 1.0, place))

    def around(self, place: Value) -> tuple[tuple[Value, ...], ...]:
        """The whole places that are read, each with its share unless it is all."""
        if self.nearest:
            return ((round_(place),),)
        first = floor(place)
        share = place - first
        return (first, 1.0 - share), (first + 1.0, share)


def within(place: Value, n: int) -> Value:
    """Whether a place lies in the image."""
    return both(greater_equal(place, 0.0), less_equal(place, n - 1.0))


def inside(place: Value, n: int) -> Value:
    """The nearest place of the image, as a number; for NaN any."""
    return minimum(maximum(cast(place, DType.int64), 0), n - 1)
