"""Convolutions and pooling of every size, stride, padding, dilation and number of groups."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.judged.cases import Case, Params, T, cf, cl, ints, is_big, makes, pick, rounded


def around(ends: list[tuple[int, int]]) -> list[int]:
    """Ends as F.pad wants them, for channels first."""
    return [v for low, high in reversed(ends) for v in (low, high)]


def same_ends(n: list[int], reach: list[int], stride: list[int]) -> list[tuple[int, int]]:
    out = []
    for length, r, s in zip(n, reach, stride, strict=True):
        total = max((math.ceil(length / s) - 1) * s + r - length, 0)
        out.append((total // 2, total - total // 2))
    return out


def windows(rng: np.random.Generator, axes: int, big: bool, pooling: bool = False) -> tuple[dict[str, Any], list[int], list[int], list[int], list[int], list[tuple[int, int]]]:
    """Fields of a window with lengths that fit, and its padding spelled out."""
    k, s = ints(rng, 1, 4 if axes < 3 else 3, axes), ints(rng, 1, 3, axes)
    d = [1] * axes if pooling or rng.random() < 0.5 else ints(rng, 1, 3, axes)
    if big:
        k, s, d = pick(rng, [3] * axes, [1] * axes, [5] * axes, [7] * axes), pick(rng, [1] * axes, [2] * axes), [1] * axes
    reach = [(a - 1) * b + 1 for a, b in zip(k, d, strict=True)]
    how = pick(rng, "valid", "same", "n", "list")
    most = min(k) - 1 if pooling else 3
    if how == "valid":
        written, ends = "valid", [(0, 0)] * axes
    elif how == "same":
        written, ends = "same", []
    elif how == "n":
        n = int(rng.integers(0, most + 1))
        written, ends = n, [(n, n)] * axes
    else:
        ends = [(int(rng.integers(0, (a - 1 if pooling else 3) + 1)), int(rng.integers(0, (a - 1 if pooling else 3) + 1))) for a in k]
        written = [v for e in ends for v in e]
    least = [max(1, r - sum(e)) if how != "same" else 1 for r, e in zip(reach, ends or [(0, 0)] * axes, strict=True)]
    n = [m + int(rng.integers(0, 6 if axes < 3 else 4)) for m in least]
    if big:
        n = [int(rng.integers(28, 36)) if axes == 2 else int(rng.integers(60, 130)) if axes == 1 else int(rng.integers(8, 12)) for _ in range(axes)]
    if how == "same":
        ends = same_ends(n, reach, s)
    name = "size" if pooling else "kernel"
    fields: dict[str, Any] = {name: k[0] if len(set(k)) == 1 and rng.random() < 0.5 else k, "stride": s, "padding": written}
    if not pooling and d != [1] * axes:
        fields["dilation"] = d
    return fields, n, k, s, d, ends


CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_T = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def out_in(k: T) -> T:
    """(k..., in, out) as PyTorch has it: (out, in, k...)."""
    return k.movedim((-1, -2), (0, 1)).contiguous()


@makes("conv1d", "conv2d", "conv3d")
def conv(rng: np.random.Generator, kind: str) -> Case:
    axes, big = int(kind[-2]), is_big(rng)
    fields, n, k, s, d, ends = windows(rng, axes, big)
    groups = pick(rng, 1, 1, 2, 3)
    cin, cout = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    if big:
        groups = pick(rng, 1, 1, 4, 64)
        cin, cout = pick(rng, 64, 3, 16), pick(rng, 64, 32)
        groups = groups if cin % groups == 0 and cout % groups == 0 else 1
    bias = bool(rng.random() < 0.7)
    fields |= {"filters": cout, "groups": groups, "bias": bias}

    def fn(x: T, p: Params) -> T:
        w = out_in(p("kernel", *k, cin // groups, cout))
        return cl(CONV[axes](F.pad(cf(x), around(ends)), w, p("bias", cout) if bias else None, stride=s, dilation=d, groups=groups))

    return Case(kind, fields, [(*n, cin)], fn)


@makes("depthwise_conv1d", "depthwise_conv2d", "depthwise_conv3d")
def depthwise(rng: np.random.Generator, kind: str) -> Case:
    axes, big = int(kind[-2]), is_big(rng)
    fields, n, k, s, d, ends = windows(rng, axes, big)
    cin, m = (64 if big and axes < 3 else int(rng.integers(1, 5))), int(rng.integers(1, 4))
    bias = bool(rng.random() < 0.7)
    fields |= {"multiplier": m, "bias": bias}

    def fn(x: T, p: Params) -> T:
        w = p("kernel", *k, cin, m).reshape(*k, 1, cin * m)
        return cl(CONV[axes](F.pad(cf(x), around(ends)), out_in(w), p("bias", cin * m) if bias else None, stride=s, dilation=d, groups=cin))

    return Case(kind, fields, [(*n, cin)], fn)


@makes("separable_conv1d", "separable_conv2d")
def separable(rng: np.random.Generator, kind: str) -> Case:
    axes, big = int(kind[-2]), is_big(rng)
    fields, n, k, s, d, ends = windows(rng, axes, big)
    cin, m, cout = (64 if big else int(rng.integers(1, 5))), int(rng.integers(1, 3)), int(rng.integers(1, 5))
    bias = bool(rng.random() < 0.7)
    fields |= {"multiplier": m, "bias": bias, "filters": cout}

    def fn(x: T, p: Params) -> T:
        w = p("depthwise_kernel", *k, cin, m).reshape(*k, 1, cin * m)
        y = CONV[axes](F.pad(cf(x), around(ends)), out_in(w), None, stride=s, dilation=d, groups=cin)
        return cl(CONV[axes](y, out_in(p("pointwise_kernel", *(1,) * axes, cin * m, cout)), p("bias", cout) if bias else None))

    return Case(kind, fields, [(*n, cin)], fn)


@makes("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed(rng: np.random.Generator, kind: str) -> Case:
    axes, big = int(kind[-2]), is_big(rng)
    k, s = ints(rng, 1, 4 if axes < 3 else 3, axes), ints(rng, 1, 4 if axes < 3 else 3, axes)
    d = [1] * axes if rng.random() < 0.5 else ints(rng, 1, 3, axes)
    n = ints(rng, 1, 6 if axes < 3 else 3, axes)
    groups = pick(rng, 1, 1, 2, 3)
    cin, cout = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    if big:
        k, s, d = pick(rng, [2] * axes, [3] * axes, [4] * axes), [2] * axes, [1] * axes
        n, groups, cin, cout = [8] * axes if axes == 3 else [16] * axes if axes == 2 else [50], 1, pick(rng, 64, 16), pick(rng, 32, 3)
    reach = [(a - 1) * b + 1 for a, b in zip(k, d, strict=True)]
    bias = bool(rng.random() < 0.7)
    fields: dict[str, Any] = {"kernel": k, "stride": s, "filters": cout, "groups": groups, "bias": bias}
    if d != [1] * axes:
        fields["dilation"] = d
    how = pick(rng, "valid", "same", "n", "list")
    full = [(a - 1) * b + r for a, b, r in zip(n, s, reach, strict=True)]
    extra = ints(rng, 0, 3, axes) if rng.random() < 0.5 else None
    extra = [min(e, b - 1) for e, b in zip(extra, s, strict=True)] if extra else None
    native: Any = None
    if how == "same":
        length = [a * b for a, b in zip(n, s, strict=True)]
        low = [max(f - m, 0) // 2 for f, m in zip(full, length, strict=True)]
        fields["padding"] = "same"
    elif how == "valid":
        length, low = [a * b + max(r - b, 0) for a, b, r in zip(n, s, reach, strict=True)], [0] * axes
        fields["padding"] = "valid"
    elif how == "n":
        q = int(rng.integers(0, 3))
        while any(f - 2 * q < 1 for f in full):
            q -= 1
        low, length = [q] * axes, [f - 2 * q + (extra[i] if extra else 0) for i, f in enumerate(full)]
        native = (q, extra or 0)
        fields |= {"padding": q} | ({"output_padding": extra} if extra else {})
    else:
        ends = [(int(rng.integers(0, 3)), int(rng.integers(0, 3))) for _ in range(axes)]
        ends = [e if f - sum(e) >= 1 else (0, 0) for e, f in zip(ends, full, strict=True)]
        low, length = [e[0] for e in ends], [f - sum(e) + (extra[i] if extra else 0) for i, (e, f) in enumerate(zip(ends, full, strict=True))]
        fields |= {"padding": [v for e in ends for v in e]} | ({"output_padding": extra} if extra else {})

    def fn(x: T, p: Params) -> T:
        w, b = out_in(p("kernel", *k, cout // groups, cin)), p("bias", cout) if bias else None
        if native is not None:
            return cl(CONV_T[axes](cf(x), w, b, stride=s, padding=native[0], output_padding=native[1], groups=groups, dilation=d))
        y = CONV_T[axes](cf(x), w, None, stride=s, groups=groups, dilation=d)
        y = cl(F.pad(y, around([(-a, m - (f - a)) for a, m, f in zip(low, length, full, strict=True)])))
        return y + b if b is not None else y

    return Case(kind, fields, [(*n, cin)], fn)


@makes("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")
def pool(rng: np.random.Generator, kind: str) -> Case:
    axes, big = int(kind[-2]), is_big(rng)
    fields, n, k, s, _, ends = windows(rng, axes, big, pooling=True)
    c = 64 if big and axes < 3 else int(rng.integers(1, 6))
    if rng.random() < 0.3 and fields["padding"] != "same":
        del fields["stride"]
        s = k
    if fields["padding"] == "same":
        ends = same_ends(n, k, s)
    highest = kind.startswith("max")

    def fn(x: T, p: Params) -> T:
        x = cf(x)
        if highest:
            return cl({1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[axes](F.pad(x, around(ends), value=-math.inf), k, s))
        ones = torch.ones(axes and (1, 1, *k), dtype=x.dtype)
        total = CONV[axes](F.pad(x, around(ends)), ones.expand(c, 1, *k), stride=s, groups=c)
        held = CONV[axes](F.pad(torch.ones_like(x[:1, :1]), around(ends)), ones, stride=s)
        return cl(total / held)

    return Case(kind, fields, [(*n, c)], fn, make=pick(rng, None, rounded) if highest else None)


@makes(*(f"global_{k}_pool{a}d" for k in ("avg", "max") for a in (1, 2, 3)))
def global_pool(rng: np.random.Generator, kind: str) -> Case:
    axes, keep = int(kind[-2]), bool(rng.random() < 0.5)
    shape = tuple(ints(rng, 1, 7 if axes < 3 else 4, axes)) + (int(rng.integers(1, 6)),)
    if is_big(rng):
        shape = (16,) * axes + (64 if axes < 3 else 4,)
    over = tuple(range(1, axes + 1))

    def fn(x: T, p: Params) -> T:
        return x.mean(over, keepdim=keep) if "avg" in kind else x.amax(over, keepdim=keep)

    return Case(kind, {"keep": keep}, [shape], fn, make=pick(rng, None, rounded) if "max" in kind else None)
