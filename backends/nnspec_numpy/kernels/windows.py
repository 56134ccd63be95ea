"""Sliding windows over a channels-last array: where they lie, how they are cut into chunks that fit the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from nnspec.ir.op import Array
from nnspec.ops.conv import Convolution, pads
from nnspec.ops.pool import Pool
from nnspec.records import dataclass

from .kernel import Step
from .move import fill

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Chunk:
    """Images ``first`` to ``last``, and of each the windows whose first spatial place is ``top`` to ``bottom``."""

    first: int
    last: int
    top: int
    bottom: int

    @property
    def images(self) -> slice:
        return slice(self.first, self.last)


@dataclass(frozen=True)
class Windows:
    """Windows of ``size`` over ``n`` images of ``spatial`` places and ``channels``; ``out`` of them along each axis."""

    n: int
    spatial: Ints
    channels: int
    size: Ints
    stride: Ints
    dilation: Ints
    low: Ints
    high: Ints
    out: Ints

    @property
    def padded(self) -> Ints:
        return tuple(a + n + b for a, n, b in zip(self.low, self.spatial, self.high, strict=True))

    @property
    def bordered(self) -> bool:
        return any(self.low) or any(self.high)

    @property
    def inside(self) -> tuple[slice, ...]:
        """Where the image lies in its padded self."""
        return tuple(slice(a, a + n) for a, n in zip(self.low, self.spatial, strict=True))

    @property
    def pointwise(self) -> bool:
        """Whether every window is one place and every place one window."""
        return not self.bordered and prod(self.size) == 1 and prod(self.stride) == 1

    def taps(self) -> Iterator[Ints]:
        return product(*map(range, self.size))

    def images(self, windows: int) -> int:
        """How many whole images make up about ``windows`` windows; at least one."""
        most = max(1, min(self.n, windows // prod(self.out)))
        return -(-self.n // -(-self.n // most))

    def lines(self, windows: int) -> int:
        """How many places of the first spatial axis make up about ``windows`` windows of one image; at least one."""
        most = max(1, min(self.out[0], windows // prod(self.out[1:])))
        return -(-self.out[0] // -(-self.out[0] // most))

    def chunks(self, windows: int) -> list[Chunk]:
        """All windows in row-major order, about ``windows`` at a time: whole images, or parts of one."""
        images, lines = self.images(windows), self.lines(windows)
        return [Chunk(i, min(i + images, self.n), j, min(j + lines, self.out[0]))
                for i in range(0, self.n, images) for j in range(0, self.out[0], lines)]

    def span(self, chunk: Chunk) -> slice:
        """The chunk's rows of the output seen as a matrix of one row a window."""
        line = prod(self.out[1:])
        start = (chunk.first * self.out[0] + chunk.top) * line
        return slice(start, start + (chunk.last - chunk.first) * (chunk.bottom - chunk.top) * line)


def of_convolution(op: Convolution, x: Ints, size: Ints, out: Ints) -> Windows:
    """The windows of a convolution from images ``x`` to images ``out``."""
    around = pads(op.padding, x[1:-1], size, op.stride, op.dilation)
    return Windows(x[0], x[1:-1], x[-1], size, op.stride, op.dilation,
                   tuple(a for a, _ in around), tuple(b for _, b in around), out[1:-1])


def of_pool(op: Pool, x: Ints, out: Ints) -> Windows:
    """The windows of a pool from images ``x`` to images ``out``."""
    ones = (1,) * len(op.size)
    around = pads(op.padding, x[1:-1], op.size, op.stride, ones)
    return Windows(x[0], x[1:-1], x[-1], op.size, op.stride, ones,
                   tuple(a for a, _ in around), tuple(b for _, b in around), out[1:-1])


def border(padded: Array, low: Sequence[int], high: Sequence[int], value: float, first: int = 1) -> list[Step]:
    """Steps that write ``value`` around the image in ``padded``, whose spatial axes start at ``first``."""
    steps: list[Step] = []
    middle = [slice(None)] * padded.ndim
    for axis, (a, b) in enumerate(zip(low, high, strict=True), first):
        n = padded.shape[axis]
        for start, stop in ((0, a), (n - b, n)):
            if stop > start:
                where = list(middle)
                where[axis] = slice(start, stop)
                steps.append(fill(padded[tuple(where)], value))
        middle[axis] = slice(a, n - b)
    return steps
