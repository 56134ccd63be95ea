"""Detectors and graphs written as ONNX come back as specs of equal answers: suppression, regions, and numbers that each row has of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.runtime.export import onnx_model
from nnspec.runtime.session import Model, compile
from tests.test_zoo_detection import REFERENCE, loaded

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from nnspec.interop.onnx_raise import Raised, raised  # noqa: E402  # it needs onnx
from nnspec.runtime.imported import write  # noqa: E402

FULL = bool(os.environ.get("NNSPEC_FULL"))


def both(model: Model, fed: dict[str, Any], folder: Path) -> tuple[Raised, dict[str, Any], dict[str, Any]]:
    """What onnxruntime answers to an exported model, and what the spec that it is raised to does."""
    made = onnx_model(model, raw=True)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = dict(zip([o.name for o in session.get_outputs()], session.run(None, fed), strict=True))
    found = raised(made, "detector.onnx", "detector")
    write(found, folder / "detector.yaml", folder / "detector.safetensors")
    ours = compile(nnspec.load(folder / "detector.yaml")).predict(fed, raw=True)
    return found, theirs, ours if isinstance(ours, dict) else {next(iter(theirs)): ours}


@pytest.mark.skipif(not FULL, reason="narrow detectors take 10 to 40 s each")
@pytest.mark.parametrize("name", REFERENCE)
def test_a_detector_comes_back_with_the_boxes_that_onnxruntime_keeps(name: str, tmp_path: Path) -> None:
    model, image = loaded(name, tmp_path, "float32")
    _, theirs, ours = both(model, {"image": image}, tmp_path)
    own = model.predict(image, raw=True)
    assert list(ours) == list(theirs) and theirs["count"].min() > 3
    for key in own:
        np.testing.assert_allclose(ours[key], own[key], rtol=0, atol=1e-4 if own[key].dtype.kind == "f" else 0)
    np.testing.assert_allclose(ours["scores"], theirs["scores"], rtol=0, atol=1e-4)
    if "ssd" not in name:  # whose scores are all 1 but for rounding, which decides their order
        np.testing.assert_array_equal(ours["labels"], theirs["labels"])
        np.testing.assert_allclose(ours["boxes"], theirs["boxes"], rtol=0, atol=1e-2)


def spec(text: str) -> Any:
    return loads("nnspec: 1\nname: some\n" + text, "some.yaml")


KEPT = """inputs: {boxes: {shape: [12, OWN4]}, scores: {shape: [12, 3]}}
layers:
  - non_max_suppression: {name: kept, from: {boxes: boxes, scores: scores}, FIELDS}
  - identity: {name: best, from: kept.boxes}
  - identity: {name: how_good, from: kept.scores}
  - identity: {name: labels, from: kept.labels}
  - identity: {name: which, from: kept.indices}
  - identity: {name: count, from: kept.count}
outputs: [best, how_good, labels, which, count]
"""
GROUPED = """inputs: {boxes: {shape: [12, 4]}, scores: {shape: [12]}}
layers:
  - non_max_suppression: {from: {boxes: boxes, scores: scores}, maximum: 7, group_sizes: [3, 4, 5], iou_threshold: 0.2}
"""


def corners(rng: Any, *shape: int) -> Any:
    return np.sort(rng.uniform(0, 10, (*shape, 2, 2)), -2).reshape(*shape, 4).astype(np.float32)


@pytest.mark.parametrize("fields", ["maximum: 5", "maximum: 5, candidates: 4", "maximum: 20, best_class: true", "maximum: 4, per_class: false, score_threshold: 0.3",
                                    "maximum: 5, minimum_size: 1.5, first_label: 1", "maximum: 40, iou_threshold: 0.1, score_threshold: 0.5"])
@pytest.mark.parametrize("own", [False, True])
def test_the_best_boxes_are_those_of_onnxruntime(fields: str, own: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    fed = {"boxes": corners(rng, 2, 12, 3) if own else corners(rng, 2, 12), "scores": rng.permutation(72).reshape(2, 12, 3).astype(np.float32) / 72}
    model = compile(spec(KEPT.replace("FIELDS", fields).replace("OWN4", "3, 4" if own else "4")))
    found, theirs, ours = both(model, fed, tmp_path)
    own_answers = model.predict(fed, raw=True)
    assert "best_boxes" in found.text and list(ours) == list(theirs) and theirs["count"].min() > 0
    for key, wanted in theirs.items():
        np.testing.assert_allclose(ours[key], wanted, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(own_answers[key], ours[key])


def test_boxes_in_groups_are_those_of_onnxruntime(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    fed = {"boxes": corners(rng, 2, 12), "scores": rng.permutation(24).reshape(2, 12).astype(np.float32)}
    found, theirs, ours = both(compile(spec(GROUPED)), fed, tmp_path)
    (wanted,), (y,) = theirs.values(), ours.values()
    np.testing.assert_allclose(y, wanted, atol=1e-6)
    assert "best_boxes" in found.text


def test_regions_of_several_maps_are_those_of_onnxruntime(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    fed = {"p2": rng.standard_normal((2, 16, 16, 3)).astype(np.float32), "p3": rng.standard_normal((2, 8, 8, 3)).astype(np.float32),
           "boxes": corners(rng, 2, 5) * np.float32(6)}
    model = compile(spec("""inputs: {p2: {shape: [16, 16, 3]}, p3: {shape: [8, 8, 3]}, boxes: {shape: [5, 4]}}
layers:
  - multiscale_roi_align: {from: [p2, p3, boxes], image: [64, 64], size: [3, 2], sampling_ratio: 2, canonical_size: 30, canonical_level: 2}
  - conv2d: {filters: 4, padding: same, activation: relu}
  - conv_transpose2d: {filters: 2, kernel: 2, stride: 2}
"""))
    found, theirs, ours = both(model, fed, tmp_path)
    (wanted,), (y,) = theirs.values(), ours.values()
    np.testing.assert_allclose(y, wanted, atol=1e-5)
    assert found.text.count("- roi_align:") == 2 and found.text.count("- conv2d:") == 1


def test_a_graph_s_entries_are_a_sparse_product(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    fed = {"x": rng.standard_normal((2, 6, 4)).astype(np.float32),
           "graph": np.concatenate([rng.integers(0, 6, (2, 9, 2)), rng.standard_normal((2, 9, 1))], -1).astype(np.float32)}
    for nodes, entries in (("6", "9"), ("nodes", "entries")):
        model = compile(spec(f"inputs: {{x: {{shape: [{nodes}, 4]}}, graph: {{shape: [{entries}, 3]}}}}\n"
                             "layers:\n  - graph_dense: {from: [x, graph], units: 3}\n"))
        found, theirs, ours = both(model, fed, tmp_path)
        (wanted,), (y,) = theirs.values(), ours.values()
        np.testing.assert_allclose(y, wanted, atol=1e-5)
        assert "from: [graph, dense-1]" in found.text and "gather" not in found.text


@pytest.mark.parametrize("ids", [[[0, 3, 2], [1, 1, 0]], [[0, -1, 2], [-4, 1, 0]]])
def test_numbers_that_each_row_works_out_may_count_from_the_end(ids: list[list[int]], tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    x = np.random.default_rng(6).standard_normal((2, 4, 3)).astype(np.float32)
    nodes = [helper.make_node("Round", ["at"], ["near"]), helper.make_node("Cast", ["near"], ["whole"], to=TensorProto.INT64),
             helper.make_node("Unsqueeze", ["whole", "last"], ["places"]), helper.make_node("GatherND", ["x", "places"], ["taken"], batch_dims=1),
             helper.make_node("Unsqueeze", ["whole", "last"], ["one"]), helper.make_node("Expand", ["one", "wide"], ["three"]),
             helper.make_node("GatherElements", ["x", "three"], ["each"], axis=1), helper.make_node("Add", ["taken", "each"], ["y"])]
    floats = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", *s]) for n, s in (("x", (4, 3)), ("at", (3,)))]
    held = [numpy_helper.from_array(np.array([-1]), "last"), numpy_helper.from_array(np.array([1, 1, 3]), "wide")]
    made = helper.make_model(helper.make_graph(nodes, "g", floats, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], held),
                             opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    found = raised(made, "m.onnx", "m")
    write(found, tmp_path / "m.yaml", tmp_path / "m.safetensors")
    fed = {"x": x, "at": np.array(ids, np.float32)}
    (wanted,) = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, fed)
    np.testing.assert_allclose(compile(nnspec.load(tmp_path / "m.yaml")).predict(fed, raw=True), wanted, atol=1e-6)


def test_best_boxes_are_found_in_every_list_by_itself() -> None:
    rng = np.random.default_rng(7)
    boxes, scores = corners(rng, 2, 3, 9), rng.permutation(54).reshape(2, 3, 9).astype(np.float32)
    scores[0, 1] = -np.inf
    model = compile(loads("""nnspec: 1
name: some
inputs: {boxes: {shape: [3, 9, 4]}, scores: {shape: [3, 9]}}
layers:
  - best_boxes: {name: best, from: {boxes: boxes, scores: scores}, maximum: 4, iou_threshold: 0.1}
  - identity: {name: which, from: best.indices}
  - identity: {name: count, from: best.count}
outputs: [which, count]
""", "some.yaml"))
    found = model.predict({"boxes": boxes, "scores": scores}, raw=True)
    for row, part in np.ndindex(2, 3):
        left, wanted = [n for n in np.argsort(-scores[row, part]) if scores[row, part, n] > -np.inf], []
        while left and len(wanted) < 4:
            best = boxes[row, part, left[0]]
            wanted.append(left[0])
            left = [n for n in left if overlap(best, boxes[row, part, n]) <= 0.1]
        assert found["count"][row, part] == len(wanted) and found["which"][row, part].tolist() == [*wanted, *[0] * (4 - len(wanted))]
    assert found["count"][0, 1] == 0 and found["count"].max() > 1


def overlap(a: Any, b: Any) -> float:
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize("size", [3, 12])
def test_infinity_in_a_model_is_infinity_in_its_spec(size: int, tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    mask = np.triu(np.full((size, size), -np.inf, np.float32), 1)
    mask[0, 0] = np.inf
    nodes = [helper.make_node("Add", ["x", "mask"], ["y"]), helper.make_node("Where", ["is", "x", "least"], ["z"]), helper.make_node("Greater", ["x", "zero"], ["is"])]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", size, size]) for n in ("x", "y", "z")]
    held = [numpy_helper.from_array(a, n) for n, a in (("mask", mask), ("least", np.array(-np.inf, np.float32)), ("zero", np.array(0, np.float32)))]
    made = helper.make_model(helper.make_graph([nodes[0], nodes[2], nodes[1]], "g", info[:1], info[1:], held),
                             opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    found = raised(made, "m.onnx", "m")
    write(found, tmp_path / "m.yaml", tmp_path / "m.safetensors")
    x = np.random.default_rng(8).standard_normal((2, size, size)).astype(np.float32)
    theirs = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    with np.errstate(all="raise"):
        ours = compile(nnspec.load(tmp_path / "m.yaml")).predict({"x": x}, raw=True)
    for y, wanted in zip(ours.values(), theirs, strict=True):
        np.testing.assert_array_equal(y, wanted)
