"""Convolutions over three axes by the compiled kernels of two: a call for each image, or for each depth of the result.

A window's planes are a kernel's rows of a window, their rows its runs, so that one call adds up whole windows.
"""

from __future__ import annotations

from nnspec.ir.op import Array
from nnspec.ir.types import DType
from nnspec_numpy.llvm.library import library

from . import direct
from .direct import Direct
from .kernel import Arrays, Step
from .windows import Windows


def possible(w: Windows, groups: int, dtype: DType) -> bool:
    """Whether a run of a window has no holes, and there is a compiled kernel here."""
    return dtype == DType.float32 and len(w.spatial) == 3 and direct.lanes() >= 8 and groups == 1 and w.dilation[-1] == 1


def worth(w: Windows, filters: int, groups: int, dtype: DType, part: str) -> bool:
    """Whether the kernel fills most of its registers and lanes."""
    if not possible(w, groups, dtype) or w.pointwise:
        return False
    shape = direct.block(part, w.size[-1] * w.channels if part == "kernel" else w.out[-1], filters, direct.lanes())
    return shape.rows * shape.vectors >= 6 and 2 * filters >= direct.lanes()


def convolve(d: Direct, x: Array, w: Array, y: Array, space: Arrays) -> list[Step]:
    """Steps for ``y`` from a kernel (taps * channels, filters)."""
    return [step for some, before, seen in d.chunks(x, space) for step in (*before, *_calls(d, "forward", seen, y[some], w))]


def kernel_gradient(d: Direct, x: Array, g: Array, w: Array, space: Arrays) -> list[Step]:
    """Steps that add to the kernel, (taps * channels, filters)."""
    return [step for some, before, seen in d.chunks(x, space) for step in (*before, *_calls(d, "kernel_gradient", seen, g[some], w))]


def _calls(d: Direct, kind: str, x: Array, g: Array, w: Array) -> list[Step]:
    windows, filters = d.windows, g.shape[-1]
    _, height, width = windows.padded if windows.bordered else windows.spatial
    line, (depths, lines, places) = width * windows.channels, windows.out
    plane, numbers = height * line, windows.size[2] * windows.channels
    if kind == "forward":
        shape = direct.block(kind, places, filters, direct.lanes(), windows.size[0] * windows.size[1] * numbers)
    else:
        shape = direct.block(kind, numbers, filters, direct.lanes())
    kernels = library(shape)
    assert kernels is not None
    s, t = windows.stride, windows.dilation
    image, depth, *rest = (n // 4 for n in g.strides[:-1])
    inside = s[1] * line, s[2] * windows.channels, t[0] * plane, t[1] * line
    ends = (shape.vectors * direct.lanes(),) if kind == "forward" else ()
    if len(x) <= depths:
        pairs = [(x[i], g[i]) for i in range(len(x))]
        count, x_step, g_step = depths, s[0] * plane, depth
    else:
        pairs = [(x[:, i * s[0] :], g[:, i]) for i in range(depths)]
        count, x_step, g_step = len(x), x.strides[0] // 4, image
    sizes = count, lines, places, filters, windows.size[0], windows.size[1], numbers
    return [kernels.bind(kind, *((a, w, b) if kind == "forward" else (a, b, w)), *sizes, x_step, *inside, g_step, *rest, w.strides[-2] // 4, 0, *ends)
            for a, b in pairs]
