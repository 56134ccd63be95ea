"""An ONNX model as a graph of ops, node by node, for inputs of given shapes: the literal graph, in ONNX's own order of axes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from nnspec.errors import DataError
from nnspec.interop.onnx_read import array_of, wrong
from nnspec.ir.graph import Graph, Value, abstract, call, origin
from nnspec.ir.interpret import evaluate
from nnspec.ir.op import Array, Constant, ShapeError
from nnspec.ir.types import DType, TensorType, known

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

LARGEST = 1 << 30  # elements of an array, so that a damaged length asks for no memory
DTYPES = {t.value: t for t in DType if not t.half}


class NotImportedError(Exception):
    """A node that is not in scope; the message says why."""


class Node:
    """A node with its inputs as values: what a rule sees."""

    def __init__(self, proto: NodeProto, inputs: list[Value | None], fed: Mapping[Value, Array], name: str, opset: int) -> None:
        self.kind, self.count, self.opset = proto.op_type, len(proto.output), opset
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

    def static(self, i: int) -> Array:
        """An input that has to be known when the graph is made: axes, a shape, a bound."""
        value = self[i]
        if isinstance(value.op, Constant):
            return value.op.data
        if value in self._fed:
            return self._fed[value]
        raise NotImportedError(f"{self.kind} is given its input {i} only when it runs")

    def ints(self, i: int) -> list[int]:
        return [int(n) for n in self.static(i).reshape(-1)]

    def axes(self, i: int, rank: int, since: int = 13) -> list[int] | None:
        """Axes from 0, by an input, or by the attribute of older opsets; None where none are given."""
        given = self.ints(i) if self.has(i) else self.attribute("axes")
        return None if given is None else sorted(within(a, rank) for a in given)


def within(axis: int, rank: int) -> int:
    """An axis counted from 0."""
    if not -rank <= axis < max(rank, 1):
        raise NotImportedError(f"there is no axis {axis} of {rank}")
    return axis % max(rank, 1)


def literal(model: ModelProto, feeds: Mapping[str, Array], name: str = "model") -> Graph:
    """The model's graph for inputs like ``feeds``; shapes, axes and bounds that it is fed become part of it.

    Raises DataError, naming the node, for what is not in scope.
    """
    from nnspec.interop.onnx_rules import RULES

    values: dict[str, Value] = {}
    fed: dict[Value, Array] = {}
    for t in model.graph.initializer:
        values[t.name] = constant_of(array_of(t, name), name, t.name)
    for i in model.graph.input:
        if i.name in values:
            continue
        if i.name not in feeds:
            raise wrong(name, f"the input '{i.name[:100]}' is not given")
        if not i.type.HasField("tensor_type"):
            raise wrong(name, f"the input '{i.name[:100]}' is no tensor, which is not in this version")
        a = np.asarray(feeds[i.name])
        values[i.name] = abstract(TensorType(a.shape, dtype_of(a, name, i.name)), i.name)
        fed[values[i.name]] = a
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    for n, proto in enumerate(model.graph.node):
        where = f"node {n} ({proto.op_type[:60]})"
        if proto.domain not in ("", "ai.onnx") or proto.op_type not in RULES:
            raise wrong(name, f"{where}: this operator is not in this version", proto.op_type)
        try:
            node = Node(proto, [values[i] if i else None for i in proto.input], fed, name, opset)
            with origin(proto.name[:200]):
                made = RULES[proto.op_type](node)
            outputs = made if isinstance(made, tuple) else (made,)
            if any(prod(sizes(v)) > LARGEST for v in outputs):
                raise NotImportedError(f"an array of more than {LARGEST:,} elements")
            if all(isinstance(v.op, Constant) for v in node.inputs):
                held = evaluate(outputs, {})
                outputs = tuple(constant_of(held[v], name, where) for v in outputs)
        except (NotImportedError, ShapeError) as e:
            detail = f"{e.found} where {e.wanted} is wanted" if isinstance(e, ShapeError) and e.found else ""
            raise wrong(name, f"{where}: {e}", detail) from None
        except DataError:
            raise
        except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError, MemoryError, AttributeError) as e:
            raise wrong(name, f"{where} does not fit together", f"{type(e).__name__}: {e}") from None
        if len(outputs) < sum(bool(o) for o in proto.output):
            raise wrong(name, f"{where}: its output {len(outputs)} is not in this version")
        values.update({o: v for o, v in zip(proto.output, outputs, strict=False) if o})
    if missing := [o.name for o in model.graph.output if o.name not in values]:
        raise wrong(name, f"nothing makes the output '{missing[0][:100]}'")
    return Graph({o.name: values[o.name] for o in model.graph.output})


def dtype_of(array: Array, name: str, what: str) -> DType:
    """Our dtype of an array. Raises DataError where there is none."""
    if array.dtype.name not in DTYPES:
        raise wrong(name, f"'{what[:100]}' has a type that is not in this version", array.dtype.name, ", ".join(DTYPES))
    return DTYPES[array.dtype.name]


def constant_of(array: Array, name: str, what: str) -> Value:
    """An array as a constant."""
    dtype_of(array, name, what)
    return call(Constant(array), ()).outputs[0]


def sizes(v: Value) -> tuple[int, ...]:
    """A shape, all of which is known."""
    return known(v.shape)
