"""Losses whose target is a class: cross entropies, focal, and dice for areas; with what each class weighs."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType, show
from nnspec.ops.elementwise import Sigmoid, cast, exp, maximum, power, sigmoid
from nnspec.ops.index import gather, one_hot
from nnspec.ops.reduce import sum_
from nnspec.ops.softmax import Softmax, log_softmax, sigmoid_cross_entropy, softmax, softmax_cross_entropy
from nnspec.spec.model import Fraction, NotNegative, Positive
from nnspec.training.losses import Loss, like

BALANCED = "balanced"
TINY = 1e-12  # where a power below 1 would have an infinite gradient


def _weights(value: Any) -> Any:
    numbers = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    right = value is None or value == BALANCED or bool(numbers)
    if right and all(isinstance(w, (int, float)) and not isinstance(w, bool) and 0 <= w < float("inf") for w in numbers) and (
        not numbers or any(w > 0 for w in numbers)
    ):
        return value
    raise PydanticCustomError("nnspec", "{message}", {
        "message": "'class_weights' does not fit", "found": repr(value)[:60], "hint": "",
        "wanted": "a number for each class, at least 0 and not all 0: [1, 5], or {good: 1, bad: 5}, or balanced"})


ClassWeights = Annotated[Literal["balanced"] | tuple[NotNegative, ...] | dict[str, NotNegative] | None, BeforeValidator(_weights)]


def logits(y: Value) -> Value:
    """What went into a softmax or sigmoid, or the output itself."""
    return y.inputs[0] if isinstance(y.op, (Softmax, Sigmoid)) else y


class Classification(Loss):
    """A loss whose target is a class: ``smoothing`` and ``class_weights``.

    ``smoothing: 0.1`` takes so much from the right class and spreads it evenly over all. ``class_weights`` is a list with a weight a
    class, a mapping by name (others weigh 1), or ``balanced``: ``rows / (classes * rows of the class)`` over the training rows. An
    element's loss is multiplied by its class's weight, and a mean divided by the sum of the weights.
    """

    classes = True
    smoothing: Fraction = 0.0
    class_weights: ClassWeights = None

    def weighing(self, weights: tuple[float, ...]) -> Any:
        """The same loss with a weight a class."""
        return self.model_copy(update={"class_weights": weights})

    def many(self, y: Value) -> int:
        """How many classes it tells apart."""
        units = y.shape[-1]
        return 2 if self.binary(y) or not isinstance(units, int) else units

    def balances(self) -> bool:
        """Whether the weights are those of the training rows, which are not known before."""
        return self.class_weights == BALANCED

    def weights_of(self, y: Value) -> Value | None:
        """A weight a class, where they are known: ``balanced`` is worked out before anything is compiled."""
        given = self.class_weights
        return constant(given, y.dtype) if isinstance(given, tuple) else None

    def of_class(self, y: Value, t: Value) -> Value | None:
        """The weight of each element's class."""
        w = self.weights_of(y)
        if w is None:
            return None
        if not t.dtype.is_float:
            return gather(w, cast(t, DType.int64))
        return sum_(cast(t, y.dtype) * w, -1)

    def of_side(self, y: Value, t: Value) -> Value | None:
        """The same where there are two: ``w0 (1 - t) + w1 t``."""
        given = self.class_weights
        return like(t, y) * (given[1] - given[0]) + given[0] if isinstance(given, tuple) else None

    def smoothed(self, t: Value, classes: int) -> Value:
        return t * (1.0 - self.smoothing) + self.smoothing / classes if self.smoothing else t


def one_class_an_element(kind: str, y: Value, t: TensorType) -> None:
    """Raises ShapeError but for class numbers, or one-hot, of scores over the last axis."""
    if len(y.shape) < 2:
        raise ShapeError(f"{kind} asks for an axis of classes", show(y.shape), "(batch, classes)")
    if y.shape[-1] == 1:
        raise ShapeError(f"{kind} of one class is always 0", show(y.shape), "at least two classes", "binary_cross_entropy takes one unit")
    if t.dtype.is_float and t.shape == y.shape:
        return
    if t.shape != y.shape[:-1] or t.dtype.is_float:
        raise ShapeError("output and target differ in shape", f"output {show(y.shape)}, target {t}",
                         f"class numbers of shape {show(y.shape[:-1])}, or one-hot of shape {show(y.shape)}")


class CrossEntropy(Classification, kind="cross_entropy"):
    """``-sum t log(p)`` over the classes of the last axis; the target is class numbers, or one-hot (or any probabilities).

    An output that comes from ``softmax`` is read from what went into it; any other is taken as logits. Class numbers of shape
    (height, width) are those of pixels, for scores of shape (height, width, classes).
    """

    def target(self, y: Value) -> TensorType:
        return TensorType(y.shape[:-1], DType.int64)

    def fits(self, y: Value, t: TensorType) -> None:
        one_class_an_element(self.kind, y, t)

    def elements(self, y: Value, t: Value) -> Value:
        x, w, classes = _scores(y), self.weights_of(y), int(y.shape[-1])  # type: ignore[arg-type]  # classes are never symbolic
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

    def masses(self, y: Value, t: Value) -> Value | None:
        return self.of_class(y, t)

    def probabilities(self, y: Value) -> Value:
        return y if isinstance(y.op, Softmax) else softmax(y)


def _scores(y: Value) -> Value:
    return y.inputs[0] if isinstance(y.op, Softmax) else y


class BinaryCrossEntropy(Classification, kind="binary_cross_entropy"):
    """``-t log(p) - (1 - t) log(1 - p)``, the mean over a row's elements; the target is 0 or 1, or a probability.

    An output that comes from ``sigmoid`` is read from what went into it; any other is taken as logits. ``class_weights`` are those
    of 0 and of 1. ``smoothing`` moves a target towards 1/2.
    """

    two = True

    def check(self, y: Value) -> None:
        if isinstance(y.op, Softmax):
            raise ShapeError("binary_cross_entropy reads each unit by itself, softmax joins them", "an output of softmax", "sigmoid, or logits",
                             "cross_entropy is the loss of softmax")

    def elements(self, y: Value, t: Value) -> Value:
        x = y.inputs[0] if isinstance(y.op, Sigmoid) else y
        loss, own = sigmoid_cross_entropy(x, self.smoothed(like(t, y), 2)), self.of_side(y, t)
        return loss if own is None else loss * own

    def masses(self, y: Value, t: Value) -> Value | None:
        return self.of_side(y, t)

    def probabilities(self, y: Value) -> Value:
        return y if isinstance(y.op, Sigmoid) else sigmoid(y)


class Yes(Classification):
    """A loss of one unit, or of units from ``sigmoid``, that say yes or no, or else of classes that share the last axis."""

    def binary(self, y: Value) -> bool:
        return y.shape[-1] == 1 or isinstance(y.op, Sigmoid)

    def target(self, y: Value) -> TensorType:
        return y.type if self.binary(y) else TensorType(y.shape[:-1], DType.int64)

    def fits(self, y: Value, t: TensorType) -> None:
        if self.binary(y):
            super().fits(y, t)
        else:
            one_class_an_element(self.kind, y, t)

    def probabilities(self, y: Value) -> Value:
        if isinstance(y.op, (Sigmoid, Softmax)):
            return y
        return sigmoid(y) if self.binary(y) else softmax(y)


def _alpha(value: Any) -> Any:
    numbers = value if isinstance(value, tuple) and value else (value,)
    if value is None or all(isinstance(a, (int, float)) and not isinstance(a, bool) and 0 <= a < float("inf") for a in numbers):
        return value
    raise PydanticCustomError("nnspec", "{message}", {
        "message": "'alpha' of loss 'focal' does not fit", "found": repr(value)[:60], "hint": "",
        "wanted": "a number from 0 to 1 for two classes, else a number for each class"})


class Focal(Yes, kind="focal", primary="gamma"):
    """``-alpha (1 - p)^gamma log(p)`` with p of the right class: what is right already counts little. ``gamma`` is 2.

    One unit, or units from ``sigmoid``, say yes or no each: ``alpha`` is then what yes counts, and ``1 - alpha`` no. Any other
    output has a class a unit, read from logits or from ``softmax``: ``alpha`` is a list with a number a class, or one for all.
    Without it every class counts 1. It does not change what a mean is divided by; ``class_weights`` do. Source: Lin et al., 2017.
    """

    gamma: NotNegative = 2.0
    alpha: Annotated[NotNegative | tuple[NotNegative, ...] | None, BeforeValidator(_alpha)] = None

    def check(self, y: Value) -> None:
        given, units = self.alpha, y.shape[-1]
        if self.binary(y) and isinstance(given, float | int) and given > 1:
            raise ShapeError("'alpha' of yes and no is what yes counts, 1 - alpha is left for no", f"alpha: {given:g}", "a number from 0 to 1")
        if isinstance(given, tuple) and len(given) != (2 if self.binary(y) else units):
            raise ShapeError("'alpha' has a number for each class", f"{len(given)} numbers", f"{2 if self.binary(y) else units} numbers")

    def elements(self, y: Value, t: Value) -> Value:
        if self.binary(y):
            return self._each(y, t)
        x, classes = _scores(y), int(y.shape[-1])  # type: ignore[arg-type]  # classes are never symbolic
        if t.dtype.is_float or self.smoothing:
            shares = cast(t, y.dtype) if t.dtype.is_float else one_hot(cast(t, DType.int64), classes, y.dtype)
            logs, w = log_softmax(x), self.weights_of(y)
            loss = -(self.smoothed(shares, classes) * self._unsure(exp(logs)) * logs)
            loss = loss if self.alpha is None else loss * constant(self.alpha, y.dtype)
            return sum_(loss if w is None else loss * w, -1)
        loss, own = softmax_cross_entropy(x, cast(t, DType.int64)), self.of_class(y, t)
        loss = loss * self._unsure(exp(-loss))
        if isinstance(self.alpha, tuple):
            loss = loss * gather(constant(self.alpha, y.dtype), cast(t, DType.int64))
        elif self.alpha is not None:
            loss = loss * self.alpha
        return loss if own is None else loss * own

    def _each(self, y: Value, t: Value) -> Value:
        x, t = logits(y), like(t, y)
        own, p, smooth = self.of_side(y, t), sigmoid(x), self.smoothed(t, 2)
        loss = sigmoid_cross_entropy(x, smooth) * self._unsure(p * smooth + (1.0 - p) * (1.0 - smooth))
        if self.alpha is not None:
            no, yes = self.alpha if isinstance(self.alpha, tuple) else (1.0 - self.alpha, self.alpha)
            loss = loss * (t * yes + (1.0 - t) * no)
        return loss if own is None else loss * own

    def _unsure(self, p: Value) -> Value:
        """``(1 - p)^gamma``."""
        rest = 1.0 - p
        if self.gamma == 0:
            return rest * 0.0 + 1.0
        return rest if self.gamma == 1 else power(maximum(rest, TINY) if self.gamma < 1 else rest, self.gamma)

    def masses(self, y: Value, t: Value) -> Value | None:
        return self.of_side(y, t) if self.binary(y) else self.of_class(y, t)


class Dice(Yes, kind="dice", primary="smooth"):
    """``1 - (2 sum p t + smooth) / (sum p + sum t + smooth)`` over the places of a row, the mean over its classes; ``smooth`` is 1.

    One unit, or units from ``sigmoid``, are masks of their own; any other output has a class a unit at each place, read from
    logits or from ``softmax``, and the target class numbers or one-hot. ``class_weights`` weigh the classes' areas.
    Source: Milletari et al., 2016.
    """

    smooth: Positive = 1.0

    def check(self, y: Value) -> None:
        if self.class_weights is not None and self.binary(y):
            raise ShapeError("'class_weights' of dice weigh areas of classes that share a place", "masks that say yes or no",
                             "leave it out, or give the output a unit for each class")

    def fits(self, y: Value, t: TensorType) -> None:
        if len(y.shape) < 3:
            raise ShapeError("dice compares areas", f"output {show(y.shape)}", "(batch, height, width, classes)")
        super().fits(y, t)

    def elements(self, y: Value, t: Value) -> Value:
        p, w = self.probabilities(y), self.weights_of(y)
        if self.binary(y):
            target = self.smoothed(like(t, y), 2)
        else:
            classes = int(y.shape[-1])  # type: ignore[arg-type]  # classes are never symbolic
            hot = cast(t, y.dtype) if t.dtype.is_float else one_hot(cast(t, DType.int64), classes, y.dtype)
            target = self.smoothed(hot, classes)
        places = tuple(range(1, y.rank - 1))
        common = sum_(p * target, places) * 2.0 + self.smooth
        loss = 1.0 - common / (sum_(p, places) + sum_(target, places) + self.smooth)
        return loss if w is None else loss * w

    def masses(self, y: Value, t: Value) -> Value | None:
        w = self.weights_of(y)
        return None if w is None else sum_(y * 0.0, tuple(range(1, y.rank - 1))) + w
