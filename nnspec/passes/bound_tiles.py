"""Say how large Winograd's tiles may be in a program's convolutions: what they save in products they cost in last bits.

    Conv(x, w)   ->   Conv(tiles=0)(x, w)   where nothing may be reordered (math: strict), and its two gradients
    Conv(x, w)   ->   Conv(tiles=4)(x, w)   where no gradient is in the graph: nothing is learned from what it decides

Not one of the passes that always run: a convolution says itself what is usual.
"""

from __future__ import annotations

from nnspec.ir.graph import Graph, Value
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.passes.rewrite import Uses, rewrite


def bound_tiles(graph: Graph, strict: bool = False) -> Graph:
    """``graph`` with convolutions that know how large tiles may be."""
    if not strict and any(isinstance(c.op, ConvInputGrad | ConvKernelGrad) for c in graph.calls):
        return graph
    tiles = 0 if strict else 4

    def bounded(value: Value, uses: Uses) -> Value | None:
        op = value.op
        if isinstance(op, Conv | ConvInputGrad | ConvKernelGrad) and op.tiles != tiles:
            return op.but(tiles=tiles).one(*value.inputs)
        return None

    return rewrite(graph, bounded)
