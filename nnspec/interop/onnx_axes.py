"""Ops that go along axes as ONNX nodes: the order that is at hand stays, and axes are told by their numbers in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnspec.interop.onnx_elements import Rule, agreed, alias
from nnspec.interop.onnx_writer import Perm, Writer, plain
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Op
from nnspec.ir.types import Symbol
from nnspec.ops import movement, reduce, resample, softmax


def ordered(w: Writer, x: Value) -> Perm:
    """An order in which a value is at hand; of several one with channels first."""
    return max(w.perms(x)) if w.perms(x) else plain(x.rank)


def last_axis(w: Writer, call: Call) -> None:
    x, perm = call.inputs[0], ordered(w, call.inputs[0])
    w.put(call.outputs[0], w.node(str(call.op.onnx), w.get(x, perm), axis=perm.index(x.rank - 1)), perm)


def reduction(w: Writer, call: Call) -> None:
    op, x, y = call.op, call.inputs[0], call.outputs[0]
    assert isinstance(op, reduce.Reduction)
    perm = ordered(w, x)
    rest = [a for a in perm if a not in op.axis]
    out = perm if op.keep else tuple(sorted(rest).index(a) for a in rest)
    axes = w.ints(sorted(perm.index(a) for a in op.axis))
    w.put(y, w.node(str(op.onnx), w.get(x, perm), axes, keepdims=int(op.keep)), out)


def arg_max(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, reduce.ArgMax)
    perm = ordered(w, x)
    rest = [a for a in perm if a != op.axis]
    w.put(call.outputs[0], w.node("ArgMax", w.get(x, perm), axis=perm.index(op.axis), keepdims=0), tuple(sorted(rest).index(a) for a in rest))


def concat(w: Writer, call: Call) -> None:
    op, y = call.op, call.outputs[0]
    assert isinstance(op, movement.Concat)
    perm = agreed(w, call.inputs, y.rank)
    w.put(y, w.node("Concat", *(w.get(v, perm) for v in call.inputs), axis=perm.index(op.axis)), perm)


def cut(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, movement.Slice)
    perm = ordered(w, x)
    axes = [i for i, d in enumerate(x.shape) if (op.start[i], op.stop[i], op.step[i]) != (0, d, 1)]
    if not axes:
        return alias(w, call)
    bounds = [_bound(w, [side[i] for i in axes]) for side in (op.start, op.stop)]
    w.put(call.outputs[0], w.node("Slice", w.get(x, perm), *bounds, w.ints(perm.index(i) for i in axes), w.ints(op.step[i] for i in axes)), perm)


def _bound(w: Writer, bounds: list[Any]) -> str:
    return w.shape(tuple(bounds)) if any(isinstance(b, Symbol) for b in bounds) else w.ints(bounds)


def pad(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, movement.Pad)
    if any(op.inner):
        raise w.refuse(call, "elements between neighbours")
    perm = ordered(w, x)
    around = w.ints([op.low[a] for a in perm] + [op.high[a] for a in perm])
    w.put(call.outputs[0], w.node("Pad", w.get(x, perm), around, w.number(op.value, x.dtype)), perm)


def transposed(w: Writer, call: Call) -> None:
    op = call.op
    assert isinstance(op, movement.Transpose)
    for perm, name in list(w.names[call.inputs[0]].items()):  # the same tensor is the output in another order
        w.put(call.outputs[0], name, tuple(op.axes.index(a) for a in perm))


def reshaped(w: Writer, call: Call) -> None:
    x, y = call.inputs[0], call.outputs[0]
    long = [a for a in range(x.rank) if x.shape[a] != 1]
    for perm in w.perms(x):
        if [a for a in perm if x.shape[a] != 1] == long:  # the elements lie as they do here
            shape = tuple(x.shape[a] for a in perm)
            return w.put(y, w.reshape(w.get(x, perm), shape, y.shape))
    w.put(y, w.reshape(w.get(x), x.shape, y.shape))


def expanded(w: Writer, call: Call) -> None:
    x, y = call.inputs[0], call.outputs[0]
    perm = agreed(w, (x,), y.rank)
    own = (*(1,) * (y.rank - x.rank), *x.shape)
    shape = tuple(1 if isinstance(y.shape[a], Symbol) and own[a] == y.shape[a] else y.shape[a] for a in perm)
    w.put(y, w.node("Expand", w.spread(x, y.rank, perm), w.shape(shape)), perm)


def resampled(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, resample.Resample)
    n, m = x.shape[op.axis], op.length
    if not isinstance(n, int) or not isinstance(m, int):
        raise w.refuse(call, "a length that is not known")
    first, second, share = op.reads(n, m)
    perm = ordered(w, x)
    axis, name = perm.index(op.axis), w.get(x, perm)
    y = w.node("Gather", name, w.ints(first), axis=axis)
    if share.any():
        column = share.reshape(-1, *(1,) * (x.rank - axis - 1)).astype(x.dtype.numpy)
        other = w.node("Gather", name, w.ints(second), axis=axis)
        y = w.node("Add", w.node("Mul", y, w.array(1 - column)), w.node("Mul", other, w.array(column)))
    w.put(call.outputs[0], y, perm)


RULES: Mapping[type[Op], Rule] = {
    softmax.Softmax: last_axis, softmax.LogSoftmax: last_axis,
    reduce.Sum: reduction, reduce.Max: reduction, reduce.Min: reduction, reduce.ArgMax: arg_max,
    movement.Concat: concat, movement.Slice: cut, movement.Pad: pad, movement.Transpose: transposed, movement.Reshape: reshaped,
    movement.BroadcastTo: expanded, resample.Resample: resampled,
}  # fmt: skip
