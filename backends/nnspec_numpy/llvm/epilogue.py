"""What a kernel computes of each vector of its result before it stores it: the calls of a nest, in registers.

A whole operand lies as the result does, so that it is found as many bytes away from each of its vectors; one number a channel is found
by the channel. Nothing is read where something was written: a kernel may come twice to places at the end of a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import DType, Shape, count
from nnspec.ops.elementwise import Elementwise
from nnspec.ops.fused import Followed, written
from nnspec_numpy.llvm import elements
from nnspec_numpy.llvm.code import IN_MEMORY, IN_REGISTER, Register, number
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import Vectors

WHOLE, CHANNEL, NUMBER = "whole", "channel", "number"
Spot: TypeAlias = list[Register]  # addresses: of the result, of whole operands, of further results


def kind(shape: Shape, whole: Shape) -> str:
    """How an operand of a result of the shape ``whole`` is read; nothing where it cannot be."""
    if count(shape) == 1:
        return NUMBER
    if shape == whole:
        return WHOLE
    return CHANNEL if count(shape) == shape[-1] == whole[-1] else ""


def takes(calls: Sequence[Call], result: Value) -> bool:
    """Whether kernels of such a result compute these calls: elements in single precision, whose operands they find."""
    made = {v for c in calls for v in c.outputs}
    given = {v for c in calls for v in c.inputs if v not in made and v is not result}
    if result.dtype != DType.float32 or count(result.shape) == 1 or not all(isinstance(c.op, Elementwise) and elements.takes(c) for c in calls):
        return False
    if any(v.shape != result.shape and (count(v.shape) > 1 or v.dtype.is_float and v.dtype != DType.float32) for v in made):
        return False
    wide = [v for v in given if count(v.shape) > 1]
    results = [v for v in made if count(v.shape) > 1]
    return all(kind(v.shape, result.shape) for v in wide) and all(v.dtype == DType.float32 for v in wide) and bool(results)


@dataclass(frozen=True)
class Epilogue:
    """The calls of ``body``, whose first input is a vector of the result; ``key`` says all that the code depends on."""

    key: str
    body: Graph = field(compare=False, repr=False)
    exact: bool

    @property
    def given(self) -> list[tuple[Value, str]]:
        """The operands, and how each is read."""
        result, *others = self.body.inputs.values()
        return [(v, kind(v.shape, result.shape)) for v in others]


def epilogue(op: Followed) -> Epilogue:
    result, *others = op.body.inputs.values()
    kinds = ", ".join(f"{v.dtype} {kind(v.shape, result.shape)}" for v in others)
    return Epilogue(f"{written(op.body)} of {kinds}", op.body, op.exact)


class Ending:
    """The end of a kernel in the making. Its table goes on with an operand's address each, bytes from the result where it is whole, and
    bytes from the first result to each other one."""

    def __init__(self, own: Epilogue | None, v: Vectors, table: Table) -> None:
        self.v, self.code, self.own = v, v.code, own
        given = own.given if own else []
        self.steps = table.sizes(len([k for _, k in given if k == WHOLE])) if own else []
        self.whole = [x for x, k in given if k == WHOLE]
        self.channel = dict(zip([x for x, k in given if k == CHANNEL], table.pointers(len([k for _, k in given if k == CHANNEL])), strict=True))
        self.number = dict(zip([x for x, k in given if k == NUMBER], table.pointers(len([k for _, k in given if k == NUMBER])), strict=True))
        self.results = list(own.body.outputs.values()) if own else []
        self.further = table.sizes(len(self.results) - 1) if own else []
        calls = [c for c in own.body.calls if not isinstance(c.op, Input)] if own else []
        self.numbers = [c for c in calls if elements.small(c)]
        self.calls = [c for c in calls if not elements.small(c)]

    def spot(self, place: Register, inside: Register = "", row: Register = "") -> Spot:
        """What belongs to an address of the result; where that is not ``inside``, it is all at ``row``."""
        found = [place, *(self.code.let(f"getelementptr i8, ptr {place}, i64 {step}") for step in (*self.steps, *self.further))]
        return [self.code.let(f"select i1 {inside}, ptr {p}, ptr {row}") for p in found] if inside else found

    def soon(self, place: Register, vectors: int) -> None:
        """Asks the memory for what whole operands hold of so many vectors from an address of the result on."""
        for step in self.steps:
            there = self.code.let(f"getelementptr i8, ptr {place}, i64 {step}")
            for q in range(vectors):
                self.v.soon(there, q)

    def store(self, spots: Sequence[Spot], values: Sequence[Register], offset: Register, channel: Register, mask: Register) -> None:
        """What becomes of a vector at each spot, ``offset`` numbers further on, whose first number is of ``channel``."""
        v = self.v
        if self.own is None:
            for (place,), x in zip(spots, values, strict=True):
                v.store(x, v.at(place, offset), mask)
            return
        usual, self.code.exact = self.code.exact, self.own.exact
        known = self._numbers()
        known.update({x: v.load(v.at(p, channel), mask) for x, p in self.channel.items()})
        result = next(iter(self.own.body.inputs.values()))
        for (place, *others), first in zip(spots, values, strict=True):
            here = {**known, result: first}
            here.update({x: v.load(v.at(p, offset), mask) for x, p in zip(self.whole, others, strict=False)})
            for c in self.calls:
                here[c.outputs[0]] = elements.write(self.code, c, [here[x] for x in c.inputs], v.f.lanes)
            for y, p in zip(self.results, (place, *others[len(self.whole) :]), strict=True):
                v.store(here[y], v.at(p, offset), mask)
        self.code.exact = usual

    def _numbers(self) -> dict[Value, Register]:
        """What is one number everywhere, in every lane."""
        single = {x: self._loaded(p, x.dtype) for x, p in self.number.items()}
        for c in self.numbers:
            (x,) = c.outputs
            given = [single[y] for y in c.inputs]
            single[x] = number(c.op.data.item(), x.dtype) if isinstance(c.op, Constant) else elements.write(self.code, c, given, 1)
        return {x: self.v.everywhere_of(one, IN_REGISTER[x.dtype]) for x, one in single.items()}

    def _loaded(self, p: Register, dtype: DType) -> Register:
        x = self.code.let(f"load {IN_MEMORY[dtype]}, ptr {p}, align {dtype.size}")
        return self.code.let(f"icmp ne i8 {x}, 0") if dtype == DType.bool else x
