"""The schedules: one class each. ``t`` counts steps from 0 after the warmup, ``rate`` is the optimizer's."""

import math
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from nnspec.spec.model import Count, NotNegative, Positive, Whole
from nnspec.training.schedule import LengthField, Schedule, Span, SpanField, part

__all__ = ["Schedule", "Span"]


class Constant(Schedule, kind="constant", primary="length"):
    """The optimizer's rate throughout; ``length`` is that of a stretch in a list of them.

    ``rate``; with ``warmup: n`` the first n are ``rate (t + 1) / n`` (as of every schedule). Source of warmup: Goyal et al., 2017.
    """

    length: LengthField | None = None

    @property
    def open(self) -> bool:
        return False  # it has no end

    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        return base


class Step(Schedule, kind="step"):
    """``rate * factor ^ floor(t / every)``."""

    every: LengthField
    factor: Positive = 0.1

    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        return float(base * self.factor ** (t // max(1, self.every.steps(per_epoch))))


class Cosine(Schedule, kind="cosine"):
    """``minimum + (rate - minimum) (1 + cos(pi t / length)) / 2``; ``length`` is the run's; past it the rate stays at the minimum.

    Source: Loshchilov and Hutter, "SGDR", 2016, without restarts.
    """

    length: LengthField | None = None
    minimum: NotNegative = 0.0

    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        over = part(self.length, t, per_epoch, total)
        return self.minimum + (base - self.minimum) * 0.5 * (1.0 + math.cos(math.pi * over))


class MultiStep(Schedule, kind="multistep"):
    """``rate * factor ^ n``, n of the lengths ``at`` being past at t. Factor 0.1."""

    at: Annotated[tuple[SpanField, ...], Field(min_length=1)]
    factor: Positive = 0.1

    @field_validator("at")
    @classmethod
    def _grow(cls, at: tuple[Span, ...]) -> tuple[Span, ...]:
        for a, b in zip(at, at[1:], strict=False):
            if a.unit == b.unit and not a.amount < b.amount:
                raise PydanticCustomError("nnspec", "{message}", {
                    "message": "the lengths of 'at' do not grow", "found": f"{b} after {a}", "wanted": "each later than the one before", "hint": ""})
        return at

    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        return base * self.factor ** sum(span.steps(per_epoch) <= t for span in self.at)


class Exponential(Schedule, kind="exponential"):
    """``rate * factor ^ (t / every)``, at every step; ``every`` 1 epoch. In stairs it is ``step``."""

    factor: Positive
    every: LengthField = Span(1.0)

    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        return float(base * self.factor ** (t / max(1, self.every.steps(per_epoch))))


class Polynomial(Schedule, kind="polynomial"):
    """``to + (rate - to) (1 - t / length) ^ power``; power 1, to 0 (Keras's is 1e-4), ``length`` the run's; past it the rate stays ``to``."""

    power: Positive = 1.0
    to: NotNegative = 0.0
    length: LengthField | None = None

    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        return float(self.to + (base - self.to) * (1.0 - part(self.length, t, per_epoch, total)) ** self.power)


class Linear(Schedule, kind="linear"):
    """``rate + (to - rate) t / length``; to 0, ``length`` the run's; past it the rate stays ``to``."""

    to: NotNegative = 0.0
    length: LengthField | None = None

    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        over = part(self.length, t, per_epoch, total)
        return base * (1.0 - over) + self.to * over


class Plateau(Schedule, kind="plateau", primary="watch"):
    """``rate * factor``, and again, each time that ``watch`` has not become better by more than ``change`` for ``patience`` epochs.

    Never less than ``minimum``; for ``cooldown`` epochs after a cut nothing is counted. watch validation.loss, factor 0.1, patience 10,
    change 1e-4, minimum 0, cooldown 0. As Keras's ReduceLROnPlateau; PyTorch's cuts one epoch later for the same patience.
    """

    watch: str = "validation.loss"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Count = 10
    change: NotNegative = 1e-4
    minimum: NotNegative = 0.0
    cooldown: Whole = 0

    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        return base  # what was measured is not known here: Model.rate applies the cuts

    def cut(self, rate: float, cuts: int) -> float:
        """A rate after so many cuts."""
        return max(self.minimum, rate * self.factor**cuts) if cuts else rate
