"""Dropout of elements, of channels and of whole rows: in training alone."""

from typing import ClassVar

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, Shape
from nnspec.layers.layer import Layer, Mode, Values, rank
from nnspec.ops.elementwise import less, where
from nnspec.ops.movement import reshape
from nnspec.ops.random import RandomBits, stream
from nnspec.spec.model import Fraction

BITS = 1 << 16


class Dropped(Layer):
    """Parts of a shape of their own that are 0 with probability ``rate``, and otherwise divided by ``1 - rate``."""

    noise = True
    rate: Fraction = 0.5
    draw: ClassVar[str]

    def parts(self, x: Value) -> Shape:
        """The shape of what is drawn for, which is broadcast over ``x``."""
        return x.shape

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        if not x.dtype.is_float:
            raise ShapeError(f"{self.kind} asks for floats", str(x.dtype), "float32", "cast: float32 comes first")
        dropped, parts = min(round(self.rate * BITS), BITS - 1), self.parts(x)
        if not mode.training or not dropped:
            return x
        assert mode.seed is not None and mode.step is not None
        drawn = tuple(d for d in parts[1:] if d != 1)
        bits = reshape(RandomBits((parts[0], *drawn), stream(f"{mode.path}:{self.draw}"))(mode.seed, mode.step), parts)
        return where(less(bits, constant(dropped, DType.uint16)), 0.0, x * (1.0 / (1.0 - self.rate)))


class Dropout(Dropped, kind="dropout", primary="rate"):
    """In training each element is 0 with probability ``rate``, and otherwise divided by ``1 - rate``; else ``x``.

    The probability is rounded to a multiple of 2^-16, what is kept is divided by ``1 - rate`` itself. Which elements fall depends on
    (seed, layer, step, row, element) alone. Source: Srivastava et al., 2014.
    ``(…)`` to ``(…)``; its mean stays what it was, and inference needs no factor.
    """

    draw = "dropout"


class SpatialDropout(Dropped, kind="spatial_dropout", primary="rate"):
    """In training whole channels (the last axis) are 0 with probability ``rate``, and otherwise divided by ``1 - rate``; else ``x``.

    For sequences, images and volumes alike. Which fall depends on (seed, layer, step, row, channel) alone. Source: Tompson et al., 2015.
    ``(…, channels)`` to ``(…, channels)``.
    """

    draw = "spatial_dropout"

    def parts(self, x: Value) -> Shape:
        rank(x, 1, "spatial_dropout")
        return (x.shape[0], *(1,) * (x.rank - 2), x.shape[-1])


class DropPath(Dropped, kind="drop_path", primary="rate"):
    """Stochastic depth: in training a whole row is 0 with probability ``rate``, and otherwise divided by ``1 - rate``; else ``x``.

    At the end of a residual's ``layers`` it leaves the shortcut alone. Which rows fall depends on (seed, layer, step, row) alone.
    Source: Huang et al., 2016.
    ``(…)`` to ``(…)``.
    """

    draw = "drop_path"

    def parts(self, x: Value) -> Shape:
        return (x.shape[0], *(1,) * (x.rank - 1))
