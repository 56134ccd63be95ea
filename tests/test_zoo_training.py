"""Each family of the zoo learns 32 small images by heart: its loss falls to a tenth, so that its backward pass is right as a whole."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nnspec.runtime.session import compile
from tests.published import spec_of

FULL = bool(os.environ.get("NNSPEC_FULL"))
STILL = {"vars.dropout": 0.0}
SMALL: dict[str, tuple[int, dict[str, Any]]] = {  # a member of each family, the side of its images, and what makes it small
    "keras VGG16": (32, {"vars.width": 4, "vars.hidden": 32}),
    "keras ResNet50": (32, {"vars.width": 4}),
    "keras MobileNet": (32, {"vars.width": 8, **STILL}),
    "keras MobileNetV2": (32, {"vars.width": 8}),
    "keras MobileNetV3Small": (32, STILL),
    "keras EfficientNetB0": (32, {"vars.width": 0.25, "vars.drop_path": 0.0, **STILL, "loss": "cross_entropy"}),
    "keras InceptionV3": (75, {"vars.thin": 16}),
    "keras InceptionResNetV2": (75, {"vars.thin": 16}),
    "keras Xception": (71, {"vars.width": 4, "vars.middle": 24, "vars.blocks": 2}),
    "keras DenseNet121": (32, {"vars.blocks": [2, 3, 3, 2], "vars.growth": 8}),
    "keras NASNetMobile": (32, {"vars.filters": 8, "vars.cells": 2, "vars.stem": 8}),
    "LeNet-5": (28, {}),
    "AlexNet (original, grouped)": (67, {"vars.width": 12, "vars.hidden": 64, **STILL}),
    "torchvision alexnet": (63, {"vars.width": 16, "vars.hidden": 64, **STILL}),
    "torchvision vgg11": (32, {"vars.width": 4, "vars.hidden": 32, "vars.norm": True, **STILL}),
    "torchvision resnet18": (32, {"vars.width": 8}),
    "Ultralytics yolov8n-cls": (32, {"vars.width": 8}),
}
NAMES = list(SMALL) if FULL else sorted(random.Random(3).sample(list(SMALL), 2))


@pytest.mark.parametrize("name", NAMES)
def test_a_family_learns_a_few_images_by_heart(name: str) -> None:
    first, *others = losses(name)
    assert any(loss < 0.1 * first for loss in others)


def losses(name: str, steps: int = 150) -> Iterator[float]:
    """The loss before each step."""
    side, settings = SMALL[name]
    channels = 1 if name == "LeNet-5" else 3
    optimizer = {"adam": {"learning_rate": 2e-3}}
    shared = {"vars.classes": 10, "optimizer": optimizer, "schedule": None, "batch_size": 32}
    spec = spec_of(name, (channels, side, side), **{k: v for k, v in {**shared, **settings}.items() if v is not None})
    model, rng = compile(spec), np.random.default_rng(0)
    feeds = {"image": rng.standard_normal((32, side, side, channels)).astype(np.float32), "target": np.arange(32) % 10}
    return (model.train_batch(feeds)["loss"] for _ in range(steps))
