"""Softmax, its logarithm, and the cross entropies that read logits."""

from __future__ import annotations

from nnspec.ir.graph import Value
from nnspec.ir.op import Composite, Gradients, case
from nnspec.ir.types import DType
from nnspec.ops.activation import softplus
from nnspec.ops.elementwise import exp, log, sigmoid
from nnspec.ops.index import IDS, one_hot, pick
from nnspec.ops.movement import reshape
from nnspec.ops.reduce import max_, sum_

LOGITS = (case((2, 5)), case((3, 4, 2)), case((1, 1)))


class Softmax(Composite):
    """``exp(x)`` scaled to sum to one along the last axis; shifted by the maximum so it cannot overflow."""

    onnx = "Softmax"
    samples = LOGITS

    def build(self, *x: Value) -> Value:
        e = exp(x[0] - max_(x[0], -1, keep=True))
        return e / sum_(e, -1, keep=True)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (y * (g - sum_(g * y, -1, keep=True)),)


class LogSoftmax(Composite):
    """``log(softmax(x))`` along the last axis, exact where softmax underflows."""

    onnx = "LogSoftmax"
    samples = LOGITS

    def build(self, *x: Value) -> Value:
        shifted = x[0] - max_(x[0], -1, keep=True)
        return shifted - log(sum_(exp(shifted), -1, keep=True))

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (g - exp(y) * sum_(g, -1, keep=True),)


class SoftmaxCrossEntropy(Composite):
    """``-log softmax(x)[label]`` over the last axis, for class numbers."""

    samples = (case((2, 2, 3), IDS), case((3, 4), IDS.reshape(-1)[:3]))

    def build(self, *x: Value) -> Value:
        return -pick(log_softmax(x[0]), x[1])

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        hot = one_hot(x[1], int(x[0].shape[-1]), x[0].dtype)  # type: ignore[arg-type]  # classes are never symbolic
        return reshape(g, (*g.shape, 1)) * (softmax(x[0]) - hot), None


class SigmoidCrossEntropy(Composite):
    """``-t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x))`` for each element, as ``softplus(x) - t x``."""

    samples = (case((2, 3), (2, 3)), case((4, 1), (4, 1)))

    def build(self, *x: Value) -> Value:
        return softplus(x[0]) - x[0] * x[1]

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return g * (sigmoid(x[0]) - x[1]), -(g * x[0])


def softmax(x: Value) -> Value:
    return Softmax().one(x)


def log_softmax(x: Value) -> Value:
    return LogSoftmax().one(x)


def softmax_cross_entropy(x: Value, labels: Value) -> Value:
    assert labels.dtype in (DType.int32, DType.int64)
    return SoftmaxCrossEntropy().one(x, labels)


def sigmoid_cross_entropy(x: Value, target: Value) -> Value:
    return SigmoidCrossEntropy().one(x, target)
