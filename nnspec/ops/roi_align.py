"""Regions of feature maps, averaged at places of a grid over each region."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import Dim, DType, TensorType, known, show, size
from nnspec.ops.elementwise import cast, equal
from nnspec.ops.movement import reshape

FAR = 2.0**30  # pixels; a region that is longer counts as empty
ROIS = np.array([[[0.3, 0.1, 5.2, 3.7], [2.0, 2.0, 2.1, 2.3], [-3.0, -0.4, 9.1, 6.3]],
                 [[1.1, 0.2, 3.9, 6.1], [4.0, 5.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]]])  # fmt: skip
LEVELS = np.array([[0, 1, 1], [1, 0, 0]])


class Regions(Op, abstract=True):
    """Where the places of a region lie: ``size`` cells high and wide, each the mean of places in it.

    ``ratio`` places along each side of a cell, or where it is 0 one for each pixel of the cell begun. Image coordinates times ``scale`` are
    those of the map, whose pixel centres are whole numbers; ``aligned`` takes half a pixel away from both, and without it a region is at
    least a pixel high and wide. Between the four pixels around a place it is linear; up to a pixel outside of the map it is the
    map's border, and beyond that 0.
    """

    size: tuple[int, int]
    ratio: int = 0
    aligned: bool = False

    def bands(self, box: Array, scale: float, height: int, width: int) -> tuple[Array, Array]:
        """For the rows and the columns of a box's cells how much they have of each row ``(high, height)`` and column of the map."""
        x1, y1, x2, y2 = (v * box.dtype.type(scale) - box.dtype.type(0.5 * self.aligned) for v in box)
        return self.band(y1, y2, self.size[0], height), self.band(x1, x2, self.size[1], width)

    def band(self, first: Any, last: Any, cells: int, length: int) -> Array:
        """``(cells, length)``: the shares of a map's places in each cell of a region from ``first`` to ``last``."""
        kind = np.asarray(first).dtype.type
        share = np.zeros((cells, length), kind)
        extent = last - first if self.aligned else np.maximum(last - first, kind(1))
        if not (extent > 0 or self.ratio) or not max(abs(extent), abs(first)) < FAR:
            return share
        cell = extent / kind(cells)
        each = self.ratio or ceil(cell)
        step = cell / kind(each)
        low, high = 0, cells * each
        if not self.ratio:  # what lies far outside of the map need not be looked at
            low, high = max(low, floor((-1 - first) / step) - 2), min(high, ceil((length - first) / step) + 2)
        n = np.arange(low, max(low, high))
        place = first + (n // each).astype(kind) * cell + ((n % each).astype(kind) + kind(0.5)) * step
        n, place = (v[(place >= -1) & (place <= length)] for v in (n, place))
        place = np.clip(place, 0, length - 1).astype(kind)
        below = np.floor(place).astype(np.int64)
        part = place - below.astype(kind)
        np.add.at(share, (n // each, below), (1 - part) / kind(each))
        np.add.at(share, (n // each, np.minimum(below + 1, length - 1)), part / kind(each))
        return share


class RoiAlign(Regions):
    """``(rows, k, high, wide, channels)``: each of k boxes of a row, cell by cell, from a map ``(rows, height, width, channels)``.

    Boxes are ``(rows, k, 4)``, (x1, y1, x2, y2). Of several maps whole numbers ``(rows, k)`` say which a box is read from (0 of one that is
    not there): inputs are boxes, numbers, maps. No gradient flows into boxes. Source: He et al., "Mask R-CNN", 2017.
    """

    scales: tuple[float, ...] = (1.0,)  # of each map
    samples = (
        case(ROIS, (2, 4, 6, 2), size=(2, 3), ratio=2, fixed=(0,)),
        case(ROIS, (2, 5, 3, 1), size=(2, 2), scales=(0.7,), aligned=True, fixed=(0,)),
        case(ROIS, LEVELS, (2, 4, 6, 2), (2, 2, 3, 2), size=(1, 2), scales=(1.0, 0.5), fixed=(0,)),
        case(np.array([[[0.0, 0.0, 1.0, 1.0]]]), (1, 1, 1, 1), size=(1, 1), fixed=(0,)),
    )  # fmt: skip

    def maps(self, x: Any) -> Any:
        """The inputs that are maps."""
        return x[1:] if len(self.scales) == 1 else x[2:]

    def infer(self, *x: TensorType) -> TensorType:
        boxes, maps = x[0], self.maps(x)
        if boxes.rank != 3 or boxes.shape[-1] != 4 or len(maps) != len(self.scales) or any(m.rank != 4 for m in maps):
            found = "  and  ".join(map(str, x))
            raise ShapeError("boxes and maps do not fit each other", found, "(rows, k, 4)  and  (rows, height, width, channels)")
        first = maps[0]
        if any((m.shape[0], m.shape[-1], m.dtype) != (boxes.shape[0], first.shape[-1], first.dtype) for m in maps):
            raise ShapeError("maps differ", "  and  ".join(map(str, maps)), "as many rows and channels in each")
        if boxes.dtype != first.dtype or not first.dtype.is_float:
            raise ShapeError("boxes and maps are of one float dtype", f"{boxes.dtype}  and  {first.dtype}", "float32")
        if len(self.scales) > 1 and (x[1].shape != boxes.shape[:2] or x[1].dtype not in (DType.int32, DType.int64)):
            raise ShapeError("numbers of maps do not fit the boxes", str(x[1]), f"whole numbers of {show(boxes.shape[:2])}")
        return TensorType((*boxes.shape[:2], *self.size, first.shape[-1]), first.dtype)

    def reference(self, *x: Array) -> Any:
        boxes, maps = x[0], self.maps(x)
        y = np.zeros((*boxes.shape[:2], *self.size, maps[0].shape[-1]), maps[0].dtype)
        for i, k in np.ndindex(boxes.shape[:2]):
            level = 0 if len(maps) == 1 else int(x[1][i, k])
            if 0 <= level < len(maps):
                rows, columns = self.bands(boxes[i, k], self.scales[level], *maps[level].shape[1:3])
                y[i, k] = np.einsum("ay,bx,yxc->abc", rows, columns, maps[level][i], optimize=True)
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        several = len(self.scales) > 1
        own = (x[0], x[1]) if several else (x[0],)
        return *(None,) * len(own), *(
            RoiAlignGrad(self.size, self.ratio, self.aligned, scale, (m.shape[1], m.shape[2]), level if several else None).one(g, *own)
            for level, (scale, m) in enumerate(zip(self.scales, self.maps(x), strict=True)))

    def flops(self, *x: TensorType) -> int:
        high, wide = self.size
        places = self.ratio**2 or 4
        return 8 * places * high * wide * sum(size_of(x[0].shape[1:2]) * size_of(m.shape[-1:]) for m in self.maps(x)[:1])


class RoiAlignGrad(Regions):
    """The gradient of RoiAlign for one map: every cell is added, by its shares, where it was read. Of several maps for the one called ``level``."""

    scale: float = 1.0
    spatial: tuple[Dim, Dim] = (1, 1)
    level: int | None = None
    samples = (
        case((2, 3, 2, 3, 2), ROIS, size=(2, 3), ratio=2, spatial=(4, 6), fixed=(1,)),
        case((2, 3, 2, 2, 1), ROIS, LEVELS, size=(2, 2), scale=0.5, aligned=True, spatial=(3, 4), level=1, fixed=(1,)),
    )  # fmt: skip

    def infer(self, *x: TensorType) -> TensorType:
        g = x[0]
        return TensorType((g.shape[0], *self.spatial, g.shape[-1]), g.dtype)

    def reference(self, *x: Array) -> Any:
        g, boxes = x[:2]
        height, width = known(self.spatial)
        y = np.zeros((len(g), height, width, g.shape[-1]), g.dtype)
        for i, k in np.ndindex(boxes.shape[:2]):
            if self.level is None or x[2][i, k] == self.level:
                rows, columns = self.bands(boxes[i, k], self.scale, height, width)
                y[i] += np.einsum("ay,bx,abc->yxc", rows, columns, g[i, k], optimize=True)
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        back = RoiAlign(self.size, self.ratio, self.aligned, (self.scale,)).one(x[1], g)
        if self.level is None:
            return back, None
        on = cast(equal(x[2], self.level), g.dtype)
        return back * reshape(on, (*on.shape, 1, 1, 1)), None, None

    def flops(self, *x: TensorType) -> int:
        return 8 * (self.ratio**2 or 4) * size_of(x[0].shape)


def size_of(shape: tuple[Dim, ...]) -> int:
    """The number of elements, symbolic axes as one."""
    total = size(shape)
    return total if isinstance(total, int) else 1
