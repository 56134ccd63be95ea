"""Layers of several inputs."""

from functools import reduce
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import show, size
from nnspec.layers.axes import Axis, listed, place
from nnspec.layers.layer import Merge, Mode
from nnspec.ops import elementwise as ops
from nnspec.ops.matmul import matmul
from nnspec.ops.movement import broadcast_to, concat, moveaxis, reshape, swap
from nnspec.ops.reduce import sum_


def both_axes(value: Any) -> Any:
    """One axis stands for the same of both inputs."""
    found = listed(value)
    return found * 2 if isinstance(found, tuple) and len(found) == 1 else found


def align(x: tuple[Value, ...], mode: Mode) -> tuple[Value, ...]:
    """Rows aligned for broadcasting, the batch apart: ``(batch, 4)`` beside ``(batch, 3, 4)`` becomes ``(batch, 1, 4)``.

    What has no batch, a parameter, counts all its axes: beside one of ``(3, 4)`` it is the same.
    """
    most = max(v.rank - batched for v, batched in zip(x, mode.batched, strict=True))
    return tuple(v if not batched else reshape(v, (v.shape[0], *(1,) * (most + 1 - v.rank), *v.shape[1:]))
                 for v, batched in zip(x, mode.batched, strict=True))


class Elementwise(Merge):
    """Element by element; shapes broadcast as NumPy's do, the batch apart."""

    op: ClassVar[type[ops.Elementwise]]
    verb: ClassVar[str] = ""

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        try:
            return reduce(lambda a, b: self.op()(a, b), align(x, mode))
        except ShapeError as e:
            if "broadcast" not in e.message:
                raise
            raise ShapeError(f"shapes cannot be {self.verb}", "  and  ".join(show(v.shape) for v in x), "equal shapes", e.hint) from None


class Add(Elementwise, kind="add"):
    """The sum of its inputs.

    ``y = x1 + x2 + …``. Shapes broadcast as NumPy's, the batch apart: ``(4)`` and ``(3, 4)`` give ``(3, 4)``; an error where they cannot.
    """

    op, verb = ops.Add, "added"


class Subtract(Elementwise, kind="subtract"):
    """The first input less the second.

    ``y = a - b``. Shapes broadcast as in ``add``: ``(3, 4)`` and ``(4)`` give ``(3, 4)``.
    """

    op, verb = ops.Subtract, "subtracted"
    inputs = (2, 2)


class Multiply(Elementwise, kind="multiply"):
    """The product of its inputs, element by element.

    ``y = x1 * x2 * …``. Shapes broadcast as in ``add``: a gate ``(1, 1, channels)`` times ``(height, width, channels)`` scales channels.
    """

    op, verb = ops.Multiply, "multiplied"


class Maximum(Elementwise, kind="maximum"):
    """The largest of its inputs, element by element.

    ``y = max(x1, x2, …)``. Shapes broadcast as in ``add``: ``(3, 4)`` and ``(4)`` give ``(3, 4)``; of two equal ones each takes half of the
    gradient.
    """

    op, verb = ops.Maximum, "compared"


class Minimum(Elementwise, kind="minimum"):
    """The smallest of its inputs, element by element.

    ``y = min(x1, x2, …)``. Shapes broadcast as in ``add``: ``(3, 4)`` and ``(4)`` give ``(3, 4)``; of two equal ones each takes half of the
    gradient.
    """

    op, verb = ops.Minimum, "compared"


class Average(Elementwise, kind="average"):
    """The mean of its inputs, element by element.

    ``y = (x1 + … + xn) / n``. Shapes broadcast as in ``add``: ``(3, 4)`` and ``(4)`` give ``(3, 4)``.
    """

    op, verb = ops.Add, "averaged"

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        return super().build(x, mode) * (1.0 / len(x))


class Concat(Merge, kind="concat", primary="axis"):
    """Its inputs joined along ``axis``, counted from 0 without the batch; the last by default.

    ``(6, 8)`` and ``(6, 2)`` give ``(6, 10)``. The other axes must be equal; what has no rows, a parameter, stands in each row.
    """

    axis: Axis = -1

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        axes = max(v.rank - batched for v, batched in zip(x, mode.batched, strict=True))
        place(self.axis, axes, "concat", x[0])
        rows = tuple(v if batched else broadcast_to(v, (mode.batch, *v.shape)) for v, batched in zip(x, mode.batched, strict=True))
        return concat(rows, self.axis + 1 if self.axis >= 0 else self.axis)


class Stack(Merge, kind="stack", primary="axis"):
    """Its inputs, all of one shape, side by side along a new axis: ``axis`` 0 of the output by default.

    ``(8)`` and ``(8)`` give ``(2, 8)``, with ``axis: -1`` ``(8, 2)``.
    """

    inputs = (1, 64)
    axis: Axis = 0

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        rows = tuple(v if batched else broadcast_to(v, (mode.batch, *v.shape)) for v, batched in zip(x, mode.batched, strict=True))
        if any(v.shape != rows[0].shape for v in rows):
            raise ShapeError("stack asks for equal shapes", "  and  ".join(show(v.shape) for v in rows), "one shape")
        axis = place(self.axis, rows[0].rank, "stack's output") + 1
        return concat(tuple(reshape(v, (*v.shape[:axis], 1, *v.shape[axis:])) for v in rows), axis)


class MatMul(Merge, kind="matmul"):
    """The matrix product of two inputs over their last two axes; ``transpose`` swaps those of the second.

    The axes before them broadcast, the batch apart. A row of one axis is multiplied with a parameter: ``(in)`` by ``(in, out)``.
    ``(…, m, k)`` and ``(…, k, n)`` give ``(…, m, n)``; with ``transpose`` the second is ``(…, n, k)``.
    """

    inputs = (2, 2)
    transpose: bool = False

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        a, b = x
        if not mode.batched[1] and a.rank >= b.rank == 2:
            return matmul(a, swap(b) if self.transpose else b)
        if any(v.rank - batched < 2 for v, batched in zip(x, mode.batched, strict=True)):
            raise ShapeError("matmul asks for matrices", "  and  ".join(show(v.shape) for v in x), "at least two axes each, the batch not counted",
                             "reshape can add an axis")
        a, b = align(x, mode)
        return matmul(a, swap(b) if self.transpose else b)


class Dot(Merge, kind="dot", primary="axes"):
    """Products of two inputs summed over an axis of each: the last, or ``axes``, a number or one for each.

    ``(4)`` and ``(4)`` give ``(1)``, ``(3, 4)`` and ``(5, 4)`` give ``(3, 5)``: the axes left of the first, then those of the second,
    as Keras. ``normalize`` divides by the lengths first: the cosine of the angle. A length below 1e-12 counts as 1e-12.
    """

    inputs = (2, 2)
    axes: Annotated[tuple[Axis, Axis], BeforeValidator(both_axes)] = (-1, -1)
    normalize: bool = False

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        ranks = [v.rank - batched for v, batched in zip(x, mode.batched, strict=True)]
        axes = [place(axis, rank, "dot", v) for axis, rank, v in zip(self.axes, ranks, x, strict=True)]
        a, b = (v if batched else reshape(v, (1, *v.shape)) for v, batched in zip(x, mode.batched, strict=True))
        a, b = (moveaxis(v, axis + 1, v.rank - 1) for v, axis in zip((a, b), axes, strict=True))
        if a.shape[-1] != b.shape[-1]:
            found = "  and  ".join(f"axis {axis} of {show(v.shape)}" for axis, v in zip(self.axes, x, strict=True))
            raise ShapeError("dot asks for axes of one length", found, "equal lengths")
        if self.normalize:
            a, b = unit(a), unit(b)
        left, right = a.shape[1:-1], b.shape[1:-1]
        y = matmul(reshape(a, (a.shape[0], size(left), a.shape[-1])), swap(reshape(b, (b.shape[0], size(right), b.shape[-1]))))
        return reshape(y, (y.shape[0], *((*left, *right) or (1,))))


def unit(x: Value) -> Value:
    """Vectors along the last axis at length 1; those shorter than 1e-12 are divided by that."""
    return x / ops.sqrt(ops.maximum(sum_(ops.square(x), -1, keep=True), 1e-24))
