"""`cast: float16` and `cast: bfloat16`: the numbers and gradients of PyTorch's casts, and models of mixed precision come back from ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.runtime.session import compile

HEAD = "nnspec: 1\ninputs: {{x: {{shape: [6]}}}}\nprecision: {precision}\n"
SPECIAL = [0.0, -0.0, 1.00390625, 1.01171875, -1.0009765625, 3.0e-6, 5.9e-8, -1e-9, 65519.0, 65520.0, -70000.0, 3.3e38, 1e-39, np.inf, -np.inf, np.nan, 2049.0, 257.0]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("held", ["float16", "bfloat16"])
def test_numbers_are_those_that_pytorch_s_cast_holds(held: str, precision: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(3)
    x = np.concatenate([np.array(SPECIAL, np.float32), rng.integers(0, 1 << 32, 6 * 500, np.uint64).astype(np.uint32).view(np.float32)]).reshape(-1, 6)
    model = compile(loads(HEAD.format(precision=precision) + f"layers:\n  - cast: {held}\n"))
    with np.errstate(all="ignore"):
        found = model.predict(x.astype(precision), raw=True)
    wanted = torch.from_numpy(x).to(getattr(torch, held)).float().numpy().astype(precision)
    small = np.abs(x) < 2.0**-126  # numbers below the smallest normal one may count as zero
    np.testing.assert_array_equal(found[~small], wanted[~small])
    assert (np.abs(found[small]) < 2.0**-125).all()


@pytest.mark.parametrize("held", ["float16", "bfloat16"])
def test_a_step_through_a_cast_is_pytorch_s(held: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    text = HEAD.format(precision="float32") + (f"layers:\n  - dense: {{units: 5, name: a}}\n  - cast: {held}\n  - dense: {{units: 3, name: b}}\n"
                                               "loss: mse\noptimizer: {sgd: {learning_rate: 0.5}}\n")
    model = compile(loads(text), seed=2)
    p = {k: torch.tensor(np.array(v), requires_grad=True) for k, v in model.parameters.items()}
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((8, 6)).astype(np.float32), rng.standard_normal((8, 3)).astype(np.float32)
    middle = (torch.from_numpy(x) @ p["a/kernel"] + p["a/bias"]).to(getattr(torch, held)).float()
    loss = ((middle @ p["b/kernel"] + p["b/bias"] - torch.from_numpy(y)) ** 2).mean()
    loss.backward()
    assert model.train_batch({"x": x, "target": y})["loss"] == pytest.approx(loss.item(), rel=1e-6)
    for name, value in p.items():
        np.testing.assert_allclose(model.parameters[name], (value - 0.5 * value.grad).detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn"])
def test_a_model_of_mixed_precision_comes_back_from_onnx(name: str, precision: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from nnspec.runtime.export import onnx_model
    from tests.drawn import shipped
    from tests.moved import moved
    from tests.test_onnx_raise import agrees

    model = moved(compile(nnspec.load(shipped(name), set={"precision": precision})))
    found = agrees(onnx_model(model, raw=True), tmp_path, model=model)
    assert f"cast: {precision.removeprefix('mixed_')}" in found.text
