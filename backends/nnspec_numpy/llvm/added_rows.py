"""Rows of a table that numbers choose, taken or added to, as compiled kernels: one after the other, so that the order of a sum is fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors

AHEAD = 16  # rows later, what a row begins with is asked of memory: no hardware knows what numbers choose
Move = Callable[[Vectors, Register, Register, Register], None]  # of a vector between a place of the values and one of the table, under a mask


def family(cpu: Cpu) -> Iterator[tuple[str, Code]]:
    yield "add", chosen(cpu, add)
    yield "take", chosen(cpu, take)


def add(v: Vectors, own: Register, row: Register, mask: Register) -> None:
    v.store(v.f.add(v.load(row, mask), v.load(own, mask)), row, mask)


def take(v: Vectors, own: Register, row: Register, mask: Register) -> None:
    v.store(v.load(row, mask), own, mask)


def chosen(cpu: Cpu, move: Move) -> Code:
    """Its table: values, numbers, the table; how many numbers and rows of the table there are, and numbers in a row. A number
    beyond the table's ends takes the nearest."""
    code = Code()
    table = Table(code)
    values, numbers, rows = table.pointers(3)
    count, most, width = table.sizes(3)
    v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), width)
    last, end = (code.let(f"sub i64 {n}, 1") for n in (most, count))

    def row_of(i: Register) -> Register:
        asked = code.let(f"load i64, ptr {code.let(f'getelementptr i64, ptr {numbers}, i64 {i}')}, align 8")
        low = code.let(f"select i1 {code.let(f'icmp slt i64 {asked}, 0')}, i64 0, i64 {asked}")
        number = code.let(f"select i1 {code.let(f'icmp sgt i64 {low}, {last}')}, i64 {last}, i64 {low}")
        return v.at(rows, v.times(number, width))

    def each(i: Register, _: list[Register]) -> list[Register]:
        own, row = v.at(values, v.times(i, width)), row_of(i)
        later = v.plus(i, str(AHEAD))
        v.soon(row_of(code.let(f"select i1 {code.let(f'icmp slt i64 {later}, {end}')}, i64 {later}, i64 {end}")), 0)

        def vector(k: Register, whole: bool) -> None:
            c = v.times(k, str(v.f.lanes))
            move(v, v.at(own, c), v.at(row, c), ALL if whole else v.mask(c))

        v.along(v.f.lanes, vector)
        return []

    code.loop(count, each)
    return code
