"""Compute what depends on constants alone.

    Multiply(2.0, 3.0)   ->   6.0

Not for results above 64 kB, which would be carried in the program; not for a broadcast, which costs nothing where it
is read; and not for random ops.
"""

from __future__ import annotations

import numpy as np

from nnspec.ir.graph import Call, Graph, Value, constant
from nnspec.ir.interpret import run
from nnspec.ir.op import Constant
from nnspec.ir.types import count
from nnspec.ops.movement import BroadcastTo
from nnspec.passes.rewrite import Uses, rewrite_calls

LIMIT = 64 * 1024  # bytes


def fold_constants(graph: Graph) -> Graph:
    return rewrite_calls(graph, _fold)


def _fold(c: Call, uses: Uses) -> tuple[Value, ...] | None:
    if not c.inputs or not all(isinstance(v.op, Constant) for v in c.inputs):
        return None
    if c.op.random or isinstance(c.op, BroadcastTo):
        return None
    if sum(count(v.shape) * v.dtype.size for v in c.outputs) > LIMIT:
        return None
    with np.errstate(all="ignore"):
        results = run(c, [v.op.data for v in c.inputs if isinstance(v.op, Constant)])
    return tuple(constant(r, v.dtype) for r, v in zip(results, c.outputs, strict=True))
