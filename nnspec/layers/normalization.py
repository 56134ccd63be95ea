"""Batch and layer normalisation, as layers with their parameters and statistics."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from nnspec.ir.graph import Value, constant
from nnspec.ir.types import count
from nnspec.layers.layer import Built, Layer, Mode, Param, Values, fixed, rank
from nnspec.ops import normalization as ops
from nnspec.ops.elementwise import cast, greater, maximum, sqrt
from nnspec.ops.movement import broadcast_to
from nnspec.ops.reduce import sum_
from nnspec.spec.model import Positive

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
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` over the last axis; ``epsilon`` 1e-3.

    Source: Ba, Kiros, Hinton, 2016.
    """

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return ops.LayerNorm(self.epsilon)(x, *self.affine(x, p))  # type: ignore[no-any-return]  # one output
