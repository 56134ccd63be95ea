"""Convolution over any number of spatial axes, channels last, and its two gradients: a closed family of three ops.

All are cross-correlations (no kernel is flipped). Kernels are ``(*kernel, in / groups, out)``. ``tiles`` bounds those of Winograd's
algorithm, which saves multiplications by rounding otherwise: 0 asks for the sums as they are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import Dim, Shape, TensorType, count, known, show
from nnspec.ops.elementwise import alike

Sizes: TypeAlias = tuple[int, ...]
Padding: TypeAlias = Literal["same"] | tuple[tuple[int, int], ...]


def pads(padding: Padding, x: Shape, size: Sizes, stride: Sizes, dilation: Sizes) -> tuple[tuple[int, int], ...]:
    """Rows added before and after each spatial axis; ``same`` puts the odd one after, as TensorFlow does."""
    if padding != "same":
        return padding
    out = []
    for n, k, s, d in zip(known(x), size, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        out.append((total // 2, total - total // 2))
    return tuple(out)


def windows(padding: Padding, x: Shape, size: Sizes, stride: Sizes, dilation: Sizes) -> Shape:
    """How many windows fit along each spatial axis."""
    out: list[Dim] = []
    for i, (n, k, s, d) in enumerate(zip(x, size, stride, dilation, strict=True)):
        if padding == "same":
            out.append((n + s - 1) // s)
            continue
        reach = (k - 1) * d + 1
        room = n + sum(padding[i])
        if isinstance(room, int) and room < reach:
            raise ShapeError("the window is larger than its input", f"a window of {reach} over {room}",
                             f"an input of at least {reach}", "use a smaller kernel, or padding: same")
        out.append((room - reach) // s + 1)
    return tuple(out)


class Convolution(Op, abstract=True):
    """What the three have in common."""

    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    groups: int = 1

    def taps(self, padded: Array, size: Sizes, out: Sizes) -> Iterator[tuple[Sizes, tuple[slice, ...]]]:
        """Each kernel position with the slices of the padded input that it touches."""
        for tap in product(*map(range, size)):
            yield tap, (slice(None), *(slice(t * d, t * d + (n - 1) * s + 1, s)
                                       for t, d, n, s in zip(tap, self.dilation, out, self.stride, strict=True)))

    def around(self, x: tuple[int, ...], size: tuple[int, ...]) -> list[tuple[int, int]]:
        return [(0, 0), *pads(self.padding, x[1:-1], size, self.stride, self.dilation), (0, 0)]

    def split(self, channels: int) -> list[slice]:
        n = channels // self.groups
        return [slice(i * n, (i + 1) * n) for i in range(self.groups)]

    def macs(self, out: Shape, kernel: Shape) -> int:
        return 2 * count(out) * count(kernel[:-1])


SAMPLES = (
    case((2, 5, 6, 3), (3, 2, 3, 4), stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1)),
    case((1, 7, 6, 4), (3, 3, 2, 6), stride=(2, 2), padding="same", dilation=(1, 1), groups=2),
    case((2, 6, 5, 3), (2, 3, 1, 6), stride=(1, 2), padding=((1, 0), (2, 1)), dilation=(2, 1), groups=3),
    case((1, 1, 1, 1), (1, 1, 1, 1), stride=(1, 1), padding="same", dilation=(1, 1)),
    case((2, 8, 2), (3, 2, 3), stride=(2,), padding=((1, 1),), dilation=(1,)),
    case((1, 3, 4, 3, 2), (2, 2, 2, 2, 2), stride=(1, 1, 1), padding="same", dilation=(1, 1, 1)),
)


class Conv(Convolution):
    """``y[n, o, c] = sum over taps t and input channels i of x[n, o*stride + t*dilation - pad, i] * w[t, i, c]``."""

    tiles: int = 2
    kept: bool = False  # whether the kernel stands still between runs, so that what is made of it is kept
    onnx = "Conv"
    samples = SAMPLES

    def infer(self, *x: TensorType) -> TensorType:
        alike(*x)
        a, w = x
        rank = len(self.stride)
        if a.rank != rank + 2:
            raise ShapeError(f"a {rank}d convolution asks for {rank} spatial axes and channels", show(a.shape[1:]),
                             f"{rank + 1} axes")
        if a.shape[-1] != w.shape[-2] * self.groups:
            raise ShapeError("channels do not fit the kernel", f"{a.shape[-1]} channels",
                             f"{w.shape[-2] * self.groups}")
        size = known(w.shape[:-2])
        spatial = windows(self.padding, a.shape[1:-1], size, self.stride, self.dilation)
        return TensorType((a.shape[0], *spatial, w.shape[-1]), a.dtype)

    def reference(self, *x: Array) -> Any:
        a, w = x
        size = w.shape[:-2]
        padded = np.pad(a, self.around(a.shape, size))
        out = known(self.infer(TensorType(a.shape), TensorType(w.shape)).shape)
        y = np.zeros(out, a.dtype)
        for tap, where in self.taps(padded, size, out[1:-1]):
            for i, o in zip(self.split(a.shape[-1]), self.split(w.shape[-1]), strict=True):
                y[..., o] += padded[where][..., i] @ w[tap][:, o]
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, w = x
        return self.input_grad(a.shape)(g, w), self.kernel_grad(w.shape)(a, g)

    def input_grad(self, shape: Shape) -> ConvInputGrad:
        return ConvInputGrad(self.stride, self.padding, self.dilation, self.groups, shape[1:-1])

    def kernel_grad(self, shape: Shape) -> ConvKernelGrad:
        return ConvKernelGrad(self.stride, self.padding, self.dilation, self.groups, known(shape[:-2]))

    def flops(self, *x: TensorType) -> int:
        return self.macs(self.infer(*x).shape, x[1].shape)


class ConvInputGrad(Convolution):
    """The gradient of Conv in its input, the transposed convolution: every output is scattered over its window."""

    onnx = "ConvTranspose"
    spatial: Shape = ()
    tiles: int = 4
    samples = (
        case((2, 3, 5, 4), (3, 2, 3, 4), stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), spatial=(5, 6)),
        case((1, 4, 3, 6), (3, 3, 2, 6), stride=(2, 2), padding="same", dilation=(1, 1), groups=2, spatial=(7, 6)),
        case((2, 4, 3), (3, 2, 3), stride=(2,), padding=((1, 1),), dilation=(1,), spatial=(8,)),
    )

    def infer(self, *x: TensorType) -> TensorType:
        g, w = x
        return TensorType((g.shape[0], *self.spatial, w.shape[-2] * self.groups), g.dtype)

    def reference(self, *x: Array) -> Any:
        g, w = x
        size = w.shape[:-2]
        shape = known((g.shape[0], *self.spatial, w.shape[-2] * self.groups))
        around = self.around(shape, size)
        padded = np.zeros([n + a + b for n, (a, b) in zip(shape, around, strict=True)], g.dtype)
        for tap, where in self.taps(padded, size, g.shape[1:-1]):
            for i, o in zip(self.split(shape[-1]), self.split(w.shape[-1]), strict=True):
                padded[where][..., i] += g[..., o] @ w[tap][:, o].T
        return padded[tuple(slice(a, a + n) for n, (a, _) in zip(shape, around, strict=True))]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, w = x
        forward = Conv(self.stride, self.padding, self.dilation, self.groups)
        return forward(g, w), forward.kernel_grad(w.shape)(g, a)

    def flops(self, *x: TensorType) -> int:
        return self.macs(x[0].shape, x[1].shape)


class ConvKernelGrad(Convolution):
    """The gradient of Conv in its kernel: each tap is a product of the input's windows with the output's gradient."""

    size: tuple[int, ...] = ()
    tiles: int = 4
    samples = (
        case((2, 5, 6, 3), (2, 3, 5, 4), stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), size=(3, 2)),
        case((1, 7, 6, 4), (1, 4, 3, 6), stride=(2, 2), padding="same", dilation=(1, 1), groups=2, size=(3, 3)),
        case((2, 8, 2), (2, 4, 3), stride=(2,), padding=((1, 1),), dilation=(1,), size=(3,)),
    )
    mixes_rows = True

    def infer(self, *x: TensorType) -> TensorType:
        a, g = x
        return TensorType((*self.size, a.shape[-1] // self.groups, g.shape[-1]), a.dtype)

    def reference(self, *x: Array) -> Any:
        a, g = x
        padded = np.pad(a, self.around(a.shape, self.size))
        w = np.zeros((*self.size, a.shape[-1] // self.groups, g.shape[-1]), a.dtype)
        rows = prod(g.shape[:-1])
        for tap, where in self.taps(padded, self.size, g.shape[1:-1]):
            for i, o in zip(self.split(a.shape[-1]), self.split(g.shape[-1]), strict=True):
                w[tap][:, o] = padded[where][..., i].reshape(rows, -1).T @ g[..., o].reshape(rows, -1)
        return w

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, b = x
        forward = Conv(self.stride, self.padding, self.dilation, self.groups)
        return forward.input_grad(a.shape)(b, g), forward(a, g)

    def flops(self, *x: TensorType) -> int:
        return self.macs(x[1].shape, self.infer(*x).shape)
