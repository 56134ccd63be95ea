"""Dropout."""

from nnspec.ir.graph import Value, constant
from nnspec.ir.types import DType
from nnspec.layers.layer import Layer, Mode, Values
from nnspec.ops.elementwise import less, where
from nnspec.ops.random import RandomBits, stream
from nnspec.spec.model import Fraction

BITS = 1 << 16


class Dropout(Layer, kind="dropout", primary="rate"):
    """In training each element is 0 with probability ``rate``, and otherwise divided by ``1 - rate``; else ``x``.

    The rate is rounded to a multiple of 2^-16. Which elements fall depends on (seed, layer, step, row, element) alone.
    Source: Srivastava et al., 2014.
    """

    rate: Fraction = 0.5

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        dropped = round(self.rate * BITS)
        if not mode.training or not dropped:
            return x
        assert mode.seed is not None and mode.step is not None
        bits = RandomBits(x.shape, stream(f"{mode.path}:dropout"))(mode.seed, mode.step)
        return where(less(bits, constant(dropped, DType.uint16)), 0.0, x * (BITS / (BITS - dropped)))
