"""Blocks as losses and metrics: the body over output and target, a number a row, gradients as PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.runtime.saving import load_model
from nnspec.runtime.session import compile

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
RNG = np.random.default_rng(0)
X, T, W = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 3)), np.array([1.0, 0.5, 0, 2, 1, 3])
BLOCKS = """
  log_cosh: {inputs: [prediction, target], layers: [math: "mean(log(cosh(prediction - target)))"]}
  pinball:
    args: {quantile: 0.5}
    inputs: [y, t]
    layers: [math: "maximum($quantile * (t - y), ($quantile - 1) * (t - y))"]
  near: {args: {by: required}, inputs: [y, t], layers: [math: "where(abs(y - t) < $by, 1.0, 0.0)"]}
  size: {layers: [math: "x * x"]}
  twice: {inputs: [y, t], layers: [pinball: {from: [y, t], quantile: 0.9}, add: {from: [pinball_1, pinball_1]}]}
"""


def model(loss: str, metrics: str = "[mae]", backend: str = "numpy") -> Any:
    used = {w for w in ("log_cosh", "pinball", "near", "size", "twice") if w in loss + metrics} | ({"pinball"} if "twice" in loss + metrics else set())
    kept, keep = [], False
    for line in BLOCKS.strip("\n").splitlines():
        keep = line.strip().split(":")[0] in used if line.startswith("  ") and not line.startswith("   ") else keep
        kept += [line] if keep else []
    text = ("nnspec: 1\nprecision: float64\nbatch_size: 8\ninputs: {x: {shape: [4]}}\nblocks:\n" + "\n".join(kept) +
            f"\nlayers: [dense: {{units: 3, name: head}}]\nloss: {loss}\nmetrics: {metrics}\noptimizer: {{sgd: {{learning_rate: 1.0}}}}\n")
    return compile(loads(text), backend=backend)


def pinball(y: Any, t: Any, q: float) -> Any:
    return torch.maximum(q * (t - y), (q - 1) * (t - y))


CASES = {
    "log_cosh": lambda y, t: torch.log(torch.cosh(y - t)),
    "{pinball: {quantile: 0.8}}": lambda y, t: pinball(y, t, 0.8),
    "{pinball: 0.2}": lambda y, t: pinball(y, t, 0.2),
    "twice": lambda y, t: 2 * pinball(y, t, 0.9),
}


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
@pytest.mark.parametrize("loss", CASES)
def test_a_block_is_a_loss_and_its_gradient_equals_pytorchs(loss: str, backend: str) -> None:
    m = model(loss, backend=backend)
    k = torch.tensor(np.asarray(m.parameters["head/kernel"]), requires_grad=True)
    w = torch.tensor(W)
    value = (w * CASES[loss](torch.tensor(X) @ k, torch.tensor(T)).mean(1)).sum() / w.sum()
    value.backward()
    feeds = {"x": X, "target": T, "sample_weight": W}
    assert m.evaluate(feeds)["loss"] == pytest.approx(value.item(), rel=1e-10)
    np.testing.assert_allclose(m.gradients(feeds)["head/kernel"], k.grad.numpy(), rtol=1e-10, atol=1e-13)
    before = np.asarray(m.parameters["head/kernel"]).copy()
    assert m.train_batch(feeds)["loss"] == pytest.approx(value.item(), rel=1e-10)  # padded to batch_size
    np.testing.assert_allclose(before - np.asarray(m.parameters["head/kernel"]), k.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_a_block_of_one_input_is_added_without_a_target() -> None:
    m = model("[mse, size: {from: head, weight: 0.1, reduce: sum}]", "[near: 0.5, size]")
    y = m.predict(X)
    s = m.evaluate({"x": X, "target": T})
    assert s["loss"] == pytest.approx(((y - T) ** 2).mean() + 0.1 * (y**2).sum(), rel=1e-12)
    assert s["near"] == pytest.approx((np.abs(y - T) < 0.5).mean())
    assert s["size"] == pytest.approx((y**2).mean(), rel=1e-12)


def test_a_number_a_row_meets_an_output_of_one_unit() -> None:
    text = ("nnspec: 1\nprecision: float64\ndata: {inline: {columns: {x: [1, 2, 3], y: [3, 1, 2]}, target: y}}\n"
            "blocks: {off: {inputs: [y, t], layers: [subtract: {from: [y, t]}, square]}}\nlayers: [dense: 1]\nloss: off\noptimizer: sgd\nepochs: 1\n")
    m = compile(loads(text.replace("square", "math: x * x")))
    m.fit()
    y = m.predict([[1.0], [2.0], [3.0]])[:, 0]
    assert m.evaluate({"features": [[1.0], [2.0], [3.0]], "y": [3.0, 1.0, 2.0]})["loss"] == pytest.approx(((y - [3, 1, 2]) ** 2).mean(), rel=1e-12)


def test_a_saved_model_keeps_its_own_loss(tmp_path: Any) -> None:
    m = model("log_cosh", "[near: {by: 0.3, name: close}]")
    m.save(tmp_path / "m")
    feeds = {"x": X, "target": T}
    assert load_model(tmp_path / "m").evaluate(feeds) == m.evaluate(feeds)
    assert set(m.evaluate(feeds)) == {"loss", "close"}


@pytest.mark.parametrize(("layers", "said"), [
    ("[math: 'y - t', dense: 1]", "it has parameters, which nothing would train"),
    ("[constant: 1.0]", "a result without rows"),
    ("[branches: {merge: none, paths: [[math: 'x + 1'], []]}]", "2 outputs"),
    ("[nothing]", "no layer is called 'nothing'"),
])  # fmt: skip
def test_what_cannot_be_a_loss_is_told_once(layers: str, said: str) -> None:
    layers = layers.replace("branches: {", "branches: {from: y, ")
    with pytest.raises(SpecError) as e:
        loads(f"nnspec: 1\ninputs: {{x: {{shape: [4]}}}}\nblocks: {{own: {{inputs: [y, t], layers: {layers}}}}}\nlayers: [dense: 3]\nloss: own\noptimizer: sgd\n")
    assert said in e.value.render()
    assert len(e.value.problems) == 1
