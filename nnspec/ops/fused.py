"""Several calls as one: what a backend computes in a single pass over memory, described by a graph of its own."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from string import ascii_lowercase
from typing import Any
from weakref import WeakKeyDictionary

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Array, Constant, Input, Op
from nnspec.ir.types import Shape, TensorType, known
from nnspec.ops.elementwise import Elementwise
from nnspec.ops.index import Pick
from nnspec.ops.reduce import AllFinite, ArgMax, Reduction

DOMAINS: WeakKeyDictionary[Graph, tuple[int, ...]] = WeakKeyDictionary()
INFIX = {"Add": "+", "Subtract": "-", "Multiply": "*", "Divide": "/", "Less": "<", "LessEqual": "<=", "Equal": "=="}


class Fused(Op, abstract=True):
    """The outputs of ``body``, whose inputs are this call's in their order: a loop nest, and no order of its loops.

    The body says what is computed; which axes are walked, in what pieces and by which thread is the renderer's.
    """

    body: Graph
    exact: bool = False  # whether every rounding is as the body has it: no product and sum at once

    @property
    def domain(self) -> tuple[int, ...]:
        """The shape that the loops walk: that of what is reduced, or of the largest result."""
        found = DOMAINS.get(self.body)  # asked for at every turn while a plan is made
        if found is None:
            found = DOMAINS[self.body] = max((known(s) for c in self.body.calls for s in _walked(c)), key=lambda s: (prod(s), len(s)))
        return found

    @property
    def elementwise(self) -> bool:  # type: ignore[override]  # of a fused call it depends on the body
        """Whether the first output's elements each depend on those at their own place alone, and no other output is read again."""
        body = self.body
        return (all(isinstance(c.op, Elementwise | Input | Constant) or ends(c) for c in body.calls)
                and next(iter(body.outputs.values())).shape == self.domain)

    def infer(self, *x: TensorType) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.body.outputs.values())

    def reference(self, *x: Array) -> Any:
        results = tuple(interpret(self.body, dict(zip(self.body.inputs, x, strict=True))).values())
        return results if len(results) > 1 else results[0]

    def flops(self, *x: TensorType) -> int:
        return self.body.flops

    def __repr__(self) -> str:
        return f"Fused[{written(self.body)}]"


class Followed(Op, abstract=True):
    """The outputs of ``body``, whose first input is what ``first`` gives, computed of each element as soon as it is there.

    The inputs of ``first`` come before those that the body has besides. What ``first`` gives is in memory only where it is an output.
    """

    first: Op
    body: Graph
    exact: bool = False  # as in ``Fused``

    @property
    def name(self) -> str:
        return self.first.name

    def attributes(self) -> Iterator[tuple[str, Any]]:
        yield "first", self.first
        yield "then", written(self.body)

    @property
    def started(self) -> Op:
        """``first``, going the way of this use."""
        return self.first.but(way=self.way) if self.way else self.first

    def infer(self, *x: TensorType) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.body.outputs.values())

    def reference(self, *x: Array) -> Any:
        names = list(self.body.inputs)
        own = len(x) - len(names) + 1
        feed = dict(zip(names, (self.first.reference(*x[:own]), *x[own:]), strict=True))
        results = tuple(interpret(self.body, feed).values())
        return results if len(results) > 1 else results[0]

    def flops(self, *x: TensorType) -> int:
        return self.first.flops(*x[: len(x) - len(self.body.inputs) + 1]) + self.body.flops

    def __repr__(self) -> str:
        return f"{self.first} then [{written(self.body)}]"


def _walked(c: Call) -> tuple[Shape, ...]:
    if isinstance(c.op, Input | Constant):
        return ()
    return tuple(v.shape for v in (c.inputs if isinstance(c.op, AllFinite | Reduction | ArgMax | Pick) else c.outputs))


def ends(c: Call) -> bool:
    """Whether a result is there only after all loops: a proof, or a reduction that leaves the last axis or nothing."""
    if isinstance(c.op, AllFinite):
        return True
    return isinstance(c.op, Reduction) and 0 in c.op.axis


def letter(i: int) -> str:
    """The name of a body's input: ``a`` to ``z``, then ``a1`` and so on."""
    again, i = divmod(i, len(ascii_lowercase))
    return ascii_lowercase[i] + (str(again) if again else "")


def written(body: Graph) -> str:
    """A body as an expression: ``t = a * 0.9 + b; (c - t, t)``. What is read twice gets a name first."""
    text: dict[Value, str] = {}
    lines: list[str] = []
    for c in body.calls:
        if isinstance(c.op, Input):
            text[c.outputs[0]] = c.op.label
            continue
        line = _expression(c, [text[v] for v in c.inputs])
        v = c.outputs[0]
        if body.uses[v] > 1 and c.inputs:
            lines.append(f"t{len(lines) + 1} = {line}")
            line = f"t{len(lines)}"
        text[v] = line
    results = [_bare(text[v]) for v in body.outputs.values()]
    return "; ".join([*map(_unwrapped, lines), results[0] if len(results) == 1 else f"({', '.join(results)})"])


def _expression(c: Call, x: list[str]) -> str:
    """One call over the texts of what it reads, in brackets where it is an infix."""
    if isinstance(c.op, Constant):
        return str(c.op.data.reshape(())[()]) if c.op.data.size == 1 else f"constant{list(c.op.data.shape)}"
    sign = INFIX.get(c.op.name)
    if sign:
        return f"({x[0]} {sign} {x[1]})"
    attributes = ", ".join(f"{k}={v}" for k, v in c.op.attributes() if v is not False)
    return f"{c.op.name.lower()}({', '.join(map(_bare, x))}{', ' if attributes else ''}{attributes})"


def _bare(text: str) -> str:
    """``(a + b)`` without its brackets, where they enclose the whole."""
    if not text.startswith("("):
        return text
    depth = 0
    for i, letter_ in enumerate(text):
        depth += (letter_ == "(") - (letter_ == ")")
        if depth == 0:
            return text[1:-1] if i == len(text) - 1 else text
    return text


def _unwrapped(line: str) -> str:
    name, _, right = line.partition(" = ")
    return f"{name} = {_bare(right)}"
