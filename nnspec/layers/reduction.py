"""Sums, means and extremes over axes."""

from abc import abstractmethod

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType
from nnspec.layers.axes import Axes, places
from nnspec.layers.layer import Layer, Mode, Values
from nnspec.ops.reduce import max_, mean, min_, sum_


class Reduction(Layer):
    """Over ``axes``, all of them where none are named; ``keep`` leaves them with length 1. The batch is never among them."""

    axes: Axes | None = None
    keep: bool = False

    @abstractmethod
    def over(self, x: Value, axes: tuple[int, ...]) -> Value:
        """The reduction itself, ``axes`` counting the batch."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        if x.dtype == DType.bool:
            raise ShapeError(f"{self.kind} asks for numbers", "bool", "float32, int32 or int64", "cast: float32 makes 1 and 0 of them")
        chosen = range(x.rank - 1) if self.axes is None else places(self.axes, x.rank - 1, self.kind, x)
        return self.over(x, tuple(a + 1 for a in chosen))


class ReduceSum(Reduction, kind="reduce_sum", primary="axes"):
    """The sum over ``axes``, counted from 0 without the batch, or over all; ``keep`` leaves them with length 1.

    ``(6, 8)`` over ``axes: 0`` gives ``(8)``, with ``keep`` ``(1, 8)``; over all of them one number a row, ``()``.
    """

    def over(self, x: Value, axes: tuple[int, ...]) -> Value:
        return sum_(x, axes, self.keep)


class ReduceMean(Reduction, kind="reduce_mean", primary="axes"):
    """The mean over ``axes``, counted from 0 without the batch, or over all; ``keep`` leaves them with length 1.

    ``(6, 8)`` over ``axes: 0`` gives ``(8)``, with ``keep`` ``(1, 8)``; over all of them one number a row, ``()``.
    """

    def over(self, x: Value, axes: tuple[int, ...]) -> Value:
        if not x.dtype.is_float:
            raise ShapeError("reduce_mean asks for floats", str(x.dtype), "float32", "cast: float32 comes first")
        return mean(x, axes, self.keep)


class ReduceMax(Reduction, kind="reduce_max", primary="axes"):
    """The largest over ``axes``, or over all; ``keep`` leaves them with length 1. Equal ones share the gradient, as in PyTorch.

    ``(6, 8)`` over ``axes: 0`` gives ``(8)``, with ``keep`` ``(1, 8)``; over all of them one number a row, ``()``.
    """

    def over(self, x: Value, axes: tuple[int, ...]) -> Value:
        return max_(x, axes, self.keep)


class ReduceMin(Reduction, kind="reduce_min", primary="axes"):
    """The smallest over ``axes``, or over all; ``keep`` leaves them with length 1. Equal ones share the gradient.

    ``(6, 8)`` over ``axes: 0`` gives ``(8)``, with ``keep`` ``(1, 8)``; over all of them one number a row, ``()``.
    """

    def over(self, x: Value, axes: tuple[int, ...]) -> Value:
        return min_(x, axes, self.keep)
