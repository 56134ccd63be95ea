"""ONNX's reductions, running sums, softmaxes and losses. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from nnspec.interop.nodes.axes import along, around, first, flipped, last, opposite
from nnspec.interop.nodes.node import Node, NotImportedError, Rule, ends, sizes, within
from nnspec.ir.graph import Value, constant
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import index, movement, reduce, softmax

Reduce = Callable[[Value, tuple[int, ...], bool], Value]


def reduced(function: Reduce) -> Rule:
    """A rule of axes by an input or an attribute: all where there are none, unless ``noop_with_empty_axes``."""

    def rule(n: Node) -> Value:
        axes = n.axes(1, n[0].rank)
        if not axes and n.attribute("noop_with_empty_axes", 0):
            return function(n[0], (), True)
        return function(n[0], tuple(axes or range(n[0].rank)), bool(n.attribute("keepdims", 1)))

    return rule


def extreme(function: Callable[..., Value], op: Any, least: bool) -> Reduce:
    """Of nothing what every other number beats."""

    def of(x: Value, axes: tuple[int, ...], keep: bool) -> Value:
        if 0 not in [sizes(x)[a] for a in axes]:
            return function(x, axes, keep)
        if x.dtype.is_float:
            end: Any = np.inf if least else -np.inf
        else:
            end = least if x.dtype == DType.bool else ends(x.dtype)[least]
        return movement.broadcast_to(constant(end, x.dtype), op(axes, keep).infer(x.type).shape)

    return of


def means(x: Value, axes: tuple[int, ...], keep: bool) -> Value:
    if not x.dtype.is_float:
        raise NotImportedError(f"the mean of {x.dtype}")
    if 0 in [sizes(x)[a] for a in axes]:
        return reduce.sum_(x, axes, keep) * float("nan")
    return reduce.mean(x, axes, keep)


def products(x: Value, axes: tuple[int, ...], keep: bool) -> Value:
    """Halves of an axis multiplied with one another until one is left."""
    for a in axes:
        n = sizes(x)[a]
        if n == 0:
            x = movement.broadcast_to(constant(1, x.dtype), (*sizes(x)[:a], 1, *sizes(x)[a + 1 :]))
        while n > 1:
            half = n // 2
            both = movement.slice_axis(x, a, 0, half) * movement.slice_axis(x, a, half, 2 * half)
            x = movement.concat((both, movement.slice_axis(x, a, 2 * half, n)), a) if n % 2 else both
            n -= half
    return x if keep else movement.reshape(x, tuple(d for i, d in enumerate(x.shape) if i not in axes))


def log_sum_exp(x: Value, axes: tuple[int, ...], keep: bool) -> Value:
    if 0 in [sizes(x)[a] for a in axes]:
        return e.log(reduce.sum_(x, axes, keep))
    top = reduce.max_(x, axes, True)
    top = e.where(e.less(e.absolute(top), np.inf), top, 0.0)
    y = e.log(reduce.sum_(e.exp(x - top), axes, keep))
    return y + (top if keep else movement.reshape(top, y.shape))


def norm(x: Value, axes: tuple[int, ...], keep: bool) -> Value:
    total = reduce.sum_(e.square(x), axes, keep)
    return e.sqrt(total) if x.dtype.is_float else e.cast(e.sqrt(e.cast(total, DType.float64)), x.dtype)


def place(smallest: bool) -> Rule:
    """Where the largest or the smallest stands: the first of equals, or the last."""

    def rule(n: Node) -> Value:
        x, axis = n[0], n.axis(0)
        if smallest:
            x = opposite(x)
        if n.attribute("select_last_index", 0):
            y = (sizes(x)[axis] - 1) - reduce.argmax(flipped(x, axis), axis)
        else:
            y = reduce.argmax(x, axis)
        return movement.reshape(y, tuple(1 if i == axis else d for i, d in enumerate(sizes(x)))) if n.attribute("keepdims", 1) else y

    return rule


def running(join: Callable[[Value, Value], Value], nothing: float) -> Rule:
    """Running totals, in as many steps as the length has binary digits."""

    def rule(n: Node) -> Value:
        x, (axis,) = n[0], [within(a, n[0].rank) for a in n.ints(1)]
        back, length = n.attribute("reverse", 0), sizes(n[0])[axis]

        def moved(y: Value, by: int) -> Value:
            low, high = ([d if i == axis else 0 for i in range(x.rank)] for d in ((-by, by) if back else (by, -by)))
            return around(y, low, high, nothing)

        y = moved(x, 1) if n.attribute("exclusive", 0) and length else x
        by = 1
        while by < length:
            y = join(y, moved(y, by))
            by *= 2
        return y

    return rule


def hardmax(x: Value) -> Value:
    return index.one_hot(reduce.argmax(x), sizes(x)[-1], x.dtype)


def likelihood(n: Node, scores: Value, labels: Value, weight: Value | None) -> Value:
    """``-weight[label] * scores[label]``; what is ignored weighs nothing."""
    skip, how = n.attribute("ignore_index"), n.text("reduction", "mean", "sum", "none")
    table, own = first(scores), e.cast(labels, DType.int64)
    shares = None if weight is None else weight
    if skip is not None:
        left_out = e.equal(own, int(skip))
        own = e.where(left_out, 0, own)
    picked = -index.pick(table, own)
    each = movement.broadcast_to(constant(1, picked.dtype), picked.shape) if shares is None else index.gather(shares, own)
    if skip is not None:
        each, picked = e.where(left_out, 0.0, each), e.where(left_out, 0.0, picked)
    losses = picked * each
    if how == "none":
        return losses
    total = reduce.sum_(losses)
    if how == "sum":
        return total
    return total / (reduce.sum_(each) if skip is not None or shares is not None else float(prod(sizes(picked))))


def likelihood_loss(n: Node) -> Value:
    return likelihood(n, n[0], n[1], n[2] if n.has(2) else None)


def cross_entropy(n: Node) -> tuple[Value, ...]:
    scores = last(softmax.log_softmax(first(n[0])))
    return likelihood(n, scores, n[1], n[2] if n.has(2) else None), scores


def sums_of(function: Callable[[Value], Value], after: Callable[[Value], Value] = lambda y: y) -> Rule:
    return reduced(lambda x, axes, keep: after(reduce.sum_(function(x), axes, keep)))


RULES: Mapping[str, Rule] = {
    "ReduceSum": reduced(reduce.sum_), "ReduceMean": reduced(means), "ReduceProd": reduced(products),
    "ReduceMax": reduced(extreme(reduce.max_, reduce.Max, False)), "ReduceMin": reduced(extreme(reduce.min_, reduce.Min, True)),
    "ReduceL1": sums_of(e.absolute), "ReduceL2": reduced(norm), "ReduceSumSquare": sums_of(e.square),
    "ReduceLogSum": sums_of(lambda x: x, e.log), "ReduceLogSumExp": reduced(log_sum_exp),
    "ArgMax": place(False), "ArgMin": place(True), "CumSum": running(Value.__add__, 0.0), "CumProd": running(Value.__mul__, 1.0),
    "Softmax": lambda n: along(n, softmax.softmax), "LogSoftmax": lambda n: along(n, softmax.log_softmax), "Hardmax": lambda n: along(n, hardmax),
    "NegativeLogLikelihoodLoss": likelihood_loss, "SoftmaxCrossEntropyLoss": cross_entropy,
}  # fmt: skip
