"""How a nest's elements are shared among threads: from shapes alone, so that every GPU adds up in the same order."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nnspec.ops.fused import Fused
from nnspec_cupy.cuda.lanes import BYTES, MOST
from nnspec_cupy.cuda.stages import Level, Stages, by_column

THREADS = 256
BLOCKS = 512  # the most that make partial results
ALONE = 8  # rounds that one block walks by itself, rather than that a second kernel joins the results of several
WARP = 32


@dataclass(frozen=True)
class Walk:
    """``rows`` of ``length`` elements, of which a thread takes ``count`` neighbours at a time; ``width`` threads a row; ``blocks`` along the
    rows, ``tiles`` along the columns.
    """

    outer: tuple[int, ...]  # the axes whose digits a row's number has
    length: int
    count: int
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

    @property
    def spread(self) -> bool:
        """Whether a thread has more columns than it takes at a time."""
        return self.length > self.width * self.tiles * self.count


def walk(op: Fused) -> Walk:
    """The walk of a nest."""
    s = Stages(op)
    count = _count(s)
    if s.whole:
        outer = (*s.domain[:-1], s.domain[-1] // count) if s.domain else ()
        return Walk(outer, count, count, 1, _blocks(-(-prod(outer) // THREADS), bool(s.ending)), 1)
    columns = any(by_column(c) for c in s.calls)
    length, outer, parts = s.length, s.domain[:-1], s.length // count
    width = min(THREADS, _power(parts))
    if s.rows and not columns:
        width = min(width, WARP) if length <= 32 * WARP else THREADS
    tiles = -(-parts // width) if not s.rows else 1
    rounds = -(-prod(outer) // (THREADS // width))
    return Walk(outer, length, count, width, _blocks(rounds, bool(s.ending)), tiles)


def _count(s: Stages) -> int:
    """From types and the row's length alone: where an array's elements cannot be read together they are read one by one, in the same order."""
    sizes = [v.dtype.size for v in (*s.op.body.inputs.values(), *s.outputs) if s.level[v] == Level.ELEMENT]
    count = min(MOST, BYTES // max(sizes, default=BYTES))
    while count > 1 and s.length % count:
        count //= 2
    return count


def _blocks(rounds: int, ending: bool) -> int:
    return max(1, rounds) if not ending else 1 if rounds <= ALONE else min(rounds, BLOCKS)


def _power(n: int) -> int:
    """The least power of two that is not below ``n``."""
    return 1 << max(0, n - 1).bit_length()
