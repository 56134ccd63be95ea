"""Small pictures of arrays, as PNG files of our own making: what looks at a run needs no library for images."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.records import dataclass

LARGEST = 256  # points along a side; of more every second, third, ... is shown
COLOURS = (
    "#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#9d755d", "#72b7b2", "#eeca3b", "#ff9da6", "#7f7f7f",
    "#1f5a99", "#c4590a", "#2f7d32", "#a8323f", "#7d4a86", "#6b4a36", "#2f8f88", "#b89a12", "#d9667a", "#444444",
)  # fmt: skip


def colour(number: int) -> str:
    """A class's colour, ``#rrggbb``: the same in every picture; they repeat after 20."""
    return COLOURS[number % len(COLOURS)]


def rgb(number: int) -> tuple[int, int, int]:
    """The same as three numbers."""
    text = colour(number)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


@dataclass(frozen=True, eq=False)
class Picture:
    """Bytes of shape (height, width) for grey, or (height, width, 3)."""

    pixels: Array

    @property
    def png(self) -> bytes:
        """The PNG file."""
        return encode(self.pixels)

    def as_json(self) -> dict[str, Any]:
        return {"width": self.pixels.shape[1], "height": self.pixels.shape[0], "png": b64encode(self.png).decode()}


def encode(pixels: Array) -> bytes:
    """A PNG file of bytes (height, width) or (height, width, 3). Source: ISO/IEC 15948, filter 0, one IDAT."""
    height, width = pixels.shape[:2]
    lines = np.ascontiguousarray(pixels, np.uint8).reshape(height, -1)
    data = np.concatenate([np.zeros((height, 1), np.uint8), lines], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(data, 6)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def thinned(x: Array, most: int = LARGEST) -> Array:
    """Every n-th row and column, so that neither are more than ``most``."""
    return x[:: -(-x.shape[0] // most), :: -(-x.shape[1] // most)]


def as_bytes(x: Array, low: float, high: float) -> Array:
    """Numbers from ``low`` (black) to ``high`` (white); what is not finite is black."""
    x = np.asarray(x, np.float64)
    width = high - low
    with np.errstate(all="ignore"):
        shown = (x - low) / width if 0 < width < np.inf else np.full(x.shape, 0.5)
        return np.asarray(np.clip(np.nan_to_num(shown, nan=0.0, posinf=1.0, neginf=0.0) * 255 + 0.5, 0, 255), np.uint8)


def span(x: Array) -> tuple[float, float]:
    """The least and the largest finite number; 0 and 0 where there is none."""
    finite = np.asarray(x)[np.isfinite(x)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def grey(x: Array, low: float | None = None, high: float | None = None, most_points: int = LARGEST) -> Picture:
    """A matrix, by default over its own range."""
    x = thinned(x, most_points)
    least, most = span(x)
    return Picture(as_bytes(x, least if low is None else low, most if high is None else high))


def coloured(x: Array, low: float = 0.0, high: float = 1.0) -> Picture:
    """Three channels of one range."""
    return Picture(as_bytes(thinned(x), low, high))


def class_map(labels: Array) -> Picture:
    """Class numbers, each in its colour; those below 0 are black."""
    table = np.array([*(rgb(k) for k in range(len(COLOURS))), (0, 0, 0)], np.uint8)
    labels = thinned(np.asarray(labels, np.int64))
    return Picture(table[np.where(labels < 0, len(COLOURS), labels % len(COLOURS))])


def sheet(tiles: Array, columns: int, low: float, high: float, gap: int = 1) -> Picture:
    """Equal tiles (n, height, width) of one range, side by side in so many columns, with grey lines between."""
    n, height, width = tiles.shape
    rows = -(-n // columns)
    out = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), 64, np.uint8)
    for i, tile in enumerate(as_bytes(tiles, low, high)):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        out[top : top + height, left : left + width] = tile
    return Picture(out)
