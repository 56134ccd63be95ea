"""The gradient of a convolution in an input of few channels: one product for all taps, whose rows are added where the windows lie.

A window's row of taps and channels is one run of numbers in a channels-last image, so that a window adds as many runs as it has rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec_numpy.llvm.library import library
from nnspec_numpy.llvm.scattered import Scattered

from . import direct
from .kernel import Arrays, Step, cut, flat
from .move import fill, move
from .windows import Windows

BYTES = 1 << 18  # of products at a time
LONGEST = 256  # numbers of a run, each vector of which is an instruction


def possible(w: Windows, groups: int, dtype: DType) -> bool:
    """Whether a run has no holes, and there is a compiled kernel here."""
    run = w.size[-1] * w.channels
    return groups == 1 and direct.possible(w, dtype) and w.dilation[-1] == 1 and run * prod(w.size[:-1]) <= 4 * LONGEST and run <= LONGEST


@dataclass(frozen=True)
class Runs:
    """Windows of a convolution of ``filters``, for the gradient in what they look at."""

    windows: Windows
    filters: int

    @property
    def depth(self) -> int:
        """Numbers of a window."""
        return prod(self.windows.size) * self.windows.channels

    @property
    def images(self) -> int:
        """Images at a time."""
        return self.windows.images(max(1, BYTES // (4 * self.depth)))

    def workspace(self) -> tuple[TensorType, ...]:
        """For the turned kernel, products, and images with their border."""
        w = self.windows
        around = (flat(self.images * prod(w.padded) * w.channels, DType.float32),) if w.bordered else ()
        return flat(self.depth * self.filters, DType.float32), flat(self.images * prod(w.out) * self.depth, DType.float32), *around


def scatter(d: Runs, g: Array, kernel: Array, x: Array, space: Arrays) -> list[Step]:
    """Steps for ``x`` from the kernel (taps * channels, filters)."""
    w, two = d.windows, direct.plane(d.windows)
    turned = cut(space[0], (1, d.filters, d.depth))
    steps: list[Step] = [move(turned[0], kernel.T)]
    kernels = library(Scattered(two.size[0], two.size[1] * two.channels))
    assert kernels is not None
    height, width = two.padded if two.bordered else two.spatial
    line = width * two.channels
    for first in range(0, w.n, d.images):
        some = slice(first, min(first + d.images, w.n))
        count = some.stop - first
        rows = count * prod(w.out)
        product = cut(space[1], (1, rows, d.depth))
        target = cut(space[2], (count, *w.padded, w.channels)) if w.bordered else x[some]
        steps += [direct.products("forward", g[some].reshape(1, rows, d.filters), product, turned), fill(target)]
        steps.append(kernels.bind("scattered", product, target, count, *two.out, height * line, two.stride[0] * line,
                                  two.stride[1] * two.channels, two.dilation[0] * line))
        if w.bordered:
            steps.append(move(x[some], target[(slice(None), *w.inside)]))
    return steps
