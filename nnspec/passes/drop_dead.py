"""Drop what no output needs.

    dx, dw = Vjp(of, wanted=(0, 1))(x, w, g), dx never read   ->   dw = Vjp(of, wanted=(1,))(x, w, g)

A graph is what its outputs need, so whole calls fall away by themselves; this narrows gradient regions to what is
read. Outputs count as uses.
"""

from __future__ import annotations

from nnspec.autodiff import Vjp
from nnspec.ir.graph import Call, Graph, Value, call
from nnspec.passes.rewrite import Uses, rewrite_calls


def drop_dead(graph: Graph) -> Graph:
    return rewrite_calls(graph, _narrow)


def _narrow(c: Call, uses: Uses) -> tuple[Value, ...] | None:
    if not isinstance(c.op, Vjp):
        return None
    read = [i for i, v in enumerate(c.outputs) if uses[v]]
    if len(read) == len(c.outputs) or not read:
        return None
    narrow = call(c.op.but(wanted=tuple(c.op.wanted[i] for i in read)), c.inputs)
    results = dict(zip(read, narrow.outputs, strict=True))
    return tuple(results.get(i, v) for i, v in enumerate(c.outputs))
