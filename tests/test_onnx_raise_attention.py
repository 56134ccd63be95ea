"""Attention as PyTorch exports it comes back as layers: rows behind the sequence, rows and heads or windows as one axis."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.runtime.session import compile

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
torch = pytest.importorskip("torch", reason="torch is not installed")

from nnspec.interop.onnx_raise import raised  # noqa: E402  # it needs onnx
from nnspec.runtime.imported import write  # noqa: E402

nn = torch.nn


class Encoder(nn.Module):  # type: ignore[name-defined, misc]  # torch is looked for
    """Two blocks of a vision transformer over a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(12) for _ in range(4))
        self.seen = nn.ModuleList(nn.MultiheadAttention(12, 3, batch_first=True) for _ in range(2))
        self.after = nn.ModuleList(nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12)) for _ in range(2))

    def forward(self, x: Any) -> Any:
        for i in range(2):
            y = self.norms[2 * i](x)
            x = x + self.seen[i](y, y, y, need_weights=False)[0]
            x = x + self.after[i](self.norms[2 * i + 1](x))
        return x[:, 0]


class Windows(nn.Module):  # type: ignore[name-defined, misc]  # as above
    """Attention within windows of 4 x 4, of which each has its own place in the rows, moved by half a window."""

    def __init__(self) -> None:
        super().__init__()
        self.ask, self.made, self.near = nn.Linear(8, 24), nn.Linear(8, 8), nn.Parameter(torch.randn(2, 16, 16))

    def forward(self, x: Any) -> Any:
        n = x.shape[0]
        w = torch.roll(x, (-2, -2), (1, 2)).view(n, 2, 4, 2, 4, 8).permute(0, 1, 3, 2, 4, 5).reshape(n * 4, 16, 8)
        q, k, v = self.ask(w).reshape(n * 4, 16, 3, 2, 4).permute(2, 0, 3, 1, 4)
        a = (q * 0.5 @ k.transpose(-2, -1) + self.near).softmax(-1) @ v
        y = self.made(a.transpose(1, 2).reshape(n * 4, 16, 8))
        return torch.roll(y.view(n, 2, 2, 4, 4, 8).permute(0, 1, 3, 2, 4, 5).reshape(n, 8, 8, 8), (2, 2), (1, 2))


@pytest.mark.parametrize(("module", "shape", "lines"), [(Encoder, (5, 12), 45), (Windows, (8, 8, 8), 60)])
def test_attention_of_pytorch_s_comes_back_with_equal_answers(module: Any, shape: tuple[int, ...], lines: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, path = module().eval(), tmp_path / "net.onnx"
    for p in net.parameters():
        p.data.add_(torch.rand_like(p) * 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.randn(2, *shape),), str(path), dynamo=False, opset_version=17, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
    found = raised(onnx.load(path), "net.onnx", "net")
    write(found, tmp_path / "net.yaml", tmp_path / "net.safetensors")
    x = np.random.default_rng(1).standard_normal((3, *shape)).astype(np.float32)
    (wanted,) = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    y = compile(nnspec.load(tmp_path / "net.yaml")).predict(x, raw=True)
    assert y.shape == wanted.shape and np.abs(y - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert found.text.count("\n") < lines
    assert ("gelu" in found.text) == (module is Encoder) and found.text.count("softmax:") <= 1
