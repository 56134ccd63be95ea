"""An ONNX model as a graph of ops, node by node, for inputs of given shapes: the literal graph, in ONNX's own order of axes."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nnspec.errors import DataError
from nnspec.interop.nodes.node import DTYPES, Node, NotImportedError, bounded, held, sizes
from nnspec.interop.onnx_idioms import idioms
from nnspec.interop.onnx_read import array_of, wrong
from nnspec.interop.onnx_rules import RULES
from nnspec.ir.graph import Graph, Value, abstract, call, origin
from nnspec.ir.interpret import run
from nnspec.ir.op import Array, Constant, ShapeError
from nnspec.ir.types import TensorType
from nnspec.records import dataclass

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

FOLLOWED = 1 << 16  # elements of an array that is computed beside the graph: of shapes and bounds, not of images
MOST_NODES = 50_000  # with those of functions that are written out
FOLDED = 1 << 30  # bytes of all arrays that are computed of constants, but those that are others seen otherwise
WALKED = 1 << 32  # bytes of all arrays that these are computed from
NO_ROWS = "the first axis of every input counts rows, none of which sees another; a model without such an axis is exported with one first"
DEEPEST = 16  # functions and branches within one another


@dataclass(frozen=True)
class Seen:
    """A node of a model as it was read: where it stands, what a rule saw of it, and the values that were made of it."""

    where: str
    called: str
    node: Node
    outputs: Sequence[Value | None]


@dataclass(frozen=True)
class Watch:
    """Who sees every node when it has been read, each behind those that it reads; a function's nodes, unless it is among ``whole``."""

    each: Callable[[Seen], None]
    whole: Container[str] = ()


def literal(model: ModelProto, feeds: Mapping[str, Array], name: str = "model", watch: Watch | None = None) -> Graph:
    """The model's graph for inputs like ``feeds``; shapes, axes and bounds that it is fed, or that follow from small ones, become part of it.

    Of feeds that somebody watches only the shapes do. Raises DataError, naming the node, for what is not in scope.
    """
    reading = Reading(model, name)
    reading.watch = watch
    values = reading.initializers(model.graph.initializer)
    for i in model.graph.input:
        if i.name in values:
            continue
        if i.name not in feeds:
            raise wrong(name, f"the input '{i.name[:100]}' is not given")
        if not i.type.HasField("tensor_type"):
            raise wrong(name, f"the input '{i.name[:100]}' is no tensor, which is not in this version")
        a = held(np.asarray(feeds[i.name]), name, i.name)
        values[i.name] = abstract(TensorType(a.shape, DTYPES[a.dtype.name]), i.name)
        if watch is None:
            reading.fed[values[i.name]] = a
    opset = max((o.version for o in model.opset_import if own_domain(o.domain)), default=1)
    reading.nodes(model.graph.node, values, opset, instead=idioms(model.graph) if watch is not None else {})
    return Graph({o.name: reading.made(values, o.name) for o in model.graph.output})


class Reading:
    """What is known while a model is read: numbers that follow from what it is fed, and how much was written out."""

    def __init__(self, model: ModelProto, name: str) -> None:
        self.name, self.count, self.folded, self.walked, self.fed = name, 0, 0, 0, dict[Value, Array]()
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.watch: Watch | None = None

    def initializers(self, tensors: Iterable[TensorProto]) -> dict[str, Value]:
        """Stored tensors as constants."""
        return {t.name: constant_of(array_of(t, self.name), self.name, t.name) for t in tensors}

    def made(self, values: Mapping[str, Value], output: str) -> Value:
        """The value of an output. Raises DataError where there is none."""
        if output not in values:
            raise wrong(self.name, f"nothing makes the output '{output[:100]}'")
        return values[output]

    def nodes(self, protos: Iterable[NodeProto], values: dict[str, Value], opset: int, outer: str = "", depth: int = 0,
              instead: Mapping[int, NodeProto | None] = MappingProxyType({})) -> None:  # fmt: skip
        """Adds what nodes make to ``values``, or others ``instead`` of some. Raises DataError."""
        if depth > DEEPEST:
            raise wrong(self.name, f"{outer}functions and branches lie too deep in one another", f"{depth}", f"at most {DEEPEST}")
        for n, given in enumerate(protos):
            self.count += 1
            proto = instead.get(n, given)
            if proto is None:
                continue
            if self.count > MOST_NODES:
                raise wrong(self.name, "the model has too many nodes, with those of its functions", wanted=f"at most {MOST_NODES:,}")
            at = outer + where(n, given)
            try:
                outputs = self.node(proto, values, opset, at, depth)
            except (NotImportedError, ShapeError) as e:
                detail = f"{e.found} where {e.wanted} is wanted" if isinstance(e, ShapeError) and e.found else ""
                rows = self.watch is not None and re.search(r"\brows\b", str(e)) is not None
                raise wrong(self.name, f"{at}: {e}", detail, hint=NO_ROWS if rows else "") from None
            except DataError:
                raise
            except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError, MemoryError, AttributeError) as e:
                raise wrong(self.name, f"{at} does not fit together", f"{type(e).__name__}: {e}") from None
            wanted = [i for i, o in enumerate(proto.output) if o]
            if wanted and wanted[-1] >= len(outputs):
                raise wrong(self.name, f"{at}: its output {len(outputs)} is not in this version")
            values.update({proto.output[i]: outputs[i] for i in wanted})

    def node(self, proto: NodeProto, values: dict[str, Value], opset: int, where: str, depth: int) -> Sequence[Value | None]:
        """What a node makes; who watches is shown it."""
        inputs = [values[i] if i else None for i in proto.input]
        own = own_domain(proto.domain)
        node = Node(proto, inputs, self.fed, self.name, opset)
        watch = self.watch
        if watch is None or not own or (proto.op_type not in RULES and proto.op_type not in watch.whole):
            return self.read(proto, node, inputs, own, values, opset, where, depth)
        self.watch = None
        outputs = self.read(proto, node, inputs, own, values, opset, where, depth)
        self.watch = watch
        watch.each(Seen(where, proto.name, node, outputs))
        return outputs

    def read(self, proto: NodeProto, node: Node, inputs: list[Value | None], own: bool, values: dict[str, Value], opset: int, where: str,
             depth: int) -> Sequence[Value | None]:
        """What a node makes: by its rule, or by the functions of which it is made."""
        with origin(proto.name[:200]):
            if (proto.domain, proto.op_type) in self.functions:
                return self.function(self.functions[proto.domain, proto.op_type], (), proto, inputs, where, depth)
            if own and proto.op_type == "If":
                return self.branch(node, values, opset, where, depth)
            if own and proto.op_type in RULES:
                made = RULES[proto.op_type](node)
                outputs = made if isinstance(made, tuple) else (made,)
                bounded(max((elements(v) for v in outputs), default=0))
                return self.followed(node.inputs, outputs, where)
            if own and (body := standard_body(proto, inputs, opset)) is not None:
                return self.function(*body, proto, inputs, where, depth)
        raise wrong(self.name, f"{where}: this operator is not in this version", proto.op_type)

    def branch(self, node: Node, values: dict[str, Value], opset: int, where: str, depth: int) -> tuple[Value, ...]:
        """The outputs of the branch that is taken, which is known as the graph is made."""
        graph: GraphProto = node.attribute("then_branch" if node.static(0).reshape(()) else "else_branch")
        inside = {**values, **self.initializers(graph.initializer)}
        self.nodes(graph.node, inside, opset, f"{where}: ", depth + 1)
        return tuple(self.made(inside, o.name) for o in graph.output)

    def function(self, body: FunctionProto, usual: Iterable[AttributeProto], proto: NodeProto, inputs: list[Value | None], where: str,
                 depth: int) -> Sequence[Value | None]:
        """A function written out: its nodes on the inputs, with the node's attributes, or what they usually are."""
        from onnx import NodeProto as Proto

        given = {a.name: a for a in [*usual, *body.attribute_proto, *proto.attribute]}
        inside = {i: v for i, v in zip(body.input, inputs, strict=False) if v is not None}
        nodes = []
        for n in body.node:
            own = Proto()
            own.CopyFrom(n)
            own.input[:] = [i if i in inside or i not in body.input else "" for i in n.input]
            del own.attribute[:]
            for a in n.attribute:
                if not a.ref_attr_name:
                    own.attribute.append(a)
                elif a.ref_attr_name in given:
                    own.attribute.add().CopyFrom(given[a.ref_attr_name])
                    own.attribute[-1].name = a.name
            nodes.append(own)
        opset = max((o.version for o in body.opset_import if own_domain(o.domain)), default=1)
        self.nodes(nodes, inside, opset, f"{where}: ", depth + 1)
        return [self.made(inside, o) if asked else None for o, asked in zip(body.output, proto.output, strict=False)]

    def followed(self, inputs: list[Value], outputs: tuple[Value, ...], where: str) -> tuple[Value, ...]:
        """Outputs of constants as constants; numbers that follow from small ones that were fed are noted beside the graph."""
        if all(isinstance(v.op, Constant) for v in inputs):
            made = [v for v in outputs if not v.op.view and not isinstance(v.op, Constant)]
            self.folded += sum(elements(v) * v.dtype.size for v in made)
            self.walked += sum(elements(v) * v.dtype.size for v in inputs) if made else 0
            if self.folded > FOLDED or self.walked > WALKED:
                raise NotImportedError(f"what follows from constants alone takes more than {FOLDED:,} bytes, or is made of more than {WALKED:,}")
            held = self.numbers(outputs)
            return tuple(v if isinstance(v.op, Constant) else constant_of(held[v], self.name, where) for v in outputs)
        if all(isinstance(v.op, Constant) or v in self.fed for v in inputs) and max(map(elements, [*inputs, *outputs])) <= FOLLOWED:
            self.fed.update(self.numbers(outputs))
        return outputs

    def numbers(self, outputs: tuple[Value, ...]) -> dict[Value, Array]:
        """Outputs computed from what is known of the values behind them."""
        found: dict[Value, Array] = {}
        calls, stack = {}, [v for v in outputs if v not in self.fed]
        while stack:
            c = stack.pop().call
            if c.serial not in calls:
                calls[c.serial] = c
                stack += [v for v in c.inputs if v not in self.fed]
        with np.errstate(all="ignore"):
            for _, c in sorted(calls.items()):
                given = [self.fed[v] if v in self.fed else found[v] for v in c.inputs]
                found.update(zip(c.outputs, run(c, given), strict=True))
        return {v: self.fed[v] if v in self.fed else found[v] for v in outputs}


def where(n: int, proto: NodeProto) -> str:
    """``node 4 (LSTM) '/encoder/LSTM'``."""
    name = proto.name[:100] if isinstance(proto.name, str) else ""  # bytes, where they are no text
    return f"node {n} ({proto.op_type[:60]})" + (f" '{name}'" if name and name.isprintable() else "")


def own_domain(domain: str) -> bool:
    """Whether a domain is that of ONNX's own operators."""
    return domain in ("", "ai.onnx")


def standard_body(proto: NodeProto, inputs: list[Value | None], opset: int) -> tuple[FunctionProto, list[AttributeProto]] | None:
    """The function by which ONNX's standard defines an operator, and the usual attributes; None where there is none."""
    from onnx import FunctionProto as Body
    from onnx import TypeProto, defs, helper

    if not defs.has(proto.op_type) or (schema := schema_of(proto.op_type, opset)).deprecated:
        return None
    content = b""
    if schema.has_function:
        content = schema.get_function_with_opset_version(max(v for v in schema.function_opset_versions if v <= opset))
    elif schema.has_context_dependent_function:
        types = []
        for v in inputs:
            t = TypeProto() if v is None else helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(v.dtype.numpy), sizes(v))
            types.append(t.SerializeToString())
        version = max(v for v in schema.context_dependent_function_opset_versions if v <= opset)
        content = schema.get_context_dependent_function_with_opset_version(version, proto.SerializeToString(), types)
    if not content:
        return None
    body = Body()
    body.ParseFromString(content)
    return body, [a.default_value for a in schema.attributes.values() if a.default_value.name]


def schema_of(kind: str, opset: int) -> Any:
    """What the standard says of an operator; onnx's own types leave half of it out."""
    from onnx import defs

    return defs.get_schema(kind, max_inclusive_version=opset)


def constant_of(array: Array, name: str, what: str) -> Value:
    """An array as a constant."""
    return call(Constant(held(array, name, what)), ()).outputs[0]


def elements(v: Value) -> int:
    """How many there are."""
    return prod(sizes(v))


__all__ = ["DTYPES", "Node", "NotImportedError", "literal"]
