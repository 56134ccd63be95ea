"""Files of weights as torchvision and Keras write them are loaded by the table of their family, and answer what they answered there.

Each value follows from its name, so that two layers of equal shape are not equal, and a table that exchanges them is found out.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import nnspec
from nnspec.cli.zoo import works
from nnspec.errors import SpecError
from nnspec.runtime.session import Model, compile
from tests.published import held

FULL = bool(os.environ.get("NNSPEC_FULL"))
SAVED: dict[str, Any] = held("saved")  # of each network: the tensors that its framework saves, and what it answers with them
WORKS = works()
IN_CI = ["torchvision resnet18", "torchvision mobilenet_v2", "keras MobileNet", "keras MobileNetV3Small", "keras EfficientNetB0"]
CLOSE = {"torchvision": 1e-10, "keras": 1e-5}  # Keras on PyTorch multiplies in single precision, whatever it is told

Arrays = dict[str, np.ndarray[Any, Any]]


def tensors(name: str) -> Arrays:
    """What the framework saves of a network, each value by its name."""
    point, found = "." if name.startswith("torchvision") else "/", Arrays()
    for kinds, layers in SAVED[name]["tensors"].items():
        for layer in layers:
            for kind in kinds.split(", "):
                leaf, _, sizes = kind.partition(" ")
                path = f"{layer}{point}{leaf}"
                found[path] = values(path, leaf, tuple(int(n) for n in sizes.split("x") if n), point == ".")
    return found


def values(path: str, leaf: str, shape: tuple[int, ...], torch: bool) -> np.ndarray[Any, Any]:
    """Kernels that neither fade nor grow, positive factors and variances, small biases and means."""
    rng = np.random.default_rng(zlib.crc32(path.encode()))
    if not shape:
        return np.zeros(())
    if leaf in ("moving_variance", "running_var", "gamma") or len(shape) == 1 and leaf == "weight":
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) == 1:
        return 0.1 * rng.standard_normal(shape)
    single = not torch and "depthwise" in path.lower() and len(shape) == 4 and shape[-1] == 1
    terms = np.prod(shape[1:] if torch else shape[:2] if single else shape[:-1])
    return rng.standard_normal(shape) * (1.5 / terms) ** 0.5


def written(name: str, folder: Path) -> dict[str, Any]:
    """The settings that read a network's weights from a file that was made for it."""
    side = SAVED[name]["side"]
    save_file({k: np.ascontiguousarray(v) for k, v in tensors(name).items()}, folder / "saved.safetensors")
    weights = {"from": str(folder / "saved.safetensors"), **WORKS[name].weights}
    return {**WORKS[name].set, "inputs.image.shape": [side, side, 3], "precision": "float64", "weights": weights}


@pytest.mark.parametrize("name", list(SAVED) if FULL else IN_CI)
def test_a_file_of_weights_answers_as_where_it_was_written(name: str, tmp_path: Path) -> None:
    model = compile(nnspec.load(WORKS[name].spec, set=written(name, tmp_path)))
    side, wanted = SAVED[name]["side"], SAVED[name]["output"]
    y = np.asarray(model.predict(np.random.default_rng(7).random((1, side, side, 3)), raw=True)).reshape(-1)
    close = CLOSE[name.split()[0]]
    assert abs(np.linalg.norm(y) / wanted["norm"] - 1) < close
    np.testing.assert_allclose(y[np.linspace(0, y.size - 1, 12).astype(int)], wanted["at"], rtol=0, atol=close * np.abs(wanted["at"]).max())


TRANSFER = """
nnspec: 1
inputs: {image: {shape: [32, 32, 3]}}
networks:
  backbone:
    spec: %s
    vars: {depth: 18}
    inputs: {image: {shape: [32, 32, 3]}}
    until: global_avg_pool2d
    trainable: false
    weights: {from: saved.safetensors, layout: torch, rename: renames/torchvision_resnet.yaml, strict: false}
layers:
  - backbone
  - dense: {units: 3, name: head}
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.01}}
schedule:
  - {epochs: 2}
  - {epochs: 2, trainable: [backbone/stage_4, head]}
epochs: 4
"""


def test_a_head_is_replaced_and_what_is_below_stands_still_until_the_schedule_lets_it_move(tmp_path: Path) -> None:
    name = "torchvision resnet18"
    save_file({k: np.ascontiguousarray(v) for k, v in tensors(name).items()}, tmp_path / "saved.safetensors")
    (tmp_path / "transfer.yaml").write_text(TRANSFER % WORKS[name].spec, "utf-8")
    model, saved = compile(nnspec.load(tmp_path / "transfer.yaml")), tensors(name)
    below, above, head = "backbone/stage_1/unit_1/residual_1/layers/conv_bn_1/conv2d_1/kernel", "backbone/stage_4/unit_2/residual_1/layers/conv_bn_2/conv2d_1/kernel", "head/kernel"
    np.testing.assert_allclose(model.read(below), saved["layer1.0.conv1.weight"].transpose(2, 3, 1, 0), rtol=1e-6)
    rng = np.random.default_rng(0)
    batch = {"image": rng.random((4, 32, 32, 3)).astype(np.float32), "target": np.array([0, 1, 2, 1])}
    held = [{path: model.read(path) for path in (below, above, head)}]
    for _ in range(4):
        model.train_batch(batch)
        held.append({path: model.read(path) for path in (below, above, head)})
    moves = {path: [not np.array_equal(x[path], y[path]) for x, y in zip(held, held[1:], strict=False)] for path in held[0]}
    assert moves == {below: [False] * 4, above: [False, False, True, True], head: [True] * 4}


def test_a_table_that_does_not_fit_says_what_is_left_over(tmp_path: Path) -> None:
    name = "torchvision resnet18"
    settings = written(name, tmp_path)
    settings["weights"] = {**settings["weights"], "rename": "renames/torchvision_alexnet.yaml"}
    with pytest.raises(SpecError, match="weights that nothing takes"):
        Model(nnspec.load(WORKS[name].spec, set=settings)).transfer()
