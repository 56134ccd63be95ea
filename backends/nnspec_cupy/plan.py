"""What commands ask of memory, as rules of the common planner."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.codegen.views import Layout
from nnspec.ir.op import Op
from nnspec.ir.types import TensorType
from nnspec_cupy.lowering import Space
from nnspec_cupy.lowerings import LOWERINGS


class DeviceRules:
    """Rules of ``nnspec.codegen.layout``."""

    def check(self, op: Op) -> None:
        if type(op) not in LOWERINGS:
            raise NotImplementedError(f"the cupy backend has no kernel for {op}")

    def literal(self, op: Op, index: int) -> bool:
        return False

    def reads(self, op: Op, index: int, x: Layout) -> bool:
        return LOWERINGS[type(op)].reads(op, index, x)

    def writes(self, op: Op, index: int, y: Layout) -> bool:
        return LOWERINGS[type(op)].writes(op, index, y)

    def in_place(self, op: Op) -> tuple[int, ...]:
        return LOWERINGS[type(op)].in_place(op)

    def waits(self, op: Op) -> bool:
        return LOWERINGS[type(op)].waits

    def workspace(self, op: Op, inputs: Sequence[TensorType], outputs: Sequence[TensorType], layouts: Sequence[Layout | None]) -> Space:
        return LOWERINGS[type(op)].workspace(op, inputs, outputs)
