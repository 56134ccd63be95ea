"""Layers that move, choose and reduce, and formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.judged.cases import Case, Params, T, ints, is_big, makes, pick, rounded, shape_of
from tests.judged.joined import broadcastable, padded


@makes("flatten", "reshape", "permute", "transpose", "squeeze", "unsqueeze", "stop_gradient", "cast")
def movement(rng: np.random.Generator, kind: str) -> Case:
    shape = shape_of(rng, 2 if kind == "transpose" else 1, 4)
    n = len(shape)
    if kind == "flatten":
        return Case(kind, {}, [shape], lambda x, p: x.flatten(1))
    if kind == "reshape":
        new = [*(int(v) for v in rng.permutation(shape)), 1][:: pick(rng, 1, -1)]
        written = [-1 if i == 0 and rng.random() < 0.5 else v for i, v in enumerate(new)]
        return Case(kind, {"shape": written}, [shape], lambda x, p: x.reshape(-1, *new))
    if kind == "permute":
        order = [int(v) for v in rng.permutation(n)]
        return Case(kind, {"axes": order}, [shape], lambda x, p: x.permute(0, *(a + 1 for a in order)))
    if kind == "transpose":
        a, b = (int(v) for v in rng.choice(n, 2, replace=False))
        written = [a - n if rng.random() < 0.5 else a, b - n if rng.random() < 0.5 else b]
        return Case(kind, {"axes": written}, [shape], lambda x, p: x.transpose(a + 1, b + 1))
    if kind == "squeeze":
        at = int(rng.integers(0, n + 1))
        shape = (*shape[:at], 1, *shape[at:])
        if rng.random() < 0.5:
            return Case(kind, {"axes": at if rng.random() < 0.5 else at - n - 1}, [shape], lambda x, p: x.squeeze(at + 1))
        return Case(kind, {}, [shape], lambda x, p: x.reshape(len(x), *(d for d in shape if d != 1)))
    if kind == "unsqueeze":
        k = int(rng.integers(1, 3))
        at = sorted(int(v) for v in rng.choice(n + k, k, replace=False))
        new = list(shape)
        for a in at:
            new.insert(a, 1)
        return Case(kind, {"axes": [a if rng.random() < 0.5 else a - n - k for a in at]}, [shape], lambda x, p: x.reshape(-1, *new))
    if kind == "stop_gradient":
        return Case(kind, {}, [shape], lambda x, p: x.detach())
    return Case(kind, {"dtype": "float32"}, [shape], lambda x, p: x.double())


@makes("slice")
def slice_(rng: np.random.Generator, kind: str) -> Case:
    shape = shape_of(rng, 1, 4, 7)
    axes = [int(a) for a in rng.choice(len(shape), int(rng.integers(1, len(shape) + 1)), replace=False)]
    cut, start, stop, step = [slice(None)] * (len(shape) + 1), [], [], []
    for a in axes:
        n = shape[a]
        first = int(rng.integers(0, n))
        last = int(rng.integers(first + 1, n + 1))
        s = int(rng.integers(1, 4))
        cut[a + 1] = slice(first, last, s)
        start.append(first - n if rng.random() < 0.4 else first)
        stop.append(None if last == n and rng.random() < 0.5 else last - n if last < n and rng.random() < 0.4 else last)
        step.append(s)
    return Case(kind, {"start": start, "stop": stop, "step": step, "axes": [a - len(shape) if rng.random() < 0.3 else a for a in axes]}, [shape],
                lambda x, p: x[tuple(cut)])


@makes("split")
def split(rng: np.random.Generator, kind: str) -> Case:
    shape = list(shape_of(rng, 1, 4))
    axis = int(rng.integers(0, len(shape)))
    if rng.random() < 0.5:
        parts, each = ints(rng, 1, 4, 2)
        shape[axis], sizes, fields = parts * each, [each] * parts, {"parts": parts}
    else:
        sizes = ints(rng, 1, 4, int(rng.integers(1, 4)))
        shape[axis], fields = sum(sizes), {"sizes": sizes}
    i = int(rng.integers(0, len(sizes)))
    return Case(kind, fields | {"axis": axis - len(shape) if rng.random() < 0.5 else axis}, [tuple(shape)],
                lambda x, p: torch.split(x, sizes, axis + 1)[i], output=f"y.{i}")


@makes("reduce_sum", "reduce_mean", "reduce_max", "reduce_min")
def reduction(rng: np.random.Generator, kind: str) -> Case:
    shape, keep = shape_of(rng, 1, 4, 6), bool(rng.random() < 0.5)
    if is_big(rng):
        shape = (32, 32, 64)
    axes = [int(a) for a in rng.choice(len(shape), int(rng.integers(1, len(shape) + 1)), replace=False)]
    fields: dict[str, Any] = {"keep": keep, "axes": [a - len(shape) if rng.random() < 0.3 else a for a in axes]}
    if rng.random() < 0.2:
        axes = list(range(len(shape)))
        del fields["axes"]
    elif len(axes) == 1 and rng.random() < 0.5:
        fields["axes"] = fields["axes"][0]
    f = {"reduce_sum": torch.sum, "reduce_mean": torch.mean, "reduce_max": torch.amax, "reduce_min": torch.amin}[kind]
    return Case(kind, fields, [shape], lambda x, p: f(x, tuple(a + 1 for a in axes), keepdim=keep), make=pick(rng, None, rounded))


@makes("top_k")
def top_k(rng: np.random.Generator, kind: str) -> Case:
    shape = (*shape_of(rng, 0, 3), int(rng.integers(1, 9)))
    k = int(rng.integers(1, shape[-1] + 1))
    what = pick(rng, "values", "indices", "")
    if what == "indices":
        return Case(kind, {"k": k}, [shape], lambda x, p: x.topk(k).indices.double() + x.sum() * 0, output="y.indices")
    return Case(kind, {"k": k}, [shape], lambda x, p: x.topk(k).values, output=f"y.{what}".rstrip("."))


@makes("one_hot")
def one_hot(rng: np.random.Generator, kind: str) -> Case:
    n, shape = int(rng.integers(1, 6)), pick(rng, (), (3,), (2, 4))
    return Case(kind, {"classes": n}, [shape], lambda x, p: F.one_hot(x, n).double(), ids={0: n}, differentiable=False)


@makes("gather")
def gather(rng: np.random.Generator, kind: str) -> Case:
    shape = shape_of(rng, 1, 4)
    axis = int(rng.integers(0, len(shape)))
    n, written = shape[axis], axis - len(shape) if rng.random() < 0.4 else axis
    how = pick(rng, "one", "list", "table", "input")
    if how == "input":
        own = pick(rng, (), (3,), (2, 2))

        def fn(x: T, i: T, p: Params) -> T:
            return torch.stack([x[r].index_select(axis, i[r].reshape(-1)).reshape((*shape[:axis], *own, *shape[axis + 1 :])) for r in range(len(x))])

        return Case(kind, {"axis": written}, [shape, own], fn, ids={1: n})
    ids = rng.integers(-n, n, {"one": (), "list": (3,), "table": (2, 3)}[how])
    index = torch.tensor(ids % n).reshape(-1)
    return Case(kind, {"axis": written, "indices": ids.tolist()}, [shape],
                lambda x, p: x.index_select(axis + 1, index).reshape(-1, *shape[:axis], *ids.shape, *shape[axis + 1 :]))


@makes("where")
def where(rng: np.random.Generator, kind: str) -> Case:
    shapes = broadcastable(rng, 3)
    if rng.random() < 0.5:
        def fn(c: T, a: T, b: T, p: Params) -> T:
            c, a, b = padded((c, a, b), ())
            return torch.where(c > 0, a, b)

        return Case(kind, {}, shapes, fn, bools=(0,))

    def of_numbers(c: T, a: T, b: T, p: Params) -> T:
        c, a, b = padded((c, a, b), ())
        return torch.where(c != 0, a, b)

    return Case(kind, {}, shapes, of_numbers, ids={0: 3})


@makes("parameter", "constant")
def source(rng: np.random.Generator, kind: str) -> Case:
    shape = shape_of(rng, 1, 3)
    if kind == "parameter":
        return Case(kind, {"shape": list(shape)}, [], lambda p: p("value", *shape))
    value = rng.standard_normal(shape)
    return Case(kind, {"value": value.tolist()}, [], lambda p: torch.tensor(value))


FORMULAS: list[tuple[str, Callable[..., T]]] = [
    ("x * sigmoid(1.5 * x) + a", lambda x, a: x * torch.sigmoid(1.5 * x) + a),
    ("mean(log(cosh(x - a)), axis=-1)", lambda x, a: torch.log(torch.cosh(x - a)).mean(-1)),
    ("sum((x - a) ** 2, axis=0, keep=true) / (1 + exp(-a))", lambda x, a: ((x - a) ** 2).sum(1, keepdim=True) / (1 + torch.exp(-a))),
    ("where(x > a, sin(x), cos(a)) - erf(x * a)", lambda x, a: torch.where(x > a, torch.sin(x), torch.cos(a)) - torch.erf(x * a)),
    ("maximum(x, a, 0.1) ** 0.5 + abs(x) * sign(a)", lambda x, a: torch.maximum(torch.maximum(x, a), torch.tensor(0.1, dtype=x.dtype)) ** 0.5 + x.abs() * torch.sign(a)),
    ("sqrt(x * x + 1) - max(a) + min(x, axis=-1, keep=true)", lambda x, a: torch.sqrt(x * x + 1) - a.amax(tuple(range(1, a.ndim))).reshape(-1, *(1,) * (a.ndim - 1)) + x.amin(-1, keepdim=True)),
    ("(x if x > 0 else a) + 2 ** x - (x > 0 and a > 0)", lambda x, a: torch.where(x > 0, x, a) + 2**x - ((x > 0) & (a > 0)).to(x.dtype)),
    ("exp(a) ** x + tanh(x)", lambda x, a: torch.exp(a) ** x + torch.tanh(x)),
    ("minimum(x, a) * x ** 3 - a ** -2", lambda x, a: torch.minimum(x, a) * x**3 - a**-2),
    ("x % 0.7 + a // 0.3", lambda x, a: torch.remainder(x, 0.7) + torch.floor_divide(a, 0.3).detach()),
]  # fmt: skip


@makes("math")
def formula(rng: np.random.Generator, kind: str) -> Case:
    text, f = FORMULAS[int(rng.integers(len(FORMULAS)))]
    shape = shape_of(rng, 1, 3)
    return Case(kind, {"formula": text}, [shape, shape], lambda x, a, p: f(x, a), roles=("x", "a"))
