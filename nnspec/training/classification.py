"""What losses of a class have in common: smoothing, what each class weighs, and a class that counts for nothing."""

from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PrivateAttr
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType, show
from nnspec.ops.elementwise import Sigmoid, cast, where, zeros_like
from nnspec.ops.index import gather
from nnspec.ops.movement import reshape
from nnspec.ops.reduce import sum_
from nnspec.ops.softmax import Softmax
from nnspec.spec.model import Fraction, NotNegative
from nnspec.training.losses import Loss, like
from nnspec.training.origin import behind
from nnspec.training.void import Void

BALANCED = "balanced"


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


def _ignored(value: Any) -> Any:
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool) and value != ""):
        return value
    raise PydanticCustomError("nnspec", "{message}", {
        "message": "'ignore' does not fit", "found": repr(value)[:60], "hint": "", "wanted": "a class's name, or its number"})


def logits(y: Value) -> Value:
    """What went into a softmax or sigmoid, or the output itself."""
    before = behind(y, Softmax, Sigmoid)
    return y if before is None else before


class Classification(Loss):
    """A loss whose target is a class: ``smoothing``, ``class_weights`` and ``ignore``.

    ``smoothing: 0.1`` takes so much from the right class and spreads it evenly over all. ``class_weights`` is a list with a weight a
    class, a mapping by name (others weigh 1), or ``balanced``: ``rows / (classes * rows of the class)`` over the training rows. An
    element's loss is multiplied by its class's weight, and a mean divided by the sum of the weights.

    ``ignore`` names a class that counts for nothing, the void of a mask: a class of the data (``ignore: void``, ``ignore: 255``), or
    where there are none a number. It is left out of the loss, of what a mean is divided by, and of every metric that compares the same.
    The output has a unit for it that nothing teaches, or none: then the classes behind it move up.
    """

    classes = True
    smoothing: Fraction = 0.0
    class_weights: ClassWeights = None
    ignore: Annotated[str | int | None, BeforeValidator(_ignored)] = None
    _void: Void | None = PrivateAttr(default=None)  # what is ignored, once the classes are known

    def seen(self, y: Value, t: Value) -> tuple[Value, Value | None]:
        """The target without what is ignored, and where elements count."""
        if self._void is None:
            return t, None
        t, counts = self._void.seen(t)
        return t, reshape(counts, y.shape) if self.binary(y) else counts

    def without(self, void: Void) -> Any:
        """The same loss, with what it ignores."""
        loss = self.model_copy()
        loss._void = void
        return loss

    def weighing(self, weights: tuple[float, ...]) -> Any:
        """The same loss with a weight a class."""
        return self.model_copy(update={"class_weights": weights})

    def between(self, y: Value, t: TensorType) -> tuple[float, float] | None:
        return (0.0, 1.0) if self._void is None and (self.binary(y) or t.dtype.is_float) else None  # a number is ignored whatever it is

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


class Placewise(Classification):
    """A loss of each place by itself, so that what is ignored can be left out of the sum."""

    def elements(self, y: Value, t: Value) -> Value:
        t, counts = self.seen(y, t)
        each = self.each(y, t)
        return each if counts is None else where(counts, each, zeros_like(each))

    def masses(self, y: Value, t: Value) -> Value | None:
        t, counts = self.seen(y, t)
        own = self.shares(y, t)
        if counts is None:
            return own
        return where(counts, own, zeros_like(own)) if own is not None else cast(counts, y.dtype)

    @abstractmethod
    def each(self, y: Value, t: Value) -> Value:
        """The loss of each element, nothing ignored."""

    @abstractmethod
    def shares(self, y: Value, t: Value) -> Value | None:
        """What each element counts in a mean, where classes weigh something."""


def one_class_an_element(loss: Classification, y: Value, t: TensorType) -> None:
    """Raises ShapeError but for class numbers, or one-hot, of scores over the last axis."""
    kind = loss.kind
    if len(y.shape) < 2:
        raise ShapeError(f"{kind} asks for an axis of classes", show(y.shape), "(batch, classes)")
    if y.shape[-1] == 1:
        raise ShapeError(f"{kind} of one class is always 0", show(y.shape), "at least two classes", "binary_cross_entropy takes one unit")
    if t.dtype.is_float and t.shape == y.shape:
        if loss.ignore is not None:
            raise ShapeError("'ignore' names a class number", f"target {t}, a share of every class", f"class numbers of shape {show(y.shape[:-1])}",
                             "leave 'ignore' out: what is 0 in every class counts for nothing")
        return
    if t.shape != y.shape[:-1] or t.dtype.is_float:
        raise ShapeError("output and target differ in shape", f"output {show(y.shape)}, target {t}",
                         f"class numbers of shape {show(y.shape[:-1])}, or one-hot of shape {show(y.shape)}")


def scores(y: Value) -> Value:
    """What went into a softmax, or the output itself."""
    before = behind(y, Softmax)
    return y if before is None else before
