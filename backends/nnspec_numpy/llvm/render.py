"""A fused call over arrays as an LLVM function: which kind of nest its body is."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.ir.program import Array
from nnspec.ops.fused import Fused
from nnspec.ops.index import OneHot
from nnspec_numpy.llvm.columns import Columns, by_column
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.flat import Flat
from nnspec_numpy.llvm.nest import Function, Nest
from nnspec_numpy.llvm.rows import Rows, by_row


def kind(op: Fused) -> type[Nest]:
    """Which loops a body needs."""
    if any(by_row(c) or isinstance(c.op, OneHot) for c in op.body.calls):
        return Rows
    if any(by_column(c) for c in op.body.calls) and op.domain[-1] > 1:
        return Columns
    return Flat


def render(op: Fused, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu) -> Function:
    """The function that reads ``inputs`` and fills ``outputs``, both given by a table of addresses."""
    return kind(op)(op, inputs, outputs, cpu).function()
