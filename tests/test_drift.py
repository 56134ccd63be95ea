"""Single precision strays from double no further than equally good sums do: interpreters that add in other orders."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.runtime.bench import rows
from tests.bench.drift import strayed
from tests.bench.orders import reordered
from tests.bench.targets import WORKS, ZOO

FULL = bool(os.environ.get("NNSPEC_FULL"))
STEPS, ORDERS = (200, 4) if FULL else (3, 3)
PLAIN = """nnspec: 1
inputs: {image: {shape: [16, 16, 3]}}
layers:
  - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu, repeat: 2}
  - max_pool2d: 2
  - conv2d: {filters: 128, kernel: 3, padding: same, activation: relu, repeat: 2}
  - max_pool2d: 2
  - flatten
  - dense: 10
loss: cross_entropy
optimizer: {adam: {learning_rate: 1e-3}}
batch_size: 32
"""
SMALL: dict[str, dict[str, Any]] = {
    "mlp_sgd": {}, "mlp_adam": {}, "mlp_wide": {"vars.width": 96}, "lenet5": {}, "vgg_small": {"vars.width": 16, "inputs.image.shape": [16, 16, 3]},
    "resnet18_cifar": {"vars.width": 8, "inputs.image.shape": [16, 16, 3]}, "unet_small": {"vars.width": 8, "inputs.image.shape": [16, 16, 3]},
}  # fmt: skip


def held(path: Path, settings: dict[str, Any]) -> None:
    """Steps that begin with the double's state. One in which a relu is turned, here or in an interpreter, says nothing of the others."""
    rows = list(strayed(path, settings, STEPS, ORDERS, fresh=True))
    assert median(row.least for row in rows) <= 3, rows


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_a_work_strays_at_most_three_times_as_far_as_equally_good_sums(name: str) -> None:
    held(ZOO / f"{WORKS[name].spec}.yaml", {**WORKS[name].settings, "batch_size": 8, **SMALL[name]})


def test_adam_makes_no_steps_of_the_noise_of_tiles(tmp_path: Path) -> None:
    """In the first, where it divides a gradient by its own size."""
    (tmp_path / "plain.yaml").write_text(PLAIN)
    (row,) = strayed(tmp_path / "plain.yaml", {}, 1, ORDERS)
    assert row.least <= 3, row


def test_an_interpreter_that_adds_in_another_order_gives_the_same_but_for_roundings(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text(PLAIN)
    found = []
    for order in (0, 1, 2):
        model = nnspec.compile(nnspec.load(tmp_path / "plain.yaml"), backend="interpret")
        with reordered(order):
            found.append(model.gradients(rows(model, {})))
    for key, usual in found[0].items():
        for other in found[1:]:
            assert np.abs(other[key] - usual).max() <= 1e-5 * np.abs(usual).max(), key
    assert any((a != b).any() for a, b in zip(found[1].values(), found[2].values(), strict=True))
