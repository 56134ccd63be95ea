"""Weights out of ONNX files: what PyTorch exports fills the zoo's specs by their tables, and a damaged file is one clear error."""

from __future__ import annotations

import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.errors import DataError, NnspecError, SpecError
from nnspec.runtime.session import Model, compile

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
torch = pytest.importorskip("torch", reason="torch is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # it needs onnx

from tests.zoo_twins import filled  # noqa: E402  # it needs torch

nn = torch.nn


class Unit(nn.Module):  # type: ignore[name-defined, misc]  # torch is looked for
    """Two convolutions, and what stands beside them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)) if stride > 1 else None

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):  # type: ignore[name-defined, misc]  # as above
    """ResNet-18, by torchvision's names, narrow."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.maxpool = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.MaxPool2d(3, 2, 1)
        for i in range(4):
            before, after = width * 2 ** max(i - 1, 0), width * 2**i
            setattr(self, f"layer{i + 1}", nn.Sequential(Unit(before, after, 1 if not i else 2), Unit(after, after, 1)))
        self.fc = nn.Linear(8 * width, classes)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


def exported(module: Any, x: Any, path: Path, whole: bool = True) -> Path:
    """A module as torch.onnx.export writes it, with every parameter by its name, or folded into one another."""
    mode = torch.onnx.TrainingMode.PRESERVE if whole else torch.onnx.TrainingMode.EVAL
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (x,), str(path), dynamo=False, opset_version=17, training=mode, do_constant_folding=not whole)
    return path


def spec(weights: str, layers: str, inputs: str = "{x: {shape: [6]}}") -> Model:
    return compile(loads(f"nnspec: 1\nname: a\ninputs: {inputs}\nlayers: {layers}\nweights: {weights}\n", "a.yaml"))


def test_a_resnet_that_pytorch_exports_fills_the_zoo_s_by_torchvision_s_table(tmp_path: Path) -> None:
    import nnspec

    twin = filled(ResNet(4, 5)).float().eval()
    x = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    path = exported(twin, x, tmp_path / "resnet18.onnx")
    root = Path(nnspec.__file__).parent.parent / "specs" / "zoo"
    model = compile(nnspec.load(root / "torchvision_resnet.yaml", set=SETTINGS | {"weights": {"from": str(path), "rename": "renames/torchvision_resnet.yaml"}}))
    with torch.no_grad():
        wanted = twin(x).numpy()
    y = model.predict(x.numpy().transpose(0, 2, 3, 1), raw=True)
    assert np.abs(y - wanted).max() <= 2e-6 * np.abs(wanted).max()
    folded = exported(twin, x, tmp_path / "folded.onnx", whole=False)
    with pytest.raises(SpecError, match="do_constant_folding=False") as e:
        compile(nnspec.load(root / "torchvision_resnet.yaml", set=SETTINGS | {"weights": {"from": str(folded), "rename": "renames/torchvision_resnet.yaml"}}))
    assert len(e.value.problems) == 1


SETTINGS = {"vars.depth": 18, "vars.width": 4, "vars.classes": 5, "inputs.image.shape": [48, 48, 3]}


@pytest.mark.parametrize("kind", ["Gemm", "transB", "MatMul"])
def test_factors_of_a_product_are_known_by_who_reads_them(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((6, 4)).astype(np.float32), rng.standard_normal(4).astype(np.float32)
    held = [numpy_helper.from_array(np.ascontiguousarray(w.T) if kind == "transB" else w, "head.weight"), numpy_helper.from_array(b, "head.bias"),
            numpy_helper.from_array(np.array([1, -1]), "shape"), numpy_helper.from_array(np.float32(0.5), "one")]
    if kind == "MatMul":
        nodes = [helper.make_node("MatMul", ["x", "head.weight"], ["m"]), helper.make_node("Add", ["m", "head.bias"], ["y"])]
    else:
        nodes = [helper.make_node("Gemm", ["x", "head.weight", "head.bias"], ["y"], transB=int(kind == "transB"))]
    model = spec(file(nodes, held, tmp_path), "[dense: {name: head, units: 4}]")
    np.testing.assert_array_equal(np.asarray(model.parameters["head/kernel"]), w)
    np.testing.assert_array_equal(np.asarray(model.parameters["head/bias"]), b)


def file(nodes: list[Any], held: list[Any], folder: Path) -> str:
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", d]) for n, d in (("x", 6), ("y", 4))]
    made = helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:], held), opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    return str(folder / "m.onnx")


def test_constants_and_equal_weights_under_another_name_are_weights_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    w = rng.standard_normal((6, 6)).astype(np.float32)
    nodes = [helper.make_node("Constant", [], ["a.weight"], value=numpy_helper.from_array(w)), helper.make_node("Identity", ["a.weight"], ["b.weight"]),
             helper.make_node("Gemm", ["x", "a.weight"], ["h"], transB=1), helper.make_node("Gemm", ["h", "b.weight"], ["i"], transB=1),
             helper.make_node("MatMul", ["i", "c"], ["y"])]
    c = rng.standard_normal((6, 4)).astype(np.float32)
    text = file(nodes, [numpy_helper.from_array(c, "c")], tmp_path)
    layers = "[dense: {name: a, units: 6, bias: false}, dense: {name: b, units: 6, bias: false}, dense: {name: head, units: 4, bias: false}]"
    model = spec(f"{{from: {text}, rename: {{c: head/weight}}}}", layers.replace(", dense", "}, {dense").replace("[dense", "[{dense").replace("]", "}]"))
    for name, wanted in (("a", w.T), ("b", w.T), ("head", c)):
        np.testing.assert_array_equal(np.asarray(model.parameters[f"{name}/kernel"]), wanted)


def test_another_layout_is_refused_and_tensors_elsewhere_are_not_opened(tmp_path: Path) -> None:
    w = numpy_helper.from_array(np.zeros((6, 4), np.float32), "head.weight")
    nodes = [helper.make_node("MatMul", ["x", "head.weight"], ["y"])]
    text = file(nodes, [w], tmp_path)
    layers = "[dense: {name: head, units: 4, bias: false}]"
    with pytest.raises(SpecError, match="lie as PyTorch's do"):
        spec(f"{{from: {text}, layout: keras}}", layers)
    w.ClearField("raw_data")
    w.data_location = TensorProto.EXTERNAL
    w.external_data.add(key="location", value="../secret.bin")
    with pytest.raises(DataError, match="lies in another file") as e:
        spec(file(nodes, [w], tmp_path), layers)
    assert "--external-data" not in str(e.value) and e.value.problems[0].place is not None
    w = numpy_helper.from_array(np.full((6, 4), np.nan, np.float32), "head.weight")
    with pytest.raises(DataError, match="'head.weight' holds NaN or infinity"):
        spec(file(nodes, [w], tmp_path), layers)


def test_a_damaged_file_is_one_clear_error_that_names_it(tmp_path: Path) -> None:
    w = numpy_helper.from_array(np.arange(24, dtype=np.float32).reshape(6, 4), "head.weight")
    path = Path(file([helper.make_node("MatMul", ["x", "head.weight"], ["y"])], [w], tmp_path))
    content, draw, refused = path.read_bytes(), Random(0), 0
    for _ in range(60):
        held = bytearray(content)
        if draw.random() < 0.3:
            del held[draw.randrange(len(held)):]
        for _ in range(draw.randrange(1, 4) if held else 0):
            held[draw.randrange(len(held))] = draw.randrange(256)
        path.write_bytes(bytes(held))
        try:
            spec(str(path), "[dense: {name: head, units: 4, bias: false}]")
        except NnspecError as e:
            assert len(e.problems) == 1 and ("m.onnx" in str(e) or "head" in str(e))
            refused += 1
    assert refused > 20
