"""Layers that move the places of an image, a sequence or a volume."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.judged.cases import Case, Params, T, cf, cl, ints, makes, pick
from tests.judged.windows import around


@makes("pad1d", "pad2d", "pad3d")
def pad(rng: np.random.Generator, kind: str) -> Case:
    axes, mode = int(kind[-2]), pick(rng, "constant", "reflect", "edge")
    n = ints(rng, 1, 7 if axes < 3 else 4, axes)
    most = [a - 1 if mode == "reflect" else 4 for a in n]
    if rng.random() < 0.3:
        q = int(rng.integers(0, min(most) + 1))
        ends, written = [(q, q)] * axes, q
    else:
        ends = [(int(rng.integers(0, m + 1)), int(rng.integers(0, m + 1))) for m in most]
        written = [v for e in ends for v in e]

    def fn(x: T, p: Params) -> T:
        return cl(F.pad(cf(x), around(ends), mode={"constant": "constant", "reflect": "reflect", "edge": "replicate"}[mode]))

    return Case(kind, {"size": written, "mode": mode}, [(*n, int(rng.integers(1, 4)))], fn)


@makes("crop1d", "crop2d", "crop3d")
def crop(rng: np.random.Generator, kind: str) -> Case:
    axes = int(kind[-2])
    ends = [(int(rng.integers(0, 3)), int(rng.integers(0, 3))) for _ in range(axes)]
    n = [sum(e) + int(rng.integers(1, 5)) for e in ends]

    def fn(x: T, p: Params) -> T:
        return cl(F.pad(cf(x), around([(-a, -b) for a, b in ends])))

    return Case(kind, {"size": [v for e in ends for v in e]}, [(*n, int(rng.integers(1, 4)))], fn)


@makes("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive(rng: np.random.Generator, kind: str) -> Case:
    axes = int(kind[-2])
    n, size = (ints(rng, 1, 8 if axes < 3 else 5, axes) for _ in range(2))

    def fn(x: T, p: Params) -> T:
        return cl(getattr(F, f"adaptive_avg_pool{axes}d")(cf(x), size))

    return Case(kind, {"size": size}, [(*n, int(rng.integers(1, 4)))], fn)


LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


@makes("upsample1d", "upsample2d", "upsample3d")
def upsample(rng: np.random.Generator, kind: str) -> Case:
    axes, method = int(kind[-2]), pick(rng, "nearest", "linear")
    f = ints(rng, 1, 4 if axes < 3 else 3, axes)
    n = ints(rng, 1, 6 if axes < 3 else 3, axes)

    def fn(x: T, p: Params) -> T:
        if method == "nearest":
            for i, v in enumerate(f, 1):
                x = x.repeat_interleave(v, i)
            return x
        size = [a * b for a, b in zip(n, f, strict=True)]
        return cl(F.interpolate(cf(x), size=size, mode=LINEAR[axes], align_corners=False))

    return Case(kind, {"factor": f, "method": "nearest" if method == "nearest" else LINEAR[axes]}, [(*n, int(rng.integers(1, 4)))], fn)


@makes("resize1d", "resize2d", "resize3d", "resize")
def resize(rng: np.random.Generator, kind: str) -> Case:
    axes = int(kind[-2]) if kind != "resize" else int(rng.integers(1, 4))
    method = pick(rng, "nearest", LINEAR[axes] if kind != "resize" else "linear")
    align = "corners" if method != "nearest" and rng.random() < 0.5 else "centers"
    n, c = ints(rng, 1, 9 if axes < 3 else 4, axes), int(rng.integers(1, 4))
    fields: dict[str, Any] = {"method": method, "align": align}
    scale = None
    if rng.random() < 0.5:
        size = ints(rng, 1, 12 if axes < 3 else 6, axes)
        fields["size"] = size
    else:
        scale = [pick(rng, 1.5, 2.0, 2.5, 3.0, 1.25) if a < 4 else pick(rng, 0.5, 0.4, 0.75, 1.3, 2.0) for a in n]
        fields["scale"] = scale
        size = [math.floor(a * b + 1e-9) for a, b in zip(n, scale, strict=True)]

    def fn(x: T, p: Params) -> T:
        keys: dict[str, Any] = {"mode": "nearest"} if method == "nearest" else {"mode": LINEAR[axes], "align_corners": align == "corners"}
        if scale is None:
            return cl(F.interpolate(cf(x), size=size, **keys))
        if method == "nearest":  # PyTorch's forward of sequences and volumes contradicts its gradient where a length stays
            for i, (a, b, f) in enumerate(zip(n, size, scale, strict=True), 1):
                x = x if a == b else x.index_select(i, torch.arange(b).mul(1 / f).floor().long().clamp(max=a - 1))
            return x
        return cl(F.interpolate(cf(x), scale_factor=scale, recompute_scale_factor=False, **keys))

    return Case(kind, fields, [(*n, c)], fn)


@makes("pixel_shuffle", "pixel_unshuffle")
def shuffle(rng: np.random.Generator, kind: str) -> Case:
    r, h, w, c = ints(rng, 1, 4, 4)
    if kind == "pixel_shuffle":
        return Case(kind, {"factor": r}, [(h, w, c * r * r)], lambda x, p: cl(F.pixel_shuffle(cf(x), r)))
    return Case(kind, {"factor": r}, [(h * r, w * r, c)], lambda x, p: cl(F.pixel_unshuffle(cf(x), r)))


@makes("grid_sample")
def grid_sample(rng: np.random.Generator, kind: str) -> Case:
    method, padding, align = pick(rng, "bilinear", "nearest"), pick(rng, "zeros", "border"), pick(rng, "centers", "corners")
    h, w, c, h2, w2 = ints(rng, 1, 6, 5)

    def fn(x: T, g: T, p: Params) -> T:
        return cl(F.grid_sample(cf(x), g, mode=method, padding_mode=padding, align_corners=align == "corners"))

    return Case(kind, {"method": method, "padding": padding, "align": align}, [(h, w, c), (h2, w2, 2)], fn)
