"""What statements and kernels ask of memory, as rules of the common planner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from nnspec.codegen.drafts import Kept
from nnspec.codegen.views import Layout
from nnspec.ir.op import Op
from nnspec.ir.program import contiguous
from nnspec.ir.types import TensorType
from nnspec.ops.fused import Followed, Fused
from nnspec.ops.matmul import MatMul
from nnspec_numpy.kernels import KERNELS
from nnspec_numpy.kernels.matmul import room
from nnspec_numpy.llvm import philox
from nnspec_numpy.llvm import rules as nests
from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.statement import matrices
from nnspec_numpy.statements import STATEMENTS


class NumpyRules:
    """Rules of ``nnspec.codegen.layout``."""

    def check(self, op: Op) -> None:
        if type(op) not in STATEMENTS and type(op) not in KERNELS and not isinstance(op, Fused):
            raise NotImplementedError(f"the numpy backend has neither statement nor kernel for {op}")

    def literal(self, op: Op, index: int) -> bool:
        return type(op) in STATEMENTS and index in STATEMENTS[type(op)].literal

    def reads(self, op: Op, index: int, x: Layout) -> bool:
        if isinstance(op, Fused):
            return nests.reads(op, index, x)
        if type(op) in STATEMENTS:
            return STATEMENTS[type(op)].reads(op, index, x)
        if index < 2 and _multiplies(op):
            return matrices(op, index, x)
        return not KERNELS[type(op)].wants_contiguous(index) or contiguous(x.shape, x.strides)

    def writes(self, op: Op, index: int, y: Layout) -> bool:
        if isinstance(op, Fused):
            return nests.writes(op, index, y)
        if type(op) in STATEMENTS:
            return STATEMENTS[type(op)].writes(op, index, y)
        return contiguous(y.shape, y.strides)

    def in_place(self, op: Op) -> tuple[int, ...]:
        if isinstance(op, Fused):
            return nests.in_place(op)
        return STATEMENTS[type(op)].in_place if type(op) in STATEMENTS else ()

    def waits(self, op: Op) -> bool:
        return True  # conditions stand in the source

    def workspace(self, op: Op, inputs: Sequence[TensorType], outputs: Sequence[TensorType],
                  layouts: Sequence[Layout | None]) -> Sequence[TensorType | NDArray[Any] | Kept]:
        if isinstance(op, Fused) or philox.takes(op) and chosen() is not None:
            return ()
        own = KERNELS.get(type(op))
        if own is None:
            return STATEMENTS[type(op)].workspace(op, inputs, outputs)
        space = _room(op, inputs, outputs, layouts) if _multiplies(op) else own.workspace(op, inputs, outputs)
        return (*space, *(Kept(f.type, 1, str(f)) for f in own.forms(op, inputs, outputs)))


def _multiplies(op: Op) -> bool:
    return isinstance(op, MatMul) or isinstance(op, Followed) and isinstance(op.first, MatMul)


def _room(op: Op, inputs: Sequence[TensorType], outputs: Sequence[TensorType], layouts: Sequence[Layout | None]) -> Sequence[TensorType]:
    """The workspace of a product, whatever follows it."""
    first = op.first if isinstance(op, Followed) else op
    assert isinstance(first, MatMul)
    return room(first, inputs[:2], outputs[:1], [*layouts[:2], layouts[len(inputs)]], isinstance(op, Followed))
