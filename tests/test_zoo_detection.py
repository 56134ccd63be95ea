"""Detectors of torchvision, loaded from weights under torchvision's names, keep the boxes that torchvision keeps, in double precision.

``tests/reference/zoo/detection.json`` holds what narrow ones answer: names and shapes of their weights, which a rule fills, and boxes, labels,
scores and masks.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli import status
from nnspec.cli.zoo import works
from nnspec.runtime.session import Model, compile
from tests.published import held, spec_of

REFERENCE: dict[str, Any] = held("detection")
WORKS = works()
TABLES = {"torchvision detection.ssd300_vgg16": "ssd300_vgg16", "torchvision detection.maskrcnn_resnet50_fpn": "rcnn",
          "torchvision detection.retinanet_resnet50_fpn": "retinanet", "torchvision detection.fcos_resnet50_fpn": "fcos"}


def weight(name: str, shape: tuple[int, ...], gains: dict[str, float]) -> Any:
    """The rule by which weights were filled: normal numbers that follow from the name, some times a gain."""
    r = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("scale_weight"):
        return 20 + r.standard_normal(shape)
    if name.endswith("running_var"):
        return 0.5 + r.random(shape)
    if name.endswith(("running_mean", "bias")):
        return 0.1 * r.standard_normal(shape)
    if len(shape) == 1:
        return 0.5 + 0.1 * r.standard_normal(shape)
    return next((g for word, g in gains.items() if word in name), 1.0) * r.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))


def loaded(name: str, folder: Path, precision: str) -> tuple[Model, Any]:
    """A narrow detector with the reference's weights, and the images."""
    from safetensors.numpy import save_file

    wanted = REFERENCE[name]
    file = folder / "detector.safetensors"
    save_file({k: weight(k, tuple(shape), wanted["gain"]).astype(precision) for k, shape in wanted["weights"].items()}, file)
    weights = {"from": str(file), "layout": "torch", "rename": f"renames/{TABLES[name]}.yaml"}
    image = np.random.default_rng(7).standard_normal(wanted["image"]).transpose(0, 2, 3, 1)
    return compile(spec_of(name, None, precision=precision, weights=weights, **wanted["set"])), image.astype(precision)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_detector_keeps_the_boxes_that_torchvision_keeps(name: str, tmp_path: Path) -> None:
    wanted = REFERENCE[name]
    model, image = loaded(name, tmp_path, "float64")
    found = model.predict(image, raw=True)
    assert list(found) == ["boxes", "scores", "labels", "count", *(["masks"] if "masks" in wanted else [])]
    for i, labels in enumerate(wanted["labels"]):
        k = len(labels)
        assert found["count"][i] == k > 10
        assert found["labels"][i].tolist() == labels + [-1] * (len(found["labels"][i]) - k)
        np.testing.assert_allclose(found["boxes"][i][:k].reshape(-1), wanted["boxes"][i], rtol=0, atol=2e-5)  # torchvision's boxes of SSD begin in float32
        np.testing.assert_allclose(found["scores"][i][:k], wanted["scores"][i], rtol=1e-9)
        if "masks" in wanted:
            np.testing.assert_allclose(found["masks"][i][:k, ::9, ::9].reshape(-1), wanted["masks"][i], rtol=1e-9)


@pytest.mark.skipif(not os.environ.get("NNSPEC_FULL"), reason="a long form")
def test_onnxruntime_keeps_the_same_boxes_and_masks(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from nnspec.runtime.export import onnx_model

    model, image = loaded("torchvision detection.maskrcnn_resnet50_fpn", tmp_path, "float32")
    wanted = model.predict(image, raw=True)
    session = ort.InferenceSession(onnx_model(model).SerializeToString(), providers=["CPUExecutionProvider"])
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": image}), strict=True))
    assert list(found) == list(wanted)
    for name in ("labels", "count"):
        np.testing.assert_array_equal(found[name], wanted[name])
    for name, close in (("boxes", 1e-2), ("scores", 1e-4), ("masks", 1e-4)):
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=close)


@pytest.mark.parametrize("name", [n for n in WORKS if n.startswith("torchvision detection")])
def test_a_detector_answers_with_boxes_of_a_declared_maximum(name: str) -> None:
    spec = spec_of(name)
    assert list(spec.inputs) == ["image"]
    shapes = {n: p.shape for n, p in zip(spec.built.network.output_names, spec.built.network.outputs, strict=True)}
    k = shapes["scores"][0]
    assert shapes == {"boxes": (k, 4), "scores": (k,), "labels": (k,), "count": (), **({"masks": (k, 28, 28)} if "masks" in shapes else {})}


def test_another_size_of_the_image_is_that_of_all_anchors(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no second place that holds the image's size."""
    spec = WORKS["torchvision detection.fasterrcnn_resnet50_fpn"].spec
    assert status(["check", str(spec), "--set", "inputs.image.shape=[256,320,3]"]) == 0
    assert "41,861,526 parameters" in capsys.readouterr().out
