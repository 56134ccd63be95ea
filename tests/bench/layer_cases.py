"""Every layer, activation, loss and optimizer of the language at a realistic size, each beside the same in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from tests.spatial_twins import twin

Twin = Callable[..., Any]
IMAGE, SMALL, SEQUENCE, VOLUME, ROWS, WORDS = ((32, 32, 32, 64),), ((32, 16, 16, 64),), ((32, 256, 64),), ((4, 16, 16, 16, 32),), ((256, 1024),), ((32, 128, 256),)


@dataclass(frozen=True)
class Case:
    """Fields and input shapes of a layer, the batch included; ``whole`` says below what the whole numbers of an input are."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = ROWS
    torch: Twin | None = None
    whole: int = 0
    positive: bool = False
    batched: tuple[bool, ...] | None = None


def first(f: Twin, *rest: Any, **options: Any) -> Twin:
    """Of channels first, for ours with channels last; nothing is copied where the memory lies so."""
    return lambda x, **p: f(x.movedim(-1, 1), *rest, **p, **options).movedim(1, -1)


def spatial(kind: str, shapes: tuple[tuple[int, ...], ...], **fields: Any) -> Case:
    """With PyTorch's own function where it has one for just these fields: the twins of tests copy, and pad by hand."""
    name, n = kind[:-2], kind[-2:-1]
    same = fields.get("padding") == "same"
    own: Twin | None = None
    if name in ("max_pool", "avg_pool"):
        extra = {"count_include_pad": False} if name == "avg_pool" and same else {}
        own = first(getattr(F, kind), fields["size"], fields.get("stride", fields["size"]), fields["size"] // 2 if same else 0, **extra)
    elif name in ("upsample", "resize") and "size" not in fields:
        mode = fields.get("method", "nearest" if name == "upsample" else ("linear", "bilinear", "trilinear")[int(n) - 1])
        aligned = {} if mode == "nearest" else {"align_corners": False}
        own = first(F.interpolate, scale_factor=fields.get("scale", 2), mode=mode, **aligned)
    elif name == "pad":
        own = first(F.pad, [fields["size"]] * 2 * int(n), mode={"edge": "replicate"}.get(fields.get("mode", ""), fields.get("mode", "constant")))
    elif kind == "conv2d":
        own = first(lambda x, kernel, bias: F.conv2d(x, kernel.permute(3, 2, 0, 1), bias))
    return Case(kind, fields, shapes, own or twin(kind, **fields))


def norm(x: Any, gamma: Any, beta: Any, **moving: Any) -> Any:
    return F.batch_norm(x.movedim(-1, 1), None, None, gamma, beta, True, 0.01, 1e-3).movedim(1, -1)


def noisy(x: Any) -> Any:
    return x + torch.randn_like(x) * 0.5


THIRDS = torch.arange(0, 128, 3)
ACTIVATIONS: dict[str, Twin] = {
    "sigmoid": torch.sigmoid, "hard_sigmoid": F.hardsigmoid, "log_sigmoid": F.logsigmoid, "tanh": torch.tanh, "hard_tanh": F.hardtanh,
    "arctan": torch.arctan, "softsign": F.softsign, "relu": torch.relu, "relu6": F.relu6, "squared_relu": lambda x: F.relu(x).square(),
    "leaky_relu": F.leaky_relu, "prelu": lambda x, alpha: F.prelu(x, alpha), "elu": F.elu, "celu": F.celu, "selu": F.selu, "gelu": F.gelu, "silu": F.silu,
    "hard_silu": F.hardswish, "mish": F.mish, "softplus": F.softplus, "exponential": torch.exp, "soft_shrink": F.softshrink,
    "hard_shrink": F.hardshrink, "tanh_shrink": F.tanhshrink, "softmax": lambda x: x.softmax(-1), "log_softmax": lambda x: x.log_softmax(-1),
    "identity": lambda x: x * 1, "step": lambda x: (x > 0).float(),
}
LAYERS: list[Case] = [
    *(Case(kind, {}, ROWS, f) for kind, f in ACTIVATIONS.items()),
    Case("gelu", {"approximate": True}, ROWS, lambda x: F.gelu(x, approximate="tanh")),
    Case("dense", {"units": 256}, ROWS, lambda x, kernel, bias: x @ kernel + bias),
    Case("dropout", {"rate": 0.3}, ROWS, lambda x: F.dropout(x, 0.3)),
    Case("spatial_dropout", {"rate": 0.3}, IMAGE, first(F.dropout2d, 0.3)),
    Case("drop_path", {"rate": 0.3}, IMAGE, lambda x: x * (torch.rand(len(x), 1, 1, 1) > 0.3) / 0.7),
    Case("gaussian_noise", {"deviation": 0.5}, ROWS, noisy),
    Case("batch_norm", {}, IMAGE, norm),
    Case("layer_norm", {}, WORDS, lambda x, gamma, beta: F.layer_norm(x, (256,), gamma, beta, 1e-3)),
    Case("layer_norm", {"axes": (-1, -2)}, WORDS, lambda x, gamma, beta: F.layer_norm(x, (128, 256), gamma, beta, 1e-3)),
    Case("group_norm", {"groups": 8}, IMAGE, lambda x, gamma, beta: F.group_norm(x.movedim(-1, 1), 8, gamma, beta, 1e-3).movedim(1, -1)),
    Case("instance_norm", {}, IMAGE, lambda x, gamma, beta: F.instance_norm(x.movedim(-1, 1), None, None, gamma, beta, eps=1e-3).movedim(1, -1)),
    Case("rms_norm", {}, WORDS, lambda x, gamma: F.rms_norm(x, (256,), gamma, 1e-6)),
    Case("local_response_norm", {"size": 5}, IMAGE, first(F.local_response_norm, 5)),
    Case("embedding", {"vocabulary": 8000, "units": 128}, ((32, 64),), lambda x, embedding: F.embedding(x, embedding), whole=8000),
    Case("one_hot", {"classes": 100}, ((256, 16),), lambda x: F.one_hot(x, 100).float(), whole=100),
    *(spatial(kind, shape, **fields) for n, shape in ((1, SEQUENCE), (2, IMAGE), (3, VOLUME)) for kind, fields in (
        (f"max_pool{n}d", {"size": 2}), (f"avg_pool{n}d", {"size": 2}), (f"global_avg_pool{n}d", {}), (f"global_max_pool{n}d", {}), (f"pad{n}d", {"size": 1}),
        (f"pad{n}d", {"size": 1, "mode": "reflect"}), (f"pad{n}d", {"size": 1, "mode": "edge"}), (f"crop{n}d", {"size": 1}), (f"upsample{n}d", {}),
        (f"upsample{n}d", {"method": ("linear", "bilinear", "trilinear")[n - 1]}), (f"resize{n}d", {"scale": 1.5}), (f"resize{n}d", {"scale": 0.5, "method": "nearest"}))),
    spatial("max_pool2d", IMAGE, size=3, stride=2, padding="same"), spatial("avg_pool2d", IMAGE, size=3, stride=1, padding="same"),
    spatial("resize", IMAGE, size=(48, 48)), spatial("pixel_shuffle", SMALL, factor=2), spatial("pixel_unshuffle", IMAGE, factor=2),
    spatial("conv1d", SEQUENCE, filters=64), spatial("conv2d", SMALL, filters=64), spatial("conv3d", VOLUME, filters=32), spatial("depthwise_conv1d", SEQUENCE),
    spatial("depthwise_conv2d", IMAGE), spatial("depthwise_conv3d", VOLUME), spatial("separable_conv1d", SEQUENCE, filters=64),
    spatial("separable_conv2d", SMALL, filters=64), spatial("conv_transpose1d", SEQUENCE, filters=64, stride=2),
    spatial("conv_transpose2d", SMALL, filters=32, stride=2, padding="same"), spatial("conv_transpose3d", VOLUME, filters=16, kernel=2, stride=2),
    Case("grid_sample", {}, ((32, 32, 32, 16), (32, 32, 32, 2)), twin("grid_sample")),
    Case("flatten", {}, IMAGE, lambda x: x.flatten(1)), Case("reshape", {"shape": (64, 1024)}, IMAGE, lambda x: x.reshape(32, 64, 1024)),
    Case("permute", {"axes": (2, 0, 1)}, IMAGE, lambda x: x.permute(0, 3, 1, 2).contiguous()),
    Case("transpose", {}, WORDS, lambda x: x.mT.contiguous()), Case("squeeze", {}, ((32, 1, 1024),), lambda x: x.reshape(32, 1024)),
    Case("unsqueeze", {"axes": 0}, ROWS, lambda x: x[:, None]),
    *(Case(kind, {}, (*ROWS, *ROWS), f) for kind, f in {
        "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "maximum": torch.maximum, "minimum": torch.minimum,
        "average": lambda a, b: (a + b) / 2, "dot": lambda a, b: (a * b).sum(-1, keepdim=True), "concat": lambda a, b: torch.cat([a, b], -1),
        "stack": lambda a, b: torch.stack([a, b], 1)}.items()),
    Case("concat", {}, (*IMAGE, *IMAGE), lambda a, b: torch.cat([a, b], -1)),
    Case("matmul", {}, ((32, 128, 64), (32, 64, 128)), torch.matmul), Case("einsum", {"equation": "ij, jk -> ik"}, ((32, 128, 64), (32, 64, 128)), torch.matmul),
    *(Case(f"reduce_{kind}", {"axes": axes}, WORDS, lambda x, f=f, axes=axes: f(x, axes + 1)) for axes in (0, 1) for kind, f in {
        "sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}.items()),
    Case("reduce_mean", {}, WORDS, lambda x: x.mean((1, 2))), Case("reduce_max", {}, WORDS, lambda x: x.amax((1, 2))),
    Case("slice", {"start": 16, "stop": -16}, WORDS, lambda x: x[:, 16:-16].contiguous()), Case("split", {"parts": 2}, WORDS, lambda x: x.chunk(2, -1)[0].contiguous()),
    Case("gather", {"indices": tuple(range(0, 128, 3))}, WORDS, lambda x: x.index_select(1, THIRDS)),
    Case("top_k", {"k": 5}, ROWS, lambda x: x.topk(5).values),
    Case("where", {}, (*ROWS, *ROWS, *ROWS), lambda c, a, b: torch.where(c != 0, a, b)),
    *(Case("math", {"formula": text}, ROWS, f, positive="log" in text or "**" in text) for text, f in {
        "sin(x)": torch.sin, "cos(x)": torch.cos, "x * sin(x) + cos(2 * x)": lambda x: x * torch.sin(x) + torch.cos(2 * x),
        "x ** 3": lambda x: x ** 3, "x ** 1.7": lambda x: x ** 1.7, "2 ** x": lambda x: 2.0 ** x, "x // 0.3": lambda x: x // 0.3,
        "x % 0.3": lambda x: x % 0.3, "log(sum(exp(x), axis=-1))": lambda x: x.logsumexp(-1), "cosh(x)": torch.cosh, "sign(x) * sqrt(abs(x))":
        lambda x: x.sign() * x.abs().sqrt(), "exp(x - max(x, axis=-1, keep=true))": lambda x: (x - x.amax(-1, True)).exp(), "x // 1": torch.floor}.items()),
    Case("math", {"formula": "exp(x) / sum(exp(x), axis=0, keep=true)"}, WORDS, lambda x: x.softmax(1)),
    Case("math", {"formula": "x ** y"}, (*ROWS, *ROWS), torch.pow, positive=True),
    Case("sample_normal", {}, (*ROWS, *ROWS), lambda mean, scale: mean + torch.randn_like(mean) * torch.exp(0.5 * scale)),
    Case("cast", {"dtype": "int32"}, ROWS, lambda x: x.to(torch.int32)),
]


@dataclass(frozen=True)
class LossCase:
    """A loss of an output of ``shape``; the target is classes, shares, bits or numbers."""

    kind: str
    target: str
    torch: Twin
    shape: tuple[int, ...] = (256, 1000)
    fields: dict[str, Any] = field(default_factory=dict)


def focal(y: Any, t: Any) -> Any:
    e = F.binary_cross_entropy_with_logits(y, t, reduction="none")
    p = torch.sigmoid(y)
    p = p * t + (1 - p) * (1 - t)
    return (e * (1 - p) ** 2 * (0.25 * t + 0.75 * (1 - t))).mean()


def dice(y: Any, t: Any) -> Any:
    p = torch.sigmoid(y).flatten(1)
    t = t.flatten(1)
    return (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()


LOSSES: list[LossCase] = [
    LossCase("cross_entropy", "classes", F.cross_entropy), LossCase("cross_entropy", "classes", F.cross_entropy, (4096, 10)),
    LossCase("cross_entropy", "classes", lambda y, t: F.cross_entropy(y.movedim(-1, 1), t), (8, 64, 64, 21)),
    LossCase("cross_entropy", "shares", F.cross_entropy),
    LossCase("binary_cross_entropy", "bits", F.binary_cross_entropy_with_logits), LossCase("mse", "numbers", F.mse_loss), LossCase("mae", "numbers", F.l1_loss),
    LossCase("huber", "numbers", F.huber_loss), LossCase("hinge", "bits", lambda y, t: F.relu(1 - y * (2 * t - 1)).mean()),
    LossCase("kl_divergence", "shares", lambda y, t: F.kl_div(y.log_softmax(-1), t, reduction="batchmean")),
    LossCase("focal", "bits", focal), LossCase("dice", "bits", dice, (16, 64, 64, 1)),
]
OPTIMIZERS: dict[str, Any] = {
    "sgd: 0.001": lambda p: torch.optim.SGD(p, 1e-3, fused=True), "sgd: {momentum: 0.9}": lambda p: torch.optim.SGD(p, 1e-3, 0.9, fused=True),
    "adam: 0.001": lambda p: torch.optim.Adam(p, 1e-3, fused=True), "adamw: 0.001": lambda p: torch.optim.AdamW(p, 1e-3, fused=True), "adamax: 0.001": torch.optim.Adamax,
    "nadam: 0.001": torch.optim.NAdam, "rmsprop: 0.001": torch.optim.RMSprop, "adagrad: 0.001": lambda p: torch.optim.Adagrad(p, 1e-3, fused=True),
    "adadelta: 0.001": torch.optim.Adadelta, "lion: 0.001": None,
}
METRICS: dict[str, Twin | None] = {  # of scores of 1000 classes, beside class numbers
    "accuracy": lambda y, t: (y.argmax(-1) == t).double().mean(), "top_k: 5": lambda y, t: (y.topk(5).indices == t[:, None]).any(-1).double().mean(),
    "precision": None, "recall": None, "f1": None, "mean_iou": None, "confusion": None,
}
