"""ONNX's resizing: every axis is linear in its places, by weights that are known as the graph is made. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce as fold
from math import floor, prod
from typing import Any

import numpy as np

from nnspec.interop.nodes.axes import taken
from nnspec.interop.nodes.node import Node, NotImportedError, Rule, bounded, fixed, sizes, within
from nnspec.ir.graph import Value, constant
from nnspec.ir.op import Array
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import movement, resample

MODES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize")
NEAREST: Mapping[str, Callable[[Any], Any]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5), "round_prefer_ceil": lambda x: np.floor(x + 0.5), "floor": np.floor, "ceil": np.ceil,
}  # fmt: skip
FEW = 4  # places that are read one by one; for more it is a product
MOST_WEIGHTS = 1 << 26
LONGEST = 1 << 20


@dataclass(frozen=True)
class Way:
    """How an axis is read: coordinates, weights, and what lies outside."""

    coordinates: str
    mode: str
    nearest: str
    sharpness: float
    inside: bool
    antialias: bool
    between: tuple[float, float]  # of the part that is cropped, from 0 to 1


def resized(n: Node) -> Value:
    """Places of some axes read by others. Raises NotImportedError for what is unknown."""
    x = n[0]
    shape, old = sizes(x), n.opset < 11
    axes = [within(a, x.rank) for a in n.attribute("axes", range(x.rank))]
    scales, lengths = asked(n, [shape[a] for a in axes], old)
    bounded(max(lengths), LONGEST)
    bounded(prod(d for i, d in enumerate(shape) if i not in axes) * prod(lengths))
    roi = [float(v) for v in n.static(1).reshape(-1)] if not old and n.has(1) and n.static(1).size else [0.0] * len(axes) + [1.0] * len(axes)
    mode = n.text("mode", "nearest", "linear", "bilinear", "cubic")
    coordinates = "asymmetric" if old else n.text("coordinate_transformation_mode", *MODES)
    extra = float(n.attribute("extrapolation_value", 0.0))
    nearest, sharpness = "floor" if old else n.text("nearest_mode", *NEAREST), float(n.attribute("cubic_coeff_a", -0.75))
    inside, antialias = (bool(n.attribute(k, 0)) for k in ("exclude_outside", "antialias"))
    for i, (a, scale, m) in enumerate(zip(axes, scales, lengths, strict=True)):
        way = Way(coordinates, mode.removeprefix("bi"), nearest, sharpness, inside, antialias, (roi[i], roi[len(axes) + i]))
        x = along(x, a, way, scale, m, extra)
    return x


def asked(n: Node, lengths: list[int], old: bool) -> tuple[list[float], list[int]]:
    """Scales and lengths of the axes."""
    given = n.static(1) if old and n.has(1) else n.attribute("scales") if old else n.static(2) if n.has(2) and n.static(2).size else None
    if given is not None:
        scales = [float(s) for s in np.asarray(given).reshape(-1)]
        if len(scales) != len(lengths) or min(scales) <= 0 or max(scales) > 1 << 20:
            raise NotImportedError(f"scales {scales} of {len(lengths)} axes")
        made = [floor(d * s) for d, s in zip(lengths, scales, strict=True)]
        return scales, made
    wanted = n.ints(3)
    if len(wanted) != len(lengths) or min(wanted) < 1 or max(wanted) > LONGEST:
        raise NotImportedError(f"lengths {wanted} of {len(lengths)} axes")
    policy = n.text("keep_aspect_ratio_policy", "stretch", "not_larger", "not_smaller")
    scales = [m / d for m, d in zip(wanted, lengths, strict=True)]
    if policy != "stretch":
        scale = min(scales) if policy == "not_larger" else max(scales)
        return [scale] * len(scales), [floor(d * scale + 0.5) for d in lengths]
    return scales, wanted


def places(way: Way, scale: float, n: int, m: int) -> Array:
    """Where each of m places lies among n."""
    o, long = np.arange(m, dtype=np.float64), n * scale  # before it is rounded down
    match way.coordinates:
        case "align_corners":
            return o * ((n - 1) / (long - 1)) if long > 1 else o * 0.0
        case "asymmetric":
            return o / scale
        case "tf_half_pixel_for_nn":
            return (o + 0.5) / scale
        case "tf_crop_and_resize":
            low, high = way.between
            return low * (n - 1) + o * ((high - low) * (n - 1) / (m - 1)) if m > 1 else np.full(m, 0.5 * (low + high) * (n - 1))
        case "pytorch_half_pixel" if m == 1:
            return o * 0.0
        case "half_pixel_symmetric":
            return n / 2 * (1 - m / long) + (o + 0.5) / scale - 0.5
    return (o + 0.5) / scale - 0.5


def kernel(way: Way, t: Array) -> Array:
    """The weight of a place at a distance: a triangle, or Keys' cubic."""
    t, a = np.abs(t), way.sharpness
    if way.mode == "linear":
        return np.asarray(np.clip(1 - t, 0, 1))
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.asarray(np.where(t <= 1, near, np.where(t < 2, far, 0.0)))


def reads(way: Way, x: Array, scale: float, n: int) -> tuple[Array, Array]:
    """For each place the places that it reads, and their weights."""
    if way.mode == "nearest":
        return NEAREST[way.nearest](x)[:, None].clip(0, n - 1).astype(np.int64), np.ones((len(x), 1))
    shrink = min(scale, 1.0) if way.antialias else 1.0
    start = floor(-(1 if way.mode == "linear" else 2) / shrink) + 1
    if max(len(x), 1) * (2 - 2 * start) > MOST_WEIGHTS:  # before any is made
        raise NotImportedError(f"{max(len(x), 1) * (2 - 2 * start):,} weights of an axis")
    ids = np.floor(x).astype(np.int64)[:, None] + np.arange(start, 2 - start)
    weights = kernel(way, (ids - x[:, None]) * shrink)
    if way.inside:
        weights = np.where((ids < 0) | (ids >= n), 0.0, weights)
    if way.inside or shrink < 1:
        weights = weights / weights.sum(1, keepdims=True)
    return ids.clip(0, n - 1), weights


def along(x: Value, axis: int, way: Way, scale: float, m: int, extra: float) -> Value:
    """One axis resized."""
    n = sizes(x)[axis]
    if n == m and scale == 1 and way.coordinates != "tf_crop_and_resize":
        return x
    where = places(way, scale, n, m)
    ids, weights = reads(way, where, scale, n)
    y = known_way(x, axis, ids, weights, scale, m)
    if y is None:
        y = by_weights(x, axis, ids, weights)
    if way.coordinates != "tf_crop_and_resize":
        return y
    outside = ((where < 0) | (where > n - 1)).reshape(-1, *(1,) * (x.rank - axis - 1))
    return e.where(fixed(outside, DType.bool), extra, y) if outside.any() else y


def known_way(x: Value, axis: int, ids: Array, weights: Array, scale: float, m: int) -> Value | None:
    """One of Resample's ways that reads the same; None where there is none."""
    n = sizes(x)[axis]
    if not x.dtype.is_float or weights.shape[1] > 2:
        return None
    step = Fraction(1 / scale).limit_denominator(4096)
    for rule in ("nearest",) if weights.shape[1] == 1 else ("linear", "corners"):
        for op in (resample.Resample(axis, rule, None, 0, m), resample.Resample(axis, rule, (step.numerator, step.denominator), 0, m)):
            first, second, share = op.reads(n, m)
            if np.allclose(dense(np.stack([first, second], 1), np.stack([1 - share, share], 1), n), dense(ids, weights, n), rtol=0, atol=1e-9):
                return op.one(x)
    return None


def dense(ids: Array, weights: Array, n: int) -> Array:
    """Weights as a matrix of all places."""
    if len(ids) * n > MOST_WEIGHTS:
        raise NotImportedError(f"{len(ids) * n:,} weights of an axis")
    y = np.zeros((len(ids), n))
    np.add.at(y, (np.arange(len(ids))[:, None], ids), weights)
    return y


def by_weights(x: Value, axis: int, ids: Array, weights: Array) -> Value:
    """Few places one by one, more of them as a product."""
    if weights.shape[1] == 1:
        return taken(x, axis, ids[:, 0])
    if not x.dtype.is_float:
        raise NotImportedError(f"means of {x.dtype}")
    if weights.shape[1] > FEW:
        turned = movement.moveaxis(x, axis, x.rank - 1) @ constant(dense(ids, weights, sizes(x)[axis]).T, x.dtype)
        return movement.moveaxis(turned, x.rank - 1, axis)
    column = [constant(w.reshape(-1, *(1,) * (x.rank - axis - 1)), x.dtype) for w in weights.T]
    return fold(Value.__add__, [taken(x, axis, places) * w for places, w in zip(ids.T, column, strict=True)])


RULES: Mapping[str, Rule] = {"Resize": resized, "Upsample": resized}
