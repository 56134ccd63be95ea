"""Pooling over sequences, images and volumes, channels last."""

from typing import Any

from nnspec.ir.graph import Value
from nnspec.layers.layer import Layer, Mode, Values
from nnspec.layers.windows import Spatial, Window, Window1, Window2, Window3
from nnspec.ops import pool as ops
from nnspec.ops.reduce import max_, mean


class Pooling(Layer, Window):
    """The window as the ops take it."""

    def window(self) -> tuple[Any, ...]:
        return self.size, self.stride or self.size, self.around(self.padding)


class MaxPool(Pooling):
    """The largest of each window."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        return ops.MaxPool(*self.window())(x)[0]  # type: ignore[no-any-return]  # the first of two outputs


class AvgPool(Pooling):
    """The mean of each window."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        return ops.AvgPool(*self.window()).one(x)


class MaxPool1d(Window1, MaxPool, kind="max_pool1d", primary="size"):
    """The largest of each window of a sequence ``(time, channels)``; padding never wins.

    ``y[o, c] = max over taps t of x[o * stride + t - padding, c]``. ``(time, channels)`` to ``(time', channels)``, an axis of n being
    ``floor((n + before + behind - size) / stride) + 1``, with ``same`` ``ceil(n / stride)``. ``stride`` is ``size`` unless told.
    """


class MaxPool2d(Window2, MaxPool, kind="max_pool2d", primary="size"):
    """The largest of each window; padding never wins.

    ``y[o, c] = max over taps t of x[o * stride + t - padding, c]``. ``(height, width, channels)`` to ``(height', width', channels)``, an axis
    of n being ``floor((n + before + behind - size) / stride) + 1``, with ``same`` ``ceil(n / stride)``. ``stride`` is ``size`` unless told.
    """


class MaxPool3d(Window3, MaxPool, kind="max_pool3d", primary="size"):
    """The largest of each window of a volume ``(depth, height, width, channels)``; padding never wins.

    ``y[o, c] = max over taps t of x[o * stride + t - padding, c]``. ``(depth, height, width, channels)`` to ``(depth', height', width',
    channels)``, an axis of n being ``floor((n + before + behind - size) / stride) + 1``, with ``same`` ``ceil(n / stride)``. ``stride`` is
    ``size`` unless told.
    """


class AvgPool1d(Window1, AvgPool, kind="avg_pool1d", primary="size"):
    """The mean of each window of a sequence ``(time, channels)``; padding is left out of the divisor.

    ``y[o, c] = mean over taps t of x[o * stride + t - padding, c]``. ``(time, channels)`` to ``(time', channels)``, an axis of n being
    ``floor((n + before + behind - size) / stride) + 1``, with ``same`` ``ceil(n / stride)``. ``stride`` is ``size`` unless told.
    """


class AvgPool2d(Window2, AvgPool, kind="avg_pool2d", primary="size"):
    """The mean of each window; padding is left out of the divisor.

    ``y[o, c] = mean over taps t of x[o * stride + t - padding, c]``. ``(height, width, channels)`` to ``(height', width', channels)``, an axis
    of n being ``floor((n + before + behind - size) / stride) + 1``, with ``same`` ``ceil(n / stride)``. ``stride`` is ``size`` unless told.
    """


class AvgPool3d(Window3, AvgPool, kind="avg_pool3d", primary="size"):
    """The mean of each window of a volume ``(depth, height, width, channels)``; padding is left out of the divisor.

    ``y[o, c] = mean over taps t of x[o * stride + t - padding, c]``. ``(depth, height, width, channels)`` to ``(depth', height', width',
    channels)``, an axis of n being ``floor((n + before + behind - size) / stride) + 1``, with ``same`` ``ceil(n / stride)``. ``stride`` is
    ``size`` unless told.
    """


class Global(Layer, Spatial):
    """Over all spatial axes; ``keep`` leaves them with length 1."""

    keep: bool = False


class GlobalAvgPool(Global):
    """The mean of each channel."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        return mean(x, tuple(range(1, self.axes + 1)), self.keep)


class GlobalMaxPool(Global):
    """The largest of each channel."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        return max_(x, tuple(range(1, self.axes + 1)), self.keep)


class GlobalAvgPool1d(GlobalAvgPool, kind="global_avg_pool1d", primary="keep"):
    """The mean of each channel: ``(time, channels)`` to ``(channels)``.

    ``y[c] = mean over places o of x[o, c]``. With ``keep: true`` the axes stay: ``(1, channels)``.
    """

    axes = 1


class GlobalAvgPool2d(GlobalAvgPool, kind="global_avg_pool2d", primary="keep"):
    """The mean of each channel: ``(height, width, channels)`` to ``(channels)``.

    ``y[c] = mean over places o of x[o, c]``. With ``keep: true`` the axes stay: ``(1, 1, channels)``.
    """

    axes = 2


class GlobalAvgPool3d(GlobalAvgPool, kind="global_avg_pool3d", primary="keep"):
    """The mean of each channel: ``(depth, height, width, channels)`` to ``(channels)``.

    ``y[c] = mean over places o of x[o, c]``. With ``keep: true`` the axes stay: ``(1, 1, 1, channels)``.
    """

    axes = 3


class GlobalMaxPool1d(GlobalMaxPool, kind="global_max_pool1d", primary="keep"):
    """The largest of each channel: ``(time, channels)`` to ``(channels)``; equal ones share the gradient.

    ``y[c] = max over places o of x[o, c]``. With ``keep: true`` the axes stay: ``(1, channels)``.
    """

    axes = 1


class GlobalMaxPool2d(GlobalMaxPool, kind="global_max_pool2d", primary="keep"):
    """The largest of each channel: ``(height, width, channels)`` to ``(channels)``; equal ones share the gradient.

    ``y[c] = max over places o of x[o, c]``. With ``keep: true`` the axes stay: ``(1, 1, channels)``.
    """

    axes = 2


class GlobalMaxPool3d(GlobalMaxPool, kind="global_max_pool3d", primary="keep"):
    """The largest of each channel: ``(depth, height, width, channels)`` to ``(channels)``; equal ones share the gradient.

    ``y[c] = max over places o of x[o, c]``. With ``keep: true`` the axes stay: ``(1, 1, 1, channels)``.
    """

    axes = 3
