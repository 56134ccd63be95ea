"""Fold a factor and a summand of each channel into the convolution or product before them, where all of these stand still.

    Multiply(Conv(x, w), s)         ->   Conv(x, w * s)
    Multiply(Add(y, b), s)          ->   Add(Multiply(y, s), b * s)        where y is a convolution or a product
    Add(Add(y, b), t)               ->   Add(y, b + t)
    Multiply(Reshape(y), s)         ->   Reshape(Multiply(y, s))           where the last axis stays what it is

So batch normalisation behind a convolution costs an answer nothing. Not one of the passes that always run: a training step moves its
weights, and ``math: strict`` multiplies in the order that the network says.
"""

from __future__ import annotations

from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ops.conv import Conv, ConvInputGrad
from nnspec.ops.elementwise import Add, Multiply
from nnspec.ops.matmul import MatMul
from nnspec.ops.movement import Reshape, reshape
from nnspec.ops.rounding import Rounded
from nnspec.passes.rewrite import Uses, rewrite


class Standing:
    """Which values follow from states and constants alone, so that they stand still between two writes of a state."""

    def __init__(self, graph: Graph) -> None:
        self._found: dict[Value, bool] = {}
        for c in graph.calls:  # in their order, so that no answer is far away
            self._found.update(dict.fromkeys(c.outputs, c.outputs[0] in self))

    def __contains__(self, v: Value) -> bool:
        if v not in self._found:
            op = v.op
            held = isinstance(op, Constant) or isinstance(op, Input) and op.role == "state"
            # What is rounded to 16 bits stays where the backend sees that it is.
            self._found[v] = held or bool(v.inputs) and not op.random and not isinstance(op, Rounded) and all(x in self for x in v.inputs)
        return self._found[v]


def fold_factors(graph: Graph) -> Graph:
    """``graph`` with what multiplies and adds to whole channels of a convolution or product folded into its kernel and its bias."""
    standing = Standing(graph)

    def channels(v: Value) -> bool:
        return v.rank <= 1 and v in standing

    def fold(value: Value, uses: Uses) -> Value | None:
        if len(value.inputs) != 2:
            return None
        for y, s in (value.inputs, value.inputs[::-1]):
            if channels(s) and not channels(y) and uses[y] == 1:
                made = _multiplied(y, s, uses) if isinstance(value.op, Multiply) else _added(y, s, uses) if isinstance(value.op, Add) else None
                if made is not None and made.type == value.type:
                    return made
        return None

    def _multiplied(y: Value, s: Value, uses: Uses) -> Value | None:
        match y:
            case Value(Conv(), (x, w)) if w in standing:
                return y.op.one(x, w * s)
            case Value(ConvInputGrad(groups=1), (x, w)) if w in standing:
                return y.op.one(x, w * (reshape(s, (*s.shape, 1)) if s.rank else s))
            case Value(MatMul(), (x, w)) if w.rank == 2 and w in standing:
                return y.op.one(x, w * s)
            case Value(Add(), (a, b)):
                for inner, bias in ((a, b), (b, a)):
                    if channels(bias) and uses[inner] == 1 and _product(inner, standing):
                        return inner * s + bias * s
            case Value(Reshape(shape=shape), (inner,)) if uses[inner] == 1 and _product(inner, standing) and shape[-1:] == inner.shape[-1:]:
                return reshape(inner * s, shape)
        return None

    def _added(y: Value, t: Value, uses: Uses) -> Value | None:
        if isinstance(y.op, Add):
            for inner, bias in (y.inputs, y.inputs[::-1]):
                if channels(bias) and _product(inner, standing):
                    return inner + (bias + t)
        return None

    return rewrite(graph, fold)


def _product(v: Value, standing: Standing) -> bool:
    """Whether ``v`` is a convolution or product with a kernel that stands, seen in any shape with the same last axis."""
    if isinstance(v.op, Reshape) and v.shape[-1:] == v.inputs[0].shape[-1:]:
        v = v.inputs[0]
    return isinstance(v.op, Conv | ConvInputGrad | MatMul) and v.inputs[1] in standing
