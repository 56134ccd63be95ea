"""Ops that move elements and compute nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, ShapeError, case
from nnspec.ir.types import Dim, Shape, TensorType, known, show, size


class Movement(Op, abstract=True):
    """No arithmetic."""

    def flops(self, *x: TensorType) -> int:
        return 0


class Reshape(Movement):
    """The same elements in row-major order under another shape."""

    shape: Shape
    onnx = "Reshape"
    view = True
    samples = (case((2, 6), shape=(3, 4)), case((4,), shape=(2, 1, 2)), case((), shape=(1, 1)))

    def infer(self, *x: TensorType) -> TensorType:
        if size(x[0].shape) != size(self.shape):
            raise ShapeError("the number of elements differs", show(x[0].shape), show(self.shape))
        return TensorType(self.shape, x[0].dtype)

    def reference(self, *x: Array) -> Any:
        return x[0].reshape(known(self.shape))

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (reshape(g, x[0].shape),)


class Transpose(Movement):
    """Axes in another order: output axis i is input axis ``axes[i]``."""

    axes: tuple[int, ...]
    onnx = "Transpose"
    view = True
    samples = (case((2, 3, 4), axes=(2, 0, 1)), case((2, 5), axes=(1, 0)))

    def infer(self, *x: TensorType) -> TensorType:
        if sorted(self.axes) != list(range(x[0].rank)):
            raise ShapeError("axes are not a permutation", str(self.axes), f"each of 0 to {x[0].rank - 1} once")
        return TensorType(tuple(x[0].shape[a] for a in self.axes), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        return x[0].transpose(self.axes)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (transpose(g, tuple(int(a) for a in np.argsort(self.axes))),)


class BroadcastTo(Movement):
    """Axes of length 1, and missing leading axes, repeated to a shape."""

    shape: Shape
    onnx = "Expand"
    view = True
    samples = (case((3, 1), shape=(2, 3, 4)), case((), shape=(2,)), case((2, 3), shape=(2, 3)))

    def infer(self, *x: TensorType) -> TensorType:
        from nnspec.ops.elementwise import broadcast

        if broadcast(x[0].shape, self.shape) != self.shape:
            raise ShapeError("cannot be broadcast", show(x[0].shape), show(self.shape))
        return TensorType(self.shape, x[0].dtype)

    def reference(self, *x: Array) -> Any:
        return np.broadcast_to(x[0], known(self.shape))

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        from nnspec.ops.elementwise import unbroadcast

        return (unbroadcast(g, x[0].shape),)


class Concat(Movement):
    """Joined along an axis."""

    axis: int
    onnx = "Concat"
    samples = (case((2, 3), (2, 1), axis=1), case((1, 2), (3, 2), (2, 2), axis=0))

    def infer(self, *x: TensorType) -> TensorType:
        from nnspec.ops.elementwise import alike

        alike(*x)
        first = x[0]
        for t in x:
            if t.rank != first.rank or self.others(t.shape) != self.others(first.shape):
                raise ShapeError("shapes cannot be joined", "  and  ".join(show(t.shape) for t in x),
                                 "shapes that differ on the joined axis alone")
        total: Dim = 0
        for t in x:
            total = total + t.shape[self.axis]
        return TensorType((*first.shape[: self.axis], total, *first.shape[self.axis + 1 :]), first.dtype)

    def others(self, shape: Shape) -> Shape:
        """The axes that must agree."""
        return shape[: self.axis] + shape[self.axis + 1 :]

    def reference(self, *x: Array) -> Any:
        return np.concatenate(x, axis=self.axis)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        parts, start = [], 0
        for v in x:
            stop = start + int(v.shape[self.axis])  # type: ignore[arg-type]  # gradients are taken over bound shapes
            parts.append(slice_axis(g, self.axis, start, stop))
            start = stop
        return tuple(parts)


class Slice(Movement):
    """``x[start:stop:step]`` along each axis."""

    start: tuple[Dim, ...]  # as stop, a number once shapes are bound
    stop: tuple[Dim, ...]
    step: tuple[int, ...]
    onnx = "Slice"
    view = True
    samples = (case((4, 5), start=(1, 0), stop=(3, 5), step=(1, 1)),
               case((7, 3), start=(1, 0), stop=(7, 3), step=(2, 3)))

    def infer(self, *x: TensorType) -> TensorType:
        shape: list[Dim] = []
        for a, b, s in zip(self.start, self.stop, self.step, strict=True):
            length = -((a - b) // s)
            shape.append(length if not isinstance(length, int) else max(0, length))
        return TensorType(tuple(shape), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        return x[0][tuple(slice(a, b, s) for a, b, s in zip(self.start, self.stop, self.step, strict=True))]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        low, high, inner = [], [], []
        for a, s, n, d in zip(known(self.start), self.step, known(g.shape), known(x[0].shape), strict=True):
            low.append(a)
            inner.append(s - 1)
            high.append(d - a - ((n - 1) * s + 1) if n else d - a)
        return (Pad(tuple(low), tuple(high), tuple(inner))(g),)


class Pad(Movement):
    """``low`` and ``high`` elements of ``value`` added around each axis, ``inner`` between neighbours."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    inner: tuple[int, ...]
    value: float = 0.0
    onnx = "Pad"
    samples = (case((2, 3), low=(1, 0), high=(0, 2), inner=(0, 0)), case((3, 2), low=(1, 0), high=(0, 1), inner=(2, 1)),
               case((2,), low=(1,), high=(1,), inner=(0,), value=1.5))

    def infer(self, *x: TensorType) -> TensorType:
        shape = tuple(a + d + (d - 1) * i + b if i else a + d + b
                      for a, d, i, b in zip(self.low, x[0].shape, self.inner, self.high, strict=True))
        return TensorType(shape, x[0].dtype)

    def inside(self, shape: tuple[int, ...]) -> tuple[slice, ...]:
        """Where the input's elements lie in the output of ``shape``."""
        return tuple(slice(a, n - b, i + 1) for a, n, b, i in zip(self.low, shape, self.high, self.inner, strict=True))

    def reference(self, *x: Array) -> Any:
        shape = known(self.infer(TensorType(tuple(x[0].shape))).shape)
        y = np.full(shape, self.value, x[0].dtype)
        y[self.inside(shape)] = x[0]
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        stop = tuple(int(n) - b for n, b in zip(known(g.shape), self.high, strict=True))
        return (Slice(self.low, stop, tuple(i + 1 for i in self.inner))(g),)


class Pack(Movement):
    """Every input's elements from its own offset of one vector of ``total``, zero between: an arena's segment."""

    offsets: tuple[int, ...]
    total: int
    samples = (case((2, 3), (4,), (), offsets=(0, 8, 16), total=17), case((2,), offsets=(0,), total=2))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType((self.total,), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        y = np.zeros(self.total, x[0].dtype)
        for start, a in zip(self.offsets, x, strict=True):
            y[start : start + a.size] = a.reshape(-1)
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return tuple(Unpack(start, v.shape)(g) for start, v in zip(self.offsets, x, strict=True))


class Unpack(Movement):
    """The tensor of ``shape`` that starts at ``offset`` of a vector."""

    offset: int
    shape: Shape
    view = True
    samples = (case((7,), offset=1, shape=(2, 3)), case((3,), offset=2, shape=()))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(self.shape, x[0].dtype)

    def reference(self, *x: Array) -> Any:
        shape = known(self.shape)
        return x[0][self.offset : self.offset + int(np.prod(shape, dtype=np.int64))].reshape(shape)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        n = int(np.prod(known(self.shape), dtype=np.int64))
        flat = reshape(g, (n,))
        return (Pad((self.offset,), (int(x[0].shape[0]) - self.offset - n,), (0,))(flat),)  # type: ignore[arg-type]  # bound


def reshape(x: Value, shape: Shape) -> Value:
    return x if x.shape == shape else Reshape(shape).one(x)


def transpose(x: Value, axes: tuple[int, ...]) -> Value:
    return x if axes == tuple(range(x.rank)) else Transpose(axes).one(x)


def swap(x: Value) -> Value:
    """The last two axes exchanged."""
    return transpose(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))


def moveaxis(x: Value, source: int, target: int) -> Value:
    """The axis at ``source`` put at ``target``, the others in their order."""
    order = [i for i in range(x.rank) if i != source]
    order.insert(target, source)
    return transpose(x, tuple(order))


def broadcast_to(x: Value, shape: Shape) -> Value:
    return x if x.shape == shape else BroadcastTo(shape).one(x)


def concat(values: tuple[Value, ...], axis: int = -1) -> Value:
    return values[0] if len(values) == 1 else Concat(axis % values[0].rank).one(*values)


def slice_axis(x: Value, axis: int, start: int, stop: Dim) -> Value:
    """``x[..., start:stop, ...]`` on one axis."""
    starts = tuple(start if i == axis else 0 for i in range(x.rank))
    stops = tuple(stop if i == axis else d for i, d in enumerate(x.shape))
    return Slice(starts, stops, (1,) * x.rank).one(x)
