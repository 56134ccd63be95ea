"""Normalisation: by the batch, by groups of channels, over axes, and by neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Composite, Gradients, case
from nnspec.ir.types import count, size
from nnspec.ops.elementwise import power, sqrt, square, unbroadcast
from nnspec.ops.movement import Pad, broadcast_to, reshape, slice_axis
from nnspec.ops.reduce import mean, sum_


def _rows(weight: Value, x: Value) -> Value:
    return reshape(weight, (x.shape[0], *(1,) * (x.rank - 1)))


def _normal(a: Value, axes: tuple[int, ...], epsilon: float) -> tuple[Value, Value]:
    """``a`` of mean 0 and deviation 1 over axes, and what it was multiplied by."""
    centred = a - mean(a, axes, keep=True)
    scale = 1.0 / sqrt(mean(square(centred), axes, keep=True) + epsilon)
    return centred * scale, scale


def _back(g: Value, normal: Value, scale: Value, axes: tuple[int, ...]) -> Value:
    """The gradient in what was normalised: what is left of ``g`` without its mean and without its share along ``normal``, both sums in one walk."""
    return (g - mean(g, axes, keep=True) - normal * mean(g * normal, axes, keep=True)) * scale


class Moments(Composite):
    """The mean and the biased variance of each column, over all axes but the last: one walk over memory where a backend claims it."""

    samples = (case((4, 3)), case((3, 2, 2, 5)), case((1, 2)), case((6,)))

    def build(self, *x: Value) -> Any:
        axes = tuple(range(x[0].rank - 1))
        average = mean(x[0], axes)
        return average, mean(square(x[0] - average), axes)

    def grad(self, g: Any, y: Any, *x: Value) -> Gradients:
        (a,), (of_mean, of_variance) = x, g
        share = 1.0 / max(1, count(a.shape[:-1]))
        parts = [] if of_mean is None else [broadcast_to(of_mean * share, a.shape)]
        parts += [] if of_variance is None else [(a - y[0]) * (of_variance * (2.0 * share))]
        return (parts[0] if len(parts) == 1 else parts[0] + parts[1],)


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
            average, variance = Moments()(a)
            centred = a - average
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
        normal, _ = _normal(a, self.axes, self.epsilon)
        return normal * gamma + beta

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, gamma, beta = x
        normal, scale = _normal(a, self.axes, self.epsilon)
        return _back(g * gamma, normal, scale, self.axes), unbroadcast(g * normal, gamma.shape), unbroadcast(g, beta.shape)


class RmsNorm(Composite):
    """``gamma x / sqrt(mean(x^2) + epsilon)`` over the last axis. Source: Zhang and Sennrich, 2019."""

    epsilon: float
    onnx = "RMSNormalization"
    samples = (case((2, 5), (5,), epsilon=1e-6), case((2, 3, 4), (4,), epsilon=0.1), case((1, 1), (1,), epsilon=1e-3))

    def build(self, *x: Value) -> Value:
        a, gamma = x
        return a * self._scale(a) * gamma

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, gamma = x
        scale = self._scale(a)
        normal, own = a * scale, g * gamma
        return (own - normal * mean(own * normal, -1, keep=True)) * scale, unbroadcast(g * normal, gamma.shape)

    def _scale(self, a: Value) -> Value:
        return 1.0 / sqrt(mean(square(a), -1, keep=True) + self.epsilon)


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
        normal, _ = _normal(*self._parts(a), self.epsilon)
        return reshape(normal * reshape(gamma, normal.shape[2:]) + reshape(beta, normal.shape[2:]), a.shape)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        a, gamma, beta = x
        normal, scale = _normal(*self._parts(a), self.epsilon)
        own, axes = self._parts(g)
        back = _back(own * reshape(gamma, normal.shape[2:]), normal, scale, axes)
        return reshape(back, a.shape), reshape(sum_(own * normal, (0, 1)), gamma.shape), reshape(sum_(own, (0, 1)), beta.shape)

    def _parts(self, a: Value) -> tuple[Value, tuple[int, ...]]:
        """``(rows, places, groups, channels of a group)``, the last where there are several; and over which axes statistics go."""
        several = a.shape[-1] != self.groups
        shape = (a.shape[0], size(a.shape[1:-1]), self.groups, *((a.shape[-1] // self.groups,) if several else ()))
        return reshape(a, shape), (1, 3) if several else (1,)


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
