"""Exported models pass ONNX's checker and answer in onnxruntime as they do here: op by op, in other orders of axes, and for every shipped spec."""

from __future__ import annotations

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnspec
from nnspec.cli import status
from nnspec.errors import MissingExtraError, SpecError
from nnspec.ir.graph import Graph, Value, abstract, constant
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Op, Sample
from nnspec.ir.types import BATCH, DType, TensorType
from nnspec.ops import activation, conv, elementwise, movement, pool, reduce, resample, softmax
from nnspec.runtime.export import export, onnx_model
from nnspec.runtime.session import Model, compile
from tests.drawn import shipped
from tests.moved import moved
from tests.test_ops import CASES, arrays_of, results

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
from nnspec.interop.onnx_axes import runs  # noqa: E402  # as the next
from nnspec.interop.onnx_export import to_onnx  # noqa: E402  # it needs onnx

ROOT = Path(__file__).parent.parent / "specs"
FULL = bool(os.environ.get("NNSPEC_FULL"))
QUICKSTART = sorted(p.stem for p in (ROOT / "quickstart").glob("*.yaml"))
# of those that say boxes other tests fill the weights: where nothing was learned, rounding decides which of two boxes is the better
BOXES = ("non_max_suppression", "blocks/rcnn.yaml")
ZOO = sorted(p.stem for p in (ROOT / "zoo").glob("*.yaml") if p.stem != "index" and not any(word in p.read_text("utf-8") for word in BOXES))
IN_CI = {"lenet5", "mlp", "mobilenet_v2", "unet_small", "vgg_small"}
# What only training, gradients, metrics and the planner ask for, and random numbers.
NOT_WRITTEN = {"AllFinite", "AvgPoolGrad", "ConvKernelGrad", "MaxPoolGrad", "MaxPoolPick", "Pack", "ResampleAxesGrad", "ResampleGrad",
               "RoiAlignGrad", "TopK", "Unpack"}
PARTS = {"ResampleAxesGrad": "ResampleGrad"}  # composites, and the op in them that is not written


def answers(model: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def kinds(model: Any) -> Counter[str]:
    return Counter(n.op_type for n in model.graph.node)


def single(a: Any) -> Any:
    a = np.asarray(a)
    return a.astype(np.float32) if a.dtype == np.float64 else a


def written(op: Op, arrays: list[Any]) -> Any:
    inputs = [abstract(TensorType(a.shape, DType(a.dtype.name)), f"x{i}") for i, a in enumerate(arrays)]
    made = op(*inputs)
    outputs = made if isinstance(made, tuple) else (made,)
    outputs = outputs[: len(outputs) - op.auxiliary]
    return to_onnx(Graph({f"y{i}": v for i, v in enumerate(outputs)}), {f"y{i}": f"y{i}" for i in range(len(outputs))}, {}, {}, "one", {})


@pytest.mark.parametrize(("cls", "sample"), CASES)
def test_every_sample_of_an_op_is_computed_by_onnxruntime_or_refused_by_name(cls: type[Op], sample: Sample) -> None:
    attributes = {k: DType.float32 if v == DType.float64 else v for k, v in sample.attributes.items()}
    op, arrays = cls(**attributes), [single(a) for a in arrays_of(cls, sample)]
    try:
        model = written(op, arrays)
    except SpecError as e:
        assert cls.__name__ in NOT_WRITTEN or op.random or any(attributes.get("inner", ())), e
        assert f"the op {PARTS.get(cls.__name__, cls.__name__)}" in str(e)
        return
    assert cls.__name__ not in NOT_WRITTEN
    found = answers(model, {f"x{i}": a for i, a in enumerate(arrays)})
    for y, wanted in zip(found.values(), results(op, arrays), strict=False):
        np.testing.assert_allclose(y, wanted, rtol=2e-5, atol=1e-5)


# Orders of axes


def image(*shape: int, label: str = "x") -> Value:
    return abstract(TensorType((BATCH, *shape)), label)


def filters(rng: np.random.Generator, x: Value, out: int) -> Value:
    return constant(rng.standard_normal((3, 3, int(x.shape[-1]), out)) * 0.2, DType.float32)  # type: ignore[arg-type]  # channels are known


def filled(rng: np.random.Generator, x: Value, out: int) -> Value:
    return conv.Conv((1, 1), "same", (1, 1)).one(x, filters(rng, x, out))


def cells(x: Value, apart: tuple[int, int, int], axes: tuple[int, ...]) -> Value:
    """Channels in three parts, two of which become places."""
    rows, high, wide, _ = x.shape
    turned = movement.transpose(movement.reshape(x, (rows, high, wide, *apart)), axes)
    s = turned.shape
    return movement.reshape(turned, (rows, s[1] * s[2], s[3] * s[4], s[5]))


def uncelled(x: Value, axes: tuple[int, ...]) -> Value:
    """Places in cells of two by two that become channels, where they fill the image."""
    rows, high, wide, n = x.shape
    if high % 2 or wide % 2:  # type: ignore[operator]  # bound
        return x
    return movement.reshape(movement.transpose(movement.reshape(x, (rows, high // 2, 2, wide // 2, 2, n)), axes), (rows, high // 2, wide // 2, n * 4))


def turn(rng: np.random.Generator, x: Value, before: list[Value]) -> Value:
    """One more op on an image."""
    n = int(x.shape[-1])  # type: ignore[arg-type]  # channels are known
    vector = constant(rng.standard_normal(n), DType.float32)
    alike = [v for v in before if v.shape == x.shape] or [x]
    choices = [
        lambda: conv.Conv((1, 1), "same", (1, 1)).one(x, filters(rng, x, int(rng.integers(1, 5)))),
        lambda: conv.ConvInputGrad((1, 1), "same", (1, 1), 1, x.shape[1:3]).one(x, constant(rng.standard_normal((3, 3, 2, n)) * 0.2, DType.float32)),
        lambda: pool.AvgPool((3, 3), (1, 1), "same").one(x),
        lambda: x + vector, lambda: x * vector, lambda: vector - x, lambda: x - vector, lambda: x * 0.5,
        lambda: elementwise.relu(x), lambda: elementwise.tanh(x), lambda: activation.clip(x, -1.0, 1.0), lambda: softmax.softmax(x),
        lambda: alike[int(rng.integers(len(alike)))] + x, lambda: movement.concat((x, *alike[:1])),
        lambda: elementwise.where(elementwise.less(x, 0.1), x, vector),
        lambda: x - reduce.max_(x, int(rng.integers(1, 4)), keep=True),
        lambda: x * reduce.mean(x, (1, 2), keep=True),
        lambda: x * reduce.mean(x, (1, 2, 3), keep=True),
        lambda: x + movement.reshape(reduce.mean(x, (1, 2)), (BATCH, 1, 1, n)),
        lambda: x + reduce.max_(reduce.max_(x, 0), 0),
        lambda: movement.slice_axis(movement.Pad((0, 1, 0, 0), (0, 0, 2, 0), (0, 0, 0, 0), 0.5).one(x), 1, 1, x.shape[1] + 1),
        lambda: movement.transpose(x, (0, 2, 1, 3)), lambda: movement.transpose(elementwise.sin(x), (0, 3, 1, 2)),
        lambda: movement.broadcast_to(reduce.max_(x, 3, keep=True), x.shape),
        lambda: movement.reshape(movement.reshape(x, (BATCH, x.shape[1] * x.shape[2] * n)), (BATCH, x.shape[2], x.shape[1], n)),
        lambda: movement.reshape(movement.transpose(movement.reshape(x, (BATCH, *x.shape[1:3], 1, n)), (0, 1, 2, 4, 3)), x.shape),
        lambda: movement.reshape(movement.reshape(filled(rng, x, 4), (BATCH, x.shape[1], x.shape[2] * 4)), (BATCH, *x.shape[1:3], 4)),
        lambda: cells(filled(rng, x, 8), (2, 2, 2), (0, 1, 3, 2, 4, 5)), lambda: cells(filled(rng, x, 8), (2, 2, 2), (0, 1, 4, 2, 5, 3)),
        lambda: cells(filled(rng, x, 8), (2, 2, 2), (0, 1, 5, 2, 4, 3)), lambda: cells(filled(rng, x, 18), (2, 3, 3), (0, 1, 4, 2, 5, 3)),
        lambda: movement.transpose(movement.reshape(filled(rng, x, 4), (BATCH, x.shape[1] * x.shape[2], 2, 2)), (0, 2, 1, 3)),
        lambda: uncelled(x, (0, 1, 3, 2, 4, 5)), lambda: uncelled(x, (0, 1, 3, 5, 2, 4)),
        lambda: resample.Resample(2, "linear", None, 0, 5).one(x), lambda: resample.Resample(1, "nearest", None, 0, 3).one(x),
    ]  # fmt: skip
    return choices[int(rng.integers(len(choices)))]()


@pytest.mark.parametrize("seed", range(400 if FULL else 40))
def test_graphs_of_images_answer_alike_in_whatever_order_their_axes_are_written(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [image(4, 4, 3)]
    for _ in range(int(rng.integers(2, 14))):
        values.append(turn(rng, values[-1], values[:-1]))
    graph = Graph({"y": values[-1], "z": values[int(rng.integers(1, len(values)))]})
    model = to_onnx(graph, {"y": "y", "z": "z"}, {}, {}, "drawn", {})
    for rows in (2, 3):
        x = rng.standard_normal((rows, 4, 4, 3)).astype(np.float32)
        found = answers(model, {"x": x} if graph.inputs else {})
        wanted = bound_results(seed, x)
        for name in ("y", "z"):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(wanted[name]).max())))


def bound_results(seed: int, x: Any) -> dict[str, Any]:
    """The same graph over the rows of ``x``, by the ops' references."""
    rng = np.random.default_rng(seed)
    batch, globals()["BATCH"] = BATCH, len(x)
    try:
        values = [image(4, 4, 3)]
        for _ in range(int(rng.integers(2, 14))):
            values.append(turn(rng, values[-1], values[:-1]))
        return dict(interpret(Graph({"y": values[-1], "z": values[int(rng.integers(1, len(values)))]}), {"x": x}))
    finally:
        globals()["BATCH"] = batch


@pytest.mark.parametrize(("apart", "axes", "kind"), [((2, 3, 3), (0, 1, 4, 2, 5, 3), "DepthToSpace"), ((3, 3, 2), (0, 1, 3, 2, 4, 5), "DepthToSpace"), ((2, 3, 3), (0, 1, 5, 2, 4, 3), "Transpose")])
def test_cells_of_channels_become_places_between_convolutions_without_a_turn_to_channels_last(apart: Any, axes: Any, kind: str) -> None:
    rng = np.random.default_rng(0)
    y = filled(rng, cells(filled(rng, image(4, 5, 3), 18), apart, axes), 2)
    made = kinds(to_onnx(Graph({"y": y}), {"y": "y"}, {}, {}, "cells", {}))
    assert made["Transpose"] == 2 + (kind == "Transpose") and made["DepthToSpace"] == (kind == "DepthToSpace") and made["Reshape"] == 2 * (kind == "Transpose")


def test_places_become_channels_and_joined_places_stay_where_they_are() -> None:
    rng = np.random.default_rng(0)
    made = kinds(to_onnx(Graph({"y": filled(rng, uncelled(filled(rng, image(4, 6, 3), 4), (0, 1, 3, 2, 4, 5)), 2)}), {"y": "y"}, {}, {}, "cells", {}))
    assert made["SpaceToDepth"] == 1 and made["Transpose"] == 2 and not made["Reshape"]
    tokens = movement.reshape(filled(rng, image(4, 6, 3), 4), (BATCH, 24, 4))
    made = kinds(to_onnx(Graph({"y": reduce.mean(elementwise.relu(tokens), 1)}), {"y": "y"}, {}, {}, "tokens", {}))
    assert made["Transpose"] == 1 and made["Reshape"] == 1, made


@given(st.lists(st.sampled_from([1, 2, 3, 4, 6]), max_size=5), st.data())
def test_a_reshape_is_reshapes_of_the_parts_that_hold_the_same_elements(old: list[int], data: st.DataObject) -> None:
    factors = [p for d in old for p in {4: (2, 2), 6: (2, 3)}.get(d, (d,))]
    new: list[int] = []
    for p in factors:
        if new and data.draw(st.booleans()):
            new[-1] *= p
        else:
            new.append(p)
    groups = runs(tuple(old), tuple(new))
    assert [i for taken, _ in groups for i in taken] == [i for i, d in enumerate(old) if d != 1]
    assert [j for _, made in groups for j in made] == list(range(len(new)))
    for taken, made in groups:
        assert math.prod(old[i] for i in taken) == math.prod(new[j] for j in made)


def test_batch_norm_goes_into_the_convolution_but_not_into_a_kernel_that_another_reads() -> None:
    rng = np.random.default_rng(0)
    x, kernel = image(4, 4, 2), constant(rng.standard_normal((3, 3, 2, 3)), DType.float32)
    scale, shift = (constant(rng.standard_normal(3), DType.float32) for _ in range(2))
    first = (conv.Conv((1, 1), "same", (1, 1)).one(x, kernel) - shift) * scale + shift
    second = conv.Conv((1, 1), "same", (1, 1)).one(x, kernel)
    model = to_onnx(Graph({"a": first, "b": second}), {"a": "a", "b": "b"}, {}, {}, "shared", {})
    assert kinds(model)["Conv"] == 2 and not kinds(model)["Mul"] + kinds(model)["Add"] + kinds(model)["Sub"]
    fed = rng.standard_normal((2, 4, 4, 2)).astype(np.float32)
    found = answers(model, {"x": fed})
    plain = conv.Conv((1, 1), "same", (1, 1)).reference(fed, kernel.op.data)  # type: ignore[attr-defined]  # a constant's
    np.testing.assert_allclose(found["b"], plain, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["a"], (plain - shift.op.data) * scale.op.data + shift.op.data, rtol=1e-5, atol=1e-5)  # type: ignore[attr-defined]  # constants'


def test_an_image_that_is_repeated_is_resized_by_one_node() -> None:
    text = "nnspec: 1\ninputs: {image: {shape: [4, 5, 3]}}\nlayers: [conv2d: {filters: 2, kernel: 1}, upsample2d: [3, 2], conv2d: {filters: 2, kernel: 1}]\n"
    made = check_spec(moved(compile(nnspec.compiler.loads(text))), raw=True)
    assert [n.op_type for n in made.graph.node] == ["Transpose", "Conv", "Resize", "Conv", "Transpose"]


def test_lengths_that_are_open_stay_open() -> None:
    time = TensorType((BATCH, 3, nnspec.ir.types.symbol("time"), 2))
    x = abstract(time, "x")
    flat = movement.reshape(x, (BATCH * time.shape[2], 6))
    wide = movement.broadcast_to(reduce.max_(x, (0, 2), keep=True), x.shape)
    model = to_onnx(Graph({"y": flat, "z": wide}), {"y": "y", "z": "z"}, {}, {}, "open", {})
    for rows, long in ((2, 5), (1, 4)):
        fed = np.arange(rows * long * 6, dtype=np.float32).reshape(rows, 3, long, 2)
        found = answers(model, {"x": fed})
        np.testing.assert_array_equal(found["y"], fed.reshape(-1, 6))
        np.testing.assert_array_equal(found["z"], np.broadcast_to(fed.max((0, 2), keepdims=True), fed.shape))


# Specs


def check_spec(model: Model, raw: bool, exact: Callable[[], Model] | None = None) -> Any:
    """What onnxruntime answers is within 1e-5 of the largest of ours, or of ours in float64 (``exact``): single precision of many layers strays on both sides."""
    made = onnx_model(model, raw)
    inputs = model.spec.built.network.inputs
    assert [i.name for i in made.graph.input] == list(inputs)
    assert [o.name for o in made.graph.output] == list(model.spec.built.network.output_names)
    rng = np.random.default_rng(1)
    for rows in (1, 3):
        feeds = {}
        for name, t in inputs.items():
            shape = (rows, *(d if isinstance(d, int) else 7 for d in t.shape[1:]))
            feeds[name] = rng.standard_normal(shape).astype(t.dtype.numpy) if t.dtype.is_float else rng.integers(0, 2, shape).astype(t.dtype.numpy)
            if name == "adjacency":  # rows and columns that are there
                feeds[name][..., :2] = rng.integers(0, 7, (*shape[:2], 2))
        theirs = answers(made, feeds)
        far = distances(model, feeds, theirs, raw)
        if exact is not None and max(far.values()) > 1e-5:
            assert max(far.values()) < 2e-5, far
            far = distances(exact(), {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in feeds.items()}, theirs, raw)
        assert max(far.values()) <= 1e-5, far
    return made


def distances(model: Model, feeds: dict[str, Any], theirs: dict[str, Any], raw: bool) -> dict[str, float]:
    ours = model.predict(feeds, raw=raw)
    named = ours if isinstance(ours, dict) else dict(zip(theirs, [ours], strict=True))
    return {name: float(np.abs(y - theirs[name]).max() / max(np.abs(y).max(), 1e-6)) for name, y in named.items()}


@pytest.mark.parametrize("name", QUICKSTART)
def test_a_quickstart_spec_answers_alike_in_onnxruntime(name: str) -> None:
    model = moved(compile(nnspec.load(shipped(name))))
    for raw in (False, True):
        check_spec(model, raw)


@pytest.mark.parametrize("name", ZOO if FULL else sorted(IN_CI.intersection(ZOO)))
def test_a_network_of_the_zoo_answers_alike_in_onnxruntime_with_few_transposes(name: str) -> None:
    model = moved(compile(nnspec.load(ROOT / "zoo" / f"{name}.yaml")))

    def exact() -> Model:
        double = compile(nnspec.load(ROOT / "zoo" / f"{name}.yaml", set={"precision": "float64"}))
        double.restore({f"parameters/{p}": model.read(p).astype(np.float64) for p in model.parameters})
        return double

    made = check_spec(model, raw=True, exact=exact)
    assert kinds(made)["Transpose"] <= 2, kinds(made)


def test_every_weight_keeps_its_name_and_the_metadata_say_what_a_reader_needs() -> None:
    spec = nnspec.load(shipped("iris"), set={"epochs": 1})
    model = compile(spec)
    model.fit()
    made = onnx_model(model)
    assert {i.name for i in made.graph.initializer} == set(model.parameters)
    said = {p.key: p.value for p in made.metadata_props}
    assert json.loads(said["nnspec.classes"]) == {"output": ["setosa", "versicolor", "virginica"]}
    assert said["nnspec.spec"] == model.spec.text and json.loads(said["nnspec.preparation"]) and json.loads(said["nnspec.columns"])
    assert [d.dim_param or d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim] == ["batch", 4]


# The command


@pytest.fixture
def nnspec_command(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*args: object) -> SimpleNamespace:
        code = status([str(a) for a in args])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "iris"
    compile(nnspec.load(shipped("iris"), set={"epochs": 2})).fit(out=folder)
    return folder


def test_a_run_is_exported_and_the_file_answers(run_folder: Path, tmp_path: Path, nnspec_command: Any) -> None:
    done = nnspec_command("export", run_folder, "-o", tmp_path / "m.onnx")
    assert done.code == 0 and "m.onnx" in done.out, done.err
    made = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(made, full_check=True)
    assert answers(made, {"features": np.zeros((5, 4), np.float32)})["output"].sum() == pytest.approx(5.0)
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_exported_weights_are_what_a_spec_s_weights_take(run_folder: Path, tmp_path: Path, nnspec_command: Any) -> None:
    from nnspec.runtime.saving import load_model

    done = nnspec_command("export", run_folder, "-o", tmp_path / "w.safetensors")
    assert done.code == 0, done.err
    trained = load_model(run_folder)
    text = trained.spec.text.rstrip() + f"\nweights: {{from: {tmp_path / 'w.safetensors'}}}\n"
    (tmp_path / "again.yaml").write_text(text)
    from nnspec.compiler import load

    again = compile(load(tmp_path / "again.yaml"))
    for path in trained.parameters:
        np.testing.assert_array_equal(again.read(path), trained.read(path))


@pytest.mark.parametrize(("target", "said"), [("m.pb", "no format has the ending '.pb'"), ("m", "no ending that says a format"), ("none/m.onnx", "there is no folder")])
def test_a_wrong_file_name_gives_one_clear_error(run_folder: Path, tmp_path: Path, nnspec_command: Any, target: str, said: str) -> None:
    done = nnspec_command("export", run_folder, "-o", tmp_path / target)
    assert done.code == 2 and said in done.err and "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_gives_one_clear_error(tmp_path: Path, nnspec_command: Any) -> None:
    done = nnspec_command("export", tmp_path, "-o", tmp_path / "m.onnx")
    assert done.code == 3 and "is not the folder of a model or a run" in done.err and list(tmp_path.iterdir()) == []


def test_without_onnx_the_error_names_the_install(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnspec.runtime.saving import load_model

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nnspec\[onnx\]'"):
        export(load_model(run_folder), tmp_path / "m.onnx")
    export(load_model(run_folder), tmp_path / "w.safetensors")
