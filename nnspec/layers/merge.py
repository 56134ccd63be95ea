"""Layers of several inputs."""

from functools import reduce
from typing import Annotated, ClassVar

from pydantic import Field

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import show
from nnspec.layers.layer import Merge, Mode
from nnspec.ops import elementwise as ops
from nnspec.ops.matmul import matmul
from nnspec.ops.movement import broadcast_to, concat, reshape, swap

Axis = Annotated[int, Field(ge=-16, le=15)]


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
            raise ShapeError(f"shapes cannot be {self.verb}", "  and  ".join(show(v.shape) for v in x), "equal shapes", e.hint) from None


class Add(Elementwise, kind="add"):
    """The sum of its inputs."""

    op, verb = ops.Add, "added"


class Subtract(Elementwise, kind="subtract"):
    """The first input less the second."""

    op, verb = ops.Subtract, "subtracted"
    inputs = (2, 2)


class Multiply(Elementwise, kind="multiply"):
    """The product of its inputs, element by element."""

    op, verb = ops.Multiply, "multiplied"


class Maximum(Elementwise, kind="maximum"):
    """The largest of its inputs, element by element."""

    op, verb = ops.Maximum, "compared"


class Average(Elementwise, kind="average"):
    """The mean of its inputs, element by element."""

    op, verb = ops.Add, "averaged"

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        return super().build(x, mode) * (1.0 / len(x))


class Concat(Merge, kind="concat", primary="axis"):
    """Its inputs joined along ``axis``, counted from 0 without the batch; the last by default."""

    axis: Axis = -1

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        axes = max(v.rank - batched for v, batched in zip(x, mode.batched, strict=True))
        if not -axes <= self.axis < axes:
            raise ShapeError("concat has no such axis", f"axis {self.axis} of {show(x[0].shape)}", f"{-axes} to {axes - 1}")
        rows = tuple(v if batched else broadcast_to(v, (mode.batch, *v.shape)) for v, batched in zip(x, mode.batched, strict=True))
        return concat(rows, self.axis + 1 if self.axis >= 0 else self.axis)


class MatMul(Merge, kind="matmul"):
    """The matrix product of two inputs over their last two axes; ``transpose`` swaps those of the second.

    The axes before them broadcast, the batch apart. A row of one axis is multiplied with a parameter: ``(in)`` by ``(in, out)``.
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
