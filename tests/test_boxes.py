"""Boxes: what is kept is what a plain loop by definition keeps, regions are those of onnxruntime, and wrong shapes are told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.ops.boxes import NonMaxSuppression
from nnspec.ops.roi_align import RoiAlign, RoiAlignGrad
from nnspec.ops.rows import Largest
from nnspec.runtime.session import compile
from tests.test_numpy_kernels import check


def union(a: Any, b: Any) -> float:
    """Intersection over union of two boxes; 0 of none."""
    wide, high = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in range(2))
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * high
    return float(wide * high / whole) if whole > 0 else 0.0


def kept(boxes: Any, scores: Any, groups: Any, limit: float, maximum: int) -> list[int]:
    """Candidates by score, each unless it meets a better one of its group."""
    chosen: list[int] = []
    for n in sorted((n for n in range(len(scores)) if scores[n] > -math.inf), key=lambda n: (-scores[n], n)):
        if len(chosen) < maximum and all(groups[n] != groups[m] or union(boxes[n], boxes[m]) <= limit for m in chosen):
            chosen.append(n)
    return chosen


@st.composite
def images(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Boxes of whole corners, so that many are alike and some empty; scores with ties, NaN and minus infinity; groups."""
    rows, n = draw(st.integers(1, 3)), draw(st.integers(1, 14))
    seed = draw(st.integers(0, 2**32 - 1))
    r = np.random.default_rng(seed)
    boxes = np.sort(r.integers(0, draw(st.sampled_from([3, 9])), (rows, n, 2, 2)), 2).reshape(rows, n, 4).astype(float)
    scores = r.integers(0, 6, (rows, n)) / 8
    scores[r.random((rows, n)) < 0.1] = draw(st.sampled_from([np.nan, -np.inf]))
    return boxes, scores, r.integers(0, draw(st.integers(1, 3)), (rows, n))


@settings(max_examples=60)
@given(images(), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.integers(1, 16), st.booleans(), st.sampled_from(["float64", "float32"]))
def test_the_boxes_that_are_kept_are_those_of_a_plain_loop(drawn: Any, limit: float, maximum: int, grouped: bool, dtype: str) -> None:
    boxes, scores, groups = drawn
    groups = groups if grouped else np.zeros_like(groups)
    op = NonMaxSuppression(maximum, limit)
    x = (boxes.astype(dtype), scores.astype(dtype), *((groups,) if grouped else ()))
    numbers, counts = op.reference(*x)
    for i in range(len(boxes)):
        wanted = kept(boxes[i], scores[i], groups[i], limit, maximum)
        assert counts[i] == len(wanted)
        assert numbers[i].tolist() == wanted + [0] * (maximum - len(wanted))
    check(op, *x)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 60), st.sampled_from(["float32", "float64"]))
def test_the_largest_stand_in_order_however_many(seed: int, rows: int, n: int, dtype: str) -> None:
    r = np.random.default_rng(seed)
    x = r.integers(-4, 5, (rows, n)).astype(dtype) * 0.5
    x[r.random((rows, n)) < 0.2] = r.choice([np.inf, -np.inf, np.nan, -0.0])
    check(Largest(int(r.integers(1, n + 1))), x)


def spec(shapes: dict[str, tuple[list[int], str]], layer: str, outputs: str = "") -> str:
    inputs = "".join(f"  {name}: {{shape: {shape}, dtype: {dtype}}}\n" for name, (shape, dtype) in shapes.items())
    return f"nnspec: 1\nname: t\nprecision: float64\ninputs:\n{inputs}layers:\n  - {layer}\n" + (f"outputs: {outputs}\n" if outputs else "")


ALL = "[kept.boxes, kept.scores, kept.labels, kept.indices, kept.count]"


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_the_best_of_all_classes_are_given_and_the_rest_is_padding(backend: str) -> None:
    r = np.random.default_rng(0)
    n, classes, maximum = 30, 3, 25
    boxes = np.sort(r.uniform(0, 6, (2, n, classes, 2, 2)), 3).reshape(2, n, classes, 4)
    scores = r.permutation(2 * n * classes).reshape(2, n, classes) / 200
    options = f"maximum: {maximum}, candidates: 12, score_threshold: 0.3, minimum_size: 0.5, iou_threshold: 0.2, first_label: 1"
    model = compile(loads(spec({"b": ([n, classes, 4], "float32"), "s": ([n, classes], "float32")},
                               f"non_max_suppression: {{name: kept, from: {{boxes: b, scores: s}}, {options}}}", ALL)), backend=backend)
    found = model.predict({"b": boxes, "s": scores}, raw=True)
    for i in range(2):
        chosen = []
        for c in range(classes):
            best = np.argsort(-scores[i, :, c], kind="stable")[:12]
            sides = boxes[i, :, c, 2:] - boxes[i, :, c, :2]
            masked = np.array([scores[i, j, c] if j in best and scores[i, j, c] > 0.3 and (sides[j] >= 0.5).all() else -np.inf for j in range(n)])
            chosen += [(scores[i, j, c], c, j) for j in kept(boxes[i, :, c], masked, [0] * n, 0.2, maximum)]
        chosen = sorted(chosen, key=lambda t: (-t[0], t[1], t[2]))[:maximum]
        k = len(chosen)
        assert found["kept.count"][i] == k and 0 < k < maximum
        np.testing.assert_array_equal(found["kept.scores"][i], [s for s, _, _ in chosen] + [0] * (maximum - k))
        assert found["kept.labels"][i].tolist() == [c + 1 for _, c, _ in chosen] + [-1] * (maximum - k)
        assert found["kept.indices"][i].tolist() == [j for _, _, j in chosen] + [-1] * (maximum - k)
        np.testing.assert_array_equal(found["kept.boxes"][i, :k], [boxes[i, j, c] for _, c, j in chosen])
        assert not found["kept.boxes"][i, k:].any()


@pytest.mark.parametrize("sizes", [True, False])
def test_groups_stand_for_classes_and_each_sends_its_best(sizes: bool) -> None:
    r = np.random.default_rng(1)
    lengths, n = [12, 5, 3], 20
    groups = np.repeat(np.arange(3), lengths)
    boxes, scores = np.sort(r.uniform(0, 6, (1, n, 2, 2)), 2).reshape(1, n, 4), r.permutation(n)[None] / n
    how = f"group_sizes: {lengths}, candidates: 4" if sizes else "maximum: 20"
    inputs = {"b": ([n, 4], "float32"), "s": ([n], "float32"), **({} if sizes else {"g": ([n], "int64")})}
    roles = "{boxes: b, scores: s}" if sizes else "{boxes: b, scores: s, groups: g}"
    model = compile(loads(spec(inputs, f"non_max_suppression: {{name: kept, from: {roles}, iou_threshold: 0.1, {how}}}", ALL)))
    found = model.predict({"b": boxes, "s": scores, **({} if sizes else {"g": groups[None]})}, raw=True)
    takes_part = np.full(n, not sizes)
    for g in range(3):
        own = np.flatnonzero(groups == g)
        takes_part[own[np.argsort(-scores[0, own])[:4]]] |= sizes
    wanted = kept(boxes[0], np.where(takes_part, scores[0], -np.inf), groups, 0.1, n)
    assert found["kept.indices"][0, : len(wanted)].tolist() == wanted and found["kept.count"][0] == len(wanted)
    assert found["kept.labels"][0, : len(wanted)].tolist() == groups[wanted].tolist()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.booleans(), st.sampled_from([1.0, 0.5, 0.3]))
def test_regions_are_those_of_onnxruntime(seed: int, ratio: int, aligned: bool, scale: float) -> None:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx import TensorProto, helper

    r = np.random.default_rng(seed)
    h, w, c, k = (int(v) for v in r.integers(1, 8, 4))
    size = tuple(int(v) for v in r.integers(1, 4, 2))
    image = r.normal(size=(2, h, w, c)).astype(np.float32)
    boxes = np.sort(r.uniform(-3, 12, (2, k, 2, 2)), 2).reshape(2, k, 4).astype(np.float32)
    info = helper.make_tensor_value_info
    node = helper.make_node("RoiAlign", ["x", "b", "i"], ["y"], mode="avg", output_height=size[0], output_width=size[1], sampling_ratio=ratio,
                            spatial_scale=scale, coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel")
    graph = helper.make_graph([node], "g", [info("x", TensorProto.FLOAT, None), info("b", TensorProto.FLOAT, None), info("i", TensorProto.INT64, None)],
                              [info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": image.transpose(0, 3, 1, 2).copy(), "b": boxes.reshape(-1, 4), "i": np.repeat(np.arange(2), k)})
    op = RoiAlign(size, ratio, aligned, (scale,))
    found = op.reference(boxes, image)
    np.testing.assert_allclose(found, wanted.transpose(0, 2, 3, 1).reshape(found.shape), rtol=1e-4, atol=1e-4)
    check(op, boxes.astype(np.float64), image.astype(np.float64))
    check(RoiAlignGrad(size, ratio, aligned, scale, (h, w)), found.astype(np.float64), boxes.astype(np.float64))


@pytest.mark.parametrize("ratio", [0, 2])
def test_many_regions_of_several_maps_are_those_of_the_reference(ratio: int) -> None:
    r = np.random.default_rng(3)
    boxes = np.sort(r.uniform(-4, 40, (2, 150, 2, 2)), 2).reshape(2, 150, 4)
    boxes[0, 3], boxes[1, 7], boxes[0, 9] = np.nan, 1e30, 0.0
    levels = r.integers(-1, 4, (2, 150))  # of some there is no map
    maps = [r.normal(size=(2, n, n, 3)) for n in (32, 16, 8)]
    op = RoiAlign((3, 2), ratio, False, (1.0, 0.5, 0.25))
    check(op, boxes, levels, *maps)
    g = r.normal(size=(2, 150, 3, 2, 3))
    check(RoiAlignGrad((3, 2), ratio, False, 0.5, (16, 16), 1), g, boxes, levels)


WRONG = [
    ({"b": ([5, 3], "float32"), "s": ([5], "float32")}, "non_max_suppression: {from: {boxes: b, scores: s}}", "asks for boxes", "four floats a box"),
    ({"b": ([5, 4], "float32"), "s": ([6, 2], "float32")}, "non_max_suppression: {from: {boxes: b, scores: s}}", "do not fit each other", "(n, classes)"),
    ({"b": ([5, 4], "float32"), "s": ([5], "float32")}, "non_max_suppression: {from: {boxes: b, scores: s}, best_class: true}", "no classes", "(n, classes)"),
    ({"b": ([5, 4], "float32"), "s": ([5], "float32")}, "non_max_suppression: {from: {boxes: b, scores: s}, group_sizes: [2, 2]}", "does not fit", "5, as many"),
    ({"b": ([5, 4], "float32"), "s": ([5, 2], "float32"), "g": ([5], "int64")},
     "non_max_suppression: {from: {boxes: b, scores: s, groups: g}}", "groups stand for classes", "scores (n)"),
    ({"m": ([8, 8, 2], "float32"), "b": ([5, 3], "float32")}, "roi_align: {from: {map: m, boxes: b}, size: 2}", "roi_align asks for feature maps", "(k, 4)"),
    ({"m": ([8, 8, 2], "float32"), "n": ([8, 8, 2], "float32"), "b": ([5, 4], "float32")},
     "multiscale_roi_align: {from: [m, n, b], size: 2, image: [32, 32]}", "not ever half as large", "each half"),
    ({"m": ([8, 2], "float32")}, "anchor_boxes: {image: [32, 32], sizes: [8]}", "asks for feature maps", "(height, width, channels)"),
    ({"m": ([8, 8, 2], "float32")}, "anchor_boxes: {image: [32, 32], sizes: [[8], [16]]}", "does not fit the maps", "one for each map"),
    ({"m": ([8, 8, 2], "float32")}, "default_boxes: {image: [32, 32], scales: [0.2]}", "does not fit the maps", "one more than maps"),
    ({"m": ([8, 8, 2], "float32")}, "grid_points: {stride: [8, 16]}", "does not fit the maps", "one for each map"),
    ({"d": ([8, 4], "float32"), "a": ([7, 4], "float32")}, "decode_boxes: {from: {deltas: d, anchors: a}}", "do not fit their anchors", "(n, 4)"),
    ({"d": ([8, 4], "float32"), "a": ([8, 3], "float32")}, "decode_distances: {from: {distances: d, points: a}}", "do not fit their points", "(n, 2)"),
    ({"b": ([8, 5], "float32")}, "clip_boxes: [4, 4]", "asks for boxes", "four floats"),
    ({"b": ([8, 4], "int64")}, "convert_boxes: {source: xywh, target: xyxy}", "asks for boxes", "four floats"),
]  # fmt: skip


@pytest.mark.parametrize(("shapes", "layer", "message", "wanted"), WRONG)
def test_what_does_not_fit_is_told_with_its_place(shapes: Any, layer: str, message: str, wanted: str) -> None:
    with pytest.raises(SpecError) as caught:
        compile(loads(spec(shapes, layer)))
    (problem,) = caught.value.problems
    assert message in problem.message and wanted in problem.wanted
    assert problem.place is not None and problem.place.line == 6 + len(shapes)


def test_anchors_are_those_that_a_paper_lists() -> None:
    """The nine anchors of Ren et al. at a pixel of a map 16 times smaller, here around the origin."""
    model = compile(loads(spec({"m": ([2, 1, 1], "float32")}, "anchor_boxes: {from: m, image: [32, 16], sizes: [128, 256, 512]}")))
    found = model.predict(np.zeros((1, 2, 1, 1)), raw=True)[0]
    assert found.shape == (18, 4)
    np.testing.assert_array_equal(found[9:] - found[:9], np.tile([0.0, 16, 0, 16], (9, 1)))
    sides = found[:9, 2:] - found[:9, :2]
    np.testing.assert_allclose(np.sqrt(sides.prod(1)), np.tile([128, 256, 512], 3), rtol=0.01)
    np.testing.assert_allclose(sides[:, 1] / sides[:, 0], np.repeat([0.5, 1, 2], 3), rtol=0.02)
