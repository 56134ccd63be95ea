"""Gradients that stop, and other element types."""

from typing import Literal

from nnspec.ir.graph import Value
from nnspec.ir.types import DType
from nnspec.layers.layer import Layer, Mode, Values
from nnspec.layers.source import kind_of
from nnspec.ops import elementwise as ops
from nnspec.ops.rounding import rounded
from nnspec.ops.rows import stop_gradient


class StopGradient(Layer, kind="stop_gradient"):
    """``x``, through which no gradient flows.

    ``(…)`` to ``(…)``; ``dy/dx = 0``.
    """

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return stop_gradient(x)


class Cast(Layer, kind="cast", primary="dtype"):
    """The same numbers as another element type: float32 (the spec's precision), float16, bfloat16, int32, int64 or bool.

    As whole numbers, floats lose what stands behind the point; of numbers all but 0 are true. No gradient flows into whole numbers.
    float16 and bfloat16 give the nearest numbers that these 16 bits hold, of two equally near the even one, and layers behind take them as
    floats of the spec's precision; what float16 cannot hold (from 65520 on) is infinite, and gradients are rounded likewise.
    ``(…)`` to ``(…)``.
    """

    dtype: Literal["float32", "float16", "bfloat16", "int32", "int64", "bool"]

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        if self.dtype in ("float16", "bfloat16"):
            return rounded(ops.cast(x, mode.dtype), DType(self.dtype))
        return ops.cast(x, kind_of(self.dtype, mode))
