"""Random whole networks: layers drawn one after another over images, with branches, noise, statistics, several losses and any optimizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import nnspec
from nnspec.compiler import loads
from tests.judged.cases import pick
from tests.judged.judge import differs
from tests.judged.training import RULES, rule

Rng = np.random.Generator
SMOOTH = ("tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "softsign", "mish", "identity")
BENT = ("relu", "relu6", "leaky_relu", "prelu", "hard_silu", "squared_relu", "hard_tanh")


def act(rng: Rng) -> Any:
    return pick(rng, *SMOOTH, *BENT)


def normal(rng: Rng, channels: int) -> dict[str, Any]:
    groups = [g for g in (1, 2, 3, 4) if channels % g == 0]
    return pick(rng, {"batch_norm": {"momentum": 0.9, "variance": pick(rng, "biased", "unbiased")}}, {"layer_norm": {}}, {"rms_norm": {}},
                {"group_norm": pick(rng, *groups)}, {"instance_norm": {}}, {"local_response_norm": 3})


def drop(rng: Rng) -> dict[str, Any]:
    return {pick(rng, "dropout", "spatial_dropout", "gaussian_noise", "drop_path"): 0.25}


def kept(rng: Rng, channels: int, depth: int = 0) -> list[Any]:
    """Layers that keep an image's shape."""
    kind = pick(rng, "conv", "depthwise", "norm", "act", "drop", "separable", "residual", "branches", "pool", "formula", "gate")
    if depth and kind in ("residual", "branches"):
        kind = "conv"
    size = pick(rng, 1, 2, 3)
    same = {"kernel": size, "padding": "same", "bias": bool(rng.random() < 0.6)}
    if kind == "conv":
        return [{"conv2d": {"filters": channels, "dilation": pick(rng, 1, 2), "activation": act(rng), **same}}]
    if kind == "separable":
        return [{"separable_conv2d": {"filters": channels, "multiplier": pick(rng, 1, 2), **same}}]
    if kind == "depthwise":
        return [{"depthwise_conv2d": same}]
    if kind == "norm":
        return [normal(rng, channels)]
    if kind == "drop":
        return [drop(rng)]
    if kind == "pool":
        return [{pick(rng, "max_pool2d", "avg_pool2d"): {"size": size, "stride": 1, "padding": "same"}}]
    if kind == "formula":
        return [{"math": pick(rng, "x * sigmoid(1.5 * x)", "tanh(x) + 0.1 * x ** 2", "maximum(x, 0.1 * x)", "where(x > 0.2, x, 0.5 * x + 0.1)")}]
    if kind == "gate":
        return [{"branches": {"merge": "multiply", "paths": [[], [{"global_avg_pool2d": {"keep": True}}, {"dense": channels}, "sigmoid"]]}}]
    if kind == "residual":
        return [{"residual": {"layers": [e for _ in range(2) for e in kept(rng, channels, 1)]}}]
    if kind == "branches":
        paths = [[e for _ in range(int(rng.integers(0, 3))) for e in kept(rng, channels, 1)] for _ in range(2)]
        merge = pick(rng, "add", "average", "maximum", "concat")
        return [{"branches": {"merge": merge, "paths": paths}}, *([{"conv2d": {"filters": channels, "kernel": 1}}] if merge == "concat" else [])]
    return [act(rng)]


def resized(rng: Rng, side: int, channels: int) -> tuple[list[Any], int]:
    """Layers that change an image's side."""
    kind = pick(rng, "strided", "pool", "up", "transposed", "pad", "crop", "resize")
    if kind == "strided":
        return [{"conv2d": {"filters": channels, "kernel": 3, "stride": 2, "padding": "same"}}], -(-side // 2)
    if kind == "pool":
        return [{pick(rng, "max_pool2d", "avg_pool2d"): 2}], side // 2
    if kind == "up":
        return [{"upsample2d": {"factor": 2, "method": pick(rng, "nearest", "bilinear")}}], 2 * side
    if kind == "transposed":
        return [{"conv_transpose2d": {"filters": channels, "kernel": 3, "stride": 2, "padding": "same"}}], 2 * side
    if kind == "pad":
        return [{"pad2d": {"size": 1, "mode": pick(rng, "constant", "reflect", "edge")}}], side + 2
    if kind == "crop":
        return [{"crop2d": [1, 0, 0, 1]}], side - 1
    return [{"resize2d": {"size": side + 1}}], side + 1


def written(rng: Rng) -> tuple[str, dict[str, Any], int]:
    """A spec, a batch for it, and the rows of a whole batch."""
    side, channels = int(rng.integers(3, 8)), pick(rng, 2, 3, 4, 6)
    layers: list[Any] = [{"conv2d": {"filters": channels, "kernel": 3, "padding": "same", "activation": act(rng)}}]
    n = side
    for _ in range(int(rng.integers(1, 5))):
        if rng.random() < 0.3 and 2 < n < 9:
            more, n = resized(rng, n, channels)
            layers += more
        else:
            layers += kept(rng, channels)
    units, rows = int(rng.integers(2, 5)), int(rng.integers(2, 7))
    layers += [pick(rng, "global_avg_pool2d", "global_max_pool2d", "flatten"), {"dense": {"units": 6, "activation": act(rng), "name": "deep"}}]
    layers += [drop(rng)] if rng.random() < 0.3 else []
    kind = str(rng.choice([r for r in RULES if r != "lion"]))  # whose step is the sign of a gradient that may be 0 but for rounding
    fields, _ = rule(rng, kind)
    if rng.random() < 0.4:
        fields["clip_norm"] = 1.0
    if rng.random() < 0.3:
        fields["average"] = 0.9
    batch = rows + pick(rng, 0, 2)
    given: dict[str, Any] = {"image": rng.standard_normal((rows, side, side, 2))}
    loss: Any
    layers.append({"dense": {"units": units, "name": "out"} | ({"regularize": {"kernel": {"l2": 0.01}}} if rng.random() < 0.4 else {})})
    if rng.random() < 0.3:
        loss, given["t"] = [{"cross_entropy": {"from": "out", "target": "t", "smoothing": 0.1}}, {"value": {"from": "deep", "weight": 0.1}}], rng.integers(0, units, rows)
    elif rng.random() < 0.5:
        loss, given["t"] = {pick(rng, "mse", "huber", "mae"): {"target": "t", "from": "out"}}, rng.standard_normal((rows, units))
    else:
        loss, given["t"] = {pick(rng, "cross_entropy", "focal"): {"target": "t", "from": "out"}}, rng.integers(0, units, rows)
    if rng.random() < 0.4:
        given["sample_weight"] = rng.random(rows) + 0.1
    schedule = [f"schedule: {json.dumps(pick(rng, {'cosine': {'warmup': '2 steps'}}, {'exponential': {'factor': 0.5}}, {'step': {'every': 2}}))}"]
    text = "\n".join(["nnspec: 1", f"inputs: {{image: {{shape: [{side}, {side}, 2]}}}}", f"layers: {json.dumps(layers)}", "outputs: [out]", f"loss: {json.dumps(loss)}",
                      f"batch_size: {batch}", "epochs: 8", f"optimizer: {json.dumps({kind: fields})}", *(schedule if rng.random() < 0.5 else []), ""])
    return text, given, batch


def judge(rng: Rng, folder: Path) -> tuple[str, list[str]]:
    """What differs between compiled and interpreted, and between going on and going on from a saved model."""
    text, feeds, _ = written(rng)
    a, b = (nnspec.compile(loads(text), backend=backend, precision="float64", seed=3) for backend in ("numpy", "interpret"))
    for name, p in a.parameters.items():  # biases of 0 leave relu where it bends
        values = np.asarray(p) + 0.1 * np.abs(rng.standard_normal(p.shape))
        p.assign(values)
        b.parameters[name].assign(values)
    wrong: list[str] = []

    def said(what: str, found: Any, wanted: Any, tolerance: float = 1e-10, least: float = 0.0) -> None:
        if problem := differs(found, wanted, tolerance, least):
            wrong.append(f"{what}: {problem}")

    ga, gb = a.gradients(feeds), b.gradients(feeds)
    largest = max(float(np.abs(g).max(initial=0)) for g in gb.values())
    for name, g in gb.items():
        said(f"gradient {name}", ga[name], g, least=largest)
    x = feeds["image"]
    for step in range(3):
        for name, p in b.parameters.items() if '"average": 0' not in text else ():  # a rule may make large what is rounding: each step begins alike
            p.assign(np.asarray(a.parameters[name]))
        la, lb = a.train_batch(feeds), b.train_batch(feeds)
        said(f"loss {step}", la["loss"], lb["loss"])
    said("predict", a.predict(x, raw=True), b.predict(x, raw=True), 1e-6)
    said("evaluate", a.evaluate(feeds)["loss"], b.evaluate(feeds)["loss"], 1e-6)
    a.save(folder)
    again = nnspec.load_model(folder)
    for m in (a, again):
        for _ in range(2):
            m.train_batch(feeds)
    for name, p in a.parameters.items():
        if not np.array_equal(np.asarray(p), np.asarray(again.parameters[name])):
            wrong.append(f"{name} goes on otherwise from the saved model")
    if not np.array_equal(a.predict(x, raw=True), again.predict(x, raw=True)):
        wrong.append("the saved model predicts otherwise")
    one = np.concatenate([a.predict(x[i : i + 1], raw=True) for i in range(len(x))])
    said("one row after another", one, a.predict(x, raw=True))
    return text, wrong
