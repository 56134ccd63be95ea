"""ONNX's operators that choose or write elements by number. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce as fold
from math import prod

import numpy as np

from nnspec.interop.nodes.axes import around, counted, opposite, taken
from nnspec.interop.nodes.node import MADE, Node, NotImportedError, Rule, bounded, ends, fixed, sizes, within
from nnspec.interop.nodes.reductions import products
from nnspec.ir.graph import Value, constant
from nnspec.ir.op import Constant
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import index, movement, reduce, rows

MOST_PAIRS = 1 << 26  # places times updates that are compared with one another


def gathered(n: Node) -> Value:
    """``ids`` of an axis: their axes take its place."""
    x, axis = n[0], n.axis(0)
    front = movement.moveaxis(x, axis, 0)
    y = index.gather(front, counted(n[1], sizes(x)[axis]))
    k = n[1].rank
    return movement.transpose(y, (*range(k, k + axis), *range(k), *range(k + axis, y.rank)))


def coordinates(shape: Sequence[int], axis: int) -> Value:
    """The number along an axis of every element."""
    return fixed(np.broadcast_to(np.arange(shape[axis]).reshape(-1, *(1,) * (len(shape) - axis - 1)), shape))


def flat(parts: Sequence[Value], shape: Sequence[int]) -> Value:
    """Coordinates as numbers in row-major order."""
    return fold(Value.__add__, [p * prod(shape[i + 1 :]) for i, p in enumerate(parts)])


def element_ids(ids: Value, shape: Sequence[int], axis: int) -> Value:
    """For every element of ``ids`` the number of the one that differs from it along the axis alone."""
    if ids.rank != len(shape):
        raise NotImportedError(f"{ids.rank} axes of numbers for {len(shape)} axes")
    return flat([counted(ids, shape[axis]) if a == axis else coordinates(sizes(ids), a) for a in range(len(shape))], shape)


def gather_elements(n: Node) -> Value:
    """Along an axis behind the rows each row has numbers of its own, if nothing else differs."""
    x, axis = n[0], n.axis(0)
    old, new = sizes(x), sizes(n[1])
    if axis and x.rank == n[1].rank and all(a == b for i, (a, b) in enumerate(zip(old, new, strict=True)) if i != axis):
        front, ids = (movement.moveaxis(v, axis, v.rank - 1) for v in (x, n[1]))
        many = prod(sizes(front)[:-1])
        y = rows.take_rows(movement.reshape(front, (many, old[axis])), counted(movement.reshape(ids, (many, new[axis])), old[axis]))
        return movement.moveaxis(movement.reshape(y, sizes(ids)), x.rank - 1, axis)
    return index.gather(movement.reshape(x, (prod(sizes(x)),)), element_ids(n[1], sizes(x), n.axis(0)))


def nd_ids(ids: Value, shape: Sequence[int], batch: int = 0) -> tuple[Value, int]:
    """Rows of coordinates as one number each, and how many axes they name."""
    outer, (*_, k) = sizes(ids)[:-1], sizes(ids)
    named = [counted(movement.reshape(movement.slice_axis(ids, ids.rank - 1, i, i + 1), outer), shape[batch + i]) for i in range(k)]
    depth = batch + k
    return flat([*(coordinates(outer, a) for a in range(batch)), *named], shape[:depth]), depth


def gather_nd(n: Node) -> Value:
    shape, batch = sizes(n[0]), n.attribute("batch_dims", 0)
    if batch == 1 and sizes(n[1])[-1] == 1 and sizes(n[1])[0] == shape[0]:  # each row has numbers of its own
        return rows.take_rows(n[0], counted(movement.reshape(n[1], sizes(n[1])[:-1]), shape[1]))
    ids, depth = nd_ids(n[1], shape, batch)
    return index.gather(movement.reshape(n[0], (prod(shape[:depth]), *shape[depth:])), ids)


def scattered(x: Value, ids: Value, updates: Value, how: str) -> Value:
    """Rows of ``x`` replaced by those of ``updates`` at ``ids``, which do not repeat, or joined with them, where they may."""
    n, count = sizes(x)[0], sizes(ids)[0]
    put = index.ScatterAdd(n)
    if how == "add":
        return x + put.one(updates, ids)
    if how == "none":
        hit = put.one(fixed(np.broadcast_to(1, count)), ids)
        return e.where(movement.reshape(e.greater(hit, 0), (n, *(1,) * (x.rank - 1))), put.one(updates, ids), x)
    if n * prod(sizes(updates)) > MOST_PAIRS:
        raise NotImportedError(f"{how} of {prod(sizes(updates)):,} updates over {n:,} places")
    hits = movement.reshape(e.Equal().one(movement.reshape(ids, (count, 1)), fixed(np.arange(n)[None])), (count, n, *(1,) * (x.rank - 1)))
    rows_of = movement.reshape(updates, (count, 1, *sizes(updates)[1:]))
    if how == "mul":
        return x * products(e.where(hits, rows_of, 1), (0,), False)
    if x.dtype.is_float:
        low, high = constant(-np.inf, x.dtype), constant(np.inf, x.dtype)
    else:
        low, high = (fixed(end, x.dtype) for end in ends(x.dtype))
    if how == "max":
        return e.maximum(x, reduce.max_(e.where(hits, rows_of, low), 0))
    return e.minimum(x, reduce.min_(e.where(hits, rows_of, high), 0))


def reduction(n: Node) -> str:
    return n.text("reduction", "none", "add", "mul", "max", "min")


def each_row(n: Node) -> Value | None:
    """Vectors that are added to each row's own at numbers of its own, which stand there once for every element; None where it is not so."""
    x, ids = n[0], n[1]
    if reduction(n) != "add" or n.axis(0) != 1 or x.rank < 2 or sizes(ids)[0] != sizes(x)[0] or sizes(ids)[2:] != sizes(x)[2:]:
        return None
    alone = ids.inputs[0] if isinstance(ids.op, movement.BroadcastTo) and x.rank > 2 else ids
    if sizes(alone) != (*sizes(ids)[:2], *(1,) * (x.rank - 2)):
        return None
    added = rows.AddRows(sizes(x)[1]).one(n[2], counted(movement.reshape(alone, sizes(ids)[:2]), sizes(x)[1]))
    return added if isinstance(x.op, Constant) and not x.op.data.any() else x + added


def scatter_elements(n: Node) -> Value:
    x = n[0]
    if (y := each_row(n)) is not None:
        return y
    ids, total = element_ids(n[1], sizes(x), n.axis(0)), prod(sizes(x))
    k = prod(sizes(ids))
    y = scattered(movement.reshape(x, (total,)), movement.reshape(ids, (k,)), movement.reshape(n[2], (k,)), reduction(n))
    return movement.reshape(y, x.shape)


def scatter_nd(n: Node) -> Value:
    shape = sizes(n[0])
    ids, depth = nd_ids(n[1], shape)
    k, rest = prod(sizes(ids)), shape[depth:]
    x = movement.reshape(n[0], (prod(shape[:depth]), *rest))
    y = scattered(x, movement.reshape(ids, (k,)), movement.reshape(n[2], (k, *rest)), reduction(n))
    return movement.reshape(y, shape)


def cache_written(n: Node) -> Value:
    """``TensorScatter``: what is new of every row written from a place of its own on."""
    x, new, axis = n[0], n[1], n.axis(-2)
    shape, part = sizes(x), sizes(n[1])
    start = n[2] if n.has(2) else fixed(np.zeros(shape[0]))
    place = movement.reshape(e.cast(start, DType.int64), (shape[0], *(1,) * (x.rank - 1))) + coordinates(part, axis)
    if n.text("mode", "linear", "circular") == "circular":
        place = e.Remainder().one(place, fixed(shape[axis]))
    ids = element_ids(movement.broadcast_to(place, part), shape, axis)
    k = prod(part)
    y = scattered(movement.reshape(x, (prod(shape),)), movement.reshape(ids, (k,)), movement.reshape(new, (k,)), "none")
    return movement.reshape(y, shape)


def unpooled(n: Node) -> Value:
    """Every element put at its place; the places are those of the tensor that the pool read."""
    x, size = n[0], n.attribute("kernel_shape")
    rank = len(size)
    stride, pads = n.attribute("strides", [1] * rank), n.attribute("pads", [0] * 2 * rank)
    inner = [(m - 1) * s + k - a - b for m, s, k, a, b in zip(sizes(x)[2:], stride, size, pads[:rank], pads[rank:], strict=True)]
    shape = (*sizes(x)[:2], *inner)
    bounded(prod(shape))
    k, total = prod(sizes(x)), prod(shape)
    ids, put = movement.reshape(e.cast(n[1], DType.int64), (k,)), index.ScatterAdd(total)
    hit = put.one(constant(np.ones(k), x.dtype), ids)
    y = movement.reshape(put.one(movement.reshape(x, (k,)), ids) / e.maximum(hit, 1.0), shape)
    if not n.has(2):
        return y
    more = [b - a for a, b in zip(shape, n.ints(2), strict=True)]
    return around(y, (0,) * y.rank, more)


def largest(n: Node) -> tuple[Value, ...]:
    """The k largest or smallest of an axis, and where they stand: of equals the first."""
    x, axis = n[0], n.axis(-1)
    k = n.ints(1)[0] if n.has(1) else int(n.attribute("k"))
    if not 0 <= k <= sizes(x)[axis]:
        raise NotImportedError(f"the {k} largest of {sizes(x)[axis]}")
    big = bool(n.attribute("largest", 1))
    row = movement.moveaxis(x, axis, x.rank - 1)
    values, ids = rows.Largest(k)(row if big else opposite(row))
    values = values if big else opposite(values)
    return movement.moveaxis(values, x.rank - 1, axis), movement.moveaxis(ids, x.rank - 1, axis)


def one_hot(n: Node) -> Value:
    """The second of two values at each number's place, else the first; numbers below 0 count from the end."""
    depth, values = n.ints(1)[0], n[2]
    axis = n.axis(-1, n[0].rank + 1)
    hot = index.one_hot(counted(n[0], depth), depth, DType.bool)
    off, on = (movement.reshape(movement.slice_axis(values, 0, i, i + 1), ()) for i in (0, 1))
    return movement.moveaxis(e.Where().one(hot, on, off), hot.rank - 1, axis)


def reversed_sequences(n: Node) -> Value:
    """Of every row the first places in the opposite order, as many as it is long."""
    time, batch = n.attribute("time_axis", 0), n.attribute("batch_axis", 1)
    if {time, batch} != {0, 1}:
        raise NotImportedError(f"axes {time} and {batch}")
    x = movement.transpose(n[0], (1, 0, *range(2, n[0].rank))) if batch else n[0]
    length = movement.reshape(e.cast(n[1], DType.int64), (sizes(x)[0], 1))
    place = fixed(np.arange(sizes(x)[1])[None])
    ids = e.where(e.Less().one(place, length), (length - 1) - place, movement.broadcast_to(place, sizes(x)[:2]))
    y = rows.take_rows(x, ids)
    return movement.transpose(y, (1, 0, *range(2, y.rank))) if batch else y


def compressed(n: Node) -> Value:
    """The places for which a condition is true, which has to be known."""
    x, axis = n[0], n.attribute("axis")
    if axis is None:
        x, axis = movement.reshape(x, (prod(sizes(x)),)), 0
    axis = within(axis, x.rank)
    bounded(n.static(1).size, MADE)
    places = np.flatnonzero(n.static(1).reshape(-1)[: sizes(x)[axis]])
    return taken(x, axis, places)


def not_zero(n: Node) -> Value:
    """Where numbers that are known are not 0."""
    bounded(prod(sizes(n[0])), MADE)
    return fixed(np.stack(np.nonzero(n.static(0))).reshape(n[0].rank, -1))


def unique(n: Node) -> tuple[Value, ...]:
    """Numbers that are known, each once, with where it stands first, which of them every one is, and how often it is there."""
    a, axis = n.static(0), n.attribute("axis")
    bounded(a.size, MADE)
    found, place, which, count = np.unique(a, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    which = which.reshape(-1)
    if not n.attribute("sorted", 1):
        order = np.argsort(place)
        found, place, count = np.take(found, order, axis or 0), place[order], count[order]
        which = np.argsort(order)[which]
    return constant(found, n[0].dtype), fixed(place), fixed(which), fixed(count)


RULES: Mapping[str, Rule] = {
    "Gather": gathered, "GatherElements": gather_elements, "GatherND": gather_nd, "ScatterElements": scatter_elements, "Scatter": scatter_elements,
    "ScatterND": scatter_nd, "TensorScatter": cache_written, "MaxUnpool": unpooled, "TopK": largest, "OneHot": one_hot,
    "ReverseSequence": reversed_sequences, "Compress": compressed, "NonZero": not_zero, "Unique": unique,
}  # fmt: skip
