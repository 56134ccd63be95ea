"""Rows times a few columns as a compiled kernel: vectors run along the row, and as many rows as a vector has lanes are then added up across.

Every row is added up in one order, wherever it stands among others.
"""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.ir.types import DType
from nnspec.records import dataclass
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.moves import laid
from nnspec_numpy.llvm.vectors import ALL, Vectors


@dataclass(frozen=True)
class Dots:
    """For so many columns; whether a row has a whole vector, and numbers behind its whole vectors."""

    columns: int
    whole: bool
    left: bool

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield "dots", dots(self, cpu)


def dots(kind: Dots, cpu: Cpu) -> Code:
    """``y[p, f] = sum over c of x[p, c] w[f, c]``. Its table: x, w, y; rows, at least as many as lanes; and numbers in a row."""
    code = Code()
    table = Table(code)
    x, w, y = table.pointers(3)
    rows, depth = table.sizes(2)
    v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), depth)
    f = v.f
    last = code.let(f"sub i64 {rows}, {f.lanes}")
    vectors = code.let(f"udiv i64 {depth}, {f.lanes}")
    rest = v.times(vectors, str(f.lanes))
    mask = v.mask(rest)

    def block(b: Register, _: list[Register]) -> list[Register]:
        first = v.times(b, str(f.lanes))
        first = code.let(f"select i1 {code.let(f'icmp slt i64 {first}, {last}')}, i64 {first}, i64 {last}")
        start = v.at(x, v.times(first, depth))
        sources = [v.at(start, v.times(depth, str(p))) for p in range(f.lanes)]
        results = [total(sources, v.at(w, v.times(depth, str(column)))) for column in range(kind.columns)]
        target = v.at(y, v.times(first, str(kind.columns)))
        for i, line in enumerate(laid(code, results, f.lanes, back=False)):
            v.store(line, v.at(target, str(i * f.lanes)), ALL)
        return []

    def total(sources: list[Register], own: Register) -> Register:
        def add(c: Register, mask: Register, sums: list[Register]) -> list[Register]:
            weight = v.load(v.at(own, c), mask)
            return [f.fma(v.load(v.at(source, c), mask), weight, s) for source, s in zip(sources, sums, strict=True)]

        sums = [f.of(0.0)] * f.lanes
        if kind.whole:
            sums = code.loop(vectors, lambda k, now: add(v.times(k, str(f.lanes)), ALL, now), [(f.type, s) for s in sums])
        return across(f, add(rest, mask, sums) if kind.left else sums)

    code.loop(v.parts(rows, f.lanes), block)
    return code


def across(f: Lanes, sums: list[Register]) -> Register:
    """Each vector's sum in a lane of its own: halves upon halves, of two vectors at once."""
    n, part = f.lanes, f.lanes  # how many lanes belong to one sum
    while part > 1:
        low = [i for first in range(0, n, part) for i in range(first, first + part // 2)]
        halves = [[i + side for i in (*low, *(n + j for j in low))] for side in (0, part // 2)]
        sums = [f.add(*(shuffled(f, a, b, order) for order in halves)) for a, b in zip(sums[::2], sums[1::2], strict=True)]
        part //= 2
    return sums[0]


def shuffled(f: Lanes, a: Register, b: Register, order: list[int]) -> Register:
    return f.code.let(f"shufflevector {f.type} {a}, {f.type} {b}, <{f.lanes} x i32> <{', '.join(f'i32 {i}' for i in order)}>")
