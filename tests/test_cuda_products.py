"""Products as a library is asked for them: a batch a fixed step apart, whatever else in several, nothing summed up as zeros."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest

from nnspec.ir.program import Array, row_major
from nnspec.ir.types import DType, TensorType
from nnspec_cupy.commands import Launch, Product
from nnspec_cupy.emulated import EmulatedDevice
from nnspec_cupy.lowerings import LOWERINGS
from nnspec_cupy.products import matrices, products

SHAPES = [((3, 4), (4, 5)), ((6, 3, 4), (4, 5)), ((2, 1, 3, 4), (7, 4, 5)), ((2, 1, 3, 4), (2, 7, 4, 5)), ((1, 7, 3, 4), (2, 7, 4, 5)),
          ((2, 3, 1, 3, 4), (2, 1, 6, 4, 5)), ((5, 3, 4), (5, 4, 5)), ((2, 7, 3, 4), (2, 1, 4, 5)), ((1, 1, 3, 4), (1, 4, 5)), ((3, 0), (0, 5)),
          ((2, 3, 0), (2, 0, 5)), ((0, 4), (4, 5)), ((2, 0, 3, 4), (4, 5)), ((4, 1), (1, 1)), ((2, 1, 1, 4), (1, 3, 4, 1))]  # fmt: skip


def placed(name: str, shape: tuple[int, ...], dtype: DType, swapped: bool = False) -> Array:
    strides = row_major(shape)
    if swapped:
        strides = (*strides[:-2], 1, shape[-2])
    return Array(name, TensorType(shape, dtype), name, 0, strides)


@pytest.mark.parametrize("dtype", [DType.float32, DType.float64])
@pytest.mark.parametrize("swapped", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_any_product_is_some_of_those_that_a_library_computes(a: tuple[int, ...], b: tuple[int, ...], swapped: tuple[bool, bool], dtype: DType) -> None:
    rng = np.random.default_rng(prod(a) + prod(b))
    first, second = placed("a", a, dtype, swapped[0]), placed("b", b, dtype, swapped[1])
    wanted_shape = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    y, bias = placed("y", wanted_shape, dtype), placed("bias", b[-1:], dtype)
    device = EmulatedDevice()
    blocks = {x.name: device.allocate(max(1, x.bytes)) for x in (first, second, y, bias)}
    numbers: dict[str, Any] = {}
    for x in (first, second, bias):
        held = np.ndarray(x.shape, dtype.numpy, blocks[x.name], 0, tuple(s * dtype.size for s in x.strides)) if prod(x.shape) else np.zeros(x.shape)
        held[...] = numbers[x.name] = rng.normal(size=x.shape)
    for added in (None, bias):
        blocks["y"][...] = 255
        found = list(products(first, second, y, added))
        for c in found:
            if isinstance(c, Product):
                assert len(c.y.shape) <= 3 and all(len(x.shape) <= len(c.y.shape) for x in (c.a, c.b))
                assert not (c.bias is not None and dtype == DType.float64), "no library promises that"
            device.bind(c, lambda x: blocks[x.arena])()
        device.synchronize()
        got = np.ndarray(y.shape, dtype.numpy, blocks["y"]) if prod(y.shape) else np.zeros(y.shape)
        wanted = numbers["a"] @ numbers["b"] + (numbers["bias"] if added else 0)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    if not prod(y.shape):
        assert not found


def test_a_matrix_for_all_of_a_batch_makes_one_product_of_it() -> None:
    (one,) = products(placed("a", (6, 3, 4), DType.float32), placed("b", (4, 5), DType.float32), placed("y", (6, 3, 5), DType.float32))
    assert isinstance(one, Product) and one.y.shape == (18, 5)


def test_a_bias_in_double_precision_is_added_by_a_kernel() -> None:
    found = list(products(*(placed(n, s, DType.float64) for n, s in (("a", (3, 4)), ("b", (4, 5)), ("y", (3, 5)), ("bias", (5,))))))
    assert [type(c) for c in found] == [Product, Launch]


def test_a_bias_with_gaps_is_copied_before() -> None:
    from nnspec.codegen.views import Layout
    from nnspec.ops.matmul import Linear

    assert not matrices(Linear(), 2, Layout(0, (5,), (2,))) and matrices(Linear(), 2, Layout(0, (5,), (1,)))
    assert LOWERINGS[Linear].reads is matrices
