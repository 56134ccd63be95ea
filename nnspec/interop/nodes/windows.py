"""ONNX's convolutions and pools, which have channels first: ours have them last. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce as fold
from itertools import product
from math import prod
from typing import Any

import numpy as np

from nnspec.interop.nodes.axes import around, first, last
from nnspec.interop.nodes.node import MADE, Node, NotImportedError, Rule, bounded, ends, fixed, sizes
from nnspec.ir.graph import Value, constant
from nnspec.ops import conv, index, movement, pool, reduce
from nnspec.ops import elementwise as e

Ints = tuple[int, ...]
MOST_TAPS = 1 << 12
AUTO = ("SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class Windows:
    """Windows over places: ``pads`` before and after each axis, with ``extra`` after it where ``ceil_mode`` asks for a window that sticks out."""

    size: Ints
    stride: Ints
    dilation: Ints
    pads: tuple[tuple[int, int], ...]
    extra: Ints
    places: Ints
    out: Ints

    @property
    def padding(self) -> tuple[tuple[int, int], ...]:
        return tuple((a, b + c) for (a, b), c in zip(self.pads, self.extra, strict=True))

    @property
    def dense(self) -> bool:
        """Whether neighbours are neighbours."""
        return set(self.dilation) <= {1}

    def _few(self, most: int) -> None:
        if most > MOST_TAPS:
            raise NotImportedError(f"a window of {most:,} places apart from one another")

    def _seen(self, padded: Value, tap: Ints, axes: range) -> Value:
        """What a place of the window, along some axes, sees of ``(rows, places…, channels)`` with its padding."""
        start, stop, step = [0] * padded.rank, list(sizes(padded)), [1] * padded.rank
        for t, i in zip(tap, axes, strict=True):
            start[i + 1] = t * self.dilation[i]
            stop[i + 1] = start[i + 1] + (self.out[i] - 1) * self.stride[i] + 1
            step[i + 1] = self.stride[i]
        return movement.Slice(tuple(start), tuple(stop), tuple(step)).one(padded)

    def taps(self, padded: Value) -> list[Value]:
        """What each place of the window sees."""
        self._few(prod(self.size))
        axes = range(len(self.size))
        return [self._seen(padded, tap, axes) for tap in product(*map(range, self.size))]

    def folded(self, padded: Value, join: Callable[[Value, Value], Value]) -> Value:
        """The whole window in one number, axis by axis: of 80 by 60 places 140 steps, not 4,800."""
        self._few(sum(self.size))
        for i, many in enumerate(self.size):
            padded = fold(join, [self._seen(padded, (t,), range(i, i + 1)) for t in range(many)])
        return padded

    def padded(self, x: Value, value: float) -> Value:
        return around(x, (0, *(a for a, _ in self.padding), 0), (0, *(b for _, b in self.padding), 0), value)


def windows(n: Node, size: Ints) -> Windows:
    """The node's windows. Raises NotImportedError where numbers do not fit together."""
    places = sizes(n[0])[2:]
    rank = len(places)
    stride, dilation = (tuple(n.attribute(k, [1] * rank)) for k in ("strides", "dilations"))
    if {len(size), len(stride), len(dilation)} != {rank} or min(*size, *stride, *dilation) < 1:
        raise NotImportedError(f"a window of {size}, strides {stride} and dilations {dilation} over {rank} axes")
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    auto = n.text("auto_pad", "NOTSET", *AUTO)
    given = n.attribute("pads", [0] * 2 * rank)
    pads = tuple(zip(given[:rank], given[rank:], strict=True)) if auto == "NOTSET" else ((0, 0),) * rank
    if auto.startswith("SAME"):
        pads = conv.pads("same", places, size, stride, dilation)
        pads = pads if auto == "SAME_UPPER" else tuple((b, a) for a, b in pads)
    if len(pads) != rank or any(p < 0 for pair in pads for p in pair):
        raise NotImportedError(f"pads {given} over {rank} axes")
    room = [m + a + b - r for m, (a, b), r in zip(places, pads, reach, strict=True)]
    if min(room) < 0:
        raise NotImportedError(f"a window of {tuple(reach)} over {places} with pads {pads}")
    bounded(prod(m + a + b for m, (a, b) in zip(places, pads, strict=True)) * prod(sizes(n[0])[:2]))
    up = bool(n.attribute("ceil_mode", 0))
    out = [(-(-r // s) if up else r // s) + 1 for r, s in zip(room, stride, strict=True)]
    out = [o - (up and (o - 1) * s >= m + a) for o, s, m, (a, _) in zip(out, stride, places, pads, strict=True)]
    extra = tuple(max(0, (o - 1) * s - r) for o, s, r in zip(out, stride, room, strict=True))
    return Windows(size, stride, dilation, pads, extra, places, tuple(out))


def convolution(n: Node) -> Value:
    w = windows(n, sizes(n[1])[2:])
    kernel = movement.transpose(n[1], (*range(2, n[1].rank), 1, 0))
    y = conv.Conv(w.stride, w.padding, w.dilation, n.attribute("group", 1)).one(first(n[0]), kernel)
    return last(y + n[2] if n.has(2) else y)


def convolution_back(n: Node) -> Value:
    """The transposed convolution: all that every place reaches, with ``pads`` cut off and ``output_padding`` added."""
    x, size, groups = n[0], sizes(n[1])[2:], n.attribute("group", 1)
    places, rank = sizes(x)[2:], x.rank - 2
    stride, dilation = (tuple(n.attribute(k, [1] * rank)) for k in ("strides", "dilations"))
    more = tuple(n.attribute("output_padding", [0] * rank))
    whole = tuple(s * (m - 1) + (k - 1) * d + 1 for s, m, k, d in zip(stride, places, size, dilation, strict=True))
    bounded(prod(whole) * sizes(x)[0] * sizes(n[1])[1] * groups)
    auto, given = n.text("auto_pad", "NOTSET", *AUTO), n.attribute("pads", [0] * 2 * rank)
    shape = n.attribute("output_shape") or (None if not auto.startswith("SAME") else [m * s for m, s in zip(places, stride, strict=True)])
    if shape is not None:
        over = [t + o - m for t, o, m in zip(whole, more, shape[-rank:], strict=True)]
        pads = tuple((t // 2, t - t // 2) if auto == "SAME_UPPER" else (t - t // 2, t // 2) for t in over)
    else:
        pads = ((0, 0),) * rank if auto == "VALID" else tuple(zip(given[:rank], given[rank:], strict=True))
    kernel = movement.transpose(n[1], (*range(2, n[1].rank), 1, 0))
    out = tuple(t - a - b + o for t, (a, b), o in zip(whole, pads, more, strict=True))
    fits = all(a >= 0 and b >= 0 and 0 <= o < s for (a, b), o, s in zip(pads, more, stride, strict=True)) and min(out) > 0
    op = conv.ConvInputGrad(stride, pads if fits else ((0, 0),) * rank, dilation, groups, out if fits else whole)
    y = op.one(first(x), kernel)
    if not fits:
        y = around(y, (0, *(-a for a, _ in pads), 0), (0, *(o - b for (_, b), o in zip(pads, more, strict=True)), 0))
    return last(y + n[2] if n.has(2) else y)


def max_pool(n: Node) -> Value | tuple[Value, ...]:
    """The largest of windows, and where they stand in the input."""
    w, x = windows(n, tuple(n.attribute("kernel_shape"))), first(n[0])
    asked = n.asks(1)
    if w.dense and x.dtype.is_float:
        y, tap = pool.MaxPool(w.size, w.stride, w.padding)(x)
        return (last(y), places(n, w, last(tap))) if asked else last(y)
    least = -np.inf if x.dtype.is_float else float(ends(x.dtype)[0])
    if not asked:
        return last(w.folded(w.padded(x, least), e.maximum))
    parts = w.taps(w.padded(x, least))
    y = last(fold(e.maximum, parts))
    stacked = movement.concat(tuple(movement.reshape(v, (*v.shape, 1)) for v in parts))
    return y, places(n, w, last(reduce.argmax(stacked)))


def places(n: Node, w: Windows, tap: Value) -> Value:
    """Numbers of places in the window as numbers of elements of the whole input."""
    bounded(prod(sizes(tap)), MADE)
    columns = bool(n.attribute("storage_order", 0))
    steps = [prod(w.places[:i] if columns else w.places[i + 1 :]) for i in range(len(w.places))]
    planes = np.arange(prod(sizes(tap)[:2]), dtype=np.int64) * prod(w.places)
    base = planes.reshape(*sizes(tap)[:2], *(1,) * len(w.places))
    for i, (step, s, (a, _)) in enumerate(zip(steps, w.stride, w.pads, strict=True)):
        base = base + ((np.arange(w.out[i]) * s - a) * step).reshape(-1, *(1,) * (len(w.places) - i - 1))
    table = [sum(t * d * step for t, d, step in zip(place, w.dilation, steps, strict=True)) for place in product(*map(range, w.size))]
    return index.gather(fixed(table), tap) + fixed(np.broadcast_to(base, sizes(tap)))


def average_pool(n: Node) -> Value:
    """Means of windows. Padding counts where ``count_include_pad`` says so; what sticks out by ``ceil_mode`` never does."""
    w, x = windows(n, tuple(n.attribute("kernel_shape"))), first(n[0])
    if not x.dtype.is_float:
        raise NotImportedError(f"the mean of {x.dtype}")
    pads, places = w.pads, w.places
    if n.attribute("count_include_pad", 0):
        x = around(x, (0, *(a for a, _ in pads), 0), (0, *(b for _, b in pads), 0))
        places = tuple(m + a + b for m, (a, b) in zip(places, pads, strict=True))
        w = Windows(w.size, w.stride, w.dilation, ((0, 0),) * len(pads), w.extra, places, w.out)
    if w.dense:
        return last(pool.AvgPool(w.size, w.stride, w.padding).one(x))
    total = w.folded(w.padded(x, 0.0), Value.__add__)
    return last(total / constant(counts(w), x.dtype))


def counts(w: Windows) -> Any:
    """How many places that are no padding each window sees: ``(*out, 1)``."""
    def seen(i: int) -> Any:
        bounded(w.out[i] * w.size[i], MADE)
        place = np.arange(w.out[i])[:, None] * w.stride[i] + np.arange(w.size[i]) * w.dilation[i] - w.pads[i][0]
        return ((place >= 0) & (place < w.places[i])).sum(1)

    return np.asarray(fold(np.multiply.outer, [seen(i) for i in range(len(w.size))]))[..., None]


def root_of_powers(x: Value, p: float, total: Any) -> Value:
    """``total(|x|^p) ^ (1/p)``."""
    if p < 1:
        raise NotImportedError(f"p: {p:g}")
    a = e.absolute(x)
    y = total(a if p == 1 else e.square(a) if p == 2 else e.power(a, p))
    return y if p == 1 else e.sqrt(y) if p == 2 else e.power(y, 1.0 / p)


def norm_pool(n: Node) -> Value:
    w, x = windows(n, tuple(n.attribute("kernel_shape"))), first(n[0])

    def total(a: Value) -> Value:
        padded = w.padded(a, 0.0)
        if w.dense:
            return pool.AvgPool(w.size, w.stride, ((0, 0),) * len(w.size)).one(padded) * float(prod(w.size))
        return w.folded(padded, Value.__add__)

    return last(root_of_powers(x, float(n.attribute("p", 2)), total))


def everywhere(function: Any) -> Rule:
    return lambda n: function(n[0], tuple(range(2, n[0].rank)), True)


def global_norm(n: Node) -> Value:
    return root_of_powers(n[0], float(n.attribute("p", 2)), lambda a: reduce.sum_(a, tuple(range(2, a.rank)), True))


def columns_to_image(n: Node) -> Value:
    """Blocks added where they lay: the gradient of a convolution that takes them apart."""
    x, shape, block = n[0], tuple(n.ints(1)), tuple(n.ints(2))
    rank = len(shape)
    stride, dilation = (tuple(n.attribute(k, [1] * rank)) for k in ("strides", "dilations"))
    given = n.attribute("pads", [0] * 2 * rank)
    pads = tuple(zip(given[:rank], given[rank:], strict=True))
    out = sizes_of_windows = conv.windows(pads, shape, block, stride, dilation)
    rows, deep, _ = sizes(x)
    channels, rest = divmod(deep, prod(block))
    if rest or not 0 < prod(block) <= MOST_TAPS:
        raise NotImportedError(f"{deep} channels of blocks of {prod(block):,}")
    kernel = np.tile(np.eye(prod(block)).reshape(*block, 1, prod(block)), channels)
    g = movement.transpose(movement.reshape(x, (rows, deep, *sizes_of_windows)), (0, *range(2, len(out) + 2), 1))
    return last(conv.ConvInputGrad(stride, pads, dilation, channels, shape).one(g, constant(kernel, x.dtype)))


RULES: Mapping[str, Rule] = {
    "Conv": convolution, "ConvTranspose": convolution_back, "MaxPool": max_pool, "AveragePool": average_pool, "LpPool": norm_pool,
    "GlobalAveragePool": everywhere(reduce.mean), "GlobalMaxPool": everywhere(reduce.max_), "GlobalLpPool": global_norm, "Col2Im": columns_to_image,
}  # fmt: skip
