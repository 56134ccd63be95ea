"""How a view op's output sees the memory of its input: an offset and strides, in elements, or not at all."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from nnspec.ir.op import Op
from nnspec.ir.program import contiguous, row_major
from nnspec.ir.types import known
from nnspec.ops.movement import BroadcastTo, Reshape, Slice, Transpose, Unpack


class Layout(NamedTuple):
    """Where the elements of an array lie, from the start of the memory that holds it."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def plain(shape: tuple[int, ...], offset: int = 0) -> Layout:
    return Layout(offset, shape, row_major(shape))


def see(op: Op, x: Layout) -> Layout | None:
    """The output of ``op`` as a layout of its input's memory; None where the elements must be moved."""
    found = _see(op, x)
    if found is not None and contiguous(found.shape, found.strides):
        return plain(found.shape, found.offset)  # axes of length 1 may have had any stride
    return found


def _see(op: Op, x: Layout) -> Layout | None:
    match op:
        case Reshape(shape=shape):
            return reshaped(x, known(shape))
        case Transpose(axes=axes):
            return Layout(x.offset, tuple(x.shape[a] for a in axes), tuple(x.strides[a] for a in axes))
        case BroadcastTo(shape=shape):
            wide = known(shape)
            new = len(wide) - len(x.shape)
            kept = tuple(0 if n == 1 and w != 1 else s for n, s, w in zip(x.shape, x.strides, wide[new:], strict=True))
            return Layout(x.offset, wide, (0,) * new + kept)
        case Slice(start=start, step=step):
            shape = tuple(max(0, -((a - b) // s)) for a, b, s in zip(known(start), known(op.stop), step, strict=True))
            first = x.offset + sum(a * s for a, s in zip(known(start), x.strides, strict=True))
            return Layout(first, shape, tuple(s * k for s, k in zip(x.strides, step, strict=True)))
        case Unpack(offset=offset, shape=shape):
            return reshaped(Layout(x.offset + offset * x.strides[0], (prod(known(shape)),), x.strides), known(shape))
    return None


def reshaped(x: Layout, shape: tuple[int, ...]) -> Layout | None:
    """The same elements in row-major order under another shape, if one offset and strides can say it."""
    if 0 in shape:
        return plain(shape, x.offset)
    runs = _runs(x)
    strides = [0] * len(shape)
    room, stride = 1, 1
    for i in reversed(range(len(shape))):
        if shape[i] == 1:
            strides[i] = stride
            continue
        if room == 1:
            room, stride = runs.pop()
        if room % shape[i]:
            return None  # the axis would reach over a gap
        strides[i] = stride
        stride *= shape[i]
        room //= shape[i]
    return Layout(x.offset, shape, tuple(strides))


def _runs(x: Layout) -> list[tuple[int, int]]:
    """Neighbouring axes joined where they are evenly spaced: (length, stride) of each run, outermost first."""
    runs: list[tuple[int, int]] = []
    for n, s in zip(x.shape, x.strides, strict=True):
        if n == 1:
            continue
        if runs and runs[-1][1] == n * s:
            runs[-1] = (runs[-1][0] * n, s)
        else:
            runs.append((n, s))
    return runs
