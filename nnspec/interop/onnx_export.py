"""A graph of ops as an ONNX model: written op by op, before anything is fused, with its weights inside.

Source: https://onnx.ai/onnx/operators/, opset 21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nnspec.errors import MissingExtraError, Problem, ResourceError, SpecError
from nnspec.interop.onnx_ops import whole, write
from nnspec.interop.onnx_writer import Node, Writer
from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Array, Composite, Input
from nnspec.ir.types import DType, TensorType
from nnspec.passes.drop_dead import drop_dead
from nnspec.passes.rewrite import Uses, rewrite_calls

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

OPSET = 21
FORMAT = 10  # the version of the file format that came with it
MOST = 2**31 - 1  # bytes of a message
INSTALL = "pip install 'nnspec[onnx]'"


def need_onnx() -> None:
    """Raises MissingExtraError where onnx is not installed."""
    try:
        import onnx  # noqa: F401  # whether it is there
    except ImportError:
        raise MissingExtraError(Problem("ONNX files are read and written with onnx, which is not installed", hint=INSTALL)) from None


def to_onnx(
    graph: Graph, outputs: Mapping[str, str], held: Mapping[str, Array], paths: Mapping[tuple[str, int], str], title: str,
    metadata: Mapping[str, str],
) -> ModelProto:  # fmt: skip
    """The part of a graph that ``outputs`` name, as a model; they say what each is called in it.

    ``held`` holds the vectors of weights by their labels, ``paths`` what starts where in them. Other inputs keep their names and shapes;
    open axes stay open. Raises SpecError where an op cannot be said in ONNX, MissingExtraError without onnx.
    """
    need_onnx()
    import onnx
    from onnx import helper, numpy_helper

    graph = drop_dead(expanded(Graph({name: graph.outputs[key] for key, name in outputs.items()})))
    w = Writer(graph, held, paths)
    given = {label: v for label, v in graph.inputs.items() if label not in held}
    if both := graph.outputs.keys() & given.keys():
        raise SpecError(Problem(f"an input and an output are both called '{min(both)}'", wanted="names that differ, as ONNX asks", rule="onnx"))
    for label, v in given.items():
        w.input(v, label)
    for call in graph.calls:
        w.layer = call.origin.layer
        if not w.settle(call) and not isinstance(call.op, Input):
            write(w, call)
    w.layer = ""
    _name_outputs(w, graph.outputs)
    infos = [_info(name, value.type) for name, value in graph.outputs.items()]
    read = {name for n in w.nodes for name in n.inputs}
    made = helper.make_graph(
        [_node(n, i) for i, n in enumerate(_alive(w.nodes, set(graph.outputs)))], title or "graph", [_info(k, v.type) for k, v in given.items()],
        infos, [numpy_helper.from_array(a, k) for k, a in w.initializers.items() if k in read],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT, producer_name="nnspec")
    helper.set_model_props(model, dict(metadata))
    if model.ByteSize() > MOST:
        raise ResourceError(Problem("the model is too large for one ONNX file", found=f"{model.ByteSize():,} bytes", wanted=f"at most {MOST:,}",
                                    hint="-o weights.safetensors", rule="onnx"))
    onnx.checker.check_model(model, full_check=True)
    return model


def expanded(graph: Graph) -> Graph:
    """Composites that ONNX has no node for, replaced by what they are built from."""

    def visit(c: Call, uses: Uses) -> tuple[Value, ...] | None:
        if not isinstance(c.op, Composite) or whole(c):
            return None
        built = c.op.build(*c.inputs)
        return built if isinstance(built, tuple) else (built,)

    return rewrite_calls(graph, visit)


def _name_outputs(w: Writer, outputs: Mapping[str, Value]) -> None:
    """Every output under its name, in the order of axes that it has here."""
    for name, value in outputs.items():
        w.nodes.append(Node("Identity", [w.get(value)], [name]))
    _drop_identities(w, set(outputs))


def _drop_identities(w: Writer, outputs: set[str]) -> None:
    """What a node makes is called as the output at once."""
    for last in [n for n in w.nodes if n.kind == "Identity" and n.outputs[0] in outputs]:
        (source,), (name,) = last.inputs, last.outputs
        maker = w.made.get(source)
        if maker is None or source not in maker.outputs or source in outputs:
            continue
        w.nodes.remove(last)
        for n in w.nodes:
            n.inputs = [name if i == source else i for i in n.inputs]
        maker.outputs[maker.outputs.index(source)] = name


def _alive(nodes: list[Node], outputs: set[str]) -> list[Node]:
    """The nodes that an output needs, in their order."""
    wanted, kept = set(outputs), []
    for n in reversed(nodes):
        if wanted.intersection(n.outputs):
            wanted.update(n.inputs)
            kept.append(n)
    return kept[::-1]


def _info(name: str, type: TensorType) -> ValueInfoProto:
    from onnx import helper

    return helper.make_tensor_value_info(name, _element(type.dtype), [d if isinstance(d, int) else str(d) for d in type.shape])


def _element(dtype: DType) -> Any:
    from onnx import TensorProto, helper

    if dtype == DType.bfloat16:  # which NumPy has not
        return TensorProto.BFLOAT16
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype.value))


def _node(n: Node, number: int) -> NodeProto:
    from onnx import helper

    attributes: dict[str, Any] = {k: _element(v) if isinstance(v, DType) else list(v) if isinstance(v, tuple) else v for k, v in n.attributes.items()}
    return helper.make_node(n.kind, n.inputs, n.outputs, name=f"{n.layer or n.kind}_{number}", **attributes)
