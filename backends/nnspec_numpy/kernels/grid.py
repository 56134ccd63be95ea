"""Images parted so that every place of a window is one contiguous slice.

Padded images are parted by the stride's phases: a grid for each remainder, of which place ``q`` is place
``q * stride + phase`` of the padded image. What all windows see at one of their places is then a grid shifted by a
fixed number of elements, rows and images run on after each other, and a pass over a tap is one-dimensional arithmetic.
It also computes at the few places of a grid's row that no window starts from; these are left out at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass

from .kernel import Step, cut, flat
from .move import move
from .windows import Ints, Windows

BYTES = 1 << 19  # of grids at a time
PIECE = 16384  # elements of one pass: shorter ones cost more in calls than they save in cache


@dataclass(frozen=True)
class Tap:
    """A place of the window: which grid it reads, shifted by how many elements."""

    grid: int
    offset: int


@dataclass(frozen=True)
class Grid:
    """The grids of some windows, for as many images at a time as fit the cache."""

    windows: Windows
    dtype: DType
    planes: bool = False  # each channel's places after the other's, instead of each place's channels
    most: int = 1 << 30  # images at a time, at most

    @cached_property
    def stride(self) -> Ints:
        """The windows' stride; along an axis with one window it may be anything, and a long one wastes nothing."""
        w = self.windows
        return tuple((k - 1) * d + 1 if n == 1 else s
                     for n, s, k, d in zip(w.out, w.stride, w.size, w.dilation, strict=True))

    @cached_property
    def extent(self) -> Ints:
        """Places of a grid along each axis."""
        w = self.windows
        return tuple(n + (k - 1) * d // s for n, k, d, s in zip(w.out, w.size, w.dilation, self.stride, strict=True))

    @cached_property
    def pitch(self) -> int:
        """Elements of an image in a grid."""
        return prod(self.extent) * self.windows.channels

    @cached_property
    def phases(self) -> list[Ints]:
        """The remainder along each axis that belongs to each grid."""
        w = self.windows
        each = [sorted({t * d % s for t in range(k)}) for k, d, s in zip(w.size, w.dilation, self.stride, strict=True)]
        return list(product(*each))

    @cached_property
    def images(self) -> int:
        """Images at a time."""
        w = self.windows
        most = max(1, min(w.n, self.most, BYTES // (len(self.phases) * self.pitch * self.dtype.size)))
        return -(-w.n // -(-w.n // most))

    @cached_property
    def plain(self) -> bool:
        """Whether the one grid is the image as it is."""
        w = self.windows
        return prod(self.stride) == 1 and not w.bordered and self.extent == w.spatial and not self.planes

    @cached_property
    def tight(self) -> bool:
        """Whether every place of a grid's image is a window's start: nothing has to be left out."""
        return self.extent == self.windows.out

    @cached_property
    def taps(self) -> list[Tap]:
        w, found = self.windows, []
        where = {phase: i for i, phase in enumerate(self.phases)}
        for tap in w.taps():
            places = [t * d for t, d in zip(tap, w.dilation, strict=True)]
            phase = tuple(p % s for p, s in zip(places, self.stride, strict=True))
            shift = sum(p // s * prod(self.extent[i + 1 :])
                        for i, (p, s) in enumerate(zip(places, self.stride, strict=True)))
            found.append(Tap(where[phase], shift if self.planes else shift * w.channels))
        return found

    @cached_property
    def covers(self) -> bool:
        """Whether every place of the image lies in a grid."""
        seen = [0] * len(self.extent)
        for axis in range(len(seen)):
            for p in {phase[axis] for phase in self.phases}:
                here, _ = self._span(axis, p)
                seen[axis] += here.stop - here.start
        return tuple(seen) == self.windows.spatial

    def chunks(self) -> list[slice]:
        """The images in order, so many at a time."""
        n = self.windows.n
        return [slice(i, min(i + self.images, n)) for i in range(0, n, self.images)]

    def pieces(self, images: int, unit: int = 1) -> Iterator[slice]:
        """The elements of so many images that windows start from, in passes of a multiple of ``unit``."""
        stop = images * self.pitch - max(t.offset for t in self.taps)
        step = max(1, PIECE // unit) * unit
        for start in range(0, stop, step):
            yield slice(start, min(start + step, stop))

    def grids(self) -> list[TensorType]:
        """Memory for the grids of a chunk; none where the image is its own."""
        return [] if self.plain else [flat(len(self.phases) * self.images * self.pitch, self.dtype)]

    def starts(self, dtype: DType | None = None) -> list[TensorType]:
        """Memory for one value a window of a chunk, laid out as a grid; none where windows are the grid."""
        return [] if self.tight else [flat(self.images * self.pitch, dtype or self.dtype)]

    def of(self, space: Array) -> list[Array]:
        """Each grid's elements in the memory of ``grids``."""
        return list(space.reshape(len(self.phases), -1))

    def load(self, x: Array, images: slice, grids: list[Array]) -> list[Step]:
        """Steps that part images of ``x``; what lies around them stays."""
        steps = []
        for phase, grid in zip(self.phases, grids, strict=True):
            inside, places = self._where(phase, images)
            if inside is not None:
                steps.append(move(self._shaped(grid, images)[inside], x[places]))
        return steps

    def store(self, x: Array, images: slice, grids: list[Array]) -> list[Step]:
        """Steps that join images of ``x`` from their grids."""
        steps = []
        for phase, grid in zip(self.phases, grids, strict=True):
            inside, places = self._where(phase, images)
            if inside is not None:
                steps.append(move(x[places], self._shaped(grid, images)[inside]))
        return steps

    def valid(self, values: Array, images: slice) -> Array:
        """Of one value a place of a grid, those of windows: (images, *out, channels)."""
        return self._shaped(values, images)[(slice(None), *(slice(n) for n in self.windows.out))]

    def _shaped(self, grid: Array, images: slice) -> Array:
        count, channels = images.stop - images.start, self.windows.channels
        if self.planes:
            return np.moveaxis(cut(grid, (channels, count, *self.extent)), 0, -1)
        return cut(grid, (count, *self.extent, channels))

    def _span(self, axis: int, phase: int) -> tuple[slice, slice]:
        """Along an axis, the places of a grid that lie in the image, and where they lie there."""
        low, n, s = self.windows.low[axis], self.windows.spatial[axis], self.stride[axis]
        start = max(0, -((phase - low) // s))
        stop = max(start, min(self.extent[axis], (low + n - 1 - phase) // s + 1))
        first = start * s + phase - low
        return slice(start, stop), slice(first, first + (stop - start - 1) * s + 1 if stop > start else first, s)

    def _where(self, phase: Ints, images: slice) -> tuple[tuple[slice, ...] | None, tuple[slice, ...]]:
        spans = [self._span(axis, p) for axis, p in enumerate(phase)]
        places = (images, *(there for _, there in spans))
        if any(here.stop <= here.start for here, _ in spans):
            return None, places
        return (slice(None), *(here for here, _ in spans)), places

