"""Pooling over images, channels last."""

from typing import Any

from nnspec.ir.graph import Value
from nnspec.layers.convolution import VALID, PaddingField
from nnspec.layers.layer import Layer, Mode, Values, rank
from nnspec.ops import pool as ops
from nnspec.ops.reduce import max_, mean
from nnspec.spec.model import Pair


class Pooling(Layer):
    """A window of ``size`` moved by ``stride``, which is ``size`` where it is not given."""

    size: Pair
    stride: Pair | None = None
    padding: PaddingField = VALID

    def window(self) -> tuple[Any, ...]:
        return self.size, self.stride or self.size, self.padding


class MaxPool2d(Pooling, kind="max_pool2d", primary="size"):
    """The largest of each window; padding never wins."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 3, "max_pool2d", 3)
        return ops.MaxPool(*self.window())(x)[0]  # type: ignore[no-any-return]  # the first of two outputs


class AvgPool2d(Pooling, kind="avg_pool2d", primary="size"):
    """The mean of each window; padding is left out of the divisor."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 3, "avg_pool2d", 3)
        return ops.AvgPool(*self.window())(x)  # type: ignore[no-any-return]  # one output


class Global(Layer):
    """Over both axes of the image; ``keep`` leaves them with length 1."""

    keep: bool = False


class GlobalAvgPool2d(Global, kind="global_avg_pool2d", primary="keep"):
    """The mean of each channel: ``(height, width, channels)`` to ``(channels)``."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 3, "global_avg_pool2d", 3)
        return mean(x, (1, 2), self.keep)


class GlobalMaxPool2d(Global, kind="global_max_pool2d", primary="keep"):
    """The largest of each channel: ``(height, width, channels)`` to ``(channels)``."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 3, "global_max_pool2d", 3)
        return max_(x, (1, 2), self.keep)
