"""The learning rate at each step: a plain function of the step's number, worked out by the host."""

import math
import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from nnspec.spec.model import Kind, NotNegative, Positive


@dataclass(frozen=True)
class Span:
    """A length: so many epochs, or so many steps."""

    amount: float
    unit: str = "epochs"

    def steps(self, per_epoch: int) -> int:
        return round(self.amount * per_epoch) if self.unit == "epochs" else round(self.amount)


def _span(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1e9:
        return Span(float(value))
    match = re.fullmatch(r"(\d{1,12}) (steps?|epochs?)", value) if isinstance(value, str) else None
    if match:
        return Span(float(match[1]), "steps" if match[2].startswith("step") else "epochs")
    raise PydanticCustomError("nnspec", "{message}", {"message": "a length does not fit", "found": repr(value)[:60],
                                                      "wanted": "epochs as a number, or '500 steps'", "hint": ""})


SpanField = Annotated[Span, BeforeValidator(_span)]


class Schedule(Kind):
    """Every schedule takes ``warmup: n``: the first n steps are multiplied by ``(t + 1) / n``, and t then counts from there."""

    registry: ClassVar[dict[str, type[Any]]] = {}
    warmup: SpanField = Span(0.0)

    def rate(self, step: int, base: float, per_epoch: int, total: int) -> float:
        """The learning rate of step ``step``, counted from 0, in a run of ``total`` steps."""
        warm = self.warmup.steps(per_epoch)
        if step < warm:
            return base * (step + 1) / warm
        return self.at(step - warm, base, per_epoch, max(1, total - warm))

    @abstractmethod
    def at(self, t: int, base: float, per_epoch: int, total: int) -> float:
        """The rate t steps after the warmup."""


class Constant(Schedule, kind="constant"):
    """The optimizer's rate throughout."""

    def at(self, t: int, base: float, per_epoch: int, total: int) -> float:
        return base


class Step(Schedule, kind="step"):
    """``rate * factor ^ floor(t / every)``."""

    every: SpanField
    factor: Positive = 0.1

    def at(self, t: int, base: float, per_epoch: int, total: int) -> float:
        return float(base * self.factor ** (t // max(1, self.every.steps(per_epoch))))


class Cosine(Schedule, kind="cosine"):
    """``minimum + (rate - minimum) (1 + cos(pi t / length)) / 2``; ``length`` is the run's; past it the rate stays at the minimum."""

    length: SpanField | None = None
    minimum: NotNegative = 0.0

    def at(self, t: int, base: float, per_epoch: int, total: int) -> float:
        length = max(1, self.length.steps(per_epoch) if self.length else total)
        return self.minimum + (base - self.minimum) * 0.5 * (1.0 + math.cos(math.pi * min(t, length) / length))
