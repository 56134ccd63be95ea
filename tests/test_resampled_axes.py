"""Resizing and borders along several axes: one walk of a compiled kernel gives the bits of one axis after another, and NumPy alone the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.errors import SpecError
from nnspec.ir.graph import Graph, abstract
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.reduce import sum_
from nnspec.ops.resample import ResampleAxes, ResampleAxesGrad
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from nnspec_numpy.kernels import KERNELS
from nnspec_numpy.llvm.cpu import chosen
from tests.test_numpy_kernels import LIMIT, bound, check, numbers, peak, processor


def one_after_another(op: Any, x: Any) -> Any:
    """Each axis by the kernel of one."""
    for part in op.parts():
        run, (y,), _ = bound(part, x)
        run()
        x = y
    return x


@st.composite
def resized(draw: st.DrawFn) -> tuple[ResampleAxes, tuple[int, ...]]:
    """An op and the shape that it reads: two or three axes among those behind the rows, of any rule."""
    rank = draw(st.integers(2, 4))
    axes = tuple(sorted(draw(st.sets(st.integers(1, rank), min_size=2, max_size=3))))
    shape = (draw(st.integers(1, 3)), *(draw(st.integers(1, 6)) for _ in range(rank)), draw(st.sampled_from([1, 3, 4, 17, 70])))
    rule = draw(st.sampled_from(["nearest", "linear", "corners", "edge", "reflect"]))
    lows = tuple(draw(st.integers(0, shape[a] - 1)) if rule in ("edge", "reflect") else 0 for a in axes)
    lengths = tuple(shape[a] + low + draw(st.integers(0, shape[a] - 1)) if rule in ("edge", "reflect") else draw(st.integers(1, 11))
                    for a, low in zip(axes, lows, strict=True))
    steps = tuple(draw(st.sampled_from([None, (shape[a], m)])) for a, m in zip(axes, lengths, strict=True))
    return ResampleAxes(axes, rule, steps, lows, lengths), shape


@settings(deadline=None, max_examples=120)
@given(resized(), st.sampled_from(["float32", "float64"]), st.sampled_from(["", "avx2", "baseline", "none"]))
def test_several_axes_at_once_are_one_after_another_to_the_bit(at: tuple[ResampleAxes, tuple[int, ...]], dtype: str, cpu: str) -> None:
    op, shape = at
    x = numbers(shape, dtype)
    g = numbers(known(op.infer(TensorType(shape, DType(dtype))).shape), dtype, 1)
    back = ResampleAxesGrad(op.axes, op.rule, op.steps, op.lows, tuple(shape[a] for a in op.axes))
    with processor(cpu):
        for each, a in ((op, x), (back, g)):
            check(each, a)
            run, (y,), _ = bound(each, a)
            run()
            assert y.tobytes() == one_after_another(each, a).tobytes()


@pytest.mark.parametrize(("cpu", "channels"), [(cpu, n) for cpu in ("", "avx2", "none") for n in (3, 40)])
def test_large_images_ask_for_no_memory_of_python_s(cpu: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    try:
        chosen()
    except SpecError:
        pytest.skip("not on this processor")
    op = ResampleAxes((1, 2), "linear", (None, None), (0, 0), (70, 33))
    x = numbers((3, 40, 41, channels), "float32")
    check(op, x)
    assert peak(bound(op, x)[0]) <= LIMIT


@pytest.mark.parametrize("cpu", ["", "none"])
def test_the_op_stays_whole_forward_and_backward_where_it_is_one_kernel(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    x = abstract(TensorType((2, 5, 4, 8), DType.float32), "x")
    y = ResampleAxes((1, 2), "linear", ((1, 2), (1, 2)), (0, 0), (10, 8)).one(x)
    (g,) = gradients(sum_(y * y), [x])
    assert g is not None
    graph = run_pipeline(Graph({"y": y, "g": g}), BACKEND.claims, BACKEND.loops(), verify=True)
    found = [c.op.name for c in graph.calls if "Resample" in c.op.name]
    whole = chosen() is not None
    assert found == (["ResampleAxes", "ResampleAxesGrad"] if whole else ["Resample", "Resample", "ResampleGrad", "ResampleGrad"])
    assert ResampleAxes in KERNELS
    assert np.prod(known(y.shape)) == 2 * 10 * 8 * 8
