"""Round what products and convolutions read and give to 16 bits, and what lies between them.

    MatMul(x, w)        ->   Rounded(MatMul(Rounded(x), Rounded(w)))      convolutions, too
    Add(h, b)           ->   Rounded(Add(h, b))                           where h has 16 bits, and b has, or is made of parameters alone
    BatchNorm(h, ...)   ->   Rounded(BatchNorm(h, ...))                   inside it is float32: statistics, means, functions
    Relu(h)             stays: of numbers that 16 bits hold it makes such numbers

All else computes in float32: reductions, softmax, exponentials, logarithms, powers, losses. Before gradients are made, which
are rounded where what they are of was. The rules are those of PyTorch's autocast; normalisation gives 16 bits, as in Keras.
"""

from __future__ import annotations

import numpy as np

from nnspec.ir.graph import Call, Graph, Value, origin, recall
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import DType
from nnspec.ops.activation import Clip, Gelu, Softplus
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.ops.elementwise import Abs, Add, Divide, Erf, Maximum, Minimum, Multiply, Negative, Relu, Sigmoid, Step, Subtract, Tanh, Where
from nnspec.ops.grid_sample import GridSample
from nnspec.ops.index import Gather, Pick
from nnspec.ops.matmul import Linear, MatMul
from nnspec.ops.movement import BroadcastTo, Concat, Pad, Reshape, Slice, Transpose, Unpack
from nnspec.ops.normalization import BatchNorm, GroupNorm, LayerNorm, LocalResponseNorm, RmsNorm
from nnspec.ops.pool import AvgPool, MaxPool, WindowMax
from nnspec.ops.reduce import Max, Min
from nnspec.ops.resample import Resample, ResampleAxes
from nnspec.ops.rounding import rounded
from nnspec.ops.rows import Largest, StopGradient, TakeRows

PRODUCTS = (MatMul, Linear, Conv, ConvInputGrad, ConvKernelGrad)
BETWEEN = (Add, Subtract, Multiply, Divide)  # rounded once more
EXACT = (Negative, Abs, Relu, Step, Maximum, Minimum, Where, Reshape, Transpose, BroadcastTo, Concat, Slice, Pad, MaxPool, WindowMax, Max, Min,
         Gather, Pick, TakeRows, Largest, StopGradient)  # of what 16 bits hold they make what 16 bits hold
INSIDE = (BatchNorm, LayerNorm, RmsNorm, GroupNorm, LocalResponseNorm, AvgPool, Resample, ResampleAxes, GridSample, Sigmoid, Tanh, Erf, Gelu,
          Softplus, Clip)  # float32 inside


def mix_precision(graph: Graph, to: DType) -> Graph:
    """``graph`` with products of ``to``; inputs, constants and parameters stay the values they are."""
    mixed = _Mixed(to)
    for c in graph.calls:
        mixed.visit(c)
    return Graph({name: mixed.found[v] for name, v in graph.outputs.items()})


class _Mixed:
    """What became of each value, as the calls are visited in order."""

    def __init__(self, to: DType) -> None:
        self.to = to
        self.found: dict[Value, Value] = {}
        self.fed: set[Value] = set()  # what depends on data: the rest is made of parameters and numbers, and is as precise as who reads it
        self.half: set[Value] = set()  # what 16 bits hold

    def visit(self, c: Call) -> None:
        if isinstance(c.op, Input | Constant | Unpack):
            made, results = c, c.outputs
        else:
            with origin(c.origin.layer, c.origin.stage):
                inputs = tuple([self.found[v] for v in c.inputs])
                made = recall(c, tuple([rounded(x, self.to) for x in inputs]) if isinstance(c.op, PRODUCTS) else inputs, c.op)
                results = self.results(made)
        self.found.update(zip(c.outputs, results, strict=True))
        if (isinstance(c.op, Input) and c.op.role == "data") or any(self.found[v] in self.fed for v in c.inputs):
            self.fed.update(results)

    def results(self, made: Call) -> tuple[Value, ...]:
        """A call's results, those that have 16 bits rounded where they were not."""
        floats = [x for x in made.inputs if x.dtype == DType.float32]
        held = [x in self.half for x in floats]
        if isinstance(made.op, PRODUCTS):
            return self._kept(made.outputs, False)
        if isinstance(made.op, INSIDE) and floats and held[0]:
            return (*self._kept(made.outputs[:1], False), *made.outputs[1:])
        if isinstance(made.op, BETWEEN + EXACT) and any(held) and not any(self._wide(x) for x in floats):
            return self._kept(made.outputs, isinstance(made.op, EXACT) and all(held))
        return made.outputs

    def _wide(self, x: Value) -> bool:
        """Whether a value asks for float32: it was never rounded, or is a number that 16 bits do not hold."""
        if isinstance(x.op, Constant):
            return bool(np.abs(x.op.data).max(initial=0) > self.to.largest)
        return x in self.fed and x not in self.half

    def _kept(self, values: tuple[Value, ...], exact: bool) -> tuple[Value, ...]:
        found = tuple([rounded(v, self.to) if v.dtype == DType.float32 and not exact else v for v in values])
        self.half.update(v for v in found if v.dtype == DType.float32)
        return found
