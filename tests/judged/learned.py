"""Dense, embedding, normalisations and every activation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.judged.cases import Case, Params, T, cf, cl, ints, is_big, makes, pick, rounded, shape_of, wide


@makes("dense")
def dense(rng: np.random.Generator, kind: str) -> Case:
    shape, units, bias = shape_of(rng, 1, 3), int(rng.integers(1, 7)), bool(rng.random() < 0.7)
    if is_big(rng):
        shape, units = (300,), 200
    return Case(kind, {"units": units, "bias": bias}, [shape],
                lambda x, p: x @ p("kernel", shape[-1], units) + (p("bias", units) if bias else 0))


@makes("embedding")
def embedding(rng: np.random.Generator, kind: str) -> Case:
    v, u = ints(rng, 1, 6, 2)
    shape = pick(rng, (), (3,), (2, 4))
    return Case(kind, {"vocabulary": v, "units": u}, [shape], lambda x, p: p("embedding", v, u)[x], ids={0: v})


@makes("batch_norm")
def batch_norm(rng: np.random.Generator, kind: str) -> Case:
    shape = shape_of(rng, 1, 4)
    if is_big(rng):
        shape = (32, 32, 64)
    fields = {"scale": bool(rng.random() < 0.6), "center": bool(rng.random() < 0.6), "epsilon": pick(rng, 1e-3, 1e-5),
              "momentum": pick(rng, 0.99, 0.9, 0.0), "variance": pick(rng, "biased", "unbiased")}
    c = shape[-1]

    def fn(x: T, p: Params) -> T:
        g, b = p("gamma", c) if fields["scale"] else None, p("beta", c) if fields["center"] else None
        mean, var = p("moving_mean", c), p("moving_variance", c, positive=True)
        return cl(F.batch_norm(cf(x), mean.detach(), var.detach(), g, b, False, 0.1, fields["epsilon"]))

    return Case(kind, fields, [shape], fn)


def normal_fields(rng: np.random.Generator) -> dict[str, Any]:
    return {"scale": bool(rng.random() < 0.6), "center": bool(rng.random() < 0.6), "epsilon": pick(rng, 1e-3, 1e-5)}


@makes("layer_norm")
def layer_norm(rng: np.random.Generator, kind: str) -> Case:
    shape, fields = shape_of(rng, 1, 4), normal_fields(rng)
    if is_big(rng):
        shape = (128, 256)
    axes = sorted(int(a) for a in rng.choice(len(shape), int(rng.integers(1, len(shape) + 1)), replace=False))
    if rng.random() < 0.5:
        axes = [len(shape) - 1]
    else:
        fields["axes"] = [a - len(shape) if rng.random() < 0.5 else a for a in axes]
    own = tuple(shape[a] for a in axes)

    def fn(x: T, p: Params) -> T:
        over = [a + 1 for a in axes]
        y = (x - x.mean(over, keepdim=True)) / (x.var(over, keepdim=True, unbiased=False) + fields["epsilon"]).sqrt()
        wide = [d if i in axes else 1 for i, d in enumerate(shape)]
        y = y * p("gamma", *own).reshape(wide) if fields["scale"] else y
        return y + p("beta", *own).reshape(wide) if fields["center"] else y

    return Case(kind, fields, [shape], fn)


@makes("group_norm", "instance_norm")
def group_norm(rng: np.random.Generator, kind: str) -> Case:
    fields, groups = normal_fields(rng), int(rng.integers(1, 4))
    c = groups * int(rng.integers(1, 4))
    shape = (*shape_of(rng, 1 if kind == "instance_norm" else 0, 3), c)
    if is_big(rng):
        shape, groups, c = (32, 32, 64), 16, 64
    if kind == "group_norm":
        fields["groups"] = groups
    else:
        groups = c

    def fn(x: T, p: Params) -> T:
        g, b = p("gamma", c) if fields["scale"] else torch.ones(c).to(x), p("beta", c) if fields["center"] else torch.zeros(c).to(x)
        if math.prod(shape[:-1]) * (c // groups) == 1:  # PyTorch refuses a single number
            return x * 0.0 * g + b
        return cl(F.group_norm(cf(x), groups, g, b, fields["epsilon"]))

    return Case(kind, fields, [shape], fn)


@makes("rms_norm")
def rms_norm(rng: np.random.Generator, kind: str) -> Case:
    shape, scale, eps = shape_of(rng, 1, 4, 7), bool(rng.random() < 0.6), pick(rng, 1e-6, 1e-3)
    return Case(kind, {"scale": scale, "epsilon": eps}, [shape],
                lambda x, p: F.rms_norm(x, (shape[-1],), p("gamma", shape[-1]) if scale else None, eps))


@makes("local_response_norm")
def lrn(rng: np.random.Generator, kind: str) -> Case:
    size, shape = int(rng.integers(1, 7)), (*shape_of(rng, 1, 3, 4), int(rng.integers(1, 9)))
    alpha, beta, k = pick(rng, 1e-4, 0.5, 2.0), pick(rng, 0.75, 0.5, 1.0), pick(rng, 1.0, 2.0)
    return Case(kind, {"size": size, "alpha": alpha, "beta": beta, "k": k}, [shape],
                lambda x, p: cl(F.local_response_norm(cf(x), size, alpha, beta, k)))


# PyTorch's gradients of hardsigmoid, hardswish and celu go through single precision: 3e-8 off; these are written out
ACTIVATIONS: dict[str, Any] = {
    "identity": lambda r: ({}, lambda x: x), "step": lambda r: ({}, lambda x: (x > 0).to(x.dtype) + x * 0), "sigmoid": lambda r: ({}, torch.sigmoid),
    "hard_sigmoid": lambda r: ({}, lambda x: F.relu6(x + 3) / 6), "log_sigmoid": lambda r: ({}, F.logsigmoid), "tanh": lambda r: ({}, torch.tanh),
    "hard_tanh": lambda r: ({}, F.hardtanh), "arctan": lambda r: ({}, torch.arctan), "softsign": lambda r: ({}, F.softsign),
    "relu": lambda r: ({}, F.relu), "relu6": lambda r: ({}, F.relu6), "squared_relu": lambda r: ({}, lambda x: F.relu(x) ** 2),
    "leaky_relu": lambda r: (lambda s: ({"slope": s}, lambda x: F.leaky_relu(x, s)))(pick(r, 0.01, 0.2, -0.5)),
    "elu": lambda r: (lambda s: ({"alpha": s}, lambda x: F.elu(x, s)))(pick(r, 1.0, 0.3)),
    "celu": lambda r: (lambda s: ({"alpha": s}, lambda x: torch.where(x > 0, x, s * torch.expm1(x.clamp(max=0) / s))))(pick(r, 1.0, 0.3)), "selu": lambda r: ({}, F.selu),
    "gelu": lambda r: (lambda s: ({"approximate": s}, lambda x: F.gelu(x, approximate="tanh" if s else "none")))(pick(r, True, False)),
    "silu": lambda r: ({}, F.silu), "hard_silu": lambda r: ({}, lambda x: x * F.relu6(x + 3) / 6), "mish": lambda r: ({}, F.mish),
    "softplus": lambda r: ({}, lambda x: F.softplus(x, threshold=1000)), "exponential": lambda r: ({}, torch.exp),
    "soft_shrink": lambda r: (lambda s: ({"threshold": s}, lambda x: F.softshrink(x, s)))(pick(r, 0.5, 1.2)),
    "hard_shrink": lambda r: (lambda s: ({"threshold": s}, lambda x: F.hardshrink(x, s)))(pick(r, 0.5, 1.2)),
    "tanh_shrink": lambda r: ({}, F.tanhshrink), "softmax": lambda r: ({}, lambda x: x.softmax(-1)), "log_softmax": lambda r: ({}, lambda x: x.log_softmax(-1)),
}  # fmt: skip


@makes(*ACTIVATIONS)
def activation(rng: np.random.Generator, kind: str) -> Case:
    fields, f = ACTIVATIONS[kind](rng)
    shape = shape_of(rng, 1, 4)
    if is_big(rng):
        shape = (32, 32, 8)
    make = pick(rng, wide, rounded) if kind != "exponential" else None
    if rng.random() < 0.3:
        units = int(rng.integers(1, 6))
        return Case("dense", {"units": units, "activation": {kind: fields} if fields else kind}, [shape],
                    lambda x, p: f(x @ p("kernel", shape[-1], units) + p("bias", units)))
    return Case(kind, fields, [shape], lambda x, p: f(x), make=make)


@makes("prelu", "activation")
def prelu(rng: np.random.Generator, kind: str) -> Case:
    shape = shape_of(rng, 1, 4)
    fields: Any = {"alpha": 0.3} if kind == "prelu" else {"of": {"prelu": 0.1}}
    return Case(kind, fields, [shape], lambda x, p: cl(F.prelu(cf(x), p("alpha", shape[-1]))))
