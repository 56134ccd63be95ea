"""Sequences, images and volumes at another size, channels last."""

from fractions import Fraction
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import Dim, show
from nnspec.layers.layer import Layer, Mode, Values, rank
from nnspec.layers.windows import Spatial, wrong
from nnspec.ops.resample import Repeat, Resample, resample
from nnspec.spec.model import Count, Pair, Single, Triple, each

Factor = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Scale1 = Annotated[tuple[Factor], BeforeValidator(each(1))]
Scale2 = Annotated[tuple[Factor, Factor], BeforeValidator(each(2))]
Scale3 = Annotated[tuple[Factor, Factor, Factor], BeforeValidator(each(3))]
NEAREST = "nearest"


class Upsample(Layer, Spatial):
    """Every axis ``factor`` times as long."""

    factor: tuple[int, ...]
    method: str = NEAREST

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        if self.method == NEAREST:
            return Repeat(self.factor).one(x) if prod(self.factor) > 1 else x
        return resample(x, [Resample(axis=axis, rule="linear", step=(1, factor), length=x.shape[axis] * factor)
                            for axis, factor in enumerate(self.factor, 1) if factor > 1])


class Upsample1d(Upsample, kind="upsample1d", primary="factor"):
    """A sequence ``factor`` times as long (2): ``(time, channels)`` to ``(factor * time, channels)``.

    ``method``: ``nearest`` repeats each step, ``linear`` draws a line between the centres of steps and goes on level at the ends.
    """

    axes = 1
    factor: Single = (2,)
    method: Literal["nearest", "linear"] = "nearest"


class Upsample2d(Upsample, kind="upsample2d", primary="factor"):
    """An image ``factor`` times as high and wide (2): ``(height, width, channels)`` to ``(factor * height, factor * width, channels)``.

    ``method``: ``nearest`` repeats each place, ``bilinear`` blends between the centres of the four places around and goes on level at
    the edges, as Keras's UpSampling2D and PyTorch's Upsample with align_corners False.
    """

    axes = 2
    factor: Pair = (2, 2)
    method: Literal["nearest", "bilinear"] = "nearest"


class Upsample3d(Upsample, kind="upsample3d", primary="factor"):
    """A volume ``factor`` times as deep, high and wide (2).

    ``(depth, height, width, channels)`` to ``(factor * depth, factor * height, factor * width, channels)``. ``method``: ``nearest``
    repeats each place, ``trilinear`` blends between the centres of the eight places around and goes on level at the edges.
    """

    axes = 3
    factor: Triple = (2, 2, 2)
    method: Literal["nearest", "trilinear"] = "nearest"


class Sized(Layer):
    """To a ``size``, or by a ``scale``."""

    size: tuple[int, ...] | None
    scale: tuple[float, ...] | None
    method: str
    align: Literal["centers", "corners"] = "centers"

    @field_validator("align")
    @classmethod
    def between(cls, value: Any, info: ValidationInfo) -> Any:
        if value == "corners" and info.data.get("method") == NEAREST:
            raise wrong("'align: corners' does not go with method: nearest", "corners", "align: centers",
                        "nearest takes place floor(o * from / to), wherever corners lie")
        return value

    @model_validator(mode="after")
    def one_way(self) -> Self:
        if (self.size is None) == (self.scale is None):
            found = "neither 'size' nor 'scale'" if self.size is None else "'size' and 'scale'"
            raise wrong(f"{self.kind} needs 'size' or 'scale'", found, "one of them: the output's size, or how many times the input's")
        return self

    def resized(self, x: Value, size: tuple[int, ...] | None, scale: tuple[float, ...] | None) -> Value:
        """The axes after the batch at the size, or by the scale, one after the other."""
        rule = "corners" if self.align == "corners" else NEAREST if self.method == NEAREST else "linear"
        parts = []
        for i in range(len(size or scale or ())):
            n = x.shape[i + 1]
            length: Dim
            step = None
            if size is not None:
                length = size[i]
            else:
                factor = Fraction((scale or ())[i]).limit_denominator(1_000_000)
                step = (factor.denominator, max(factor.numerator, 1))
                length = n * factor.numerator // factor.denominator
                if length == 0:
                    raise ShapeError("the scale leaves nothing", f"{float(factor):g} times an axis of {n}: {show(x.shape)}", "an axis of at least 1")
            if length != n:  # what a scale leaves as long as it was is as it was, as in PyTorch's images
                parts.append(Resample(axis=i + 1, rule=rule, step=step, length=length))
        return resample(x, parts)


class ResizeAxes(Sized, Spatial):
    """Of a fixed number of axes."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        return self.resized(x, self.size, self.scale)


class Resize1d(ResizeAxes, kind="resize1d", primary="size"):
    """A sequence ``(time, channels)`` at ``size`` steps, or ``floor(scale * time)``.

    As ``resize2d``; ``method``: ``linear`` or ``nearest``.
    ``(time, channels)`` to ``(size, channels)``.
    """

    axes = 1
    size: Single | None = None
    scale: Scale1 | None = None
    method: Literal["nearest", "linear"] = "linear"


class Resize2d(ResizeAxes, kind="resize2d", primary="size"):
    """An image at a ``size`` (a number, or ``[height, width]``), or at ``scale`` times its own (a number, or ``[height, width]``), rounded down.

    ``(height, width, channels)`` to ``(height', width', channels)``. ``method: bilinear`` blends the four places around; ``align:
    centers`` reads place ``(o + 1/2) * from / to - 1/2``, ``corners`` place ``o * (from - 1) / (to - 1)``: PyTorch's interpolate
    with align_corners False and True, no antialiasing. ``method: nearest`` takes place ``floor(o * from / to)``. With a ``scale``,
    ``from / to`` is 1 / scale; an axis that it leaves as long as it was is as it was.
    """

    axes = 2
    size: Pair | None = None
    scale: Scale2 | None = None
    method: Literal["nearest", "bilinear"] = "bilinear"


class Resize3d(ResizeAxes, kind="resize3d", primary="size"):
    """A volume at a ``size`` (a number, or ``[depth, height, width]``), or at ``scale`` times its own, rounded down.

    As ``resize2d``; ``method``: ``trilinear`` or ``nearest``.
    ``(depth, height, width, channels)`` to ``(depth', height', width', channels)``.
    """

    axes = 3
    size: Triple | None = None
    scale: Scale3 | None = None
    method: Literal["nearest", "trilinear"] = "trilinear"


class Resize(Sized, kind="resize", primary="size"):
    """Every axis but the last at a ``size``, or at ``scale`` times its own: one number for all, or a list with one an axis.

    As ``resize2d`` for any number of axes; ``method``: ``linear`` or ``nearest``.
    ``(8, 8, 4)`` with ``size: [5, 7]`` gives ``(5, 7, 4)``.
    """

    size: Annotated[tuple[Count, ...], Field(min_length=1), BeforeValidator(each(1))] | None = None
    scale: Annotated[tuple[Factor, ...], Field(min_length=1), BeforeValidator(each(1))] | None = None
    method: Literal["nearest", "linear"] = "linear"

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 2, "resize")
        axes, given = x.rank - 2, len(self.size or self.scale or ())
        if given not in (1, axes):
            raise ShapeError("resize asks for one number an axis", f"{given} for {axes} axes and channels: {show(x.shape)}",
                             f"{axes} numbers, or one for all")
        times = axes if given == 1 else 1
        return self.resized(x, self.size and self.size * times, self.scale and self.scale * times)
