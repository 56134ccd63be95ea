"""An op is declared once: shape rule, gradient, NumPy reference, cost, ONNX name and samples, in one class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, dataclass_transform

import numpy as np
from numpy.typing import NDArray

from nnspec.ir.types import Shape, TensorType, count
from nnspec.records import dataclass, field

if TYPE_CHECKING:
    from nnspec.ir.graph import Value

Array: TypeAlias = NDArray[Any]
Gradients: TypeAlias = "tuple[Value | None, ...]"


class ShapeError(Exception):
    """Inputs do not fit an op; ``network`` turns it into an error with layers and lines."""

    def __init__(self, message: str, found: str = "", wanted: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.found, self.wanted, self.hint = message, found, wanted, hint


@dataclass(frozen=True)
class Sample:
    """Inputs an op is tried on: shapes, or arrays where values matter; ``least`` and ``most`` bound random values.

    Into inputs whose positions are in ``fixed`` no gradient flows, though they are floats.
    """

    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    least: float = -2.0
    most: float = 2.0
    differentiable: bool = True
    tolerance: float = 1e-6
    fixed: tuple[int, ...] = ()


def case(*inputs: Any, least: float = -2.0, most: float = 2.0, differentiable: bool = True, tolerance: float = 1e-6,
         fixed: tuple[int, ...] = (), **attributes: Any) -> Sample:
    """A sample: ``case((2, 5), axis=1)``."""
    return Sample(inputs, attributes, least, most, differentiable, tolerance, fixed)


REGISTRY: dict[str, type[Op]] = {}


class REQUIRED:
    """Stands for a field without a default."""


@dataclass_transform(frozen_default=True)
class Op:
    """An operation on values. Subclasses declare attributes as fields, as a frozen dataclass would.

    They are not dataclasses: those compile their methods anew for each class, a tenth of the time of ``nnspec check``.
    """

    onnx: ClassVar[str | None] = None
    samples: ClassVar[tuple[Sample, ...]] = ()
    elementwise: ClassVar[bool] = False  # output element i depends on input elements i alone, after broadcasting
    view: ClassVar[bool] = False  # the output is the input's memory seen otherwise
    random: ClassVar[bool] = False  # never merged with an equal call
    mixes_rows: ClassVar[bool] = False  # a row of the output depends on other rows: a barrier for shards
    auxiliary: ClassVar[int] = 0  # how many of the last outputs only serve the gradient
    way: ClassVar[str] = ""  # how a backend goes about this use, where a tune file says so: ``op.but(way="direct")``

    _defaults: ClassVar[Mapping[str, Any]] = {}  # by field, in order

    def __init_subclass__(cls, abstract: bool = False, **_: Any) -> None:
        declared = vars(cls).get("__annotations__", {})
        own = {name: vars(cls).get(name, REQUIRED) for name, text in declared.items() if not text.startswith("ClassVar")}
        cls._defaults = {**cls._defaults, **own}
        type.__setattr__(cls, "__match_args__", tuple(cls._defaults))
        if not abstract:
            REGISTRY[cls.__name__] = cls

    def __init__(self, *values: Any, **named: Any) -> None:
        given = {**dict(zip(self._defaults, values, strict=False)), **named}
        own = {name: given.get(name, default) for name, default in self._defaults.items()}
        if any(v is REQUIRED for v in own.values()) or len(given) < len(values) + len(named) or given.keys() - own.keys():
            raise TypeError(f"{self.name} takes {', '.join(self._defaults) or 'no attributes'}; it was given {values} and {named}")
        self.__dict__.update(own)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self.name} does not change")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def but(self, **changes: Any) -> Self:
        """The same op with some attributes otherwise."""
        own = {**self.__dict__, **changes}
        way = own.pop("way", "")
        made = type(self)(**own)
        if way:
            made.__dict__["way"] = way
        return made

    def usual(self) -> Mapping[str, Any]:
        """The attributes that have defaults, with these."""
        return {name: value for name, value in self._defaults.items() if value is not REQUIRED}

    @abstractmethod
    def infer(self, *x: TensorType) -> TensorType | tuple[TensorType, ...]:
        """The outputs' types; raises ShapeError."""

    @abstractmethod
    def reference(self, *x: Array) -> Any:
        """The outputs, by plain NumPy; never writes into its inputs."""

    def grad(self, g: Any, y: Any, *x: Value) -> Gradients:
        """d loss / d inputs from ``g`` = d loss / d outputs, in the graph's own ops; None where nothing flows.

        ``g`` and ``y`` are one value, or tuples for an op of several outputs (``g`` with None where unused).
        """
        raise TypeError(f"{self.name} has no gradient")

    def flops(self, *x: TensorType) -> int:
        """Floating point operations; by default one an element of the output."""
        return sum(count(t.shape) for t in self.types(*x))

    @property
    def name(self) -> str:
        return type(self).__name__

    def types(self, *x: TensorType) -> tuple[TensorType, ...]:
        out = self.infer(*x)
        return out if isinstance(out, tuple) else (out,)

    def attributes(self) -> Iterator[tuple[str, Any]]:
        yield from self.__dict__.items()

    def __call__(self, *inputs: Value) -> Any:
        """The output value, or a tuple of them."""
        from nnspec.ir.graph import call

        outputs = call(self, inputs).outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def one(self, *inputs: Value) -> Value:
        """The output value of an op that has one output."""
        from nnspec.ir.graph import call

        (output,) = call(self, inputs).outputs
        return output

    def __repr__(self) -> str:
        text = ", ".join(f"{k}={v!r}" for k, v in self.attributes())
        return f"{self.name}({text})" if text else self.name


class Composite(Op, abstract=True):
    """An op built from other ops; it stays one call until a backend claims it or it is expanded."""

    @abstractmethod
    def build(self, *x: Value) -> Any:
        """The output, or a tuple of them, from other ops."""

    def infer(self, *x: TensorType) -> TensorType | tuple[TensorType, ...]:
        from nnspec.ir.graph import abstract

        out = self.build(*(abstract(t) for t in x))
        return tuple(v.type for v in out) if isinstance(out, tuple) else out.type

    def reference(self, *x: Array) -> Any:
        from nnspec.ir.interpret import run_composite

        return run_composite(self, x)

    def flops(self, *x: TensorType) -> int:
        from nnspec.ir.graph import abstract, calls_of

        inputs = [abstract(t) for t in x]
        out = self.build(*inputs)
        outputs = out if isinstance(out, tuple) else (out,)
        return sum(c.op.flops(*(v.type for v in c.inputs)) for c in calls_of(outputs))


class Input(Op):
    """A value that comes from outside: data, a parameter, state, or a scalar of the step."""

    label: str
    type: TensorType
    role: str = "data"

    def infer(self, *x: TensorType) -> TensorType:
        return self.type

    def reference(self, *x: Array) -> Array:
        raise KeyError(self.label)

    def flops(self, *x: TensorType) -> int:
        return 0


class Constant(Op):
    """A value known when compiled."""

    data: Array

    def infer(self, *x: TensorType) -> TensorType:
        from nnspec.ir.types import DType

        return TensorType(tuple(self.data.shape), DType(self.data.dtype.name))

    def reference(self, *x: Array) -> Array:
        return self.data

    def flops(self, *x: TensorType) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Shape, str, bytes]:
        return self.data.shape, self.data.dtype.str, np.ascontiguousarray(self.data).tobytes()
