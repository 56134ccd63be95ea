"""Borders added to sequences, images and volumes, or taken off, channels last."""

from typing import Annotated, Literal

from pydantic import BeforeValidator

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import show
from nnspec.layers.layer import Layer, Mode, Values
from nnspec.layers.windows import Around, Ends, Spatial
from nnspec.ops import movement as ops
from nnspec.ops.resample import Resample, resample

Size1 = Annotated[Around, BeforeValidator(Ends(1, what="size"))]
Size2 = Annotated[Around, BeforeValidator(Ends(2, what="size"))]
Size3 = Annotated[Around, BeforeValidator(Ends(3, what="size"))]


class Pad(Layer, Spatial):
    """``size`` places around the spatial axes."""

    size: Around
    mode: Literal["constant", "reflect", "edge"] = "constant"

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        if self.mode == "constant":
            ends = ((0, 0), *self.size, (0, 0))
            return ops.Pad(tuple(a for a, _ in ends), tuple(b for _, b in ends), (0,) * x.rank).one(x)
        parts = []
        for axis, (low, high) in enumerate(self.size, 1):
            n = x.shape[axis]
            if self.mode == "reflect" and isinstance(n, int) and max(low, high) >= n:
                raise ShapeError("the border is as long as what it reflects", f"{max(low, high)} places of an axis of {n}: {show(x.shape)}",
                                 f"at most {n - 1}: the end itself is not repeated", "mode: edge repeats the end as often as you like")
            if low or high:
                parts.append(Resample(axis=axis, rule=self.mode, low=low, length=n + (low + high)))
        return resample(x, parts)


class Pad1d(Pad, kind="pad1d", primary="size"):
    """Places added at both ends of a sequence ``(time, channels)``: ``size`` is a number for both, or ``[left, right]``.

    ``mode``: ``constant`` (zeros), ``edge`` (the end again) or ``reflect`` (the sequence mirrored, its end not repeated).
    ``(time, channels)`` to ``(time + left + right, channels)``. ``reflect`` needs an axis longer than its border.
    """

    axes = 1
    size: Size1


class Pad2d(Pad, kind="pad2d", primary="size"):
    """A border around an image ``(height, width, channels)``: ``size`` is a number for all sides, or ``[top, bottom, left, right]``.

    ``mode``: ``constant`` (zeros), ``edge`` (the outermost place again) or ``reflect`` (the image mirrored, its edge not repeated).
    ``(height, width, channels)`` to ``(top + height + bottom, left + width + right, channels)``. ``reflect`` needs axes longer than their
    border.
    """

    axes = 2
    size: Size2


class Pad3d(Pad, kind="pad3d", primary="size"):
    """A border around a volume ``(depth, height, width, channels)``.

    ``size`` is a number for all sides, or ``[front, back, top, bottom, left, right]``; ``mode``: ``constant`` (zeros), ``edge`` (the
    outermost place again) or ``reflect`` (the volume mirrored, its edge not repeated).
    ``(depth, height, width, channels)`` to ``(depth', height', width', channels)``, each more by its two ends.
    """

    axes = 3
    size: Size3


class Crop(Layer, Spatial):
    """``size`` places taken off the ends of the spatial axes."""

    size: Around

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        for axis, (low, high) in enumerate(self.size, 1):
            n = x.shape[axis]
            if isinstance(n, int) and low + high >= n:
                raise ShapeError(f"{self.kind} leaves nothing", f"{low + high} places off an axis of {n}: {show(x.shape)}", f"at most {n - 1} off it")
            x = ops.slice_axis(x, axis, low, n - high)
        return x


class Crop1d(Crop, kind="crop1d", primary="size"):
    """Places taken off both ends of a sequence ``(time, channels)``: ``size`` is a number for both, or ``[left, right]``.

    ``(time, channels)`` to ``(time - left - right, channels)``; an error where nothing is left.
    """

    axes = 1
    size: Size1


class Crop2d(Crop, kind="crop2d", primary="size"):
    """A border taken off an image ``(height, width, channels)``: ``size`` is a number for all sides, or ``[top, bottom, left, right]``.

    ``(height, width, channels)`` to ``(height - top - bottom, width - left - right, channels)``; an error where nothing is left.
    """

    axes = 2
    size: Size2


class Crop3d(Crop, kind="crop3d", primary="size"):
    """A border taken off a volume ``(depth, height, width, channels)``.

    ``size`` is a number for all sides, or ``[front, back, top, bottom, left, right]``.
    ``(depth, height, width, channels)`` to ``(depth', height', width', channels)``, each less its two ends.
    """

    axes = 3
    size: Size3
