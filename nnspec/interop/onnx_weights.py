"""The weights in an ONNX file, by their names there, as PyTorch would write them: factors of a matrix product have their outputs first.

Exporters keep a parameter under its name as an initialiser (torch.onnx.export: those of the module), in PyTorch's order of axes but for
factors of MatMul, and of Gemm without ``transB``. Numbers with a fraction and at least one axis are weights; shapes, axes and single numbers
are none.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnspec.errors import DataError, Place, Problem
from nnspec.interop.onnx_read import array_of, read_model
from nnspec.interop.tensors import LONGEST_NAME, Tensor, TensorFile, wrong
from nnspec.ir.op import Array
from nnspec.records import dataclass, field

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

KINDS = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
OTHERWISE = "onnx.save(onnx.load(FILE), 'whole.onnx') puts all tensors in one file"


@dataclass(frozen=True)
class OnnxFile(TensorFile):
    """The weights of a model that has been read."""

    arrays: dict[str, Array] = field(default_factory=dict, compare=False)

    def raw(self, name: str) -> Array:
        return self.arrays[name]


def open_onnx(path: Path, place: Place | None = None) -> OnnxFile:
    """The weights of an ONNX file. Raises DataError with what is wrong, MissingExtraError without onnx."""
    try:
        model = read_model(path)
        arrays = weights(model, str(path))
    except DataError as e:
        first = e.problems[0]
        hint = OTHERWISE if "lies in another file" in first.message else first.hint
        raise DataError(Problem(first.message, place, first.found, first.wanted, hint, "weights-file")) from None
    if long := next((name for name in arrays if len(name) > LONGEST_NAME), ""):
        raise wrong(path, "a name is too long", place, f"{len(long):,} characters", f"at most {LONGEST_NAME}")
    tensors = {name: Tensor(KINDS[a.dtype.name], a.shape, 0, a.nbytes) for name, a in arrays.items()}
    return OnnxFile(path, tensors, {}, 0, place, arrays)


def weights(model: ModelProto, file: str) -> dict[str, Array]:
    """Arrays by name: initialisers, constants, and what is the same under another name. Raises DataError."""
    nodes = [n for n in model.graph.node if n.domain in ("", "ai.onnx")]
    found = {t.name: array_of(t, file) for t in model.graph.initializer}
    found |= {n.output[0]: array_of(n.attribute[0].t, file) for n in nodes if n.op_type == "Constant" and n.attribute[0].HasField("t")}
    first = {name: name for name in found}
    readers: dict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
    for n in nodes:
        if n.op_type == "Identity" and n.input[0] in first:  # of two equal weights PyTorch keeps one
            found[n.output[0]] = found[n.input[0]]
            first[n.output[0]] = first[n.input[0]]
        else:
            for i, name in enumerate(n.input):
                readers[name].append((n, i))
    kept = {name: a for name, a in found.items() if a.dtype.name in KINDS and a.ndim}
    return {name: a.T if a.ndim == 2 and readers[name] and all(inputs_first(n, i) for n, i in readers[name]) else a for name, a in kept.items()}


def inputs_first(node: NodeProto, i: int) -> bool:
    """Whether a node reads a matrix as factor, its first axis being that of the inputs."""
    turned: Any = next((a.i for a in node.attribute if a.name == "transB"), 0)
    return i == 1 and (node.op_type == "MatMul" or (node.op_type == "Gemm" and not turned))
