"""Windows reduced to their largest or their mean, channels last, any number of spatial axes."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import DType, Shape, TensorType, count, known, show
from nnspec.ops.conv import Padding, pads, windows
from nnspec.ops.random import uniform


class Pool(Op, abstract=True):
    """A window of ``size`` moved by ``stride``."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding

    def outer(self, shape: Shape) -> Shape:
        if len(shape) != len(self.size) + 2:
            rank = len(self.size)
            raise ShapeError(f"{rank}d pooling asks for {rank} spatial axes and channels", show(shape[1:]),
                             f"{rank + 1} axes")
        return shape[0], *windows(self.padding, shape[1:-1], self.size, self.stride, (1,) * len(self.size)), shape[-1]

    def around(self, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        return [(0, 0), *pads(self.padding, shape[1:-1], self.size, self.stride, (1,) * len(self.size)), (0, 0)]

    def taps(self, out: tuple[int, ...]) -> list[tuple[slice, ...]]:
        """The slices of the padded input that each position of the window sees."""
        return [(slice(None), *(slice(t, t + (n - 1) * s + 1, s)
                                for t, n, s in zip(tap, out[1:-1], self.stride, strict=True)))
                for tap in product(*map(range, self.size))]

    def counts(self, shape: tuple[int, ...]) -> Array:
        """How many elements of the input each window holds, padding left out: ``(1, *out, 1)``."""
        ones = np.pad(np.ones((1, *shape[1:-1], 1)), self.around(shape))
        out = known(self.outer(shape))
        return np.asarray(sum(ones[where] for where in self.taps(out)))

    def flops(self, *x: TensorType) -> int:
        return count(self.types(*x)[0].shape) * prod(self.size)


def _apart(seed: int, *shape: int) -> Array:
    """Numbers of which no two are close, so that a small step changes no winner."""
    return np.argsort(uniform(seed, "apart", prod(shape))).reshape(shape) / 7.0


POOLS = (case(_apart(1, 2, 5, 3, 2), size=(2, 2), stride=(2, 1), padding=((0, 0), (1, 0))),
         case(_apart(2, 1, 7, 6, 1), size=(3, 3), stride=(2, 2), padding="same"),
         case(_apart(3, 2, 6, 1), size=(2,), stride=(2,), padding=((0, 0),)))


class MaxPool(Pool):
    """The largest of each window, and which tap it was (the first of equals). Padding never wins."""

    onnx = "MaxPool"
    auxiliary = 1
    samples = POOLS

    def infer(self, *x: TensorType) -> tuple[TensorType, ...]:
        shape = self.outer(x[0].shape)
        return TensorType(shape, x[0].dtype), TensorType(shape, DType.int32)

    def reference(self, *x: Array) -> Any:
        padded = np.pad(x[0], self.around(x[0].shape), constant_values=-np.inf)
        out = known(self.outer(x[0].shape))
        stacked = np.stack([padded[where] for where in self.taps(out)])
        return stacked.max(0), stacked.argmax(0).astype(np.int32)

    def grad(self, g: Any, y: Any, *x: Value) -> Gradients:
        if g[0] is None:
            return (None,)
        return (MaxPoolGrad(self.size, self.stride, self.padding, x[0].shape[1:-1])(g[0], y[1]),)


class WindowMax(Pool):
    """The largest of each window alone: a ``MaxPool`` of which nobody asks where it stood."""

    samples = POOLS

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(self.outer(x[0].shape), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        return MaxPool(self.size, self.stride, self.padding).reference(*x)[0]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        places = MaxPool(self.size, self.stride, self.padding)(x[0])[1]
        return (MaxPoolGrad(self.size, self.stride, self.padding, x[0].shape[1:-1])(g, places),)


class MaxPoolGrad(Pool):
    """Each window's gradient added where its largest stood."""

    spatial: Shape = ()
    samples = (case((1, 2, 2, 1), np.array([[[[0], [3]], [[1], [2]]]], np.int32), size=(2, 2), stride=(1, 1),
                    padding=((0, 0), (0, 0)), spatial=(3, 3)),)

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType((x[0].shape[0], *self.spatial, x[0].shape[-1]), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        g, index = x
        shape = (g.shape[0], *known(self.spatial), g.shape[-1])
        around = self.around(shape)
        padded = np.zeros([n + a + b for n, (a, b) in zip(shape, around, strict=True)], g.dtype)
        for i, where in enumerate(self.taps(g.shape)):
            padded[where] += np.where(index == i, g, 0)
        return padded[tuple(slice(a, a + n) for n, (a, _) in zip(shape, around, strict=True))]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return MaxPoolPick(self.size, self.stride, self.padding)(g, x[1]), None


class MaxPoolPick(Pool):
    """The element of each window that a tap number names: the gradient of MaxPoolGrad."""

    samples = (case((1, 3, 3, 1), np.array([[[[0], [3]], [[1], [2]]]], np.int32), size=(2, 2), stride=(1, 1),
                    padding=((0, 0), (0, 0))),)

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(x[1].shape, x[0].dtype)

    def reference(self, *x: Array) -> Any:
        a, index = x
        padded = np.pad(a, self.around(a.shape))
        picked = (np.where(index == i, padded[where], 0) for i, where in enumerate(self.taps(index.shape)))
        return np.asarray(sum(picked), a.dtype)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return MaxPoolGrad(self.size, self.stride, self.padding, x[0].shape[1:-1])(g, x[1]), None


class AvgPool(Pool):
    """The mean of each window; padding is left out of the divisor."""

    onnx = "AveragePool"
    samples = POOLS

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(self.outer(x[0].shape), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        padded = np.pad(x[0], self.around(x[0].shape))
        out = known(self.outer(x[0].shape))
        total = np.zeros(out, x[0].dtype)
        for where in self.taps(out):
            total += padded[where]
        return np.asarray(total / self.counts(x[0].shape), x[0].dtype)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (AvgPoolGrad(self.size, self.stride, self.padding, x[0].shape[1:-1])(g),)


class AvgPoolGrad(Pool):
    """Each window's gradient spread evenly over its elements."""

    spatial: Shape = ()
    samples = (case((2, 2, 3, 2), size=(2, 2), stride=(2, 1), padding=((0, 0), (1, 0)), spatial=(5, 3)),)

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType((x[0].shape[0], *self.spatial, x[0].shape[-1]), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        g = x[0]
        shape = (g.shape[0], *known(self.spatial), g.shape[-1])
        around = self.around(shape)
        padded = np.zeros([n + a + b for n, (a, b) in zip(shape, around, strict=True)], g.dtype)
        share = np.asarray(g / self.counts(shape), g.dtype)
        for where in self.taps(g.shape):
            padded[where] += share
        return padded[tuple(slice(a, a + n) for n, (a, _) in zip(shape, around, strict=True))]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (AvgPool(self.size, self.stride, self.padding)(g),)
