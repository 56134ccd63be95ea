"""Take the largest of a window before what rises with it.

    MaxPool(Relu(x))    ->   Relu(MaxPool(x))       (Clip, Sigmoid, Tanh and Rounded too)
    MaxPool(x + b)      ->   MaxPool(x) + b         only where b is the same at all places

Only where the pool leaves fewer numbers, nothing else reads what is pooled, and nothing reads which place was the largest. Before
gradients are made, so that theirs are of the few numbers too. What ties after rounding, or below 0, may come from another place.
"""

from __future__ import annotations

from nnspec.ir.graph import Graph, Value
from nnspec.ir.types import count
from nnspec.ops.activation import Clip
from nnspec.ops.elementwise import Add, Relu, Sigmoid, Tanh
from nnspec.ops.movement import BroadcastTo, reshape
from nnspec.ops.pool import MaxPool
from nnspec.ops.rounding import Rounded
from nnspec.passes.rewrite import Uses, rewrite

RISING = (Relu, Clip, Sigmoid, Tanh, Rounded)


def pool_first(graph: Graph) -> Graph:
    return rewrite(graph, _pooled)


def _pooled(value: Value, uses: Uses) -> Value | None:
    pool = value.op
    if not isinstance(pool, MaxPool) or value is not value.call.outputs[0] or uses[value.call.outputs[1]]:
        return None
    (x,) = value.inputs
    if uses[x] != 1 or not count(value.shape) < count(x.shape):
        return None
    if isinstance(x.op, RISING):
        return x.op.one(pool(x.inputs[0])[0])
    if isinstance(x.op, Add):
        a, b = x.inputs
        for source, other in ((a, b), (b, a)):
            small = _by_channel(other)
            if small is not None and source.shape == x.shape:
                return Add().one(pool(source)[0], small)
    return None


def _by_channel(b: Value) -> Value | None:
    """A number for each channel, or for all of them; None where rows or places differ."""
    while isinstance(b.op, BroadcastTo):
        (b,) = b.inputs
    if any(d != 1 for d in b.shape[:-1]):
        return None
    return b if b.rank < 2 else reshape(b, b.shape[-1:])
