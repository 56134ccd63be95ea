"""Rewrite algebra and movement to what needs less work.

    x * 1                     ->   x
    Transpose(Transpose(x))   ->   x
    Sum(BroadcastTo(x))       ->   n * x

The rules, with when they must not fire, stand in ``rules``; here is which op they are tried on, in order.
"""

from __future__ import annotations

from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Op
from nnspec.ops.elementwise import Add, Cast, Divide, Multiply, Negative, Power, Subtract, Where
from nnspec.ops.matmul import MatMul
from nnspec.ops.movement import BroadcastTo, Concat, Pad, Reshape, Slice, Transpose, Unpack
from nnspec.ops.pool import MaxPool
from nnspec.ops.reduce import Max, Min, Sum
from nnspec.ops.rows import StopGradient
from nnspec.passes.rewrite import Rule, Uses, rewrite
from nnspec.passes.rules import arithmetic, broadcasting, moving, places

RULES: dict[type[Op], tuple[Rule, ...]] = {
    Add: (arithmetic.add,),
    Subtract: (arithmetic.subtract,),
    Multiply: (arithmetic.multiply,),
    Divide: (arithmetic.divide,),
    Negative: (arithmetic.negative,),
    Power: (arithmetic.power,),
    Where: (arithmetic.where,),
    Cast: (arithmetic.recast,),
    BroadcastTo: (broadcasting.respread,),
    Reshape: (moving.reshaped, broadcasting.respread_number),
    Transpose: (moving.transposed, broadcasting.respread_number),
    Concat: (moving.joined,),
    Slice: (moving.sliced,),
    Pad: (moving.padded,),
    Unpack: (moving.unpacked,),
    MatMul: (arithmetic.outer, arithmetic.inner),
    Sum: (moving.reduced, broadcasting.sum_of_spread, arithmetic.sum_of_negative),
    Max: (moving.reduced,),
    Min: (moving.reduced,),
    MaxPool: (places.unasked,),
    StopGradient: (moving.passed,),
}


def simplify(graph: Graph) -> Graph:
    return rewrite(graph, _simpler)


def _simpler(value: Value, uses: Uses) -> Value | None:
    for rule in RULES.get(type(value.op), ()):
        found = rule(value, uses)
        if found is not None:
            return found
    return broadcasting.unspread(value, uses) if value.op.elementwise else None
