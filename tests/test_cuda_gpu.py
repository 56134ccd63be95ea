"""The class that drives a GPU, over what stands for CuPy, cublasLt and cuDNN: whole steps, captured, are those of NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.errors import ResourceError
from nnspec.ir.types import DType, TensorType
from nnspec.runtime.parity import parity
from nnspec_cupy import BACKEND, convolution
from nnspec_cupy.cublaslt import _alignment
from nnspec_cupy.products import products
from tests.cuda.fake_cupy import FREE, Machine, installed
from tests.cuda.shim import COMPILER
from tests.test_cuda_products import placed

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
QUICKSTART = Path(__file__).resolve().parent.parent / "specs" / "quickstart"
NET = """
nnspec: 1
name: small
inputs: {x: {shape: [SHAPE]}}
layers: [LAYERS]
loss: mse
optimizer: {sgd: {learning_rate: 0.01, momentum: 0.9}}
batch_size: 6
"""
NETS = {
    "one axis, asymmetric": ("9, 4", "conv1d: {filters: 6, kernel: 4, padding: same}, relu, flatten, dense: 2"),
    "two axes, stride": ("8, 7, 3", "conv2d: {filters: 4, kernel: 3, stride: 2, padding: same}, batch_norm, relu, flatten, dense: 2"),
    "groups, dilation": ("8, 8, 4", "conv2d: {filters: 6, kernel: 3, groups: 2, dilation: 2}, flatten, dense: 2"),
    "three axes": ("4, 5, 4, 2", "conv3d: {filters: 3, kernel: 2}, relu, flatten, dense: 2"),
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Machine, Any, Any]]:
    found = Machine()
    gpu, lt, _ = installed(found, monkeypatch)
    monkeypatch.setattr(BACKEND, "_given", gpu)
    monkeypatch.delitem(BACKEND.__dict__, "device", raising=False)
    yield found, gpu, lt
    BACKEND.__dict__.pop("device", None)


def test_a_quickstart_spec_takes_its_steps(machine: Any) -> None:
    found = parity(nnspec.load(QUICKSTART / "xor.yaml").with_(math="strict"), ("numpy", "cupy"), 5, 1e-5, {})
    assert found.passed, sorted(found.found, key=lambda d: -d.relative)[:3]
    made, _, lt = machine
    assert lt.products > 5 and any(name.startswith("halt_") for name in made.launched)


def test_a_spec_trains_to_its_end(machine: Any, tmp_path: Path) -> None:
    spec = nnspec.load(QUICKSTART / "xor.yaml")
    runs = [nnspec.compile(spec, backend=b).fit(epochs=6) for b in ("numpy", "cupy")]
    losses = [[e["train.loss"] for e in r.history] for r in runs]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.parametrize("cudnn", [False, True], ids=["products", "cudnn"])
@pytest.mark.parametrize("name", NETS)
def test_convolutions_take_their_steps(machine: Any, tmp_path: Path, name: str, cudnn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: cudnn)
    shape, layers = NETS[name]
    (tmp_path / "net.yaml").write_text(NET.replace("SHAPE", shape).replace("[LAYERS]", "\n" + "\n".join(f"  - {part}" for part in parts(layers))))
    spec = nnspec.load(tmp_path / "net.yaml").with_(math="strict")
    r = np.random.default_rng(0)
    batch = {"x": r.normal(size=(6, *map(int, shape.split(",")))).astype(np.float32), "target": r.normal(size=(6, 2)).astype(np.float32)}
    models = [nnspec.compile(spec, backend=b) for b in ("numpy", "cupy")]
    for _ in range(3):
        one, other = (m.train_batch(batch)["loss"] for m in models)
        assert other == pytest.approx(one, rel=2e-5)
    for path, values in models[0].state().items():
        np.testing.assert_allclose(models[1].state()[path], values, rtol=2e-4, atol=2e-5, err_msg=path)


def parts(layers: str) -> list[str]:
    found, depth, start = [], 0, 0
    for i, c in enumerate(layers + ","):
        depth += (c == "{") - (c == "}")
        if c == "," and not depth:
            found.append(layers[start:i].strip())
            start = i + 1
    return found


def test_parts_of_arrays_are_multiplied_from_where_they_begin(machine: Any) -> None:
    _, gpu, _ = machine
    a, b, y = (placed(n, s, DType.float32) for n, s in (("a", (3, 4)), ("b", (4, 5)), ("y", (3, 5))))
    block = gpu.allocate(1000)
    moved = [type(x)(x.name, TensorType(x.shape, DType.float32), "all", offset, x.strides) for x, offset in ((a, 4), (b, 132), (y, 520))]
    for c in products(*moved):
        gpu.bind(c, lambda _: block)()
    gpu.synchronize()
    assert [_alignment(n) for n in (4, 132, 520, 256, 4096)] == [4, 4, 8, 256, 256]


def test_memory_that_cannot_be_had_is_said(machine: Any) -> None:
    _, gpu, _ = machine
    with pytest.raises(ResourceError, match="cannot be had on made-up GPU") as told:
        gpu.allocate(FREE + 1)
    assert "bytes free of" in str(told.value)


def test_a_capture_that_breaks_is_ended(machine: Any) -> None:
    _, gpu, _ = machine
    with pytest.raises(ResourceError, match="8 bytes cannot be had"):
        gpu.capture(lambda: gpu.allocate(8))
    replay = gpu.capture(lambda: None)
    replay()
    gpu.synchronize()


def test_what_the_device_says_of_itself(machine: Any) -> None:
    _, gpu, _ = machine
    assert (gpu.name, gpu.arch) == ("made-up GPU", "sm_90")
    assert gpu.speed().flops == pytest.approx(0.7 * 132 * 256 * 1.98e9) and gpu.speed().bytes == pytest.approx(0.7 * 2 * 3.201e9 * 768)
    first, last = gpu.mark(), gpu.mark()
    gpu.wait(last)
    assert gpu.seconds(first, last) >= 0
    assert "made-up GPU, sm_90" in BACKEND.status()
