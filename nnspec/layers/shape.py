"""Layers that only move elements."""

from math import prod
from typing import Annotated

from pydantic import Field

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import Dim, Symbol, known, show, size
from nnspec.layers.axes import Axes, Axis, places
from nnspec.layers.layer import Layer, Mode, Values, rank
from nnspec.ops.movement import reshape, transpose
from nnspec.spec.model import LARGEST, Whole

Length = Annotated[int, Field(ge=-1, le=LARGEST)]


class Flatten(Layer, kind="flatten"):
    """All axes but the batch as one, in row-major order: ``(height, width, channels)`` to ``(height * width * channels)``.

    ``(n)`` stays ``(n)``, a scalar becomes ``(1)``.
    """

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return reshape(x, (x.shape[0], size(x.shape[1:])))


class Reshape(Layer, kind="reshape", primary="shape"):
    """The same elements in row-major order under another shape; one length may be -1: what is left.

    ``reshape: [2, -1]`` makes ``(2, 12)`` of ``(6, 4)``; an error where the number of elements would change.
    """

    shape: tuple[Length, ...]

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        holes = self.shape.count(-1)
        if holes > 1 or 0 in self.shape:
            raise ShapeError("reshape cannot tell the shape", str(list(self.shape)), "lengths of at least 1, at most one of them -1")
        shape: tuple[Dim, ...] = self.shape
        if holes:
            rest = prod(d for d in self.shape if d != -1)
            total = size(x.shape[1:])
            if isinstance(total, int) and total % rest:
                raise ShapeError("reshape cannot fill the shape", f"{total} elements: {show(x.shape)}", f"a multiple of {rest}")
            shape = tuple(total // rest if d == -1 else d for d in self.shape)
        if any(isinstance(d, Symbol) for d in shape) and size(shape) != size(x.shape[1:]):
            raise ShapeError("reshape cannot fill the shape", f"{size(x.shape[1:])} elements: {show(x.shape)}",
                             f"a number that {rest} divides, whatever the named axes are")
        if size(shape) != size(x.shape[1:]):
            raise ShapeError("reshape changes the number of elements", f"{size(x.shape[1:])} elements: {show(x.shape)}",
                             f"{prod(known(shape))} elements for {list(self.shape)}", "-1 stands for what is left")
        return reshape(x, (x.shape[0], *shape))


class Permute(Layer, kind="permute", primary="axes"):
    """Axes in another order: output axis i is input axis ``axes[i]``, counted from 0 without the batch.

    ``y = transpose(x)``: ``axes: [2, 0, 1]`` makes ``(channels, height, width)`` of ``(height, width, channels)``. Each axis stands once.
    """

    axes: tuple[Whole, ...]

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        if sorted(self.axes) != list(range(x.rank - 1)):
            raise ShapeError("permute names each axis once", str(list(self.axes)), f"an order of {list(range(x.rank - 1))}")
        return transpose(x, (0, *(a + 1 for a in self.axes)))


class Transpose(Layer, kind="transpose", primary="axes"):
    """Two axes exchanged: the last two, or the two of ``axes``, counted from 0 without the batch. ``permute`` orders all of them.

    ``(6, 8)`` to ``(8, 6)``; ``(3, 6, 8)`` to ``(3, 8, 6)``.
    """

    axes: tuple[Axis, Axis] = (-2, -1)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 2, "transpose")
        a, b = places(self.axes, x.rank - 1, "transpose", x)
        order = list(range(x.rank))
        order[a + 1], order[b + 1] = b + 1, a + 1
        return transpose(x, tuple(order))


class Squeeze(Layer, kind="squeeze", primary="axes"):
    """Axes of length 1 left out: those of ``axes``, or all of them; ``(1, 4, 1)`` to ``(4)``."""

    axes: Axes | None = None

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        shape = x.shape[1:]
        gone = [i for i, d in enumerate(shape) if d == 1] if self.axes is None else places(self.axes, len(shape), "squeeze", x)
        long = [i for i in gone if shape[i] != 1]
        if long:
            raise ShapeError("squeeze leaves out axes of length 1 alone", f"axis {long[0]} of {show(x.shape)} is {shape[long[0]]} long", "length 1",
                             "reduce_mean or gather takes an axis away")
        return reshape(x, (x.shape[0], *(d for i, d in enumerate(shape) if i not in gone)))


class Unsqueeze(Layer, kind="unsqueeze", primary="axes"):
    """Axes of length 1 put in, where the output has them: ``axes: 0`` makes ``(4)`` to ``(1, 4)``, ``axes: -1`` to ``(4, 1)``."""

    axes: Axes

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        total = x.rank - 1 + len(self.axes)
        new = places(self.axes, total, "unsqueeze's output")
        rest = iter(x.shape[1:])
        return reshape(x, (x.shape[0], *(1 if i in new else next(rest) for i in range(total))))
