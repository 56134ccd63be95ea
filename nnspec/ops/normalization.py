"""Normalisation: by the batch, by groups of channels, over axes, and by neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Composite, Gradients, case
from nnspec.ir.types import count, size
from nnspec.ops.elementwise import power, sqrt, square
from nnspec.ops.movement import Pad, reshape, slice_axis
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
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` over the last axis, or over ``axes``. Source: Ba, Kiros, Hinton, 2016."""

    epsilon: float
    axes: tuple[int, ...] = (-1,)
    onnx = "LayerNormalization"
    samples = (case((2, 5), (5,), (5,), epsilon=1e-3), case((2, 3, 4), (4,), (4,), epsilon=1e-5),
               case((2, 3, 2, 4), (3, 1, 4), (3, 1, 4), epsilon=1e-3, axes=(1, 3)))

    def build(self, *x: Value) -> Value:
        a, gamma, beta = x
        centred = a - mean(a, self.axes, keep=True)
        return centred / sqrt(mean(square(centred), self.axes, keep=True) + self.epsilon) * gamma + beta


class RmsNorm(Composite):
    """``gamma x / sqrt(mean(x^2) + epsilon)`` over the last axis. Source: Zhang and Sennrich, 2019."""

    epsilon: float
    onnx = "RMSNormalization"
    samples = (case((2, 5), (5,), epsilon=1e-6), case((2, 3, 4), (4,), epsilon=0.1), case((1, 1), (1,), epsilon=1e-3))

    def build(self, *x: Value) -> Value:
        a, gamma = x
        return a / sqrt(mean(square(a), -1, keep=True) + self.epsilon) * gamma


class GroupNorm(Composite):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``: each row's statistics of each of ``groups`` groups of channels.

    ``(rows, …, channels)``; as many groups as channels is instance normalisation. Source: Wu and He, 2018.
    """

    groups: int
    epsilon: float
    onnx = "GroupNormalization"
    samples = (case((2, 3, 4), (4,), (4,), groups=2, epsilon=1e-3), case((2, 2, 3, 3), (3,), (3,), groups=3, epsilon=0.1),
               case((3, 6), (6,), (6,), groups=1, epsilon=1e-5))

    def build(self, *x: Value) -> Value:
        a, gamma, beta = x
        group = (self.groups, a.shape[-1] // self.groups)
        parts = reshape(a, (a.shape[0], size(a.shape[1:-1]), *group))
        centred = parts - mean(parts, (1, 3), keep=True)
        normal = centred / sqrt(mean(square(centred), (1, 3), keep=True) + self.epsilon)
        return reshape(normal * reshape(gamma, group) + reshape(beta, group), a.shape)


class LocalResponseNorm(Composite):
    """``x / (k + alpha / size * s)^beta`` with s the sum of x^2 over ``size`` neighbouring channels, as PyTorch.

    The window reaches ``size // 2`` channels down and ``(size - 1) // 2`` up; what lies beyond the ends counts as 0.
    Source: Krizhevsky, Sutskever, Hinton, 2012, with alpha over size.
    """

    size: int
    alpha: float
    beta: float
    k: float
    onnx = "LRN"
    samples = (case((2, 3, 5), size=3, alpha=0.5, beta=0.75, k=1.0), case((2, 4), size=2, alpha=1.0, beta=0.5, k=2.0),
               case((1, 2), size=5, alpha=0.1, beta=1.0, k=1.0))

    def build(self, *x: Value) -> Value:
        a = x[0]
        channels = int(a.shape[-1])  # type: ignore[arg-type]  # the layer asks for a known number
        none = (0,) * (a.rank - 1)
        below, above = min(self.size // 2, channels - 1), min((self.size - 1) // 2, channels - 1)
        squares = Pad((*none, below), (*none, above), (*none, 0)).one(square(a))
        total = slice_axis(squares, a.rank - 1, 0, channels)
        for i in range(1, below + above + 1):
            total = total + slice_axis(squares, a.rank - 1, i, i + channels)
        return a * power(total * (self.alpha / self.size) + self.k, -self.beta)
