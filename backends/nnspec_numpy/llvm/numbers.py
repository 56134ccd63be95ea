"""Nests of single numbers: no loops, only what stands before them."""

from __future__ import annotations

from nnspec_numpy.llvm.nest import Bases, Nest


class Numbers(Nest):
    """A learning rate, a loss, what they are multiplied with."""

    flushes = False

    def loops(self, bases: Bases) -> None:
        for v, o in self.stores:
            self.stored(bases[o.position], o.dtype, self.fixed[v])
