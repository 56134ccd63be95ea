"""Copies between arrays that lie anyhow: to the last bit, by every kernel there is, and never a byte beside what is copied."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.ops.movement import Pad
from nnspec_numpy.kernels.copies import bind_pad, copy, step, way
from nnspec_numpy.llvm.cpu import chosen
from tests.processors import processor

CPUS = ["", "avx2", "baseline", "none"]
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "uint16")


def numbers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


def compare(shape: tuple[int, ...], order: tuple[int, ...], low: int, step_: int, dtype: str) -> str:
    """From a part of a larger array to a part of another, whose axes lie in an order of their own; all around stays as it was."""
    x = numbers(tuple(n * step_ + low for n in shape), dtype)[tuple(slice(low, None, step_) for _ in shape)]
    lying = [shape[a] + 3 for a in order]
    whole = np.full(lying, 7, dtype)
    y = whole[tuple(slice(1, -2) for _ in shape)].transpose(np.argsort(order))
    assert y.shape == x.shape
    wanted = np.full(lying, 7, dtype)
    wanted[tuple(slice(1, -2) for _ in shape)] = x.transpose(order)
    step(y, x)()
    np.testing.assert_array_equal(whole, wanted)
    found = way(shape, y.strides, x.strides, y.itemsize)
    return found.name if found else ""


@pytest.mark.parametrize("cpu", CPUS)
def test_every_order_of_axes_is_copied(cpu: str) -> None:
    with processor(cpu, skip=False):
        names = {compare(shape, order, low, step_, dtype) for shape in ((5, 33, 18), (3, 4, 70), (17, 1, 16), (2, 2, 9)) for order in permutations(range(3))
                 for low, step_ in ((0, 1), (2, 2)) for dtype in DTYPES}
    assert cpu == "none" or chosen() is None or {"runs"} < names and any(n.startswith("turned4") for n in names) and any(n.startswith("turned8") for n in names)


@pytest.mark.parametrize("cpu", CPUS)
def test_runs_of_every_length_are_copied_and_nothing_beside_them(cpu: str) -> None:
    with processor(cpu, skip=False):
        names = {compare((3, 5, n), (0, 1, 2), 1, 1, "float32") for n in range(2, 82)}
    assert cpu == "none" or chosen() is None or names == {"short1", "short2", "short3", "short4", "runs"}


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_lines_are_laid_into_one_another_and_taken_apart(cpu: str, count: int) -> None:
    with processor(cpu, skip=False):
        for n in (1, 15, 16, 17, 40):
            apart, joined = numbers((3, count, n), "float32"), np.zeros((3, n, count), "float32")
            into, out = step(joined.transpose(0, 2, 1), apart), np.zeros_like(apart)
            into()
            np.testing.assert_array_equal(joined, apart.transpose(0, 2, 1))
            step(out, joined.transpose(0, 2, 1))()
            np.testing.assert_array_equal(out, apart)
            found = way(apart.shape, joined.transpose(0, 2, 1).strides, apart.strides, 4)
            assert n < 16 or cpu == "none" or chosen() is None or found is not None and found.name == f"zip{count}"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_reshaped_turned_and_repeated_arrays_are_copied(data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.sampled_from((1, 2, 3, 4, 8, 17)), min_size=1, max_size=6)))
    order = data.draw(st.permutations(range(len(sizes))))
    back = data.draw(st.permutations(range(len(sizes))))
    dtype = data.draw(st.sampled_from(DTYPES))
    x = numbers(tuple(sizes[a] for a in order), dtype).transpose(np.argsort(order))
    if data.draw(st.booleans()):
        axis = data.draw(st.integers(0, len(sizes) - 1))
        x = np.broadcast_to(np.take(x, [0], axis), sizes)
    y = np.zeros([sizes[a] for a in back], dtype).transpose(np.argsort(back))
    step(y, x)()
    np.testing.assert_array_equal(y, x)


def test_parts_of_a_large_copy_are_the_whole() -> None:
    x = np.arange(3 << 20, dtype=np.float32).reshape(512, 6, 1024)
    y = np.zeros((512, 1024, 6), np.float32).transpose(0, 2, 1)
    run = copy(y, x)
    if run is not None:
        run()
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("cpu", CPUS)
def test_borders_are_written_once_and_around_the_inside(cpu: str) -> None:
    with processor(cpu, skip=False):
        for low, high, inner in (((0, 1, 2), (0, 3, 0), (0, 0, 0)), ((1, 0, 0), (0, 0, 1), (0, 0, 0)), ((0, 0, 0), (0, 0, 0), (0, 0, 0)), ((1, 2, 0), (0, 1, 1), (1, 2, 0))):
            op, x = Pad(low=low, high=high, inner=inner, value=-1.5), numbers((3, 5, 6), "float32")
            wanted = op.reference(x)
            y = np.full(wanted.shape, np.nan, np.float32)
            bind_pad(op, [x], [y], [])()
            np.testing.assert_array_equal(y, wanted)
