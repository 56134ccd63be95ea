"""Means of as many windows as are asked for, channels last."""

import numpy as np

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import Array
from nnspec.ir.types import size
from nnspec.layers.layer import Layer, Mode, Values, fixed
from nnspec.layers.windows import Spatial
from nnspec.ops.matmul import matmul
from nnspec.ops.movement import reshape
from nnspec.ops.pool import AvgPool
from nnspec.spec.model import Pair, Single, Triple


class AdaptiveAvgPool(Layer, Spatial):
    """The mean of each of ``size`` windows an axis."""

    size: tuple[int, ...]

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        self.check(x)
        lengths = [fixed(n, "the length of an axis that is pooled") for n in x.shape[1:-1]]
        even = tuple(n // m if n % m == 0 else 1 for n, m in zip(lengths, self.size, strict=True))
        y = AvgPool(even, even, ((0, 0),) * self.axes).one(x) if max(even) > 1 else x
        for axis, (n, m) in enumerate(zip(lengths, self.size, strict=True), 1):
            if n % m:
                before, after = y.shape[:axis], y.shape[axis + 1 :]
                y = reshape(matmul(constant(shares(n, m), x.dtype), reshape(y, (size(before), n, size(after)))), (*before, m, *after))
        return y


def shares(n: int, m: int) -> Array:
    """How much of each of n places is in each of m windows, ``(m, n)``: windows are of unequal lengths, or overlap."""
    windows = np.arange(m)[:, None]
    first, last = windows * n // m, -((windows + 1) * -n // m)
    within = (np.arange(n) >= first) & (np.arange(n) < last)
    return within / (last - first)


class AdaptiveAvgPool1d(AdaptiveAvgPool, kind="adaptive_avg_pool1d", primary="size"):
    """A sequence as the means of ``size`` windows: ``(time, channels)`` to ``(size, channels)``. As ``adaptive_avg_pool2d``."""

    axes = 1
    size: Single


class AdaptiveAvgPool2d(AdaptiveAvgPool, kind="adaptive_avg_pool2d", primary="size"):
    """An image as the means of ``size`` windows (a number, or ``[rows, columns]``): ``(height, width, channels)`` to ``(*size, channels)``.

    Of n places and m windows, window o begins with place ``floor(o n / m)`` and ends before ``ceil((o + 1) n / m)``: they overlap where
    m does not divide n, and repeat places where m is more than n. As PyTorch's AdaptiveAvgPool2d.
    """

    axes = 2
    size: Pair


class AdaptiveAvgPool3d(AdaptiveAvgPool, kind="adaptive_avg_pool3d", primary="size"):
    """A volume as the means of ``size`` windows: ``(depth, height, width, channels)`` to ``(*size, channels)``. As ``adaptive_avg_pool2d``."""

    axes = 3
    size: Triple
