"""Arrays of more than 2^31 elements: every kernel counts in 64 bits where it must, compiles so, and finds the last element of memory that is mostly not there."""

from __future__ import annotations

import ctypes
import mmap
import re
from math import prod
from typing import Any

import numpy as np
import pytest

from nnspec.ir.graph import Graph, abstract
from nnspec.ir.op import Op
from nnspec.ir.program import Array, Step, row_major
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import Conv
from nnspec.ops.elementwise import Add, exp
from nnspec.ops.fused import Fused
from nnspec.ops.index import Gather, Pick
from nnspec.ops.movement import Pad
from nnspec.ops.pool import AvgPool, MaxPoolGrad
from nnspec.ops.reduce import Sum, max_, sum_
from nnspec.passes import run_pipeline
from nnspec_cupy import convolution
from nnspec_cupy.backend import CupyBackend
from nnspec_cupy.commands import Launch
from nnspec_cupy.cuda import lanes
from nnspec_cupy.cuda.compile import cubin
from nnspec_cupy.emulated import EmulatedDevice
from nnspec_cupy.lowerings import LOWERINGS
from nnspec_cupy.source import kernels
from tests.cuda.sample import tenth
from tests.cuda.shim import COMPILER, ShimDevice, library
from tests.test_cuda_compile import WITHOUT
from tests.test_cuda_nests import PLANS
from tests.test_cuda_ops import ALL, check, planned

NARROW = re.compile(r"\b(unsigned )?int (n|m|j|k|r|base|block|tile|first|[iopqt]\d+|last\d+)\b")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
SOME = tenth(ALL, 4)


def test_no_kernel_counts_places_in_a_type_of_its_own() -> None:
    found = {n: k for p in ALL for n, k in kernels(planned(*p.values)[2]).items()} | {n: k for p in PLANS.values() for n, k in kernels(p).items()}
    assert len(found) > 100
    for k in found.values():
        assert not NARROW.search(k.body), k.source


@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_kernels_that_count_in_64_bits_compile(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "LARGE", 0)
    found = {n: k for p in SOME for n, k in kernels(planned(*p.values)[2]).items()} | {n: k for p in PLANS.values() for n, k in kernels(p).items()}
    assert all("typedef unsigned long long count" in k.body for k in found.values())
    assert cubin(list(found.values()), arch).startswith(b"\x7fELF")


@needs_compiler
def test_kernels_that_count_in_64_bits_give_what_they_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "LARGE", 0)
    device = ShimDevice()
    device.load([k for p in SOME for k in kernels(planned(*p.values)[2]).values()])
    for p in SOME:
        check(device, *p.values)


# Memory that is mostly not there

N = 1 << 31


class Sparse:
    """Memory of an array, of which only what is touched is there."""

    def __init__(self, a: Array) -> None:
        size = max(a.bytes, 1) + 4096
        self.held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
        self.array = np.frombuffer(self.held, a.type.dtype.numpy, prod(a.shape)).reshape(a.shape)


def step(op: Op, inputs: list[TensorType]) -> Step:
    """One op over arrays that each have an arena of their own."""
    c = op(*(abstract(t, f"x{k}") for k, t in enumerate(inputs)))
    outputs = [v.type for v in (c if isinstance(c, tuple) else (c,))]
    call = (c[0] if isinstance(c, tuple) else c).call

    def arrays(types: Any, word: str) -> tuple[Array, ...]:
        return tuple(Array(f"{word}{k}", t, f"{word}{k}", 0, row_major(t.shape)) for k, t in enumerate(types))

    asked = LOWERINGS[type(op)].workspace(op, inputs, outputs)
    return Step(call, arrays(inputs, "x"), arrays(outputs, "y"), arrays(asked, "w"))


def ended(c: Launch, **numbers: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The last block of a launch, over sparse memory whose last numbers are small ones, or ``numbers`` by their arena."""
    held = {a.arena: Sparse(a) for a in (*c.reads, *c.writes)}
    for a in c.reads:
        one = held[a.arena].array.reshape(-1)
        if a.type.dtype.is_float:
            one[-4096:] = np.arange(one[-4096:].size) % 7 + 1
    for name, x in numbers.items():
        held[name].array[-len(x) :] = x
    code = library([c.kernel])
    places = (ctypes.c_void_p * len((*c.reads, *c.writes)))(*(held[a.arena].array.ctypes.data for a in (*c.reads, *c.writes)))
    grid, block = (np.array(n, np.uint32) for n in (c.grid, c.block))
    code.begin_at(c.grid[0] - 1)
    getattr(code, f"run_{c.kernel.name}")(places, *(n.ctypes.data_as(ctypes.c_void_p) for n in (grid, block)))
    return {name: s.array for name, s in held.items()}


def launches(op: Op, *inputs: tuple[tuple[int, ...], DType]) -> list[Launch]:
    one = step(op, [TensorType(s, d) for s, d in inputs])
    found = [c for c in LOWERINGS[type(op)].commands(one) if isinstance(c, Launch)]
    assert all(c.grid[0] < N and c.grid[1] == c.grid[2] == 1 for c in found)
    return found


F = DType.float32


@needs_compiler
def test_the_last_elements_of_long_arrays_are_those_that_are_computed() -> None:
    n = N + 12
    (c,) = launches(Add(), ((n,), F), ((n,), F))
    got = ended(c)
    np.testing.assert_array_equal(got["y0"][-12:], 2 * got["x0"][-12:])
    assert got["y0"][-1] and not got["y0"][-5000]
    (c,) = launches(Pad((0, 1), (0, 2), (0, 0), 9.0), ((5, N // 4), F))
    got = ended(c)
    np.testing.assert_array_equal(got["y0"][-1, -12:-2], got["x0"][-1, -10:])
    np.testing.assert_array_equal(got["y0"][-1, -2:], [9, 9])


@needs_compiler
def test_the_last_rows_are_reduced() -> None:
    x = abstract(TensorType((N // 8 + 3, 8), F), "x")
    e = exp(x - max_(x, -1, keep=True))
    graph = run_pipeline(Graph({"y": e / sum_(e, -1, keep=True)}), loops=CupyBackend(EmulatedDevice()).loops())
    (op,) = (c.op for c in graph.calls if isinstance(c.op, Fused))
    (c,) = launches(op, (x.shape, F))
    got = ended(c)
    want = np.exp(got["x0"][-3:] - got["x0"][-3:].max(1, keepdims=True))
    np.testing.assert_allclose(got["y0"][-3:], want / want.sum(1, keepdims=True), rtol=1e-6)


@needs_compiler
def test_the_last_columns_are_summed() -> None:
    (c,) = launches(Sum((0, 1)), ((2, 2, N // 4 + 40), F))
    got = ended(c)
    np.testing.assert_allclose(got["y0"][-8:], got["x0"][..., -8:].sum((0, 1)))
    assert got["y0"][-1] > 0


@needs_compiler
def test_the_last_rows_are_gathered_and_picked() -> None:
    one = step(Gather(), [TensorType((N // 8 + 5, 8), F), TensorType((4,), DType.int64)])
    (c,) = LOWERINGS[Gather].commands(one)
    assert isinstance(c, Launch)
    got = ended(c, x1=[N // 8 + 4, 0, N, N // 8 + 3])
    np.testing.assert_array_equal(got["y0"], got["x0"][[-1, 0, -1, -2]])
    assert got["y0"][0].all()
    (c,) = launches(Pick(), ((N // 8 + 5, 8), F), ((N // 8 + 5,), DType.int64))
    got = ended(c, x1=[0, 3, 9, 7, 5])
    np.testing.assert_array_equal(got["y0"][-5:], got["x0"][np.arange(-5, 0), [0, 3, 7, 7, 5]])


@needs_compiler
@pytest.mark.parametrize("side", [(1, N // 8 + 4, 8), (3, N // 16, 8)])
def test_the_last_windows_are_pooled(side: tuple[int, ...]) -> None:
    (c,) = launches(AvgPool((2,), (2,), ((0, 0),)), (side, F))
    got = ended(c)
    np.testing.assert_allclose(got["y0"][-1, -2:], got["x0"][-1].reshape(-1, 2, 8)[-2:].mean(1))
    assert got["y0"][-1, -1].all()


@needs_compiler
def test_the_last_gradient_of_a_pool_is_found() -> None:
    n = N // 8 + 4
    op = MaxPoolGrad((2,), (2,), ((0, 0),), spatial=(n,))
    (c,) = launches(op, ((1, n // 2, 8), F), ((1, n // 2, 8), DType.uint8))
    got = ended(c)
    np.testing.assert_array_equal(got["y0"][0, -2], got["x0"][0, -1])
    assert not got["y0"][0, -1].any()


@needs_compiler
def test_the_last_windows_are_laid_out_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: False)
    monkeypatch.setattr(convolution, "ROOM", 1 << 40)
    op = Conv(stride=(1,), padding="same", dilation=(1,))
    n = N // 16 + 8
    (c,) = launches(op, ((1, n, 8), F), ((2, 8, 4), F))
    got = ended(c)
    np.testing.assert_array_equal(got["w0"][0, -2, :8], got["x0"][0, -2])
    np.testing.assert_array_equal(got["w0"][0, -2, 8:], got["x0"][0, -1])
