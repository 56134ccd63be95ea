"""The class that drives a GPU, over what stands for CuPy, cublasLt and cuDNN: whole steps, captured, are those of NumPy."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.compiler import compile_graph
from nnspec.errors import Problem, ResourceError
from nnspec.ir.types import DType, TensorType
from nnspec.runtime.parity import parity
from nnspec_cupy import BACKEND, CupyBackend, convolution
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cublaslt import _alignment
from nnspec_cupy.cuda import compile
from nnspec_cupy.emulated import EmulatedDevice
from nnspec_cupy.products import products
from tests.cuda.fake_cupy import FREE, CUDARuntimeError, Machine, installed
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


def test_memory_of_the_host_that_cannot_be_had_is_said(machine: Any) -> None:
    made, gpu, _ = machine
    made.full.add("pinned")
    with pytest.raises(ResourceError, match="of the host's memory cannot be had for copies to made-up GPU"):
        gpu.pinned(8)


def test_programs_that_nobody_uses_make_room(machine: Any) -> None:
    made, gpu, _ = machine

    class Held:
        """What only a collection lets go of."""

        def __init__(self) -> None:
            self.block, self.own = gpu.allocate(FREE // 2), self

    Held()
    assert made.used > FREE // 2
    block = gpu.allocate(FREE * 3 // 4)
    assert block.size == FREE * 3 // 4
    assert gpu.memory()[0] < FREE // 4


def test_what_is_missing_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise ResourceError(Problem("there is no GPU that can be used", found="no NVIDIA driver", hint="on the CPU"))

    monkeypatch.setattr("nnspec_cupy.gpu._find_driver", none)
    monkeypatch.delenv("NNSPEC_GPU", raising=False)
    monkeypatch.setattr("nnspec_cupy.backend.find_spec", lambda name: None)
    with pytest.raises(ResourceError) as told:
        CupyBackend().status()
    (problem,) = told.value.problems
    assert problem.found == "no NVIDIA driver; CuPy is not installed; cuDNN's frontend is not installed"
    assert problem.hint == "pip install 'nnspec[cuda12]' (or cuda13), which brings CuPy and NVRTC; on the CPU"
    monkeypatch.setattr("nnspec_cupy.backend.lacking", lambda: [])
    with pytest.raises(ResourceError) as told:
        CupyBackend().status()
    assert (told.value.problems[0].found, told.value.problems[0].hint) == ("no NVIDIA driver", "on the CPU")


def test_another_gpu_that_a_thread_uses_is_left_as_it_was(machine: Any, tmp_path: Path) -> None:
    made, gpu, _ = machine
    model = nnspec.compile(nnspec.load(QUICKSTART / "xor.yaml"), backend="cupy")
    batch = {name: np.zeros((4, *map(int, t.shape[1:])), t.dtype.numpy) for name, t in model.programs.declared("train").items()}
    made.device = 1
    model.train_batch(batch)
    assert made.device == 1
    gpu.wait(gpu.mark())
    assert made.device == 1


def test_a_gpu_is_refused_in_a_process_that_was_forked(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, gpu, _ = machine
    block = gpu.allocate(8)
    monkeypatch.setattr("nnspec_cupy.gpu.getpid", lambda: -1)
    for used in (lambda: gpu.allocate(8), lambda: gpu.mark(), gpu.copy(block, block, 8), lambda: gpu.load([]), lambda: gpu.capture(lambda: None)):
        with pytest.raises(ResourceError, match="made-up GPU cannot be used here"):
            used()
    monkeypatch.undo()


@pytest.mark.parametrize("real", [True, False], ids=["gpu", "emulated"])
def test_what_another_thread_enqueues_is_no_part_of_a_capture(machine: Any, real: bool) -> None:
    gpu = machine[1] if real else EmulatedDevice()
    source, target, other = gpu.allocate(256), gpu.allocate(256), gpu.pinned(256)
    other[...] = 7
    fill, move, back = gpu.upload(other, source), gpu.copy(source, target, 256), gpu.download(target, host := gpu.pinned(256))
    threads = []

    def work() -> None:
        move()
        threads.append(Thread(target=fill))
        threads[0].start()
        threads[0].join(0.2)
        assert threads[0].is_alive(), "it waits for the end of the capture"

    replay = gpu.capture(work)
    threads[0].join()
    gpu.synchronize()
    other[...] = 9
    replay()
    back()
    gpu.synchronize()
    assert (host == 7).all(), "the upload was done once, and is not part of what is replayed"


def test_what_a_library_loads_when_it_is_first_called_is_there_the_second_time(machine: Any) -> None:
    _, gpu, _ = machine
    times: list[int] = []

    def work() -> None:
        times.append(1)
        if len(times) == 1:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")

    gpu.capture(work)()
    assert len(times) == 2

    def never() -> None:
        raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")

    with pytest.raises(ResourceError, match="a step cannot be captured on made-up GPU"):
        gpu.capture(never)


def test_memory_of_the_host_outlasts_what_is_copied_to_it(machine: Any) -> None:
    """A slot that is let go of waits first: its memory may be another's at once."""
    made, gpu, _ = machine
    model = nnspec.compile(nnspec.load(QUICKSTART / "xor.yaml"), backend="cupy")
    program = next(iter(nnspec_programs(model)))
    run = BACKEND.bind(program, model.memory)
    run.run()
    assert any(s.items for s in made.streams.values())
    last = run.last
    assert last._done is not None and last._done.at is None
    done = last._done
    del run, last
    gc.collect()
    assert done.at is not None


def nnspec_programs(model: Any) -> Any:
    """The program of a training step."""
    graph = model.graph_of("train", 4)
    yield compile_graph(graph, BACKEND, "step")


@pytest.mark.parametrize(("arch", "known", "wanted"), [
    ("sm_90", (80, 90), "sm_90"), ("sm_103", (90, 100), "sm_100"), ("sm_130", (90, 100, 120), "compute_120"), ("sm_88", (80, 86, 87), "sm_86"),
    ("sm_110", (90, 100, 101), "compute_100"), ("sm_121", (90, 120), "sm_120")])
def test_kernels_are_compiled_for_what_the_device_runs(arch: str, known: tuple[int, ...], wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile, "_nvrtc", lambda: SimpleNamespace(getSupportedArchs=lambda: known, getVersion=lambda: (12, 9)))
    assert compile.target(arch) == wanted
    with pytest.raises(ResourceError, match="kernels cannot be compiled for sm_37"):
        compile.target("sm_37")


def test_code_that_a_driver_refuses_is_said(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, gpu, _ = machine

    def refused(self: Any, code: bytes) -> None:
        raise RuntimeError("CUDA_ERROR_UNSUPPORTED_PTX_VERSION")

    monkeypatch.setattr(gpu.cupy.cuda.function.Module, "load", refused)
    with pytest.raises(ResourceError, match="kernels for sm_90 cannot be loaded on made-up GPU"):
        gpu.load([Kernel("k", "float* x", "    x[0] = 1.0f;\n")])


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
