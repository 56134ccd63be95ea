"""How a nest's elements are shared among threads: from shapes alone, so that every GPU adds up in the same order."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nnspec.ops.fused import Fused
from nnspec_cupy.cuda.stages import Stages, by_column

THREADS = 256
BLOCKS = 512  # the most that make partial results
ALONE = 8  # rounds that one block walks by itself, rather than that a second kernel joins the results of several
WARP = 32


@dataclass(frozen=True)
class Walk:
    """``rows`` of ``length`` elements, ``width`` threads a row; ``blocks`` along the rows, ``tiles`` along the columns."""

    outer: tuple[int, ...]  # the axes whose digits a row's number has
    length: int
    width: int
    blocks: int
    tiles: int

    @property
    def rows(self) -> int:
        return prod(self.outer)

    @property
    def together(self) -> int:
        """Rows that a block walks at once."""
        return THREADS // self.width

    @property
    def partial(self) -> int:
        """How many partial results of the whole there are."""
        return self.blocks * self.tiles


def walk(op: Fused) -> Walk:
    """The walk of a nest."""
    s = Stages(op)
    if s.whole:
        rounds = -(-s.size() // THREADS)
        return Walk(s.domain, 1, 1, _blocks(rounds, bool(s.ending)), 1)
    columns = any(by_column(c) for c in s.calls)
    length, outer = s.length, s.domain[:-1]
    width = min(THREADS, _power(length))
    if s.rows and not columns:
        width = min(width, WARP) if length <= 32 * WARP else THREADS
    tiles = -(-length // width) if not s.rows else 1
    rounds = -(-prod(outer) // (THREADS // width))
    return Walk(outer, length, width, _blocks(rounds, bool(s.ending)), tiles)


def _blocks(rounds: int, ending: bool) -> int:
    return rounds if not ending else 1 if rounds <= ALONE else min(rounds, BLOCKS)


def _power(n: int) -> int:
    """The least power of two that is not below ``n``."""
    return 1 << (n - 1).bit_length()
