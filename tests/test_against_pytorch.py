"""Whole networks trained beside PyTorch in float64: losses, weights and statistics after every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.runtime.session import Model, compile

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
nn = torch.nn
RNG = np.random.default_rng(7)

RESIDUAL = """nnspec: 1
precision: float64
inputs: {image: {shape: [8, 8, 3]}}
blocks:
  conv_bn:
    args: {filters: required, stride: 1}
    layers:
      - conv2d: {filters: $filters, kernel: 3, stride: $stride, padding: 1, bias: false}
      - batch_norm: {momentum: 0.9, epsilon: 1e-5, variance: unbiased}
layers:
  - conv_bn: 4
  - relu
  - residual:
      layers: [conv_bn: 4, relu, conv_bn: 4]
  - relu
  - depthwise_conv2d: {kernel: 3, stride: 2, padding: 1}
  - max_pool2d: 2
  - global_avg_pool2d
  - dense: 5
loss: cross_entropy
"""


class Residual(nn.Module):  # type: ignore[misc]  # torch is imported by importorskip, so its classes are Any
    def __init__(self) -> None:
        super().__init__()

        def conv_bn(i: int, o: int) -> Any:
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o))

        self.a, self.b, self.c = conv_bn(3, 4), conv_bn(4, 4), conv_bn(4, 4)
        self.d, self.e = nn.Conv2d(4, 4, 3, 2, 1, groups=4), nn.Linear(4, 5)

    def forward(self, x: Any) -> Any:
        x = self.a(x.permute(0, 3, 1, 2)).relu()
        x = (self.c(self.b(x).relu()) + x).relu()
        return self.e(nn.functional.max_pool2d(self.d(x), 2).mean((2, 3)))


TEXT = """nnspec: 1
precision: float64
inputs: {ids: {shape: [6], dtype: int64}}
layers:
  - embedding: {vocabulary: 11, units: 8, name: tokens}
  - layer_norm: {epsilon: 1e-5}
  - residual:
      layers: [dense: {units: 16, activation: gelu}, dense: 8]
  - dense: {units: 8, activation: silu, name: h}
  - matmul: {from: [h, tokens.embedding], transpose: true}
loss: cross_entropy
"""


class Tied(nn.Module):  # type: ignore[misc]  # as above
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.norm = nn.Embedding(11, 8), nn.LayerNorm(8)
        self.a, self.b, self.h = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 8)

    def forward(self, ids: Any) -> Any:
        x = self.norm(self.tokens(ids))
        x = x + self.b(nn.functional.gelu(self.a(x)))
        return nn.functional.silu(self.h(x)) @ self.tokens.weight.T


def copied(model: Model, twin: Any) -> None:
    """PyTorch's initial values in ours: both list parameters layer by layer in the same order."""
    theirs = [p for name, p in twin.named_parameters()]
    ours = [p for p in model.parameters.values() if p.trainable]
    assert len(ours) == len(theirs)
    for p, t in zip(ours, theirs, strict=True):
        p.assign(canonical(p, t.detach().numpy()))


def canonical(p: Any, t: Any) -> Any:
    if p.layer == "conv2d" and p.role == "kernel":
        return t.transpose(2, 3, 1, 0)
    if p.layer == "depthwise_conv2d" and p.role == "kernel":
        return t.transpose(2, 3, 0, 1)
    return t.T if p.layer == "dense" and p.role == "kernel" else t


OPTIMIZERS = {
    "sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.01}":
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam: {learning_rate: 0.01, epsilon: 1e-8}": lambda p: torch.optim.Adam(p, 0.01),
    "adamw: {learning_rate: 0.01, epsilon: 1e-8, weight_decay: 0.1}": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("batch_size", ["", "batch_size: 12\n"], ids=["exact", "padded"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["residual", "tied"])
def test_twenty_steps_equal_pytorchs(name: str, optimizer: str, batch_size: str) -> None:
    torch.manual_seed(0)
    twin = (Residual() if name == "residual" else Tied()).double()
    text = (RESIDUAL if name == "residual" else TEXT) + f"optimizer: {{{optimizer}}}\n" + batch_size
    model = compile(loads(text))
    copied(model, twin)
    step = OPTIMIZERS[optimizer](twin.parameters())
    if name == "residual":
        feeds: dict[str, Any] = {"image": RNG.standard_normal((9, 8, 8, 3)), "target": RNG.integers(0, 5, 9)}
    else:
        feeds = {"ids": RNG.integers(0, 11, (9, 6)), "target": RNG.integers(0, 11, (9, 6))}
    x, t = torch.tensor(next(iter(feeds.values()))), torch.tensor(feeds["target"])
    for _ in range(20):
        loss = nn.functional.cross_entropy(twin(x).reshape(-1, 5 if name == "residual" else 11), t.reshape(-1))
        step.zero_grad()
        loss.backward()
        step.step()
        assert model.train_batch(feeds)["loss"] == pytest.approx(loss.item(), rel=1e-9)
    for p, theirs in zip([p for p in model.parameters.values() if p.trainable], twin.parameters(), strict=True):
        np.testing.assert_allclose(np.asarray(p), canonical(p, theirs.detach().numpy()), rtol=1e-7, atol=1e-9)
    statistics = [np.asarray(p) for p in model.parameters.values() if p.role.startswith("moving")]
    buffers = [b.numpy() for n, b in twin.named_buffers() if "running" in n]
    for a, b in zip(statistics, buffers, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    twin.eval()
    np.testing.assert_allclose(model.predict(next(iter(feeds.values())), raw=True), twin(x).detach().numpy(), rtol=1e-7, atol=1e-9)


def test_a_frozen_block_keeps_its_statistics_and_weights_while_the_rest_learns() -> None:
    text = RESIDUAL.replace("  - conv_bn: 4\n", "  - conv_bn: {filters: 4, trainable: false}\n", 1) + "optimizer: {adam: 0.01}\n"
    model = compile(loads(text))
    before = model.state()
    feeds = {"image": RNG.standard_normal((9, 8, 8, 3)), "target": RNG.integers(0, 5, 9)}
    for _ in range(3):
        model.train_batch(feeds)
    for key, array in model.state().items():
        assert (array == before[key]).all() == (key.startswith("parameters/conv_bn_1/")), key
