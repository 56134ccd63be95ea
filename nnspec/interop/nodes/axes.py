"""Steps that several rules have in common: an axis moved, turned round, or read by numbers that are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from nnspec.interop.nodes.node import MADE, Node, bounded, ends, fixed, sizes
from nnspec.interop.ranges import ends as ends_of
from nnspec.ir.graph import Value
from nnspec.ir.op import Array
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import index, movement


def first(v: Value) -> Value:
    """Channels first to last."""
    return movement.transpose(v, (0, *range(2, v.rank), 1))


def last(v: Value) -> Value:
    """Channels last to first."""
    return movement.transpose(v, (0, v.rank - 1, *range(1, v.rank - 1)))


def taken(x: Value, axis: int, places: Array) -> Value:
    """Of an axis the places with these numbers."""
    n, k = sizes(x)[axis], len(places)
    if k and np.array_equal(places, np.arange(k) + places[0]):
        return x if k == n else movement.slice_axis(x, axis, int(places[0]), int(places[0]) + k)
    front = movement.moveaxis(x, axis, 0)
    return movement.moveaxis(index.gather(front, fixed(places)), 0, axis)


def flipped(x: Value, axis: int) -> Value:
    """An axis from its end."""
    bounded(sizes(x)[axis], MADE)
    return taken(x, axis, np.arange(sizes(x)[axis])[::-1])


def on_last(x: Value, axis: int, function: Callable[[Value], Value]) -> Value:
    """``function`` with an axis at the end."""
    return movement.moveaxis(function(movement.moveaxis(x, axis, x.rank - 1)), x.rank - 1, axis)


def along(n: Node, function: Callable[[Value], Value]) -> Value:
    """``function`` over the node's axis; before opset 13 over that and all behind it together."""
    if n.opset >= 13:
        return on_last(n[0], n.axis(-1), function)
    shape, axis = sizes(n[0]), n.axis(1)
    return movement.reshape(function(movement.reshape(n[0], (prod(shape[:axis]), prod(shape[axis:])))), shape)


def counted(ids: Value, n: int) -> Value:
    """Numbers below 0 counted from the end, as int64."""
    wide = e.cast(ids, DType.int64)
    if ends_of(wide)[0] >= 0:
        return wide
    return e.where(e.less(wide, 0), wide + n, wide)


def opposite(x: Value) -> Value:
    """Numbers in the opposite order of size: less than 0 for more; of whole numbers every bit the other, which never overflows."""
    if x.dtype.is_float:
        return -x
    return fixed(ends(x.dtype)[1] if x.dtype.numpy.kind == "u" else -1, x.dtype) - x


def around(x: Value, low: Sequence[int], high: Sequence[int], value: float = 0.0) -> Value:
    """Elements of one value around; below 0 elements are cut off."""
    cut = movement.Slice(tuple(max(0, -a) for a in low), tuple(d - max(0, -b) for d, b in zip(sizes(x), high, strict=True)), (1,) * x.rank)
    if any(a < 0 for a in (*low, *high)):
        x = cut.one(x)
    if not any(a > 0 for a in (*low, *high)):
        return x
    return movement.Pad(tuple(max(0, a) for a in low), tuple(max(0, b) for b in high), (0,) * x.rank, value).one(x)
