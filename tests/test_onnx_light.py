"""The light models in onnx's wheel: they are read, and give onnxruntime's answers, with their own weights and with random ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
from nnspec.interop.onnx_backend import Backend  # noqa: E402  # it needs onnx
from nnspec.interop.onnx_read import read_model  # noqa: E402

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SMALL = ("squeezenet", "shufflenet")
LARGE = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "vgg19", "zfnet512")


def given(model: Any) -> tuple[str, Any]:
    held = {t.name for t in model.graph.initializer}
    (i,) = (i for i in model.graph.input if i.name not in held)
    return i.name, np.random.default_rng(0).standard_normal([d.dim_value for d in i.type.tensor_type.shape.dim], dtype=np.float32)


def drawn(model: Any) -> Any:
    """The model with random weights, where its own are all of one number."""
    rng, graph = np.random.default_rng(1), model.graph
    shapes = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    variances = {n.input[4] for n in graph.node if n.op_type == "BatchNormalization"}
    kept = []
    for n in graph.node:
        if n.op_type != "ConstantOfShape":
            kept.append(n)
            continue
        shape = tuple(int(d) for d in shapes[n.input[0]])
        a = rng.standard_normal(shape, dtype=np.float32)
        a = a * np.float32(np.sqrt(2 / np.prod(shape[1:]))) if len(shape) > 1 else a * np.float32(0.1) + np.float32(0.5)
        graph.initializer.append(onnx.numpy_helper.from_array(np.abs(a) + np.float32(0.5) if n.output[0] in variances else a, n.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    model.ir_version = 4  # from which on weights are no inputs
    return model


def agrees(model: Any) -> float:
    name, x = given(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    (wanted,) = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {name: x})
    (found,) = Backend.prepare(model).run([x])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * float(np.abs(wanted).max()))
    return float(wanted.std() / np.abs(wanted).max())


@pytest.mark.parametrize("name", [*SMALL, *(LARGE if os.environ.get("NNSPEC_FULL") else ())])
def test_a_light_model_gives_onnxruntime_s_answers(name: str) -> None:
    path = LIGHT / f"light_{name}.onnx"
    agrees(read_model(path))
    if name != "vgg19":  # of which a file would have 575 MB
        assert agrees(drawn(read_model(path))) > 1e-3  # answers that differ from class to class
