"""What a schedule is: the learning rate at each step, a plain function of the step's number, worked out by the host."""

import re
from abc import abstractmethod
from math import inf
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from nnspec.records import dataclass
from nnspec.spec.model import Kind


@dataclass(frozen=True)
class Span:
    """A length: so many epochs, or so many steps."""

    amount: float
    unit: str = "epochs"

    def steps(self, per_epoch: int) -> int:
        return round(self.amount * per_epoch) if self.unit == "epochs" else round(self.amount)

    def __str__(self) -> str:
        return f"{self.amount:g}" if self.unit == "epochs" else f"{self.amount:g} steps"


def _span(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1e9:
        return Span(float(value))
    match = re.fullmatch(r"(\d{1,12}) (steps?|epochs?)", value) if isinstance(value, str) else None
    if match:
        return Span(float(match[1]), "steps" if match[2].startswith("step") else "epochs")
    raise PydanticCustomError("nnspec", "{message}", {"message": "a length does not fit", "found": repr(value)[:60],
                                                      "wanted": "epochs as a number, or '500 steps'", "hint": ""})


def _some(value: Any) -> Any:
    span = _span(value)
    if span.amount:
        return span
    raise PydanticCustomError("nnspec", "{message}", {"message": "a length does not fit", "found": "0", "wanted": "more than 0", "hint": ""})


SpanField = Annotated[Span, BeforeValidator(_span)]
LengthField = Annotated[Span, BeforeValidator(_some)]  # not 0


class Schedule(Kind):
    """Every schedule takes ``warmup: n``: the first n steps are multiplied by ``(t + 1) / n``, and t then counts from there."""

    registry: ClassVar[dict[str, type[Any]]] = {}
    warmup: SpanField = Span(0.0)

    def rate(self, step: int, base: float, per_epoch: int, total: int) -> float:
        """The learning rate of step ``step``, counted from 0, in a run of ``total`` steps."""
        warm = self.warmup.steps(per_epoch)
        if step < warm:
            return base * (step + 1) / warm
        try:
            return self.after(step - warm, base, per_epoch, max(1, total - warm))
        except OverflowError:
            return inf  # a factor above 1, after many steps: the step itself says that its numbers are not finite

    @property
    def open(self) -> bool:
        """Whether it lasts as long as the run, because no length is said."""
        return getattr(self, "length", Span(0.0)) is None

    @abstractmethod
    def after(self, t: int, base: float, per_epoch: int, total: int) -> float:
        """The rate t steps after the warmup."""


def part(length: Span | None, t: int, per_epoch: int, total: int) -> float:
    """How much of a length is over at t, from 0 to 1; by default the length is ``total``."""
    steps = max(1, length.steps(per_epoch) if length else total)
    return min(t, steps) / steps
