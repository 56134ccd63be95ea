"""The functions of loop nests in single precision against double precision: at most 4 units in the last place.

A dense sample of all numbers, and with NNSPEC_FULL=1 every one. Numbers below 2^-126 count as zero.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from nnspec.errors import SpecError
from nnspec.ir.graph import Graph, abstract
from nnspec.ir.op import Op
from nnspec.ir.types import DType, TensorType
from nnspec.ops import elementwise as e
from nnspec.passes.fuse_loops import fuse_loops
from nnspec_numpy import BACKEND
from nnspec_numpy.llvm.cpu import chosen

SIZE = 1 << 20
LIMIT = 4.0
SMALLEST = np.float64(2.0**-126)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def erf(x: Any) -> Any:
    from scipy.special import erf  # comes with scikit-learn

    return erf(x)


FUNCTIONS: dict[str, tuple[Op, Callable[[Any], Any]]] = {
    "exp": (e.Exp(), np.exp), "expm1": (e.Expm1(), np.expm1), "log": (e.Log(), np.log), "log1p": (e.Log1p(), np.log1p),
    "tanh": (e.Tanh(), np.tanh), "sigmoid": (e.Sigmoid(), sigmoid), "erf": (e.Erf(), erf)}


def compiled(op: Op) -> Callable[[Any], Any]:
    graph = fuse_loops(Graph({"y": op.one(abstract(TensorType((SIZE,), DType.float32), "x"))}), BACKEND.loops())
    program = BACKEND.plan(graph, op.name)
    assert [s.call.op.name for s in program.steps] == ["Fused"]
    run = BACKEND.bind(program, BACKEND.memory({}))

    def function(x: Any) -> Any:
        run.inputs["x"][...] = x
        run.run()
        return run.outputs["y"]

    return function


def samples(parts: int, every: bool) -> Iterator[Any]:
    """Bit patterns: every one, or those that the golden ratio spreads over all."""
    if every:
        for start in range(0, 1 << 32, SIZE):
            yield np.arange(start, start + SIZE, dtype=np.uint64).astype(np.uint32).view(np.float32)
        return
    for part in range(parts):
        places = np.arange(part * SIZE, (part + 1) * SIZE, dtype=np.uint64) * np.uint64(2654435769)
        yield places.astype(np.uint32).view(np.float32)


def units(found: Any, wanted: Any) -> Any:
    """The distance in units in the last place of ``wanted``, what is below the smallest normal number being zero."""
    with np.errstate(all="ignore"):
        wanted = np.where(np.abs(wanted) < SMALLEST, 0.0, wanted)
        found = np.where(np.abs(found) < SMALLEST, 0.0, found.astype(np.float64))
        unit = np.spacing(np.clip(np.abs(wanted), SMALLEST, np.finfo(np.float32).max).astype(np.float32)).astype(np.float64)
        largest = np.float64(np.finfo(np.float32).max)
        away = np.abs(np.clip(found, -2 * largest, 2 * largest) - np.clip(wanted, -largest - unit, largest + unit)) / unit
        # around the smallest number a result may be zero or not
        away = np.where((np.abs(wanted) <= SMALLEST * 1.001) & (np.abs(found) <= SMALLEST * 1.001), 0.0, away)
        away = np.where(np.isinf(found) & (np.abs(wanted) >= largest), 0.0, away)
        return np.where(np.isnan(wanted), np.where(np.isnan(found), 0.0, np.inf), away)


@pytest.mark.parametrize("mask", ["", "avx2", "baseline"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_right_to_four_units_in_the_last_place(name: str, mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this processor, and on lesser ones, which scale by powers of two otherwise and may not fuse products."""
    monkeypatch.setenv("NNSPEC_CPU", mask)
    try:
        chosen()
    except SpecError:
        pytest.skip("not on this processor")
    op, reference = FUNCTIONS[name]
    function = compiled(op)
    worst, where = 0.0, 0.0
    full = bool(os.environ.get("NNSPEC_FULL"))
    for x in samples((64 if full else 1) if mask else 4, full and not mask):
        with np.errstate(all="ignore"):
            flushed = np.where(np.abs(x) < SMALLEST, np.copysign(np.float32(0), x), x).astype(np.float64)
            away = units(function(x), reference(flushed))
        i = int(np.argmax(away))
        if away[i] > worst or np.isnan(away[i]):
            worst, where = float(away[i]), float(x[i])
    print(f"{name}: {worst:.2f} at {where!r}")
    assert worst <= LIMIT, f"{worst} units at {where!r}"


@pytest.mark.compiled
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_special_numbers_is_exact(name: str) -> None:
    op, reference = FUNCTIONS[name]
    x = np.zeros(SIZE, np.float32)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0], np.float32)
    x[: len(special)] = special
    found = compiled(op)(x)[: len(special)].copy()
    with np.errstate(all="ignore"):
        wanted = reference(special.astype(np.float64)).astype(np.float32)
    for a, b, given in zip(found, wanted, special, strict=True):
        assert (np.isnan(a) and np.isnan(b)) or abs(float(a) - float(b)) <= 4 * np.spacing(np.abs(b)) or a == b, (given, a, b)
