"""Optimizers and schedules: every argument drawn, beside PyTorch over batches that change, and the recorded trajectories read anew."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nnspec
from nnspec.compiler import loads
from tests.judged.cases import T, pick
from tests.judged.judge import differs
from tests.reference.fingerprint import fill, ints

Rng = np.random.Generator
FOLDER = Path(__file__).parents[1] / "reference"


class Lion(torch.optim.Optimizer):
    """Chen et al., 2023, algorithm 2."""

    def __init__(self, params: list[T], lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def step(self) -> None:  # type: ignore[override]  # no closure
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                with torch.no_grad():
                    p.sub_(group["lr"] * (torch.sign(b1 * m + (1 - b1) * p.grad) + group["weight_decay"] * p))
                    m.mul_(b2).add_((1 - b2) * p.grad)


def rule(rng: Rng, kind: str) -> tuple[dict[str, Any], Callable[[list[T]], Any]]:
    """Fields, and PyTorch's optimizer."""
    lr, decay = pick(rng, 0.1, 0.01, 1e-3), pick(rng, 0.0, 0.0, 0.05)
    b1, b2, eps = pick(rng, 0.9, 0.5, 0.0), pick(rng, 0.999, 0.9, 0.5), pick(rng, 1e-7, 1e-8, 1e-3)
    momentum, flag = pick(rng, 0.0, 0.9, 0.4), bool(rng.random() < 0.5)
    fields: dict[str, Any] = {"learning_rate": lr}
    if decay or kind == "adamw":
        fields["weight_decay"] = decay
    optim: Any = torch.optim
    if kind == "sgd":
        nesterov = flag and momentum > 0
        return fields | {"momentum": momentum, "nesterov": nesterov}, lambda p: optim.SGD(p, lr, momentum, weight_decay=decay, nesterov=nesterov)
    if kind in ("adam", "adamw"):
        make = optim.Adam if kind == "adam" else optim.AdamW
        return fields | {"beta1": b1, "beta2": b2, "epsilon": eps, "amsgrad": flag}, lambda p: make(p, lr, (b1, b2), eps, decay, amsgrad=flag)
    if kind == "adamax":
        return fields | {"beta1": b1, "beta2": b2, "epsilon": eps}, lambda p: optim.Adamax(p, lr, (b1, b2), eps, decay)
    if kind == "nadam":
        md = pick(rng, 0.004, 0.0, 0.1, 1.0)
        return fields | {"beta1": b1, "beta2": b2, "epsilon": eps, "momentum_decay": md}, lambda p: optim.NAdam(
            p, lr, (b1, b2), eps, decay, momentum_decay=md)
    if kind == "rmsprop":
        rho = pick(rng, 0.9, 0.99, 0.5)
        eps = pick(rng, 1e-2, 1e-3) if flag else eps  # v - a^2 is mostly rounding where gradients hardly change
        return fields | {"rho": rho, "epsilon": eps, "momentum": momentum, "centered": flag}, lambda p: optim.RMSprop(
            p, lr, rho, eps, decay, momentum, flag)
    if kind == "adagrad":
        return fields | {"epsilon": eps}, lambda p: optim.Adagrad(p, lr, eps=eps, weight_decay=decay)
    if kind == "adadelta":
        lr, rho = pick(rng, 1.0, 0.1), pick(rng, 0.95, 0.5)
        return fields | {"learning_rate": lr, "rho": rho, "epsilon": eps}, lambda p: optim.Adadelta(p, lr, rho, eps, decay)
    assert kind == "lion"
    return fields | {"beta1": b1, "beta2": min(b2, 0.99)}, lambda p: Lion(p, lr, (b1, min(b2, 0.99)), decay)


RULES = ("sgd", "adam", "adamw", "adamax", "nadam", "rmsprop", "adagrad", "adadelta", "lion")
STEPS = 15


def schedule(rng: Rng, kind: str) -> tuple[dict[str, Any] | None, Callable[[int], float]]:
    """Fields, and the factor of each step by PyTorch's own schedulers."""
    if kind == "none":
        return None, lambda t: 1.0
    n = int(rng.integers(1, STEPS + 4))
    factor = pick(rng, 0.1, 0.5, 0.9, 1.1)
    p: Any = torch.optim.SGD([torch.zeros(1)], 1.0)
    s: Any = torch.optim.lr_scheduler
    if kind == "step":
        fields, by = {"every": f"{n} steps", "factor": factor}, s.StepLR(p, n, factor)
    elif kind == "multistep":
        at = sorted({int(v) for v in rng.integers(1, STEPS + 2, 3)})
        fields, by = {"at": [f"{v} steps" for v in at], "factor": factor}, s.MultiStepLR(p, at, factor)
    elif kind == "exponential":
        fields, by = {"every": "1 steps", "factor": factor}, s.ExponentialLR(p, factor)
    elif kind == "cosine":
        fields, by = {"length": f"{n} steps"}, s.CosineAnnealingLR(p, n)
    elif kind == "linear":
        fields, by = {"length": f"{n} steps", "to": 0.0}, s.LinearLR(p, 1.0, 0.0, n)
    elif kind == "polynomial":
        power = pick(rng, 1.0, 2.0, 0.5)
        fields, by = {"length": f"{n} steps", "power": power}, s.PolynomialLR(p, n, power)
    else:
        assert kind == "constant"
        fields, by = {}, s.ConstantLR(p, 1.0, 1)
    factors = []
    for t in range(STEPS):
        factors.append(0.0 if kind == "cosine" and t >= n else p.param_groups[0]["lr"])  # PyTorch's comes up again
        p.step()
        by.step()
    warm = int(rng.integers(1, 6)) if kind == "constant" or rng.random() < 0.3 else 0
    if warm:
        fields["warmup"] = f"{warm} steps"
    return {kind: fields}, lambda t: (t + 1) / warm if t < warm else factors[t - warm]


SCHEDULES = ("none", "step", "multistep", "exponential", "cosine", "linear", "polynomial", "constant")


def judge(kind: str, plan: str, rng: Rng, backend: str = "numpy") -> tuple[str, list[str]]:
    """The spec, and where fifteen steps of it differ from PyTorch's."""
    fields, make = rule(rng, kind)
    rates, factor = schedule(rng, plan)
    clip, least = pick(rng, None, None, 1.0, 1e-3, 1e6), pick(rng, None, None, 0.05, 1e-4)
    average = pick(rng, None, None, 0.9, 0.999)
    for name, v in (("clip_norm", clip), ("clip_value", least), ("average", average)):
        if v is not None:
            fields[name] = v
    first, l1, l2, times, only = {"units": 4, "activation": "tanh"}, 0.0, 0.0, 1.0, False
    if rng.random() < 0.3:
        l1, l2 = pick(rng, (0.01, 0.0), (0.0, 0.01), (1e-3, 1e-2))
        first["regularize"] = {"kernel": {k: v for k, v in (("l1", l1), ("l2", l2)) if v}}
    if rng.random() < 0.3:
        times = pick(rng, 0.5, 2.0)
        first["learning_rate"] = pick(rng, f"{times}x", times * fields["learning_rate"])
    if fields.get("weight_decay") and rng.random() < 0.4:
        only = True
        fields["weight_decay"] = {"rate": fields["weight_decay"], "only": "kernels"}
    text = "\n".join(["nnspec: 1", "inputs: {x: {shape: [5]}}", f"layers: [dense: {json.dumps(first)}, dense: 3]", "loss: mse",
                      f"optimizer: {json.dumps({kind: fields})}", *([f"schedule: {json.dumps(rates)}"] if rates else []), ""])
    model = nnspec.compile(loads(text), backend=backend, precision="float64", seed=int(rng.integers(99)))
    p = {name: torch.tensor(np.array(v), requires_grad=True) for name, v in model.parameters.items()}
    theirs, means = make(list(p.values())), {}
    (whole,) = theirs.param_groups  # one for each parameter: its own rate and decay
    theirs.param_groups[:] = [{**whole, "params": [v], "times": times if name.startswith("dense_1") else 1.0,
                               "weight_decay": 0.0 if only and name.endswith("bias") else whole["weight_decay"]} for name, v in p.items()]
    scale, rows, wrong = pick(rng, 1.0, 1.0, 1e-4, 2.0), int(rng.integers(1, 6)), []  # where tanh is 1 its slope is rounding
    for t in range(STEPS):
        x, target = scale * rng.standard_normal((rows, 5)), rng.standard_normal((rows, 3))
        x[:, 0] = 0.0  # no gradient there
        loss = ((torch.tanh(torch.tensor(x) @ p["dense_1/kernel"] + p["dense_1/bias"]) @ p["dense_2/kernel"] + p["dense_2/bias"]
                 - torch.tensor(target)) ** 2).mean() + l1 * p["dense_1/kernel"].abs().sum() + l2 * (p["dense_1/kernel"] ** 2).sum()
        theirs.zero_grad()
        loss.backward()
        if least is not None:
            torch.nn.utils.clip_grad_value_(list(p.values()), least)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(list(p.values()), clip)
        for group in theirs.param_groups:
            group["lr"] = fields["learning_rate"] * factor(t) * group["times"]
        theirs.step()
        if problem := differs(model.train_batch({"x": x, "target": target})["loss"], loss.detach(), 1e-9):
            wrong.append(f"loss of step {t}: {problem}")
        for name, v in p.items():
            own = v.detach().clone()
            means[name] = own if t == 0 else means[name] * (average or 0.0) + own * (1 - (average or 0.0))
            if problem := differs(model.parameters[name], means[name] if average else own, 1e-9):
                wrong.append(f"{name} after step {t}: {problem}")
        if wrong:
            break
    return text, wrong


# The recorded trajectories

NETWORKS = {
    "mlp": "inputs: {x: {shape: [20]}}\nlayers: [{dense: {units: 32, activation: relu}}, {dense: {units: 16, activation: tanh}}, dense: 5]\nloss: cross_entropy",
    "lenet5": "inputs: {x: {shape: [28, 28, 1]}}\nlayers: [{conv2d: {filters: 6, kernel: 5, padding: 2}}, tanh, avg_pool2d: 2, {conv2d: {filters: 16, kernel: 5}}, tanh, "
              "avg_pool2d: 2, permute: [2, 0, 1], flatten, dense: 120, tanh, dense: 84, tanh, dense: 10]\nloss: cross_entropy",
    "autoencoder": "inputs: {x: {shape: [36]}}\nlayers: [dense: 24, relu, dense: 6, dense: 24, relu, dense: 36, sigmoid]\nloss: {mse: {target: x}}",
}


def data(name: str) -> dict[str, Any]:
    if name == "autoencoder":
        return {"x": (fill("input", (12, 36)) + 1) / 2}
    if name == "mlp":
        return {"x": fill("input", (16, 20)), "target": ints("labels", (16,), 5)}
    return {"x": fill("input", (8, 1, 28, 28)).transpose(0, 2, 3, 1), "target": ints("labels", (8,), 10)}


WORDS = {"lr": "learning_rate", "momentum": "momentum", "nesterov": "nesterov", "weight_decay": "weight_decay", "eps": "epsilon", "alpha": "rho", "rho": "rho",
         "centered": "centered", "amsgrad": "amsgrad", "momentum_decay": "momentum_decay"}


def written(run: str, hyper: dict[str, Any]) -> str:
    """The optimizer and schedule of a run, from what the file itself says."""
    optimizer, _, plan = run.partition("+")
    kind = optimizer.split("_")[0]
    fields = {WORDS[k]: v for k, v in hyper.items() if k in WORDS and v is not False}
    if "betas" in hyper:
        fields["beta1"], fields["beta2"] = hyper["betas"]
    if "nesterov" in run:  # its record says so in words alone
        fields["nesterov"] = True
    if "clip" in hyper:
        fields["clip_norm"] = 1.0
    plans = {"step": {"step": {"every": 5, "factor": 0.5}}, "cosine": "cosine", "cosine_min": {"cosine": {"minimum": 0.005}},
             "exponential": {"exponential": {"factor": 0.9}}, "linear_warmup5": {"constant": {"warmup": 5}},
             "multistep": {"multistep": {"at": [4, 12], "factor": 0.1}}}
    return f"optimizer: {json.dumps({kind: fields})}\n" + (f"schedule: {json.dumps(plans[plan])}\n" if plan else "")


def trajectory(name: str, run: str, whole: dict[str, Any], fitted: bool) -> list[str]:
    """Where a run differs from its record: fed batch by batch, or trained by fit over 20 epochs of one batch."""
    record, feeds = whole["runs"][run], data(name)
    rows = len(feeds["x"])
    text = f"nnspec: 1\nprecision: float64\nepochs: 20\nbatch_size: {rows}\n{NETWORKS[name]}\n{written(run, record['hyper'])}"
    model = nnspec.compile(loads(text))
    wrong: list[str] = []

    def said(what: str, found: Any, wanted: Any, tolerance: float = 1e-9) -> None:
        if not np.allclose(found, wanted, rtol=tolerance, atol=0):
            wrong.append(f"{what}: {found}, wanted {wanted}")

    count = 0
    for p in model.parameters.values():
        canonical = p.shape if len(p.shape) != 4 else (p.shape[3], p.shape[2], *p.shape[:2])
        values = fill("conv_kernel" if len(p.shape) == 4 else "dense_kernel" if p.role == "kernel" else p.role, canonical)
        p.assign(values if len(p.shape) != 4 else values.transpose(2, 3, 1, 0))
        count += math.prod(p.shape)
    assert count == whole["params_trained"]
    y = model.predict(feeds["x"], raw=True)
    first = whole["initial_output"]
    said("first outputs", y.reshape(-1)[:16], first["first16"], 1e-10)
    said("norm of the output", np.linalg.norm(y), first["l2"], 1e-10)
    gradients = model.gradients(feeds)
    norms = sorted(np.linalg.norm(g) for g in gradients.values())
    said("gradient norms", norms, sorted(v for _, v in whole["grad_l2_per_parameter"]), 1e-9)
    said("gradient norm", math.sqrt(sum(n * n for n in norms)), record["grad_l2_step0"])
    if fitted:
        model.fit(feeds["x"], feeds.get("target"))
    else:
        losses = [model.train_batch(feeds)["loss"] for _ in range(20)]
        said("losses", losses, record["losses"][:20])
    said("loss afterwards", model.evaluate(feeds)["loss"], record["eval_loss_after"])
    said("norm of the parameters", math.sqrt(sum(float((np.asarray(p) ** 2).sum()) for p in model.parameters.values())), record["final_param_l2"])
    return wrong
