"""Calls over rows and another axis as one: raised on what has them apart, where every layer has the rows for itself.

    reshape(x, (rows * classes, n)) ; f ; reshape back   ->   f over (rows, classes, n)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.raising.draft import Source
from nnspec.interop.raising.nodes import dense
from nnspec.interop.raising.raiser import Raiser
from nnspec.interop.raising.wholes import convolution, transposed
from nnspec.ir.graph import Call, Value, constant
from nnspec.ir.op import Composite, Op
from nnspec.ir.types import DType, known
from nnspec.ops import activation, boxes, conv, index, matmul, movement, reduce, rows, softmax
from nnspec.ops import elementwise as e

Raise: TypeAlias = Callable[[Raiser, tuple[Value, ...]], None]
Rule: TypeAlias = "Callable[[Any, list[Value], tuple[int, ...]], Value | tuple[Value, ...]]"  # op, inputs apart, the axes that were one
LAST_AXIS = (activation.Clip, activation.Gelu, activation.Softplus, softmax.Softmax, softmax.LogSoftmax, rows.Largest)  # those that look no further


def unfolded(r: Raiser, call: Call, raise_calls: Raise) -> bool:
    """Whether a call works on rows and another axis as one; it is raised on the values that have them apart."""
    if any(v in r.behind for v in call.inputs):
        return brought(r, call, raise_calls)
    if not any(v in r.folded for v in call.inputs):
        return False
    op, made = call.op, tuple[Value, ...]()
    if isinstance(op, movement.Reshape):
        reshaped(r, call.outputs[0], call.inputs[0])
        return True
    lead = led(r, call)
    inner = {v in r.inner for v in call.inputs if v in r.folded}
    if len(inner) > 1:
        raise NotImportedError("rows together with several other axes")
    if inner == {True}:
        r.inner.update(call.outputs)
    if isinstance(op, boxes.NonMaxSuppression):
        suppressed(r, call, lead)
        return True
    if type(op) in WINDOWS and call.inputs[0] in r.folded:
        made = (movement.reshape(call.outputs[0], (*lead, *sizes(call.outputs[0])[1:])),)
        WINDOWS[type(op)](r, call, r.folded[call.inputs[0]], made[0])
        r.folded[call.outputs[0]] = made[0]
        return True
    given = [apart(r, v, lead, call) for v in call.inputs]
    if isinstance(op, movement.Transpose) and op.axes[0] != 0 and inner == {False}:
        turned_behind(r, call.outputs[0], given[0], 0, op.axes, raise_calls)
        return True
    if isinstance(op, matmul.MatMul) and r.known(call.inputs[1]) is not None:
        kernel = r.array(call.inputs[1], "a factor")
        if kernel.ndim != 2:
            raise NotImportedError("a product over rows and places together")
        made = (op.one(*given),)
        dense(r, given[0], made[0], kernel, None)
    else:
        made = applied(op, given, lead)
        if made == ():
            return False
        raise_calls(r, made)
    for y, value in zip(call.outputs, made, strict=True):
        if r.known(value) is None:
            r.folded[y] = value
    return True


def reshaped(r: Raiser, y: Value, x: Value) -> None:
    """Another shape: of the axes behind those that are one, or all of them."""
    whole, new = r.folded[x], sizes(y)
    lead = sizes(whole)[: whole.rank - x.rank + 1]
    if x in r.inner and new and new[0] != prod(lead):
        if new[: len(lead)] != (*lead[1:], lead[0]):
            raise NotImportedError("a reshape of rows and places together")
        made = movement.reshape(whole, (*lead, *new[len(lead) :]))
        r.reshape(made, whole)
        r.alias(y, made, (*range(1, len(lead)), 0, *range(len(lead), y.rank)))
        return
    if not new or new[0] != prod(lead):
        r.reshape(y, whole)
        return
    r.inner.update([y] if x in r.inner else [])
    made = movement.reshape(whole, (*lead, *new[1:]))
    if made is not whole:
        r.reshape(made, whole)
    r.folded[y] = made


def led(r: Raiser, call: Call) -> tuple[int, ...]:
    """The axes that are one in a call. Raises NotImportedError where inputs do not agree."""
    found = {sizes(x)[: x.rank - v.rank + 1] for v in call.inputs if (x := r.folded.get(v)) is not None}
    if len(found) != 1:
        raise NotImportedError("rows together with several other axes")
    return found.pop()


def apart(r: Raiser, v: Value, lead: tuple[int, ...], call: Call) -> Value:
    """An input with the rows for themselves; what all rows have in common stays."""
    if v in r.folded:
        return r.folded[v]
    a = r.known(v)
    if a is None:
        raise NotImportedError("a layer over rows and places together")
    if not a.ndim or a.ndim < call.outputs[0].rank or not isinstance(call.op, e.Elementwise | movement.Concat):
        return constant(a, v.dtype)
    if a.shape[0] == prod(lead) and (a == a[:1]).all():
        a = a[:1]
    if a.shape[0] == prod(lead):
        a = a.reshape(*lead, *a.shape[1:])
        if (a != a[:1]).any():
            raise NotImportedError("a constant that differs from row to row")
        return constant(a, v.dtype)
    return constant(a.reshape(*(1,) * len(lead), *a.shape[1:]), v.dtype)


def applied(op: Op, given: list[Value], lead: tuple[int, ...]) -> tuple[Value, ...]:
    """What an op makes with the axes apart; nothing for one that is made of others. Raises NotImportedError."""
    rule = next((rule for kind, rule in RULES.items() if isinstance(op, kind)), None)
    if rule is not None:
        made = rule(op, given, lead)
    elif isinstance(op, (e.Elementwise, *LAST_AXIS)):
        made = op(*given)
    elif isinstance(op, Composite):
        return ()
    else:
        raise NotImportedError("a layer over rows and places together")
    return made if isinstance(made, tuple) else (made,)


def behind(axis: int, lead: tuple[int, ...]) -> int:
    """An axis behind those that are one. Raises NotImportedError for these."""
    if axis == 0:
        raise NotImportedError("a layer over rows and places together")
    return axis + len(lead) - 1


def broadcast(op: Any, given: list[Value], lead: tuple[int, ...]) -> Value:
    shape = known(op.shape)
    if given[0].rank != len(shape) + len(lead) - 1 or shape[0] != prod(lead):
        raise NotImportedError("rows that are repeated")
    return movement.broadcast_to(given[0], (*lead, *shape[1:]))


def cut(op: Any, given: list[Value], lead: tuple[int, ...]) -> Value:
    if (op.start[0], op.stop[0], op.step[0]) != (0, prod(lead), 1):
        raise NotImportedError("a part of the rows")
    n = len(lead)
    return op.but(start=((0,) * n + op.start[1:]), stop=(*lead, *op.stop[1:]), step=((1,) * n + op.step[1:])).one(given[0])  # type: ignore[no-any-return]


def turned(op: Any, given: list[Value], lead: tuple[int, ...]) -> Value:
    if op.axes[0] != 0:
        raise NotImportedError("rows that are not the first axis")
    return movement.transpose(given[0], (*range(len(lead)), *(a + len(lead) - 1 for a in op.axes[1:])))


def taken(op: Any, given: list[Value], lead: tuple[int, ...]) -> Value:
    """Of each list the elements that its own numbers choose: of all lists of a row behind one another, with numbers that count on."""
    x, ids = given
    many, n = prod(lead[1:]), sizes(x)[len(lead)]
    before = constant((np.arange(many) * n).reshape(1, *lead[1:], *(1,) * (ids.rank - len(lead))), DType.int64)
    flat = movement.reshape(x, (lead[0], many * n, *sizes(x)[len(lead) + 1 :]))
    return rows.take_rows(flat, e.cast(ids, DType.int64) + before)


WINDOWS: Mapping[type[Op], Callable[..., bool]] = {conv.Conv: convolution, conv.ConvInputGrad: transposed}
RULES: Mapping[type[Op], Rule] = {
    reduce.Reduction: lambda op, given, lead: op.but(axis=tuple(behind(a, lead) for a in op.axis)).one(*given),
    reduce.ArgMax: lambda op, given, lead: op.but(axis=behind(op.axis, lead)).one(*given),
    movement.Concat: lambda op, given, lead: op.but(axis=behind(op.axis, lead)).one(*given),
    matmul.MatMul: lambda op, given, lead: op.one(*given),
    movement.BroadcastTo: broadcast, movement.Slice: cut, movement.Transpose: turned, rows.TakeRows: taken,
}  # fmt: skip


def turned_behind(r: Raiser, y: Value, whole: Value, place: int, axes: tuple[int, ...], raise_calls: Raise) -> None:
    """The axes of a value whose axis ``place`` is several in ``whole``, which has them first, in another order."""
    lead = whole.rank - y.rank + 1
    rest = [lead + a - (a > place) for a in axes if a != place]
    made = movement.transpose(whole, (*range(lead), *rest))
    raise_calls(r, (made,))
    put(r, y, made, axes.index(place))


def put(r: Raiser, y: Value, whole: Value, place: int) -> None:
    if place:
        r.behind[y] = whole, place
    else:
        r.folded[y] = whole


def brought(r: Raiser, call: Call, raise_calls: Raise) -> bool:
    """A call on rows and another axis as one behind other axes, which are exchanged, or of which one place is taken."""
    op, (x, *others), y = call.op, call.inputs, call.outputs[0]
    if x not in r.behind:
        raise NotImportedError("a layer over rows and places together")
    (whole, place), lead = r.behind[x], 0
    lead = whole.rank - x.rank + 1
    if isinstance(op, movement.Transpose):
        turned_behind(r, y, whole, place, op.axes, raise_calls)
        return True
    if isinstance(op, index.Gather) and (ids := r.known(others[0])) is not None and not ids.ndim:
        part = movement.slice_axis(whole, lead, int(ids), int(ids) + 1)
        made = movement.reshape(part, (*sizes(part)[:lead], *sizes(part)[lead + 1 :]))
        raise_calls(r, (made,))
        put(r, y, made, place - 1)
        return True
    if isinstance(op, movement.Slice) and (op.start[place], op.stop[place], op.step[place]) == (0, sizes(x)[place], 1):
        rest = [a for a in range(x.rank) if a != place]
        made = movement.Slice((*(0,) * lead, *(op.start[a] for a in rest)), (*sizes(whole)[:lead], *(op.stop[a] for a in rest)),
                              (*(1,) * lead, *(op.step[a] for a in rest))).one(whole)  # fmt: skip
        raise_calls(r, (made,))
        put(r, y, made, place)
        return True
    if isinstance(op, movement.Reshape):  # which leaves out, or adds, axes of length 1
        old, new = sizes(x), sizes(y)
        at = next((p for p in range(len(new)) if prod(new[:p]) == prod(old[:place]) and new[p] == old[place]), None)
        if at is not None:
            made = movement.reshape(whole, (*sizes(whole)[:lead], *new[:at], *new[at + 1 :]))
            raise_calls(r, (made,))
            put(r, y, made, at)
            return True
    if isinstance(op, e.Elementwise) and all((a := r.known(v)) is not None and a.size == 1 for v in others):
        made = op.one(whole, *(constant(r.array(v, "a number").reshape(()), v.dtype) for v in others))
        raise_calls(r, (made,))
        put(r, y, made, place)
        return True
    raise NotImportedError("a layer over rows and places together")


def suppressed(r: Raiser, call: Call, lead: tuple[int, ...]) -> None:
    """The best boxes of each list."""
    given = [apart(r, v, lead, call) for v in call.inputs]
    if any(r.known(v) is not None for v in given):
        raise NotImportedError("boxes or scores that are known")
    op: Any = call.op
    made = r.emit("best_boxes", *(r.get(v) for v in given), maximum=op.maximum, iou_threshold=op.overlap)
    for y, source in zip(call.outputs, (made, Source(made.entry, "count")), strict=True):
        whole = movement.reshape(y, (*lead, *sizes(y)[1:]))
        r.put(whole, source)
        r.folded[y] = whole
