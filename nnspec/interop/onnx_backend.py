"""Our ops as a backend of ONNX's own test cases: ``Backend.prepare(model).run(inputs)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper
from onnx.backend.base import Backend as Base
from onnx.backend.base import BackendRep

from nnspec.interop.nodes.node import held
from nnspec.interop.onnx_import import literal
from nnspec.interop.onnx_read import check_model, wrong
from nnspec.ir.graph import Graph, Value
from nnspec.ir.interpret import run
from nnspec.ir.op import Array, Input

if TYPE_CHECKING:
    from onnx import ModelProto


class Prepared(BackendRep):  # type: ignore[misc,unused-ignore]  # onnx may have no types
    """A model that is run by the ops' references, in double precision; its graph is made for the shapes that it is given."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs for inputs in the model's order. Raises DataError."""
        stored = {t.name for t in self.model.graph.initializer}
        names = [i.name for i in self.model.graph.input if i.name not in stored]
        given: Sequence[Any] = inputs if isinstance(inputs, list | tuple) else [inputs]
        if len(given) != len(names):
            raise wrong("model", "inputs do not fit the model", f"{len(given)} arrays", f"{len(names)}: {', '.join(names)}")
        feeds: dict[str, Any] = {name: a if isinstance(a, list) else np.asarray(a) for name, a in zip(names, given, strict=True)}
        graph = literal(self.model, feeds)
        try:
            found = answers(graph, {k: held(a, "model", k) for k, a in feeds.items()})
        except (MemoryError, IndexError, ValueError, OverflowError) as e:
            raise wrong("model", "the model cannot be run on these inputs", f"{type(e).__name__}: {e}") from None
        return tuple(answer(found[o.name], o.type.tensor_type.elem_type) for o in self.model.graph.output)


def answers(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The graph's outputs: each op is computed in double precision, and what it gives rounded to its type.

    Sums of float32 depend on how a library groups them. Where a model is ill-conditioned, as those are that have one number for all weights, its
    answers would show which.
    """
    last = {v: c for c in graph.calls for v in c.inputs}
    kept = set(graph.outputs.values())
    values: dict[Value, Array] = {v: feeds[name] for name, v in graph.inputs.items()}
    with np.errstate(all="ignore"):
        for c in graph.calls:
            if isinstance(c.op, Input):
                continue
            values.update(zip(c.outputs, run(c, [wide(values[v]) for v in c.inputs]), strict=True))
            for v in {v for v in c.inputs if last[v] is c and v not in kept}:
                del values[v]
    return {name: values[v] for name, v in graph.outputs.items()}


def wide(array: Array) -> Array:
    """Floats in double precision."""
    return array.astype(np.float64) if array.dtype == np.float32 else array


def answer(array: Any, kind: int) -> Any:
    """An output, in 16 bits where the model says so."""
    kinds = [k for k in (TensorProto.FLOAT16, TensorProto.BFLOAT16) if k == kind and array.dtype == np.float32]
    return array.astype(helper.tensor_dtype_to_np_dtype(kind)) if kinds else array


class Backend(Base):  # type: ignore[misc,unused-ignore]  # onnx may have no types
    """ONNX's interface to what runs models."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """The model, checked. Raises DataError."""
        check_model(model)
        return Prepared(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Only the CPU."""
        return device == "CPU"
