"""Losses and their gradients equal PyTorch's in float64; softmax and sigmoid before them are read through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.runtime.session import compile

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
F = torch.nn.functional
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 5))
CLASSES = np.array([0, 2, 1, 1, 0, 2])
SOFT = np.abs(RNG.standard_normal((6, 3)))
SOFT /= SOFT.sum(1, keepdims=True)
BITS = RNG.integers(0, 2, (6, 3))


def model(loss: str, activation: str = "identity", backend: str = "numpy") -> Any:
    spec = loads(f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [5]}}}}\nlayers: [dense: {{units: 3, activation: {activation}}}]\n"
                 f"loss: {loss}\noptimizer: sgd\n")
    m = compile(spec, backend=backend)
    m.parameters["dense_1/bias"].assign([0.1, -0.2, 0.3])
    return m


CASES = [
    ("cross_entropy", "identity", CLASSES, lambda y: F.cross_entropy(y, torch.tensor(CLASSES))),
    ("cross_entropy", "softmax", CLASSES, lambda y: F.cross_entropy(y, torch.tensor(CLASSES))),
    ("cross_entropy", "identity", SOFT, lambda y: F.cross_entropy(y, torch.tensor(SOFT))),
    ("cross_entropy", "softmax", np.eye(3)[CLASSES], lambda y: F.cross_entropy(y, torch.tensor(CLASSES))),
    ("binary_cross_entropy", "identity", BITS, lambda y: F.binary_cross_entropy_with_logits(y, torch.tensor(BITS).double())),
    ("binary_cross_entropy", "sigmoid", BITS, lambda y: F.binary_cross_entropy_with_logits(y, torch.tensor(BITS).double())),
    ("mse", "tanh", SOFT, lambda y: F.mse_loss(torch.tanh(y), torch.tensor(SOFT))),
]


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
@pytest.mark.parametrize(("loss", "activation", "target", "theirs"), CASES)
def test_loss_and_gradients_equal_pytorch(loss: str, activation: str, target: Any, theirs: Any, backend: str) -> None:
    m = model(loss, activation, backend)
    w = torch.tensor(np.asarray(m.parameters["dense_1/kernel"]), requires_grad=True)
    b = torch.tensor(np.asarray(m.parameters["dense_1/bias"]), requires_grad=True)
    value = theirs(torch.tensor(X) @ w + b)
    value.backward()
    gradients = m.gradients({"x": X, "target": target})
    np.testing.assert_allclose(gradients["dense_1/kernel"], w.grad.numpy(), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(gradients["dense_1/bias"], b.grad.numpy(), rtol=1e-10, atol=1e-13)
    assert m.evaluate({"x": X, "target": target})["loss"] == pytest.approx(value.item(), rel=1e-12)


@pytest.mark.parametrize("activation", ["identity", "softmax"])
def test_predict_gives_probabilities_either_way_and_raw_the_output(activation: str) -> None:
    m = model("cross_entropy", activation)
    z = X @ np.asarray(m.parameters["dense_1/kernel"]) + np.asarray(m.parameters["dense_1/bias"])
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(m.predict(X), p, rtol=1e-12)
    np.testing.assert_allclose(m.predict(X, raw=True), z if activation == "identity" else p, rtol=1e-12)


def test_extreme_logits_neither_overflow_nor_lose_the_gradient() -> None:
    m = model("cross_entropy", "softmax")
    m.parameters["dense_1/bias"].assign([1000.0, 0.0, -1000.0])
    gradients = m.gradients({"x": X, "target": CLASSES})
    assert np.isfinite(gradients["dense_1/bias"]).all()
    np.testing.assert_allclose(gradients["dense_1/bias"], [4 / 6, -2 / 6, -2 / 6], atol=1e-12)


def test_the_perceptron_moves_by_rosenblatts_rule() -> None:
    spec = loads("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [2]}}\nlayers: [dense: {units: 1, activation: step}]\n"
                 "loss: perceptron\noptimizer: {sgd: {learning_rate: 0.5}}\n")
    m = compile(spec)
    kernel, bias = m.parameters["dense_1/kernel"], m.parameters["dense_1/bias"]
    kernel.assign([[0.4], [-0.3]])
    for x, t in (((1.0, 2.0), 1.0), ((1.0, 0.5), 0.0), ((-1.0, 0.0), 0.0)):
        w, b = np.asarray(kernel).copy(), np.asarray(bias).copy()
        y = float(np.dot(x, w[:, 0]) + b[0] > 0)
        m.train_batch({"x": [x], "target": [t]})
        np.testing.assert_allclose(np.asarray(kernel)[:, 0], w[:, 0] + 0.5 * (t - y) * np.array(x), atol=1e-15)
        np.testing.assert_allclose(np.asarray(bias), b + 0.5 * (t - y), atol=1e-15)


def test_sample_weights_weigh_the_mean() -> None:
    m = model("mse")
    weights = np.array([1.0, 0, 2, 0, 0.5, 0])
    y = m.predict(X)
    rows = ((y - SOFT) ** 2).mean(1)
    wanted = (weights * rows).sum() / weights.sum()
    assert m.evaluate({"x": X, "target": SOFT, "sample_weight": weights})["loss"] == pytest.approx(wanted, rel=1e-12)


def test_losses_add_up_with_their_weights() -> None:
    spec = loads("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [5]}}\nlayers:\n  - dense: {units: 3, name: a}\n  - dense: {units: 2, from: x, name: b}\n"
                 "outputs: [a, b]\nloss:\n  - mse: {from: a, target: left}\n  - cross_entropy: {from: b, target: right, weight: 0.25}\noptimizer: sgd\n")
    m = compile(spec)
    feeds = {"x": X, "left": SOFT, "right": np.array([0, 1, 1, 0, 1, 0])}
    out = m.predict({"x": X}, raw=True)
    a, b = torch.tensor(out["a"]), torch.tensor(out["b"])
    wanted = F.mse_loss(a, torch.tensor(SOFT)) + 0.25 * F.cross_entropy(b, torch.tensor(feeds["right"]))
    assert m.evaluate(feeds)["loss"] == pytest.approx(wanted.item(), rel=1e-12)
