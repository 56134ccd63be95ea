"""Rows as weighted sums of some of another array's rows, as a compiled kernel: what resizing and repeated borders are, and their gradients.

Along several axes at once each sum is of sums along the axis before: the bits are those of one axis after another, but what would be between
is never in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.ir.types import DType
from nnspec.records import dataclass
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors


@dataclass(frozen=True)
class Weighted:
    """Over so many neighbouring axes, of which the first, or the last where it is ``back``, is summed first; ``together`` vectors of a row
    side by side."""

    axes: int
    together: int = 4
    back: bool = False

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield "sum", weighted(self, cpu)


def weighted(kind: Weighted, cpu: Cpu) -> Code:
    """Its table: x, y; for each axis where each place's terms begin, their places of x, and their weights; how many blocks there are; places of
    y along each axis, and of x; and numbers in a row. Every place has a term; they are added in order."""
    code = Code()
    table = Table(code)
    x, y = table.pointers(2)
    tables = [table.pointers(3) for _ in range(kind.axes)]
    (blocks,), rows, others, (width,) = (table.sizes(n) for n in (1, kind.axes, kind.axes, 1))
    v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), width)
    order = list(range(kind.axes)) if kind.back else list(range(kind.axes))[::-1]  # the last to be summed first: the outermost loop

    def whole(p: Register, i: Register) -> Register:
        return code.let(f"load i64, ptr {code.let(f'getelementptr i64, ptr {p}, i64 {i}')}, align 8")

    steps = [width] * kind.axes  # how far x moves with a place
    for k in reversed(range(kind.axes - 1)):
        steps[k] = v.times(steps[k + 1], others[k + 1])

    def tile(source: Register, target: Register, firsts: list[Register], counts: list[Register], k: Register, full: bool) -> None:
        columns = [v.plus(v.times(k, str(kind.together * v.f.lanes)), str(j * v.f.lanes)) for j in range(kind.together)]
        masks = [ALL if full else v.mask(c) for c in columns]

        def terms(level: int, base: Register, sums: list[Register], weight: Register) -> list[Register]:
            """To each sum, what lies at ``base`` times a weight; or what the terms along the axes that are left come to."""
            if level == kind.axes:
                seen = [v.load(v.at(base, c), m) for c, m in zip(columns, masks, strict=True)]
            else:
                axis = order[level]
                _, places, weights = tables[axis]

                def term(t: Register, inner: list[Register]) -> list[Register]:
                    at = v.plus(firsts[axis], t)
                    return terms(level + 1, v.at(base, v.times(whole(places, at), steps[axis])), inner, v.everywhere(v.at(weights, at)))

                seen = code.loop(counts[axis], term, [(v.f.type, v.f.of(-0.0))] * kind.together)
            return [v.f.fma(x, weight, s) for x, s in zip(seen, sums, strict=True)] if weight else seen

        for c, m, s in zip(columns, masks, terms(0, source, [], ""), strict=True):
            v.store(s, v.at(target, c), m)

    def places(axis: int, source: Register, target: Register, firsts: list[Register], counts: list[Register]) -> None:
        if axis == kind.axes:
            own = v.at(y, v.times(target, width))
            v.along(kind.together * v.f.lanes, lambda k, full: tile(source, own, firsts, counts, k, full))
            return

        def place(i: Register, _: list[Register]) -> list[Register]:
            starts = tables[axis][0]
            first = whole(starts, i)
            count = code.let(f"sub i64 {whole(starts, v.plus(i, '1'))}, {first}")
            places(axis + 1, source, v.plus(v.times(target, rows[axis]), i), [*firsts, first], [*counts, count])
            return []

        code.loop(rows[axis], place)

    def block(b: Register, _: list[Register]) -> list[Register]:
        places(0, v.at(x, v.times(b, v.times(steps[0], others[0]))), b, [], [])
        return []

    code.loop(blocks, block)
    return code
