"""Every activation: a layer of its own, and a value of any ``activation:`` key.

An activation is one declaration here. Tests, the reference and the schema find it by themselves.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ValidationError
from pydantic_core import PydanticCustomError

from nnspec.errors import nearest, one_of
from nnspec.ir.graph import Value
from nnspec.layers.layer import Layer, Mode, Param, Values, fixed
from nnspec.ops import activation as named
from nnspec.ops import softmax as normalised
from nnspec.ops.elementwise import absolute, arctan, exp, expm1, greater, less, relu, sigmoid, square, step, tanh, where
from nnspec.spec.model import Number, Positive
from nnspec.spec.words import ours


class Activation(Layer):
    """``y = f(x)``, one element at a time unless it says otherwise."""

    activations: ClassVar[dict[str, type[Any]]] = {}
    family = "activation"

    def __init_subclass__(cls, kind: str = "", primary: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(kind=kind, primary=primary, **kwargs)
        if kind:
            cls.activations[kind] = cls

    @abstractmethod
    def f(self, x: Value) -> Value:
        """The function itself."""

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return self.f(x)

    def slopes(self, channels: int) -> Iterable[Param]:
        """What it learns, for an input whose last axis has that length."""
        return ()

    def params(self, x: Value) -> Iterable[Param]:
        return self.slopes(fixed(x.shape[-1], "the number of channels")) if type(self).slopes is not Activation.slopes else ()


class Identity(Activation, kind="identity"):
    """``x``.

    ``y = x``: the default of every ``activation`` key.
    """

    def f(self, x: Value) -> Value:
        return x


class Step(Activation, kind="step"):
    """1 where x > 0, else 0. No gradient flows through it; the loss ``perceptron`` learns from what went into it."""

    def f(self, x: Value) -> Value:
        return step(x)


class Sigmoid(Activation, kind="sigmoid"):
    """``1 / (1 + exp(-x))``.

    From 0 to 1; at 0 it is 1/2, with slope 1/4.
    """

    def f(self, x: Value) -> Value:
        return sigmoid(x)


class HardSigmoid(Activation, kind="hard_sigmoid"):
    """``min(max(x/6 + 1/2, 0), 1)``, as Keras and PyTorch; the gradient at either end is 0."""

    def f(self, x: Value) -> Value:
        return named.clip(x * (1.0 / 6.0) + 0.5, 0.0, 1.0)


class LogSigmoid(Activation, kind="log_sigmoid"):
    """``log(sigmoid(x))``.

    ``-log(1 + exp(-x))``, exact for large and small x.
    """

    def f(self, x: Value) -> Value:
        return -named.softplus(-x)


class Tanh(Activation, kind="tanh"):
    """The hyperbolic tangent.

    ``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``, from -1 to 1.
    """

    def f(self, x: Value) -> Value:
        return tanh(x)


class HardTanh(Activation, kind="hard_tanh"):
    """``min(max(x, -1), 1)``; the gradient at either end is 0."""

    def f(self, x: Value) -> Value:
        return named.clip(x, -1.0, 1.0)


class Arctan(Activation, kind="arctan"):
    """The angle in radians whose tangent is x.

    ``y = atan(x)``, from -pi/2 to pi/2.
    """

    def f(self, x: Value) -> Value:
        return arctan(x)


class Softsign(Activation, kind="softsign"):
    """``x / (1 + |x|)``.

    From -1 to 1.
    """

    def f(self, x: Value) -> Value:
        return x / (absolute(x) + 1.0)


class Relu(Activation, kind="relu"):
    """``max(x, 0)``; the gradient at 0 is 0.

    Source: Nair and Hinton, 2010.
    """

    def f(self, x: Value) -> Value:
        return relu(x)


class Relu6(Activation, kind="relu6"):
    """``min(max(x, 0), 6)``; the gradient at either end is 0.

    Source: Krizhevsky, 2010.
    """

    def f(self, x: Value) -> Value:
        return named.clip(x, 0.0, 6.0)


class SquaredRelu(Activation, kind="squared_relu"):
    """``max(x, 0)^2``. Source: So et al., "Primer", 2021."""

    def f(self, x: Value) -> Value:
        return square(relu(x))


class LeakyRelu(Activation, kind="leaky_relu", primary="slope"):
    """``x`` above 0, ``slope * x`` below; ``slope`` is 0.01.

    Source: Maas et al., 2013.
    """

    slope: Number = 0.01

    def f(self, x: Value) -> Value:
        return where(greater(x, 0.0), x, x * self.slope)


class PRelu(Activation, kind="prelu", primary="alpha"):
    """``x`` above 0, ``a * x`` below, with an ``a`` learned for each channel that starts at ``alpha`` = 0.25.

    ``shared: true`` learns one for all channels, as PyTorch does unless told how many there are. Source: He et al., 2015.
    """

    alpha: Number = 0.25
    shared: bool = False

    def slopes(self, channels: int) -> Iterable[Param]:
        yield Param("alpha", (1 if self.shared else channels,), init=self.alpha)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return where(greater(x, 0.0), x, x * p.alpha)

    def f(self, x: Value) -> Value:
        raise AssertionError("prelu is built with its alpha")


class Elu(Activation, kind="elu", primary="alpha"):
    """``x`` above 0, ``alpha (exp(x) - 1)`` below; ``alpha`` is 1. Source: Clevert et al., 2015."""

    alpha: Number = 1.0

    def f(self, x: Value) -> Value:
        return where(greater(x, 0.0), x, expm1(below(x)) * self.alpha)


class Celu(Activation, kind="celu", primary="alpha"):
    """``x`` above 0, ``alpha (exp(x / alpha) - 1)`` below; ``alpha`` is 1.

    Source: Barron, 2017.
    """

    alpha: Positive = 1.0

    def f(self, x: Value) -> Value:
        return where(greater(x, 0.0), x, expm1(below(x) / self.alpha) * self.alpha)


class Selu(Activation, kind="selu"):
    """``1.0507 x`` above 0, ``1.7581 (exp(x) - 1)`` below. Source: Klambauer et al., 2017."""

    def f(self, x: Value) -> Value:
        scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
        return where(greater(x, 0.0), x * scale, expm1(below(x)) * (scale * alpha))


class Gelu(Activation, kind="gelu", primary="approximate"):
    """``x/2 (1 + erf(x / sqrt 2))``; ``approximate: true`` is the tanh form. Source: Hendrycks and Gimpel, 2016."""

    approximate: bool = False

    def f(self, x: Value) -> Value:
        return named.gelu(x, self.approximate)


class Silu(Activation, kind="silu"):
    """``x sigmoid(x)``, also called swish.

    Source: Elfwing et al., 2017; Ramachandran et al., 2017.
    """

    def f(self, x: Value) -> Value:
        return x * sigmoid(x)


class HardSilu(Activation, kind="hard_silu"):
    """``x hard_sigmoid(x)``, also called hard swish.

    Source: Howard et al., "MobileNetV3", 2019.
    """

    def f(self, x: Value) -> Value:
        return x * named.clip(x * (1.0 / 6.0) + 0.5, 0.0, 1.0)


class Mish(Activation, kind="mish"):
    """``x tanh(softplus(x))``. Source: Misra, 2019."""

    def f(self, x: Value) -> Value:
        return x * tanh(named.softplus(x))


class Softplus(Activation, kind="softplus"):
    """``log(1 + exp(x))``.

    A smooth ``relu``, its gradient is ``sigmoid(x)``; exact for large x. Source: Dugas et al., 2001.
    """

    def f(self, x: Value) -> Value:
        return named.softplus(x)


class Exponential(Activation, kind="exponential"):
    """``exp(x)``."""

    def f(self, x: Value) -> Value:
        return exp(x)


class SoftShrink(Activation, kind="soft_shrink", primary="threshold"):
    """``x`` moved towards 0 by ``threshold`` = 0.5, and 0 within it."""

    threshold: Positive = 0.5

    def f(self, x: Value) -> Value:
        t = self.threshold
        return where(greater(x, t), x - t, where(less(x, -t), x + t, x * 0.0))


class HardShrink(Activation, kind="hard_shrink", primary="threshold"):
    """``x`` outside of ±``threshold`` = 0.5, 0 within."""

    threshold: Positive = 0.5

    def f(self, x: Value) -> Value:
        return where(greater(absolute(x), self.threshold), x, x * 0.0)


class TanhShrink(Activation, kind="tanh_shrink"):
    """``x - tanh(x)``."""

    def f(self, x: Value) -> Value:
        return x - tanh(x)


class Softmax(Activation, kind="softmax"):
    """``exp(x)`` scaled to sum to one along the last axis.

    ``exp(x_i) / sum over j of exp(x_j)``, ``(…, n)`` to ``(…, n)``; shifted by the largest, so that nothing overflows.
    """

    def f(self, x: Value) -> Value:
        return normalised.softmax(x)


class LogSoftmax(Activation, kind="log_softmax"):
    """``log(softmax(x))`` along the last axis.

    ``x_i - log(sum over j of exp(x_j))``, ``(…, n)`` to ``(…, n)``; exact where softmax underflows.
    """

    def f(self, x: Value) -> Value:
        return normalised.log_softmax(x)


def below(x: Value) -> Value:
    """``x`` where it is at most 0, else 0; the gradient at 0 is 1."""
    return where(greater(x, 0.0), x * 0.0, x)


def parse(value: Any) -> Any:
    """``name`` or ``{name: argument}`` or ``{name: {fields}}`` as an activation."""
    if isinstance(value, Activation):
        return value
    name, body = value, None
    if isinstance(value, dict) and len(value) == 1:
        ((name, body),) = value.items()
    if not isinstance(name, str):
        raise _wrong("an activation does not fit", repr(value)[:60], "a name, or {name: argument}", "")
    member = Activation.activations.get(name)
    if member is None:
        hint = ours(name, Activation.activations) or nearest(name, Activation.activations)
        raise _wrong(f"no activation is called '{name}'", "", "" if hint else one_of(Activation.activations), hint, Activation.activations)
    if body is not None and not isinstance(body, dict):
        if member.primary is None:
            raise _wrong(f"'{name}' takes no argument", repr(body)[:60], name, "")
        body = {member.primary: body}
    try:
        return member(**(body or {}))
    except (ValidationError, TypeError) as e:
        loc, text = _first(e)
        field = ".".join(map(str, loc))
        if field not in member.model_fields:
            raise _wrong(f"no key of '{name}' is called '{field}'", "", one_of(member.model_fields), nearest(field, member.model_fields)) from None
        raise _wrong(
            f"'{field}' of '{name}' does not fit",
            repr((body or {}).get(field))[:60],
            text.removeprefix("Input should be ").replace("a valid number", "a number"),
            "",
        ) from None


def _first(e: ValidationError | TypeError) -> tuple[tuple[int | str, ...], str]:
    if isinstance(e, TypeError):
        return (), str(e)
    first = e.errors(include_url=False)[0]
    return first["loc"], first["msg"]


def _wrong(message: str, found: str, wanted: str, hint: str, words: Iterable[str] = ()) -> PydanticCustomError:
    """``words`` are those of which one is wanted."""
    said = {"message": message, "found": found, "wanted": wanted, "hint": hint, "words": tuple(words)}
    return PydanticCustomError("nnspec", "{message}", said)


ActivationField = Annotated[Activation, BeforeValidator(parse)]
IDENTITY = Identity()


class Activate(Layer, kind="activation", primary="of"):
    """The activation that a value names: for a block whose argument says which.

    ``(…)`` to ``(…)``. Its parameters, if it has any (prelu), are this layer's.
    """

    mapping_primary: ClassVar[bool] = True
    of: ActivationField

    def params(self, x: Value) -> Iterable[Param]:
        return self.of.params(x)

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return self.of.build(x, p, mode)


class Activated(Layer):
    """A layer with an ``activation:`` key; its parameters stand beside the layer's own."""

    activation: ActivationField = IDENTITY

    def activate(self, y: Value, p: Values, mode: Mode) -> Value:
        return self.activation.build(y, p, mode)
