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
from nnspec.ops import activation, boxes, conv, matmul, movement, reduce, rows, softmax
from nnspec.ops import elementwise as e

Raise: TypeAlias = Callable[[Raiser, tuple[Value, ...]], None]
Rule: TypeAlias = "Callable[[Any, list[Value], tuple[int, ...]], Value | tuple[Value, ...]]"  # op, inputs apart, the axes that were one
LAST_AXIS = (activation.Clip, activation.Gelu, activation.Softplus, softmax.Softmax, softmax.LogSoftmax, rows.Largest)  # those that look no further


def unfolded(r: Raiser, call: Call, raise_calls: Raise) -> bool:
    """Whether a call works on rows and another axis as one; it is raised on the values that have them apart."""
    if not any(v in r.folded for v in call.inputs):
        return False
    op, made = call.op, tuple[Value, ...]()
    if isinstance(op, movement.Reshape):
        reshaped(r, call.outputs[0], call.inputs[0])
        return True
    lead = led(r, call)
    if isinstance(op, boxes.NonMaxSuppression):
        suppressed(r, call, lead)
        return True
    if type(op) in WINDOWS and call.inputs[0] in r.folded:
        made = (movement.reshape(call.outputs[0], (*lead, *sizes(call.outputs[0])[1:])),)
        WINDOWS[type(op)](r, call, r.folded[call.inputs[0]], made[0])
        r.folded[call.outputs[0]] = made[0]
        return True
    given = [apart(r, v, lead, call) for v in call.inputs]
    if isinstance(op, matmul.MatMul):
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
    if not new or new[0] != prod(lead):
        r.reshape(y, whole)
        return
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
    movement.BroadcastTo: broadcast, movement.Slice: cut, movement.Transpose: turned, rows.TakeRows: taken,
}  # fmt: skip


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
