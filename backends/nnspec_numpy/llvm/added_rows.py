"""Rows added to the rows of a table that numbers choose, as a compiled kernel: one after the other, so that the order of a sum is fixed."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors


def family(cpu: Cpu) -> Iterator[tuple[str, Code]]:
    yield "add", add(cpu)


def add(cpu: Cpu) -> Code:
    """Its table: values, numbers, the table; how many numbers and rows of the table there are, and numbers in a row. A number
    beyond the table's ends takes the nearest."""
    code = Code()
    table = Table(code)
    values, numbers, rows = table.pointers(3)
    count, most, width = table.sizes(3)
    v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), width)
    last = code.let(f"sub i64 {most}, 1")

    def each(i: Register, _: list[Register]) -> list[Register]:
        asked = code.let(f"load i64, ptr {code.let(f'getelementptr i64, ptr {numbers}, i64 {i}')}, align 8")
        low = code.let(f"select i1 {code.let(f'icmp slt i64 {asked}, 0')}, i64 0, i64 {asked}")
        number = code.let(f"select i1 {code.let(f'icmp sgt i64 {low}, {last}')}, i64 {last}, i64 {low}")
        source, target = v.at(values, v.times(i, width)), v.at(rows, v.times(number, width))

        def vector(k: Register, whole: bool) -> None:
            c = v.times(k, str(v.f.lanes))
            mask = ALL if whole else v.mask(c)
            v.store(v.f.add(v.load(v.at(target, c), mask), v.load(v.at(source, c), mask)), v.at(target, c), mask)

        v.along(v.f.lanes, vector)
        return []

    code.loop(count, each)
    return code
