"""Gradients that stop, and other element types."""

from typing import Literal

from nnspec.ir.graph import Value
from nnspec.layers.layer import Layer, Mode, Values
from nnspec.layers.source import kind_of
from nnspec.ops import elementwise as ops
from nnspec.ops.rows import stop_gradient


class StopGradient(Layer, kind="stop_gradient"):
    """``x``, through which no gradient flows.

    ``(…)`` to ``(…)``; ``dy/dx = 0``.
    """

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return stop_gradient(x)


class Cast(Layer, kind="cast", primary="dtype"):
    """The same numbers as another element type: float32 (the spec's precision), int32, int64 or bool.

    Floats lose what stands behind the point; of numbers all but 0 are true. No gradient flows into whole numbers.
    ``(…)`` to ``(…)``.
    """

    dtype: Literal["float32", "int32", "int64", "bool"]

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return ops.cast(x, kind_of(self.dtype, mode))
