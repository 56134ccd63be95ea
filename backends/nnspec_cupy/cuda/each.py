"""A kernel whose every thread makes one place of its results: lines that know the place's digits, and what they write there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from nnspec.ir.program import Array
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.flat import THREADS, parameters
from nnspec_cupy.cuda.lanes import counting
from nnspec_cupy.cuda.places import digits

Lines = Callable[[list[str]], Sequence[str]]  # from a place's digits, outermost first


def each(word: str, reads: Sequence[Array], writes: Sequence[Array], guarded: bool, lines: Lines, shape: Sequence[int] | None = None) -> Kernel:
    """A thread for each place of ``shape``, by default that of the first result."""
    shape = writes[0].shape if shape is None else shape
    taken, index = digits("n", shape)
    body = [
        counting(shape, [*reads, *writes]),
        *(["if (!*guard) return;"] if guarded else []),
        f"const count n = (count)blockIdx.x * {THREADS}u + threadIdx.x;",
        f"if (n >= {prod(shape)}u) return;",
        *taken,
        *lines(index),
    ]
    return Kernel(word, parameters(reads, writes, guarded), "".join(f"    {line}\n" for line in body), THREADS)
