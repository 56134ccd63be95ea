"""Regions of feature maps, cell by cell."""

from math import log, log2
from typing import Annotated

from pydantic import Field

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, show
from nnspec.layers.boxes import maps_of
from nnspec.layers.layer import Merge, Mode
from nnspec.layers.sparse import rowed
from nnspec.ops import elementwise as ops
from nnspec.ops.movement import reshape, slice_axis
from nnspec.ops.roi_align import RoiAlign as RoiAlignOp
from nnspec.spec.model import Count, Pair, Positive

Ratio = Annotated[int, Field(ge=0, le=64)]
NEAR = 1e-6  # added before a level is rounded down, as torchvision does


class Cells(Merge):
    """Boxes cut into ``size`` cells, each the mean of places in it."""

    size: Pair
    sampling_ratio: Ratio = 0
    aligned: bool = False

    def regions(self, maps: tuple[Value, ...], boxes: Value) -> None:
        """Refuses what are no boxes in maps of one kind."""
        spatial = tuple(m for m in maps if m.rank != 4 or m.shape[-1] != maps[0].shape[-1] or m.dtype != maps[0].dtype)
        if spatial or boxes.rank != 3 or boxes.shape[-1] != 4 or boxes.dtype != maps[0].dtype:
            found = "  and  ".join(f"{show(v.shape)} of {v.dtype}" for v in (*(spatial or maps[:1]), boxes))
            raise ShapeError(f"{self.kind} asks for feature maps, and boxes behind them", found,
                             "(height, width, channels)  and  (k, 4), the batch not counted", "from: [p2, p3, boxes]")


class RoiAlign(Cells, kind="roi_align", primary="size"):
    """Each of k boxes as ``size`` cells of a feature map: ``from: {map: f, boxes: b}``, ``(height, width, channels)`` and corners ``(k, 4)``.

    Output ``(k, high, wide, channels)``. Corners (x1, y1, x2, y2) times ``scale`` (1) are places of the map. A cell is the mean of
    ``sampling_ratio`` times as many places, 0 being one for each pixel begun; between pixels the map is linear, from a pixel outside of it on 0.
    ``aligned: true`` takes half a pixel from the corners, so that a pixel's centre is at its half; without it a box is at least a pixel
    wide. Gradients flow into the map, none into boxes. Torchvision's roi_align. Source: He et al., "Mask R-CNN", 2017.
    """

    inputs = (2, 2)
    roles = ("map", "boxes")
    scale: Positive = 1.0

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        image, boxes = rowed(x, mode)
        self.regions((image,), boxes)
        return RoiAlignOp(self.size, self.sampling_ratio, self.aligned, (self.scale,)).one(boxes, image)


class MultiscaleRoiAlign(Cells, kind="multiscale_roi_align", primary="size"):
    """``roi_align`` from the one of several feature maps that a box's size asks for: ``from: [p2, p3, p4, p5, boxes]``, boxes last.

    The maps are ever half as large, the largest first, and made from an ``image: [height, width]``, whose pixels boxes are in. A box of
    area a is read from level ``floor(canonical_level + log2(sqrt(a) / canonical_size))``, 4 and 224, level n being the map 2^n times smaller than
    the image, or the nearest that there is. Maps ``(height, width, channels)`` and boxes ``(k, 4)`` give
    ``(k, high, wide, channels)``. Torchvision's MultiScaleRoIAlign.
    Source: Lin et al., "Feature pyramid networks", 2017.
    """

    inputs = (2, 16)
    image: Pair
    canonical_size: Count = 224
    canonical_level: Annotated[int, Field(ge=0, le=30)] = 4

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        *maps, boxes = rowed(x, mode)
        self.regions(tuple(maps), boxes)
        levels = [round(log2(self.image[0] / high)) for high, _ in maps_of(tuple(maps), self.kind)]
        if levels != list(range(levels[0], levels[0] + len(levels))):
            found = f"{[m.shape[1] for m in maps]} of {self.image[0]} rows"
            raise ShapeError("the maps are not ever half as large", found, "the largest first, each half of the one before")
        op = RoiAlignOp(self.size, self.sampling_ratio, self.aligned, tuple(0.5**n for n in levels))
        if len(maps) == 1:
            return op.one(boxes, *maps)
        x1, y1, x2, y2 = (reshape(slice_axis(boxes, 2, i, i + 1), boxes.shape[:2]) for i in range(4))
        side = ops.sqrt(ops.maximum((x2 - x1) * (y2 - y1), 0.0))
        wanted = ops.floor(ops.log(side / self.canonical_size) * (1 / log(2)) + (self.canonical_level + NEAR))
        first, last = float(levels[0]), float(levels[-1])
        level = ops.where(ops.greater_equal(wanted, first), ops.minimum(wanted, last), first)  # what is no number is the first
        return op.one(boxes, ops.cast(level, DType.int64) - levels[0], *maps)
