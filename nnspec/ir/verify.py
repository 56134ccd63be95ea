"""Checks that a graph keeps its promises; run between passes in tests."""

from __future__ import annotations

from nnspec.ir.graph import Call, Graph
from nnspec.ir.op import Input


def verify(graph: Graph) -> None:
    """Raises AssertionError where types are stale, an input's name stands twice, or a call reads what comes later."""
    seen: set[Call] = set()
    labels: set[str] = set()
    for c in graph.calls:
        for v in c.inputs:
            assert v.call in seen, f"{c} reads {v} before it is made"
            assert v is v.call.outputs[v.index], f"{c} reads a value that its call does not own"
        assert c.op.types(*(v.type for v in c.inputs)) == tuple(v.type for v in c.outputs), f"stale type of {c}"
        if isinstance(c.op, Input):
            assert c.op.label not in labels, f"two inputs are called {c.op.label}"
            labels.add(c.op.label)
        seen.add(c)
