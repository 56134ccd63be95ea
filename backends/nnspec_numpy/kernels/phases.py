"""The gradient in the input of a convolution with a stride: for each remainder of a place by the stride a convolution without one.

A place ``s q + a`` was seen through the taps ``i`` for which ``s`` divides ``a + low - i d``, by the windows ``q + (a + low - i d) / s``.
"""

from __future__ import annotations

from itertools import product
from math import gcd, prod

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass

from . import direct, volumes
from .direct import Direct
from .kernel import Arrays, Step, cut, elements, flat, rows_of
from .move import fill, turn
from .windows import Ints, Windows


@dataclass(frozen=True)
class Phase:
    """The places that leave a remainder, the taps that see them (from the last on), and the windows over the gradient."""

    places: tuple[slice, ...]
    taps: tuple[slice, ...]
    windows: Windows


def phases(w: Windows, filters: int) -> list[Phase] | None:
    """Those of a convolution that any tap sees; None where the gradient would have to be cut before."""
    axes = [[_axis(w, axis, a) for a in range(s)] for axis, s in enumerate(w.stride)]
    found = []
    for remainder in product(*axes):
        some = [r for r in remainder if r is not None]
        if len(some) < len(remainder):
            continue
        places, taps, size, step, low, high = zip(*some, strict=True)
        if min(low + high) < 0:
            return None
        out = tuple(-(-(n - p.start) // p.step) for n, p in zip(w.spatial, places, strict=True))
        found.append(Phase(places, taps, Windows(w.n, w.out, filters, size, (1,) * len(out), step, low, high, out)))
    return found


def _axis(w: Windows, axis: int, a: int) -> tuple[slice, slice, int, int, int, int] | None:
    """Places, taps, size, dilation and borders along an axis; None where no tap sees these places."""
    s, d, low, n = w.stride[axis], w.dilation[axis], w.low[axis], w.spatial[axis]
    taps = [i for i in range(w.size[axis]) if (a + low - i * d) % s == 0]
    if not taps or a >= n:
        return None
    step = d // gcd(d, s)
    first = (a + low - taps[-1] * d) // s  # the window that sees the first place through the last tap
    out = -(-(n - a) // s)
    high = out - 1 + (len(taps) - 1) * step + 1 - w.out[axis] + first
    back = slice(taps[-1], taps[0] - 1 if taps[0] else None, -(s // gcd(d, s)))
    return slice(a, None, s), back, len(taps), step, -first, high


def possible(w: Windows, filters: int, groups: int, dtype: DType) -> bool:
    """Whether a compiled kernel does them all."""
    found = phases(w, filters) if prod(w.stride) > 1 and 2 * w.channels // groups >= direct.lanes() else None
    if len(w.spatial) == 3:
        return bool(found) and all(volumes.possible(p.windows, groups, dtype) for p in found or ())
    return bool(found) and direct.possible(w, dtype)


def workspace(w: Windows, kernel: Ints, groups: int, dtype: DType) -> tuple[TensorType, ...]:
    """For the turned kernel, the gradient with the widest border, and the largest kernel in strips."""
    found = [Direct(p.windows, groups, w.channels) for p in phases(w, kernel[-1]) or ()]
    most = max((elements(t.shape) for d in found for t in d.workspace(strips=False)), default=0)
    strips = max((elements(d.workspace()[-1].shape) for d in found if d.strips), default=0)
    return flat(prod(kernel), dtype), *(flat(n, dtype) for n in (most, strips) if n)


def scatter(w: Windows, g: Array, kernel: Array, x: Array, groups: int, space: Arrays) -> list[Step]:
    """Steps for ``x``."""
    found = phases(w, kernel.shape[-1]) or []
    share, turned = kernel.shape[-1] // groups, space[0]
    covered = len(found) == prod(min(s, n) for s, n in zip(w.stride, w.spatial, strict=True))
    steps: list[Step] = [] if covered else [fill(x)]
    for p in found:
        seen = kernel[p.taps]
        own = cut(turned, (groups, *p.windows.size, share, kernel.shape[-2]))
        steps += [step for i in range(groups) for step in turn(own[i], seen[..., i * share : (i + 1) * share])]
        d, kernels, places = Direct(p.windows, groups, w.channels), [rows_of(t) for t in own], x[(slice(None), *p.places)]
        if len(w.spatial) == 3:
            steps += [*d.begin(space[1:]), *volumes.convolve(d, g, kernels[0], places, space[1:])]
        else:
            steps += direct.convolve(d, g, kernels, places, space[1:])
    return steps
