"""Convolutions of one place to a few filters: rows times columns, with vectors along the row, for filters alone would leave most of a vector idle."""

from __future__ import annotations

from math import prod

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec_numpy.llvm.dots import Dots
from nnspec_numpy.llvm.library import library

from .direct import lanes
from .kernel import Arrays, Step, cut, flat, rows_of
from .move import move
from .windows import Windows

MOST = 4  # filters
LEAST = 8  # channels; fewer fill no vector either


def possible(w: Windows, filters: int, groups: int, dtype: DType) -> bool:
    """Whether there is a kernel: an image alone has as many places as a vector has lanes, so that batches decide nothing."""
    return dtype == DType.float32 and groups == 1 and w.pointwise and filters <= MOST and w.channels >= LEAST and prod(w.out) >= lanes() > 0


def workspace(w: Windows, filters: int) -> tuple[TensorType, ...]:
    """For each filter's numbers side by side."""
    return (flat(w.channels * filters, DType.float32),) if filters > 1 else ()


def convolve(w: Windows, x: Array, kernel: Array, y: Array, space: Arrays) -> list[Step]:
    """Steps for ``y`` from a kernel (channels, filters)."""
    channels, filters = kernel.shape
    steps: list[Step] = []
    if filters > 1:
        turned = cut(space[0], (filters, channels))
        steps.append(move(turned, kernel.T))
        kernel = turned
    whole, left = divmod(channels, lanes())
    kernels = library(Dots(filters, whole > 0, left > 0))
    assert kernels is not None
    return [*steps, kernels.bind("dots", x, kernel, y, rows_of(x).shape[0], channels)]
