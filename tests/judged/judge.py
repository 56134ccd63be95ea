"""Puts a generated case into a spec, and compares what comes out of the public interface with PyTorch."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch

import nnspec
from nnspec.compiler import loads
from tests.judged.cases import Case, Params

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
ROWS = 3


def differs(found: Any, wanted: Any, tolerance: float, least: float = 0.0) -> str:
    """'' where two arrays are equal up to the largest number times ``tolerance``."""
    a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    if a.shape != b.shape:
        return f"shape {a.shape}, wanted {b.shape}"
    if not a.size:
        return ""
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return "NaN in other places"
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    off, scale = np.abs(a - b).max(), max(np.abs(b).max(), least, 1e-3)
    return "" if off <= tolerance * scale else f"off by {off:.3g}, numbers up to {scale:.3g}"


def line(kind: str, fields: Any) -> str:
    return f"  - {kind}: {json.dumps(fields)}"


def written(case: Case, out: tuple[int, ...], direct: bool, extra: str = "") -> str:
    """A spec whose loss is the sum of the output times coefficients; inputs are rows of embeddings, unless they are fed directly."""
    inputs, layers = ["  row: {shape: [], dtype: int64}"], []
    for i, shape in enumerate(case.shapes):
        whole = i in case.ids
        if i in case.unbatched:
            layers.append(line("parameter", {"shape": list(shape), "name": f"x{i}"}))
        elif whole or direct or i in case.bools:
            inputs.append(f"  x{i}: {json.dumps({'shape': list(shape), 'dtype': 'int64' if whole else 'float32'})}")
        else:
            layers.append(line("embedding", {"from": "row", "vocabulary": ROWS, "units": math.prod(shape), "name": f"e{i}"}))
            layers.append(line("reshape", {"shape": list(shape), "name": f"x{i}"}))
    entry: dict[str, Any] = {**case.fields, "name": "y"}
    if case.shapes:
        names = [f"x{i}" for i in range(len(case.shapes))]
        entry["from"] = dict(zip(case.roles, names, strict=True)) if case.roles else names if len(names) > 1 else names[0]
    layers.append(line(case.kind, entry))
    layers.append(line("embedding", {"from": "row", "vocabulary": ROWS, "units": math.prod(out), "name": "ec"}))
    layers.append(line("reshape", {"shape": list(out) or [1], "name": "c"}))
    whole = case.kind == "best_boxes" or case.output == "y.indices"
    if whole:
        layers.append(line("cast", {"from": case.output, "dtype": "float32", "name": "cast"}))
    output = "cast" if whole else case.output
    layers.append(line("multiply", {"from": [output, "c"], "name": "z"}))
    rows = any(i not in case.unbatched for i in range(len(case.shapes)))
    return "\n".join(["nnspec: 1", "name: judged", "inputs:", *inputs, "layers:", *layers, f"outputs: [{output if rows else 'z'}]",
                      "loss: {value: {from: z, reduce: sum}}", extra, ""])


def judge(case: Case, seed: int, precision: str = "float64", backend: str = "numpy") -> list[str]:
    """Everything in which a case differs from PyTorch."""
    rng = np.random.default_rng(seed)
    tol = TOLERANCE[precision]
    data: list[np.ndarray] = []
    for i, shape in enumerate(case.shapes):
        full = shape if i in case.unbatched else (ROWS, *shape)
        if i in case.ids:
            data.append(rng.integers(0, case.ids[i], full))
        elif i in case.bools:
            data.append((rng.random(full) < 0.5).astype(float))
        else:
            a = case.make(rng, full) if case.make else rng.standard_normal(full)
            data.append(a.astype(np.float32).astype(np.float64) if precision == "float32" else a)
    p = Params(rng)
    x = [torch.tensor(a) for a in data]
    for i, v in enumerate(x):
        if v.is_floating_point() and i not in case.bools:
            v.requires_grad_(True)
    first = case.fn(*x, p)
    for v in p.held.values():
        if precision == "float32":
            with torch.no_grad():
                v.copy_(v.float().double())
    y = case.fn(*x, p)
    assert torch.equal(first.detach(), y.detach()) or precision == "float32"
    rowless = not case.shapes or set(case.unbatched) == set(range(len(case.shapes)))
    out = tuple(y.shape) if rowless else tuple(y.shape[1:])
    c = rng.standard_normal((ROWS, *out))
    if precision == "float32":
        c = c.astype(np.float32).astype(np.float64)
    wrong: list[str] = []

    def said(what: str, found: Any, wanted: Any, least: float = 0.0) -> None:
        if text := differs(found, wanted, tol, least):
            wrong.append(f"{what}: {text}")

    def filled(text: str) -> Any:
        model = nnspec.compile(loads(text), backend=backend, precision=precision)
        own = {n.split("/", 1)[1] for n in model.parameters if n.startswith("y/")}
        assert own == set(p.held), (own, set(p.held))
        for name, v in p.held.items():
            model.parameters[f"y/{name}"].assign(v.detach().numpy())
        for i in case.unbatched:
            model.parameters[f"x{i}/value"].assign(data[i])
        for i in range(len(data)):
            if f"e{i}/embedding" in model.parameters:
                model.parameters[f"e{i}/embedding"].assign(data[i].reshape(ROWS, -1))
        model.parameters["ec/embedding"].assign(c.reshape(ROWS, -1))
        return model

    def feeds(direct: bool) -> dict[str, Any]:
        return {"row": np.arange(ROWS)} | {f"x{i}": a for i, a in enumerate(data)
                                           if i not in case.unbatched and (direct or i in case.ids or i in case.bools)}

    def expected(weights: np.ndarray | None) -> dict[str, Any]:
        for v in [*x, *p.held.values()]:
            v.grad = None
        w = torch.ones(ROWS) if weights is None else torch.tensor(weights)
        z = case.fn(*x, p) * torch.tensor(c)
        if z.requires_grad:
            (z.reshape(ROWS, -1).sum(1) * w).sum().backward()
        wanted = {f"y/{n}": v.grad if v.grad is not None else torch.zeros_like(v) for n, v in p.held.items()}
        for i, v in enumerate(x):
            if v.requires_grad:
                g = v.grad if v.grad is not None else torch.zeros_like(v)
                wanted[f"x{i}/value" if i in case.unbatched else f"e{i}/embedding"] = g if i in case.unbatched else g.reshape(ROWS, -1)
        full = y.detach().expand(ROWS, *out) if rowless else y.detach()
        wanted["ec/embedding"] = full.reshape(ROWS, -1) * w.reshape(-1, 1)
        return {n: np.asarray(v) for n, v in wanted.items()}

    def gradients(what: str, model: Any, given: dict[str, Any], weights: np.ndarray | None = None) -> None:
        wanted = expected(weights)
        found = model.gradients(given | ({} if weights is None else {"sample_weight": weights}))
        for name, g in found.items():
            said(f"{what} {name}", g, wanted[name])

    direct = filled(written(case, out, True))
    if not rowless:
        said("predict", direct.predict(feeds(True), raw=True), y.detach())
    if case.kind == "batch_norm":
        return wrong  # in training it has statistics of its own
    gradients("fed", direct, feeds(True))
    inner = filled(written(case, out, False))
    gradients("inner", inner, feeds(False))
    gradients("weighted", inner, feeds(False), np.array([0.5, 0.0, 2.0]))
    step = filled(written(case, out, False, f"optimizer: {{sgd: 1.0}}\nbatch_size: {ROWS + 2}"))
    before = {n: np.array(v) for n, v in step.parameters.items()}
    step.train_batch(feeds(False))
    wanted = expected(None)
    for name, v in step.parameters.items():
        if v.trainable:
            said(f"padded {name}", before[name] - np.array(v), wanted[name], np.abs(before[name]).max())
    return wrong
