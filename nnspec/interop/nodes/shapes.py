"""ONNX's operators that move elements, and those that make them of shapes and bounds. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from nnspec.interop.nodes.axes import around, taken
from nnspec.interop.nodes.node import MADE, Node, NotImportedError, Rule, bounded, fixed, sizes, type_of, within
from nnspec.ir.graph import Value, call, constant
from nnspec.ir.op import Array, Constant
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import movement


def reshaped(n: Node) -> Value:
    old, new = sizes(n[0]), n.ints(1) if n.has(1) else list(n.attribute("shape"))
    if not n.attribute("allowzero", 0):
        new = [old[i] if d == 0 else d for i, d in enumerate(new)]
    if -1 in new:
        rest = prod(d for d in new if d != -1)
        new[new.index(-1)] = prod(old) // rest
    return movement.reshape(n[0], tuple(new))


def flattened(n: Node) -> Value:
    shape, axis = sizes(n[0]), n.attribute("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return movement.reshape(n[0], (prod(shape[:axis]), prod(shape[axis:])))


def squeezed(n: Node) -> Value:
    shape = sizes(n[0])
    axes = n.axes(1, len(shape))
    if axes and any(shape[a] != 1 for a in axes):
        raise NotImportedError(f"axes {axes} of {shape} are not of length 1")
    return movement.reshape(n[0], tuple(d for i, d in enumerate(shape) if (d != 1 if axes is None else i not in axes)))


def unsqueezed(n: Node) -> Value:
    given = n.ints(1) if n.has(1) else n.attribute("axes")
    rank = n[0].rank + len(given)
    axes, rest = {within(a, rank) for a in given}, iter(sizes(n[0]))
    return movement.reshape(n[0], tuple(1 if i in axes else next(rest) for i in range(rank)))


def joined(n: Node) -> Value:
    return movement.concat(tuple(n.inputs), n.axis(1))


def split(n: Node) -> tuple[Value, ...]:
    """Parts of given lengths, or of one length, the last shorter."""
    axis = n.axis(0)
    length = sizes(n[0])[axis]
    parts = n.ints(1) if n.has(1) else n.attribute("split")
    if parts is None:
        count = n.attribute("num_outputs", n.count)
        each = -(-length // count)
        parts = [max(0, min(each, length - i * each)) for i in range(count)]
    if sum(parts) != length or min(parts) < 0:
        raise NotImportedError(f"{length} split into {parts}")
    starts = [sum(parts[:i]) for i in range(len(parts))]
    return tuple(movement.slice_axis(n[0], axis, a, a + d) for a, d in zip(starts, parts, strict=True))


def cut(n: Node) -> Value:
    shape = sizes(n[0])
    starts, stops = (n.ints(i) if n.has(i) else n.attribute(k) for i, k in ((1, "starts"), (2, "ends")))
    axes = n.ints(3) if n.has(3) else n.attribute("axes", list(range(len(starts))))
    steps = n.ints(4) if n.has(4) else [1] * len(starts)
    bounds, back, x = {i: (0, d, 1) for i, d in enumerate(shape)}, {}, n[0]
    for a, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        axis = within(a, len(shape))
        places = between(start, stop, step, shape[axis])
        if step < 0:
            bounded(len(places), MADE)
            back[axis] = np.arange(places.start, places.stop, step)
        else:
            bounds[axis] = places.start, max(places.start, places.stop), step
    if len(bounds) and any(v != (0, shape[i], 1) for i, v in bounds.items()):
        begin, end, by = zip(*bounds.values(), strict=True)
        x = movement.Slice(begin, end, by).one(x)
    for axis, turned in back.items():
        x = taken(x, axis, turned)
    return x


def between(start: int, stop: int, step: int, length: int) -> range:
    """The places of a slice: bounds below 0 count from the end, and those outside stand for the nearest end."""
    low, high = (0, length) if step > 0 else (-1, length - 1)
    start, stop = (b + length if b < 0 else b for b in (start, stop))
    return range(min(max(start, 0), max(high, 0)), min(max(stop, low), high), step) if length else range(0)


def transposed(n: Node) -> Value:
    return movement.transpose(n[0], tuple(n.attribute("perm", list(range(n[0].rank))[::-1])))


def expanded(n: Node) -> Value:
    return movement.broadcast_to(n[0], e.broadcast(sizes(n[0]), tuple(n.ints(1))))


def tiled(n: Node) -> Value:
    shape, times = sizes(n[0]), n.ints(1)
    bounded(prod(shape) * prod(times))
    y = movement.reshape(n[0], tuple(d for s in shape for d in (1, s)))
    y = movement.broadcast_to(y, tuple(d for s, t in zip(shape, times, strict=True) for d in (t, s)))
    return movement.reshape(y, tuple(s * t for s, t in zip(shape, times, strict=True)))


def depth_to_space(n: Node) -> Value:
    b, (rows, channels, high, wide) = int(n.attribute("blocksize")), sizes(n[0])
    inner, order = (b, b, channels // (b * b)), (0, 3, 4, 1, 5, 2)
    if n.text("mode", "DCR", "CRD") == "CRD":
        inner, order = (channels // (b * b), b, b), (0, 1, 4, 2, 5, 3)
    y = movement.transpose(movement.reshape(n[0], (rows, *inner, high, wide)), order)
    return movement.reshape(y, (rows, channels // (b * b), high * b, wide * b))


def space_to_depth(n: Node) -> Value:
    b, (rows, channels, high, wide) = int(n.attribute("blocksize")), sizes(n[0])
    apart = movement.reshape(n[0], (rows, channels, high // b, b, wide // b, b))
    order = (0, 1, 3, 5, 2, 4) if n.text("mode", "DCR", "CRD") == "CRD" else (0, 3, 5, 1, 2, 4)
    return movement.reshape(movement.transpose(apart, order), (rows, channels * b * b, high // b, wide // b))


def padded(n: Node) -> Value:
    """Around every axis, or some; below 0 it is cut."""
    x = n[0]
    shape = sizes(x)
    pads = n.ints(1) if n.has(1) else n.attribute("pads", n.attribute("paddings"))
    axes = [within(a, x.rank) for a in n.ints(3)] if n.has(3) else list(range(x.rank))
    low, high = [0] * x.rank, [0] * x.rank
    for i, a in enumerate(axes):
        low[a], high[a] = pads[i], pads[len(axes) + i]
    bounded(prod(max(0, d + a + b) for d, a, b in zip(shape, low, high, strict=True)))
    mode = n.text("mode", "constant", "edge", "reflect", "wrap")
    if mode == "constant":
        value = n.static(2).reshape(()).item() if n.has(2) else n.attribute("value", 0.0)
        return around(x, low, high, value)
    for a in axes:
        bounded(shape[a] + low[a] + high[a], MADE)
        x = taken(x, a, mirrored(np.arange(-low[a], shape[a] + high[a]), shape[a], mode))
    return x


def mirrored(i: Array, length: int, mode: str) -> Array:
    """The places of an axis that stand for those in and outside of it."""
    if mode == "edge" or length == 1:
        return np.asarray(np.clip(i, 0, length - 1))
    if mode == "wrap":
        return np.asarray(np.remainder(i, length))
    i = np.remainder(i, 2 * (length - 1))
    return np.asarray(np.minimum(i, 2 * (length - 1) - i))


def centred(n: Node) -> Value:
    """The middle of axes, cut or with zeros around."""
    given = n.attribute("axes")
    axes = list(range(n[0].rank)) if given is None else [within(a, n[0].rank) for a in given]
    low, high = [0] * n[0].rank, [0] * n[0].rank
    for a, d in zip(axes, n.ints(1), strict=True):
        more = d - sizes(n[0])[a]
        low[a] = more // 2 if more > 0 else -(-more // 2)
        high[a] = more - low[a]
    return around(n[0], low, high)


def triangle(n: Node) -> Value:
    """Of matrices what lies on and above a diagonal, or below it."""
    high, wide = sizes(n[0])[-2:]
    bounded(high * wide, MADE)
    k = int(n.static(1).reshape(())) if n.has(1) else 0
    column, row = np.arange(wide), np.arange(high)[:, None]
    mask = column - row >= k if n.attribute("upper", 1) else column - row <= k
    return e.where(fixed(mask, DType.bool), n[0], 0)


def shape_of(n: Node) -> Value:
    start, end = n.attribute("start", 0), n.attribute("end", None)
    return fixed(np.array(sizes(n[0])[start:end], np.int64))


def filled(n: Node) -> Value:
    """A tensor of one number: it takes no memory."""
    value = n.attribute("value")
    value = np.zeros(1, np.float32) if value is None else value.reshape(-1)
    value, shape = value[:1].reshape(()).astype(type_of(value.dtype.name).numpy), n.ints(0)
    bounded(prod(shape))
    return call(Constant(np.broadcast_to(value, shape)), ()).outputs[0]


def counted(n: Node) -> Value:
    start, limit, delta = (n.static(i).reshape(()) for i in range(3))
    count = max(int(np.ceil((limit.astype(np.float64) - start) / delta)), 0)
    bounded(count, MADE)
    return constant(start + np.arange(count).astype(start.dtype) * delta, type_of(start.dtype.name))


def unit(n: Node) -> Value:
    from onnx import helper

    high, wide = sizes(n[0])
    bounded(high * wide, MADE)
    to = n.attribute("dtype")
    name = n[0].dtype.value if to is None else helper.tensor_dtype_to_np_dtype(to).name
    return fixed(np.eye(high, wide, n.attribute("k", 0)), type_of(name))


def constant_node(n: Node) -> Value:
    value: Any = n.attribute("value")
    if value is None:
        for name, dtype in (("value_float", DType.float32), ("value_floats", DType.float32), ("value_int", DType.int64), ("value_ints", DType.int64)):
            if (found := n.attribute(name)) is not None:
                return constant(found, dtype)
        raise NotImportedError("a constant that is no array of numbers")
    return constant(value, type_of(value.dtype.name))


def dropout(n: Node) -> Value | tuple[Value, ...]:
    """Nothing is dropped but in training, where a ratio of 0 drops nothing either."""
    ratio = float(n.static(1).reshape(())) if n.has(1) else float(n.attribute("ratio", 0.5))
    if n.has(2) and n.static(2).any() and ratio > 0:
        raise NotImportedError("training_mode draws random numbers")
    return (n[0], fixed(np.broadcast_to(True, sizes(n[0])), DType.bool)) if n.asks(1) else n[0]


RULES: Mapping[str, Rule] = {
    "Reshape": reshaped, "Flatten": flattened, "Squeeze": squeezed, "Unsqueeze": unsqueezed, "Concat": joined, "Split": split, "Slice": cut,
    "Transpose": transposed, "Expand": expanded, "Tile": tiled, "DepthToSpace": depth_to_space, "SpaceToDepth": space_to_depth, "Pad": padded,
    "CenterCropPad": centred, "Trilu": triangle, "Shape": shape_of, "Size": lambda n: fixed(prod(sizes(n[0]))), "ConstantOfShape": filled,
    "Range": counted, "EyeLike": unit, "Constant": constant_node, "Dropout": dropout,
}  # fmt: skip
