"""Sums that textbooks do by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.data.batches import count
from nnspec.runtime.session import compile

IMAGE = np.array([[2, 0, 1, 2, 2], [0, 1, 0, 1, 3], [3, 2, 0, 1, 1], [1, 0, 0, 1, 2], [2, 2, 1, 0, 0]])
KERNEL = "[[1, -1, 0], [2, 1, 1], [0, -1, 2]]"


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_a_kernel_typed_into_the_spec_is_slid_over_an_image(backend: str) -> None:
    model = compile(loads(f"nnspec: 1\ninputs: {{image: {{shape: [5, 5, 1]}}}}\nlayers:\n  - conv2d: {{filters: 1, kernel: 3, bias: false, init: {{kernel: {KERNEL}}}}}\n"),
                    backend=backend)
    np.testing.assert_array_equal(model.predict(IMAGE[None, :, :, None])[0, :, :, 0], [[1, 4, 4], [7, 8, 4], [3, 2, 2]])


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_its_average_pool_of_stride_1(backend: str) -> None:
    model = compile(loads(f"nnspec: 1\ninputs: {{image: {{shape: [5, 5, 1]}}}}\nlayers:\n  - conv2d: {{filters: 1, kernel: 3, bias: false, init: {{kernel: {KERNEL}}}}}\n"
                          "  - avg_pool2d: {size: 2, stride: 1}\n"), backend=backend)
    pooled = model.predict(IMAGE[None, :, :, None])[0, :, :, 0]
    np.testing.assert_array_equal(pooled, [[5, 5], [5, 4]])


def test_1000_samples_in_batches_of_100_are_10_iterations() -> None:
    assert count(1000, 100) == 10
    assert count(1001, 100) == 11


def test_leaky_relu_of_minus_3_is_minus_0_03() -> None:
    model = compile(loads("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [1]}}\nlayers: [leaky_relu]\n"))
    assert model.predict([[-3.0]]).item() == pytest.approx(-0.03, rel=1e-15)
