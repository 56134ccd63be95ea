"""A product as a library multiplies: matrices, or batches of them each a fixed step from the next; whatever else is asked is several of those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product as every
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen.views import Layout
from nnspec.ir.graph import Graph, Value, abstract, constant
from nnspec.ir.op import Op
from nnspec.ir.program import Array, Copy, Step
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import Add
from nnspec_cupy.commands import Command, Launch, Product, numbered
from nnspec_cupy.cuda.flat import THREADS, flat, grid

EPILOGUE = (DType.float32,)  # of which the library promises to add a bias


def product(step: Step) -> tuple[Command, ...]:
    """The commands of ``MatMul`` and ``Linear``."""
    a, b, *more = step.inputs
    return by_algorithm(step, products(a, b, step.outputs[0], more[0] if more else None, step.guard))


def by_algorithm(step: Step, commands: Iterable[Command]) -> tuple[Command, ...]:
    """The commands of a step, its products by the algorithm that a tune file says."""
    algorithm = numbered(step.call.op.way)
    return tuple(replace(c, algorithm=algorithm) if algorithm and isinstance(c, Product) else c for c in commands)


def products(a: Array, b: Array, y: Array, bias: Array | None = None, guard: Array | None = None) -> Iterator[Command]:
    """``y = a @ b`` and a bias: nothing where ``y`` has no elements, the bias or zeros where nothing is summed up."""
    if not prod(y.shape):
        return
    if not a.shape[-1]:
        yield _filled(y, bias, guard)
        return
    inside = bias if bias is None or y.type.dtype in EPILOGUE else None
    for one in _matrices(a, b, y):
        yield Product(*one, inside)
    if inside is not bias:
        yield _added(y, bias, guard)


def matrices(op: Op, i: int, x: Layout) -> bool:
    """What a library multiplies as it is: one of the last two axes without gaps, the other at least as long a step."""
    if len(x.shape) < 2:
        return x.shape in ((), (1,)) or x.strides[-1] == 1
    (m, n), (s, t) = x.shape[-2:], x.strides[-2:]
    return (t == 1 and s >= n) or (s == 1 and t >= m and i < 2)


@dataclass
class _Axis:
    """An axis of a batch: how long, and how far each of the three steps along it."""

    length: int
    steps: tuple[int, int, int]

    def joined(self, inner: _Axis) -> _Axis | None:
        """Both axes as one, where each of the three can be walked so."""
        if any(outer != step * inner.length for outer, step in zip(self.steps, inner.steps, strict=True)):
            return None
        return _Axis(self.length * inner.length, inner.steps)


def _matrices(a: Array, b: Array, y: Array) -> Iterator[tuple[Array, Array, Array]]:
    """The products that a library can be asked for, of two or three axes each."""
    axes = _axes(a, b, y)
    m, k, n = y.shape[-2], a.shape[-1], y.shape[-1]
    if axes and not axes[-1].steps[1] and a.strides[-1] == 1 and axes[-1].steps[0] == m * a.strides[-2] and axes[-1].steps[2] == m * y.strides[-2]:
        m *= axes.pop().length  # the right side is always the same: the rows of all matrices are those of one
    batch = max(range(len(axes)), key=lambda i: axes[i].length, default=None)
    own = axes.pop(batch) if batch is not None else None
    for digits in every(*(range(axis.length) for axis in axes)):
        at = [sum(d * axis.steps[i] for d, axis in zip(digits, axes, strict=True)) for i in range(3)]
        x, w, z = (_matrix(array, shape, own, i, at[i]) for i, (array, shape) in enumerate(((a, (m, k)), (b, (k, n)), (y, (m, n)))))
        yield x, w, z


def _axes(a: Array, b: Array, y: Array) -> list[_Axis]:
    """The batch's axes that are longer than 1, neighbours as one where they can be."""
    outer = y.shape[:-2]
    steps = []
    for x in (a, b, y):
        own = tuple(s if n > 1 else 0 for n, s in zip(x.shape[:-2], x.strides[:-2], strict=True))
        steps.append((0,) * (len(outer) - len(own)) + own)
    found: list[_Axis] = []
    for length, *step in zip(outer, *steps, strict=True):
        axis = _Axis(length, (step[0], step[1], step[2]))
        if length == 1:
            continue
        joined = found[-1].joined(axis) if found else None
        found = [*found[:-1], joined] if joined else [*found, axis]
    return found


def _matrix(x: Array, shape: tuple[int, int], batch: _Axis | None, i: int, offset: int) -> Array:
    outer, step = ((batch.length,), (batch.steps[i],)) if batch is not None and (batch.steps[i] or i == 2) else ((), ())
    return replace(x, type=TensorType((*outer, *shape), x.type.dtype), strides=(*step, *x.strides[-2:]), offset=x.offset + offset * x.type.dtype.size)


def _filled(y: Array, bias: Array | None, guard: Array | None) -> Launch:
    value = constant(0.0, y.type.dtype) if bias is None else abstract(bias.type, "bias")
    return _elements(y, "filled", Copy().one(value), () if bias is None else (bias,), guard)


def _added(y: Array, bias: Array | None, guard: Array | None) -> Launch:
    assert bias is not None
    return _elements(y, "add_bias", Add().one(abstract(y.type, "y"), abstract(bias.type, "bias")), (y, bias), guard)


def _elements(y: Array, word: str, value: Value, reads: tuple[Array, ...], guard: Array | None) -> Launch:
    """A kernel with a thread an element of ``y``."""
    kernel = flat(Graph({"y": value}), word, y.shape, reads, (y,), guard is not None)

    def meaning(*x: NDArray[Any]) -> Any:
        return np.broadcast_to(sum(x[1:], x[0]) if x else np.zeros((), y.type.dtype.numpy), y.shape)

    return Launch(kernel, grid(y.shape, reads, (y,)), (THREADS, 1, 1), reads, (y,), meaning, guard)
