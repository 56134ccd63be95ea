"""What fused calls ask of memory, and what a nest takes: no LLVM is needed to know it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nnspec.codegen.views import Layout
from nnspec.ir.graph import Call
from nnspec.ir.program import contiguous
from nnspec.ops.fused import Fused
from nnspec.ops.reduce import Sum
from nnspec_numpy.llvm import elements
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.nest import along


class Nests:
    """``nnspec.passes.levels.Loops`` of the LLVM renderer."""

    def __init__(self, cpu: Cpu, exact: bool = False, follows: Callable[[Call, Sequence[Call]], bool] | None = None) -> None:
        self.cpu, self.exact, self._follows = cpu, exact, follows

    def __str__(self) -> str:
        return f"LLVM for {self.cpu}"

    def takes(self, c: Call) -> bool:
        return elements.takes(c) and not (self.exact and isinstance(c.op, Sum))

    def worth(self, calls: Sequence[Call]) -> bool:
        return elements.worth(list(calls))

    def follows(self, first: Call, calls: Sequence[Call]) -> bool:
        return self._follows is not None and self._follows(first, calls)


def reads(op: Fused, index: int, x: Layout) -> bool:
    """Whether vectors run along the last axis of input ``index``: its elements lie side by side there, or are one."""
    return _runs(op.domain, x)


def writes(op: Fused, index: int, y: Layout) -> bool:
    return contiguous(y.shape, y.strides) or _runs(op.domain, y)


def in_place(op: Fused) -> tuple[int, ...]:
    """A vector is read before it is written, and nothing else is read there."""
    return tuple(i for i, v in enumerate(op.body.inputs.values()) if v.shape == op.domain) if op.elementwise else ()


def _runs(whole: tuple[int, ...], x: Layout) -> bool:
    strides = along(x.shape, x.strides, whole)
    last = next((i for i in reversed(range(len(whole))) if whole[i] > 1), None)
    return last is None or strides[last] in (0, 1)
