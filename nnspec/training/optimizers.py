"""How parameters move: from a segment of parameters and one of gradients to the new segment, as graph.

Arithmetic is PyTorch's, names and defaults are Keras's; ``t`` counts steps from 1.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value
from nnspec.ir.types import DType
from nnspec.ops.elementwise import cast, greater, less, raise_, sqrt, square, where
from nnspec.ops.reduce import sum_
from nnspec.spec.model import Config, Fraction, Kind, NotNegative, Positive

KERNELS = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel", "embedding", "parameter")


class WeightDecay(Config):
    """``rate`` times the parameter, added to its gradient (decoupled in adamw); ``only: kernels`` leaves biases and norms."""

    rate: NotNegative
    only: Literal["kernels"] | None = None


def _decay(value: Any) -> Any:
    return {"rate": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Decay = Annotated[WeightDecay, BeforeValidator(_decay)]
Slots = Mapping[str, Value]
Updated = tuple[Value, dict[str, Value]]


class Optimizer(Kind):
    """``learning_rate``, ``weight_decay``, ``clip_norm`` (of all gradients together), ``clip_value``."""

    registry: ClassVar[dict[str, type[Any]]] = {}
    slots: ClassVar[tuple[str, ...]] = ()
    decoupled: ClassVar[bool] = False

    learning_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    weight_decay: Decay = WeightDecay(rate=0.0)
    clip_norm: Positive | None = None
    clip_value: Positive | None = None

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

    @abstractmethod
    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        """One step of the rule itself."""


class Sgd(Optimizer, kind="sgd", primary="learning_rate"):
    """``v = momentum v + g;  p = p - rate v``, with ``nesterov``: ``p = p - rate (g + momentum v)``. Rate 0.01, momentum 0."""

    learning_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-2
    momentum: Fraction = 0.0
    nesterov: bool = False

    @field_validator("nesterov")
    @classmethod
    def _moves(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise PydanticCustomError("nnspec", "{message}", {
                "message": "'nesterov' does nothing without momentum", "found": "momentum 0", "wanted": "momentum: 0.9", "hint": ""})
        return nesterov

    @property
    def state(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        lr = cast(rate, p.dtype)
        if not self.momentum:
            return p - g * lr, {}
        v = slots["momentum"] * self.momentum + g
        return p - (g + v * self.momentum if self.nesterov else v) * lr, {"momentum": v}


class Adam(Optimizer, kind="adam", primary="learning_rate"):
    """``m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)``.

    Rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-7. Source: Kingma and Ba, 2014.
    """

    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-7
    slots = ("first", "second")

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        m = slots["first"] * self.beta1 + g * (1.0 - self.beta1)
        v = slots["second"] * self.beta2 + square(g) * (1.0 - self.beta2)
        size = cast(rate / (1.0 - raise_(self.beta1, t)), p.dtype)
        root = cast(1.0 / sqrt(1.0 - raise_(self.beta2, t)), p.dtype)
        return p - m * size / (sqrt(v) * root + self.epsilon), {"first": m, "second": v}


class AdamW(Adam, kind="adamw", primary="learning_rate"):
    """Adam with the weight decay decoupled: ``p = p (1 - rate * weight_decay)`` before Adam's step. Decay 0.004.

    Source: Loshchilov and Hutter, 2017.
    """

    weight_decay: Decay = WeightDecay(rate=0.004)
    decoupled = True


def as_step(step: Value) -> Value:
    """``t``, counted from 1, in float64."""
    return cast(step, DType.float64) + 1.0
