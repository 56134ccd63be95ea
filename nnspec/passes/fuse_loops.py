"""Compute together what walks the same elements.

    Relu(Add(x, b))   ->   Fused[relu(a + b)](x, b)
    Relu(Add(Conv(x, w), b))   ->   Followed[Conv, relu(a + b)](x, w, b)

Only calls that the backend's loop nests take, and only where it says that they gain by it. What a nest computes besides
its outputs is never in memory. ``nests`` says which calls stand together.
"""

from __future__ import annotations

from nnspec.ir.graph import Call, Graph, Value, abstract, constant, origin
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import TensorType, count
from nnspec.ops.elementwise import both
from nnspec.ops.fused import Followed, Fused, letter
from nnspec.ops.reduce import AllFinite
from nnspec.passes.levels import Loops
from nnspec.passes.nests import Nest, Nests
from nnspec.passes.rewrite import Uses, again, rewrite


def fuse_loops(graph: Graph, loops: Loops | None = None) -> Graph:
    if loops is None:
        return graph
    return _Rebuilt(Nests(rewrite(graph, _apart), loops), loops.exact).graph


def _apart(value: Value, uses: Uses) -> Value | None:
    """``AllFinite(x, y, n)`` of two shapes as ``And(AllFinite(x, n), AllFinite(y))``: each belongs to other loops, a number to any."""
    if not isinstance(value.op, AllFinite):
        return None
    groups: dict[TensorType, list[Value]] = {}
    for v in value.inputs:
        if count(v.shape) > 1:
            groups.setdefault(v.type, []).append(v)
    for v in value.inputs:
        if count(v.shape) <= 1:
            like = next((t for t in groups if t.dtype == v.dtype), v.type)
            groups.setdefault(like, []).append(v)
    if len(groups) < 2:
        return None
    first, *rest = (AllFinite().one(*group) for group in groups.values())
    for other in rest:
        first = both(first, other)
    return first


class _Rebuilt:
    """A graph made again with its nests as calls."""

    def __init__(self, nests: Nests, exact: bool) -> None:
        self.nests, self.exact = nests, exact
        self.found: dict[Value, Value] = {}
        last = {nest: c for c in nests.graph.calls for nest in [nests.home.get(c)] if nest is not None}
        for c in nests.graph.calls:
            nest = nests.home.get(c)
            if nest is None or last[nest] is c:
                self._make(c)
        self.graph = Graph({name: self.found[v] for name, v in nests.graph.outputs.items()})

    def _make(self, c: Call) -> None:
        """The unit of ``c``, after all that it reads."""
        stack: list[Call] = [c]
        while stack:
            c = stack[-1]
            nest = self.nests.home.get(c)
            missing = [v.call for v in self._read(c, nest) if v not in self.found]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            if nest is None:
                self._again(c)
            elif any(v not in self.found for v in nest.outputs):
                self._fused(nest)

    def _read(self, c: Call, nest: Nest | None) -> list[Value]:
        if nest is None:
            return [] if c.outputs[0] in self.found else list(c.inputs)
        if all(v in self.found for v in nest.outputs):
            return []
        return [v for m in nest.calls if m in nest.inside for v in m.inputs if v.call not in nest.inside]

    def _again(self, c: Call) -> None:
        if c.outputs[0] in self.found:
            return
        made = c if isinstance(c.op, Input) else again(c, tuple(self.found[v] for v in c.inputs))
        self.found.update(zip(c.outputs, made.outputs, strict=True))

    def _fused(self, nest: Nest) -> None:
        """One call for a nest, under the layer and stage of its last one."""
        first = nest.first
        calls = sorted((c for c in nest.calls if c in nest.inside and c is not first), key=lambda c: c.serial)
        own = {v: abstract(v.type, letter(0)) for v in (first.outputs if first else ())}
        given: list[Value] = []
        for v in dict.fromkeys(v for c in calls for v in c.inputs if v.call not in nest.inside):
            if isinstance(v.op, Constant) and v.op.data.size == 1:
                own[v] = constant(v.op.data, v.dtype)
            else:
                own[v] = abstract(v.type, letter(len(given) + (first is not None)))
                given.append(v)
        for c in calls:
            made = again(c, tuple(own[v] for v in c.inputs))
            own.update(zip(c.outputs, made.outputs, strict=True))
        outputs = sorted(nest.outputs, key=lambda v: v.call.serial)
        body = Graph({f"y{i}": own[v] for i, v in enumerate(outputs)})
        op = Followed(first.op, body, self.exact) if first else Fused(body, self.exact)
        given = [*(first.inputs if first else ()), *given]
        layer, stage = calls[-1].origin
        with origin(layer, stage):
            made = Call(op, tuple(self.found[v] for v in given), tuple(v.type for v in outputs), calls[-1].origin)
        self.found.update(zip(outputs, made.outputs, strict=True))
