"""Small tiles for gradients of convolutions that are sums of few numbers, where an optimizer makes a step of any noise.

    ConvKernelGrad(x, g), ConvInputGrad(g, w)   ->   the same with tiles=2, where ``g`` does not come from a normalisation

Behind a relu, a pool or a dropout much of ``g`` is zero, and some weights see nothing in a batch or next to nothing. What Winograd's tiles of 4
round there (up to 2e-6 of the largest sum of a filter; those of 2 an eighth of it) is a step like any other to an optimizer that divides by a
gradient's size, as Adam does. A normalisation gives every place its share. Not one of the passes that always run: the step knows its optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.autodiff import Vjp
from nnspec.ir.graph import Graph, Value
from nnspec.ops.conv import ConvInputGrad, ConvKernelGrad
from nnspec.ops.elementwise import Subtract
from nnspec.ops.movement import Reshape, Transpose
from nnspec.ops.normalization import BatchNorm, GroupNorm, LayerNorm, RmsNorm
from nnspec.ops.reduce import Sum
from nnspec.passes.rewrite import Uses, rewrite

TILES = 2
NORMS = BatchNorm | GroupNorm | LayerNorm | RmsNorm


def quiet_gradients(graph: Graph) -> Graph:
    """``graph`` with gradients that round little."""

    def quiet(value: Value, uses: Uses) -> Value | None:
        op = value.op
        if isinstance(op, ConvInputGrad | ConvKernelGrad) and op.tiles > TILES and not _dense(value.inputs[isinstance(op, ConvKernelGrad)]):
            return op.but(tiles=TILES).one(*value.inputs)
        return None

    return rewrite(graph, quiet)


def _dense(g: Value) -> bool:
    """Whether a gradient is what a layer makes by taking from each place what all have in common, as normalisations do."""
    while isinstance(g.op, Reshape | Transpose):
        g = g.inputs[0]
    if isinstance(g.op, Vjp):
        return isinstance(g.op.of, NORMS)
    return any(isinstance(v.op, Subtract) and any(isinstance(x.op, Sum) for x in _within(v)) for v in _within(g))


def _within(v: Value) -> Iterator[Value]:
    """A value and those that it is made of in the same layer."""
    home, waiting, seen = v.call.origin, [v], {v}
    while waiting:
        yield (here := waiting.pop())
        for x in here.inputs:
            if x not in seen and x.call.origin == home:
                seen.add(x)
                waiting.append(x)
