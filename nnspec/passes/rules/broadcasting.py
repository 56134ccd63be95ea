"""Broadcasts that an op does by itself, or that are cheaper after it."""

from __future__ import annotations

from math import prod

from nnspec.ir.graph import Value, constant
from nnspec.ir.types import Shape, count
from nnspec.ops.elementwise import broadcast
from nnspec.ops.movement import BroadcastTo, Reshape, Transpose, broadcast_to, reshape
from nnspec.ops.reduce import Sum, sum_
from nnspec.passes.rewrite import Uses
from nnspec.passes.rules.constants import number


def unspread(value: Value, uses: Uses) -> Value | None:
    """Elementwise ops broadcast by themselves.

        Add(BroadcastTo(c), x)                ->   Add(c, x)                        the result's shape unchanged
        Add(BroadcastTo(a), BroadcastTo(b))   ->   BroadcastTo(Add(a, b))           computed before it is repeated

    The second only where ``a`` and ``b`` together are smaller than the result.
    """
    inputs = list(value.inputs)
    for i, x in enumerate(inputs):
        if isinstance(x.op, BroadcastTo):
            tried = [*inputs[:i], x.inputs[0], *inputs[i + 1 :]]
            if broadcast(*(v.shape for v in tried)) == value.shape:
                inputs = tried
    if inputs != list(value.inputs):
        return value.op.one(*inputs)
    bare = [x.inputs[0] if isinstance(x.op, BroadcastTo) else x for x in inputs]
    if bare == inputs or count(broadcast(*(v.shape for v in bare))) >= count(value.shape):
        return None
    return broadcast_to(value.op.one(*bare), value.shape)


def respread(value: Value, uses: Uses) -> Value | None:
    """Broadcasts of broadcasts.

        BroadcastTo(BroadcastTo(x))     ->   BroadcastTo(x)
        BroadcastTo(x) to its own shape ->   x
    """
    (x,) = value.inputs
    if x.type == value.type:
        return x
    return broadcast_to(x.inputs[0], value.shape) if isinstance(x.op, BroadcastTo) else None


def respread_number(value: Value, uses: Uses) -> Value | None:
    """A number everywhere is that under any shape.

        Reshape(BroadcastTo(1.0))     ->   BroadcastTo(1.0)
        Transpose(BroadcastTo(1.0))   ->   BroadcastTo(1.0)
    """
    (x,) = value.inputs
    while isinstance(x.op, Reshape | Transpose):
        x = x.inputs[0]
    held = number(x) if isinstance(x.op, BroadcastTo) else None
    return None if held is None else broadcast_to(constant(held, value.dtype), value.shape)


def sum_of_spread(value: Value, uses: Uses) -> Value | None:
    """What is repeated n times is multiplied by n.

        Sum(BroadcastTo(x))   ->   BroadcastTo(n * Sum(x))   n the number of repetitions that are summed

    Only for floats, and only where a summed axis was repeated. Rounds otherwise than adding n times does.
    """
    (x,) = value.inputs
    assert isinstance(value.op, Sum)
    if not isinstance(x.op, BroadcastTo) or not value.dtype.is_float:
        return None
    (small,) = x.inputs
    padded: Shape = (1,) * (x.rank - small.rank) + small.shape
    times = prod(count(x.shape[a : a + 1]) for a in value.op.axis if padded[a] != x.shape[a])
    if times == 1:
        return None
    summed = sum_(reshape(small, padded), tuple(a for a in value.op.axis if padded[a] == x.shape[a]), keep=True)
    return reshape(broadcast_to(summed * float(times), value.op.kept(x.shape)), value.shape)
