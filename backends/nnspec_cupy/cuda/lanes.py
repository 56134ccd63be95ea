"""How a nest of elements is walked: axes that lie one behind the other as one, several elements a thread where all of them lie side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from nnspec.ir.program import Array
from nnspec.ir.types import TensorType
from nnspec_cupy.cuda.elements import C

MOST, BYTES = 4, 16  # elements a thread, and the bytes that it reads at once at most
LARGE = 1 << 31  # places from which they are counted in 64 bits
SIDE = 32  # elements of a square
LEAST = 8  # elements of an axis that squares are worth for
SHARED = 48 << 10  # bytes that a block may have of shared memory


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
    while count > 1 and (domain[-1] % count or not all(fit(a, count) for a in arrays)):
        count //= 2
    return max(count, 1)


def fit(a: Array, count: int) -> bool:
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


def counting(domain: Sequence[int], arrays: Sequence[Array]) -> str:
    """The first line of a kernel: its types of places and of distances, which have 32 bits unless there is more than those count."""
    far = max((sum(abs(s) * (n - 1) for n, s in zip(a.shape, a.strides, strict=True)) for a in arrays), default=0)
    wide = max(prod(domain) + 1024, far, *(prod(a.shape) for a in arrays), 0) >= LARGE
    return "typedef unsigned long long count; typedef long long offset;" if wide else "typedef unsigned int count; typedef int offset;"


# Arrays that lie along different axes


@dataclass(frozen=True)
class Square:
    """``turned``: what is read by squares of the last axis and ``axis``. ``blocks``: squares along those two, elements along the others."""

    axis: int
    turned: tuple[int, ...]
    blocks: tuple[int, ...]


def walked(domain: Sequence[int], reads: Sequence[Array], writes: Sequence[Array]) -> tuple[tuple[int, ...], list[Array]]:
    """``joined``, and that axis last along which most of what is written lies side by side, of several the one where more is read so."""
    shape, seen = joined(domain, [*reads, *writes])
    if len(shape) < 2:
        return shape, seen
    score = [(sum(a.strides[i] == 1 for a in seen[len(reads) :]), sum(_lies(a, i) for a in seen[: len(reads)]), i) for i in range(len(shape))]
    best = max(score)[-1]
    order = [*(i for i in range(len(shape)) if i != best), best]
    if best == len(shape) - 1:
        return shape, seen
    turned = [replace(a, type=TensorType(tuple(a.shape[i] for i in order), a.type.dtype), strides=tuple(a.strides[i] for i in order)) for a in seen]
    return joined(tuple(shape[i] for i in order), turned)


def square(shape: Sequence[int], reads: Sequence[Array], writes: Sequence[Array]) -> Square | None:
    """The squares by which a nest reads what lies along another axis than the last; None where there is no such, or too little of it."""
    last = len(shape) - 1
    if last < 1 or 0 in shape or shape[last] < LEAST or not all(_lies(a, last) for a in writes):
        return None
    across = [axis for a in reads if not _lies(a, last) and a.shape[last] > 1 for axis in range(last) if _lies(a, axis) and shape[axis] >= LEAST]
    if not across:
        return None
    axis = max(dict.fromkeys(across), key=across.count)
    turned = [k for k, a in enumerate(reads) if not _lies(a, last) and a.shape[last] > 1 and _lies(a, axis)]
    while sum(SIDE * (SIDE + 1) * reads[k].type.dtype.size for k in turned) > SHARED:
        turned.pop()
    return Square(axis, tuple(turned), tuple(-(-n // SIDE) if i in (axis, last) else n for i, n in enumerate(shape)))


def _lies(a: Array, axis: int) -> bool:
    """Whether elements lie side by side along an axis."""
    return a.shape[axis] > 1 and a.strides[axis] == 1
