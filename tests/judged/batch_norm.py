"""Batch norm in training: its own statistics, rows of weight 0 not seen, and what moves for inference, beside PyTorch."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import nnspec
from nnspec.compiler import loads
from tests.judged.cases import cf, cl, pick, shape_of
from tests.judged.judge import differs, line

Rng = np.random.Generator


def judge(rng: Rng, backend: str = "numpy") -> tuple[str, list[str]]:
    """The spec, and what differs over three steps of a padded batch: loss, gradients, statistics, predictions."""
    rows, shape = int(rng.integers(2, 6)), shape_of(rng, 1, 4)
    fields: dict[str, Any] = {"momentum": pick(rng, 0.99, 0.9, 0.0, 1.0), "epsilon": pick(rng, 1e-3, 1e-5), "scale": bool(rng.random() < 0.6),
                              "center": bool(rng.random() < 0.6), "variance": pick(rng, "biased", "unbiased"), "name": "y"}
    frozen, padding, dead = bool(rng.random() < 0.2), pick(rng, 0, 2), bool(rng.random() < 0.5)
    if frozen:
        fields["trainable"] = False
    c, n = shape[-1], math.prod(shape)
    text = "\n".join(["nnspec: 1", "inputs: {row: {shape: [], dtype: int64}}", "layers:", line("embedding", {"vocabulary": rows, "units": n, "name": "e"}),
                      line("reshape", {"shape": list(shape)}), line("batch_norm", fields), line("tanh", {"name": "out"}), "loss: {mse: {target: t}}",
                      f"batch_size: {rows + padding}", f"optimizer: {json.dumps({'sgd': 1.0})}", ""])
    model = nnspec.compile(loads(text), backend=backend, precision="float64")
    for name in model.parameters:
        if not name.startswith("e/"):
            v = rng.standard_normal(c)
            model.parameters[name].assign(np.abs(v) + 0.3 if name.endswith("variance") else v)
    x = rng.standard_normal((rows, n)) * pick(rng, 1.0, 3.0) + pick(rng, 0.0, 100.0)
    model.parameters["e/embedding"].assign(x)
    t = rng.standard_normal((rows, *shape))
    p = {name: torch.tensor(np.array(v), requires_grad=not name.startswith("y/moving")) for name, v in model.parameters.items()}
    wrong: list[str] = []

    def said(what: str, found: Any, wanted: Any, least: float = 0.0) -> None:
        if problem := differs(found, wanted, 1e-9, least):
            wrong.append(f"{what}: {problem}")

    for step in range(3):
        seen = np.ones(rows, bool)
        if dead and rows > 2:
            seen[int(rng.integers(rows))] = False
        feeds = {"row": np.arange(rows), "t": t} | ({"sample_weight": seen.astype(float)} if dead else {})
        mean, var = p["y/moving_mean"], p["y/moving_variance"]
        a = cf(p["e/embedding"][torch.tensor(seen)].reshape(-1, *shape))
        count = a.numel() // c
        own = a.movedim(1, -1).reshape(-1, c)
        bias = p.get("y/beta", torch.zeros(c, dtype=torch.float64))
        scale = p.get("y/gamma", torch.ones(c, dtype=torch.float64))
        if frozen:
            normal = F.batch_norm(a, mean, var, scale.detach(), bias.detach(), False, 0.0, fields["epsilon"])
        else:
            v = own.var(0, unbiased=False)
            wide = (1, c, *(1,) * (a.ndim - 2))
            normal = (a - own.mean(0).reshape(wide)) / (v.reshape(wide) + fields["epsilon"]).sqrt() * scale.reshape(wide) + bias.reshape(wide)
        loss = ((torch.tanh(cl(normal)) - torch.tensor(t[seen])) ** 2).mean()
        for q in p.values():
            q.grad = None
        loss.backward()
        found = model.gradients(feeds)
        for name, g in found.items():
            said(f"gradient {step} {name}", g, p[name].grad, 1e-3 * float(np.abs(x).max()))
        said(f"loss {step}", model.train_batch(feeds)["loss"], loss.detach())
        with torch.no_grad():
            if not frozen:
                keep, v = fields["momentum"], own.var(0, unbiased=fields["variance"] == "unbiased" and count > 1)
                mean.copy_(mean * keep + own.mean(0) * (1 - keep))
                var.copy_(var * keep + v * (1 - keep))
            for name, q in p.items():
                if q.grad is not None and not (frozen and name.startswith("y/")):
                    q -= q.grad
        for name, q in p.items():
            said(f"after {step} {name}", model.parameters[name], q.detach())
        z = cf(p["e/embedding"].reshape(rows, *shape))
        said(f"predict {step}", model.predict(np.arange(rows)),
             torch.tanh(cl(F.batch_norm(z, mean, var, scale, bias, False, 0.0, fields["epsilon"]))).detach())
    return text, wrong
