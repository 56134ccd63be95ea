"""Activations that kernels know by name; the others are written out where their layer is declared."""

from __future__ import annotations

import math

from nnspec.ir.graph import Value
from nnspec.ir.op import Composite, Gradients, case
from nnspec.ops.elementwise import absolute, both, erf, exp, greater, less, log1p, maximum, minimum, sigmoid, tanh, where


class Softplus(Composite):
    """``log(1 + exp(x))`` without overflow."""

    onnx = "Softplus"
    samples = (case((3, 4), least=-5, most=5), case(()))

    def build(self, *x: Value) -> Value:
        return maximum(x[0], 0.0) + log1p(exp(-absolute(x[0])))

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g * sigmoid(x[0]),)


class Gelu(Composite):
    """``x/2 (1 + erf(x / sqrt 2))``, or with ``approximate`` its tanh form (Hendrycks and Gimpel, 2016)."""

    approximate: bool = False
    onnx = "Gelu"
    samples = (case((3, 4)), case((2, 3), approximate=True), case(()))

    def build(self, *x: Value) -> Value:
        a = x[0]
        if self.approximate:
            return 0.5 * a * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (a + 0.044715 * (a * a * a))))
        return 0.5 * a * (1.0 + erf(a * math.sqrt(0.5)))


class Clip(Composite):
    """``min(max(x, low), high)``; the gradient at either bound is 0, as PyTorch's relu6 and hardtanh."""

    low: float
    high: float
    onnx = "Clip"
    samples = (case((3, 4), low=-1.5, high=0.5), case((2, 3), low=-0.5, high=1.0), case((), low=0.0, high=6.0))

    def build(self, *x: Value) -> Value:
        return minimum(maximum(x[0], self.low), self.high)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (where(both(greater(x[0], self.low), less(x[0], self.high)), g, 0.0),)


def clip(x: Value, low: float, high: float) -> Value:
    return Clip(low, high).one(x)


def softplus(x: Value) -> Value:
    return Softplus().one(x)


def gelu(x: Value, approximate: bool = False) -> Value:
    return Gelu(approximate).one(x)
