"""The cross entropies: of classes that share the last axis, and of units that say yes or no each."""

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import Sigmoid, cast, sigmoid
from nnspec.ops.reduce import sum_
from nnspec.ops.softmax import Softmax, log_softmax, sigmoid_cross_entropy, softmax, softmax_cross_entropy
from nnspec.training.classification import Placewise, one_class_an_element, scores
from nnspec.training.losses import like
from nnspec.training.origin import behind, made_by, must_see_behind


class CrossEntropy(Placewise, kind="cross_entropy"):
    """``-sum t log(p)`` over the classes of the last axis; the target is class numbers, or one-hot (or any probabilities).

    An output that comes from ``softmax`` is read from what went into it; any other is taken as logits. Class numbers of shape
    (height, width) are those of pixels, for scores of shape (height, width, classes).
    Scores ``(…, classes)``; class numbers ``(…)``, or probabilities ``(…, classes)``. The mean over a row's places, then over rows.
    """

    def target(self, y: Value) -> TensorType:
        return TensorType(y.shape[:-1], DType.int64)

    def check(self, y: Value) -> None:
        must_see_behind(y, self.kind, Softmax)

    def fits(self, y: Value, t: TensorType) -> None:
        one_class_an_element(self, y, t)

    def each(self, y: Value, t: Value) -> Value:
        x, w, classes = scores(y), self.weights_of(y), int(y.shape[-1])  # type: ignore[arg-type]  # classes are never symbolic
        if t.dtype.is_float:
            shares = self.smoothed(cast(t, y.dtype), classes)
            return -sum_((shares if w is None else shares * w) * log_softmax(x), -1)
        loss, own = softmax_cross_entropy(x, cast(t, DType.int64)), self.of_class(y, t)
        loss = loss if own is None else loss * own
        if not self.smoothing:
            return loss
        logs = log_softmax(x)
        every = sum_(logs if w is None else logs * w, -1)
        return loss * (1.0 - self.smoothing) - every * (self.smoothing / classes)

    def shares(self, y: Value, t: Value) -> Value | None:
        return self.of_class(y, t)

    def probabilities(self, y: Value) -> Value:
        return y if made_by(y, Softmax) else softmax(y)


class BinaryCrossEntropy(Placewise, kind="binary_cross_entropy"):
    """``-t log(p) - (1 - t) log(1 - p)``, the mean over a row's elements; the target is 0 or 1, or a probability.

    An output that comes from ``sigmoid`` is read from what went into it; any other is taken as logits. ``class_weights`` are those
    of 0 and of 1. ``smoothing`` moves a target towards 1/2.
    Output and target are ``(…)`` of one shape, or ``(…, 1)`` and ``(…)``; anything else is an error.
    """

    two = True

    def check(self, y: Value) -> None:
        if made_by(y, Softmax):
            raise ShapeError("binary_cross_entropy reads each unit by itself, softmax joins them", "an output of softmax", "sigmoid, or logits",
                             "cross_entropy is the loss of softmax")
        must_see_behind(y, self.kind, Softmax, Sigmoid)

    def each(self, y: Value, t: Value) -> Value:
        before = behind(y, Sigmoid)
        x = y if before is None else before
        loss, own = sigmoid_cross_entropy(x, self.smoothed(like(t, y), 2)), self.of_side(y, t)
        return loss if own is None else loss * own

    def shares(self, y: Value, t: Value) -> Value | None:
        return self.of_side(y, t)

    def probabilities(self, y: Value) -> Value:
        return y if made_by(y, Sigmoid) else sigmoid(y)
