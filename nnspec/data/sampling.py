"""Images read at places between their pixels, as rotation and scaling do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
PIXELS = 1 << 13  # worked on at a time, so that they stay in the cache


def bilinear(x: Array, ys: Floats, xs: Floats) -> Array:
    """Images (n, h, w, c) at places ``ys``, ``xs`` (n, y, x) in pixels, (0, 0) the first one's centre; beyond the edge is 0."""
    out = np.empty((*ys.shape, x.shape[-1]), x.dtype)
    some = max(1, PIXELS // max(1, ys[0].size)) if len(x) else 1
    for start in range(0, len(x), some):
        part = slice(start, start + some)
        _bilinear(x[part], ys[part], xs[part], out[part])
    return out


def _bilinear(x: Array, ys: Floats, xs: Floats, out: Array) -> None:
    """A few of them: each row of ``pairs`` is a pixel and its right neighbour, in an image with an edge of 0."""
    n, h, w, c = x.shape
    padded = np.zeros((n, h + 2, w + 2, c), x.dtype)
    padded[:, 1:-1, 1:-1] = x
    flat = padded.reshape(-1, c)
    pairs = np.empty((len(flat), 2 * c), x.dtype)
    pairs[:, :c], pairs[:-1, c:], pairs[-1, c:] = flat, flat[1:], 0
    ys, xs = np.clip(ys, -1, h), np.clip(xs, -1, w)
    top, left = np.minimum(np.floor(ys), h - 1).astype(np.intp), np.minimum(np.floor(xs), w - 1).astype(np.intp)
    fy, fx = (ys - top).astype(x.dtype)[..., None], (xs - left).astype(x.dtype)[..., None]
    index = (np.arange(n) * (h + 2))[:, None, None] + top + 1
    index *= w + 2
    index += left + 1
    upper = pairs.take(index, axis=0)
    index += w + 2
    lower = pairs.take(index, axis=0)
    lower -= upper
    lower *= fy
    lower += upper
    np.subtract(lower[..., c:], lower[..., :c], out=out)
    out *= fx
    out += lower[..., :c]


def nearest(x: Array, ys: Floats, xs: Floats) -> Array:
    """Masks (n, h, w) at the pixels nearest to places, halves rounded up; beyond the edge is 0."""
    n, h, w = x.shape
    y, at = np.floor(ys + 0.5).astype(np.intp), np.floor(xs + 0.5).astype(np.intp)
    inside = (y >= 0) & (y < h) & (at >= 0) & (at < w)
    index = (np.arange(n) * h * w)[:, None, None] + np.clip(y, 0, h - 1) * w + np.clip(at, 0, w - 1)
    return np.asarray(np.where(inside, x.reshape(-1).take(index), x.dtype.type(0)))


def turned(shape: tuple[int, int], angle: Floats, factor: Floats) -> tuple[Floats, Floats]:
    """Where every pixel of an image comes from that is turned by ``angle`` (radians, counterclockwise as one sees it) and
    enlarged by ``factor`` about its centre, one of each for each of n images: ``ys``, ``xs`` (n, h, w)."""
    h, w = shape
    cy, cx = (h - 1) / 2, (w - 1) / 2
    y, x = (np.arange(h) - cy)[None, :, None], (np.arange(w) - cx)[None, None, :]
    cos, sin = (np.cos(angle) / factor)[:, None, None], (np.sin(angle) / factor)[:, None, None]
    return cy + cos * y + sin * x, cx + cos * x - sin * y
