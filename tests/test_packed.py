"""Convolutions of few filters share a vector among places: right for odd sizes, on every processor, and never outside of their memory."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pytest

import nnspec.ops  # noqa: F401  # registers the ops
from nnspec.ir.op import Array, Op
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.ops.pool import MaxPool, MaxPoolGrad, WindowMax
from nnspec_numpy.kernels import KERNELS
from nnspec_numpy.kernels.direct import block
from nnspec_numpy.llvm.packed import Packing
from tests.processors import processor

pytestmark = pytest.mark.compiled
CASES = [  # images, height and width, channels, filters, window, stride, border
    (3, (28, 28), 1, 6, (5, 5), 1, 2),
    (2, (13, 29), 3, 8, (3, 3), 1, 1),
    (2, (9, 17), 3, 5, (3, 3), 2, 0),
    (2, (16, 7), 1, 1, (3, 5), 1, 1),
    (1, (11, 40), 2, 12, (2, 3), 1, 0),
    (5, (6, 5), 4, 3, (3, 3), 1, 1),
    (9, (14, 14), 6, 16, (5, 5), 1, 0),
    (2, (33, 20), 1, 10, (7, 7), 2, 3),
    (4, (50,), 1, 7, (9,), 1, 4),
]


def type_of(a: Array) -> TensorType:
    return TensorType(tuple(a.shape), DType(a.dtype.name))


def fenced(shape: tuple[int, ...], kind: Any, before: bool, keep: list[Any]) -> Array:
    """Memory whose end, or beginning, is the edge of a page that nobody may touch."""
    size, page = 4 * prod(shape), mmap.PAGESIZE
    pages = -(-size // page) + 2
    memory = mmap.mmap(-1, pages * page)
    keep.append(memory)
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for place in (first, first + (pages - 1) * page):
        assert libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(page), 0) == 0
    start = page if before else (pages - 1) * page - size
    return np.frombuffer(memory, kind, prod(shape), start).reshape(shape)


def run(op: Op, *x: Array, fence: bool | None = None, output: int = 0) -> tuple[str, Array]:
    """Which way the op went, and a result; with everything before or behind a fence."""
    kernel, keep = KERNELS[type(op)], list[Any]()
    types = [type_of(a) for a in x]
    outputs = op.types(*types)
    whole = [*types, *outputs, *kernel.workspace(op, types, outputs)]
    made = [(known(t.shape), t.dtype.numpy) for t in whole]
    arrays = [np.empty(*m) if fence is None else fenced(*m, fence, keep) for m in made]
    for a in arrays:
        a.fill(np.nan if a.dtype.kind == "f" else -1)
    for a, b in zip(arrays, x, strict=False):
        a[...] = b
    ends = len(x), len(x) + len(outputs)
    inputs, results, space = arrays[: ends[0]], arrays[ends[0] : ends[1]], arrays[ends[1] :]
    kernel.bind(op, inputs, results, space)()
    return kernel.choice(op, types, outputs), results[output].copy()


def operations(n: int, spatial: tuple[int, ...], channels: int, filters: int, size: tuple[int, ...], stride: int,
               pad: int) -> Iterator[tuple[Op, tuple[Array, Array]]]:
    """The convolution and its gradients, with operands."""
    rng, rank = np.random.default_rng(0), len(spatial)
    x, w = (rng.standard_normal(s, np.float32) for s in ((n, *spatial, channels), (*size, channels, filters)))
    fields: Any = ((stride,) * rank, ((pad, pad),) * rank, (1,) * rank, 1)
    forward = Conv(*fields, tiles=0)
    g = rng.standard_normal(known(forward.infer(type_of(x), type_of(w)).shape), np.float32)
    yield forward, (x, w)
    yield ConvInputGrad(*fields, spatial, tiles=0), (g, w)
    yield ConvKernelGrad(*fields, size, tiles=0), (x, g)


def by_torch(op: Op, a: Array, b: Array) -> Array:
    """The same by PyTorch in double precision."""
    torch = pytest.importorskip("torch")
    assert isinstance(op, Conv | ConvInputGrad | ConvKernelGrad)
    first = torch.from_numpy(a.astype(np.float64)).movedim(-1, 1)
    pads, rank = [low for low, _ in op.padding], len(op.stride)  # type: ignore[misc]
    if isinstance(op, Conv):
        w = torch.from_numpy(b.astype(np.float64)).movedim(-1, 0).movedim(-1, 1)
        y = torch.nn.functional.conv2d(first, w, None, op.stride, pads) if rank == 2 else torch.nn.functional.conv1d(first, w, None, op.stride, pads)
        return np.asarray(y.movedim(1, -1))
    back = torch.ops.aten.convolution_backward
    at = (None, list(op.stride), pads, [1] * rank, False, [0] * rank, 1)
    if isinstance(op, ConvInputGrad):
        w = torch.from_numpy(b.astype(np.float64)).movedim(-1, 0).movedim(-1, 1)
        x = torch.zeros(a.shape[0], b.shape[-2], *known(op.spatial), dtype=torch.float64)
        return np.asarray(back(first, x, w, *at, [True, False, False])[0].movedim(1, -1))
    g = torch.from_numpy(b.astype(np.float64)).movedim(-1, 1)
    w = torch.zeros(b.shape[-1], a.shape[-1], *op.size, dtype=torch.float64)
    return np.asarray(back(g, first, w, *at, [False, True, False])[1].movedim(0, -1).movedim(0, -2))


@pytest.mark.parametrize("cpu", ["avx512", "avx2", "baseline"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_convolution_of_few_filters_and_its_gradients_are_those_of_pytorch(case: Any, cpu: str) -> None:
    with processor(cpu):
        for op, x in operations(*case):
            _, y = run(op, *x)
            wanted = by_torch(op, *x)
            assert np.abs(y - wanted).max() <= 1e-5 * np.abs(wanted).max(), op.name


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are fenced by mprotect")
@pytest.mark.parametrize("before", [False, True], ids=["behind", "before"])
@pytest.mark.parametrize("cpu", ["avx512", "avx2"])
@pytest.mark.parametrize("case", [*CASES[:7], (2, (5, 6, 11), 4, 16, (3, 2, 3), 1, 1), (5, (4, 7, 9), 3, 20, (2, 3, 3), 2, 0)], ids=str)
def test_no_kernel_touches_what_lies_around_its_memory(case: Any, cpu: str, before: bool) -> None:
    with processor(cpu):
        for op, x in operations(*case):
            assert np.array_equal(run(op, *x, fence=before)[1], run(op, *x)[1])


POOLS = [  # images, height and width, channels, window, stride
    (3, (28, 28), 6, (2, 2), 2),
    (2, (13, 27), 6, (2, 2), 2),
    (2, (9, 17), 1, (3, 3), 2),
    (2, (10, 11), 12, (2, 3), 1),
    (1, (8, 8), 3, (4, 4), 4),
    (4, (30,), 5, (2,), 2),
    (3, (9, 12), 7, (3, 3), 3),
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are fenced by mprotect")
@pytest.mark.parametrize("cpu", ["avx512", "avx2", "baseline"])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_the_largest_of_windows_over_few_channels_is_numpy_s_and_keeps_to_its_memory(case: Any, cpu: str) -> None:
    n, spatial, channels, size, stride = case
    fields = size, (stride,) * len(size), ((0, 0),) * len(size)
    alone, op, back = WindowMax(*fields), MaxPool(*fields), MaxPoolGrad(*fields, spatial)
    x = np.random.default_rng(0).integers(-3, 3, (n, *spatial, channels)).astype(np.float32)  # with ties
    x[0, 3], x[-1, 0] = np.nan, np.inf
    wanted, numbers = op.reference(x)
    g = np.random.default_rng(1).standard_normal(wanted.shape, np.float32)
    with processor(cpu):
        for fence in (None, False, True):
            assert np.array_equal(run(alone, x, fence=fence)[1], wanted, equal_nan=True)
            assert np.array_equal(run(op, x, fence=fence)[1], wanted, equal_nan=True)
            assert np.array_equal(run(op, x, fence=fence, output=1)[1], numbers)
            np.testing.assert_allclose(run(back, g, numbers, fence=fence)[1], back.reference(g, numbers), rtol=1e-6, atol=1e-6)


def test_the_first_layer_of_lenet_goes_this_way_in_both_directions() -> None:
    with processor("avx512"):
        ways = [run(op, *x)[0] for op, x in operations(*CASES[0])]
    assert ways[0] == ways[2] == "packed: 6 filters, several places in a vector"


def test_a_gradient_in_few_channels_of_narrow_windows_is_added_run_by_run() -> None:
    with processor("avx512"):
        ways = [run(op, *x)[0] for op, x in operations(*CASES[6])]
    assert ways[1] == "runs: 6 channels"


@pytest.mark.parametrize("filters", range(1, 25))
@pytest.mark.parametrize("step", [1, 2, 3, 6])
@pytest.mark.parametrize("lanes", [8, 16])
def test_every_lane_finds_what_its_place_sees_in_what_is_read(filters: int, step: int, lanes: int) -> None:
    for places in (1, 2, 5, 8):
        p = Packing(filters, step, places, lanes)
        reads, used = p.reads
        assert all(r.count <= lanes and r.start + r.count <= (places - 1) * step + 1 for r in reads)
        for v in range(p.vectors):
            for i, place in enumerate(p.seen(v)):
                assert place == min(v * lanes + i, places * filters - 1) // filters * step
                assert any(reads[k].start <= place < reads[k].start + reads[k].count for k in used[v])


@pytest.mark.parametrize("kind", ["forward", "kernel_gradient"])
@pytest.mark.parametrize(("lanes", "registers"), [(8, 16), (16, 32)])
def test_sums_filters_and_the_number_they_are_multiplied_with_fit_the_registers(lanes: int, registers: int, kind: str) -> None:
    for rows in range(1, 40):
        for filters in (1, 8, 16, 24, 32, 48, 64, 128, 512):
            b = block(kind, rows, filters, lanes)
            assert b.rows * b.vectors + b.vectors + 1 <= registers and b.rows <= rows
