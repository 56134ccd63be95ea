"""Convolutions by cuDNN; without it as products: windows as rows of a matrix, some images at a time, depthwise ones as kernels of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from math import prod
from os import environ
from typing import Any

import numpy as np

from nnspec.ir.graph import Graph, abstract
from nnspec.ir.program import Array, Copy, Step, row_major
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad, Convolution
from nnspec.ops.elementwise import Cast
from nnspec.ops.reduce import Sum
from nnspec_cupy.commands import Command, Convolve, Kernel, Launch, Product
from nnspec_cupy.cuda import columns, depthwise, reduce
from nnspec_cupy.cuda.flat import THREADS, blocks, flat, grid
from nnspec_cupy.products import by_algorithm

SWITCH = "NNSPEC_CUDNN"  # "none" leaves it out
EIGHT = 8  # numbers of 16 bits that tensor cores read at once
ROOM = 256 << 20  # bytes that the columns of so many images may take
Types = Sequence[TensorType]


@cache
def library() -> bool:
    """Whether cuDNN's frontend is there, and not switched off."""
    return find_spec("cudnn") is not None and environ.get(SWITCH) != "none"


def by_library(op: Convolution, x: Types, y: Types) -> bool:
    """Whether cuDNN takes a convolution of one to three axes: any in single precision, in 16 bits those of one group and eights of channels."""
    if not library() or len(op.stride) > 3:
        return False
    eights = op.groups == 1 and all(known(t.shape)[-1] % EIGHT == 0 for t in (*x, *y))
    return x[0].dtype == DType.float32 or x[0].dtype.half and eights


def _small(op: Convolution, kernel: tuple[int, ...]) -> bool:
    """Whether a group has one channel."""
    return kernel[-2] == 1 and op.groups > 1


def _plain(op: Convolution, size: tuple[int, ...]) -> bool:
    """Whether a window is one place: the image itself is the matrix."""
    none = op.padding == "same" or not any(map(any, op.padding))
    return prod(size) == 1 and prod(op.stride) == 1 and none and op.groups == 1


class Shapes:
    """What the three ops of a convolution have in common, from their types."""

    def __init__(self, op: Convolution, x: Types, y: Types) -> None:
        first, second, result = (known(t.shape) for t in (x[0], x[1], y[0]))
        if isinstance(op, ConvInputGrad):
            self.image, self.kernel, self.outer = result, second, first[1:-1]
        elif isinstance(op, ConvKernelGrad):
            self.image, self.kernel, self.outer = first, result, second[1:-1]
        else:
            self.image, self.kernel, self.outer = first, second, result[1:-1]
        self.size, self.groups = self.kernel[:-2], op.groups
        self.taps = prod(self.kernel[:-1])  # elements of a window's row
        self.filters = self.kernel[-1] // op.groups
        half = x[0].dtype.half
        self.sums = DType.float32 if half else x[0].dtype  # what is added up of several products or windows
        self.columns = self.sums if isinstance(op, ConvInputGrad) else x[0].dtype
        self.room = ROOM // max(1, op.groups * prod(self.outer) * self.taps * self.columns.size)
        self.several = half and isinstance(op, ConvKernelGrad) and self.image[0] > self.images  # products whose sum is rounded once

    @property
    def images(self) -> int:
        """How many images are taken at a time."""
        return max(1, min(self.image[0], self.room))


def workspace(op: Convolution, x: Types, y: Types) -> tuple[TensorType, ...]:
    """Columns of some images, and a kernel's gradient before it is rounded; of a depthwise kernel's what each block adds up."""
    s = Shapes(op, x, y)
    if by_library(op, x, y):
        return (TensorType((s.kernel[-1], *s.kernel[:-1]), x[0].dtype),)
    if _small(op, s.kernel):
        places = s.image[0] * prod(s.outer)
        return (TensorType((depthwise.parts(places), prod(s.kernel)), s.sums),) if isinstance(op, ConvKernelGrad) else ()
    if _plain(op, s.size):
        return ()
    matrix = TensorType((s.groups, s.images * prod(s.outer), s.taps), s.columns)
    return (matrix, TensorType(s.kernel, s.sums)) if s.several else (matrix,)


def commands(step: Step) -> tuple[Command, ...]:
    """The commands of any of the three."""
    op, x, to = step.call.op, [a.type for a in step.inputs], [a.type for a in step.outputs]
    assert isinstance(op, Convolution)
    s = Shapes(op, x, to)
    a, b, y = step.inputs[0], step.inputs[1], step.outputs[0]
    if by_library(op, x, to):
        return tuple(_by_library(op, s, a, b, y, step.workspace[0]))
    if _small(op, s.kernel):
        if isinstance(op, ConvKernelGrad):
            return _of_taps(op, s, a, b, y, step.workspace[0])
        kernel = depthwise.depthwise if isinstance(op, Conv) else depthwise.depthwise_input
        return (_launch(kernel(op, a, b, y, step.guarded), (a, b), y, op.reference, step.guard),)
    make: dict[type[Any], Callable[..., Iterator[Command]]] = {Conv: _forward, ConvInputGrad: _input_grad, ConvKernelGrad: _kernel_grad}
    return by_algorithm(step, make[type(op)](op, s, a, b, y, *step.workspace))


def choice(step: Step) -> str:
    """The way of a convolution."""
    op, x, y = step.call.op, [a.type for a in step.inputs], [a.type for a in step.outputs]
    assert isinstance(op, Convolution)
    s = Shapes(op, x, y)
    if by_library(op, x, y):
        return "cuDNN"
    if _small(op, s.kernel):
        return "taps: every channel by itself"
    pieces = -(-s.image[0] // s.images)
    way = "one product: a window is one place" if not step.workspace else f"columns and {pieces} product{'s' if pieces > 1 else ''}"
    return f"{op.way}: tuned; {way}" if op.way else way


def _by_library(op: Convolution, s: Shapes, a: Array, b: Array, y: Array, filters: Array) -> Iterator[Command]:
    """Filters first, and channels last in them: as cuDNN wants a kernel, and gives its gradient."""
    outer = (s.image[0], *s.outer, s.kernel[-1])
    shapes = (s.image, filters.shape, outer)
    if isinstance(op, ConvKernelGrad):
        yield Convolve(op, (a, b), filters, shapes)
        yield _copied(_turned(filters, 0, -1), y)
    else:
        yield _copied(_turned(b, -1, 0), filters)
        yield Convolve(op, (a, filters), y, shapes)


def _copied(a: Array, y: Array) -> Launch:
    value = abstract(a.type, "x0")
    body = Graph({"y": Copy().one(value) if a.type.dtype == y.type.dtype else Cast(y.type.dtype).one(value)})
    return Launch(flat(body, "copy", y.shape, (a,), (y,), False), grid(y.shape, (a,), (y,)), (THREADS, 1, 1), (a,), (y,), lambda x: x)


def _turned(a: Array, axis: int, to: int) -> Array:
    """An axis elsewhere."""
    order = list(range(len(a.shape)))
    order.insert(len(order) - 1 if to == -1 else to, order.pop(axis))
    return _seen(a, tuple(a.shape[i] for i in order), tuple(a.strides[i] for i in order))


def _forward(op: Conv, s: Shapes, x: Array, w: Array, y: Array, space: Array | None = None) -> Iterator[Command]:
    if space is None:
        yield Product(_rows(x), _matrix(w), _rows(y))
        return
    for first, n in _pieces(s):
        part, rows = _images(x, first, n), n * prod(s.outer)
        matrix = _shaped(space, (s.groups, rows, s.taps))
        yield _columns(op, s, part, matrix)
        yield Product(matrix, _weights(w, s), _grouped(_images(y, first, n), s))


def _input_grad(op: ConvInputGrad, s: Shapes, g: Array, w: Array, y: Array, space: Array | None = None) -> Iterator[Command]:
    if space is None:
        yield Product(_rows(g), _swapped(_matrix(w)), _rows(y))
        return
    for first, n in _pieces(s):
        matrix = _shaped(space, (s.groups, n * prod(s.outer), s.taps))
        yield Product(_grouped(_images(g, first, n), s), _swapped(_weights(w, s)), matrix)
        part = _images(y, first, n)
        yield _launch(columns.image(op, matrix, part, s.size, s.outer), (matrix,), part, _image(op, s, part.shape), None,
                      columns.together(op, part, matrix))


def _kernel_grad(
    op: ConvKernelGrad, s: Shapes, x: Array, g: Array, y: Array, space: Array | None = None, sums: Array | None = None
) -> Iterator[Command]:
    if space is None:
        yield Product(_swapped(_rows(x)), _rows(g), _matrix(y))
        return
    whole = y if sums is None else sums
    for first, n in _pieces(s):
        matrix = _shaped(space, (s.groups, n * prod(s.outer), s.taps))
        yield _columns(op, s, _images(x, first, n), matrix)
        yield Product(_swapped(matrix), _grouped(_images(g, first, n), s), _weights(whole, s), more=first > 0)
    if sums is not None:
        yield _copied(sums, y)


def _of_taps(op: ConvKernelGrad, s: Shapes, x: Array, g: Array, y: Array, space: Array) -> tuple[Command, ...]:
    """A depthwise kernel's gradient: what each block adds up of its places, and their sum."""
    filters, places, shared = s.kernel[-1], s.image[0] * prod(s.outer), depthwise.parts(s.image[0] * prod(s.outer))

    def meaning(a: Any, b: Any) -> Any:
        padded = np.repeat(np.pad(a, op.around(a.shape, s.size)), filters // s.groups, axis=-1)
        own = np.arange(places) // depthwise.LINES % shared
        each = [(padded[where] * b).reshape(places, filters) for _, where in op.taps(padded, s.size, s.outer)]
        return np.stack([np.stack([e[own == part].sum(0) for e in each]) for part in range(shared)])

    kernel = depthwise.depthwise_kernel(op, x, g, space, s.size)
    first = Launch(kernel, depthwise.kernel_blocks(s.size, filters, places), (THREADS, 1, 1), (x, g), (space,), meaning)
    total, flat_y = Sum((0,)), _shaped(y, (prod(s.kernel),))
    second = reduce.reduction(total, space, flat_y, False)
    return first, Launch(second, reduce.grid(total, space.shape), (THREADS, 1, 1), (space,), (flat_y,), total.reference)


def _pieces(s: Shapes) -> Iterator[tuple[int, int]]:
    for first in range(0, s.image[0], s.images):
        yield first, min(s.images, s.image[0] - first)


def _columns(op: Convolution, s: Shapes, x: Array, to: Array) -> Launch:
    def meaning(a: Any) -> Any:
        padded = np.pad(a, op.around(a.shape, s.size))
        found = np.stack([padded[where] for _, where in op.taps(padded, s.size, s.outer)], axis=-2)  # (n, *outer, taps, channels)
        parts = np.split(found, s.groups, axis=-1)
        return np.stack([p.reshape(to.shape[1:]) for p in parts])

    return _launch(columns.columns(op, x, to, s.size, s.outer), (x,), to, meaning, None, columns.together(op, x, to))


def _image(op: Convolution, s: Shapes, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    def meaning(a: Any) -> Any:
        around = op.around(shape, s.size)
        padded = np.zeros([n + low + high for n, (low, high) in zip(shape, around, strict=True)], a.dtype)
        channels = shape[-1] // s.groups
        taken = a.reshape(s.groups, shape[0], *s.outer, prod(s.size), channels)
        whole = np.concatenate(list(taken), axis=-1)  # (n, *outer, taps, all channels)
        for k, (_, where) in enumerate(op.taps(padded, s.size, s.outer)):
            padded[where] += whole[..., k, :]
        return padded[tuple(slice(low, low + n) for n, (low, _) in zip(shape, around, strict=True))]

    return meaning


def _launch(kernel: Kernel, reads: tuple[Array, ...], y: Array, meaning: Callable[..., Any], guard: Array | None, count: int = 1) -> Launch:
    """A thread for so many elements of ``y``."""
    return Launch(kernel, blocks(prod(y.shape) // count), (THREADS, 1, 1), reads, (y,), meaning, guard)


# Arrays seen otherwise: all lie without gaps

def _seen(a: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Array:
    return replace(a, type=TensorType(shape, a.type.dtype), strides=strides, offset=a.offset + offset * a.type.dtype.size)


def _shaped(a: Array, shape: tuple[int, ...]) -> Array:
    return _seen(a, shape, row_major(shape))


def _images(a: Array, first: int, n: int) -> Array:
    return _seen(a, (n, *a.shape[1:]), row_major(a.shape), first * prod(a.shape[1:]))


def _rows(a: Array) -> Array:
    return _shaped(a, (prod(a.shape[:-1]), a.shape[-1]))


def _matrix(w: Array) -> Array:
    return _shaped(w, (prod(w.shape[:-1]), w.shape[-1]))


def _swapped(a: Array) -> Array:
    *batch, m, n = a.shape
    *outer, s, t = a.strides
    return _seen(a, (*batch, n, m), (*outer, t, s))


def _weights(w: Array, s: Shapes) -> Array:
    """A kernel as a matrix a group: filters of a group stand side by side."""
    return _seen(w, (s.groups, s.taps, s.filters), (s.filters, s.groups * s.filters, 1))


def _grouped(y: Array, s: Shapes) -> Array:
    """Channels last, a group's side by side, as a matrix a group."""
    return _seen(y, (s.groups, prod(y.shape[:-1]), s.filters), (s.filters, y.shape[-1], 1))
