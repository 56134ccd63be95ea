"""The works that speed is measured on, and how many times as fast as PyTorch's best variant each is meant to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ZOO = Path(__file__).resolve().parents[2] / "specs" / "zoo"
SGD, MOMENTUM, ADAM = {"lr": 0.01}, {"lr": 0.01, "momentum": 0.9}, {"lr": 1e-3}  # of PyTorch; those of ours stand beside them


@dataclass(frozen=True)
class Target:
    """Times as fast: what must be, what is aimed at, and against onnxruntime where that is another number."""

    must: float | None = None
    aim: float | None = None
    onnxruntime: float | None = None

    def __str__(self) -> str:
        aim = f" aim {self.aim:g}" if self.aim else ""
        other = f" ort {self.onnxruntime:g}" if self.onnxruntime else ""
        return f"{f'{self.must:g}' if self.must else ''}{aim}{other}".strip()


@dataclass(frozen=True)
class Work:
    """A spec of the zoo at a batch size, with its optimizer in both languages; without a target it is not timed that way."""

    spec: str
    batch: int
    optimizer: tuple[str, Mapping[str, float]]
    train: Target | None = None
    infer: Target | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)  # for both

    @property
    def settings(self) -> dict[str, Any]:
        """What ``nnspec.load`` sets: no metrics, for PyTorch counts none, and no decay."""
        kind, fields = self.optimizer
        own = {{"lr": "learning_rate"}.get(k, k): v for k, v in fields.items()}
        return {"optimizer": {kind: own}, "metrics": [], "batch_size": self.batch, **{f"vars.{k}": v for k, v in self.vars.items()}}


WORKS: dict[str, Work] = {
    "mlp_sgd": Work("mlp", 64, ("sgd", SGD), Target(1.5, 2.0)),
    "mlp_adam": Work("mlp", 64, ("adam", ADAM), Target(1.5, 2.0), Target(1.0, 1.2)),
    "lenet5": Work("lenet5", 64, ("adam", ADAM), Target(1.8, 2.0), Target(1.5, None, 1.3)),
    "vgg_small": Work("vgg_small", 64, ("sgd", MOMENTUM), Target(1.5, 1.7), Target(1.6, None, 1.5)),
    "resnet18_cifar": Work("resnet18_cifar", 32, ("sgd", MOMENTUM), Target(1.3, 1.5), Target(1.3)),
    "resnet50_1": Work("resnet50", 1, ("sgd", MOMENTUM), None, Target(None, None, 1.0)),
    "resnet50_8": Work("resnet50", 8, ("sgd", MOMENTUM), None, Target(None, None, 1.0)),
    "mobilenet_v2": Work("mobilenet_v2", 16, ("sgd", MOMENTUM), Target(1.2), Target(None, None, 1.0)),
    "unet_small": Work("unet_small", 8, ("adam", ADAM), Target(1.2), Target(1.2)),
    "mlp_wide": Work("mlp_wide", 256, ("sgd", MOMENTUM), Target(1.0), Target(1.0)),
}
