"""Compute equal calls once.

    a = Exp(x); b = Exp(x)             ->   a, a
    a = Add(x, y); b = Add(y, x)       ->   a, a

The first of them stays. Not for random ops, of which equal ones draw apart.
"""

from __future__ import annotations

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Op
from nnspec.ops.elementwise import Add, And, Equal, Maximum, Minimum, Multiply, Or
from nnspec.passes.rewrite import Uses, rewrite_calls

COMMUTATIVE = (Add, Multiply, Maximum, Minimum, Equal, And, Or)


def merge_equal(graph: Graph) -> Graph:
    first: dict[tuple[type[Op], Op, tuple[int, ...]], Call] = {}

    def visit(c: Call, uses: Uses) -> tuple[Value, ...] | None:
        if c.op.random:
            return None
        known = first.setdefault((type(c.op), c.op, _read(c)), c)
        return None if known is c else known.outputs

    return rewrite_calls(graph, visit)


def _read(c: Call) -> tuple[int, ...]:
    """What a call reads, in an order of no meaning where the op has none."""
    read = [id(v) for v in c.inputs]
    return tuple(sorted(read) if isinstance(c.op, COMMUTATIVE) else read)
