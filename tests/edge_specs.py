"""Small specs drawn at random whose sizes lie at the edges: 1 of everything, windows larger than images, few channels, huge steps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

SIZES = (1, 1, 2, 3, 5, 9)
CHANNELS = (1, 1, 2, 3, 16, 17)
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "softplus", "leaky_relu", "softmax", "elu", "identity", "hard_silu", "log_softmax", "mish")
OPTIMIZERS = ("sgd", {"sgd": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}}, "adam", {"adam": {"amsgrad": True}}, "adamw", "rmsprop",
              "adagrad", "adadelta", "adamax", "nadam", "lion")  # fmt: skip
LOSSES = ("mse", "mae", "huber", "cross_entropy", "binary_cross_entropy", "hinge", "focal", "kl_divergence")


@dataclass(frozen=True)
class Edge:
    """A spec, and the shapes of what is fed to it."""

    text: str
    rows: int
    shape: tuple[int, ...]
    units: int
    loss: str


def window(r: Random, axes: int, key: str) -> dict[str, Any]:
    """A window of a convolution or a pool, often wider than what it walks over."""
    fields: dict[str, Any] = {key: [r.choice((1, 2, 3, 5, 7)) for _ in range(axes)], "padding": r.choice(("same", "same", "same", "valid"))}
    if r.random() < 0.5:
        fields["stride"] = [r.choice((1, 2, 3, 40)) for _ in range(axes)]
    elif key == "kernel" and r.random() < 0.5:
        fields["dilation"] = [r.choice((1, 2, 7, 30)) for _ in range(axes)]
    return fields


def spatial(r: Random, axes: int, channels: int) -> tuple[dict[str, Any], int]:
    """A layer over ``axes`` axes, and the channels that it leaves."""
    filters = r.choice(CHANNELS)
    activation = {"activation": r.choice(ACTIVATIONS)} if r.random() < 0.7 else {}
    kind = r.choice(("conv", "conv", "conv", "depthwise_conv", "separable_conv", "conv_transpose", "max_pool", "avg_pool", "norm", "upsample"))
    kind = "conv" if kind == "separable_conv" and axes == 3 else kind
    name = f"{kind}{axes}d"
    if kind == "norm":
        return r.choice(({"batch_norm": {}}, {"layer_norm": {}}, {"instance_norm": {}}, {"group_norm": 1}, {"rms_norm": {}})), channels
    if kind == "upsample":
        return {name: r.choice((1, 2))}, channels
    if "pool" in kind:
        fields = window(r, axes, "size")
        return {name: fields}, channels
    fields = window(r, axes, "kernel")
    if kind == "conv_transpose":
        fields.pop("dilation", None)
        fields["stride"] = [min(s, 3) for s in fields.get("stride", [1] * axes)]
    if kind == "depthwise_conv":
        multiplier = r.choice((1, 2, 3))
        return {name: {**fields, **activation, "multiplier": multiplier}}, channels * multiplier
    if kind == "conv" and r.random() < 0.2:
        fields["groups"] = channels
        filters = channels * r.choice((1, 2))
    return {name: {**fields, **activation, "filters": filters, "bias": r.random() < 0.8}}, filters


def draw(seed: int) -> Edge:
    """The spec of a seed."""
    r = Random(seed)
    axes = r.choice((0, 1, 1, 2, 2, 2, 3))
    channels = r.choice(CHANNELS)
    shape = (*(r.choice(SIZES) for _ in range(axes)), channels)
    layers: list[dict[str, Any]] = []
    for _ in range(r.choice((1, 2, 3)) if axes else 0):
        layer, channels = spatial(r, axes, channels)
        layers.append(layer)
    units = r.choice((1, 1, 2, 3, 16, 17))
    loss = r.choice(LOSSES)
    if loss in ("kl_divergence", "focal", "cross_entropy") and units == 1:
        units = 2
    if axes:
        layers.append({r.choice((f"global_avg_pool{axes}d", f"global_max_pool{axes}d", "flatten")): {}})
    for _ in range(r.choice((0, 0, 1))):
        layers.append({"dense": {"units": r.choice(CHANNELS), "activation": r.choice(ACTIVATIONS)}})
    layers.append({"dense": {"units": units}})
    optimizer = r.choice(OPTIMIZERS)
    text = "\n".join(["nnspec: 1", f"inputs: {{x: {{shape: {list(shape)}}}}}", "layers:", *(f"  - {json.dumps(x)}" for x in layers), f"loss: {loss}",
                      f"optimizer: {json.dumps(optimizer)}", ""])  # fmt: skip
    return Edge(text, r.choice((1, 1, 2, 3, 5)), shape, units, loss)
