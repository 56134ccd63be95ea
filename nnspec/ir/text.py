"""A graph as text: one line a call, stable, for golden files and for reading."""

from __future__ import annotations

from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Constant, Input


def show(graph: Graph) -> str:
    """``%3 = Add(%1, %2) : float32[4 x 8]   # dense_1`` for each call, outputs last."""
    names: dict[Value, str] = {}
    lines: list[str] = []
    for c in graph.calls:
        if isinstance(c.op, Input):
            names[c.outputs[0]] = f"%{c.op.label}"
            lines.append(f"%{c.op.label} : {c.outputs[0].type} ({c.op.role})")
            continue
        first = len(names)
        for i, v in enumerate(c.outputs):
            names[v] = f"%{first + i}"
        if isinstance(c.op, Constant) and c.op.data.size == 1:
            names[c.outputs[0]] = f"{c.op.data.item()!r}"
            continue
        left = ", ".join(names[v] for v in c.outputs)
        right = ", ".join(names[v] for v in c.inputs)
        text = f"Constant{list(c.op.data.shape)}" if isinstance(c.op, Constant) else repr(c.op)
        note = f"   # {c.origin.layer} {c.origin.stage}".rstrip() if c.origin.layer else ""
        lines.append(f"{left} = {text}({right}) : {', '.join(str(v.type) for v in c.outputs)}{note}")
    lines += [f"return {name} = {names[v]}" for name, v in graph.outputs.items()]
    return "\n".join(lines) + "\n"
