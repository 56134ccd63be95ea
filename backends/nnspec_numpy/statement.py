"""What a statement is: how one op is written with NumPy, and what it asks of the memory it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from nnspec.codegen.emit import Write
from nnspec.codegen.views import Layout
from nnspec.ir.op import Op
from nnspec.ir.program import contiguous
from nnspec.ir.types import TensorType
from nnspec.records import dataclass

Space = Sequence[TensorType | NDArray[Any]]
Types = Sequence[TensorType]


def anywhere(op: Op, i: int, x: Layout) -> bool:
    """NumPy follows any strides."""
    return True


def plain(op: Op, i: int, x: Layout) -> bool:
    """Row-major order without gaps."""
    return contiguous(x.shape, x.strides)


def matrices(op: Op, i: int, x: Layout) -> bool:
    """What BLAS takes as it is: one of the last two axes without gaps, the other at least as long a step."""
    if len(x.shape) < 2:
        return True
    (m, n), (s, t) = x.shape[-2:], x.strides[-2:]
    return (t == 1 and s >= n) or (s == 1 and t >= m and i < 2)


def no_space(op: Any, x: Types, y: Types) -> Space:
    return ()


@dataclass(frozen=True)
class Statement:
    """``write`` gives the lines. ``in_place``: the inputs whose memory the output may take. ``literal``: the inputs
    that may be constants in the text."""

    write: Write
    in_place: tuple[int, ...] = ()
    literal: tuple[int, ...] = ()
    reads: Callable[[Op, int, Layout], bool] = anywhere
    writes: Callable[[Op, int, Layout], bool] = anywhere
    workspace: Callable[[Any, Types, Types], Space] = no_space
