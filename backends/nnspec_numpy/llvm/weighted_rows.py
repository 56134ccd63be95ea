"""Rows as weighted sums of some of another array's rows, as a compiled kernel: what resizing and repeated borders are, and their gradients."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors

TOGETHER = 4  # vectors of a row side by side


def family(cpu: Cpu) -> Iterator[tuple[str, Code]]:
    yield "sum", weighted(cpu)


def weighted(cpu: Cpu) -> Code:
    """Its table: x, y, where each row's terms begin, their rows of x, their weights; how many blocks there are, rows in a block of y and of x, and
    numbers in a row. Every row has a term; they are added in order."""
    code = Code()
    table = Table(code)
    x, y, starts, terms, weights = table.pointers(5)
    blocks, rows, others, width = table.sizes(4)
    v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), width)

    def whole(p: Register, i: Register) -> Register:
        return code.let(f"load i64, ptr {code.let(f'getelementptr i64, ptr {p}, i64 {i}')}, align 8")

    def block(b: Register, _: list[Register]) -> list[Register]:
        source, target = v.at(x, v.times(b, v.times(others, width))), v.at(y, v.times(b, v.times(rows, width)))

        def row(i: Register, _: list[Register]) -> list[Register]:
            first = whole(starts, i)
            count = code.let(f"sub i64 {whole(starts, v.plus(i, '1'))}, {first}")
            place = v.at(target, v.times(i, width))

            def tile(k: Register, full: bool) -> None:
                columns = [v.plus(v.times(k, str(TOGETHER * v.f.lanes)), str(j * v.f.lanes)) for j in range(TOGETHER)]
                masks = [ALL if full else v.mask(c) for c in columns]

                def term(t: Register, sums: list[Register]) -> list[Register]:
                    at = v.plus(first, t)
                    own, weight = v.at(source, v.times(whole(terms, at), width)), v.everywhere(v.at(weights, at))
                    return [v.f.fma(v.load(v.at(own, c), m), weight, s) for c, m, s in zip(columns, masks, sums, strict=True)]

                sums = code.loop(count, term, [(v.f.type, v.f.of(-0.0))] * TOGETHER)
                for c, m, s in zip(columns, masks, sums, strict=True):
                    v.store(s, v.at(place, c), m)

            v.along(TOGETHER * v.f.lanes, tile)
            return []

        code.loop(rows, row)
        return []

    code.loop(blocks, block)
    return code
