"""Batch and layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Composite, Gradients, case
from nnspec.ir.types import count
from nnspec.ops.elementwise import sqrt, square
from nnspec.ops.movement import reshape
from nnspec.ops.reduce import mean, sum_


def _rows(weight: Value, x: Value) -> Value:
    return reshape(weight, (x.shape[0], *(1,) * (x.rank - 1)))


class BatchNorm(Composite):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` with the batch's own statistics of each channel.

    Returns ``(y, mean, biased variance)``. A third kind of input, a weight a row, makes both statistics weighted
    means, so that rows of weight 0 are not seen. Source: Ioffe and Szegedy, 2015.
    """

    epsilon: float
    mixes_rows = True
    samples = (case((4, 3), (3,), (3,), epsilon=1e-3), case((3, 2, 2, 2), (2,), (2,), epsilon=0.1),
               case((4, 2, 3), (3,), (3,), np.array([1.0, 0.0, 2.0, 0.5]), epsilon=1e-3, fixed=(3,)))

    def total(self, x: Value, *weight: Value) -> Any:
        """Over how much the mean is taken."""
        places = count(x.shape[1:-1])
        return sum_(weight[0]) * float(places) if weight else float(count(x.shape[:1]) * places)

    def build(self, *x: Value) -> Any:
        a, gamma, beta, *weight = x
        axes = tuple(range(a.rank - 1))
        if weight:
            total = self.total(a, *weight)
            average = sum_(a * _rows(weight[0], a), axes) / total
            centred = a - average
            variance = sum_(square(centred) * _rows(weight[0], a), axes) / total
        else:
            average = mean(a, axes)
            centred = a - average
            variance = mean(square(centred), axes)
        return centred * (gamma / sqrt(variance + self.epsilon)) + beta, average, variance

    def grad(self, g: Any, y: Any, *x: Value) -> Gradients:
        a, gamma, _, *weight = x
        upstream, *others = g
        if upstream is None or any(v is not None for v in others):
            # The statistics themselves were used: differentiate through build.
            return NotImplemented  # type: ignore[no-any-return]  # autodiff asks for it
        axes = tuple(range(a.rank - 1))
        scale = 1.0 / sqrt(y[2] + self.epsilon)
        normal = (a - y[1]) * scale
        beta_grad, gamma_grad = sum_(upstream, axes), sum_(upstream * normal, axes)
        total = self.total(a, *weight)
        shared = (beta_grad + normal * gamma_grad) / total
        if weight:
            shared = shared * _rows(weight[0], a)
        return ((upstream - shared) * (gamma * scale), gamma_grad, beta_grad, *(None for _ in weight))


class LayerNorm(Composite):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` over the last axis. Source: Ba, Kiros, Hinton, 2016."""

    epsilon: float
    onnx = "LayerNormalization"
    samples = (case((2, 5), (5,), (5,), epsilon=1e-3), case((2, 3, 4), (4,), (4,), epsilon=1e-5))

    def build(self, *x: Value) -> Value:
        a, gamma, beta = x
        centred = a - mean(a, -1, keep=True)
        return centred / sqrt(mean(square(centred), -1, keep=True) + self.epsilon) * gamma + beta
