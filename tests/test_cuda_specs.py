"""Shipped specs on the GPU backend without a GPU: plans hold, kernels compile, and run on the CPU to what they mean; whole steps do, too."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any
from zlib import crc32

import numpy as np
import pytest

import nnspec
from nnspec.cli.traced import passed, trace
from nnspec.codegen.check_plan import check_plan
from nnspec.errors import DataError
from nnspec.ir.graph import Graph
from nnspec.ir.program import Array, Program
from nnspec.runtime.parity import parity
from nnspec_cupy import BACKEND as REGISTERED
from nnspec_cupy.backend import CupyBackend
from nnspec_cupy.commands import Kernel, Launch
from nnspec_cupy.cuda.compile import cubin
from nnspec_cupy.emulated import numbers, put, view
from nnspec_cupy.source import commands, kernels
from tests.cuda.sample import tenth
from tests.cuda.shim import COMPILER, ShimDevice
from tests.drawn import specs
from tests.test_cuda_compile import WITHOUT

FILES = {p.stem: p for p in specs(large=False)}
STEPPED = ("xor", "iris", "houses", "two_inputs_two_outputs", "class_weights")
LARGEST = 60_000  # elements that a kernel tried on the CPU may read and write: a fiber a thread takes its time
BACKEND = CupyBackend(ShimDevice())


@cache
def planned(name: str) -> tuple[Graph, Program] | None:
    """The training step of a spec for two rows; None where its data are still to be drawn."""
    try:
        spec = nnspec.load(FILES[name])
    except DataError:
        return None
    graph = [*passed(trace(spec, 2, {}), BACKEND)][-1][1]
    return graph, BACKEND.plan(graph, name)


def launches(names: list[str]) -> dict[str, Launch]:
    """One launch of each kernel of some specs."""
    return {c.kernel.name: c for n in names if (p := planned(n)) for c in commands(p[1]) if isinstance(c, Launch)}


@pytest.mark.parametrize("name", tenth(list(FILES), 3))
def test_a_plan_for_a_gpu_never_reads_what_another_step_has_overwritten(name: str) -> None:
    found = planned(name)
    if found is None:
        pytest.skip("its data are drawn by a script")
    graph, program = found
    if program.peak > 100_000_000:
        pytest.skip("its memory is replayed byte by byte")
    check_plan(graph, program)


@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_the_kernels_of_shipped_specs_compile(arch: str) -> None:
    found: dict[str, Kernel] = {}
    for name in FILES:
        if plan := planned(name):
            found.update(kernels(plan[1]))
    assert cubin(tenth(list(found.values())), arch).startswith(b"\x7fELF")


@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
def test_a_kernel_of_a_shipped_spec_computes_what_it_means() -> None:
    small = [c for c in launches(list(FILES)).values() if sum(prod(a.shape) for a in (*c.reads, *c.writes)) <= LARGEST]
    assert len(small) > 200
    device = ShimDevice()
    chosen = tenth(small, 30)
    device.load([c.kernel for c in chosen])
    for c in chosen:
        check(device, c)


def check(device: ShimDevice, c: Launch) -> None:
    """One launch on drawn numbers: what it writes, and that it writes nothing else."""
    arrays = [*c.reads, *c.writes, *([c.guard] if c.guard else [])]
    size = 1 + max(a.offset + a.type.dtype.size * (1 + sum(abs(s) * (n - 1) for n, s in zip(a.shape, a.strides, strict=True))) for a in arrays)
    first = {arena: drawn(arena, size) for arena in {a.arena for a in arrays}}
    for a in arrays:
        fill(a, first[a.arena])
    if c.guard:
        view(c.guard, lambda a: first[a.arena])[...] = True
    wanted = {arena: block.copy() for arena, block in first.items()}
    with np.errstate(all="ignore"):
        results = c.meaning(*(numbers(view(a, lambda a: first[a.arena])).copy() for a in c.reads))
        put(results, [view(a, lambda a: wanted[a.arena]) for a in c.writes])
    device.launched(c, lambda a: first[a.arena])()
    for a in c.writes:
        got, right = (numbers(view(a, lambda a, held=held: held[a.arena])) for held in (first, wanted))
        if a.type.dtype.is_float:
            largest = float(np.abs(right[np.isfinite(right)]).max(initial=1.0))
            np.testing.assert_allclose(got, right, rtol=1e-4, atol=2e-5 * largest, err_msg=str(c))
        else:
            np.testing.assert_array_equal(got, right, err_msg=str(c))
        right[...] = got
    for arena, block in first.items():
        np.testing.assert_array_equal(block, wanted[arena], err_msg=f"{c} writes beside its results")


def drawn(arena: str, size: int) -> Any:
    room = np.random.default_rng(crc32(arena.encode())).integers(0, 255, size + 512, np.uint8)
    start = -room.ctypes.data % 256
    return room[start : start + size]


def fill(a: Array, block: Any) -> None:
    """Small numbers of an array's own type, in no order."""
    x = view(a, lambda _: block)
    r = np.random.default_rng(crc32(a.name.encode()))
    x[...] = r.integers(0, 2, x.shape) if not a.type.dtype.is_float else r.uniform(0.1, 2.0, x.shape)


@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
@pytest.mark.parametrize("name", tenth(STEPPED, 3))
def test_steps_of_a_shipped_spec_by_kernels_are_those_of_numpy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTERED, "_given", ShimDevice())
    monkeypatch.delitem(REGISTERED.__dict__, "device", raising=False)
    found = parity(nnspec.load(FILES[name]).with_(math="strict"), ("numpy", "cupy"), 4, 1e-5, {})
    monkeypatch.delitem(REGISTERED.__dict__, "device", raising=False)
    assert found.passed, sorted(found.found, key=lambda d: -d.relative)[:3]
