"""Values, the calls that make them, and graphs of them: immutable, built by calling ops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from itertools import count as counter
from typing import Any, NamedTuple

import numpy as np

from nnspec.ir.op import Constant, Input, Op, ShapeError
from nnspec.ir.types import DType, Shape, TensorType
from nnspec.records import dataclass


class Origin(NamedTuple):
    """Which layer a call belongs to, and in which part of the step."""

    layer: str = ""
    stage: str = "forward"


_NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)
_serial = counter()


@contextmanager
def origin(layer: str | None = None, stage: str | None = None) -> Iterator[None]:
    """Calls made inside carry this layer path and stage."""
    now = _origin.get()
    token = _origin.set(Origin(now.layer if layer is None else layer, now.stage if stage is None else stage))
    try:
        yield
    finally:
        _origin.reset(token)


class Call:
    """One use of an op; ``serial`` grows in the order of creation."""

    __slots__ = ("inputs", "op", "origin", "outputs", "serial")

    def __init__(self, op: Op, inputs: tuple[Value, ...], types: tuple[TensorType, ...], where: Origin) -> None:
        self.op, self.inputs, self.origin, self.serial = op, inputs, where, next(_serial)
        self.outputs = tuple(Value(self, i, t) for i, t in enumerate(types))

    def __repr__(self) -> str:
        return f"<{self.op} of {len(self.inputs)}>"


class Value:
    """One output of a call. ``match`` sees it as ``Value(op, inputs)``."""

    __slots__ = ("call", "index", "type")
    __match_args__ = ("op", "inputs")

    def __init__(self, call: Call, index: int, type: TensorType) -> None:
        self.call, self.index, self.type = call, index, type

    @property
    def op(self) -> Op:
        return self.call.op

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self.call.inputs

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def rank(self) -> int:
        return len(self.type.shape)

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.type}>"

    def __add__(self, other: Operand) -> Value:
        return _binary("Add", self, other)

    def __sub__(self, other: Operand) -> Value:
        return _binary("Subtract", self, other)

    def __mul__(self, other: Operand) -> Value:
        return _binary("Multiply", self, other)

    def __truediv__(self, other: Operand) -> Value:
        return _binary("Divide", self, other)

    def __radd__(self, other: Operand) -> Value:
        return _binary("Add", other, self)

    def __rsub__(self, other: Operand) -> Value:
        return _binary("Subtract", other, self)

    def __rmul__(self, other: Operand) -> Value:
        return _binary("Multiply", other, self)

    def __rtruediv__(self, other: Operand) -> Value:
        return _binary("Divide", other, self)

    def __neg__(self) -> Value:
        return OPERATORS["Negative"](self)

    def __matmul__(self, other: Value) -> Value:
        return OPERATORS["MatMul"](self, other)


Operand = Value | float | int
OPERATORS: dict[str, Callable[..., Value]] = {}  # filled by ``ops`` as it is imported, so that ``x + y`` works


def _binary(name: str, a: Operand, b: Operand) -> Value:
    like = a if isinstance(a, Value) else b
    assert isinstance(like, Value)
    return OPERATORS[name](as_value(a, like), as_value(b, like))


def as_value(x: Operand, like: Value) -> Value:
    """A number as a constant of ``like``'s dtype; a value as it is. A fraction is no whole number."""
    if isinstance(x, Value):
        return x
    if isinstance(x, float) and not x.is_integer() and not like.dtype.is_float:
        raise ShapeError("floats are wanted", str(like.dtype), "float32", "cast: float32 comes first")
    return constant(x, like.dtype)


def constant(x: Any, dtype: DType) -> Value:
    """A constant value; raises ShapeError for a number that is too large for its dtype."""
    with np.errstate(over="ignore"):
        values = np.asarray(x, dtype=dtype.numpy)
    if dtype.is_float and not np.isfinite(values).all() and np.isfinite(x).all():
        raise ShapeError(f"a number does not fit into {dtype}", f"{np.abs(x).max():g}", f"at most {dtype.largest:.3g}")
    return call(Constant(values), ()).outputs[0]


def abstract(type: TensorType, label: str = "x", role: str = "data") -> Value:
    """A value of which only the type is known: an input."""
    return call(Input(label, type, role), ()).outputs[0]


def call(op: Op, inputs: tuple[Value, ...]) -> Call:
    """``op`` applied to ``inputs`` at the present origin."""
    return Call(op, inputs, op.types(*(v.type for v in inputs)), _origin.get())


def recall(like: Call, inputs: tuple[Value, ...], op: Op | None = None) -> Call:
    """The call ``like`` again on other inputs, with its origin."""
    if op is None and inputs == like.inputs:
        return like
    op = op or like.op
    return Call(op, inputs, op.types(*(v.type for v in inputs)), like.origin)


def now() -> int:
    """A serial after those of all calls made so far, and before those of all to come."""
    return next(_serial)


def calls_of(outputs: Iterable[Value], since: int = 0) -> list[Call]:
    """All calls that ``outputs`` need, each after those it reads; creation order where free.

    ``since`` leaves out calls made before it, and what they alone need.
    """
    seen: set[Call] = set()
    stack = [v.call for v in outputs]
    while stack:
        c = stack.pop()
        if c not in seen and c.serial >= since:
            seen.add(c)
            stack.extend(v.call for v in c.inputs)
    ordered = sorted(seen, key=lambda c: c.serial)
    # A call is created after what it reads, so serial order is a topological order.
    return ordered


@dataclass(frozen=True, eq=False)
class Graph:
    """Named outputs and everything they need. ``inputs`` keeps the order in which they are asked for."""

    outputs: Mapping[str, Value]

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        return tuple(calls_of(self.outputs.values()))

    @cached_property
    def inputs(self) -> Mapping[str, Value]:
        return {c.op.label: c.outputs[0] for c in self.calls if isinstance(c.op, Input)}

    @cached_property
    def uses(self) -> Counter[Value]:
        """How often each value is read; outputs count as uses."""
        total: Counter[Value] = Counter(v for c in self.calls for v in c.inputs)
        total.update(self.outputs.values())
        return total

    @property
    def flops(self) -> int:
        return sum(c.op.flops(*(v.type for v in c.inputs)) for c in self.calls)
