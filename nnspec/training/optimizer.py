"""What an optimizer is: from a segment of parameters and one of gradients to the new segment, as graph.

Arithmetic is PyTorch's, names and defaults are Keras's; ``t`` counts steps from 1.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from nnspec.ir.graph import Value, constant
from nnspec.ir.types import DType
from nnspec.ops.elementwise import cast, greater, less, sqrt, square, where
from nnspec.ops.reduce import sum_
from nnspec.spec.model import Config, Count, Kind, NotNegative, Positive
from nnspec.training.reach import below

KERNELS = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel", "embedding", "parameter")


class WeightDecay(Config):
    """``rate`` times the parameter, added to its gradient (decoupled in adamw and lion); ``only: kernels`` leaves biases and norms."""

    rate: NotNegative
    only: Literal["kernels"] | None = None


def _decay(value: Any) -> Any:
    return {"rate": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Decay = Annotated[WeightDecay, BeforeValidator(_decay)]
Slots = Mapping[str, Value]
Updated = tuple[Value, dict[str, Value]]


class Optimizer(Kind):
    """``learning_rate``, ``weight_decay``, ``clip_norm`` (of all gradients together), ``clip_value``, ``accumulate``, ``average``.

    ``accumulate: n`` takes a step over n batches of ``batch_size`` rows: their gradient is that of one batch of all their rows.
    ``average: 0.999`` keeps ``a = 0.999 a + 0.001 p`` after each step (after the first ``a = p``, so that there is no bias to
    correct); evaluation, predictions, the best checkpoint and what is saved are the averages.
    """

    registry: ClassVar[dict[str, type[Any]]] = {}
    slots: ClassVar[tuple[str, ...]] = ()
    decoupled: ClassVar[bool] = False
    divides: ClassVar[bool] = True  # by a gradient's size, so that a small one makes as large a step

    learning_rate: NotNegative = 1e-3
    weight_decay: Decay = WeightDecay(rate=0.0)
    clip_norm: Positive | None = None
    clip_value: Positive | None = None
    accumulate: Count = 1
    average: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def state(self) -> tuple[str, ...]:
        """The names of what it keeps for each parameter."""
        return self.slots

    def group(self, role: str) -> str:
        """The segment a parameter of this role belongs to: one group moves alike."""
        return "others" if self.weight_decay.only == "kernels" and role not in KERNELS else "parameters"

    def decay(self, group: str) -> float:
        return 0.0 if group == "others" else float(self.weight_decay.rate)

    def clipped(self, gradients: Mapping[str, Value]) -> dict[str, Value]:
        """Gradients by value, then by the norm of all together: scale ``min(1, c / (norm + 1e-6))``."""
        out = dict(gradients)
        if (c := self.clip_value) is not None:
            out = {k: where(greater(g, c), g * 0.0 + c, where(less(g, -c), g * 0.0 - c, g)) for k, g in out.items()}
        if (c := self.clip_norm) is not None:
            total: Value | None = None
            for g in out.values():
                part = sum_(square(g))
                total = part if total is None else total + part
            assert total is not None
            scale = c / (sqrt(total) + 1e-6)
            scale = where(less(scale, 1.0), scale, scale * 0.0 + 1.0)
            out = {k: g * scale for k, g in out.items()}
        return out

    def move(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value, group: str) -> Updated:
        """New parameters and slots; ``rate`` and ``t`` are float64 scalars."""
        if decay := self.decay(group):
            if self.decoupled:
                p = p * cast(1.0 - rate * decay, p.dtype)
            else:
                g = g + p * decay
        return self.update(p, g, slots, rate, t)

    def proof(self, p: Value, g: Value, rate: Value, t: Value, group: str) -> tuple[Value, ...] | None:
        """Values that are finite only where ``move`` makes finite numbers of such as it made before; None where that is not known."""
        decay = self.decay(group)
        shrinks: tuple[Value, ...] = ()
        if decay and self.decoupled:
            shrinks = (below(cast(rate * decay, p.dtype), 1),)  # then |1 - rate decay| <= 1
        elif decay:
            g = g + p * decay
        shown = self.shows(g, rate, t)
        return None if shown is None else (*shown, *shrinks)

    def shows(self, g: Value, rate: Value, t: Value) -> tuple[Value, ...] | None:
        """``proof`` of ``update``: that a parameter moves by less than ``reach.ADDED``, and that what is kept stays small."""
        return None

    def averages(self, a: Value, p: Value, t: Value) -> Value:
        """The averages after a step to ``p``: ``average a + (1 - average) p``, from the first step's ``p`` on."""
        assert self.average is not None
        keep = cast(where(less(t, 2.0), 0.0, constant(self.average, t.dtype)), a.dtype)
        return a * keep + p * (1.0 - keep)

    @abstractmethod
    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        """One step of the rule itself."""


def as_step(step: Value) -> Value:
    """``t``, counted from 1, in float64."""
    return cast(step, DType.float64) + 1.0
