"""What is made small: for each row a number, from an output and a target. The step takes their weighted mean."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import TensorType, known, show
from nnspec.ops.elementwise import Sigmoid, Step, absolute, cast, greater, less_equal, log, maximum, relu, square, where
from nnspec.ops.movement import reshape
from nnspec.ops.reduce import mean, sum_
from nnspec.ops.softmax import LogSoftmax, Softmax, log_softmax
from nnspec.records import dataclass
from nnspec.spec.model import Kind, Positive
from nnspec.training.origin import behind, made_by

SMALLEST = 1e-7  # a probability that is compared by its logarithm is at least this, as in Keras


@dataclass(frozen=True)
class Part:
    """What one loss adds to the step: ``sum / mass``, or the sum where nothing divides it."""

    sum: Value
    mass: Value | float | None = None

    @property
    def value(self) -> Value:
        if self.mass is None:
            return self.sum
        return self.sum / self.mass if isinstance(self.mass, Value) else self.sum * (1.0 / self.mass)


class Loss(Kind):
    """A loss of an output ``y`` and a target ``t``, rows first; a row's loss is the mean over its elements.

    ``reduce: mean`` is the sum of the rows' losses times their weights over the sum of the weights (of the elements' too, where
    classes have some). ``sum`` adds up every element times its row's weight, ``none`` the rows' losses times their weights;
    neither divides by anything.
    """

    registry: ClassVar[dict[str, type[Any]]] = {}
    classes: ClassVar[bool] = False  # the target is a class, and ``predict`` gives probabilities
    two: ClassVar[bool] = False  # the target is one of two classes
    numbers: ClassVar[bool] = False  # the target is a number: of more than two classes it would mean nothing
    targeted: ClassVar[bool] = True  # it compares with something

    reduce: Literal["mean", "sum", "none"] = "mean"

    @abstractmethod
    def elements(self, y: Value, t: Value) -> Value:
        """The loss of each element, rows first."""

    def masses(self, y: Value, t: Value) -> Value | None:
        """What each element counts in a mean, where they differ."""
        return None

    def part(self, y: Value, t: Value, weight: Value | None = None) -> Part:
        """The loss over rows of these weights."""
        e, m = self.elements(y, t), self.masses(y, t)
        total = over_rows(per_row(e, sum_ if self.reduce == "sum" else mean), weight)
        if self.reduce != "mean":
            return Part(total)
        if m is not None:
            mass = over_rows(per_row(m), weight)
            return Part(total, where(less_equal(mass, 0.0), mass * 0.0 + 1.0, mass))  # classes that weigh nothing, and no others
        return Part(total, sum_(weight) if weight is not None else float(known(e.shape)[0]))

    def target(self, y: Value) -> TensorType:
        """The target that fits an output, where nothing else says so: the output's own type."""
        return y.type

    def fits(self, y: Value, t: TensorType) -> None:
        """Raises ShapeError where a target cannot be compared with the output."""
        if t.shape != y.shape and not (y.shape[-1:] == (1,) and t.shape == y.shape[:-1]):
            raise ShapeError("output and target differ in shape", f"output {show(y.shape)}, target {show(t.shape)}", "equal shapes",
                             self.repair(y, t))

    def between(self, y: Value, t: TensorType) -> tuple[float, float] | None:
        """The least and the largest number that a target means anything by; class numbers are looked at by themselves."""
        return None

    def repair(self, y: Value, t: TensorType) -> str:
        return f"the last layer should have {t.shape[-1]} units" if len(t.shape) == len(y.shape) and len(t.shape) > 1 else (
            "the last layer should be dense: 1" if len(t.shape) == 1 else "")

    def check(self, y: Value) -> None:
        """Raises ShapeError where the output does not come from what this loss reads."""

    def binary(self, y: Value) -> bool:
        """Whether each element of the output says yes or no, so that classes are two."""
        return self.two

    def probabilities(self, y: Value) -> Value:
        """What ``predict`` answers."""
        return y


def like(t: Value, y: Value) -> Value:
    """A target in the output's shape and dtype: a column for outputs of one unit."""
    return reshape(cast(t, y.dtype), y.shape)


def per_row(x: Value, reduction: Any = mean) -> Value:
    """The mean (or sum) over everything but the row."""
    result: Value = reduction(x, tuple(range(1, x.rank))) if x.rank > 1 else x
    return result


def over_rows(rows: Value, weight: Value | None) -> Value:
    """The sum of a number a row, times the row's weight."""
    return sum_(rows) if weight is None else sum_(rows * weight)


class MeanSquaredError(Loss, kind="mse"):
    """``(y - t)^2``, the mean over a row's elements.

    Output and target are ``(…)`` of one shape, or ``(…, 1)`` and ``(…)``; anything else is an error. In the target's unit squared, as it was
    prepared.
    """

    numbers = True

    def elements(self, y: Value, t: Value) -> Value:
        return square(y - like(t, y))


class MeanAbsoluteError(Loss, kind="mae"):
    """``|y - t|``, the mean over a row's elements; the gradient at 0 is 0.

    Output and target are ``(…)`` of one shape, or ``(…, 1)`` and ``(…)``; anything else is an error.
    """

    numbers = True

    def elements(self, y: Value, t: Value) -> Value:
        return absolute(y - like(t, y))


class Huber(Loss, kind="huber", primary="delta"):
    """``(y - t)^2 / 2`` where ``|y - t| <= delta``, else ``delta (|y - t| - delta / 2)``; ``delta`` is 1. Source: Huber, 1964.

    Output and target are ``(…)`` of one shape, or ``(…, 1)`` and ``(…)``; anything else is an error.
    """

    numbers = True
    delta: Positive = 1.0

    def elements(self, y: Value, t: Value) -> Value:
        d = y - like(t, y)
        size = absolute(d)
        return where(less_equal(size, self.delta), square(d) * 0.5, (size - 0.5 * self.delta) * self.delta)


class Hinge(Loss, kind="hinge"):
    """``max(0, 1 - t y)`` for a score ``y``; the target is -1 or 1, or 0 or 1: what is not above 0 is -1.

    Output and target are ``(…)`` of one shape, or ``(…, 1)`` and ``(…)``; anything else is an error. Source: Cortes and Vapnik, 1995.
    """

    two = True

    def between(self, y: Value, t: TensorType) -> tuple[float, float] | None:
        return -1.0, 1.0

    def check(self, y: Value) -> None:
        for activation in (Sigmoid, Softmax, Step):
            if made_by(y, activation):
                name = activation.__name__.lower()
                raise ShapeError("hinge reads a score on either side of 0, not a probability", f"an output of {name}",
                                 "an output without activation", f"leave {name} out, or use binary_cross_entropy")

    def elements(self, y: Value, t: Value) -> Value:
        t = like(t, y)
        sides = where(greater(t, 0.0), t * 0.0 + 1.0, t * 0.0 - 1.0)
        return relu(1.0 - sides * y)


class KlDivergence(Loss, kind="kl_divergence"):
    """``sum t log(t / y)`` over the last axis; output and target are probabilities, ``0 log 0`` is 0.

    An output that comes from ``softmax`` is read from what went into it, one from ``log_softmax`` is taken as logarithms; any other
    is taken as probabilities of at least 1e-7. Source: Kullback and Leibler, 1951.
    Output and target ``(…, classes)``.
    """

    def fits(self, y: Value, t: TensorType) -> None:
        if not t.dtype.is_float or t.shape != y.shape or y.shape[-1] == 1:
            hint = "cross_entropy takes class numbers" if not t.dtype.is_float else "kl_divergence compares two or more probabilities"
            raise ShapeError("kl_divergence compares two distributions", f"output {show(y.shape)}, target {t}",
                             "probabilities of one shape, those of the last axis adding up to 1", hint)

    def between(self, y: Value, t: TensorType) -> tuple[float, float] | None:
        return 0.0, 1.0

    def elements(self, y: Value, t: Value) -> Value:
        t = like(t, y)
        scores = behind(y, Softmax)
        if scores is not None:
            logs = log_softmax(scores)
        else:
            logs = y if made_by(y, LogSoftmax) else log(maximum(y, SMALLEST))
        own = log(where(greater(t, 0.0), t, t * 0.0 + 1.0))
        return sum_(t * (own - logs), -1)


class Perceptron(Loss, kind="perceptron"):
    """``(y - t) z`` for ``y = step(z)``: 0 where the answer is right, and its gradient is Rosenblatt's rule.

    With ``sgd`` and one row a batch the weights move by ``learning_rate (t - y) x``. The target is 0 or 1.
    Source: Rosenblatt, 1958.
    Output and target ``(units)``.
    """

    two = True

    def between(self, y: Value, t: TensorType) -> tuple[float, float] | None:
        return 0.0, 1.0

    def check(self, y: Value) -> None:
        if not made_by(y, Step):
            raise ShapeError("perceptron learns from an output that comes from 'step'", f"an output of {y.op.name.lower()}", "activation: step",
                             "give the last layer activation: step")

    def elements(self, y: Value, t: Value) -> Value:
        before = behind(y, Step)
        assert before is not None
        return (y - like(t, y)) * before


class Given(Loss, kind="value"):
    """Adds a tensor to the loss as it stands: ``from`` names it, and it has no target.

    The mean over a row's elements, then over the rows by their weights; of what has no rows (made of parameters alone) the mean
    over all elements. ``reduce: sum`` adds them up instead.
    """

    targeted = False

    def check(self, y: Value) -> None:
        if not y.dtype.is_float:
            raise ShapeError("value adds numbers to the loss", f"{y.dtype}", "a layer that gives float numbers")

    def elements(self, y: Value, t: Value) -> Value:
        return y
