"""ONNX files of strangers as models that ONNX's checker accepts: nothing outside of the file is opened, and what is wrong is one error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnspec.errors import DataError, Problem
from nnspec.interop.onnx_export import MOST, need_onnx

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, TensorProto


def wrong(path: Path | str, what: str, found: str = "", wanted: str = "", hint: str = "") -> DataError:
    """The error of an ONNX file."""
    return DataError(Problem(f"{path}: {what}", None, found[:300], wanted, hint, "onnx-file"))


def read_model(path: Path, external: bool = False) -> ModelProto:
    """The model in a file, checked; where it is asked for, with tensors from ``external`` files beside it.

    Raises DataError, and MissingExtraError without onnx.
    """
    need_onnx()
    try:
        if not path.is_file():
            raise wrong(path, "there is no such file" if not path.exists() else "this is no file", wanted="an ONNX file")
        if path.stat().st_size > MOST:
            raise wrong(path, "the file is too large for a model", f"{path.stat().st_size:,} bytes", f"at most {MOST:,}")
        content = path.read_bytes()
    except OSError as e:
        raise wrong(path, "the file cannot be read", e.strerror or "") from None
    return parse_model(content, str(path), path if external else None)


def parse_model(content: bytes, name: str = "model", beside: Path | None = None) -> ModelProto:
    """The model in a file's content; its tensors may lie in files ``beside`` that file. Raises DataError."""
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError, ValueError) as e:
        raise wrong(name, "not a whole ONNX file", str(e), "a model that ONNX has written") from None
    if beside is not None:
        from nnspec.interop.onnx_external import fill

        fill(model, beside)
    check_model(model, name)
    return model


def check_model(model: ModelProto, name: str = "model") -> None:
    """Raises DataError for tensors that lie elsewhere, and for what ONNX's checker finds wrong."""
    from onnx import TensorProto, checker

    for tensor in tensors_of(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise wrong(name, f"'{tensor.name[:100]}' lies in another file, and none is opened",
                        hint="--external-data reads files beside the model; onnx.save(onnx.load(FILE), 'whole.onnx') puts all in one")
    if model.graph.sparse_initializer:
        raise wrong(name, f"'{model.graph.sparse_initializer[0].values.name[:100]}' is a sparse tensor, which is not in this version")
    try:
        checker.check_model(model.SerializeToString())
    except (checker.ValidationError, ValueError, RuntimeError, TypeError) as e:
        raise wrong(name, "not a valid ONNX model", said(str(e))) from None


def said(text: str) -> str:
    """What the checker says in one line: what is wrong, and the node where it is, which stands in other lines."""
    lines = [line.strip() for line in text.strip().splitlines()]
    where = next((line.removeprefix("==> Context: ") for line in lines if line.startswith("==> Context: ")), "")
    what = " ".join(line for line in lines if line and not line.startswith("==> Context: "))
    return f"{what[:180]} ({where[:100]})" if where else what


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model, its functions' and its training's among them."""
    yield from tensors(model.graph)
    for t in model.training_info:
        yield from tensors(t.initialization)
        yield from tensors(t.algorithm)
    for f in model.functions:
        yield from attached([*f.attribute_proto, *(a for node in f.node for a in node.attribute)])


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor of a graph and of those inside it."""
    yield from graph.initializer
    yield from (t for s in graph.sparse_initializer for t in (s.values, s.indices))
    yield from attached(a for node in graph.node for a in node.attribute)


def attached(attributes: Iterable[AttributeProto]) -> Iterator[TensorProto]:
    """Every tensor in attributes."""
    for a in attributes:
        yield from ([a.t] if a.HasField("t") else [])
        yield from a.tensors
        yield from (t for s in [*([a.sparse_tensor] if a.HasField("sparse_tensor") else []), *a.sparse_tensors] for t in (s.values, s.indices))
        for inner in [*([a.g] if a.HasField("g") else []), *a.graphs]:
            yield from tensors(inner)


def array_of(tensor: TensorProto, name: str) -> Any:
    """A tensor's numbers. Raises DataError where its content does not fit its shape."""
    from onnx import numpy_helper

    if tensor.external_data or tensor.data_location:  # onnx would open the file
        raise wrong(name, f"'{tensor.name[:100]}' lies in another file, and none is opened")
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as e:
        raise wrong(name, f"'{tensor.name[:100]}' is damaged", str(e)) from None
