"""How a nest of elements is walked: axes that lie one behind the other as one, several elements a thread where all of them lie side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from nnspec.ir.program import Array
from nnspec.ir.types import TensorType
from nnspec_cupy.cuda.elements import C

MOST, BYTES = 4, 16  # elements a thread, and the bytes that it reads at once at most
LARGE = 1 << 31  # places from which they are counted in 64 bits


def joined(domain: Sequence[int], arrays: Sequence[Array]) -> tuple[tuple[int, ...], list[Array]]:
    """The domain with fewer axes, and the arrays seen over it; an axis along which an array repeats has length 1 there."""
    axes: list[tuple[int, list[int]]] = []
    for axis, n in enumerate(domain):
        if n == 1:
            continue
        steps = [_step(a, axis - len(domain)) for a in arrays]
        if axes and all(outer == step * n for outer, step in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = (axes[-1][0] * n, steps)
        else:
            axes.append((n, steps))
    shape = tuple(n for n, _ in axes)
    return shape, [replace(a, type=TensorType(tuple(n if steps[i] else 1 for n, steps in axes), a.type.dtype),
                           strides=tuple(steps[i] for _, steps in axes)) for i, a in enumerate(arrays)]  # fmt: skip


def _step(a: Array, axis: int) -> int:
    return a.strides[axis] if -axis <= len(a.shape) and a.shape[axis] > 1 else 0


def lanes(domain: Sequence[int], arrays: Sequence[Array]) -> int:
    """How many elements a thread takes: as many as every array has side by side from a place that is a multiple of so many bytes."""
    if not domain or not arrays:
        return 1
    count = min(MOST, BYTES // max(a.type.dtype.size for a in arrays))
    while count > 1 and (domain[-1] % count or not all(_fit(a, count) for a in arrays)):
        count //= 2
    return max(count, 1)


def _fit(a: Array, count: int) -> bool:
    """Whether all groups of so many elements lie side by side and aligned; what repeats along the last axis is one number for all."""
    size = a.type.dtype.size
    outer = [s for n, s in zip(a.shape[:-1], a.strides[:-1], strict=True) if n > 1]
    if not a.shape or a.shape[-1] == 1:
        return True
    return a.strides[-1] == 1 and not a.offset % (count * size) and not any(s % count for s in outer)


def beside(a: Array) -> bool:
    """Whether the elements of an array of ``joined`` differ along its last axis."""
    return bool(a.shape) and a.shape[-1] > 1


def vector(a: Array, count: int) -> str:
    return f"nn_vector<{C[a.type.dtype]}, {count}>"


def number(domain: Sequence[int], arrays: Sequence[Array]) -> str:
    """The type of places: 32 bits, unless there are more than those count."""
    far = max((sum(abs(s) * (n - 1) for n, s in zip(a.shape, a.strides, strict=True)) for a in arrays), default=0)
    return "unsigned long long" if max(prod(domain) + 1024, far) >= LARGE else "unsigned int"
