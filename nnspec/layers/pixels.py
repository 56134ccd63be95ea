"""Places of an image for channels, and the image read at other places."""

from typing import Literal

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import show
from nnspec.layers.layer import Layer, Merge, Mode, Values, fixed, rank
from nnspec.ops import grid_sample as ops
from nnspec.ops.movement import broadcast_to, reshape, transpose
from nnspec.spec.model import Count


class PixelShuffle(Layer, kind="pixel_shuffle", primary="factor"):
    """Channels become places: channel ``c * factor^2 + i * factor + j`` goes to row i, column j of the cell of channel c.

    ``(height, width, channels * factor^2)`` to ``(height * factor, width * factor, channels)``. Source: Shi et al., 2016; the order is PyTorch's.
    """

    factor: Count

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 3, "pixel_shuffle", 3)
        batch, high, wide, _ = x.shape
        r, channels = self.factor, fixed(x.shape[-1], "the number of channels")
        if channels % (r * r):
            raise ShapeError("the channels do not fill the cells", f"{channels} channels: {show(x.shape)}",
                             f"a multiple of {r * r}, which is {r} times {r}")
        cells = transpose(reshape(x, (batch, high, wide, channels // (r * r), r, r)), (0, 1, 4, 2, 5, 3))
        return reshape(cells, (batch, high * r, wide * r, channels // (r * r)))


class PixelUnshuffle(Layer, kind="pixel_unshuffle", primary="factor"):
    """Places become channels: what ``pixel_shuffle`` undoes.

    ``(height * factor, width * factor, channels)`` to ``(height, width, channels * factor^2)``; row i, column j of a cell goes to
    channel ``c * factor^2 + i * factor + j``, as PyTorch's pixel_unshuffle.
    """

    factor: Count

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 3, "pixel_unshuffle", 3)
        batch, high, wide, channels = x.shape
        r, (rows, columns) = self.factor, (n // self.factor for n in (high, wide))
        if rows * r != high or columns * r != wide:
            raise ShapeError("the cells do not fill the image", f"cells of {r} by {r} in {show(x.shape)}",
                             f"height and width known, and multiples of {r}", "crop2d or pad2d before it")
        cells = transpose(reshape(x, (batch, rows, r, columns, r, channels)), (0, 1, 3, 5, 2, 4))
        return reshape(cells, (batch, rows, columns, channels * (r * r)))


class GridSample(Merge, kind="grid_sample"):
    """An image read at places that a second input gives: ``from: [image, grid]``.

    Image ``(height, width, channels)``, grid ``(height', width', 2)`` of (across, down), each from -1 to 1; output ``(height', width',
    channels)``. ``method: bilinear`` blends the four places around, ``nearest`` takes the nearest (then no gradient flows into the grid).
    ``padding: zeros`` reads 0 outside of the image, ``border`` the place at its edge. ``align: centers``: -1 and 1 are the outer edges
    of the image; ``corners``: the centres of its corner places. PyTorch's grid_sample with align_corners False and True.
    Source: Jaderberg et al., "Spatial transformer networks", 2015.
    """

    inputs = (2, 2)
    roles = ("image", "grid")
    method: Literal["bilinear", "nearest"] = "bilinear"
    padding: Literal["zeros", "border"] = "zeros"
    align: Literal["centers", "corners"] = "centers"

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        image, grid = (v if batched else broadcast_to(v, (mode.batch, *v.shape)) for v, batched in zip(x, mode.batched, strict=True))
        return ops.GridSample(self.method == "nearest", self.padding == "border", self.align == "corners").one(image, grid)
