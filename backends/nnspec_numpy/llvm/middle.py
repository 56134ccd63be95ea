"""How a reduction over axes in the middle is walked: outside what is kept before them, then what is reduced, along what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nnspec.ir.graph import Call
from nnspec.ir.types import known
from nnspec.ops.fused import ends
from nnspec.ops.reduce import Reduction


class Axes(NamedTuple):
    """Axes of more than one element. ``middle`` are reduced, and the last ``folded`` of ``inner`` as well."""

    outer: tuple[int, ...]
    middle: tuple[int, ...]
    inner: tuple[int, ...]
    folded: int


def apart(shape: Sequence[int], axes: Sequence[int]) -> Axes | None:
    """None where only the last axis is reduced, or the first is, or what is reduced stands on both sides of something kept behind it."""
    real = [i for i, n in enumerate(shape) if n > 1]
    reduced = [i for i in real if i in axes]
    if not reduced or 0 in axes or reduced == real[-1:]:
        return None
    first = real.index(reduced[0])
    end = next((k for k in range(first, len(real)) if real[k] not in reduced), len(real) - 1)  # of the last axis there are vectors
    inner = real[end:]
    folded = next((k for k, i in enumerate(reversed(inner)) if i not in reduced), len(inner))
    if folded < sum(i in reduced for i in inner):
        return None
    return Axes(tuple(real[:first]), tuple(real[first:end]), tuple(inner), folded)


def in_the_middle(c: Call) -> Axes | None:
    """The axes of a call that reduces some in the middle; None of any other."""
    if not isinstance(c.op, Reduction) or ends(c) or not all(isinstance(n, int) for n in c.inputs[0].shape):
        return None
    return apart(known(c.inputs[0].shape), c.op.axis)
