"""Losses: of every kind and argument, over generated shapes, targets and row weights; alone, and added up with weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import nnspec
from nnspec.compiler import loads
from tests.judged.cases import T, ints, pick
from tests.judged.judge import differs, line

Rng = np.random.Generator


@dataclass
class Judged:
    """One loss: its fields, the output's shape and activation, the target, and PyTorch's elements (and what each counts in a mean)."""

    kind: str
    fields: dict[str, Any]
    shape: tuple[int, ...]
    activation: str
    target: np.ndarray | float | None
    elements: Callable[[T], T]
    masses: T | None = None
    logits: np.ndarray = field(default_factory=lambda: np.zeros(0))


MAKERS: dict[str, Callable[[Rng, int], Judged]] = {}


def makes(f: Callable[[Rng, int], Judged]) -> Callable[[Rng, int], Judged]:
    MAKERS[f.__name__] = f
    return f


def f64(a: Any) -> T:
    return torch.tensor(np.asarray(a, np.float64))


def flat(e: T) -> T:
    return e.reshape(len(e), -1).mean(1)


def shaped(rng: Rng, low: int = 1, axes: int = 3) -> tuple[int, ...]:
    """Some axes, the last of at least ``low``."""
    return (*ints(rng, 1, 4, int(rng.integers(0, axes))), int(rng.integers(low, 6)))


def activated(name: str) -> Callable[[T], T]:
    return {"identity": lambda y: y, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": F.relu}[name]


def near(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that meet what they are compared with, now and then."""
    return pick(rng, rng.standard_normal(shape), rng.integers(-2, 3, shape).astype(float), np.zeros(shape), 1e4 * rng.standard_normal(shape))


def of_numbers(kind: str, rng: Rng, rows: int) -> Judged:
    shape, how = shaped(rng), pick(rng, "identity", "tanh", "sigmoid")
    t = near(rng, (rows, *shape))
    if shape == (1,) and rng.random() < 0.5:
        t = t[:, 0]
    wide, a = t.reshape(rows, *shape), activated(how)
    delta = pick(rng, 1.0, 0.3, 2.0)
    f = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": lambda y, t, reduction: F.huber_loss(y, t, reduction=reduction, delta=delta)}[kind]
    given = pick(rng, 0.0, 1.0) if rng.random() < 0.15 else None
    if given is not None:
        t, wide = given, np.full((rows, *shape), given)
    return Judged(kind, {"delta": delta} if kind == "huber" else {}, shape, how, t, lambda y: f(a(y), f64(wide), reduction="none"))


@makes
def mse(rng: Rng, rows: int) -> Judged:
    return of_numbers("mse", rng, rows)


@makes
def mae(rng: Rng, rows: int) -> Judged:
    return of_numbers("mae", rng, rows)


@makes
def huber(rng: Rng, rows: int) -> Judged:
    return of_numbers("huber", rng, rows)


@makes
def hinge(rng: Rng, rows: int) -> Judged:
    shape, how = shaped(rng), pick(rng, "identity", "tanh")
    bits = rng.integers(0, 2, (rows, *shape))
    a = activated(how)
    return Judged("hinge", {}, shape, how, pick(rng, bits, bits * 2 - 1), lambda y: F.relu(1 - f64(bits * 2 - 1) * a(y)))


@makes
def kl_divergence(rng: Rng, rows: int) -> Judged:
    shape, how = shaped(rng, 2), pick(rng, "softmax", "log_softmax", "sigmoid")
    t = rng.random((rows, *shape)) * (rng.random((rows, *shape)) < 0.7)
    t = t / np.maximum(t.sum(-1, keepdims=True), 1e-9)
    if how == "sigmoid":  # any probabilities, of at least 1e-7
        return Judged("kl_divergence", {}, shape, how, t,
                      lambda y: F.kl_div(torch.sigmoid(y).clamp(min=1e-7).log(), f64(t), reduction="none").sum(-1))
    return Judged("kl_divergence", {}, shape, how, t, lambda y: F.kl_div(F.log_softmax(y, -1), f64(t), reduction="none").sum(-1))


def classed(rng: Rng, rows: int, shape: tuple[int, ...]) -> tuple[str, np.ndarray, np.ndarray]:
    """How classes are given, as given, and as shares."""
    ids, n = rng.integers(0, shape[-1], (rows, *shape[:-1])), shape[-1]
    how = pick(rng, "class", "class", "hot", "shares")
    if how == "shares":
        t = rng.random((rows, *shape))
        t /= t.sum(-1, keepdims=True)
        return how, t, t
    hot = np.eye(n)[ids]
    return how, ids if how == "class" else hot, hot


def weighed(rng: Rng, n: int) -> tuple[dict[str, Any], np.ndarray | None]:
    if rng.random() < 0.5:
        return {}, None
    w = rng.random(n) * (rng.random(n) < 0.8) + pick(rng, 0.0, 0.1)
    w[0] = 0.5
    if rng.random() < 0.3:
        w[1:] = np.where(w[1:] == 0, 1.0, w[1:])
        named = {str(i): float(v) for i, v in enumerate(w) if v != 1}
        return {"class_weights": named}, w
    return {"class_weights": w.tolist()}, w


@makes
def cross_entropy(rng: Rng, rows: int) -> Judged:
    shape, activation = shaped(rng, 2), pick(rng, "identity", "softmax")
    how, t, shares = classed(rng, rows, shape)
    fields, w = weighed(rng, shape[-1])
    smoothing = pick(rng, 0.0, 0.0, 0.1, 0.3)
    if smoothing:
        fields["smoothing"] = smoothing
    weight = None if w is None else f64(w)
    masses = None if w is None else f64((shares * w).sum(-1))
    if how == "class" and rng.random() < 0.4:
        void = pick(rng, 255, -100, int(rng.integers(shape[-1])))
        unseen = (rng.random(t.shape) < 0.4) | (t == void)
        fields["ignore"], counts, clean = void, f64(~unseen), np.where(unseen, 0, t)
        hot = f64(np.eye(shape[-1])[clean]).movedim(-1, 1)
        return Judged("cross_entropy", fields, shape, activation, np.where(unseen, void, t),
                      lambda y: counts * F.cross_entropy(y.movedim(-1, 1), hot, weight, reduction="none", label_smoothing=smoothing),
                      counts if w is None else counts * f64(w[clean]))
    if how == "class" and not (w is not None and smoothing):
        def elements(y: T) -> T:
            return F.cross_entropy(y.movedim(-1, 1), torch.tensor(t), weight, reduction="none", label_smoothing=smoothing)
    else:
        def elements(y: T) -> T:
            return F.cross_entropy(y.movedim(-1, 1), f64(shares).movedim(-1, 1), weight, reduction="none", label_smoothing=smoothing)
    return Judged("cross_entropy", fields, shape, activation, t, elements, masses)


@makes
def binary_cross_entropy(rng: Rng, rows: int) -> Judged:
    shape, activation = shaped(rng), pick(rng, "identity", "sigmoid")
    t = pick(rng, rng.integers(0, 2, (rows, *shape)), rng.random((rows, *shape)))
    if shape == (1,) and rng.random() < 0.5:
        t = t[:, 0]
    wide, fields, masses = f64(t).reshape(rows, *shape), {}, None
    smoothing = pick(rng, 0.0, 0.0, 0.2)
    if smoothing:
        fields["smoothing"] = smoothing
    if rng.random() < 0.4:
        no, yes = rng.random(2).tolist()
        fields["class_weights"] = [no, yes]
        masses = no + (yes - no) * wide
    return Judged("binary_cross_entropy", fields, shape, activation, t, lambda y: F.binary_cross_entropy_with_logits(
        y, wide * (1 - smoothing) + smoothing / 2, masses, reduction="none"), masses)


@makes
def focal(rng: Rng, rows: int) -> Judged:
    gamma = pick(rng, 2.0, 1.0, 0.0, 3.0, 1.5)
    if rng.random() < 0.5:  # torchvision.ops.sigmoid_focal_loss
        shape = shaped(rng) if rng.random() < 0.5 else (1,)
        activation = "sigmoid" if shape[-1] > 1 else pick(rng, "sigmoid", "identity")
        t, alpha = rng.integers(0, 2, (rows, *shape)), pick(rng, None, 0.25, 0.6)

        def each(y: T) -> T:
            p, hot = torch.sigmoid(y), f64(t)
            e = F.binary_cross_entropy_with_logits(y, hot, reduction="none") * (1 - (p * hot + (1 - p) * (1 - hot))) ** gamma
            return e if alpha is None else e * (alpha * hot + (1 - alpha) * (1 - hot))

        return Judged("focal", {"gamma": gamma} | ({"alpha": alpha} if alpha is not None else {}), shape, activation, t, each)
    shape, activation = shaped(rng, 2), pick(rng, "identity", "softmax")
    ids = rng.integers(0, shape[-1], (rows, *shape[:-1]))
    fields, w = weighed(rng, shape[-1])
    alpha = pick(rng, None, 0.5, rng.random(shape[-1]).tolist())
    own = f64(np.broadcast_to(1.0 if alpha is None else alpha, shape[-1:])[ids])
    counts = f64(1.0 if w is None else w[ids])

    def of_classes(y: T) -> T:
        logs = F.log_softmax(y, -1).gather(-1, torch.tensor(ids)[..., None])[..., 0]
        return -((1 - logs.exp()) ** gamma) * logs * own * counts

    target = pick(rng, ids, np.eye(shape[-1])[ids])
    return Judged("focal", {"gamma": gamma} | fields | ({"alpha": alpha} if alpha is not None else {}), shape, activation, target, of_classes,
                  None if w is None else counts)


@makes
def dice(rng: Rng, rows: int) -> Judged:
    shape = (*ints(rng, 1, 4, int(rng.integers(1, 3))), int(rng.integers(1, 4)))
    smooth, places = pick(rng, 1.0, 0.1, 1e-6), tuple(range(1, len(shape)))
    masks = shape[-1] == 1 or rng.random() < 0.4
    activation = "sigmoid" if masks and shape[-1] > 1 else pick(rng, "sigmoid", "identity") if masks else pick(rng, "softmax", "identity")
    fields, w, masses = {"smooth": smooth}, None, None
    ids = rng.integers(0, shape[-1], (rows, *shape[:-1]))
    t = rng.integers(0, 2, (rows, *shape)) if masks else pick(rng, ids, np.eye(shape[-1])[ids])
    hot = f64(t) if masks else f64(np.eye(shape[-1])[ids])
    if not masks:
        more, w = weighed(rng, shape[-1])
        fields |= more
        masses = None if w is None else f64(w).expand(rows, -1)

    def elements(y: T) -> T:
        p = torch.sigmoid(y) if masks else F.softmax(y, -1)
        e = 1 - (2 * (p * hot).sum(places) + smooth) / (p.sum(places) + hot.sum(places) + smooth)
        return e if w is None else e * f64(w)

    return Judged("dice", fields, shape, activation, t, elements, masses)


@makes
def value(rng: Rng, rows: int) -> Judged:
    shape, how = shaped(rng), pick(rng, "identity", "tanh")
    return Judged("value", {}, shape, how, None, activated(how))


def judge(kinds: list[str], rng: Rng, precision: str = "float64", backend: str = "numpy") -> tuple[str, list[str]]:
    """The spec, and what is wrong: the loss and its gradients, of all rows and with weights, fed whole and in a padded step."""
    rows = int(rng.integers(1, 6))
    js = [MAKERS[k](rng, rows) for k in kinds]
    inputs, layers, entries, outputs = ["  row: {shape: [], dtype: int64}"], [], [], []
    feeds: dict[str, Any] = {"row": np.arange(rows)}
    for i, j in enumerate(js):
        scale = pick(rng, 1.0, 1.0, 10.0, 1e4, 0.0)
        if j.kind in ("focal", "dice") or (j.kind == "kl_divergence" and j.activation == "sigmoid"):
            scale = min(scale, 10.0 if j.kind == "dice" else 3.0)  # where 1 - p is all rounding nothing can be compared
        j.logits = scale * (rng.standard_normal((rows, *j.shape)) if rng.random() < 0.7 else rng.integers(-2, 3, (rows, *j.shape)))
        layers += [line("embedding", {"from": "row", "vocabulary": rows, "units": math.prod(j.shape), "name": f"e{i}"}),
                   line("reshape", {"shape": list(j.shape), "name": f"r{i}"}), line(j.activation, {"name": f"y{i}"})]
        fields: dict[str, Any] = {**j.fields, "from": f"y{i}"}
        if isinstance(j.target, float):
            fields["target"] = j.target
        elif j.target is not None:
            fields["target"] = f"t{i}"
            feeds[f"t{i}"] = j.target
        reduce = pick(rng, "mean", "mean", "sum", "none")
        if reduce != "mean" or rng.random() < 0.3:
            fields["reduce"] = reduce
        if len(js) > 1 or rng.random() < 0.2:
            fields["weight"] = pick(rng, 0.5, 2, 1.0, 0.1)
        entries.append({j.kind: fields})
        outputs.append(f"y{i}")
    text = "\n".join(["nnspec: 1", "name: judged", "inputs:", *inputs, "layers:", *layers, f"outputs: [{', '.join(outputs)}]",
                      f"loss: {json.dumps(entries)}", f"batch_size: {rows + 2}", "optimizer: {sgd: 1.0}", ""])
    tol, wrong = 1e-10 if precision == "float64" else 2e-5, []

    def said(what: str, found: Any, wanted: Any, least: float = 0.0) -> None:
        if problem := differs(found, wanted, tol, least):
            wrong.append(f"{what}: {problem}")

    weights = rng.random(rows) * (rng.random(rows) < 0.7)
    weights[int(rng.integers(rows))] = 0.7
    model = nnspec.compile(loads(text), backend=backend, precision=precision)
    for given in (None, weights):
        w = torch.ones(rows, dtype=torch.float64) if given is None else f64(given)
        total, leaves = torch.zeros((), dtype=torch.float64), []
        for j, entry in zip(js, entries, strict=True):
            y = f64(j.logits).requires_grad_(True)
            leaves.append(y)
            e, how = j.elements(y), entry[j.kind].get("reduce", "mean")
            if how == "sum":
                part = (e.reshape(rows, -1).sum(1) * w).sum()
            elif how == "none":
                part = (flat(e) * w).sum()
            else:
                mass = w.sum() if j.masses is None else (flat(j.masses) * w).sum()
                part = (flat(e) * w).sum() / (mass if mass > 0 else 1.0)
            total = total + entry[j.kind].get("weight", 1.0) * part
        total.backward()
        for i, j in enumerate(js):
            model.parameters[f"e{i}/embedding"].assign(j.logits.reshape(rows, -1))
        full = feeds if given is None else feeds | {"sample_weight": given}
        found = model.gradients(full)
        for i, y in enumerate(leaves):
            said(f"gradient {i}", found[f"e{i}/embedding"], y.grad.reshape(rows, -1))
        said("evaluate", model.evaluate(full)["loss"], total.detach())
        said("train", model.train_batch(full)["loss"], total.detach())
        for i, (j, y) in enumerate(zip(js, leaves, strict=True)):
            said(f"step {i}", j.logits.reshape(rows, -1) - np.asarray(model.parameters[f"e{i}/embedding"]), y.grad.reshape(rows, -1),
                 float(np.abs(j.logits).max(initial=0)))
    return text, wrong
