"""Convolutions of few filters by compiled kernels that hold several places in a vector: first layers, and gradients in few channels."""

from __future__ import annotations

from functools import cache, partial
from math import prod

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass
from nnspec_numpy.llvm.library import library
from nnspec_numpy.llvm.packed import Packed, Packing
from nnspec_numpy.llvm.packed_pools import PackedPool

from . import direct
from .direct import Direct
from .kernel import Arrays, Step, cut, flat
from .move import fill
from .windows import Windows

MOST = 48  # numbers of a run that are one instruction after another
REGISTERS = {16: 30, 8: 14}  # by how many numbers one holds
TAPS = 16  # of a window of few channels, at most
HELD = 24  # sums at a time, at most
GAIN = 0.8  # vectors of filters alone are left where this costs at most this share of them


def cycles(p: Packing, lines: int) -> float:
    """Of a number of a run for a block of places and lines, as a processor with two units multiplies and one more that shuffles."""
    reads, used = p.reads
    sums = lines * p.vectors
    shuffles = lines * sum(len(u) for u in used)
    loads = lines * sum(1 if r.count == 1 else 2 for r in reads) + p.orders
    return max((sums + shuffles) / 3, sums / 2, loads / 2, 4.0) + 0.5


def registers(p: Packing, lines: int, held: int) -> int:
    """That a kernel of ``held`` sums wants."""
    return held + p.shuffles + (p.orders if p.lanes == 16 else 1) + 2


@cache
def forward(filters: int, step: int, numbers: int, lines: int, places: int, lanes: int) -> tuple[Packed, float] | None:
    """The kernel that takes the fewest cycles a line and number, and how many; None where there is none."""
    found = []
    for size in range(1, min(places, HELD * lanes // filters) + 1):
        p = Packing(filters, step, size, lanes)
        for at_a_time in range(1, min(lines, 4) + 1):
            held = p.vectors * at_a_time
            if held <= HELD and p.possible and registers(p, at_a_time, held) <= REGISTERS[lanes]:
                cost = -(-lines // at_a_time) * -(-places // size) * cycles(p, at_a_time)
                found.append((cost, held, Packed("packed", p, numbers, at_a_time)))
    if not found or numbers > MOST:
        return None
    cost, _, kernel = min(found, key=lambda f: f[:2])
    return kernel, cost


@cache
def gradient(filters: int, step: int, numbers: int, places: int, lanes: int) -> tuple[Packed, float] | None:
    """The same for the gradient in the kernel: cycles a line and all numbers of a run."""
    found = []
    for size in range(1, min(places, HELD * lanes // filters) + 1):
        p = Packing(filters, step, size, lanes)
        for at_a_time in (n for n in range(1, numbers + 1) if numbers % n == 0):
            held = p.orders * at_a_time
            if held > HELD or not p.possible or registers(p, 1, held) + min(p.vectors, 4) > REGISTERS[lanes]:
                continue
            reads, used = p.reads
            sums = p.vectors * at_a_time
            shuffles = at_a_time * sum(len(u) for u in used)
            loads = at_a_time * sum(1 if r.count == 1 else 2 for r in reads) + 2 * p.vectors
            each = max((sums + shuffles) / 3, sums / 2, loads / 2, 4.0 * sums / held) + p.vectors
            found.append((-(-places // size) * numbers // at_a_time * each, held, Packed("packed_gradient", p, at_a_time)))
    if not found:
        return None
    cost, _, kernel = min(found, key=lambda f: f[:2])
    return kernel, cost


@dataclass(frozen=True)
class Few:
    """A convolution of few filters."""

    windows: Windows
    filters: int

    @property
    def whole(self) -> Direct:
        return Direct(self.windows, 1, self.filters)

    def kernel(self, kind: str) -> Packed | None:
        """The compiled kernel; None where whole vectors of filters do as well."""
        w, f, lanes = self.windows, self.filters, direct.lanes()
        if not direct.possible(w, DType.float32) or f > 2 * lanes or f % lanes == 0 or w.pointwise:
            return None
        two = direct.plane(w)
        numbers = two.channels * (two.size[1] if two.dilation[1] == 1 else 1)
        step = two.stride[1] * two.channels
        if kind == "forward":
            found = forward(f, step, numbers, *two.out, lanes)
            shape = direct.block("forward", two.out[1], f, lanes, two.size[0] * two.size[1] * two.channels)
            each = max(shape.rows * shape.vectors / 2, (shape.rows + shape.vectors) / 2, 4.0) + 0.5
            usual = two.out[0] * -(-two.out[1] // shape.rows) * -(-f // (lanes * shape.vectors)) * each
        else:
            found = gradient(f, step, numbers, two.out[1], lanes)
            shape = direct.block("kernel_gradient", numbers, f, lanes)
            each = max(shape.rows * shape.vectors / 2, (shape.rows + shape.vectors) / 2, 4.0) + 0.5
            usual = -(-numbers // shape.rows) * -(-f // (lanes * shape.vectors)) * (two.out[1] * each + 2 * shape.rows * shape.vectors)
        return found[0] if found and found[1] < GAIN * usual else None

    def workspace(self, kind: str) -> tuple[TensorType, ...]:
        """For images with their border, and the kernel, or its gradient, in the orders of filters."""
        kernel = self.kernel(kind)
        assert kernel is not None
        width = kernel.packing.width if kind == "gradient" else kernel.packing.orders * kernel.packing.lanes
        return *self.whole.workspace(strips=False), flat(self.whole.depth * width, DType.float32)

    def steps(self, kernel: Packed, x: Array, y: Array, w: Array) -> Step:
        """One call for images with their border."""
        two = direct.plane(self.windows)
        height, width = two.padded if two.bordered else two.spatial
        line = width * two.channels
        runs, run, numbers = 1, 0, two.size[1] * two.channels
        if two.dilation[1] > 1:
            runs, run, numbers = two.size[1], two.dilation[1] * two.channels, two.channels
        kernels = library(kernel)
        assert kernels is not None
        y_image, y_line = self.filters * two.out[0] * two.out[1], self.filters * two.out[1]
        parts = () if kernel.kind == "packed" else (numbers // kernel.numbers,)
        arrays = (x, w, y) if kernel.kind == "packed" else (x, y, w)
        return kernels.bind(kernel.kind, *arrays, x.shape[0], *two.out, two.size[0], runs, *parts, height * line, two.stride[0] * line,
                            two.dilation[0] * line, run, y_image, y_line)


def convolve(d: Few, x: Array, w: Array, y: Array, space: Arrays) -> list[Step]:
    """Steps for ``y`` from a kernel (taps * channels, filters)."""
    kernel = d.kernel("forward")
    assert kernel is not None
    p = kernel.packing
    spread = cut(space[-1], (d.whole.depth, p.orders * p.lanes))
    order = np.arange(p.orders * p.lanes) % d.filters
    steps: list[Step] = [*d.whole.begin(space), partial(np.take, w, order, axis=1, out=spread, mode="clip")]
    for some, before, seen in d.whole.chunks(x, space):
        steps += [*before, d.steps(kernel, seen, y[some], spread)]
    return steps


def kernel_gradient(d: Few, x: Array, g: Array, w: Array, space: Arrays) -> list[Step]:
    """Steps for the gradient in a kernel (taps * channels, filters)."""
    kernel = d.kernel("gradient")
    assert kernel is not None
    sums = cut(space[-1], (d.whole.depth, kernel.packing.width // d.filters, d.filters))
    steps: list[Step] = [*d.whole.begin(space), fill(sums)]
    for some, before, seen in d.whole.chunks(x, space):
        steps += [*before, d.steps(kernel, seen, g[some], sums)]
    return [*steps, partial(np.add.reduce, sums, axis=1, out=w)]


def largest(w: Windows, *arrays: Array) -> Step | None:
    """The step of a pool of few channels without a border, over x, y and perhaps numbers of taps; None where whole vectors of channels do as well."""
    two, lanes = direct.plane(w), direct.lanes()
    if lanes < 8 or len(w.spatial) > 2 or w.bordered or w.channels >= lanes or prod(w.size) > TAPS:
        return None
    kind = "packed_largest" if len(arrays) == 2 else "packed_largest_where"
    return _pool(kind, two, _packing(two.out[1], w.channels, two.stride[1] * w.channels, w.channels), *arrays)


def largest_gradient(w: Windows, g: Array, numbers: Array, x: Array) -> Step | None:
    """The same for its gradient, where windows lie side by side and leave no place between or behind them."""
    two, lanes = direct.plane(w), direct.lanes()
    side_by_side = two.size == two.stride and two.spatial == tuple(n * s for n, s in zip(two.out, two.stride, strict=True))
    if lanes < 8 or len(w.spatial) > 2 or w.bordered or w.channels >= lanes or prod(w.size) > TAPS or not side_by_side:
        return None
    return _pool("packed_largest_gradient", two, _packing(two.out[1], two.size[1] * w.channels, w.channels, w.channels), g, numbers, x)


def _packing(places: int, filters: int, step: int, channels: int) -> Packing | None:
    """The one of the fewest vectors a line."""
    lanes = direct.lanes()
    every = [Packing(filters, step, n, lanes, channels) for n in range(1, min(places, 8 * lanes // filters) + 1)]
    found = [(-(-places // p.places) * p.vectors, p.vectors, p) for p in every if p.possible and p.vectors <= 8]
    return min(found, key=lambda f: f[:2])[-1] if found else None


def _pool(kind: str, two: Windows, p: Packing | None, *arrays: Array) -> Step | None:
    if p is None:
        return None
    kernels = library(PackedPool(kind, p, two.size[1], two.size[0]))
    assert kernels is not None
    (height, width), (lines, line), channels = two.spatial, two.out, two.channels
    row = width * channels
    return kernels.bind(kind, *arrays, two.n, lines, line, height * row, two.stride[0] * row, row, lines * line * channels, line * channels)
