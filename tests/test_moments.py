"""Mean and variance of every column in one walk: their errors against float64, their order, and the memory they touch."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.ir.graph import Graph, abstract
from nnspec.ir.types import DType, TensorType
from nnspec.ops.normalization import BatchNorm, Moments
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from nnspec_numpy.kernels.moments import MOMENTS, parted
from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.team import TEAM
from tests.test_numpy_backend import bound, check_equal

CPUS = ["", "avx2", "baseline", "none"]
SHAPES = [(1, 5), (2, 16), (3, 17), (33, 64), (300, 1), (300, 3), (257, 24), (1000, 65), (70, 130), (512, 200), (9000, 7), (4097, 40)]


def twin(x: Any) -> tuple[Any, Any]:
    wide = x.astype(np.float64)
    return wide.mean(0), wide.var(0)


def data(kind: str, rows: int, columns: int) -> Any:
    r = np.random.default_rng(rows + columns)
    x = r.standard_normal((rows, columns))
    if kind == "far":
        x += 1e4 * r.choice([-1.0, 1.0], columns)
    if kind == "outliers":
        x[r.integers(0, rows, 3)] = 1e6
    if kind == "first":
        x[0] = -1e6
    if kind == "drifting":
        x += np.linspace(-100, 100, rows)[:, None]
    if kind == "halves":
        x += np.where(np.arange(rows) < rows // 2, -1e4, 1e4)[:, None]
    if kind == "constant":
        x[:] = r.standard_normal(columns) * 1e3
    return x.astype(np.float32)


def moments(x: Any, claims: Any = BACKEND.claims) -> tuple[Any, Any]:
    mean, variance = Moments()(abstract(TensorType(x.shape, DType(x.dtype.name)), "x"))
    run, _ = bound(run_pipeline(Graph({"mean": mean, "variance": variance}), claims, BACKEND.loops()), {"x": x})
    run.run()
    return run.outputs["mean"].copy(), run.outputs["variance"].copy()


def errors(found: tuple[Any, Any], x: Any) -> tuple[float, float]:
    """Of the mean, against what its columns are spread by where they do not lie far off; of the variance against itself."""
    mean, variance = twin(x)
    return (float(np.max(np.abs(found[0] - mean) / (np.sqrt(variance) + np.abs(mean) + 1e-30))),
            float(np.max(np.abs(found[1] - variance) / (variance + (2.0**-23 * mean) ** 2 + 1e-30))))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("kind", ["plain", "far", "outliers", "first", "drifting", "halves", "constant"])
def test_moments_err_no_more_than_sums_of_what_is_centred(kind: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    for rows, columns in SHAPES:
        x = data(kind, rows, columns)
        one_walk, two_walks = errors(moments(x), x), errors(moments(x, partial(BACKEND.claims, strict=True)), x)
        assert one_walk[0] <= max(2 * two_walks[0], 2e-6), (rows, columns)
        assert one_walk[1] <= max(2 * two_walks[1], 2e-6), (rows, columns)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(1, 150), st.sampled_from(CPUS), st.sampled_from([DType.float32, DType.float64]))
def test_moments_touch_their_own_memory_alone(rows: int, columns: int, cpu: str, dtype: DType) -> None:
    op = Moments()
    kinds = [TensorType((rows, columns), dtype)], [TensorType((columns,), dtype)] * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNSPEC_CPU", cpu)
        kernel = MOMENTS[Moments]
        types = [*kinds[0], *kinds[1], *kernel.workspace(op, *kinds)]
        whole = [np.full(int(np.prod(t.shape)) + 64, np.nan, dtype.numpy) for t in types]
        x, mean, variance, *space = (w[32:-32].reshape(t.shape) for w, t in zip(whole, types, strict=True))
        x[...] = data("plain", rows, columns)
        kernel.bind(op, [x], [mean, variance], space)()
    assert all(np.isnan(w[:32]).all() and np.isnan(w[-32:]).all() for w in whole)
    for found, wanted in zip((mean, variance), twin(x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(1 << 14, 64), (1 << 18, 4)])
def test_moments_have_the_same_bits_for_any_number_of_threads(rows: int, columns: int) -> None:
    assert len(parted(rows, columns)[1]) > 1
    x, before = data("far", rows, columns), TEAM.threads
    found = []
    try:
        for threads in (1, 2, 4):
            BACKEND.set_threads(threads)
            found.append(b"".join(a.tobytes() for a in moments(x)))
    finally:
        BACKEND.set_threads(before)
    assert len(set(found)) == 1


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_moments_of_no_rows_and_of_one(rows: int) -> None:
    x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    mean, variance = moments(x)
    np.testing.assert_allclose(mean, x.mean(0) if rows else 0, rtol=1e-6)
    np.testing.assert_allclose(variance, x.var(0) if rows else 0, rtol=1e-6)


@pytest.mark.parametrize(("cpu", "strict", "calls"), [("", False, 1), ("", True, 0), ("none", False, 0)])
def test_a_batch_norm_that_trains_reads_its_input_twice_where_sums_may_be_reordered(cpu: str, strict: bool, calls: int,
                                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    x, gamma, beta = (abstract(TensorType(shape, DType.float32), name) for name, shape in (("x", (64, 6, 6, 20)), ("gamma", (20,)), ("beta", (20,))))
    outputs = BatchNorm(1e-3)(x, gamma, beta)
    graph = run_pipeline(Graph({f"out_{i}": v for i, v in enumerate(outputs)}), partial(BACKEND.claims, strict=strict), BACKEND.loops(strict))
    assert sum(isinstance(c.op, Moments) for c in graph.calls) == (calls if chosen() is not None else 0)
    if chosen() is not None and not strict:
        assert sum(x in c.inputs for c in graph.calls) == 2
    r = np.random.default_rng(0)
    check_equal(graph, {v.op.label: r.standard_normal(v.shape).astype(np.float32) for v in (x, gamma, beta)}, 1e-5)  # type: ignore[attr-defined]
