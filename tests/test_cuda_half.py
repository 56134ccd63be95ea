"""Convolutions of 16 bits without cuDNN, and those that it is not asked for: summed in float32, rounded once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from nnspec.cli.traced import passed, trace
from nnspec.compiler import loads
from nnspec.ir.graph import Graph, abstract
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad, Convolution
from nnspec.ops.elementwise import Cast
from nnspec.ops.rounding import nearest
from nnspec.runtime.parity import parity
from nnspec_cupy import BACKEND as REGISTERED
from nnspec_cupy import convolution
from nnspec_cupy.backend import CupyBackend
from nnspec_cupy.commands import Convolve, Product
from nnspec_cupy.cuda.compile import cubin
from nnspec_cupy.emulated import EmulatedDevice
from nnspec_cupy.source import commands, kernels
from tests.cuda.fake_cupy import Machine, installed
from tests.cuda.sample import tenth
from tests.cuda.shim import COMPILER, ShimDevice
from tests.test_cuda_compile import WITHOUT

UNIT = {DType.bfloat16: 2.0**-8, DType.float16: 2.0**-11}  # half a step of the type's last place, of numbers from 1 to 2
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "odd channels": ((3, 7, 6, 3), (3, 3, 3, 5), {"stride": (1, 1), "padding": "same", "dilation": (1, 1)}),
    "stride, border": ((2, 9, 8, 5), (3, 2, 5, 6), {"stride": (2, 1), "padding": ((1, 0), (0, 1)), "dilation": (1, 2)}),
    "groups": ((2, 8, 8, 16), (3, 3, 8, 16), {"stride": (1, 1), "padding": "same", "dilation": (1, 1), "groups": 2}),
    "odd groups": ((2, 6, 7, 6), (3, 3, 2, 9), {"stride": (1, 1), "padding": "same", "dilation": (2, 1), "groups": 3}),
    "depthwise": ((3, 8, 7, 9), (3, 3, 1, 9), {"stride": (2, 2), "padding": "same", "dilation": (1, 1), "groups": 9}),
    "depthwise, two filters": ((2, 8, 8, 20), (3, 3, 1, 40), {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 20}),
    "pointwise": ((2, 5, 5, 7), (1, 1, 7, 3), {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}),
    "line": ((4, 40, 5), (4, 5, 6), {"stride": (3,), "padding": ((2, 1),), "dilation": (1,)}),
    "volume": ((2, 4, 5, 4, 3), (2, 3, 2, 3, 4), {"stride": (1, 1, 1), "padding": "same", "dilation": (1, 1, 1)}),
}
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")


def three(name: str) -> list[tuple[Convolution, tuple[int, ...], tuple[int, ...]]]:
    x, w, fields = SHAPES[name]
    op = Conv(**fields)
    g = tuple(op.types(TensorType(x), TensorType(w))[0].shape)
    return [(op, x, w), (op.input_grad(x), g, w), (op.kernel_grad(w), x, g)]  # type: ignore[list-item]


def of(op: Convolution, a: tuple[int, ...], b: tuple[int, ...], to: DType) -> Graph:
    """A convolution that reads and gives 16 bits, between numbers of float32."""
    x, w = (Cast(to).one(abstract(TensorType(s), n)) for s, n in ((a, "a"), (b, "b")))
    y = op.one(x, w)
    assert y.dtype == to
    return Graph({"y": Cast(DType.float32).one(y)})


def check(backend: CupyBackend, name: str, to: DType) -> list[Any]:
    found = []
    for op, a, b in three(name):
        r = np.random.default_rng(len(name))
        feed = {n: nearest(r.normal(size=s).astype(np.float32), to) for n, s in (("a", a), ("b", b))}
        exact = op.reference(*(x.astype(np.float64) for x in feed.values()))
        size = op.reference(*(np.abs(x).astype(np.float64) for x in feed.values()))
        program = backend.plan(of(op, a, b, to), "test")
        found += [*commands(program)]
        run = backend.bind(program, backend.memory({}))
        for label, x in feed.items():
            run.inputs[label][...] = x
        run.run()
        y = run.outputs["y"]
        assert (np.abs(y - exact) <= UNIT[to] * np.abs(exact) + 2e-6 * size + 1e-7).all(), (name, op)
    return found


@pytest.fixture(params=[False, True], ids=["once", "some images at a time"])
def without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(convolution, "library", lambda: False)
    if request.param:
        monkeypatch.setattr(convolution, "ROOM", 1)
    return bool(request.param)


@pytest.mark.parametrize("to", UNIT)
@pytest.mark.parametrize("name", SHAPES)
def test_convolutions_of_16_bits_are_rounded_once(without: bool, name: str, to: DType) -> None:
    check(CupyBackend(EmulatedDevice()), name, to)


@needs_compiler
@pytest.mark.parametrize(("name", "to"), tenth([(name, to) for name in SHAPES for to in UNIT], 6))
def test_their_kernels_say_the_same(without: bool, name: str, to: DType) -> None:
    check(CupyBackend(ShimDevice()), name, to)


@needs_compiler
@pytest.mark.parametrize("dtype", [DType.float32, DType.float64])
@pytest.mark.parametrize("name", [n for n in SHAPES if n.startswith("depthwise")])
def test_a_depthwise_kernels_gradient_is_summed_by_blocks(name: str, dtype: DType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: False)
    op, a, b = three(name)[2]
    backend = CupyBackend(ShimDevice())
    graph = Graph({"y": op.one(*(abstract(TensorType(s, dtype), n) for s, n in ((a, "a"), (b, "b"))))})
    program = backend.plan(graph, "test")
    assert [c.kernel.word for c in commands(program)] == ["depthwise_kernel", "sum"]
    run = backend.bind(program, backend.memory({}))
    r = np.random.default_rng(0)
    feed = {n: r.normal(size=s).astype(dtype.numpy) for s, n in ((a, "a"), (b, "b"))}
    for label, x in feed.items():
        run.inputs[label][...] = x
    run.run()
    wanted = op.reference(feed["a"], feed["b"])
    np.testing.assert_allclose(run.outputs["y"], wanted, rtol=1e-5 if dtype == DType.float32 else 1e-13, atol=1e-5 * float(np.abs(wanted).max()))


@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_their_kernels_compile(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: False)
    backend, found = CupyBackend(EmulatedDevice()), {}
    for name in SHAPES:
        for op, a, b in three(name):
            found.update(kernels(backend.plan(of(op, a, b, DType.bfloat16 if arch == "sm_90" else DType.float16), "test")))
    assert cubin(list(found.values()), arch).startswith(b"\x7fELF")


def test_cudnn_is_asked_for_eights_of_one_group_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: True)
    backend = CupyBackend(EmulatedDevice())

    def kinds(x: tuple[int, ...], w: tuple[int, ...], groups: int, to: DType) -> Counter[type]:
        op = Conv((1, 1), "same", (1, 1), groups)
        g = tuple(op.types(TensorType(x), TensorType(w))[0].shape)
        graphs = [of(one, a, b, to) for one, a, b in ((op, x, w), (op.input_grad(x), g, w), (op.kernel_grad(w), x, g))]  # type: ignore[arg-type]
        return Counter(type(c) for graph in graphs for c in commands(backend.plan(graph, "t")) if not hasattr(c, "kernel"))

    assert kinds((2, 8, 8, 16), (3, 3, 16, 24), 1, DType.bfloat16) == {Convolve: 3}
    assert kinds((2, 8, 8, 3), (3, 3, 3, 24), 1, DType.bfloat16) == {Product: 3}
    assert kinds((2, 8, 8, 16), (3, 3, 8, 24), 2, DType.float16) == {Product: 3}
    assert kinds((2, 8, 8, 16), (3, 3, 1, 16), 16, DType.float16) == {}


NET = """nnspec: 1
precision: PRECISION
inputs: {x: {shape: [8, 8, 6]}}
layers:
  - conv2d: {filters: 9, kernel: 3, padding: same, groups: 3}
  - batch_norm
  - relu
  - depthwise_conv2d: {kernel: 3}
  - conv2d: {filters: 5, kernel: 3, stride: 2}
  - relu
  - flatten
  - dense: 3
loss: mse
optimizer: {sgd: {learning_rate: 0.05}}
batch_size: 6
"""


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_of_groups_and_odd_channels_keeps_16_bits_and_trains_as_on_numpy(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: False)
    monkeypatch.setattr(REGISTERED, "_given", EmulatedDevice())
    monkeypatch.delitem(REGISTERED.__dict__, "device", raising=False)
    found = parity(loads(NET.replace("PRECISION", precision)), ("numpy", "cupy"), 3, 2e-2, {})
    monkeypatch.delitem(REGISTERED.__dict__, "device", raising=False)
    assert found.passed, sorted(found.found, key=lambda d: -d.relative)[:3]
    graph = [*passed(trace(loads(NET.replace("PRECISION", precision)), 6, {}), REGISTERED)][-1][1]
    steps = [s for s in REGISTERED.plan(graph, "net").steps if isinstance(s.call.op, Conv | ConvInputGrad | ConvKernelGrad)]
    assert len(steps) == 8 and all(a.type.dtype.half for s in steps for a in (*s.inputs, *s.outputs))


@needs_compiler
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_the_same_over_what_stands_for_cublaslt(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: False)
    gpu, lt, _ = installed(Machine(), monkeypatch)
    monkeypatch.setattr(REGISTERED, "_given", gpu)
    monkeypatch.delitem(REGISTERED.__dict__, "device", raising=False)
    found = parity(loads(NET.replace("PRECISION", precision)), ("numpy", "cupy"), 2, 2e-2, {})
    monkeypatch.delitem(REGISTERED.__dict__, "device", raising=False)
    assert found.passed, sorted(found.found, key=lambda d: -d.relative)[:3]
    assert lt.products > 10
