"""What is made small: for each row a number, from an output and a target. The step takes their weighted mean."""

from abc import abstractmethod
from typing import Any, ClassVar

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType, show
from nnspec.ops.elementwise import Sigmoid, Step, cast, square
from nnspec.ops.movement import reshape
from nnspec.ops.reduce import mean, sum_
from nnspec.ops.softmax import Softmax, log_softmax, sigmoid_cross_entropy, softmax, softmax_cross_entropy
from nnspec.spec.model import Kind


class Loss(Kind):
    """A loss of an output ``y`` and a target ``t``, rows first."""

    registry: ClassVar[dict[str, type[Any]]] = {}
    classes: ClassVar[bool] = False  # the target is a class, and ``predict`` gives probabilities

    @abstractmethod
    def rows(self, y: Value, t: Value) -> Value:
        """The loss of each row: ``(batch,)``."""

    def target(self, y: TensorType) -> TensorType:
        """The target that fits an output, where nothing else says so: the output's own type."""
        return y

    def fits(self, y: TensorType, t: TensorType) -> None:
        """Raises ShapeError where a target cannot be compared with the output."""
        if t.shape != y.shape and not (y.shape[-1] == 1 and t.shape == y.shape[:-1]):
            raise ShapeError("output and target differ in shape", f"output {show(y.shape)}, target {show(t.shape)}", "equal shapes",
                             self.repair(y, t))

    def repair(self, y: TensorType, t: TensorType) -> str:
        return f"the last layer should have {t.shape[-1]} units" if len(t.shape) == len(y.shape) and len(t.shape) > 1 else (
            "the last layer should be dense: 1" if len(t.shape) == 1 else "")

    def probabilities(self, y: Value) -> Value:
        """What ``predict`` answers."""
        return y


def like(t: Value, y: Value) -> Value:
    """A target in the output's shape and dtype: a column for outputs of one unit."""
    return reshape(cast(t, y.dtype), y.shape)


def per_row(x: Value) -> Value:
    """The mean over everything but the row."""
    return mean(x, tuple(range(1, x.rank))) if x.rank > 1 else x


class MeanSquaredError(Loss, kind="mse"):
    """``(y - t)^2``, the mean over a row's elements."""

    def rows(self, y: Value, t: Value) -> Value:
        return per_row(square(y - like(t, y)))


class CrossEntropy(Loss, kind="cross_entropy"):
    """``-sum t log(p)`` over the classes of the last axis; the target is class numbers, or one-hot (or any probabilities).

    An output that comes from ``softmax`` is read from what went into it; any other is taken as logits.
    """

    classes = True

    def target(self, y: TensorType) -> TensorType:
        return TensorType(y.shape[:-1], DType.int64)

    def fits(self, y: TensorType, t: TensorType) -> None:
        if len(y.shape) < 2:
            raise ShapeError("cross_entropy asks for an axis of classes", show(y.shape), "(batch, classes)")
        if y.shape[-1] == 1:
            raise ShapeError("cross_entropy of one class is always 0", show(y.shape), "at least two classes", "binary_cross_entropy takes one unit")
        if t.dtype.is_float and t.shape == y.shape:
            return
        if t.shape != y.shape[:-1] or t.dtype.is_float:
            raise ShapeError("output and target differ in shape", f"output {show(y.shape)}, target {t}",
                             f"class numbers of shape {show(y.shape[:-1])}, or one-hot of shape {show(y.shape)}")

    def rows(self, y: Value, t: Value) -> Value:
        x = logits(y)
        if t.dtype.is_float:
            loss = -sum_(cast(t, y.dtype) * log_softmax(x), -1)
        else:
            loss = softmax_cross_entropy(x, cast(t, DType.int64))
        return per_row(loss)

    def probabilities(self, y: Value) -> Value:
        return y if isinstance(y.op, Softmax) else softmax(y)


class BinaryCrossEntropy(Loss, kind="binary_cross_entropy"):
    """``-t log(p) - (1 - t) log(1 - p)``, the mean over a row's elements; the target is 0 or 1, or a probability.

    An output that comes from ``sigmoid`` is read from what went into it; any other is taken as logits.
    """

    classes = True

    def rows(self, y: Value, t: Value) -> Value:
        x = y.inputs[0] if isinstance(y.op, Sigmoid) else y
        return per_row(sigmoid_cross_entropy(x, like(t, y)))

    def probabilities(self, y: Value) -> Value:
        from nnspec.ops.elementwise import sigmoid

        return y if isinstance(y.op, Sigmoid) else sigmoid(y)


class Perceptron(Loss, kind="perceptron"):
    """``(y - t) z`` for ``y = step(z)``: 0 where the answer is right, and its gradient is Rosenblatt's rule.

    With ``sgd`` and one row a batch the weights move by ``learning_rate (t - y) x``. The target is 0 or 1.
    Source: Rosenblatt, 1958.
    """

    def fits(self, y: TensorType, t: TensorType) -> None:
        super().fits(y, t)

    def rows(self, y: Value, t: Value) -> Value:
        if not isinstance(y.op, Step):
            raise ShapeError("perceptron learns from an output that comes from 'step'", f"an output of {y.op.name.lower()}", "activation: step",
                             "give the last layer activation: step")
        return per_row((y - like(t, y)) * y.inputs[0])


def logits(y: Value) -> Value:
    """What went into a softmax, or the output itself."""
    return y.inputs[0] if isinstance(y.op, Softmax) else y
