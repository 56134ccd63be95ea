"""Normalisation, as layers with their parameters and statistics."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import count
from nnspec.layers.axes import Axes, places
from nnspec.layers.layer import Built, Layer, Mode, Param, Values, fixed, rank
from nnspec.ops import normalization as ops
from nnspec.ops.elementwise import cast, greater, maximum, sqrt
from nnspec.ops.movement import broadcast_to, reshape
from nnspec.ops.reduce import sum_
from nnspec.spec.model import Count, NotNegative, Number, Positive

Momentum = Annotated[float, Field(ge=0, le=1)]


class Normalisation(Layer):
    """``gamma`` (unless ``scale: false``) and ``beta`` (unless ``center: false``) for each channel."""

    epsilon: Positive = 1e-3
    scale: bool = True
    center: bool = True

    def params(self, x: Value) -> Iterable[Param]:
        rank(x, 1, self.kind)
        channels = fixed(x.shape[-1], "the number of channels")
        if self.scale:
            yield Param("gamma", (channels,), init="ones")
        if self.center:
            yield Param("beta", (channels,))

    def affine(self, x: Value, p: Values) -> tuple[Value, Value]:
        """gamma and beta, or ones and zeros in their place."""
        shape = (x.shape[-1],)
        one, zero = (broadcast_to(constant(v, x.dtype), shape) for v in (1, 0))
        return p.gamma if self.scale else one, p.beta if self.center else zero


class BatchNorm(Normalisation, kind="batch_norm"):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` over each channel (the last axis).

    In training with the batch's biased variance, and ``moving = momentum * moving + (1 - momentum) * batch``; else with the
    moving statistics. ``momentum`` 0.99, ``epsilon`` 1e-3; ``variance: unbiased`` keeps PyTorch's moving variance. Rows of
    weight 0 are not seen. ``trainable: false`` is inference. Source: Ioffe and Szegedy, 2015.
    ``(…, channels)`` to ``(…, channels)``; ``gamma`` starts at 1, ``beta`` at 0, ``moving_mean`` at 0 and ``moving_variance`` at 1,
    ``(channels)`` each. The two last are not
    trained, but counted among the parameters.
    """

    momentum: Momentum = 0.99
    variance: Literal["biased", "unbiased"] = "biased"

    def state(self, x: Value) -> Iterable[Param]:
        channels = fixed(x.shape[-1], "the number of channels")
        yield Param("moving_mean", (channels,), trainable=False)
        yield Param("moving_variance", (channels,), init="ones", trainable=False)

    def build(self, x: Value, p: Values, mode: Mode) -> Value | Built:
        gamma, beta = self.affine(x, p)
        if not mode.training or mode.frozen:
            scale = gamma / sqrt(p.moving_variance + self.epsilon)
            return x * scale + (beta - p.moving_mean * scale)
        weight = () if mode.weight is None else (mode.weight,)
        norm = ops.BatchNorm(self.epsilon)
        y, mean, variance = norm(x, gamma, beta, *weight)
        if self.variance == "unbiased":
            variance = variance * self._correction(norm, x, *weight)
        keep = self.momentum
        return Built(y, {"moving_mean": p.moving_mean * keep + mean * (1.0 - keep),
                         "moving_variance": p.moving_variance * keep + variance * (1.0 - keep)})

    def _correction(self, norm: ops.BatchNorm, x: Value, *weight: Value) -> Value | float:
        """``n / (n - 1)`` for n elements a channel, rows of weight 0 left out."""
        if not weight:
            n = float(norm.total(x))
            return n / max(n - 1.0, 1.0)
        rows = sum_(cast(greater(weight[0], 0.0), x.dtype)) * float(count(x.shape[1:-1]))
        return rows / maximum(rows - 1.0, 1.0)


class LayerNorm(Normalisation, kind="layer_norm"):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` over the last axis, or over ``axes``; ``epsilon`` 1e-3 (PyTorch: 1e-5).

    ``axes: [-2, -1]`` is PyTorch's normalized_shape of two numbers; gamma and beta have the lengths of these axes. Source: Ba,
    Kiros, Hinton, 2016.
    ``(…)`` to ``(…)``.
    """

    axes: Axes = (-1,)

    def params(self, x: Value) -> Iterable[Param]:
        rank(x, 1, self.kind)
        shape = tuple(fixed(x.shape[a + 1], "an axis of layer_norm") for a in self.over(x))
        if self.scale:
            yield Param("gamma", shape, init="ones")
        if self.center:
            yield Param("beta", shape)

    def over(self, x: Value) -> tuple[int, ...]:
        """The axes in ascending order, the batch not counted."""
        if not self.axes:
            raise ShapeError("layer_norm needs an axis", "axes: []", "at least one axis")
        return tuple(sorted(places(self.axes, x.rank - 1, "layer_norm", x)))

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        axes = tuple(a + 1 for a in self.over(x))
        shape = x.shape[axes[0]:] if axes == tuple(range(axes[0], x.rank)) else tuple(d if i in axes else 1 for i, d in enumerate(x.shape) if i)
        one, zero = (broadcast_to(constant(v, x.dtype), shape) for v in (1, 0))
        gamma, beta = reshape(p.gamma, shape) if self.scale else one, reshape(p.beta, shape) if self.center else zero
        return ops.LayerNorm(self.epsilon, axes).one(x, gamma, beta)


class GroupNorm(Normalisation, kind="group_norm", primary="groups"):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``: each row's own statistics of each group of neighbouring channels.

    ``groups`` 32 has to divide the channels; ``epsilon`` 1e-3 (PyTorch: 1e-5). Source: Wu and He, 2018.
    ``(…, channels)`` to ``(…, channels)``; an error unless ``groups`` divides the channels.
    """

    groups: Count = 32

    def params(self, x: Value) -> Iterable[Param]:
        rank(x, 1, self.kind)
        channels = fixed(x.shape[-1], "the number of channels")
        if channels % self.groups:
            raise ShapeError("groups do not divide the channels", f"{self.groups} groups, {channels} channels", f"groups that divide {channels}")
        return super().params(x)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return ops.GroupNorm(self.groups, self.epsilon).one(x, *self.affine(x, p))


class InstanceNorm(Normalisation, kind="instance_norm"):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``: each row's own statistics of each channel.

    ``epsilon`` 1e-3; PyTorch has 1e-5, and neither gamma nor beta unless asked: ``scale: false, center: false``. Source: Ulyanov,
    Vedaldi, Lempitsky, 2016.
    ``(…, channels)`` to ``(…, channels)``, places before the last axis.
    """

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 2, "instance_norm")
        return ops.GroupNorm(fixed(x.shape[-1], "the number of channels"), self.epsilon).one(x, *self.affine(x, p))


class RmsNorm(Layer, kind="rms_norm"):
    """``gamma x / sqrt(mean(x^2) + epsilon)`` over the last axis.

    ``epsilon`` 1e-6, as Keras; PyTorch takes the smallest step of the dtype (1.2e-7 in single precision) unless told. Source: Zhang
    and Sennrich, 2019.
    ``(…, n)`` to ``(…, n)``; ``gamma`` ``(n)`` starts at 1, there is no shift.
    """

    epsilon: Positive = 1e-6
    scale: bool = True

    def params(self, x: Value) -> Iterable[Param]:
        rank(x, 1, "rms_norm")
        if self.scale:
            yield Param("gamma", (fixed(x.shape[-1], "the last axis"),), init="ones")

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        gamma = p.gamma if self.scale else broadcast_to(constant(1, x.dtype), x.shape[-1:])
        return ops.RmsNorm(self.epsilon).one(x, gamma)


class LocalResponseNorm(Layer, kind="local_response_norm", primary="size"):
    """``x / (k + alpha / size * s)^beta``, s being the sum of x^2 over ``size`` neighbouring channels.

    As PyTorch, alpha is over ``size``: the networks of 2012 write 5 times our alpha for a size of 5. ``alpha`` 1e-4, ``beta`` 0.75,
    ``k`` 1. Source: Krizhevsky, Sutskever, Hinton, 2012.
    ``(…, channels)`` to ``(…, channels)``; near the first and the last channel there are fewer neighbours, and nothing stands for them.
    """

    size: Annotated[int, Field(ge=1, le=1024)]
    alpha: NotNegative = 1e-4
    beta: Number = 0.75
    k: Positive = 1.0

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        rank(x, 1, "local_response_norm")
        fixed(x.shape[-1], "the number of channels")
        return ops.LocalResponseNorm(self.size, self.alpha, self.beta, self.k).one(x)
