"""A composite of several inputs without a gradient of its own: what becomes one region of the graph."""

from __future__ import annotations

from nnspec.ir.graph import Value
from nnspec.ir.op import Composite
from nnspec.ops.elementwise import sqrt, square
from nnspec.ops.reduce import mean


class Scaled(Composite):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` over the last axis."""

    epsilon: float

    def build(self, *x: Value) -> Value:
        a, gamma, beta = x
        centred = a - mean(a, -1, keep=True)
        return centred / sqrt(mean(square(centred), -1, keep=True) + self.epsilon) * gamma + beta
