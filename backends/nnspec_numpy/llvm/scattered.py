"""Rows of windows added where the windows lie, as compiled kernels: what a product gave for every place and tap becomes an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register, lanes_below
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors


@dataclass(frozen=True)
class Scattered:
    """Rows of ``run`` numbers, ``rows`` of them a window."""

    rows: int
    run: int

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield "scattered", scattered(self, cpu)


def scattered(kernel: Scattered, cpu: Cpu) -> Code:
    """``x += p`` where each window lies.

    Its table: p, (images, lines, places, rows, run) in one line, x; images, lines and places; how far x moves with an image, a line, a place and a
    row of a window.
    """
    code = Code()
    table = Table(code)
    p, x = table.pointers(2)
    images, lines, places = table.sizes(3)
    x_image, x_line, x_place, x_row = table.sizes(4)
    v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), "0")
    n, size = v.f.lanes, kernel.rows * kernel.run

    def image(i: Register, _: list[Register]) -> list[Register]:
        def line(oy: Register, _: list[Register]) -> list[Register]:
            start = v.at(x, v.plus(v.times(i, x_image), v.times(oy, x_line)))
            first = v.times(v.plus(v.times(i, lines), oy), places)

            def place(ox: Register, _: list[Register]) -> list[Register]:
                target, source = v.at(start, v.times(ox, x_place)), v.at(p, v.times(v.plus(first, ox), str(size)))
                for c in range(0, kernel.run, n):
                    mask = ALL if kernel.run - c >= n else lanes_below(kernel.run - c, n)
                    for r in range(kernel.rows):
                        there = v.at(v.at(target, v.times(x_row, str(r))) if r else target, str(c))
                        v.store(v.f.add(v.load(there, mask), v.load(v.at(source, str(r * kernel.run + c)), mask)), there, mask)
                return []

            return code.loop(places, place)

        return code.loop(lines, line)

    code.loop(images, image)
    return code
