"""ONNX models raised to specs: what we export, graphs as PyTorch writes them, and ONNX's own models answer as in onnxruntime."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.cli import status
from nnspec.errors import NnspecError
from nnspec.runtime.export import onnx_model
from nnspec.runtime.session import Model, compile
from tests.drawn import shipped
from tests.moved import moved

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # it needs onnx

from nnspec.interop.onnx_raise import Raised, raised  # noqa: E402
from nnspec.runtime.imported import write  # noqa: E402

ROOT = Path(__file__).parent.parent / "specs"
FULL = bool(os.environ.get("NNSPEC_FULL"))


@pytest.fixture
def nnspec_command(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*args: object) -> SimpleNamespace:
        code = status([str(a) for a in args])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


def agrees(made: Any, folder: Path, name: str = "found", rows: int = 2, channels_last: bool = False, model: Model | None = None,
           fed: dict[str, Any] | None = None) -> Raised:
    """The model, raised, written, loaded and compiled, answers as onnxruntime does, or as the model that it comes from."""
    found = raised(made, f"{name}.onnx", name, channels_last)
    write(found, folder / f"{name}.yaml", folder / f"{name}.safetensors")
    spec = nnspec.load(folder / f"{name}.yaml")
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    theirs, ours = {}, {}
    for entry, own in zip(session.get_inputs(), spec.inputs, strict=True):
        if fed is not None:
            theirs[entry.name] = ours[own] = fed[entry.name]
            continue
        shape = [d if isinstance(d, int) and d > 0 else rows for d in entry.shape]
        values = rng.standard_normal(shape).astype(np.float32) if "float" in entry.type else rng.integers(0, 3, shape).astype(np.int64)
        theirs[entry.name], ours[own] = values, np.moveaxis(values, 1, -1) if channels_last and values.ndim > 2 else values
    answers = compile(spec).predict(ours, raw=True)
    first = model.predict(theirs, raw=True) if model is not None else answers
    both = zip(*(a.values() if isinstance(a, dict) else [a] for a in (answers, first)), session.run(None, theirs), strict=True)
    for y, before, wanted in both:
        assert y.shape == wanted.shape and y.dtype == wanted.dtype
        largest = max(np.abs(wanted).max(), 1e-6)
        own = np.abs(before - wanted).max() if model is not None else 0.0  # what the two programs round apart, over deep normalisation
        assert np.abs(y - wanted).max() <= max(1e-5 * largest, 1.01 * own)
    return found


class Graph:
    """A model written node by node, as PyTorch's exporter does."""

    def __init__(self, *shape: int) -> None:
        self.rng = np.random.default_rng(3)
        self.nodes: list[Any] = []
        self.held: list[Any] = []
        self.shape, self.count = shape, 0

    def weight(self, *shape: int, scale: float = 0.0, shift: float = 0.0) -> str:
        return self.array(self.rng.standard_normal(shape) * (scale or 1 / np.sqrt(max(np.prod(shape[1:]), 1))) + shift)

    def array(self, values: Any, dtype: Any = np.float32) -> str:
        self.held.append(numpy_helper.from_array(np.asarray(values, dtype), f"w{len(self.held)}"))
        return str(self.held[-1].name)

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"/{kind}_{self.count}_output_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"/features/{kind}_{self.count}", **attributes))
        self.count += 1
        return names[0] if outputs == 1 else names

    def conv(self, x: str, before: int, after: int, size: int = 3, stride: int = 1, pad: int | None = None, groups: int = 1, bias: bool = False) -> str:
        pad = size // 2 if pad is None else pad
        held = [self.weight(after, before // groups, size, size), *([self.weight(after, scale=0.1)] if bias else [])]
        return str(self.node("Conv", x, *held, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[pad] * 4, group=groups, dilations=[1, 1]))

    def norm(self, x: str, channels: int) -> str:
        held = [self.weight(channels, scale=0.1, shift=1.0), self.weight(channels, scale=0.1), self.weight(channels, scale=0.1)]
        return str(self.node("BatchNormalization", x, *held, self.array(self.rng.uniform(0.5, 1.5, channels)), epsilon=1e-5, momentum=0.9))

    def model(self, *outputs: str, rows: int | str = "batch", opset: int = 17) -> Any:
        info = helper.make_tensor_value_info("input", TensorProto.FLOAT, [rows, *self.shape])
        made = [helper.make_empty_tensor_value_info(o) for o in outputs]
        graph = helper.make_graph(self.nodes, "main_graph", [info], made, self.held)
        return onnx.shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name="pytorch"))


@pytest.mark.parametrize("name", ["iris", "digits_mlp", "digits_cnn", "residual", "denoising_autoencoder"])
def test_what_is_exported_comes_back_as_a_spec_of_equal_answers(name: str, tmp_path: Path) -> None:
    agrees(onnx_model(moved(compile(nnspec.load(shipped(name)))), raw=True), tmp_path)


def test_a_perceptron_of_pytorch_s_is_three_dense_layers(tmp_path: Path) -> None:
    g = Graph(1, 4, 5)
    x = g.node("Flatten", "input", axis=1)
    for before, after in ((20, 8), (8, 6), (6, 3)):
        x = g.node("Gemm", x, g.weight(after, before), g.weight(after), transB=1, alpha=1.0, beta=1.0)
        x = g.node("Relu", x) if after > 3 else x
    found = agrees(g.model(x), tmp_path)
    assert found.text.splitlines()[-6:] == [
        "layers:", "  - flatten", "  - dense: {units: 8, activation: relu}", "  - dense: {units: 6, activation: relu}", "  - dense: 3", "weights: found.safetensors"]


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_lenet_of_pytorch_s_is_channels_last_with_the_rows_behind_flatten_in_order(channels_last: bool, tmp_path: Path) -> None:
    g = Graph(3, 12, 14)
    x = g.node("MaxPool", g.node("Relu", g.conv("input", 3, 6, 5, bias=True)), kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4)
    x = g.node("MaxPool", g.node("Tanh", g.conv(x, 6, 8, 3, pad=0, bias=True)), kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4)
    x = g.node("Gemm", g.node("Flatten", x, axis=1), g.weight(5, 8 * 2 * 2), g.weight(5), transB=1)
    found = agrees(g.model(x), tmp_path, channels_last=channels_last)
    assert found.text.count("permute") == (not channels_last)


def resnet(units: tuple[int, ...], widths: tuple[int, ...]) -> Any:
    """A residual network as torchvision's is exported, for images of 32 x 32."""
    g = Graph(3, 32, 32)
    x = g.node("Relu", g.norm(g.conv("input", 3, widths[0], 7, 2), widths[0]))
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=0)
    before = widths[0]
    for stage, (n, width) in enumerate(zip(units, widths, strict=True)):
        for unit in range(n):
            stride = 2 if stage and not unit else 1
            y = g.node("Relu", g.norm(g.conv(x, before, width, 3, stride), width))
            y = g.norm(g.conv(y, width, width), width)
            short = x if stride == 1 else g.norm(g.conv(x, before, width, 1, stride), width)
            x, before = g.node("Relu", g.node("Add", y, short)), width
    x = g.node("Flatten", g.node("GlobalAveragePool", x), axis=1)
    return g.model(g.node("Gemm", x, g.weight(10, before), g.weight(10), transB=1))


def test_a_residual_network_reads_as_stages_of_units(tmp_path: Path) -> None:
    found = agrees(resnet((3, 3, 3), (8, 16, 32)), tmp_path)
    lines = found.text.splitlines()
    assert lines[lines.index("layers:") + 1 :] == [
        "  - permute: [1, 2, 0]", "  - conv_bn: {filters: 8, kernel: 7, stride: 2, padding: 3, activation: relu}",
        "  - max_pool2d: {size: 3, stride: 2, padding: 1}",
        "  - residual_unit: {filters: 8, repeat: 3}", "  - stage: {repeat: {filters: [16, 32]}}", "  - global_avg_pool2d", "  - dense: 10",
        "weights: found.safetensors"]
    assert found.text.count("residual:") == 2 and found.text.count("batch_norm") == 1 and found.text.count("gamma") == 0


def test_a_mobile_network_s_convolutions_by_channels_and_its_inverted_residuals_are_found(tmp_path: Path) -> None:
    g = Graph(3, 24, 24)

    def clipped(x: str) -> str:
        return str(g.node("Clip", x, g.array(0.0), g.array(6.0)))

    x, before = clipped(g.norm(g.conv("input", 3, 8, 3, 2), 8)), 8
    for width, n, stride in ((12, 3, 2), (16, 2, 2), (24, 2, 1)):
        for i in range(n):
            y = clipped(g.norm(g.conv(x, before, 4 * before, 1), 4 * before))
            y = clipped(g.norm(g.conv(y, 4 * before, 4 * before, 3, stride if not i else 1, groups=4 * before), 4 * before))
            y = g.norm(g.conv(y, 4 * before, width, 1), width)
            x, before = (y if before != width else g.node("Add", x, y)), width
    x = g.node("ReduceMean", x, axes=[2, 3], keepdims=0)
    found = agrees(g.model(g.node("Gemm", g.node("Dropout", x), g.weight(5, 24), g.weight(5), transB=1)), tmp_path)
    assert "depthwise_conv2d" in found.text and "activation: relu6" in found.text and "global_avg_pool2d" in found.text
    assert found.text.count("\n") < 60


def test_units_that_differ_in_a_formula_are_written_with_its_names(tmp_path: Path) -> None:
    g = Graph(3, 12, 12)
    x, before = "input", 3
    for factor in (0.5, 0.7, 0.5, 0.9):
        for _ in range(2):
            y = g.node("Relu", g.norm(g.conv(x, before, 6), 6))
            x, before = g.node("Mul", g.conv(y, 6, 6), g.array(factor)), 6
    found = agrees(g.model(x), tmp_path)
    assert "{0}" not in found.text


def test_two_specs_are_the_same_network_where_their_layers_and_what_they_read_are() -> None:
    from nnspec.compiler import loads
    from nnspec.interop.raising.same import pairs

    def spec(layers: str) -> Any:
        blocks = "blocks: {unit: {args: {of: relu}, layers: [{conv2d: {filters: 4, padding: same}}, {activation: $of}]}}\n" if "unit" in layers else ""
        return loads(f"nnspec: 1\nname: a\ninputs: {{image: {{shape: [6, 6, 4]}}}}\n{blocks}layers: [{layers}]\n", "a.yaml")

    plain = "conv2d: {name: a, filters: 4, padding: same}, relu: {name: b}, add: {name: c, from: [b, image]}"
    assert "residual" not in plain
    plain = "{" + plain.replace("}, ", "}}, {") + "}"
    whole = pairs(spec("residual: [{unit: {}}]"), spec(plain))
    assert whole is not None and [(a.path, b.path) for a, b in whole] == [
        ("residual_1/layers/unit_1/conv2d_1", "a"), ("residual_1/layers/unit_1/activation_1", "b"), ("residual_1/add", "c")]
    for wrong in ("residual: [{unit: {of: tanh}}]", "residual: [{conv2d: {filters: 4, padding: same, stride: 1, kernel: 5}}, relu]", "unit: {}",
                  "residual: {layers: [{unit: {}}], shortcut: [relu]}", "residual: [{unit: {}}, identity, relu]"):
        assert pairs(spec(wrong), spec(plain)) is None
    assert pairs(spec("residual: [{unit: {}}, identity]"), spec(plain)) is not None


def test_the_command_writes_a_spec_that_other_commands_take(tmp_path: Path, nnspec_command: Any) -> None:
    g = Graph(6)
    (tmp_path / "my net.onnx").write_bytes(g.model(g.node("Gemm", "input", g.weight(6, 4), g.weight(4))).SerializeToString())
    done = nnspec_command("import", tmp_path / "my net.onnx", "-o", tmp_path / "there")
    assert done.code == 0 and "my_net.yaml" in done.out, done.err
    assert sorted(p.name for p in (tmp_path / "there").iterdir()) == ["my_net.safetensors", "my_net.yaml"]
    assert nnspec_command("check", tmp_path / "there" / "my_net.yaml").code == 0
    again = nnspec_command("import", tmp_path / "my net.onnx", "-o", tmp_path / "there")
    assert again.code == 2 and "exists already" in again.err and "--force" in again.err
    assert nnspec_command("import", tmp_path / "my net.onnx", "-o", tmp_path / "there", "--force").code == 0


ZOO = sorted(p.stem for p in (ROOT / "zoo").glob("*.yaml") if p.stem != "index")


# Detectors over small images: what they are made of does not depend on the size, the time does.
SMALL = dict.fromkeys(("yolo11", "yolov3", "yolov5", "yolov8", "yolov8_seg"), 64) | dict.fromkeys(("faster_rcnn", "mask_rcnn", "retinanet", "fcos"), 128)


@pytest.mark.parametrize("name", ZOO if FULL else ["lenet5", "unet_small", "gcn"])
def test_a_network_of_the_zoo_exported_comes_back_with_equal_answers(name: str, tmp_path: Path) -> None:
    size = {"inputs.image.shape": [SMALL[name], SMALL[name], 3]} if name in SMALL else {}
    model = moved(compile(nnspec.load(ROOT / "zoo" / f"{name}.yaml", set=size)))
    agrees(onnx_model(model, raw=True), tmp_path, rows=1, model=model, fed=graph() if name == "gcn" else None)


def graph() -> dict[str, Any]:
    """Six papers, and nine citations between them."""
    rng = np.random.default_rng(4)
    entries = np.concatenate([rng.integers(0, 6, (1, 9, 2)), rng.standard_normal((1, 9, 1))], -1)
    return {"features": rng.standard_normal((1, 6, 1433)).astype(np.float32), "adjacency": entries.astype(np.float32)}


def test_an_output_of_rows_and_places_together_is_one_clear_error() -> None:
    g = Graph(5, 8)
    made = g.model(g.node("Relu", g.node("Reshape", "input", g.array([-1, 8], np.int64))))
    with pytest.raises(nnspec.DataError, match="rows and places are one axis of it"):
        raised(made, "m.onnx", "m")


def test_axes_that_the_model_leaves_open_have_their_names_in_the_spec(tmp_path: Path, nnspec_command: Any) -> None:
    g = Graph(3, 16, 16)
    x = g.node("MaxPool", g.conv("input", 3, 4), kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Resize", x, "", g.array([1, 1, 2, 2]), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    made = g.model(g.conv(x, 4, 2))
    for n, axis in ((2, "height"), (3, "width")):
        made.graph.input[0].type.tensor_type.shape.dim[n].dim_param = axis
    found = raised(made, "m.onnx", "m")
    assert "inputs: {input: {shape: [3, height, width]}}" in found.text and "scale: 2" in found.text
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    assert nnspec_command("import", tmp_path / "m.onnx", "-o", tmp_path, "--axis", "height=32", "--axis", "width=48").code == 0
    spec = nnspec.load(tmp_path / "m.yaml")
    assert spec.inputs["input"].shape == (3, 32, 48)
    assert nnspec_command("import", tmp_path / "m.onnx", "-o", tmp_path / "b", "--axis", "depth=2").code == 2


def test_what_no_layer_says_for_every_length_asks_for_one(tmp_path: Path) -> None:
    g = Graph(4, 8)
    made = g.model(g.node("Flatten", g.node("Relu", "input"), axis=1))
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "time"
    assert "shape: [time, 8]" in raised(made, "m.onnx", "m").text
    g = Graph(4, 8)
    made = g.model(g.node("Slice", "input", g.array([-3], np.int64), g.array([-1], np.int64), g.array([1], np.int64)))
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "time"
    with pytest.raises(nnspec.DataError, match="depends on the length of an axis"):
        raised(made, "m.onnx", "m")
    assert raised(made, "m.onnx", "m", lengths={"time": 4}).text


def sequence() -> Any:
    """Vectors of a table, attention behind a mask with infinity, and a product over rows and places together."""
    g = Graph(5)
    x = g.node("Gather", g.weight(11, 8), "input")
    x = g.node("Add", x, g.weight(1, 5, 8))
    q, k, v = (g.node("MatMul", x, g.weight(8, 8)) for _ in range(3))
    scores = g.node("Mul", g.node("MatMul", q, g.node("Transpose", k, perm=[0, 2, 1])), g.array(0.35))
    mask = np.triu(np.full((5, 5), -np.inf), 1)
    y = g.node("MatMul", g.node("Softmax", g.node("Add", scores, g.array(mask)), axis=-1), v)
    x = g.node("LayerNormalization", g.node("Add", x, y), g.weight(8), g.weight(8), axis=-1)
    flat = g.node("Reshape", x, g.array([-1, 8], np.int64))
    flat = g.node("Relu", g.node("Gemm", flat, g.weight(8, 6), g.weight(6)))
    x = g.node("Reshape", g.node("Gemm", flat, g.weight(6, 3), g.weight(3)), g.array([-1, 5, 3], np.int64))
    made = g.model(g.node("ReduceMean", x, axes=[1], keepdims=0))
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    return made


def test_attention_over_vectors_of_a_table_is_raised(tmp_path: Path) -> None:
    found = agrees(sequence(), tmp_path)
    assert "embedding" in found.text and "layer_norm" in found.text and "transpose: true" in found.text


WRONG: set[str] = set()


@pytest.mark.skipif(not FULL, reason="the cases alone take half a minute to make")
def test_onnx_s_own_cases_are_raised_to_equal_answers_or_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = [c for c in load_model_tests(kind="node") if c.model.graph.input]
    equal, wrong = 0, []
    for case in cases:
        inputs, wanted = ([array(a) for a in part] for part in case.data_sets[0])
        if not all(isinstance(a, np.ndarray) and 0 not in a.shape for a in inputs):
            continue
        made = onnx.ModelProto()
        made.CopyFrom(case.model)
        fed = inputs[:1]
        for entry, values in zip(list(made.graph.input)[1:], inputs[1:], strict=False):  # what has rows is fed, the rest is held
            rows = values.ndim and values.ndim == fed[0].ndim and values.shape[0] == fed[0].shape[0] and values.dtype == fed[0].dtype
            if rows and case.name.split("_")[1] in ("add", "sub", "mul", "div", "max", "min", "concat", "matmul", "where", "less", "greater", "gridsample"):
                fed.append(values)
            else:
                made.graph.initializer.append(numpy_helper.from_array(values, entry.name))
        try:
            with np.errstate(all="ignore"):
                found = raised(made, case.name, "case")
                write(found, tmp_path / "case.yaml", tmp_path / "case.safetensors")
                model = compile(nnspec.load(tmp_path / "case.yaml"), backend="interpret")
                answers = model.predict(dict(zip(model.spec.inputs, fed, strict=True)), raw=True)
        except NnspecError as e:
            assert len(e.problems) == 1
            continue
        ours = list(answers.values()) if isinstance(answers, dict) else [answers]
        good = all(y.shape == t.shape and np.allclose(y.astype(float), t.astype(float), rtol=1e-3, atol=1e-5, equal_nan=True)
                   for y, t in zip(ours, wanted, strict=True))
        equal += good
        wrong += [] if good else [case.name]
    assert set(wrong) <= WRONG and equal >= 600


def array(given: Any) -> Any:
    return numpy_helper.to_array(given) if isinstance(given, TensorProto) else given


LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

def drawn(model: Any) -> Any:
    """A light model with weights: what ConstantOfShape stands for in it, drawn."""
    rng = np.random.default_rng(5)
    shapes = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    made = {n.output[0]: tuple(int(d) for d in shapes[n.input[0]]) for n in model.graph.node if n.op_type == "ConstantOfShape"}
    places = {i: (n.op_type, k) for n in model.graph.node for k, i in enumerate(n.input)}
    nodes = [n for n in model.graph.node if n.op_type != "ConstantOfShape"]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for name, shape in made.items():
        kind, place = places.get(name, ("", 0))
        spread = 1 / np.sqrt(max(np.prod(shape[1:]), 1)) if len(shape) > 1 else 0.1
        values = rng.standard_normal(shape) * (spread * 1.4) + (1.0 if kind == "BatchNormalization" and place in (1, 4) else 0.0)
        model.graph.initializer.append(numpy_helper.from_array((np.abs(values) if kind == "BatchNormalization" else values).astype(np.float32), name))
    return model


@pytest.mark.parametrize("name", [p.stem for p in sorted(LIGHT.glob("*.onnx"))] if FULL else ["light_squeezenet"])
def test_onnx_s_light_models_are_raised_and_answer_alike(name: str, tmp_path: Path) -> None:
    model = drawn(onnx.load(LIGHT / f"{name}.onnx"))
    found = agrees(model, tmp_path, rows=1)
    assert found.text.count("\n") < len(model.graph.node)


def test_resnet_50_is_a_page(tmp_path: Path) -> None:
    found = raised(onnx.load(LIGHT / "light_resnet50.onnx"), "resnet50.onnx", "resnet50")
    assert "  - stage: {repeat: {filters: [64, 128, 256, 512], stride: [1, 2, 2, 2], copies: [2, 3, 5, 2]}}\n" in found.text
    assert found.text.count("\n") <= 40 and len(found.weights) == 267


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_no_spec_may_load_are_refused_by_the_name_of_their_tensor(value: float, tmp_path: Path, nnspec_command: Any) -> None:
    g = Graph(1, 4)
    x = g.node("MatMul", "input", g.weight(4, 3))
    onnx.save(g.model(g.node("MatMul", x, g.array(np.where(np.eye(3) > 0, value, 1.0)))), tmp_path / "m.onnx")
    bad = [t.name for t in onnx.load(tmp_path / "m.onnx").graph.initializer if not np.isfinite(numpy_helper.to_array(t)).all()]
    done = nnspec_command("import", tmp_path / "m.onnx", "-o", tmp_path / "there")
    assert len(bad) == 1 and done.code == 3 and not (tmp_path / "there").exists()
    assert done.err.splitlines() == [f"{tmp_path / 'm.onnx'}: weights hold NaN or infinity", f"   found   {bad[0]}", "   wanted  finite numbers"]


def test_a_file_that_is_not_there_leaves_no_folder(tmp_path: Path, nnspec_command: Any) -> None:
    done = nnspec_command("import", tmp_path / "none.onnx", "-o", tmp_path / "there")
    assert done.code == 3 and "there is no such file" in done.err and not (tmp_path / "there").exists()
