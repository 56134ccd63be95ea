"""Images read at places between their pixels, as rotation and scaling do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]


def bilinear(x: Array, ys: Floats, xs: Floats) -> Array:
    """Images (n, h, w, c) at places ``ys``, ``xs`` (n, y, x) in pixels, (0, 0) the first one's centre; beyond the edge is 0."""
    n, h, w, c = x.shape
    flat, base = x.reshape(n * h * w, c), (np.arange(n) * h * w)[:, None, None]
    y0, x0 = np.floor(ys), np.floor(xs)
    fy, fx = (ys - y0).astype(x.dtype), (xs - x0).astype(x.dtype)
    top, left = y0.astype(np.intp), x0.astype(np.intp)
    out = np.zeros((*ys.shape, c), x.dtype)
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            y, at = top + dy, left + dx
            inside = (y >= 0) & (y < h) & (at >= 0) & (at < w)
            index = base + np.clip(y, 0, h - 1) * w + np.clip(at, 0, w - 1)
            out += flat.take(index, axis=0) * (wy * wx * inside)[..., None]
    return out


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
