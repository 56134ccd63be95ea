"""An ONNX file as a spec and its weights, beside each other in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError
from nnspec.interop.onnx_raise import Raised, raised
from nnspec.interop.onnx_read import array_of, read_model, wrong
from nnspec.interop.raising.model import readable
from nnspec.runtime.atomic import refused, replace


def import_onnx(path: Path, folder: Path, channels_last: bool = False, force: bool = False, external: bool = False,
                lengths: Mapping[str, int] = MappingProxyType({})) -> list[Path]:
    """The model at ``path`` as ``folder/NAME.yaml``, with ``NAME.safetensors`` beside it where it has weights; the files, the spec first.

    With ``external`` its tensors may lie in files beside it; ``lengths`` are those of named axes. Nothing is written unless the spec is
    whole and compiles. Raises DataError for what is wrong with the file, SpecError where files are there already.
    """
    name = readable(path.stem, set())
    spec, weights = folder / f"{name}.yaml", folder / f"{name}.safetensors"
    if folder.exists() and not folder.is_dir():
        raise SpecError(Problem(f"{folder} is no folder", wanted="a folder, which need not be there", rule="import"))
    if not force and (there := [str(p) for p in (spec, weights) if p.exists()]):
        raise SpecError(Problem(f"{' and '.join(there)} exists already", wanted="another folder", hint="--force replaces it", rule="import"))
    model = read_model(path, external)
    found = raised(model, str(path), name, channels_last, lengths)
    if endless := [parameter for parameter, values in found.weights.items() if _endless(values)]:
        tensors = [tensor.name for tensor in model.graph.initializer if _endless(array_of(tensor, str(path)))]
        raise wrong(path, "weights hold NaN or infinity", ", ".join(tensors or endless), "finite numbers")
    return write(found, spec, weights)


def _endless(values: Any) -> bool:
    return bool(values.dtype.kind == "f" and not np.isfinite(values).all())


def write(found: Raised, spec: Path, weights: Path) -> list[Path]:
    """Both files, each as a whole, the spec last; none is left where that fails. Raises ResourceError."""
    from safetensors.numpy import save

    try:
        spec.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise refused(spec.parent, e) from e
    fresh = not weights.exists()
    if found.weights:
        replace(weights, [save(found.weights, {"format": "np"})])
    try:
        replace(spec, [found.text.encode()])
    except Exception:
        if fresh:
            with suppress(OSError):
                weights.unlink(missing_ok=True)
        raise
    return [spec, *([weights] if found.weights else [])]
