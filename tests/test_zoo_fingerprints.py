"""Networks of the zoo, filled by rule, answer in double precision what the frameworks answered that published them.

``tests/reference/zoo`` holds what they answered: whole outputs of some (`keras_*.json`, `torch_*.json`), of every network of Keras the
mean and the deviation of its logits (`traces.json`), to nine digits.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli.zoo import works
from nnspec.runtime.session import compile
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
STATISTICS = ("bn_mean", "bn_var", "bn_variance")
RUNS: list[tuple[str, int]] = [(name, i) for name, file in WHOLE.items() if name in WORKS for i in range(len(held(file)["runs"]))]
TRACED = [name for name, traced in held("traces").items() if name in WORKS and traced["conv_gain"] is not None]


def tenth(found: list[Any], least: int = 2) -> list[Any]:
    """All of them with NNSPEC_FULL, else a tenth that a seed draws."""
    return found if FULL else sorted(random.Random(20).sample(found, max(least, len(found) // 10)), key=found.index)


@pytest.mark.parametrize("name", [n for n in WHOLE if n in WORKS])
def test_a_network_has_the_parameters_of_each_role_and_shape(name: str) -> None:
    reference = held(WHOLE[name])
    spec = spec_of(name, shape_of(reference["runs"][0]["input"])[1:])
    wanted = sorted(reference["param_multiset"])
    learned = not any(role in STATISTICS for role, *_ in wanted)  # PyTorch's lists leave moving statistics out
    assert [row for row in multiset(spec) if not (learned and row[0] in STATISTICS)] == wanted


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


def test_what_the_spec_itself_turns_to_channels_first_takes_pytorchs_dense_layers_as_they_are(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    nn = torch.nn
    twin = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
                         nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)).double()  # fmt: skip
    save_file(twin.state_dict(), tmp_path / "lenet5.safetensors")
    rename = {f"{theirs}.": f"{ours}/" for theirs, ours in ((0, "conv2d_1"), (3, "conv2d_2"), (7, "dense_1"), (9, "dense_2"), (11, "dense_3"))}
    weights = {"from": str(tmp_path / "lenet5.safetensors"), "layout": "torch", "rename": rename}
    model = compile(spec_of("LeNet-5", precision="float64", weights=weights))
    x = np.random.default_rng(0).standard_normal((2, 28, 28, 1))
    with torch.no_grad():
        np.testing.assert_allclose(model.predict(x, raw=True), twin(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy(), rtol=0, atol=1e-12)
