"""Layers of several inputs: sums, products, joins."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.judged.cases import Case, Params, T, ints, makes, shape_of


def broadcastable(rng: np.random.Generator, n: int) -> list[tuple[int, ...]]:
    whole = shape_of(rng, 1, 4)
    out = []
    for i in range(n):
        start = 0 if i == 0 else int(rng.integers(0, len(whole)))
        out.append(tuple(d if i == 0 or rng.random() < 0.7 else 1 for d in whole[start:]))
    return [out[i] for i in rng.permutation(n)]


def padded(x: tuple[T, ...], unbatched: tuple[int, ...]) -> list[T]:
    """Axes aligned on the right, the batch apart."""
    rank = max(v.ndim - (i not in unbatched) for i, v in enumerate(x))
    return [v.reshape(v.shape[0], *(1,) * (rank + 1 - v.ndim), *v.shape[1:]) if i not in unbatched else v for i, v in enumerate(x)]


@makes("add", "subtract", "multiply", "maximum", "minimum", "average")
def merge(rng: np.random.Generator, kind: str) -> Case:
    n = 2 if kind == "subtract" else int(rng.integers(2, 5))
    shapes = broadcastable(rng, n)
    unbatched = (int(rng.integers(n)),) if rng.random() < 0.3 else ()

    def fn(*x: Any) -> T:
        v = padded(x[:-1], unbatched)
        y = v[0]
        for w in v[1:]:
            y = {"add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "maximum": torch.maximum, "minimum": torch.minimum, "average": torch.add}[kind](y, w)
        return y / n if kind == "average" else y

    return Case(kind, {}, shapes, fn, unbatched=unbatched)


@makes("concat", "stack")
def concat(rng: np.random.Generator, kind: str) -> Case:
    n, shape = int(rng.integers(2, 5)), shape_of(rng, 1, 4)
    rank = len(shape) + (kind == "stack")
    axis = int(rng.integers(-rank, rank))
    shapes = [shape] * n
    if kind == "concat":
        shapes = [tuple(int(rng.integers(1, 5)) if i == axis % rank else d for i, d in enumerate(shape)) for _ in range(n)]
    at = axis % rank + 1
    return Case(kind, {"axis": axis}, shapes, lambda *x: (torch.cat if kind == "concat" else torch.stack)(x[:-1], at))


@makes("matmul")
def matmul(rng: np.random.Generator, kind: str) -> Case:
    m, k, n = ints(rng, 1, 5, 3)
    flip = bool(rng.random() < 0.5)
    lead = shape_of(rng, 0, 2, 3)
    a, b = (*lead, m, k), (*(d if rng.random() < 0.7 else 1 for d in lead), *((n, k) if flip else (k, n)))
    unbatched: tuple[int, ...] = ()
    if rng.random() < 0.4:
        unbatched, b = (1,), b[-2:]
    if rng.random() < 0.2:
        b = b[-2:]

    def fn(x: T, y: T, p: Params) -> T:
        if not unbatched:
            x, y = padded((x, y), ())
        return x @ (y.transpose(-1, -2) if flip else y)

    return Case(kind, {"transpose": flip}, [a, b], fn, unbatched=unbatched)


@makes("dot")
def dot(rng: np.random.Generator, kind: str) -> Case:
    k, normal = int(rng.integers(1, 5)), bool(rng.random() < 0.5)
    shapes, axes = [], []
    for _ in range(2):
        rest = list(shape_of(rng, 0, 2, 4))
        at = int(rng.integers(0, len(rest) + 1))
        shapes.append((*rest[:at], k, *rest[at:]))
        axes.append(at - len(rest) - 1 if rng.random() < 0.5 else at)

    def fn(x: T, y: T, p: Params) -> T:
        v = [t.movedim(a % (t.ndim - 1) + 1, -1) for t, a in zip((x, y), axes, strict=True)]
        if normal:
            v = [F.normalize(t, dim=-1) for t in v]
        left, right = v[0].shape[1:-1], v[1].shape[1:-1]
        out = v[0].reshape(len(x), -1, k) @ v[1].reshape(len(x), -1, k).transpose(1, 2)
        return out.reshape(len(x), *((*left, *right) or (1,)))

    return Case(kind, {"axes": axes, "normalize": normal}, shapes, fn)


@makes("einsum")
def einsum(rng: np.random.Generator, kind: str) -> Case:
    lengths = dict(zip("abcdE", ints(rng, 1, 4, 5), strict=True))
    n = int(rng.integers(1, 4))
    terms = ["".join(rng.choice(list("abcdE"), int(rng.integers(1, 4)))) for _ in range(n)]
    seen = sorted(set("".join(terms)))
    out = "".join(rng.permutation([c for c in seen if rng.random() < 0.5]))
    unbatched = (n - 1,) if n > 1 and rng.random() < 0.4 else ()
    shapes = [tuple(lengths[c] for c in t) for t in terms]

    def fn(*x: Any) -> T:
        return torch.einsum(",".join(t if i in unbatched else "z" + t for i, t in enumerate(terms)) + "->z" + out, *x[:-1])

    return Case(kind, {"equation": ",".join(terms) + "->" + out}, shapes, fn, unbatched=unbatched)
