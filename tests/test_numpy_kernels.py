"""Every NumPy kernel gives what its op's reference gives, whatever its memory held before, and asks for none while running."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnspec.ops  # noqa: F401  # registers the ops
from nnspec.errors import SpecError
from nnspec.ir.op import Array, Op, ShapeError
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad, Padding
from nnspec.ops.elementwise import Erf, Sigmoid
from nnspec.ops.index import ScatterAdd, TopK
from nnspec.ops.pool import AvgPool, AvgPoolGrad, MaxPool, MaxPoolGrad, MaxPoolPick
from nnspec.ops.random import RandomBits
from nnspec.ops.resample import Resample, ResampleGrad
from nnspec_numpy.kernels import KERNELS
from nnspec_numpy.kernels.move import turn
from nnspec_numpy.llvm.call import Call
from nnspec_numpy.llvm.cpu import chosen
from tests.processors import processor

CLOSE = {"float64": 1e-12, "float32": 2e-5}
LIMIT = 4096  # bytes that a call may ask for
SAMPLES = [pytest.param(op, i, id=f"{op.__name__}-{i}") for op in KERNELS for i in range(len(op.samples))]
DTYPES = st.sampled_from(["float64", "float32"])
CPUS = st.sampled_from(["", "avx2", "baseline", "none"])  # compiled kernels for this processor and for shorter vectors, and NumPy alone


def spoiled(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """Memory that gives itself away: NaN, or the largest number."""
    return np.full(tuple(shape), np.nan if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max, dtype)


def type_of(a: Array) -> TensorType:
    return TensorType(tuple(a.shape), DType(a.dtype.name))


def bound(op: Op, *x: Array) -> tuple[Callable[[], None], list[Array], list[Array]]:
    """The kernel's callable over spoiled memory, its outputs and its workspace."""
    kernel, types = KERNELS[type(op)], [type_of(a) for a in x]
    outputs = op.types(*types)
    y = [spoiled(known(t.shape), t.dtype.numpy) for t in outputs]
    space = [spoiled(known(t.shape), t.dtype.numpy) for t in kernel.workspace(op, types, outputs)]
    return kernel.bind(op, list(x), y, space), y, space


def check(op: Op, *x: Array, tolerance: float | None = None) -> None:
    """Against the reference in float64; then once more over spoiled memory, to the same bits, with the inputs as they were."""
    before = [a.copy() for a in x]
    with np.errstate(all="ignore"):
        wanted = op.reference(*(a.astype(np.float64) if a.dtype.kind == "f" else a for a in x))
        run, y, space = bound(op, *x)
        run()
        first = [a.copy() for a in y]
        for a in (*y, *space):
            a[...] = spoiled(a.shape, a.dtype)
        run()
    for a, b in zip(x, before, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b, w in zip(first, y, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert a.tobytes() == b.tobytes()
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, w)
            continue
        close = tolerance or CLOSE[a.dtype.name]
        largest = np.abs(w[np.isfinite(w)]).max(initial=0.0)
        np.testing.assert_allclose(a, w, rtol=close, atol=close * largest)


def peak(run: Callable[[], None]) -> int:
    """The most memory that a call holds at a time, in bytes."""
    with np.errstate(all="ignore"):
        run()
        tracemalloc.start()
        try:
            run()
            tracemalloc.reset_peak()
            held = tracemalloc.get_traced_memory()[0]
            run()
            return tracemalloc.get_traced_memory()[1] - held
        finally:
            tracemalloc.stop()


def numbers(shape: Sequence[int], dtype: str, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=tuple(shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("op", "index"), SAMPLES)
def test_a_sample_of_the_op_gives_what_its_reference_gives(op: type[Op], index: int, dtype: str) -> None:
    s = op.samples[index]
    x = [np.random.default_rng([index, i]).uniform(s.least, s.most, a) if isinstance(a, tuple) else np.asarray(a)
         for i, a in enumerate(s.inputs)]
    check(op(**s.attributes), *(a.astype(dtype) if a.dtype.kind == "f" else a for a in x))


@st.composite
def geometries(draw: st.DrawFn, most: int = 9, dilated: bool = True) -> dict[str, Any]:
    """Spatial sizes, windows, strides, dilations and paddings of one to three axes, of which at least one window fits."""
    rank = draw(st.integers(1, 3))
    each = lambda values: draw(st.tuples(*[values] * rank))  # noqa: E731  # four uses in a row
    size, stride = each(st.integers(1, 4)), each(st.integers(1, 3))
    dilation = each(st.integers(1, 2)) if dilated else (1,) * rank
    spatial = each(st.integers(1, most if rank < 3 else 5))
    padding: Padding = "same" if draw(st.booleans()) else each(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    if padding != "same":
        spatial = tuple(max(n, (k - 1) * d + 1 - a - b)
                        for n, k, d, (a, b) in zip(spatial, size, dilation, padding, strict=True))
    return {"size": size, "stride": stride, "dilation": dilation, "spatial": spatial, "padding": padding,
            "n": draw(st.integers(1, 4))}


@settings(deadline=None, max_examples=200)
@given(geometries(), st.integers(1, 3), st.sampled_from([1, 2, 3, 4, 17]), st.sampled_from([1, 2, 3, 4, 18, 40]), DTYPES, CPUS)
def test_convolution_and_both_gradients_give_what_their_references_give(
        at: dict[str, Any], groups: int, share: int, filters: int, dtype: str, cpu: str) -> None:
    fields = at["stride"], at["padding"], at["dilation"], groups
    x = numbers((at["n"], *at["spatial"], groups * share), dtype)
    w = numbers((*at["size"], share, groups * filters), dtype, 1)
    forward = Conv(*fields)
    g = numbers(known(forward.infer(type_of(x), type_of(w)).shape), dtype, 2)
    with processor(cpu, skip=False):
        check(forward, x, w)
        check(ConvInputGrad(*fields, at["spatial"]), g, w)
        check(ConvKernelGrad(*fields, at["size"]), x, g)


LARGE = {
    "first layer": ((40, 28, 28, 1), (5, 5, 1, 6), 1, 1),
    "colour": ((3, 40, 41, 3), (3, 3, 3, 8), 1, 1),
    "few channels, no border": ((20, 14, 14, 6), (5, 5, 6, 16), 1, 1),
    "many channels, no border": ((20, 12, 12, 20), (4, 4, 20, 16), 1, 1),
    "many channels": ((5, 12, 11, 64), (3, 3, 64, 32), 1, 1),
    "one place": ((5, 12, 11, 64), (1, 1, 64, 32), 1, 1),
    "strided": ((3, 33, 32, 24), (3, 3, 24, 16), 2, 1),
    "strided, many channels": ((3, 33, 32, 40), (5, 3, 40, 32), 2, 1),
    "strided by three": ((2, 20, 19, 24), (3, 4, 24, 24), 3, 1),
    "strided, grouped": ((3, 21, 20, 32), (3, 3, 16, 32), 2, 2),
    "strided place": ((3, 33, 32, 24), (1, 1, 24, 16), 2, 1),
    "grouped": ((3, 20, 20, 32), (3, 3, 8, 32), 1, 4),
    "volumes": ((3, 9, 8, 13, 16), (3, 3, 3, 16, 24), 1, 1),
    "volumes, strided": ((9, 8, 9, 14, 16), (3, 2, 3, 16, 20), 2, 1),
    "depthwise": ((3, 40, 40, 24), (3, 3, 1, 24), 1, 24),
    "depthwise, wide": ((2, 9, 9, 600), (3, 3, 1, 600), 1, 600),
    "depthwise, strided": ((3, 40, 40, 24), (5, 5, 1, 48), 2, 24),
    "depthwise, strided, no border": ((3, 31, 31, 4), (3, 3, 1, 4), 2, 4),
    "depthwise, volumes": ((2, 7, 9, 11, 40), (3, 3, 3, 1, 40), 1, 40),
    "depthwise, volumes, strided, no border": ((3, 9, 8, 11, 20), (3, 2, 3, 1, 20), 2, 20),
}


@pytest.mark.parametrize(("dtype", "cpu"), [("float64", ""), ("float32", ""), ("float32", "none")])
@pytest.mark.parametrize("name", LARGE)
def test_a_convolution_of_several_chunks_gives_what_its_reference_gives_and_asks_for_no_memory(
        name: str, dtype: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    x_shape, w_shape, stride, groups = LARGE[name]
    x, w = numbers(x_shape, dtype), numbers(w_shape, dtype, 1)
    rank = len(x_shape) - 2
    padding: Padding = ((0, 0),) * rank if "no border" in name else "same"
    fields = (stride,) * rank, padding, (1,) * rank, groups
    g = numbers(known(Conv(*fields).infer(type_of(x), type_of(w)).shape), dtype, 2)
    for op, arrays in ((Conv(*fields), (x, w)), (ConvInputGrad(*fields, x_shape[1:-1]), (g, w)),
                       (ConvKernelGrad(*fields, w_shape[:-2]), (x, g))):
        check(op, *arrays)
        assert peak(bound(op, *arrays)[0]) <= LIMIT, op


@settings(deadline=None, max_examples=150)
@given(geometries(dilated=False), st.sampled_from([1, 2, 3, 4, 5, 16, 19]), DTYPES, CPUS, st.data())
def test_pools_and_their_gradients_give_what_their_references_give(
        at: dict[str, Any], channels: int, dtype: str, cpu: str, data: st.DataObject) -> None:
    fields = at["size"], at["stride"], at["padding"]
    levels = data.draw(st.sampled_from([2, 1000]), "levels")  # two levels: ties in most windows
    x = np.random.default_rng(5).integers(-levels, levels, (at["n"], *at["spatial"], channels)).astype(dtype)
    op = MaxPool(*fields)
    try:
        g = numbers(known(op.outer(x.shape)), dtype, 2)
    except ShapeError:
        return
    index = op.reference(x)[1]
    with processor(cpu, skip=False):
        check(op, x)
        check(MaxPoolGrad(*fields, at["spatial"]), g, index)
        check(MaxPoolPick(*fields), x, index)
        check(AvgPool(*fields), x)
        check(AvgPoolGrad(*fields, at["spatial"]), g)


POOLED = {"halves": ((2, 2), (2, 2), "same", (9, 40, 40, 6)), "overlapping": ((3, 3), (2, 2), "same", (3, 41, 41, 16)),
          "volumes": ((2, 2, 2), (2, 2, 2), "same", (5, 9, 8, 11, 20)), "overlapping volumes": ((3, 3, 3), (2, 2, 1), "same", (2, 9, 8, 11, 6)),
          "gaps": ((2, 2), (3, 3), ((0, 0), (0, 0)), (3, 40, 40, 16)), "whole": ((7, 7), (1, 1), ((0, 0), (0, 0)), (8, 7, 7, 300))}


@pytest.mark.parametrize(("dtype", "cpu"), [("float64", ""), ("float32", ""), ("float32", "none")])
@pytest.mark.parametrize("name", POOLED)
def test_a_pool_over_many_rows_gives_what_its_reference_gives_and_asks_for_no_memory(
        name: str, dtype: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    *fields, shape = POOLED[name]
    x = numbers(shape, dtype)
    y, index = MaxPool(*fields).reference(x)
    for op, arrays in ((MaxPool(*fields), (x,)), (MaxPoolGrad(*fields, shape[1:-1]), (y, index)), (MaxPoolPick(*fields), (x, index)),
                       (AvgPool(*fields), (x,)), (AvgPoolGrad(*fields, shape[1:-1]), (y,))):
        check(op, *arrays)
        assert peak(bound(op, *arrays)[0]) <= LIMIT, op


@pytest.mark.parametrize("cpu", ["", "none"])
def test_max_pooling_hands_on_what_is_not_a_number(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    x = numbers((2, 4, 4, 3), "float32")
    x[0, 1, 1, 0] = np.nan
    run, (y, _), _ = bound(MaxPool((2, 2), (2, 2), "same"), x)
    run()
    assert np.isnan(y[0, 0, 0, 0]) and np.isnan(y).sum() == 1


@pytest.mark.parametrize("cpu", ["", "none"])
def test_the_gradient_of_max_pooling_keeps_an_infinity_to_the_place_it_belongs_to(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    g = np.array([[[[np.inf]]]], np.float32)
    run, (x,), _ = bound(MaxPoolGrad((2, 2), (2, 2), "same", (2, 2)), g, np.array([[[[2]]]], np.int32))
    run()
    np.testing.assert_array_equal(x.reshape(-1), [0, 0, np.inf, 0])


@pytest.mark.parametrize("shape", [(256, 1024), (3, 3, 130, 512), (1, 300, 320), (2, 7, 0), (512, 256)])
def test_a_matrix_is_turned_whole_however_its_rows_lie(shape: tuple[int, ...]) -> None:
    source = np.random.default_rng(0).standard_normal((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2]
    for one in (source, np.ascontiguousarray(source), source[..., ::-1]):
        target = np.full((*shape[:-2], shape[-1], shape[-2]), np.nan, np.float32)
        steps = turn(target, one)
        parted = one.strides[-2] % 1024 == 0 and one.nbytes >= 1 << 18 and not isinstance(steps[0], Call)
        assert len(steps) == (-(-shape[-2] // 16) if parted else 1)
        for step in steps:
            step()
        assert np.array_equal(target, np.swapaxes(one, -1, -2))


def test_erf_is_within_a_few_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-7, 7, 20_001), np.geomspace(1e-30, 7, 20_001), [0.0, -0.0, np.inf, -np.inf, 0.46875, 4.0]])
    for dtype, units in ((np.float64, 4), (np.float32, 4)):
        a = x.astype(dtype)
        run, (y,), _ = bound(Erf(), a)
        with np.errstate(all="ignore"):
            run()
        wanted = np.array([math.erf(v) for v in a])
        assert (np.abs(y - wanted) <= units * np.spacing(np.abs(wanted).astype(dtype)).astype(np.float64)).all()
        assert np.signbit(y[-5]) and not np.signbit(y[-6])


def test_erf_and_sigmoid_hand_on_what_is_not_a_number() -> None:
    for op in (Erf(), Sigmoid()):
        run, (y,), _ = bound(op, np.array([np.nan, 0.5, np.nan], np.float32))
        run()
        np.testing.assert_array_equal(np.isnan(y), [True, False, True])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", [Erf(), Sigmoid()], ids=repr)
def test_functions_of_many_elements_give_what_their_references_give_and_ask_for_no_memory(op: Op, dtype: str) -> None:
    x = 3 * numbers((70, 601), dtype)
    check(op, x)
    assert peak(bound(op, x)[0]) <= LIMIT
    check(op, np.linspace(-1000, 1000, 77, dtype=dtype))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1),
       st.lists(st.integers(1, 70), min_size=1, max_size=3))
def test_random_bits_are_the_reference_s_to_the_bit(seed: int, step: int, stream: int, shape: list[int]) -> None:
    check(RandomBits(tuple(shape), stream), np.array(seed, np.uint32), np.array(step, np.int64))


@pytest.mark.parametrize("shape", [(64, 1000), (3, 70_003), (5000, 8), (20_000,), (1, 300_000), (129, 28, 28, 6)])
def test_many_random_bits_are_the_reference_s_to_the_bit_and_ask_for_no_memory(shape: tuple[int, ...]) -> None:
    op, inputs = RandomBits(shape, 77), (np.array(2**32 - 1, np.uint32), np.array(2**40 + 5, np.int64))
    check(op, *inputs)
    assert peak(bound(op, *inputs)[0]) <= LIMIT


def test_random_bits_follow_the_seed_and_the_step_that_the_host_writes_between_runs() -> None:
    seed, step = np.array(1, np.uint32), np.array(1, np.int64)
    op = RandomBits((3, 50), 5)
    run, (y,), _ = bound(op, seed, step)
    for seed[...], step[...] in ((1, 1), (1, 2), (9, 2**35)):
        run()
        np.testing.assert_array_equal(y, op.reference(seed, step))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.lists(st.integers(1, 30), min_size=1, max_size=2), st.lists(st.integers(1, 80), max_size=2),
       st.sampled_from(["int64", "int32", "uint8"]), DTYPES, CPUS)
def test_rows_are_added_as_the_reference_adds_them(rows: int, places: list[int], row: list[int], ids: str, dtype: str, cpu: str) -> None:
    which = np.random.default_rng([rows, *places]).integers(0, rows, places).astype(ids)
    with processor(cpu, skip=False):
        check(ScatterAdd(rows), numbers((*places, *row), dtype), which)


@pytest.mark.parametrize("ids", ["int64", "int32"])
@pytest.mark.parametrize("width", [3, 128, 1000])
@pytest.mark.parametrize("cpu", ["", "none"])
def test_many_rows_are_added_and_ask_for_little_memory(width: int, ids: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    op = ScatterAdd(501)
    x = numbers((8, 200, width), "float32"), np.random.default_rng(0).integers(0, 501, (8, 200)).astype(ids)
    check(op, *x)
    assert peak(bound(op, *x)[0]) <= LIMIT + 2048  # np.add.at asks for 5 kB, whatever the sizes


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=2), st.integers(1, 12), st.integers(1, 12),
       st.sampled_from(["int64", "int32", "uint8"]), DTYPES)
def test_top_k_counts_ties_as_the_reference_does(places: list[int], classes: int, k: int, ids: str, dtype: str) -> None:
    r = np.random.default_rng([classes, *places])
    check(TopK(k), r.integers(0, 4, (*places, classes)).astype(dtype), r.integers(0, classes, places).astype(ids))


def test_top_k_of_many_rows_asks_for_no_memory() -> None:
    x = numbers((300, 100), "float32"), np.random.default_rng(0).integers(0, 100, 300)
    check(TopK(5), *x)
    assert peak(bound(TopK(5), *x)[0]) <= LIMIT


def test_a_kernel_s_workspace_depends_on_shapes_alone_and_stays_small_for_a_convolution() -> None:
    op = Conv((1, 1), "same", (1, 1))
    types = TensorType((256, 32, 32, 64)), TensorType((3, 3, 64, 64))
    space = KERNELS[Conv].workspace(op, types, op.types(*types))
    assert space == KERNELS[Conv].workspace(op, types, op.types(*types))
    assert sum(prod(known(t.shape)) * t.dtype.size for t in space) < 2 * (4 << 20)  # of two lanes


RULES = {"nearest up": ("nearest", 50, 120, 0), "nearest down": ("nearest", 130, 41, 0), "linear up": ("linear", 50, 120, 0), "linear down": ("linear", 130, 41, 0),
         "corners": ("corners", 70, 99, 0), "reflect": ("reflect", 60, 100, 25), "edge": ("edge", 60, 100, 25)}


@pytest.mark.parametrize("shape", [(3,), (40,), (7, 2), (70,)], ids=str)
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("cpu", ["", "avx2", "baseline", "none"])
def test_an_axis_of_several_blocks_is_read_and_added_up_as_its_reference_and_asks_for_no_memory(name: str, shape: tuple[int, ...], cpu: str,
                                                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    try:
        chosen()
    except SpecError:
        pytest.skip("not on this processor")
    rule, n, m, low = RULES[name]
    for dtype in ("float64", "float32"):
        for op, length in ((Resample(axis=1, rule=rule, low=low, length=m), n), (ResampleGrad(axis=1, rule=rule, low=low, length=n), m)):
            x = numbers((3, length, *shape), dtype)
            check(op, x)
            assert peak(bound(op, x)[0]) <= LIMIT
