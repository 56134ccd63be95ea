"""A model as a file that other programs read: an ONNX graph with its weights, or the weights alone as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnspec.errors import Problem, SpecError
from nnspec.runtime.atomic import replace
from nnspec.runtime.vectors import WEIGHTS, read_answering, weights_of

if TYPE_CHECKING:
    from onnx import ModelProto

    from nnspec.runtime.session import Model

KINDS = (".onnx", ".safetensors")


def check_name(path: Path) -> None:
    """Raises SpecError where a file's name says none of the formats."""
    if path.suffix not in KINDS:
        raise SpecError(Problem(f"no format has the ending '{path.suffix}'" if path.suffix else f"'{path}' has no ending that says a format",
                                found=str(path), wanted="model.onnx or weights.safetensors", rule="export"))
    if path.is_dir():
        raise SpecError(Problem(f"{path} is a folder", wanted="the name of a file", rule="export"))
    if not path.parent.is_dir():
        raise SpecError(Problem(f"there is no folder {path.parent}", found=str(path), wanted="a file in a folder that is there", rule="export"))


def export(model: Model, path: str | Path, raw: bool = False) -> None:
    """Writes the model as ONNX or its weights as safetensors, by the file's ending; whoever reads it finds the old file or the whole new one.

    Raises SpecError, MissingExtraError, ResourceError.
    """
    target = Path(path)
    check_name(target)
    replace(target, [onnx_model(model, raw).SerializeToString() if target.suffix == ".onnx" else weights(model)])


def weights(model: Model) -> bytes:
    """What answers, by the parameters' paths: what the spec's ``weights: {from: FILE}`` reads."""
    from safetensors.numpy import save

    found = weights_of(model, read_answering(model))
    return save({k.removeprefix(WEIGHTS): np.ascontiguousarray(a) for k, a in found.items()}, {"format": "np"})


def onnx_model(model: Model, raw: bool = False) -> ModelProto:
    """The program of an answer as an ONNX model: inputs prepared and named as in the spec, its outputs as ``predict`` gives them.

    What was fitted to the data (``nnspec.preparation``), class names (``nnspec.classes``) and the spec (``nnspec.spec``) are in the
    metadata, as JSON and YAML. Outputs are in prepared units. Raises SpecError, MissingExtraError.
    """
    from nnspec.interop.onnx_export import to_onnx

    network = model.spec.built.network
    graph = model.programs.graph("predict", network.inputs, False, 0)
    places = {(model.segments.answering(s.segment), s.offset): path for path, s in model.segments.slots.items()}
    kind = "raw" if raw else "output"
    outputs = {f"{kind}:{name}": name if name not in network.inputs else f"{name}_output" for name in network.output_names}  # ONNX has one name once
    return to_onnx(graph, outputs, read_answering(model), places, model.spec.name, described(model, raw))


def described(model: Model, raw: bool) -> dict[str, str]:
    """What a reader of the model has to know beyond its graph."""
    spec, network = model.spec, model.spec.built.network
    classes = {name: model.classes(name) for name in network.output_names}
    found = {
        "nnspec.spec": spec.text,
        "nnspec.outputs": "as the network computes them" if raw else "as nnspec predict answers, in prepared units",
        "nnspec.columns": json.dumps({name: list(columns) for name, columns in spec.built.columns.items()}),
        "nnspec.classes": json.dumps({name: list(c) for name, c in classes.items() if c is not None}),
    }
    if model.preparation is not None:
        found["nnspec.preparation"] = json.dumps(model.preparation.to_json())
    return found
