"""Windows of up to three axes by compiled kernels, where llvmlite is installed: for float32, and windows of not too many places."""

from __future__ import annotations

from functools import cache
from math import prod

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType
from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.llvm.library import library
from nnspec_numpy.llvm.window_kinds import Family
from nnspec_numpy.llvm.windows import Shape

from .ending import Ending
from .kernel import Step
from .windows import Windows

TOGETHER = 4  # places of a convolution side by side, which share what they read
MOST = 64  # places of a window, each of which is an instruction


def possible(w: Windows, dtype: DType) -> bool:
    """Whether there are kernels for these windows here."""
    return dtype == DType.float32 and len(w.spatial) <= 3 and prod(w.size) <= MOST and chosen() is not None


def apart(w: Windows) -> bool:
    """Whether no place is in two windows: what is scattered then needs no zeros to be added to."""
    return all(s >= (k - 1) * d + 1 for s, k, d in zip(w.stride, w.size, w.dilation, strict=True))


def call(kind: str, w: Windows, *arrays: Array, back: bool = False, ending: Ending | None = None) -> Step:
    """The step over ``arrays``, of which the third is the result where there is an ``ending``; ``back`` where the result is what the windows
    look at."""
    size, stride, dilation, spatial, out = ((1,) * (2 - len(a)) + a for a in (w.size, w.stride, w.dilation, w.spatial, w.out))
    low = (0,) * (2 - len(w.low)) + w.low
    result, source = (spatial, out) if back else (out, spatial)
    side_by_side = kind in ("depthwise", "depthwise_kernel") and result[-1] >= TOGETHER and stride[-1] <= (1 if back else 2)
    together = TOGETHER if side_by_side else 1
    shape = Shape(size, stride, dilation, back, together)
    kernels = library(Family(kind, shape, ending.epilogue if ending else None))
    assert kernels is not None
    return kernels.bind(kind, *arrays, w.n, *result, *source, w.channels, *low, *(ending.arguments(arrays[2]) if ending else ()))


@cache
def row(value: float, channels: int) -> Array:
    """What a place outside holds, for all channels."""
    return np.full(channels, value, np.float32)


def nowhere(channels: int) -> Array:
    """Where what belongs outside is written, for all channels."""
    return np.zeros(channels, np.float32)
