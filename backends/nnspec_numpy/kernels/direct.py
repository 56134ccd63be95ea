"""Convolutions by compiled kernels that multiply where things lie, one or two axes, any stride, dilation, border and groups."""

from __future__ import annotations

from functools import cache
from math import prod

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass, replace
from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.llvm.direct import Block
from nnspec_numpy.llvm.library import Kernels, library

from .ending import Ending
from .kernel import Arrays, Step, cut, flat
from .move import move
from .windows import Windows, border

PLACES = 512  # of a line, where lines run on
BYTES = 1 << 19  # of images with their border at a time
STRIPPED = 512 << 10  # bytes of a kernel that is cut into strips, at least
CUT = 64 << 10  # bytes of a kernel that is kept in strips, at least
STRIP = 768 << 10  # bytes of the filters that are multiplied at a time, at most
SUMS = {16: 24, 8: 12}  # vectors of sums in registers, by how many numbers one holds
REGISTERS = {16: 32, 8: 16}  # of which sums, filters and the number that they are multiplied with take some


@cache
def block(kind: str, rows: int, filters: int, lanes: int, depth: int = 1, fixed: int = 0) -> Block:
    """Rows and vectors of filters at a time: those that take the fewest cycles, as a processor with two units multiplies and loads.

    ``depth`` numbers of every filter are read again for each block, and should stay in a second-level cache. Vectors may be ``fixed``.
    """
    vectors = -(-filters // lanes)
    most = max(1, min(4, vectors, STRIP // (depth * lanes * 4)))
    shapes = [(p, q) for q in ((fixed,) if fixed else range(1, most + 1)) for p in range(1, min(rows, SUMS[lanes] // q) + 1)
              if p == 1 or p * q + q < REGISTERS[lanes]]
    return Block(kind, *min(shapes, key=lambda shape: (_cycles(shape[0], shape[1], rows, vectors), -shape[0])))


def _cycles(p: int, q: int, rows: int, vectors: int) -> float:
    """Of all blocks of ``p`` rows and ``q`` vectors: products, loads, and the time until a sum can be added to again."""
    return -(-rows // p) * -(-vectors // q) * (max(p * q / 2, (p + q) / 2, 4.0) + 0.5)


def waste(shape: Block, rows: int, filters: int, lanes: int) -> float:
    """How many times as long it takes as in blocks that are full: of rows and filters that do not fill its own."""
    full = _cycles(3, SUMS[lanes] // 3, 3, SUMS[lanes] // 3) / SUMS[lanes]
    return _cycles(shape.rows, shape.vectors, rows, -(-filters // lanes)) / (rows * filters / lanes * full)


def strip(rows: int, filters: int, depth: int) -> int:
    """Filters that are multiplied at a time with so many rows, where all are some such strips; else 0."""
    width = block("forward", rows, filters, lanes(), depth).vectors * lanes()
    return width if filters > width and filters % width == 0 else 0


def lanes() -> int:
    """Numbers in a vector; 0 without llvmlite."""
    cpu = chosen()
    return 0 if cpu is None else cpu.width // 4


def possible(w: Windows, dtype: DType) -> bool:
    """Whether there is a compiled kernel here, for vectors that are long enough to beat a library's."""
    return dtype == DType.float32 and len(w.spatial) <= 2 and lanes() >= 8


def worth(w: Windows, filters: int, groups: int, dtype: DType, part: str) -> bool:
    """Whether the kernel fills most of its registers and lanes: columns are not made of much else."""
    if not possible(w, dtype) or w.pointwise and lanes() < 16:  # shorter vectors load too often for what they multiply
        return False
    share, numbers = filters // groups, w.size[-1] * w.channels if groups == 1 and w.dilation[-1] == 1 else w.channels // groups
    shape = block(part, numbers if part == "kernel" else w.out[-1], share, lanes())
    return shape.rows * shape.vectors >= 6 and (groups == 1 or 2 * share >= lanes())


def plane(w: Windows) -> Windows:
    """The same windows over two axes."""
    if len(w.spatial) == 2:
        return w
    one, none = (1,), (0,)
    return replace(w, spatial=one + w.spatial, size=one + w.size, stride=one + w.stride, dilation=one + w.dilation, low=none + w.low,
                   high=none + w.high, out=one + w.out)


@dataclass(frozen=True)
class Direct:
    """A convolution of ``groups`` equal parts of the channels."""

    windows: Windows
    groups: int
    filters: int

    @property
    def images(self) -> int:
        """Images at a time: all, or where they are copied to have a border, as many as fit the cache, or as are half a large kernel."""
        w = self.windows
        most = min(8 * BYTES, max(BYTES, 2 * self.depth * self.filters))
        return w.images(max(1, most // (4 * w.channels * prod(w.padded))) * prod(w.out)) if w.bordered else w.n

    def workspace(self, strips: bool = True) -> tuple[TensorType, ...]:
        """For images with their border, and the kernel in ``strips``."""
        w = self.windows
        around = (flat(self.images * prod(w.padded) * w.channels, DType.float32),) if w.bordered else ()
        return (*around, flat(self.depth * self.filters, DType.float32)) if strips and self.strips else around

    @property
    def depth(self) -> int:
        """Numbers that a filter has."""
        return prod(self.windows.size) * self.windows.channels // self.groups

    @property
    def kept(self) -> int:
        """How wide strips of a kernel are that are cut once and kept; 0 where rows lie side by side anyway, or the kernel is small."""
        w, filters = self.windows, self.filters
        if self.groups > 1 or 4 * self.depth * filters < CUT:
            return 0
        return strip(min(prod(w.out) if w.pointwise else w.out[-1], PLACES), filters, self.depth)

    @property
    def strips(self) -> int:
        """How wide the strips are into which a kernel is cut before; 0 where that does not pay. The rows of a large kernel lie a large power
        of two apart, so that a cache holds few of those that a block goes along."""
        w, filters = self.windows, self.filters
        if self.groups > 1 or 4 * self.depth * filters < STRIPPED or filters < 128 or w.n * prod(w.out) < PLACES:
            return 0
        places = prod(w.out) if w.pointwise else w.out[-1]
        width = block("forward", min(places, PLACES), filters, lanes(), self.depth).vectors * lanes()
        return width if filters % width == 0 else 0

    def begin(self, space: Arrays) -> list[Step]:
        """Steps before the first chunk: the borders, which chunks leave as they are."""
        w = self.windows
        return border(cut(space[0], (self.images, *w.padded, w.channels)), w.low, w.high, 0.0) if w.bordered else []

    def chunks(self, x: Array, space: Arrays) -> list[tuple[slice, list[Step], Array]]:
        """For every chunk its images, the steps that add the border, and the images with it."""
        w, found = self.windows, []
        for first in range(0, w.n, self.images):
            some = slice(first, min(first + self.images, w.n))
            seen, steps = x[some], list[Step]()
            if w.bordered:
                seen = cut(space[0], (self.images, *w.padded, w.channels))[: some.stop - some.start]
                steps = [move(seen[(slice(None), *w.inside)], x[some])]
            found.append((some, steps, seen))
        return found

    def call(self, kind: str, x: Array, g: Array, w: Array, group: int, ending: Ending | None = None) -> Step:
        """The step for one group; ``w`` and ``g`` are the group's own, (taps * channels, filters), or strips of it, and (…, filters)."""
        two, filters, share = plane(self.windows), g.shape[-1], self.windows.channels // self.groups
        height, width = two.padded if two.bordered else two.spatial
        images, lines, places = x.shape[0], *two.out
        line, channels = width * two.channels, two.channels
        runs, numbers, run = two.size[1], share, two.dilation[1] * channels
        if self.groups == 1 and two.dilation[1] == 1:
            runs, numbers, run = 1, two.size[1] * share, 0
        x_steps = (height * line, two.stride[0] * line, two.stride[1] * channels, two.dilation[0] * line, run)
        image, *rest = (n // 4 for n in g.strides[:-1])
        g_steps = (image, rest[0] if len(rest) == 2 else 0, rest[-1])
        pixel = rest[-1]
        if prod(two.size) == 1 and prod(two.stride) == 1 and not two.bordered and image == lines * places * pixel:
            rows = images * lines  # a gradient is added to the kernel once a line: long ones, of all images
            together = next(n for n in range(rows, 0, -1) if rows % n == 0 and (n * places <= PLACES or n == 1))
            images, lines, places = 1, rows // together, places * together
            x_steps, g_steps = (0, places * channels, *x_steps[2:]), (0, places * pixel, pixel)
        if kind == "forward":
            shape = block(kind, places, filters, lanes(), two.size[0] * runs * numbers, w.shape[-1] // lanes() if w.ndim == 3 else 0)
        else:
            shape = block(kind, numbers, filters, lanes())
        kernels: Kernels | None = library(replace(shape, epilogue=ending.epilogue) if ending else shape)
        assert kernels is not None
        arrays = (_from(x, group * share), w, g) if kind == "forward" else (_from(x, group * share), g, w)
        ends = (w.strides[0] // 4 if w.ndim == 3 else shape.vectors * lanes(),) if kind == "forward" else ()
        sizes = images, lines, places, filters, two.size[0], runs, numbers
        further = ending.arguments(g) if ending else ()
        return kernels.bind(kind, *arrays, *sizes, *x_steps, *g_steps, w.strides[-2] // 4, 0, *ends, *further)


def _from(x: Array, channel: int) -> Array:
    return x[..., channel:]


@dataclass(frozen=True)
class Strips:
    """A kernel cut into strips of ``width`` filters."""

    depth: int
    filters: int
    width: int

    def __str__(self) -> str:
        return f"strips of {self.width}"

    @property
    def type(self) -> TensorType:
        return TensorType((self.filters // self.width, self.depth, self.width), DType.float32)

    def fill(self, weight: Array, kept: Array) -> list[Step]:
        return [move(kept.transpose(1, 0, 2), weight.reshape(self.depth, -1, self.width))]


def convolve(d: Direct, x: Array, kernels: list[Array], y: Array, space: Arrays, ending: Ending | None = None) -> list[Step]:
    """Steps for ``y`` from the kernels of all groups, each (taps * channels, filters), or the one kernel in strips."""
    steps = d.begin(space)
    filters = y.shape[-1] // d.groups
    if (width := d.strips) and kernels[0].ndim == 2:
        strips = cut(space[-1], (filters // width, d.depth, width))
        steps.append(move(strips.transpose(1, 0, 2), kernels[0].reshape(d.depth, -1, width)))
        kernels = [strips]
    for some, before, seen in d.chunks(x, space):
        steps += before
        steps += [d.call("forward", seen, y[some][..., i * filters : (i + 1) * filters], w, i, ending) for i, w in enumerate(kernels)]
    return steps


def kernel_gradient(d: Direct, x: Array, g: Array, kernels: list[Array], space: Arrays) -> list[Step]:
    """Steps that add to the kernels of all groups, each (taps * channels, filters)."""
    steps = d.begin(space)
    filters = g.shape[-1] // d.groups
    for some, before, seen in d.chunks(x, space):
        steps += before
        steps += [d.call("kernel_gradient", seen, g[some][..., i * filters : (i + 1) * filters], w, i) for i, w in enumerate(kernels)]
    return steps


def products(kind: str, x: Array, g: Array, w: Array) -> Step:
    """Of matrices, (n, rows, channels), (n, rows, filters) and (n, channels, filters): ``g = x @ w``, or ``w += x.T @ g``.

    ``w`` may be in strips, (strips, n, channels, filters of one).
    """
    (n, rows, channels), filters = x.shape, g.shape[-1]
    fixed = w.shape[-1] // lanes() if w.ndim == 4 else 0
    shape = block(kind, rows, filters, lanes(), channels, fixed) if kind == "forward" else block(kind, channels, filters, lanes())
    kernels = library(shape)
    assert kernels is not None
    pitch, image, ends = filters, channels * filters, (shape.vectors * lanes(),) if kind == "forward" else ()
    if fixed:
        pitch, image, ends = w.shape[-1], w.strides[1] // 4, (w.strides[0] // 4,)
    sizes = n, 1, rows, filters, 1, 1, channels
    steps = rows * channels, 0, channels, 0, 0, rows * filters, 0, filters, pitch, image
    return kernels.bind(kind, *((x, w, g) if kind == "forward" else (x, g, w)), *sizes, *steps, *ends)
