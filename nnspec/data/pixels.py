"""Rows of images and masks that are read, and prepared, when a batch asks for them; what was decoded is kept within a budget."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.data.column import Array, Column
from nnspec.data.images import ImageArray, ImageFiles, Images, Joined
from nnspec.data.prefetch import go_on
from nnspec.data.prepare import Preparation

PIECE = 8  # rows decoded between looks at whether anybody still wants them


class Decoded(Images):
    """Images with the first rows that are decoded kept as bytes: as many rows, by number, as the budget holds."""

    def __init__(self, inside: Images, budget: int) -> None:
        self.inside, self.shape, self.dtype = inside, inside.shape, inside.dtype
        each = max(1, int(np.prod(inside.shape[1:])) * inside.dtype.itemsize)
        self.kept = np.empty((min(len(inside), max(0, budget) // each), *inside.shape[1:]), inside.dtype)  # pages come as rows do
        self.done = np.zeros(len(inside), bool)

    def read(self, rows: Sequence[int] | NDArray[np.intp], out: Array) -> None:
        numbers = np.asarray(rows, np.intp)
        known = self.done[numbers]
        out[known] = self.kept[numbers[known]]
        waiting = np.flatnonzero(~known)
        for start in range(0, len(waiting), PIECE):
            go_on()
            piece = waiting[start : start + PIECE]
            out[piece] = pixels = self.inside.take(numbers[piece])
            keep = numbers[piece] < len(self.kept)
            self.kept[numbers[piece][keep]] = pixels[keep]
            self.done[numbers[piece][keep]] = True


def in_memory(images: Images) -> bool:
    """Whether rows need no decoding."""
    return isinstance(images, ImageArray) or (isinstance(images, Joined) and all(map(in_memory, images.parts)))


class Pixels:
    """A split's rows of an image or mask column; it stands for an array: slices and lists of rows give prepared arrays.

    ``rows`` are their numbers in the source. Images are 0 to 1 before their preparation. ``moved`` says that
    augmentation changes them; slices are as the data has them.
    """

    def __init__(
        self, source: Images, rows: NDArray[np.intp], column: Column, preparation: Preparation, dtype: np.dtype[Any], moved: bool = False
    ) -> None:
        self.source, self.rows, self.column, self.preparation, self.moved = source, rows, column, preparation, moved
        self.shape, self.dtype, self.ndim = (len(rows), *column.shape), dtype, 1 + len(column.shape)
        self._table: Array | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: slice | NDArray[np.intp]) -> Array:
        return self.prepared(self.raw(key))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype)

    def raw(self, key: slice | NDArray[np.intp]) -> Array:
        """Rows as the source has them: bytes, or numbers of its own unit."""
        return self.source.take(self.rows[key])

    def values(self, x: Array) -> Array:
        """Bytes of an image as 0 to 1; all else as it is."""
        return BYTES.astype(self.dtype)[x] if x.dtype == np.uint8 and self.dtype.kind == "f" else x

    def prepared(self, x: Array) -> Array:
        """From what ``raw`` or ``values`` gave to what the network sees."""
        name = self.column.name
        if self.dtype.kind != "f":
            return x.astype(self.dtype, copy=False)
        if x.dtype != np.uint8:
            return self.preparation.apply(name, x).astype(self.dtype, copy=False)
        table = self._table
        if table is None:
            table = self._table = self._bytes()
        if table.ndim == 1:
            return table[x]
        out = np.empty(x.shape, self.dtype)
        for channel in range(x.shape[-1]):
            out[..., channel] = table[:, channel][x[..., channel]]
        return out

    def _bytes(self) -> Array:
        """What each byte becomes, for every channel where they differ."""
        if not self.preparation.steps.get(self.column.name):
            return BYTES.astype(self.dtype)
        channels = self.column.shape[-1]
        table = self.preparation.apply(self.column.name, np.repeat(BYTES[:, None], channels, axis=1))
        return np.ascontiguousarray(table[:, 0] if channels == 1 else table, self.dtype)

    def digest(self) -> bytes:
        """What tells these rows from others without decoding them: names and sizes of files, or the bytes in memory."""
        found = hashlib.sha256(repr([step.to_json() for step in self.preparation.steps.get(self.column.name, ())]).encode())
        if in_memory(self.source):
            for start in range(0, len(self), 1024):
                found.update(self.raw(slice(start, start + 1024)).tobytes())
        else:
            for path in _files(self.source, self.rows):
                found.update(os.fsencode(path.name) + f" {path.stat().st_size if path.exists() else -1} ".encode())
        return found.digest()


BYTES = np.arange(256) / 255.0


def _files(images: Images, rows: NDArray[np.intp]) -> list[Path]:
    """The files of rows, where there is one a row."""
    if isinstance(images, Decoded):
        return _files(images.inside, rows)
    if isinstance(images, ImageFiles):
        return [images.paths[row] for row in rows]
    if isinstance(images, Joined):
        starts = [0, *images.ends.tolist()]
        which = np.searchsorted(images.ends, rows, side="right")
        return [file for i, part in enumerate(images.parts) for file in _files(part, rows[which == i] - starts[i])]
    return []
