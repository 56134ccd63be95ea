"""What lowering a step is: the commands that compute it, and what they ask of the memory they read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from nnspec.codegen.views import Layout
from nnspec.ir.op import Op
from nnspec.ir.program import Step, contiguous
from nnspec.ir.types import TensorType
from nnspec_cupy.commands import Command

Types: TypeAlias = Sequence[TensorType]
Space: TypeAlias = Sequence[TensorType | NDArray[Any]]  # scratch of any content, and constants


def anywhere(op: Op, i: int, x: Layout) -> bool:
    """Kernels follow any strides."""
    return True


def plain(op: Op, i: int, x: Layout) -> bool:
    """Row-major order without gaps."""
    return contiguous(x.shape, x.strides)


def no_space(op: Any, x: Types, y: Types) -> Space:
    return ()


@dataclass(frozen=True)
class Lowering:
    """``commands`` of a step, in order. ``in_place``: the inputs whose memory the first output may take. ``workspace``: memory besides.
    ``waits``: whether the commands look at the condition of their step. Libraries know none: they run anyway, and write no state that waits.
    """

    commands: Callable[[Step], Sequence[Command]]
    in_place: Callable[[Any], tuple[int, ...]] = lambda op: ()
    reads: Callable[[Op, int, Layout], bool] = anywhere
    writes: Callable[[Op, int, Layout], bool] = anywhere
    workspace: Callable[[Any, Types, Types], Space] = no_space
    choice: Callable[[Step], str] = lambda step: ""
    waits: bool = True
