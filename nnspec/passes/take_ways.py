"""Say of calls which way a backend is to go, where a tune file has timed its ways.

    Conv(x, w)   ->   Conv(way="direct")(x, w)   where the file says so of a call of this spelling

Not one of the passes that always run: where nothing is said, a backend chooses by its cost model. It comes after all others, which may
change shapes and attributes, and before calls are repeated, so that these go the same way twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from nnspec.ir.graph import Call, Graph, Value, call
from nnspec.passes.rewrite import Uses, rewrite_calls


def spelled(c: Call) -> str:
    """What makes two calls take equally long: the op, its attributes but for usual ones, and the types of its inputs.

    ``Conv(stride=(1, 1), padding='same', dilation=(1, 1)) of float32[64 x 8 x 8 x 3], float32[3 x 3 x 3 x 16]``
    """
    usual = c.op.usual()
    own = ", ".join(f"{k}={v!r}" for k, v in c.op.attributes() if k != "way" and (k not in usual or usual[k] != v))
    return f"{c.op.name}{f'({own})' if own else ''} of {', '.join(str(v.type) for v in c.inputs)}"


def take_ways(graph: Graph, ways: Mapping[str, str]) -> Graph:
    """``graph`` with the calls that ``ways`` knows by their spelling going that way."""
    ops = {text.partition(" of ")[0].partition("(")[0] for text in ways}

    def visit(c: Call, uses: Uses) -> tuple[Value, ...] | None:
        way = ways.get(spelled(c), c.op.way) if c.op.name in ops else c.op.way
        return None if way == c.op.way else call(c.op.but(way=way), c.inputs).outputs

    return rewrite_calls(graph, visit)
