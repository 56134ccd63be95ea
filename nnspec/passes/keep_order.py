"""Hold convolutions to the sums as they are written (``math: strict``).

    Conv(x, w)   ->   Conv(exact)(x, w)   and its two gradients

Not one of the passes that always run: it makes programs slower, for last bits.
"""

from __future__ import annotations

from nnspec.ir.graph import Graph, Value
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.passes.rewrite import Uses, rewrite


def keep_order(graph: Graph) -> Graph:
    return rewrite(graph, _held)


def _held(value: Value, uses: Uses) -> Value | None:
    op = value.op
    if isinstance(op, Conv | ConvInputGrad | ConvKernelGrad) and not op.exact:
        return op.but(exact=True).one(*value.inputs)
    return None
