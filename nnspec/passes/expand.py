"""Replace composites by what they are built from.

    Softmax(x)   ->   Divide(Exp(Subtract(x, Max(x))), Sum(Exp(Subtract(x, Max(x)))))

Not where ``claims`` says that the backend has a kernel for the whole. What is inside is expanded too, and belongs to
the composite's layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Composite
from nnspec.passes.rewrite import Uses, rewrite_calls

Claims: TypeAlias = Callable[[Composite], bool]


def never(op: Composite) -> bool:
    """No composite is claimed."""
    return False


def expand(graph: Graph, claims: Claims = never) -> Graph:
    def visit(c: Call, uses: Uses) -> tuple[Value, ...] | None:
        if not isinstance(c.op, Composite) or claims(c.op):
            return None
        built = c.op.build(*c.inputs)
        return built if isinstance(built, tuple) else (built,)

    return rewrite_calls(graph, visit)
