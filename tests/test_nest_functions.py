"""The functions of loop nests in single precision against double precision: at most 4 units in the last place.

A dense sample of all numbers, and with NNSPEC_FULL=1 every one (of powers each sixteenth). Numbers below 2^-126 count as zero.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from nnspec.ir.graph import Graph, abstract, constant
from nnspec.ir.op import Op
from nnspec.ir.types import DType, TensorType
from nnspec.ops import elementwise as e
from nnspec.passes.fuse_loops import fuse_loops
from nnspec_numpy import BACKEND
from tests.processors import processor

SIZE = 1 << 16  # of a call, so that all that is made of it stays in a processor's cache
CALLS = (1 << 20) // SIZE  # for a million numbers
LIMIT = 4.0
SMALLEST = np.float64(2.0**-126)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def erf(x: Any) -> Any:
    from scipy.special import erf  # comes with scikit-learn

    return erf(x)


FUNCTIONS: dict[str, tuple[Op, Callable[[Any], Any]]] = {
    "exp": (e.Exp(), np.exp), "expm1": (e.Expm1(), np.expm1), "log": (e.Log(), np.log), "log1p": (e.Log1p(), np.log1p),
    "tanh": (e.Tanh(), np.tanh), "sigmoid": (e.Sigmoid(), sigmoid), "erf": (e.Erf(), erf),
    "sin": (e.Sin(), np.sin), "cos": (e.Cos(), np.cos), "arctan": (e.Arctan(), np.arctan), "cosh": (e.Cosh(), np.cosh), "sinh": (e.Sinh(), np.sinh),
    **{f"power {n:g}": (e.Power(n), lambda x, n=n: np.power(x, n)) for n in (3.0, 5.0, 6.0, 8.0, -3.0, -4.0, 0.25, 1.5, -0.5, -0.75, 1.75, 0.0)}}


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


@pytest.fixture(params=["", "avx2", "baseline"])
def mask(request: pytest.FixtureRequest) -> Iterator[str]:
    """On this processor, and on lesser ones, which scale by powers of two otherwise and may not fuse products."""
    with processor(request.param):
        yield request.param


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


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_right_to_four_units_in_the_last_place(name: str, mask: str) -> None:
    op, reference = FUNCTIONS[name]
    function = compiled(op)
    worst, where = 0.0, 0.0
    full = bool(os.environ.get("NNSPEC_FULL"))
    every = full and not mask and not name.startswith("power")
    for x in samples(CALLS * ((64 if full else 1) if mask else 256 if full else 4), every):
        with np.errstate(all="ignore"):
            found = function(x)
            others = np.flatnonzero(found != reference(x.astype(np.float64)).astype(np.float32))  # the rest is as near as can be
            away = units(found[others], reference(flushed(x[others]).astype(np.float64)))
        i = int(np.argmax(away)) if len(others) else 0
        if len(others) and (away[i] > worst or np.isnan(away[i])):
            worst, where = float(away[i]), float(x[others[i]])
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


def two(op: Op) -> Callable[[Any, Any], Any]:
    """An op of two arrays as a nest."""
    kind = TensorType((SIZE,), DType.float32)
    program = BACKEND.plan(fuse_loops(Graph({"y": op.one(abstract(kind, "a"), abstract(kind, "b"))}), BACKEND.loops()), op.name)
    assert [s.call.op.name for s in program.steps] == ["Fused"]
    run = BACKEND.bind(program, BACKEND.memory({}))

    def function(a: Any, b: Any) -> Any:
        run.inputs["a"][...], run.inputs["b"][...] = a, b
        run.run()
        return run.outputs["y"].copy()

    return function


def pairs(kind: str) -> tuple[Any, Any]:
    """Numbers of all sizes, of like size, small whole ones, or every special one beside every other."""
    rng = np.random.default_rng(len(kind))
    bits = [rng.integers(0, 1 << 32, SIZE, np.uint64).astype(np.uint32).view(np.float32) for _ in range(2)]
    special = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1.5, -1.5, 2.0**23 + 1, -(2.0**24) - 2, 3e38, -3e38, 1e-37, -1e-37, np.inf, -np.inf, np.nan],
                       np.float32)
    grid = np.resize(np.stack(np.meshgrid(special, special)).reshape(2, -1), (2, SIZE))
    return {"bits": tuple(bits), "like": (rng.normal(0, 50, SIZE).astype(np.float32), rng.normal(0, 3, SIZE).astype(np.float32)),
            "whole": (rng.integers(-12, 13, SIZE).astype(np.float32), rng.integers(-6, 7, SIZE).astype(np.float32)),
            "special": (grid[0], grid[1])}[kind]


def flushed(x: Any) -> Any:
    return np.where(np.abs(x) < SMALLEST, np.copysign(np.float32(0), x), x)


@pytest.mark.parametrize("kind", ["bits", "like", "whole", "special"])
def test_a_power_is_that_of_double_precision(kind: str, mask: str) -> None:
    """To four units, and exactly where it is a whole number that single precision holds."""
    a, b = (flushed(x) for x in pairs(kind))
    found = two(e.Raise())(a, b)
    with np.errstate(all="ignore"):
        wanted = np.power(a.astype(np.float64), b.astype(np.float64))
        away = units(found, wanted)
        same_sign = (np.signbit(found) == np.signbit(wanted)) | np.isnan(wanted)
    i = int(np.argmax(away))
    assert away[i] <= LIMIT, (a[i], b[i], found[i], wanted[i])
    assert same_sign.all()
    if kind == "whole":
        exact = (np.abs(wanted) < 2**24) & (b >= 0)
        np.testing.assert_array_equal(found[exact], wanted[exact].astype(np.float32))


@pytest.mark.parametrize("kind", ["bits", "like", "whole", "special"])
@pytest.mark.parametrize("op", [e.Remainder(), e.FloorDivide()])
def test_what_is_left_and_the_quotient_rounded_down_are_numpys(op: Op, kind: str, mask: str) -> None:
    a, b = (flushed(x) for x in pairs(kind))
    n = 20_000  # of huge quotients the reference takes its time
    found = two(op)(a, b)[:n]
    with np.errstate(all="ignore"):
        a, b, rest = a[:n], b[:n], np.fmod(a[:n], b[:n])
        wanted = np.asarray(op.reference(a, b))
    seen = ~((rest != 0) & (np.abs(rest) < SMALLEST))  # what is left and counts as zero is nothing that b is added to
    found, wanted = flushed(found[seen]), flushed(wanted[seen])
    assert seen.mean() > 0.99
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("op", [e.Floor(), e.Round()])
def test_whole_numbers_are_numpys(op: Op, mask: str) -> None:
    function = compiled(op)
    for x in samples(CALLS, False):
        x = flushed(x)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(function(x), op.reference(x))
    x = flushed(np.arange(-SIZE // 2, SIZE // 2).astype(np.float32) / 4)
    found, wanted = function(x), op.reference(x)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))


def test_the_whole_part_of_a_quotient_by_one_is_that_of_the_number() -> None:
    graph = fuse_loops(Graph({"y": e.FloorDivide().one(abstract(TensorType((SIZE,), DType.float32), "x"), constant(1.0, DType.float32))}), BACKEND.loops())
    run = BACKEND.bind(BACKEND.plan(graph, "quotient"), BACKEND.memory({}))
    bits = np.random.default_rng(0).integers(0, 1 << 32, SIZE, np.uint64).astype(np.uint32)
    x = np.where((bits & 0x7F800000) == 0, 0, bits).astype(np.uint32).view(np.float32)
    x[:9] = 0.0, -0.0, 0.5, -0.5, 1.0, -1.0, np.inf, -np.inf, np.nan
    x[9 : SIZE // 2] = np.random.default_rng(1).uniform(-1e8, 1e8, SIZE // 2 - 9)
    run.inputs["x"][...] = x
    run.run()
    with np.errstate(all="ignore"):
        wanted = np.floor_divide(x, np.float32(1))
    np.testing.assert_array_equal(run.outputs["y"], wanted)
    some = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(run.outputs["y"][some]), np.signbit(wanted[some]))
