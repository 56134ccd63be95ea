"""Windows copied into the rows of a matrix (im2col), a cache-sized chunk at a time.

Two layouts of the same columns. *Patches* hold one window after the other: the copy moves runs of the kernel's last
axis times the channels. *Planes* hold one element of all windows after the other: the copy moves runs of the output's
last axis, which are longer where channels are few. Either way every window is copied into a contiguous buffer and the
product reads it as a matrix of one row a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass

from .kernel import Arrays, Step, cut, flat
from .move import move
from .windows import Chunk, Windows, border

BYTES = 1 << 19  # of columns at a time: with the product's operands this stays in a second-level cache
LEAST = 256  # rows of a product: below it, packing the kernel costs more than multiplying


@dataclass(frozen=True)
class Piece:
    """One chunk: the steps that fill its columns, the matrix (windows, elements) of each group, the output's rows."""

    steps: list[Step]
    matrices: list[Array]
    rows: slice


@dataclass(frozen=True)
class Columns:
    """The columns of ``groups`` equal parts of the channels."""

    windows: Windows
    groups: int
    dtype: DType
    least: int = LEAST

    @property
    def depth(self) -> int:
        """Elements of a window in one group."""
        return prod(self.windows.size) * self.windows.channels // self.groups

    @property
    def planes(self) -> bool:
        run = self.windows.channels // self.groups
        if self.groups == 1 and self.windows.dilation[-1] == 1:
            run *= self.windows.size[-1]
        return run < self.windows.out[-1]

    @property
    def buffered(self) -> bool:
        """Whether the images are first copied, to add borders or to part their channels."""
        return self.windows.bordered or (self.planes and self.windows.channels > 1)

    @property
    def wanted(self) -> int:
        """Windows in a chunk."""
        return max(self.least, BYTES // (self.depth * self.groups * self.dtype.size))

    def workspace(self) -> list[TensorType]:
        w = self.windows
        images, lines = w.images(self.wanted), w.lines(self.wanted)
        columns = images * lines * prod(w.out[1:]) * self.depth * self.groups
        padded = images * prod(w.padded) * w.channels
        return [flat(columns, self.dtype), *([flat(padded, self.dtype)] if self.buffered else [])]

    def begin(self, workspace: Arrays) -> list[Step]:
        """Steps before the first piece: the borders, which the pieces leave as they are."""
        if not self.buffered:
            return []
        return border(self._buffer(workspace), self.windows.low, self.windows.high, 0.0, 2 if self.planes else 1)

    def pieces(self, x: Array, workspace: Arrays) -> Iterator[Piece]:
        """Every chunk of ``x`` in order; each one's columns are overwritten by the next."""
        for chunk in self.windows.chunks(self.wanted):
            steps: list[Step] = []
            source = x[chunk.images]
            if self.planes:
                source = np.moveaxis(source, -1, 0)
            if self.buffered:
                buffer = self._buffer(workspace)
                count = chunk.last - chunk.first
                buffer = buffer[:, :count] if self.planes else buffer[:count]
                where = ((slice(None),) * (2 if self.planes else 1)) + self.windows.inside
                if chunk.top == 0:
                    steps.append(move(buffer[where], source))
                source = buffer
            seen = self._seen(source, chunk)
            columns = cut(workspace[0], seen.shape)
            steps.append(move(columns, seen))
            matrices = columns.reshape(self.groups, self.depth, -1).transpose(0, 2, 1) if self.planes \
                else columns.reshape(self.groups, -1, self.depth)
            yield Piece(steps, list(matrices), self.windows.span(chunk))

    def _buffer(self, workspace: Arrays) -> Array:
        w = self.windows
        images = w.images(self.wanted)
        return cut(workspace[1], (w.channels, images, *w.padded) if self.planes else (images, *w.padded, w.channels))

    def _seen(self, source: Array, chunk: Chunk) -> Array:
        """The chunk's windows: (group, image, *place, *tap, channel), or (group, *tap, channel, image, *place)."""
        w, s = self.windows, source.strides
        image, channel = (s[1], s[0]) if self.planes else (s[0], s[-1])
        axes = s[2:] if self.planes else s[1:-1]
        share = w.channels // self.groups
        source = source[(slice(None),) * (2 if self.planes else 1) + (slice(chunk.top * w.stride[0], None),)]
        places = ((chunk.last - chunk.first, chunk.bottom - chunk.top, *w.out[1:]),
                  (image, *(a * n for a, n in zip(axes, w.stride, strict=True))))
        taps = ((*w.size, share), (*(a * n for a, n in zip(axes, w.dilation, strict=True)), channel))
        order = (taps, places) if self.planes else (places, taps)
        return as_strided(source, (self.groups, *order[0][0], *order[1][0]),
                          (share * channel, *order[0][1], *order[1][1]), writeable=False)
