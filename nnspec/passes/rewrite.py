"""Walks a graph once and rebuilds it through a rule: the linear-time driver under every rewriting pass.

The order of a program is the order in which its calls were made. So once a call had to be made again, all later ones
are made again too, and what comes before what never changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TypeAlias

from nnspec.ir.graph import Call, Graph, Value, calls_of, now, origin
from nnspec.ir.op import Input

Uses: TypeAlias = Counter[Value]
Rule: TypeAlias = Callable[[Value, Uses], Value | None]
Visit: TypeAlias = Callable[[Call, Uses], tuple[Value, ...] | None]


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """``graph`` with every value replaced by what ``rule`` makes of it, as long as it makes something.

    A rule sees a value whose inputs are rewritten already, and how often each value is read (outputs count). It
    returns a value of the same type, or None to leave it. Calls that a rule makes are visited too, and carry the
    origin of the call they replace.
    """

    def visit(c: Call, uses: Uses) -> tuple[Value, ...] | None:
        found = [rule(v, uses) for v in c.outputs]
        if all(f is None for f in found):
            return None
        return tuple(v if f is None else f for v, f in zip(c.outputs, found, strict=True))

    return rewrite_calls(graph, visit)


def rewrite_calls(graph: Graph, visit: Visit) -> Graph:
    """As ``rewrite``, for rules that replace all outputs of a call at once."""
    walk = _Walk(graph.uses, visit)
    walk.through(graph.calls)
    return Graph({name: walk.found.get(v, v) for name, v in graph.outputs.items()})


class _Walk:
    """What became of each value, and how often each is read: by rebuilt calls, and by those still to come."""

    def __init__(self, uses: Uses, visit: Visit) -> None:
        self.uses, self.visit = Counter(uses), visit
        self.found: dict[Value, Value] = {}

    def through(self, calls: Iterable[Call]) -> None:
        """Every call in order; from the first that changes, all are made again."""
        changed = False
        for (layer, stage), group in groupby(calls, key=lambda c: c.origin):
            with origin(layer, stage):
                for c in group:
                    changed = self.settle(c, changed)

    def settle(self, c: Call, changed: bool) -> bool:
        """Finds what becomes of one call; whether calls were made for it, or earlier."""
        if isinstance(c.op, Input):
            return changed  # not computed, so its place in the order means nothing
        inputs = tuple([self.found.get(v, v) for v in c.inputs])
        changed = changed or inputs != c.inputs
        made = again(c, inputs) if changed else c
        for old, new in zip(c.outputs, made.outputs, strict=True):
            self.become(old, new)
        start = now()
        results = self.visit(made, self.uses)
        if results is not None:
            fresh = calls_of(results, start)
            self.replace(made, results, fresh)
            changed = changed or bool(fresh)
        for old, new in zip(c.outputs, results or made.outputs, strict=True):
            self.found[old] = self.found.get(new, new)
        return changed

    def replace(self, made: Call, results: tuple[Value, ...], fresh: list[Call]) -> None:
        """``results`` instead of ``made``'s outputs; the calls made for it are visited in their turn."""
        for old, new in zip(made.outputs, results, strict=True):
            assert old.type == new.type, f"{made} was rewritten to {new}"
            self.become(old, new)
        self.uses.update(v for c in fresh for v in c.inputs)
        self.release(made)
        self.through(fresh)

    def become(self, old: Value, new: Value) -> None:
        if old is not new:
            self.uses[new] += self.uses.pop(old, 0)

    def release(self, c: Call) -> None:
        """Forgets what a call reads that nothing reads any more, and so on upwards."""
        dead = [c]
        while dead:
            c = dead.pop()
            if any(self.uses[v] for v in c.outputs):
                continue
            self.uses.subtract(c.inputs)
            dead.extend({v.call for v in c.inputs if not self.uses[v]})


def again(like: Call, inputs: tuple[Value, ...]) -> Call:
    """The call ``like``, made now, on inputs of the same types."""
    return Call(like.op, inputs, tuple([v.type for v in like.outputs]), like.origin)
