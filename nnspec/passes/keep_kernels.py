"""Say which convolutions and products of a program have a kernel that stands still between its runs, so that what is made of it is kept.

    Conv(x, w)                ->   Conv(kept=True)(x, w)                      where w is a parameter and the program writes no state
    MatMul(x, w)              ->   MatMul(kept='rows')(x, w)                  for matrices
    MatMul(x, Transpose(w))   ->   MatMul(kept='columns')(x, Transpose(w))

Not one of the passes that always run: a convolution knows by itself that any kernel may be another the next time.
"""

from __future__ import annotations

from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Input
from nnspec.ops.conv import Conv
from nnspec.ops.matmul import MatMul
from nnspec.ops.movement import Transpose, Unpack
from nnspec.passes.rewrite import Uses, rewrite
from nnspec.passes.schedule import UPDATE


def keep_kernels(graph: Graph) -> Graph:
    """``graph`` with convolutions and products that know whether their kernel is a parameter that this program only reads."""
    if any(name.startswith(UPDATE) for name in graph.outputs):
        return graph

    def kept(value: Value, uses: Uses) -> Value | None:
        op = value.op
        if isinstance(op, Conv) and not op.kept and _parameter(value.inputs[1]):
            return op.but(kept=True).one(*value.inputs)
        if isinstance(op, MatMul) and not op.kept and value.inputs[1].rank == 2 and (how := _how(value.inputs[1])):
            return MatMul(kept=how).one(*value.inputs)
        return None

    return rewrite(graph, kept)


def _how(w: Value) -> str:
    """How a matrix lies that is a parameter: by rows, or by columns; nothing where it is none."""
    if isinstance(w.op, Transpose) and _parameter(w.inputs[0]) and w.op.axes == (1, 0):
        return "columns"
    return "rows" if _parameter(w) else ""


def _parameter(v: Value) -> bool:
    """Whether ``v`` is a state, or a part of one."""
    held = v.inputs[0] if isinstance(v.op, Unpack) else v
    return isinstance(held.op, Input) and held.op.role == "state"
