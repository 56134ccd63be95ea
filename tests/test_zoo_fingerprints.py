"""Networks of the zoo, filled by rule, answer in double precision what the frameworks answered that published them.

``tests/reference/zoo`` holds what they answered: whole outputs of some (`keras_*.json`, `torch_*.json`), of every network of Keras the
mean and the deviation of its logits (`traces.json`), to nine digits.
"""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest

from nnspec.cli.zoo import works
from tests.published import held, multiset, output, shape_of, spec_of
from tests.reference.fingerprint import compare, summary

FULL = bool(os.environ.get("NNSPEC_FULL"))
WORKS = works()
WHOLE = {  # the reference's file, the network, what is set besides
    **{name: f"keras_{name.removeprefix('keras ')}" for name in WORKS if name.removeprefix("keras ") in
       ("DenseNet121", "EfficientNetB0", "InceptionV3", "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50", "VGG16", "Xception")},
    "LeNet-5": "torch_lenet5", "AlexNet (original, grouped)": "torch_alexnet_original", "torchvision alexnet": "torch_torchvision_alexnet",
    "torchvision resnet18": "torch_torchvision_resnet18",
}  # fmt: skip
RUNS: list[tuple[str, int]] = [(name, i) for name, file in WHOLE.items() if name in WORKS for i in range(len(held(file)["runs"]))]
TRACED = [name for name, traced in held("traces").items() if name in WORKS and traced["conv_gain"] is not None]


def tenth(found: list[Any], least: int = 2) -> list[Any]:
    """All of them with NNSPEC_FULL, else a tenth that a seed draws."""
    return found if FULL else sorted(random.Random(20).sample(found, max(least, len(found) // 10)), key=found.index)


@pytest.mark.parametrize("name", [n for n in WHOLE if n in WORKS])
def test_a_network_has_the_parameters_of_each_role_and_shape(name: str) -> None:
    reference = held(WHOLE[name])
    spec = spec_of(name, shape_of(reference["runs"][0]["input"])[1:])
    assert multiset(spec) == sorted(reference["param_multiset"])


@pytest.mark.parametrize(("name", "run"), tenth([(n, i) for n, i in RUNS if FULL or i < 2]))
def test_a_filled_network_answers_as_where_it_was_published(name: str, run: int) -> None:
    reference = held(WHOLE[name])
    asked = reference["runs"][run]
    y = output(name, asked["input"], reference["conv_gain"])
    assert max(compare(asked["output"], y).values()) < 1e-9
    assert summary(y)["argmax_last_axis"] == asked["output"]["argmax_last_axis"]


@pytest.mark.parametrize("name", tenth(TRACED, 3))
def test_the_logits_of_a_filled_network_spread_as_where_it_was_published(name: str) -> None:
    traced = held("traces")[name]
    y = output(name, traced["input"], traced["conv_gain"])
    assert list(y.shape[1:]) == traced["shape"]
    np.testing.assert_allclose([y.mean(), y.std()], [traced["mean"], traced["std"]], rtol=2e-8, atol=2e-8 * traced["std"])
