"""Matrix products as compiled kernels: a block of rows times some vectors of columns is held in registers, sums are taken in one order.

A number of the left matrix is spread over a vector and multiplied with a row of the right one, whose columns lie side by side: where they
do not, or far apart, a strip of columns is moved to a workspace first and met there by all rows. Every element is one chain of sums over
the depth, whatever block it falls into: neither tiles nor threads change a bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.epilogue import Ending, Epilogue
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.turned import turned
from nnspec_numpy.llvm.vectors import ALL, Vectors

AHEAD = 32  # rows of the right matrix that are asked of memory ahead: a stream ends at each page otherwise
NAME = "product"


@dataclass(frozen=True)
class Product:
    """A kernel of blocks of ``rows`` and one less, strips of ``vectors`` and one less.

    ``upright``: the left matrix lies by columns. ``right``: "rows" where the right one is read as it lies, "panels" where it lies in panels of
    one vector; "moved" or "turned" where each strip is brought to a workspace first, from rows or from columns. ``short`` and ``narrow``
    where there are blocks of one less, ``masked`` where the last vector is not full, ``deep`` where the depth is taken in several parts.
    The ``epilogue`` says what becomes of sums before they are stored.
    """

    rows: int
    vectors: int
    upright: bool
    right: str
    short: bool
    narrow: bool
    masked: bool
    deep: bool
    epilogue: Epilogue | None = None

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield NAME, _Write(self, cpu).code


class Strip(NamedTuple):
    """Where the vectors of a strip lie, how far rows are apart, where in a row each vector is, and which of its lanes are there."""

    start: Register
    pitch: Register
    places: list[Register]
    masks: list[str]


class _Write:
    """Its table: left, right, result, workspace; products side by side in two axes, and how far left, right and result move along each;
    rows, depth, columns; how far apart lines of left, right and result are; how far a panel is from the next; blocks of all rows and of one
    less; strips of one vector less, and of all that are full; parts of the depth, and numbers in each but the last; then what its ending takes.
    """

    def __init__(self, kind: Product, cpu: Cpu) -> None:
        self.kind, self.code = kind, Code()
        code, table = self.code, Table(self.code)
        left, right, result, self.space = table.pointers(4)
        outer, inner, *moves = table.sizes(8)
        self.depth, self.columns, self.a_pitch, self.b_pitch, self.y_pitch, self.panel = table.sizes(6)
        self.tall, self.short, self.narrow, self.wide, self.parts, self.part = table.sizes(6)
        self.v = v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), self.columns)
        self.ending = Ending(kind.epilogue, v, table)

        def first(i: Register, _: list[Register]) -> list[Register]:
            def second(j: Register, _: list[Register]) -> list[Register]:
                a, b, y = (v.at(p, v.plus(v.times(i, moves[2 * n]), v.times(j, moves[2 * n + 1])))
                           for n, p in enumerate((left, right, result)))
                self._one(a, b, y)
                return []

            return code.loop(inner, second)

        code.loop(outer, first)

    def _one(self, a: Register, b: Register, y: Register) -> None:
        """One product."""
        if not self.kind.deep:
            self._strips(a, b, y, self.depth)
            return
        v, code = self.v, self.code

        def part(i: Register, _: list[Register]) -> list[Register]:
            start = v.times(i, self.part)
            left = code.let(f"sub i64 {self.depth}, {start}")
            count = code.let(f"select i1 {code.let(f'icmp slt i64 {left}, {self.part}')}, i64 {left}, i64 {self.part}")
            self._first = code.let(f"icmp eq i64 {i}, 0")
            self._last = code.let(f"zext i1 {code.let(f'icmp sle i64 {left}, {self.part}')} to i64")
            pitch = self.a_pitch if self.kind.upright else "1"
            below = {"turned": "1", "panels": str(v.f.lanes)}.get(self.kind.right, self.b_pitch)
            self._strips(v.at(a, v.times(start, pitch)), v.at(b, v.times(start, below)), y, count)
            return []

        code.loop(self.parts, part)

    def _strips(self, a: Register, b: Register, y: Register, depth: Register) -> None:
        kind, v = self.kind, self.v

        def strips(count: Register, first: Register, vectors: int) -> None:
            def strip(i: Register, _: list[Register]) -> list[Register]:
                self._strip(a, b, y, depth, v.plus(first, v.times(i, str(vectors))), vectors, False)
                return []

            self.code.loop(count, strip)

        behind = "0"
        if kind.narrow:
            strips(self.narrow, "0", kind.vectors - 1)
            behind = v.times(self.narrow, str(kind.vectors - 1))
        v.when(self.wide, lambda: strips(self.wide, behind, kind.vectors))
        if kind.masked:
            self._strip(a, b, y, depth, v.plus(behind, v.times(self.wide, str(kind.vectors))), kind.vectors, True)

    def _strip(self, a: Register, b: Register, y: Register, depth: Register, place: Register, vectors: int, masked: bool) -> None:
        """A strip of so many vectors from vector ``place`` on."""
        v, lanes = self.v, self.v.f.lanes
        column = v.times(place, str(lanes))
        last = v.mask(v.plus(column, str((vectors - 1) * lanes))) if masked else ALL
        masks = [ALL] * (vectors - 1) + [last]
        side_by_side = [str(q * lanes) for q in range(vectors)]
        strip = Strip(self.space, str(vectors * lanes), side_by_side, [ALL] * vectors)
        if self.kind.right == "rows":
            strip = Strip(v.at(b, column), self.b_pitch, side_by_side, masks)
        elif self.kind.right == "panels":
            strip = Strip(v.at(b, v.times(place, self.panel)), str(lanes), [v.times(self.panel, str(q)) for q in range(vectors)], [ALL] * vectors)
        elif self.kind.right == "moved":
            self._move(v.at(b, column), depth, masks)
        else:
            turned(v, v.at(b, v.times(column, self.b_pitch)), self.space, self.b_pitch, depth,
                   v.code.let(f"sub i64 {self.columns}, {column}"), vectors, masked)
        self._blocks(a, strip, v.at(y, column), column, masks, depth)

    def _move(self, b: Register, depth: Register, masks: list[str]) -> None:
        v, lanes = self.v, self.v.f.lanes

        def row(t: Register, _: list[Register]) -> list[Register]:
            source, target = v.at(b, v.times(t, self.b_pitch)), v.at(self.space, v.times(t, str(len(masks) * lanes)))
            for q, mask in enumerate(masks):
                place = str(q * lanes)
                v.store(v.load(v.at(source, place), mask), v.at(target, place), ALL)
            return []

        self.code.loop(depth, row)

    def _blocks(self, a: Register, strip: Strip, y: Register, column: Register, masks: list[str], depth: Register) -> None:
        """All rows of a strip."""
        v, kind = self.v, self.kind

        def blocks(count: Register, before: Register, rows: int) -> None:
            def block(i: Register, _: list[Register]) -> list[Register]:
                row = v.plus(before, v.times(i, str(rows)))
                self._block(v.at(a, row if kind.upright else v.times(row, self.a_pitch)), strip,
                            v.at(y, v.times(row, self.y_pitch)), column, masks, depth, rows)
                return []

            self.code.loop(count, block)

        blocks(self.tall, "0", kind.rows)
        if kind.short:
            blocks(self.short, v.times(self.tall, str(kind.rows)), kind.rows - 1)

    def _block(self, a: Register, strip: Strip, y: Register, column: Register, masks: list[str], depth: Register, rows: int) -> None:
        """What is held in registers: ``rows`` times the vectors of a strip."""
        v, f, code = self.v, self.v.f, self.code
        sources = [a] if self.kind.upright else [v.at(a, v.times(self.a_pitch, str(r))) for r in range(rows)]
        lines = [v.at(y, v.times(self.y_pitch, str(r))) for r in range(rows)]
        targets = [v.at(line, str(q * f.lanes)) for line in lines for q in range(len(masks))]
        sums = ["zeroinitializer"] * len(targets)
        if self.kind.deep:
            sums = [f.select(v.all_lanes(self._first), f.of(0.0), v.load(t, masks[i % len(masks)])) for i, t in enumerate(targets)]
        panels = [v.at(strip.start, place) for place in strip.places]
        ahead = [v.at(p, v.times(strip.pitch, str(AHEAD))) for p in panels]

        def number(t: Register, sums: list[Register]) -> list[Register]:
            row = v.times(t, strip.pitch)
            vectors = [v.load(v.at(p, row), mask) for p, mask in zip(panels, strip.masks, strict=True)]
            for p in ahead:
                v.soon(v.at(p, row), 0)
            if self.kind.upright:
                line = v.at(a, v.times(t, self.a_pitch))
                ones = [v.at(line, str(r)) for r in range(rows)]
            else:
                ones = [v.at(source, t) for source in sources]
            found = []
            for r, one in enumerate(ones):
                x = v.everywhere(one)
                found += [f.fma(x, w, sums[r * len(vectors) + q]) for q, w in enumerate(vectors)]
            return found

        found = code.loop(depth, number, [(f.type, s) for s in sums])

        def part() -> None:
            for i, (x, target) in enumerate(zip(found, targets, strict=True)):
                v.store(x, target, masks[i % len(masks)])

        def end() -> None:
            spots = [self.ending.spot(line) for line in lines]
            for q, mask in enumerate(masks):
                further = str(q * f.lanes)
                self.ending.store(spots, found[q :: len(masks)], further, v.plus(column, further) if q else column, mask)

        if self.kind.deep and self.kind.epilogue:
            v.when(code.let(f"xor i64 {self._last}, 1"), part)
            v.when(self._last, end)
        else:
            end()
