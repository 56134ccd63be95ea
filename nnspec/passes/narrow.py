"""Give 16 bits of memory to what is rounded to 16 bits, for a backend whose products read them.

    Rounded(x)                           ->   Cast(float32)(Cast(to)(x))
    Rounded(MatMul(Rounded(x), ...))     ->   Cast(float32)(MatMul(Cast(to)(x), ...))      summed in float32, rounded once
    Reshape(Cast(float32)(h))            ->   Cast(float32)(Reshape(h))                    what moves moves half as much

All else computes in float32, from casts of its own in each layer, so that no more than 16 bits lie in memory between one and the next.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnspec.ir.graph import Call, Graph, Origin, Value, origin, recall
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import DType
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.ops.elementwise import Abs, Cast, Maximum, Minimum, Negative, Relu, Where
from nnspec.ops.matmul import MatMul
from nnspec.ops.movement import BroadcastTo, Concat, Reshape, Slice, Transpose
from nnspec.ops.rounding import Rounded, nearest

PRODUCTS = (MatMul, Conv, ConvInputGrad, ConvKernelGrad)
EXACT = (Relu, Where, Maximum, Minimum, Negative, Abs)  # of what 16 bits hold they make what 16 bits hold
MOVES = (Reshape, Transpose, Slice, BroadcastTo, Concat)


def narrow(graph: Graph, multiplies: Callable[[Call], bool]) -> Graph:
    """``graph`` with values of 16 bits; ``multiplies`` says which products read and give them. Not where nothing is rounded."""
    if not any(isinstance(c.op, Rounded) for c in graph.calls):
        return graph
    walk = _Narrowed(graph, multiplies)
    for c in graph.calls:
        with origin(c.origin.layer, c.origin.stage):
            walk.visit(c)
    return Graph({name: walk.wide(v, v.call.origin) for name, v in graph.outputs.items()})


class _Narrowed:
    """What became of each value: one of float32, or one of 16 bits that is cast where it is read."""

    def __init__(self, graph: Graph, multiplies: Callable[[Call], bool]) -> None:
        self.multiplies = multiplies
        self.found: dict[Value, Value] = {}
        self.short: dict[Value, Value] = {}
        self.casts: dict[tuple[Value, Origin], Value] = {}
        self.readers: dict[Value, list[Call | None]] = {v: [None] for v in graph.outputs.values()}
        for c in graph.calls:
            for v in c.inputs:
                self.readers.setdefault(v, []).append(c)

    def visit(self, c: Call) -> None:
        short = [self.short.get(v) for v in c.inputs]
        if isinstance(c.op, Input | Constant):
            self.found[c.outputs[0]] = c.outputs[0]
        elif isinstance(c.op, Rounded) and c.inputs[0].dtype == DType.float32:
            (h,) = short
            self.short[c.outputs[0]] = h if h is not None and h.dtype == c.op.to else Cast(c.op.to).one(self.wide(c.inputs[0], c.origin))
        elif isinstance(c.op, MOVES) or (isinstance(c.op, PRODUCTS) and self._rounds(c) and self.multiplies(c)):
            known = [h for h in short if h is not None]
            if known and len(known) == len(short) and len({h.dtype for h in known}) == 1:
                self.short[c.outputs[0]] = c.op.one(*known)
            else:
                self._again(c)
        else:
            self._again(c)
            if isinstance(c.op, EXACT) and (to := self._exact(c)) is not None:
                self.short[c.outputs[0]] = Cast(to).one(self.found[c.outputs[0]])

    def _exact(self, c: Call) -> DType | None:
        """The type of 16 bits that holds all that a call reads."""
        floats = [v for v in c.inputs if v.dtype == DType.float32]
        types = {self.short[v].dtype for v in floats if v in self.short}
        if len(types) != 1 or c.outputs[0].dtype != DType.float32:
            return None
        (to,) = types
        rest = [v for v in floats if v not in self.short]
        return to if all(isinstance(v.op, Constant) and np.array_equal(nearest(v.op.data, to), v.op.data) for v in rest) else None

    def _rounds(self, c: Call) -> bool:
        """Whether all that reads a product rounds it first."""
        return all(r is not None and isinstance(r.op, Rounded) for r in self.readers.get(c.outputs[0], ()))

    def _again(self, c: Call) -> None:
        made = recall(c, tuple([self.wide(v, c.origin) for v in c.inputs]))
        self.found.update(zip(c.outputs, made.outputs, strict=True))

    def wide(self, v: Value, where: Origin) -> Value:
        """A value in float32, for a reader in a layer and stage."""
        if v not in self.short:
            return self.found[v]
        key = v, where
        if key not in self.casts:
            self.casts[key] = Cast(DType.float32).one(self.short[v])
        return self.casts[key]
