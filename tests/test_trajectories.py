"""Twenty steps of training equal PyTorch's in float64, for every optimizer and schedule of the reference."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.runtime.session import Model, compile
from tests.reference.fingerprint import fill, ints, uniform

FULL = bool(os.environ.get("NNSPEC_FULL"))
FOLDER = Path(__file__).parent / "reference"
NETWORKS = {
    "mlp": """
inputs: {x: {shape: [20]}}
layers: [dense: {units: 32, activation: relu}, dense: {units: 16, activation: tanh}, dense: 5]
loss: cross_entropy
""",
    "lenet5": """
inputs: {x: {shape: [28, 28, 1]}}
layers:
  - conv2d: {filters: 6, kernel: 5, padding: 2, activation: tanh}
  - avg_pool2d: 2
  - conv2d: {filters: 16, kernel: 5, activation: tanh}
  - avg_pool2d: 2
  - permute: [2, 0, 1]
  - flatten
  - dense: {units: 120, activation: tanh}
  - dense: {units: 84, activation: tanh}
  - dense: 10
loss: cross_entropy
""",
    "autoencoder": """
inputs: {x: {shape: [36]}}
layers:
  - dense: {units: 24, activation: relu}
  - dense: 6
  - dense: {units: 24, activation: relu}
  - dense: {units: 36, activation: sigmoid}
loss: mse
""",
}
OPTIMIZERS = {
    "sgd": "sgd: {learning_rate: LR}",
    "sgd_wd": "sgd: {learning_rate: LR, weight_decay: 0.01}",
    "sgd_momentum": "sgd: {learning_rate: LR, momentum: 0.9}",
    "sgd_nesterov": "sgd: {learning_rate: LR, momentum: 0.9, nesterov: true}",
    "adam": "adam: {learning_rate: LR, epsilon: 1e-8}",
    "adam_l2": "adam: {learning_rate: LR, epsilon: 1e-8, weight_decay: 0.1}",
    "adamw": "adamw: {learning_rate: LR, epsilon: 1e-8, weight_decay: 0.1}",
    "adam_amsgrad": "adam: {learning_rate: LR, epsilon: 1e-8, amsgrad: true}",
    "rmsprop": "rmsprop: {learning_rate: LR, rho: 0.99, epsilon: 1e-8}",
    "rmsprop_centered_momentum": "rmsprop: {learning_rate: LR, rho: 0.99, epsilon: 1e-8, centered: true, momentum: 0.9}",
    "adagrad": "adagrad: {learning_rate: LR, epsilon: 1e-10}",
    "adadelta": "adadelta: {learning_rate: LR, rho: 0.9, epsilon: 1e-6}",
    "adamax": "adamax: {learning_rate: LR, epsilon: 1e-8}",
    "nadam": "nadam: {learning_rate: LR, epsilon: 1e-8}",
    "sgd_momentum_clipnorm1": "sgd: {learning_rate: LR, momentum: 0.9, clip_norm: 1.0}",
}
SCHEDULES = {
    "step": "step: {every: 5 steps, factor: 0.5}",
    "cosine": "cosine: {length: 20 steps}",
    "cosine_min": "cosine: {length: 20 steps, minimum: 0.005}",
    "exponential": "exponential: {factor: 0.9, every: 1 steps}",
    "multistep": "multistep: {at: [4 steps, 12 steps], factor: 0.1}",
    "linear_warmup5": "constant: {warmup: 5 steps}",
}


def batch(name: str) -> dict[str, Any]:
    if name == "mlp":
        return {"x": fill("input", (16, 20)), "target": ints("labels", (16,), 5)}
    if name == "lenet5":
        return {"x": fill("input", (8, 1, 28, 28)).transpose(0, 2, 3, 1), "target": ints("labels", (8,), 10)}
    x = (uniform("input", (12, 36)) + 1) / 2
    return {"x": x, "target": x}


def filled(model: Model) -> Model:
    """Every parameter from its role and its canonical shape in the reference's layout."""
    for p in model.parameters.values():
        if p.layer == "conv2d" and p.role == "kernel":
            p.assign(fill("conv_kernel", (p.shape[3], p.shape[2], p.shape[0], p.shape[1])).transpose(2, 3, 1, 0))
        else:
            p.assign(fill({"kernel": "dense_kernel"}.get(p.role, p.role), p.shape))
    return model


def runs() -> list[tuple[str, str]]:
    out = []
    for name in NETWORKS:
        for run in json.loads((FOLDER / f"{name}.json").read_text())["runs"]:
            optimizer, _, schedule = run.partition("+")
            assert optimizer in OPTIMIZERS and (not schedule or schedule in SCHEDULES), run
            out.append((name, run))
    return out


@pytest.mark.parametrize(("name", "run"), runs())
@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_losses_and_norms_equal_pytorch(name: str, run: str, backend: str) -> None:
    if backend == "interpret" and name != "mlp" and run != "adam" and not FULL:
        pytest.skip("the interpreted optimizers are those of the small network; the LeNet is slow")
    reference = json.loads((FOLDER / f"{name}.json").read_text())["runs"][run]
    optimizer, _, schedule = run.partition("+")
    text = f"nnspec: 1\nprecision: float64\n{NETWORKS[name]}optimizer: {{{OPTIMIZERS[optimizer].replace('LR', str(reference['hyper']['lr']))}}}\n"
    if schedule:
        text += f"schedule: {{{SCHEDULES[schedule]}}}\n"
    model = filled(compile(loads(text), backend=backend))
    feeds = batch(name)
    gradients = model.gradients(feeds)
    norm = np.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
    assert norm == pytest.approx(reference["grad_l2_step0"], rel=1e-10)
    losses = [model.train_batch(feeds)["loss"] for _ in range(20)]
    losses.append(model.evaluate(feeds)["loss"])
    np.testing.assert_allclose(losses, reference["losses"], rtol=1e-9)
    final = np.sqrt(sum(float((np.asarray(p) ** 2).sum()) for p in model.parameters.values()))
    assert final == pytest.approx(reference["final_param_l2"], rel=1e-9)
