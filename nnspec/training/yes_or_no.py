"""Losses of one unit that says yes or no, or else of classes that share the last axis: focal, and dice for areas."""

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType, show
from nnspec.ops.elementwise import Sigmoid, cast, exp, maximum, power, sigmoid
from nnspec.ops.index import gather, one_hot
from nnspec.ops.movement import reshape
from nnspec.ops.reduce import sum_
from nnspec.ops.softmax import Softmax, log_softmax, sigmoid_cross_entropy, softmax, softmax_cross_entropy
from nnspec.spec.model import NotNegative, Positive
from nnspec.training.classification import Classification, Placewise, logits, one_class_an_element, scores
from nnspec.training.losses import like
from nnspec.training.origin import made_by, must_see_behind

TINY = 1e-12  # where a power below 1 would have an infinite gradient


class Yes(Classification):
    """A loss of one unit, or of units from ``sigmoid``, that say yes or no, or else of classes that share the last axis."""

    def binary(self, y: Value) -> bool:
        return y.shape[-1] == 1 or made_by(y, Sigmoid)

    def check(self, y: Value) -> None:
        must_see_behind(y, self.kind, Softmax, Sigmoid)

    def target(self, y: Value) -> TensorType:
        return y.type if self.binary(y) else TensorType(y.shape[:-1], DType.int64)

    def fits(self, y: Value, t: TensorType) -> None:
        if self.binary(y):
            super().fits(y, t)
        else:
            one_class_an_element(self, y, t)

    def probabilities(self, y: Value) -> Value:
        if made_by(y, Sigmoid, Softmax):
            return y
        return sigmoid(y) if self.binary(y) else softmax(y)


def _alpha(value: Any) -> Any:
    numbers = value if isinstance(value, tuple) and value else (value,)
    if value is None or all(isinstance(a, (int, float)) and not isinstance(a, bool) and 0 <= a < float("inf") for a in numbers):
        return value
    raise PydanticCustomError("nnspec", "{message}", {
        "message": "'alpha' of loss 'focal' does not fit", "found": repr(value)[:60], "hint": "",
        "wanted": "a number from 0 to 1 for two classes, else a number for each class"})


class Focal(Yes, Placewise, kind="focal", primary="gamma"):
    """``-alpha (1 - p)^gamma log(p)`` with p of the right class: what is right already counts little. ``gamma`` is 2.

    One unit, or units from ``sigmoid``, say yes or no each: ``alpha`` is then what yes counts, and ``1 - alpha`` no. Any other
    output has a class a unit, read from logits or from ``softmax``: ``alpha`` is a list with a number a class, or one for all.
    Without it every class counts 1. It does not change what a mean is divided by; ``class_weights`` do. Source: Lin et al., 2017.
    Scores ``(…, classes)`` and class numbers ``(…)``, or scores and answers ``(…)`` of one shape.
    """

    gamma: NotNegative = 2.0
    alpha: Annotated[NotNegative | tuple[NotNegative, ...] | None, BeforeValidator(_alpha)] = None

    def check(self, y: Value) -> None:
        super().check(y)
        given, units = self.alpha, y.shape[-1]
        if self.binary(y) and isinstance(given, float | int) and given > 1:
            raise ShapeError("'alpha' of yes and no is what yes counts, 1 - alpha is left for no", f"alpha: {given:g}", "a number from 0 to 1")
        if isinstance(given, tuple) and len(given) != (2 if self.binary(y) else units):
            raise ShapeError("'alpha' has a number for each class", f"{len(given)} numbers", f"{2 if self.binary(y) else units} numbers")

    def each(self, y: Value, t: Value) -> Value:
        if self.binary(y):
            return self._sides(y, t)
        x, classes = scores(y), int(y.shape[-1])  # type: ignore[arg-type]  # classes are never symbolic
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

    def _sides(self, y: Value, t: Value) -> Value:
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

    def shares(self, y: Value, t: Value) -> Value | None:
        return self.of_side(y, t) if self.binary(y) else self.of_class(y, t)


class Dice(Yes, kind="dice", primary="smooth"):
    """``1 - (2 sum p t + smooth) / (sum p + sum t + smooth)`` over the places of a row, the mean over its classes; ``smooth`` is 1.

    One unit, or units from ``sigmoid``, are masks of their own; any other output has a class a unit at each place, read from
    logits or from ``softmax``, and the target class numbers or one-hot. ``class_weights`` weigh the classes' areas.
    Source: Milletari et al., 2016.
    Scores ``(places…, classes)``; class numbers ``(places…)``, masks or one-hot ``(places…, classes)``.
    """

    smooth: Positive = 1.0

    def check(self, y: Value) -> None:
        super().check(y)
        if self.class_weights is not None and self.binary(y):
            raise ShapeError("'class_weights' of dice weigh areas of classes that share a place", "masks that say yes or no",
                             "leave it out, or give the output a unit for each class")

    def fits(self, y: Value, t: TensorType) -> None:
        if len(y.shape) < 3:
            raise ShapeError("dice compares areas", f"output {show(y.shape)}", "(batch, height, width, classes)")
        super().fits(y, t)

    def elements(self, y: Value, t: Value) -> Value:
        t, counts = self.seen(y, t)
        p, w = self.probabilities(y), self.weights_of(y)
        if self.binary(y):
            target = self.smoothed(like(t, y), 2)
        else:
            classes = int(y.shape[-1])  # type: ignore[arg-type]  # classes are never symbolic
            hot = cast(t, y.dtype) if t.dtype.is_float else one_hot(cast(t, DType.int64), classes, y.dtype)
            target = self.smoothed(hot, classes)
        if counts is not None:
            here = cast(counts if counts.rank == y.rank else reshape(counts, (*counts.shape, 1)), y.dtype)
            p, target = p * here, target * here
        places = tuple(range(1, y.rank - 1))
        common = sum_(p * target, places) * 2.0 + self.smooth
        loss = 1.0 - common / (sum_(p, places) + sum_(target, places) + self.smooth)
        return loss if w is None else loss * w

    def masses(self, y: Value, t: Value) -> Value | None:
        w = self.weights_of(y)
        return None if w is None else sum_(y * 0.0, tuple(range(1, y.rank - 1))) + w
