"""A fused call over arrays as LLVM functions: which kind of nest its body is, and in how many parts threads share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from nnspec.ir.graph import Call
from nnspec.ir.program import Array
from nnspec.ops.fused import Fused
from nnspec.ops.index import OneHot
from nnspec_numpy.llvm import elements
from nnspec_numpy.llvm.blocks import Blocks
from nnspec_numpy.llvm.columns import Columns, by_column
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.flat import Flat
from nnspec_numpy.llvm.middle import in_the_middle
from nnspec_numpy.llvm.nest import Function, Nest, Part
from nnspec_numpy.llvm.numbers import Numbers
from nnspec_numpy.llvm.rows import Rows
from nnspec_numpy.llvm.stages import by_row

PARTS = ((1 << 26, 4), (1 << 19, 2))  # so many bytes, so many parts: each takes 5 us and more, where handing it over takes one
WORDS: dict[type[Nest], str] = {Flat: "elements", Columns: "columns", Rows: "rows", Blocks: "blocks", Numbers: "numbers"}
FUNCTION = 8  # bytes that are moved in the time of exp and the like of one element


def kind(op: Fused) -> type[Nest]:
    """Which loops a body needs."""
    if prod(op.domain) == 1:
        return Numbers
    if any(in_the_middle(c) for c in op.body.calls):
        return Blocks
    if any(by_row(c) or isinstance(c.op, OneHot) for c in op.body.calls):
        return Rows
    if any(by_column(c) for c in op.body.calls) and op.domain[-1] > 1:
        return Columns
    return Flat


def render(op: Fused, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu) -> Iterator[Function]:
    """The functions that read ``inputs`` and fill ``outputs``, both given by a table of addresses: one, or parts of one nest.

    How many there are depends on shapes alone. What is reduced over several parts is a result of each, for the caller to join in order.
    """
    for nest in nests(op, inputs, outputs, cpu):
        yield nest.function()


def nests(op: Fused, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu) -> Iterator[Nest]:
    """The nest, or its parts."""
    make, parts = kind(op), shares(op, inputs, outputs, cpu)
    for i in range(parts):
        yield make(op, inputs, outputs, cpu, Part(i, parts))


def described(op: Fused, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu) -> str:
    """The kind of loops, and their parts where there are several."""
    parts = shares(op, inputs, outputs, cpu)
    return WORDS[kind(op)] + (f" in {parts} parts" if parts > 1 else "")


def shares(op: Fused, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu) -> int:
    """How many parts a nest has."""
    work = sum(a.bytes for a in (*inputs, *outputs)) + sum(_work(c, op) for c in op.body.calls)
    wanted = next((parts for least, parts in PARTS if work >= least), 1)
    return len(kind(op)(op, inputs, outputs, cpu).bounds(wanted)) - 1 if wanted > 1 else 1


def _work(c: Call, op: Fused) -> int:
    return FUNCTION * prod(op.domain) if type(c.op) in elements.SINGLE else 0
