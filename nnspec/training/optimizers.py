"""The rules by which parameters move: one class each. ``rate`` is the learning rate of the step, ``t`` its number from 1."""

from math import expm1, log
from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value, constant
from nnspec.ops.elementwise import absolute, cast, exp, maximum, raise_, sign, sqrt, square
from nnspec.ops.elementwise import expm1 as expm1_
from nnspec.ops.reduce import sum_
from nnspec.spec.model import Fraction, NotNegative, Positive
from nnspec.training.optimizer import Decay, Optimizer, Slots, Updated, WeightDecay, as_step
from nnspec.training.reach import ADDED, GRADIENT, KEPT, below, bits, can

__all__ = ["Optimizer", "WeightDecay", "as_step"]


class Sgd(Optimizer, kind="sgd", primary="learning_rate"):
    """``v = momentum v + g;  p = p - rate v``, with ``nesterov``: ``p = p - rate (g + momentum v)``. Rate 0.01, momentum 0.

    v starts with the first gradient, as PyTorch's. Source: Robbins and Monro, 1951; Polyak, 1964; Sutskever et al., 2013.
    """

    learning_rate: NotNegative = 1e-2
    momentum: Fraction = 0.0
    nesterov: bool = False
    divides: ClassVar[bool] = False

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

    def shows(self, g: Value, rate: Value, t: Value) -> tuple[Value, ...] | None:
        """``|v| <= 2^(n + 1) / (1 - momentum)`` where every ``|g| < 2^n``."""
        lr, n = cast(rate, g.dtype), GRADIENT[g.dtype]
        if not self.momentum:
            return (below(g * lr, ADDED[g.dtype]),)
        moved = ADDED[g.dtype] - (n + 2 + bits(1.0 / (1.0 - self.momentum)))
        return (below(g, n), below(lr, moved)) if 1.0 - self.momentum > KEPT and can(g.dtype, moved) else None


class Moments(Optimizer):
    """What keeps the mean of gradients and of their squares: ``m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2``."""

    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-7
    slots = ("first", "second")

    def moments(self, g: Value, slots: Slots) -> tuple[Value, Value]:
        return slots["first"] * self.beta1 + g * (1.0 - self.beta1), slots["second"] * self.beta2 + square(g) * (1.0 - self.beta2)

    def shows(self, g: Value, rate: Value, t: Value) -> tuple[Value, ...] | None:
        """``|m| <= 2^(n + 1)`` and ``v <= 4^(n + 1)`` where every ``|g| < 2^n``; a quotient is at most by epsilon."""
        n = GRADIENT[g.dtype]
        moved = ADDED[g.dtype] - (n + 2 + _inverse(self.epsilon))
        forgets = min(1.0 - self.beta1, 1.0 - self.beta2) > KEPT
        return (below(g, n), *(below(x, moved) for x in self.factors(g, rate, t))) if forgets and can(g.dtype, moved) else None

    def factors(self, g: Value, rate: Value, t: Value) -> tuple[Value, ...]:
        """What ``m`` or ``g`` is multiplied by, and what ``sqrt(v)`` is."""
        return cast(rate / (1.0 - raise_(self.beta1, t)), g.dtype), cast(1.0 / sqrt(1.0 - raise_(self.beta2, t)), g.dtype)


class Adam(Moments, kind="adam", primary="learning_rate"):
    """``m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p = p - rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)``.

    With ``amsgrad`` the largest ``v`` so far takes the place of ``v`` there. Rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-7.
    Source: Kingma and Ba, 2014; Reddi, Kale and Kumar, 2018.
    """

    amsgrad: bool = False

    @property
    def state(self) -> tuple[str, ...]:
        return (*self.slots, "largest") if self.amsgrad else self.slots

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        m, v = self.moments(g, slots)
        new = {"first": m, "second": v}
        if self.amsgrad:
            new["largest"] = v = maximum(slots["largest"], v)
        size, root = self.factors(g, rate, t)
        return p - m * size / (sqrt(v) * root + self.epsilon), new


class AdamW(Adam, kind="adamw", primary="learning_rate"):
    """Adam with the weight decay decoupled: ``p = p (1 - rate * weight_decay)`` before Adam's step. Decay 0.004.

    Source: Loshchilov and Hutter, 2017.
    """

    weight_decay: Decay = WeightDecay(rate=0.004)
    decoupled = True


class AdaMax(Moments, kind="adamax", primary="learning_rate"):
    """``m = b1 m + (1 - b1) g;  u = max(b2 u, |g| + epsilon);  p = p - rate / (1 - b1^t) * m / u``.

    Rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-7. Source: Kingma and Ba, 2014, section 7.
    """

    slots = ("first", "largest")

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        m = slots["first"] * self.beta1 + g * (1.0 - self.beta1)
        u = maximum(slots["largest"] * self.beta2, absolute(g) + self.epsilon)
        return p - m * cast(rate / (1.0 - raise_(self.beta1, t)), p.dtype) / u, {"first": m, "largest": u}


class Nadam(Moments, kind="nadam", primary="learning_rate"):
    """Adam with Nesterov's momentum: ``p = p - rate (c m + d g) / (sqrt(v / (1 - b2^t)) + epsilon)``.

    ``mu(t) = b1 (1 - 0.96^(t * momentum_decay) / 2)``, ``P(t) = mu(1) ... mu(t)``, ``c = mu(t + 1) / (1 - P(t + 1))``,
    ``d = (1 - mu(t)) / (1 - P(t))``. Rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-7, momentum_decay 0.004. Source: Dozat, 2016.
    """

    momentum_decay: Annotated[float, Field(ge=0, le=1)] = 0.004

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        m, v = self.moments(g, slots)
        ahead, here, root = self.factors(g, rate, t)
        return p - (m * ahead + g * here) / (sqrt(v) * root + self.epsilon), {"first": m, "second": v}

    def factors(self, g: Value, rate: Value, t: Value) -> tuple[Value, ...]:
        """``c`` and ``d``, each times the rate, and that of ``sqrt(v)``."""
        now, following = self._momentum(t), self._momentum(t + 1.0)
        product = self._product(t)
        ahead = cast(rate * following / (1.0 - product * following), g.dtype)
        here = cast(rate * (1.0 - now) / (1.0 - product), g.dtype)
        return ahead, here, cast(1.0 / sqrt(1.0 - raise_(self.beta2, t)), g.dtype)

    def _momentum(self, t: Value) -> Value:
        return (1.0 - raise_(0.96**self.momentum_decay, t) * 0.5) * self.beta1

    def _product(self, t: Value) -> Value:
        """``mu(1) ... mu(t)`` from t alone, so that nothing has to be kept.

        ``log(1 - q^i / 2) = -sum_k q^(ik) / (k 2^k)``, and the sum over i from 1 to t is that of a geometric series.
        """
        a = -self.momentum_decay * log(0.96)  # q = exp(-a)
        if a == 0.0:
            return raise_(self.beta1 / 2.0, t)
        terms = range(1, 57)  # 2^-57 is nothing beside 1
        each = constant([k * a for k in terms], t.dtype)
        weight = constant([0.5**k / k / expm1(k * a) for k in terms], t.dtype)
        return raise_(self.beta1, t) * exp(sum_(expm1_(each * -t) * weight))


class RmsProp(Optimizer, kind="rmsprop", primary="learning_rate"):
    """``v = rho v + (1 - rho) g^2;  p = p - rate g / (sqrt(v) + epsilon)``.

    ``centered`` takes ``v - a^2`` in place of ``v`` (at least 0), with ``a = rho a + (1 - rho) g``; ``momentum``:
    ``b = momentum b + g / (sqrt(v) + epsilon);  p = p - rate b``. Rate 1e-3, rho 0.9, epsilon 1e-7, momentum 0.
    PyTorch's alpha is rho. Source: Hinton, lecture 6e, 2012; Graves, 2013.
    """

    rho: Fraction = 0.9
    epsilon: Positive = 1e-7
    momentum: Fraction = 0.0
    centered: bool = False

    @property
    def state(self) -> tuple[str, ...]:
        return ("second", *(("mean",) if self.centered else ()), *(("momentum",) if self.momentum else ()))

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        v = slots["second"] * self.rho + square(g) * (1.0 - self.rho)
        new = {"second": v}
        if self.centered:
            new["mean"] = a = slots["mean"] * self.rho + g * (1.0 - self.rho)
            v = maximum(v - square(a), 0.0)  # rounding alone can make it less
        move = g / (sqrt(v) + self.epsilon)
        if self.momentum:
            new["momentum"] = move = slots["momentum"] * self.momentum + move
        return p - move * cast(rate, p.dtype), new

    def shows(self, g: Value, rate: Value, t: Value) -> tuple[Value, ...] | None:
        """As for Adam; ``|b| <= 2^(n + 1) / (epsilon (1 - momentum))``."""
        n = GRADIENT[g.dtype]
        moved = ADDED[g.dtype] - (n + 2 + _inverse(self.epsilon) + bits(1.0 / (1.0 - self.momentum)))
        forgets = min(1.0 - self.rho, 1.0 - self.momentum) > KEPT
        return (below(g, n), below(cast(rate, g.dtype), moved)) if forgets and can(g.dtype, moved) else None


class Adagrad(Optimizer, kind="adagrad", primary="learning_rate"):
    """``s = s + g^2;  p = p - rate g / (sqrt(s) + epsilon)``, s from 0. Rate 1e-3, epsilon 1e-7.

    Source: Duchi, Hazan and Singer, 2011.
    """

    epsilon: Positive = 1e-7
    slots = ("sum",)

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        s = slots["sum"] + square(g)
        return p - g * cast(rate, p.dtype) / (sqrt(s) + self.epsilon), {"sum": s}

    def shows(self, g: Value, rate: Value, t: Value) -> tuple[Value, ...] | None:
        """A square is less than what makes a finite sum infinite."""
        n = ADDED[g.dtype] // 2
        moved = ADDED[g.dtype] - (n + 1 + _inverse(self.epsilon))
        return (below(g, n), below(cast(rate, g.dtype), moved)) if can(g.dtype, moved) else None


class Adadelta(Optimizer, kind="adadelta", primary="learning_rate"):
    """``v = rho v + (1 - rho) g^2;  d = sqrt(u + epsilon) / sqrt(v + epsilon) g;  u = rho u + (1 - rho) d^2;  p = p - rate d``.

    Rate 1e-3, rho 0.95, epsilon 1e-7; the paper's rate is 1. Source: Zeiler, 2012.
    """

    rho: Fraction = 0.95
    epsilon: Positive = 1e-7
    slots = ("second", "moves")

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        v = slots["second"] * self.rho + square(g) * (1.0 - self.rho)
        d = sqrt(slots["moves"] + self.epsilon) / sqrt(v + self.epsilon) * g
        return p - d * cast(rate, p.dtype), {"second": v, "moves": slots["moves"] * self.rho + square(d) * (1.0 - self.rho)}


class Lion(Optimizer, kind="lion", primary="learning_rate"):
    """``p = p - rate (sign(b1 m + (1 - b1) g) + weight_decay p);  m = b2 m + (1 - b2) g``.

    The weight decay is decoupled, as in the paper. Rate 1e-3, beta1 0.9, beta2 0.99. Source: Chen et al., 2023, algorithm 2.
    """

    beta1: Fraction = 0.9
    beta2: Fraction = 0.99
    slots = ("momentum",)
    decoupled = True

    def update(self, p: Value, g: Value, slots: Slots, rate: Value, t: Value) -> Updated:
        m = slots["momentum"]
        return p - sign(m * self.beta1 + g * (1.0 - self.beta1)) * cast(rate, p.dtype), {"momentum": m * self.beta2 + g * (1.0 - self.beta2)}

    def shows(self, g: Value, rate: Value, t: Value) -> tuple[Value, ...] | None:
        """A parameter moves by the rate."""
        forgets = min(1.0 - self.beta1, 1.0 - self.beta2) > KEPT
        return (below(g, GRADIENT[g.dtype]), below(cast(rate, g.dtype), ADDED[g.dtype])) if forgets else None


def _inverse(epsilon: float) -> int:
    """The exponent of the largest quotient of 1 by what is at least epsilon."""
    return bits(max(1.0, 2.0 / epsilon))
