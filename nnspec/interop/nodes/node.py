"""What a rule sees of a node of ONNX's: its inputs as values, its attributes, and what has to be known as the graph is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nnspec.interop.onnx_read import array_of, wrong
from nnspec.ir.graph import Value, constant
from nnspec.ir.interpret import evaluate
from nnspec.ir.op import Array, Constant
from nnspec.ir.types import DType, known

if TYPE_CHECKING:
    from onnx import NodeProto

DTYPES = {t.value: t for t in DType if not t.half}
LARGEST = 1 << 28  # elements of an array, so that a damaged length asks for no memory
MADE = 1 << 26  # elements of an array that a rule itself makes
LISTED = 1 << 16  # numbers of a shape, of axes or of bounds
CARRIED = {"float16": DType.float32, "bfloat16": DType.float32}  # computed in 32 bits; rounded by casts, and where they are answers


class NotImportedError(Exception):
    """A node that is not in scope; the message says why."""


class Node:
    """A node with its inputs as values: what a rule sees."""

    def __init__(self, proto: NodeProto, inputs: list[Value | None], fed: Mapping[Value, Array], name: str, opset: int) -> None:
        self.kind, self.count, self.opset = proto.op_type, len(proto.output), opset
        self.outputs = tuple(bool(o) for o in proto.output)
        self._inputs, self._fed, self._name = inputs, fed, name
        self._attributes = {a.name: a for a in proto.attribute}

    def has(self, i: int) -> bool:
        return i < len(self._inputs) and self._inputs[i] is not None

    def __getitem__(self, i: int) -> Value:
        value = self._inputs[i] if i < len(self._inputs) else None
        if value is None:
            raise NotImportedError(f"{self.kind} lacks its input {i}")
        return value

    @property
    def inputs(self) -> list[Value]:
        return [v for v in self._inputs if v is not None]

    def asks(self, i: int) -> bool:
        """Whether the node's output i has a name."""
        return i < len(self.outputs) and self.outputs[i]

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value; text as text, tensors as arrays."""
        from onnx import helper

        if name not in self._attributes:
            return default
        a = self._attributes[name]
        if a.HasField("t"):
            return array_of(a.t, self._name)
        found = helper.get_attribute_value(a)
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else list(found) if isinstance(a.ints, type(found)) else found

    def text(self, name: str, default: str, *known: str) -> str:
        """A word among those that the standard knows."""
        found = self.attribute(name, default)
        if found not in (default, *known):
            raise NotImportedError(f"{name} '{str(found)[:50]}'")
        return str(found)

    def number(self, i: int, name: str, default: float) -> float:
        """A scalar by an input, or by the attribute of older opsets."""
        return float(self.static(i).reshape(())) if self.has(i) else float(self.attribute(name, default))

    def static(self, i: int) -> Array:
        """An input that has to be known when the graph is made: axes, a shape, a bound."""
        value = self[i]
        if isinstance(value.op, Constant):
            return value.op.data
        if value in self._fed:
            return self._fed[value]
        raise NotImportedError(f"{self.kind} is given its input {i} only when it runs")

    def worked_out(self, value: Value) -> Array:
        """The numbers of a value that follows from what is known of the inputs: a length. Raises NotImportedError where they are given later."""
        if not all(isinstance(v.op, Constant) or v in self._fed for v in self.inputs):
            raise NotImportedError("how many there are follows from numbers that are given only when it runs")
        return evaluate([value], {v: self._fed[v] for v in self.inputs if v in self._fed})[value]

    def ints(self, i: int) -> list[int]:
        found = self.static(i)
        bounded(found.size, LISTED)
        return [int(n) for n in found.reshape(-1)]

    def axes(self, i: int, rank: int) -> list[int] | None:
        """Axes from 0, by an input, or by the attribute of older opsets; None where none are given."""
        given = self.ints(i) if self.has(i) else self.attribute("axes")
        return None if given is None else sorted(within(a, rank) for a in given)

    def axis(self, default: int | None = None, rank: int | None = None) -> int:
        """The attribute ``axis``, from 0."""
        return within(self.attribute("axis", default), self[0].rank if rank is None else rank)


def bounded(count: int, most: int = LARGEST) -> None:
    """Raises NotImportedError for more elements than that."""
    if count > most:
        raise NotImportedError(f"an array of more than {most:,} elements")


Rule: TypeAlias = "Callable[[Node], Value | tuple[Value, ...]]"


def within(axis: int, rank: int) -> int:
    """An axis counted from 0."""
    if not -rank <= axis < max(rank, 1):
        raise NotImportedError(f"there is no axis {axis} of {rank}")
    return axis % max(rank, 1)


def sizes(v: Value) -> tuple[int, ...]:
    """A shape, all of which is known."""
    return known(v.shape)


def type_of(name: str) -> DType:
    """Our dtype of a type that NumPy calls so. Raises NotImportedError."""
    found = DTYPES.get(name) or CARRIED.get(name)
    if found is None:
        raise NotImportedError(f"numbers as {name}")
    return found


def held(array: Array, name: str, what: str) -> Array:
    """An array as we hold it. Raises DataError where we have no such type."""
    if array.dtype.name in CARRIED:
        return array.astype(CARRIED[array.dtype.name].numpy)
    if array.dtype.name not in DTYPES:
        raise wrong(name, f"'{what[:100]}' has a type that is not in this version", array.dtype.name, ", ".join([*DTYPES, *CARRIED]))
    return array


def ends(dtype: DType) -> tuple[int, int]:
    """The least and the largest whole number of a type."""
    kind: Any = dtype.numpy
    return int(np.iinfo(kind).min), int(np.iinfo(kind).max)


def fixed(array: Any, dtype: DType = DType.int64) -> Value:
    """Numbers as a constant."""
    return constant(np.asarray(array), dtype)


def unary(function: Callable[[Value], Value]) -> Rule:
    """A rule of one input."""
    return lambda n: function(n[0])
