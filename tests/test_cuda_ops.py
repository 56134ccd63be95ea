"""Every op on a GPU's plan: its kernels, compiled for a CPU, against its reference; its commands on the emulated device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

import nnspec.ops  # noqa: F401  # registers the ops
from nnspec.autodiff import tensor_type
from nnspec.ir.graph import Graph, abstract
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Array, Op, Sample
from nnspec.ir.program import Program
from nnspec.ir.types import DType, TensorType
from nnspec.ops.movement import Slice
from nnspec.passes import run_pipeline
from nnspec_cupy.backend import CupyBackend
from nnspec_cupy.commands import Kernel
from nnspec_cupy.device import Device
from nnspec_cupy.emulated import EmulatedDevice, Refused
from nnspec_cupy.source import kernels
from tests.cuda.sample import tenth
from tests.cuda.shim import COMPILER, ShimDevice
from tests.test_numpy_backend import OPS, arrays_of

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
CLOSE = {DType.float64: 1e-12, DType.float32: 2e-5}
BACKEND = CupyBackend(EmulatedDevice())


def graph_of(cls: type[Op], sample: Sample, arrays: dict[str, Array]) -> Graph:
    """An op of its sample by itself, composites expanded, without nests."""
    y = cls(**sample.attributes)(*(abstract(tensor_type(a), name) for name, a in arrays.items()))
    outputs = {f"y{i}": v for i, v in enumerate(y)} if isinstance(y, tuple) else {"y": y}
    return run_pipeline(Graph(outputs), BACKEND.claims)


@cache
def planned(cls: type[Op], i: int, dtype: DType) -> tuple[Graph, dict[str, Array], Program]:
    sample = cls.samples[i]
    arrays = arrays_of(cls, sample, dtype)
    graph = graph_of(cls, sample, arrays)
    return graph, arrays, BACKEND.plan(graph, "test")


def cases() -> Iterator[tuple[type[Op], int, DType]]:
    for cls in OPS.values():
        for i in range(len(cls.samples)):
            yield from ((cls, i, dtype) for dtype in CLOSE)


ALL = [pytest.param(*c, id=f"{c[0].__name__}-{c[1]}-{c[2]}") for c in tenth(list(cases()), 4)]


def on_a_gpu() -> Device:
    from nnspec_cupy.gpu import Gpu

    return Gpu()


@pytest.fixture(scope="module", params=[pytest.param(ShimDevice, id="shim", marks=needs_compiler),
                                        *([pytest.param(on_a_gpu, id="gpu")] if os.environ.get("NNSPEC_GPU") == "test" else [])])  # fmt: skip
def device(request: pytest.FixtureRequest) -> Device:
    """A device with every kernel of every case compiled at once."""
    device, found = request.param(), {}
    for p in ALL:
        found.update(kernels(planned(*p.values)[2]))
    device.load(found.values())
    return device


def check(device: Device, cls: type[Op], i: int, dtype: DType) -> None:
    graph, arrays, program = planned(cls, i, dtype)
    wanted = interpret(graph, arrays)
    backend = CupyBackend(device)
    run = backend.bind(program, backend.memory({}))
    for label, x in arrays.items():
        if label in run.inputs:
            run.inputs[label][...] = x
    run.run()
    for name, y in wanted.items():
        found = run.outputs[name]
        assert (found.shape, found.dtype) == (y.shape, y.dtype), name
        if y.dtype.kind != "f":
            np.testing.assert_array_equal(found, y, name)
            continue
        largest = np.abs(y[np.isfinite(y)]).max(initial=1.0)
        np.testing.assert_allclose(found, y, rtol=CLOSE[dtype], atol=CLOSE[dtype] * largest, err_msg=name)


@pytest.mark.parametrize(("cls", "i", "dtype"), ALL)
def test_the_kernels_of_an_op_give_what_its_reference_gives(device: Device, cls: type[Op], i: int, dtype: DType) -> None:
    check(device, cls, i, dtype)


@pytest.mark.parametrize(("cls", "i", "dtype"), ALL)
def test_the_commands_of_an_op_mean_what_its_reference_gives(cls: type[Op], i: int, dtype: DType) -> None:
    check(EmulatedDevice(), cls, i, dtype)


def test_a_program_whose_only_output_has_no_elements_runs() -> None:
    x = abstract(TensorType((3, 4), DType.float32), "x")
    backend = CupyBackend(EmulatedDevice())
    program = backend.plan(run_pipeline(Graph({"y": Slice((1, 0), (1, 4), (1, 1)).one(x) * 2.0}), backend.claims), "test")
    run = backend.bind(program, backend.memory({}))
    run.run()
    assert run.outputs["y"].shape == (0, 4) and run.outputs["y"].dtype == np.float32


def test_what_a_captured_stream_refuses_is_refused() -> None:
    device = EmulatedDevice()
    block = device.allocate(64)
    host = device.pinned(64)
    for work in (lambda: device.allocate(8), device.synchronize, lambda: device.capture(lambda: None), lambda: device.wait(device.mark()),
                 device.mark, lambda: device.hold(1.0), device.upload(host, block, beside=True), lambda: device.load([]), lambda: device.pinned(8)):
        with pytest.raises(Refused):
            device.capture(work)
    copy = device.capture(device.upload(host, block))
    host[...] = 7
    assert not block.any()
    copy()
    assert not block.any(), "what is enqueued waits until somebody waits for it"
    device.synchronize()
    assert (block == 7).all()


def test_equal_kernels_are_one() -> None:
    a, b = (Kernel("k", "float* x", "    x[0] = 1.0f;\n") for _ in range(2))
    assert a.name == b.name != Kernel("k", "float* x", "    x[0] = 2.0f;\n").name


