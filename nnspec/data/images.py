"""Columns of pixels that stay where they are, in files or as bytes in memory, until a batch wants them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = Sequence[int] | NDArray[np.intp]


class Images(ABC):
    """A column of images, or of masks: ``shape`` is (rows, height, width, channels), of masks (rows, height, width).

    Pixels are ``uint8`` from 0 to 255; a network sees them divided by 255. A mask holds class numbers, ``uint8``, or
    ``uint16`` where there are more than 256 classes; a network sees int64. Which of the two it is says the column's
    dtype (float32, int64). ``read`` may be called by several threads at once.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def read(self, rows: Rows, out: Array) -> None:
        """Fills ``out`` (len(rows), *shape[1:]), of the column's dtype. Raises DataError for a file that is damaged."""

    def take(self, rows: Rows) -> Array:
        """These rows in an array of their own."""
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        self.read(rows, out)
        return out


class ImageFiles(Images):
    """A file a row; ``decode`` makes the row of a file."""

    def __init__(self, paths: Sequence[Path], shape: tuple[int, ...], decode: Callable[[Path], Array], dtype: np.dtype[Any]) -> None:
        self.paths, self.decode, self.dtype = paths, decode, dtype
        self.shape = (len(paths), *shape)

    def read(self, rows: Rows, out: Array) -> None:
        for i, row in enumerate(rows):
            out[i] = self.decode(self.paths[row])


class ImageArray(Images):
    """Rows that lie in memory as bytes."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype

    def read(self, rows: Rows, out: Array) -> None:
        np.take(self.array, np.asarray(rows, np.intp), axis=0, out=out, mode="clip")


class Joined(Images):
    """The rows of several columns one after another."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.shape, self.dtype = (int(self.ends[-1]), *parts[0].shape[1:]), parts[0].dtype

    def read(self, rows: Rows, out: Array) -> None:
        numbers = np.asarray(rows, np.intp)
        which = np.searchsorted(self.ends, numbers, side="right")
        for i, part in enumerate(self.parts):
            if (here := np.flatnonzero(which == i)).size:
                out[here] = part.take(numbers[here] - (self.ends[i] - len(part)))
