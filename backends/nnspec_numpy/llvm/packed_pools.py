"""Pools of few channels as compiled kernels: several places side by side share a vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from nnspec_numpy.llvm.code import Code, Register, everywhere
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.packed import Packing, Places
from nnspec_numpy.llvm.pools import larger


@dataclass(frozen=True)
class PackedPool:
    """A kernel of ``kind`` for windows of so many columns and rows."""

    kind: str
    packing: Packing
    columns: int
    rows: int

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield self.kind, KINDS[self.kind](self, cpu)


def packed_largest(kernel: PackedPool, cpu: Cpu, where: bool = False) -> Code:
    """The largest of each window, that lies in its image; of few channels. With ``where``, which tap it was.

    Its table: x, y, numbers of taps; images, lines and places (at least as many as at a time); how far x moves with an image, a line and a row; y
    and numbers with an image and a line.
    """
    code, p = Code(), kernel.packing
    table = Table(code)
    x, y = table.pointers(2)
    numbers = table.pointers(1)[0] if where else y
    images, lines, places = table.sizes(3)
    x_image, x_line, x_row, y_image, y_line = table.sizes(5)
    v = Places(code, p)
    f = v.f

    def image(n: Register, _: list[Register]) -> list[Register]:
        def line(oy: Register, _: list[Register]) -> list[Register]:
            source = v.at(x, v.plus(v.times(n, x_image), v.times(oy, x_line)))
            own = v.plus(v.times(n, y_image), v.times(oy, y_line))

            def place_block(b: Register, _: list[Register]) -> list[Register]:
                first = v.block(b, p.places, places)
                seen, there = v.at(source, v.times(first, str(p.step))), v.plus(own, v.times(first, str(p.filters)))
                rows = [v.at(seen, v.times(x_row, str(i))) if i else seen for i in range(kernel.rows)]
                taps = [v.spread(v.at(row, str(j * p.filters))) for row in rows for j in range(kernel.columns)]
                for q, (best, *others) in enumerate(zip(*taps, strict=True)):
                    number = "zeroinitializer"
                    for t, value in enumerate(others, 1):
                        taken = larger(f, best, value)
                        best = f.select(taken, value, best)
                        number = code.let(f"select {f.mask} {taken}, {f.whole} {everywhere(str(t), 'i32', f.lanes)}, {f.whole} {number}")
                    at = v.plus(there, str(q * p.lanes)) if q else there
                    v.store(best, v.at(y, at), v.left(q))
                    if where:
                        v.store(number, v.at(numbers, at), v.left(q), "i32")
                return []

            return code.loop(v.parts(places, p.places), place_block)

        return code.loop(lines, line)

    code.loop(images, image)
    return code


def packed_largest_gradient(kernel: PackedPool, cpu: Cpu) -> Code:
    """Each window's gradient where its largest stood, written row by row, of windows side by side that make up whole rows.

    A vector is numbers of a row of x: what it is made of is read of the windows that its places lie in. Its table: g, numbers of taps, x; images,
    lines and places of g; how far x moves with an image, a line and a row; g and numbers with an image and a line.
    """
    code, p = Code(), kernel.packing
    table = Table(code)
    g, numbers, x = table.pointers(3)
    images, lines, places = table.sizes(3)
    x_image, x_line, x_row, g_image, g_line = table.sizes(5)
    v = Places(code, p)
    f, wide = v.f, kernel.columns

    def image(n: Register, _: list[Register]) -> list[Register]:
        def line(oy: Register, _: list[Register]) -> list[Register]:
            target = v.at(x, v.plus(v.times(n, x_image), v.times(oy, x_line)))
            own = v.plus(v.times(n, g_image), v.times(oy, g_line))

            def place_block(b: Register, _: list[Register]) -> list[Register]:
                first = v.block(b, p.places, places)
                there = v.plus(own, v.times(first, str(p.filters // wide)))
                values, taps = v.spread(v.at(g, there)), v.spread(v.at(numbers, there), "i32")
                for r in range(kernel.rows):
                    row = v.at(target, v.plus(v.times(first, str(p.filters)), v.times(x_row, str(r))))
                    for q, (value, number) in enumerate(zip(values, taps, strict=True)):
                        each = ", ".join(f"i32 {r * wide + t}" for t in p.taps(q, wide))
                        hit = code.let(f"icmp eq {f.whole} {number}, <{each}>")
                        v.store(f.select(hit, value, f.of(0.0)), v.at(row, str(q * p.lanes)), v.left(q))
                return []

            return code.loop(v.parts(places, p.places), place_block)

        return code.loop(lines, line)

    code.loop(images, image)
    return code


KINDS: dict[str, Callable[[PackedPool, Cpu], Code]] = {
    "packed_largest": packed_largest, "packed_largest_where": partial(packed_largest, where=True),
    "packed_largest_gradient": packed_largest_gradient}
