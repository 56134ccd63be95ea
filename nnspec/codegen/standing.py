"""Parts what follows from states alone from the rest of a graph, so that it is computed when a state was written and not in every run.

Each such value becomes a state of its own, named by how it is made: programs that need the same value share it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from nnspec.codegen.stored import spelled
from nnspec.ir.graph import Graph, Value, abstract
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import TensorType, count
from nnspec.passes.fold_factors import Standing, fold_factors
from nnspec.passes.rewrite import again
from nnspec.passes.schedule import UPDATE

MADE = "made:"  # a state of this prefix follows from others
LEAST = 1 << 16  # bytes: what is larger is kept only where it is no larger than what it is made of


class Parted(NamedTuple):
    """``first`` writes what follows from states into states of its own; ``rest`` reads these. ``first`` is None where nothing does."""

    first: Graph | None
    rest: Graph

    @property
    def made(self) -> dict[str, TensorType]:
        """The states that ``first`` writes."""
        return {} if self.first is None else {name.removeprefix(UPDATE): v.type for name, v in self.first.outputs.items()}


def folded(graph: Graph) -> Parted:
    """An answer's graph, with factors folded into kernels, parted from what only has to be made when weights have changed."""
    return part(fold_factors(graph))


def part(graph: Graph) -> Parted:
    """``graph`` in two: what follows from states alone, as far as somebody reads it, and the rest."""
    standing = Standing(graph)
    sizes: dict[Value, int] = {}
    wanted: dict[Value, str] = {}
    for c in graph.calls:
        if c.outputs[0] in standing:
            for v in c.outputs:
                sizes[v] = _bytes(v) if isinstance(c.op, Input) or _of_states(v) else sum(sizes[x] for x in c.inputs)
    read = [v for c in graph.calls if c.outputs[0] not in standing for v in c.inputs] + list(graph.outputs.values())
    seen: set[Value] = set()
    while read:
        v = read.pop()
        if v in seen or v not in standing or isinstance(v.op, Input | Constant) or not sizes[v]:
            continue
        seen.add(v)
        if v.op.view or _bytes(v) > max(sizes[v], LEAST):
            read += v.inputs
        else:
            wanted[v] = _label(v)
    if not wanted:
        return Parted(None, graph)
    makers = {label: v for v, label in sorted(wanted.items(), key=lambda item: item[1])}  # equal values have one label
    states = {label: abstract(v.type, label, "state") for label, v in makers.items()}
    first = Graph({UPDATE + label: v for label, v in makers.items()})
    return Parted(first, _instead(graph, {v: states[label] for v, label in wanted.items()}))


def _instead(graph: Graph, states: dict[Value, Value]) -> Graph:
    """``graph`` with values taken from where they are kept; from the first call that reads one all are made again, in their order."""
    found, changed = dict(states), False
    for c in graph.calls:
        if isinstance(c.op, Input):
            continue
        inputs = tuple(found.get(v, v) for v in c.inputs)
        changed = changed or inputs != c.inputs
        if changed:
            for old, new in zip(c.outputs, again(c, inputs).outputs, strict=True):
                found.setdefault(old, new)
    return Graph({name: found.get(v, v) for name, v in graph.outputs.items()})


def _label(v: Value) -> str:
    layer = v.call.origin.layer
    return f"{MADE}{layer}{':' if layer else ''}{sha256(spelled(Graph({'y': v}))).hexdigest()[:12]}"


def _of_states(v: Value) -> bool:
    """Whether ``v`` is a parameter: a part of a state, seen as it lies."""
    return v.op.view and isinstance(v.inputs[0].op, Input)


def _bytes(v: Value) -> int:
    return count(v.shape) * v.dtype.size
