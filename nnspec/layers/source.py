"""Entries that take no input: learned tensors, constants, and random numbers in training and inference."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, Shape
from nnspec.layers.axes import listed
from nnspec.layers.layer import Built, Entry, Merge, Mode, Param, Values
from nnspec.layers.merge import align
from nnspec.ops.elementwise import broadcast, cast, exp, less
from nnspec.ops.random import draw_normal, draw_uniform
from nnspec.spec.model import Count, NotNegative, Number

Lengths = Annotated[tuple[Count, ...], BeforeValidator(listed)]
MOST_NUMBERS = 1_000_000


def kind_of(dtype: str, mode: Mode) -> DType:
    """The element type of a name; float32 stands for the spec's precision, as it does for inputs."""
    return mode.dtype if dtype == "float32" else DType(dtype)


def numbers(value: Any, endless: bool = False) -> Any:
    """Numbers in lists of one length each, infinity among them or not, or an error that says what else there is."""
    try:
        held = np.asarray(value)
    except ValueError:
        held = np.asarray(None)
    whole = held.dtype.kind in "bif" and (not np.isnan(held).any() if endless else bool(np.isfinite(held).all()))
    if not whole or held.size > MOST_NUMBERS or held.size == 0:
        found = str(value) if len(str(value)) <= 60 else str(value)[:57] + "…"
        raise PydanticCustomError("nnspec", "{message}", {"message": "the numbers do not fit", "found": found,
                                                          "wanted": "a number, or lists of numbers, each of one length", "hint": ""})
    return value


def held(value: Any, dtype: DType) -> Value:
    """Numbers as a constant of an element type that can hold them; raises ShapeError."""
    found = np.asarray(value, np.float64)
    largest = 1.0 if dtype == DType.bool else float(np.finfo(dtype.value).max) if dtype.is_float else float(np.iinfo(dtype.value).max)
    limited = np.where(np.isinf(found), 0, found) if dtype.is_float else found
    worst = float(limited.reshape(-1)[np.abs(limited).argmax()])
    if abs(worst) > largest or (dtype == DType.bool and found.min() < 0):
        raise ShapeError(f"a number does not fit into {dtype}", f"{worst:g}", "0 or 1" if dtype == DType.bool else f"at most {largest:.3g}")
    if not dtype.is_float and (found != np.round(found)).any():
        raise ShapeError(f"a fraction does not fit into {dtype}", f"{found.reshape(-1)[(found != np.round(found)).argmax()]:g}", "whole numbers")
    return constant(value, dtype)


class Source(Entry):
    """An entry without inputs."""

    inputs = (0, 0)

    def parameters(self, x: tuple[Value, ...]) -> Iterable[Param]:
        return ()


class Parameter(Source, kind="parameter", primary="shape"):
    """A learned tensor of ``shape``: a class token, queries, a scale. It has no rows, and broadcasts over those of others.

    ``init: normal`` (a number, or the numbers themselves) says what it starts with; else glorot_uniform, as Keras' add_weight.
    Joined to a sequence by ``concat`` it stands in every row. ``name.value`` is the same tensor.
    No input; the output is ``shape``, without rows.
    """

    batched = False
    shape: Lengths

    def parameters(self, x: tuple[Value, ...]) -> Iterable[Param]:
        yield Param("value", self.shape, init="glorot_uniform")

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        return Built(p.value)


class Constant(Source, kind="constant", primary="value"):
    """A number, or lists of numbers; it has no rows, and broadcasts over those of others. ``.inf`` and ``-.inf`` are floats, too.

    ``dtype`` is float32 (the spec's precision), int32, int64 or bool.
    No input; the output has the lists' shape, ``[[1, 2], [3, 4.5]]`` is ``(2, 2)``. A fraction as a whole number is an error.
    """

    batched = False
    value: Annotated[Any, BeforeValidator(lambda value: numbers(value, endless=True))]
    dtype: Literal["float32", "int32", "int64", "bool"] = "float32"

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        return Built(held(self.value, kind_of(self.dtype, mode)))


class Random(Source):
    """Numbers of ``shape`` for each row, in training and in inference, that depend on (seed, layer, step, row, element) alone."""

    shape: Lengths
    distribution: ClassVar[str] = ""

    @abstractmethod
    def draw(self, shape: Shape, name: str, mode: Mode) -> Value:
        """The numbers."""

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        return Built(self.draw((mode.batch, *self.shape), f"{mode.path}:{self.kind}", mode))


class Normal(Random, kind="normal", primary="shape"):
    """Normal numbers of ``mean`` 0 and ``deviation`` 1 for each row, new ones each step, in inference too.

    They depend on (seed, layer, step, row, element) alone.
    No input; the output is ``shape``, for each row.
    """

    mean: Number = 0.0
    deviation: NotNegative = 1.0

    def draw(self, shape: Shape, name: str, mode: Mode) -> Value:
        assert mode.seed is not None and mode.step is not None
        z = draw_normal(shape, mode.dtype, name, mode.seed, mode.step)
        return z * held(self.deviation, mode.dtype) + held(self.mean, mode.dtype)


class Uniform(Random, kind="uniform", primary="shape"):
    """Numbers evenly from ``minimum`` 0 up to ``maximum`` 1 for each row, new ones each step, in inference too.

    They depend on (seed, layer, step, row, element) alone.
    ``minimum + (maximum - minimum) * u``. No input; the output is ``shape``, for each row.
    """

    minimum: Number = 0.0
    maximum: Number = 1.0

    def draw(self, shape: Shape, name: str, mode: Mode) -> Value:
        assert mode.seed is not None and mode.step is not None
        if self.minimum >= self.maximum:
            raise ShapeError("uniform needs a minimum below its maximum", f"{self.minimum:g} and {self.maximum:g}", "minimum < maximum")
        u = draw_uniform(shape, mode.dtype, name, mode.seed, mode.step)
        return u * held(self.maximum - self.minimum, mode.dtype) + held(self.minimum, mode.dtype)


class Bernoulli(Random, kind="bernoulli", primary="shape"):
    """1 with ``probability`` 0.5, else 0, for each row, new ones each step, in inference too.

    They depend on (seed, layer, step, row, element) alone.
    No input; the output is ``shape``, for each row.
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5

    def draw(self, shape: Shape, name: str, mode: Mode) -> Value:
        assert mode.seed is not None and mode.step is not None
        return cast(less(draw_uniform(shape, mode.dtype, name, mode.seed, mode.step), self.probability), mode.dtype)


class SampleNormal(Merge, kind="sample_normal"):
    """``mean + exp(log_variance / 2) * z`` from two inputs, z being normal: gradients flow into both, in inference too.

    z depends on (seed, layer, step, row, element) alone. Source: Kingma and Welling, 2014.
    ``(…)`` and ``(…)`` of one shape give ``(…)``.
    """

    inputs = (2, 2)
    roles = ("mean", "log_variance")

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        assert mode.seed is not None and mode.step is not None
        mean, log_variance = align(x, mode)
        shape = broadcast(mean.shape, log_variance.shape)
        return mean + exp(log_variance * 0.5) * draw_normal(shape, mean.dtype, f"{mode.path}:sample_normal", mode.seed, mode.step)
