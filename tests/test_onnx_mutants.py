"""Damaged and hostile ONNX and safetensors files: one clear error that names the file, no hang, no memory, nothing touched outside of the folder."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.cli import status
from nnspec.errors import DataError, NnspecError, SpecError
from nnspec.runtime.session import compile

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # it needs onnx

from nnspec.interop.onnx_read import read_model  # noqa: E402
from nnspec.interop.transfer import load_all  # noqa: E402
from nnspec.runtime.imported import import_onnx  # noqa: E402
from tests.test_onnx_raise import Graph  # noqa: E402

MUTANTS = 2000 if os.environ.get("NNSPEC_FULL") else 200
SECONDS, MEMORY = 20, 1 << 30
opened: list[str] = []
watching = False


def hook(event: str, args: tuple[Any, ...]) -> None:
    if watching and event in ("open", "os.listdir", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "subprocess.Popen", "socket.connect", "os.system"):
        opened.append(str(args[0]))


sys.addaudithook(hook)


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Time is short, and no file but those of the folder, and of Python itself, is opened."""
    global watching

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    opened.clear()
    watching = True
    try:
        yield
    finally:
        watching = False
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    own = (str(folder), sys.prefix, sys.base_prefix, str(Path(__file__).parent.parent), str(Path(os.environ.get("NNSPEC_CACHE", Path.home() / ".cache" / "nnspec"))))
    assert [p for p in opened if not p.isdigit() and not p.startswith((*own, "/proc", "/sys/fs/cgroup", "/sys/devices"))] == []


def images() -> Any:
    """Convolutions, normalisation, a residual, pools, a product, and shapes that are computed."""
    g = Graph(3, 12, 12)
    x = g.node("Relu", g.norm(g.conv("input", 3, 4), 4))
    x = g.node("Add", g.node("LeakyRelu", g.conv(x, 4, 4, bias=True), alpha=0.1), x)
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4)
    x = g.node("Concat", x, g.node("AveragePool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4), axis=1)
    x = g.node("Slice", x, g.array([0, 1], np.int64), g.array([5, 6], np.int64), g.array([2, 3], np.int64))
    shape = g.node("Concat", g.node("Slice", g.node("Shape", x), g.array([0], np.int64), g.array([1], np.int64)), g.array([-1], np.int64), axis=0)
    x = g.node("Mul", g.node("Reshape", x, shape), g.node("ConstantOfShape", g.array([1], np.int64), value=helper.make_tensor("v", TensorProto.FLOAT, [1], [2.0])))
    return g.model(g.node("Softmax", g.node("Gemm", x, g.weight(5, 200), g.weight(5), transB=1), axis=1))


def rows() -> Any:
    """Products, reductions, a formula and a normalisation over a sequence."""
    g = Graph(6, 4)
    x = g.node("MatMul", "input", g.weight(4, 8))
    x = g.node("LayerNormalization", g.node("Add", x, g.weight(8)), g.weight(8), g.weight(8), axis=-1)
    x = g.node("Mul", x, g.node("Sigmoid", x))
    x = g.node("MatMul", g.node("Transpose", x, perm=[0, 2, 1]), x)
    x = g.node("Where", g.node("Greater", x, g.array(0.0)), g.node("Sqrt", g.node("Abs", x)), g.node("Expand", g.array(0.5), g.array([8, 8], np.int64)))
    x = g.node("Pad", g.node("ReduceMean", x, axes=[1], keepdims=0), g.array([0, 1, 0, 0], np.int64))
    return g.model(g.node("Unsqueeze", g.node("Clip", x, g.array(-1.0), g.array(1.0)), g.array([2], np.int64)))


def bytes_changed(content: bytes, rng: Any) -> bytes:
    """Cut off, or with some bytes of another value, most of them where nodes, names and shapes stand."""
    if rng.random() < 0.2:
        return content[: int(rng.integers(len(content)))]
    mutant = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        end = min(len(mutant), 2500)
        at = int(rng.integers(end)) if rng.random() < 0.6 else len(mutant) - 1 - int(rng.integers(end))
        mutant[at] = int(rng.integers(256)) if rng.random() < 0.5 else mutant[at] ^ (1 << int(rng.integers(8)))
    return bytes(mutant)


NUMBERS = (0, 1, -1, 2, 7, -5, 255, 1 << 20, 1 << 31, -(1 << 31), (1 << 62), -(1 << 63), (1 << 63) - 1)


def fields_changed(model: Any, rng: Any) -> bytes:
    """A model in which one thing says something else: an attribute, a shape, a type, a name, a number."""
    m = onnx.ModelProto()
    m.CopyFrom(model)
    node = m.graph.node[int(rng.integers(len(m.graph.node)))]
    held = m.graph.initializer[int(rng.integers(len(m.graph.initializer)))]
    number = int(NUMBERS[int(rng.integers(len(NUMBERS)))])

    def attribute() -> None:
        if node.attribute:
            a = node.attribute[int(rng.integers(len(node.attribute)))]
            if a.ints:
                a.ints[int(rng.integers(len(a.ints)))] = number
            elif a.type == onnx.AttributeProto.INT:
                a.i = number
            else:
                a.f = float(rng.choice([0.0, -1.0, np.nan, np.inf, 1e38, 1e-45]))

    def values() -> None:
        a = numpy_helper.to_array(held).copy()
        if a.size:
            flat = a.reshape(-1)
            flat[int(rng.integers(a.size))] = number if a.dtype.kind == "i" else float(rng.choice([np.nan, np.inf, 1e38, 0.0]))
            held.CopyFrom(numpy_helper.from_array(a, held.name))

    def dims() -> None:
        if held.dims:
            held.dims[int(rng.integers(len(held.dims)))] = number
        else:
            held.dims.append(number)

    def wire() -> None:
        if node.input:
            node.input[int(rng.integers(len(node.input)))] = m.graph.node[int(rng.integers(len(m.graph.node)))].output[0]

    def given() -> None:
        d = m.graph.input[0].type.tensor_type.shape.dim
        d[int(rng.integers(len(d)))].dim_value = number

    changes: list[Any] = [
        attribute, values, dims, wire, given, lambda: setattr(held, "data_type", int(rng.integers(25))),
        lambda: setattr(node, "op_type", str(rng.choice(["Conv", "Reshape", "Loop", "Gemm", "Tile", "Expand", "Range", "If", "ConvTranspose", "Resize", "Pad", "System"]))),
        lambda: setattr(m.opset_import[0], "version", abs(number) % (1 << 40)), lambda: setattr(m, "ir_version", abs(number) % (1 << 40)),
        lambda: setattr(node, "name", "a\n- dense: 3 # $(1)"), lambda: setattr(m, "producer_name", "x\nlayers: []"),
        lambda: setattr(m.graph.input[0].type.tensor_type, "elem_type", int(rng.integers(25))), lambda: node.output.append("again"),
        lambda: setattr(node, "domain", "evil"), lambda: m.graph.node.append(node), lambda: m.graph.initializer.append(held),
        lambda: setattr(m.graph.input[0], "name", "$(1/0)\x00"), lambda: node.attribute.append(helper.make_attribute("axis", number)),
    ]  # fmt: skip
    for _ in range(int(rng.integers(1, 3))):
        try:
            changes[int(rng.integers(len(changes)))]()
        except (ValueError, TypeError):  # protobuf does not take it
            continue
    return bytes(m.SerializeToString())


@pytest.mark.parametrize("make", [images, rows])
def test_a_damaged_onnx_file_is_one_clear_error_or_a_spec_that_compiles(make: Any, tmp_path: Path) -> None:
    model = make()
    content, rng = model.SerializeToString(), np.random.default_rng(11)
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with np.errstate(all="ignore"):
        import_onnx(path, tmp_path / "whole")
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(MUTANTS // 2):
        path.write_bytes(fields_changed(model, rng) if i % 2 else bytes_changed(content, rng))
        out = tmp_path / "out"
        try:
            with watched(tmp_path), np.errstate(all="ignore"):
                import_onnx(path, out, force=True)
            if not i % 9:
                nnspec.load(out / "m.yaml")
        except NnspecError as e:
            refused += 1
            assert len(e.problems) == 1 and str(path) in e.problems[0].message, e
    assert refused > MUTANTS // 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "out", "whole"]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


def test_a_damaged_safetensors_file_is_one_clear_error_or_weights(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(images().SerializeToString())
    spec, held = import_onnx(tmp_path / "m.onnx", tmp_path / "there")
    content, rng = held.read_bytes(), np.random.default_rng(12)
    header = int.from_bytes(content[:8], "little")
    loaded = nnspec.load(spec)
    load_all(loaded, np.dtype(np.float32))
    refused = 0
    for i in range(MUTANTS):
        mutant = bytearray(content)
        if i % 4 == 0:
            mutant = mutant[: int(rng.integers(len(mutant)))]
        for _ in range(int(rng.integers(1, 4))):
            if mutant:
                at = int(rng.integers(min(len(mutant), 8 if i % 7 == 0 else 8 + header if i % 3 else len(mutant))))
                mutant[at] = int(rng.integers(256)) if rng.random() < 0.5 else mutant[at] ^ (1 << int(rng.integers(8)))
        held.write_bytes(bytes(mutant))
        try:
            with watched(tmp_path):
                load_all(loaded, np.dtype(np.float32))
        except NnspecError as e:
            refused += 1
            assert isinstance(e, DataError | SpecError) and len(e.problems) == 1 and str(held) in f"{e}", e
    assert refused > MUTANTS // 3


# Files beside the model


def beside(folder: Path, location: str, **more: str) -> Path:
    """A model whose kernel lies in another file."""
    g = Graph(6)
    made = g.model(g.node("Gemm", "input", g.weight(6, 4), g.weight(4)))
    t = made.graph.initializer[0]
    content = t.raw_data
    t.ClearField("raw_data")
    t.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        t.external_data.add(key=key, value=value)
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    (folder / "m.data").write_bytes(b"1234" + content)
    return folder / "m.onnx"


@pytest.fixture
def nnspec_command(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*args: object) -> SimpleNamespace:
        code = status([str(a) for a in args])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


def test_tensors_beside_the_model_are_read_where_that_is_asked_for_alone(tmp_path: Path, nnspec_command: Any) -> None:
    path = beside(tmp_path, "m.data", offset="4", length="96")
    refused = nnspec_command("import", path, "-o", tmp_path / "out")
    assert refused.code == 3 and "lies in another file, and none is opened" in refused.err and "--external-data" in refused.err
    assert not (tmp_path / "out").exists()
    done = nnspec_command("import", path, "-o", tmp_path / "out", "--external-data")
    assert done.code == 0, done.err
    kernel = np.frombuffer((tmp_path / "m.data").read_bytes()[4:], np.float32).reshape(6, 4)
    found = compile(nnspec.load(tmp_path / "out" / "m.yaml")).predict(np.eye(6, dtype=np.float32))
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(kernel, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("location", "more", "said"), [
    ("../m.data", {}, "not beside the model"), ("/etc/passwd", {}, "not beside the model"), ("sub/m.data", {}, "not beside the model"),
    ("..", {}, "not beside the model"), ("", {}, "not beside the model"), ("a\\b", {}, "not beside the model"), ("none", {}, "cannot be read"),
    ("link", {}, "cannot be read"), ("folder", {}, "cannot be read"), ("pipe", {}, "no plain file"), ("m.data", {"offset": "8"}, "is cut off"),
    ("m.data", {"offset": "-1"}, "the offset of"), ("m.data", {"length": "95"}, "another length"), ("m.data", {"offset": "9" * 30}, "the offset of"),
])  # fmt: skip
def test_what_is_no_plain_file_beside_the_model_is_refused(location: str, more: dict[str, str], said: str, tmp_path: Path) -> None:
    path = beside(tmp_path, location, **more)
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with watched(tmp_path), pytest.raises(DataError, match=said) as e:
        read_model(path, external=True)
    assert str(path) in str(e.value)


def test_a_tensor_of_a_function_that_lies_elsewhere_is_not_opened(tmp_path: Path) -> None:
    t = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    t.external_data.add(key="location", value="secret")
    body = helper.make_function("own", "Own", ["x"], ["y"], [helper.make_node("Constant", [], ["c"], value=t), helper.make_node("Add", ["x", "c"], ["y"])],
                                [helper.make_opsetid("", 17)])
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Own", ["x"], ["y"], domain="own")], "g", info[:1], info[1:])
    made = helper.make_model(graph, functions=[body], opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with watched(tmp_path), pytest.raises(DataError, match="lies in another file, and none is opened"):
        read_model(tmp_path / "m.onnx")
