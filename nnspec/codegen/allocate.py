"""Addresses for buffers: one after another where memory is kept, by lifetime in the work arena."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from nnspec.codegen.drafts import Buffer

ALIGNMENT = 64


def aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def stack(buffers: Iterable[Buffer]) -> int:
    """Each buffer after the one before; the bytes that all take."""
    top = 0
    for b in buffers:
        b.offset = top
        top += aligned(b.bytes)
    return top


def share(buffers: Sequence[Buffer], steps: int) -> int:
    """Buffers of which no two that live at once overlap; the bytes they take. Best fit, in the order of the steps."""
    born: list[list[Buffer]] = [[] for _ in range(steps)]
    dying: list[list[Buffer]] = [[] for _ in range(steps)]
    for b in buffers:
        born[b.born].append(b)
        dying[b.last].append(b)
    free = FreeList()
    for i in range(steps):
        for b in born[i]:
            b.offset = free.take(aligned(b.bytes))
        for b in dying[i]:
            free.give(b.offset, aligned(b.bytes))
    return free.top


class FreeList:
    """Free blocks of one arena, found by size, joined by address. The arena grows at its top."""

    def __init__(self) -> None:
        self.top = 0
        self._sizes: list[tuple[int, int]] = []  # (size, start), sorted
        self._starts: dict[int, int] = {}  # start -> size
        self._ends: dict[int, int] = {}  # end -> size

    def take(self, size: int) -> int:
        """The start of the smallest free block that holds ``size`` bytes; what is left of it stays free."""
        if size == 0:
            return 0
        i = bisect_left(self._sizes, (size, 0))
        if i < len(self._sizes):
            found, start = self._sizes[i]
            self._drop(start, found)
            if found > size:
                self._add(start + size, found - size)
            return start
        start = self.top
        if self.top in self._ends:  # the block at the top is too small: the arena grows by what is missing
            start -= self._ends[self.top]
            self._drop(start, self.top - start)
        self.top = start + size
        return start

    def give(self, start: int, size: int) -> None:
        """Makes a block free, joined with its free neighbours."""
        if size == 0:
            return
        if start in self._ends:
            before = self._ends[start]
            self._drop(start - before, before)
            start, size = start - before, size + before
        after = self._starts.get(start + size)
        if after is not None:
            self._drop(start + size, after)
            size += after
        self._add(start, size)

    def _add(self, start: int, size: int) -> None:
        insort(self._sizes, (size, start))
        self._starts[start] = self._ends[start + size] = size

    def _drop(self, start: int, size: int) -> None:
        del self._sizes[bisect_left(self._sizes, (size, start))]
        del self._starts[start], self._ends[start + size]
