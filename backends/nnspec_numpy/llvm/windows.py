"""Windows of two axes as compiled kernels: pools, convolutions of every channel by itself, and the gradients of both.

Results are gathered: a place of the result asks every tap where it looked, so that each is written once and no sum is split.
Places outside are addresses of a row that holds what a border does. Vectors run along channels, the last ones under a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register, everywhere, mangled
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table

Pair = tuple[int, int]


@dataclass(frozen=True)
class Family:
    """Kernels for windows of one shape; ``back`` where the result is what the windows look at, and their values are the source."""

    kind: str
    size: Pair
    stride: Pair
    dilation: Pair = (1, 1)
    back: bool = False

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield self.kind, KINDS[self.kind](self, cpu)

    @property
    def taps(self) -> list[Pair]:
        return list(product(range(self.size[0]), range(self.size[1])))


class Walk:
    """The arguments that every kernel begins with, and loops over places and channels.

    How many images there are, height and width of the result and of the source, channels, rows and columns of border before.
    """

    def __init__(self, family: Family, cpu: Cpu, table: Table, code: Code) -> None:
        self.family, self.code, self.f = family, code, Lanes(code, DType.float32, cpu.width // 4)
        self.images, *sizes, self.channels, top, left = table.sizes(8)
        self.result, self.source, self.border = sizes[:2], sizes[2:], (top, left)
        more = code.let(f"add i64 {self.channels}, {self.f.lanes - 1}")
        self.vectors = code.let(f"udiv i64 {more}, {self.f.lanes}")

    def each_place(self, body: Callable[[Register, list[list[Register]], list[list[Register]]], None]) -> None:
        """``body(first, places, inside)`` for every place of the result: where its channels begin, and for each tap where those of
        its source do, and whether it is there."""
        code, (height, width) = self.code, self.result

        def image(n: Register, _: list[Register]) -> list[Register]:
            def line(y: Register, _: list[Register]) -> list[Register]:
                rows = [self.seen(0, y, i) for i in range(self.family.size[0])]
                starts = [self.times(self.plus(self.times(n, self.source[0]), row), self.source[1]) for row, _ in rows]

                def place(x: Register, _: list[Register]) -> list[Register]:
                    columns = [self.seen(1, x, j) for j in range(self.family.size[1])]
                    at = self.plus(self.times(self.plus(self.times(n, height), y), width), x)
                    places = [[self.times(self.plus(start, column), self.channels) for column, _ in columns] for start in starts]
                    inside = [[code.let(f"and i1 {a}, {b}") for _, b in columns] for _, a in rows]
                    body(self.times(at, self.channels), places, inside)
                    return []

                return code.loop(width, place)

            return code.loop(height, line)

        code.loop(self.images, image)

    def seen(self, axis: int, place: Register, tap: int) -> tuple[Register, Register]:
        """Where tap ``tap`` of the window at ``place`` looks along an axis, or which window looks there with it; and whether there is one."""
        code, stride, reach = self.code, self.family.stride[axis], tap * self.family.dilation[axis]
        if not self.family.back:
            at = code.let(f"sub i64 {self.plus(self.times(place, str(stride)), str(reach))}, {self.border[axis]}")
            return at, code.let(f"icmp ult i64 {at}, {self.source[axis]}")
        at = code.let(f"sub i64 {self.plus(place, self.border[axis])}, {reach}")
        if stride == 1:
            return at, code.let(f"icmp ult i64 {at}, {self.source[axis]}")
        number = code.let(f"udiv i64 {at}, {stride}")
        even = code.let(f"icmp eq i64 {code.let(f'urem i64 {at}, {stride}')}, 0")
        return number, code.let(f"and i1 {even}, {code.let(f'icmp ult i64 {number}, {self.source[axis]}')}")

    def each_vector(self, body: Callable[[Register, Register], None]) -> None:
        """``body(c, mask)`` for the channels, as many at a time as a vector holds."""
        def vector(i: Register, _: list[Register]) -> list[Register]:
            c = self.times(i, str(self.f.lanes))
            body(c, self.mask(c))
            return []

        self.code.loop(self.vectors, vector)

    def mask(self, c: Register) -> Register:
        """The lanes from channel ``c`` on that are channels."""
        code, n = self.code, self.f.lanes
        left = code.let(f"trunc i64 {code.let(f'sub i64 {self.channels}, {c}')} to i32")
        one = code.let(f"insertelement <{n} x i32> poison, i32 {left}, i64 0")
        wide = code.let(f"shufflevector <{n} x i32> {one}, <{n} x i32> poison, <{n} x i32> zeroinitializer")
        count = "<" + ", ".join(f"i32 {i}" for i in range(n)) + ">"
        return code.let(f"icmp slt <{n} x i32> {count}, {wide}")

    def chosen(self, inside: Register, array: Register, place: Register, row: Register) -> Register:
        """The address of a place of an array, or ``row``."""
        return self.code.let(f"select i1 {inside}, ptr {self.at(array, place)}, ptr {row}")

    def load(self, p: Register, mask: Register, element: str = "float") -> Register:
        kind = f"<{self.f.lanes} x {element}>"
        return self.code.call(kind, f"llvm.masked.load.{mangled(element, self.f.lanes)}.p0", f"ptr {p}", "i32 4",
                              f"<{self.f.lanes} x i1> {mask}", f"{kind} zeroinitializer")

    def store(self, x: Register, p: Register, mask: Register, element: str = "float") -> None:
        self.code.run(f"llvm.masked.store.{mangled(element, self.f.lanes)}.p0", f"<{self.f.lanes} x {element}> {x}", f"ptr {p}", "i32 4",
                      f"<{self.f.lanes} x i1> {mask}")

    def at(self, base: Register, place: Register) -> Register:
        return base if place == "0" else self.code.let(f"getelementptr i32, ptr {base}, i64 {place}")

    def plus(self, a: Register, b: Register) -> Register:
        return a if b == "0" else b if a == "0" else self.code.let(f"add i64 {a}, {b}")

    def times(self, a: Register, b: Register) -> Register:
        return "0" if "0" in (a, b) else b if a == "1" else a if b == "1" else self.code.let(f"mul i64 {a}, {b}")


def depthwise(family: Family, cpu: Cpu) -> Code:
    """``y = sum over taps of x * kernel``: x, kernel, y, a row of zeros. Backwards x is the gradient and y that of the input."""
    code = Code()
    table = Table(code)
    x, kernel, y, zeros = table.pointers(4)
    walk = Walk(family, cpu, table, code)

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        sources = [walk.chosen(inside[i][j], x, places[i][j], zeros) for i, j in family.taps]

        def vector(c: Register, mask: Register) -> None:
            total = walk.f.of(0.0)
            for t, source in enumerate(sources):
                weight = walk.load(walk.at(kernel, walk.plus(walk.times(walk.channels, str(t)), c)), mask)
                total = walk.f.fma(walk.load(walk.at(source, c), mask), weight, total)
            walk.store(total, walk.at(walk.at(y, first), c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def depthwise_kernel(family: Family, cpu: Cpu) -> Code:
    """The gradient of every tap of the kernel: x, g, kernel, a row of zeros. Sums of a line are added to those of its image, and so on."""
    code = Code()
    table = Table(code)
    x, g, kernel, zeros = table.pointers(4)
    walk = Walk(family, cpu, table, code)
    f, (height, width) = walk.f, walk.result
    taps, zero = len(family.taps), [(f.type, "zeroinitializer")] * len(family.taps)

    def vector(c: Register, mask: Register) -> None:
        def image(n: Register, total: list[Register]) -> list[Register]:
            def line(oy: Register, sums: list[Register]) -> list[Register]:
                rows = [walk.seen(0, oy, i) for i in range(family.size[0])]
                starts = [walk.times(walk.plus(walk.times(n, walk.source[0]), row), walk.source[1]) for row, _ in rows]
                before = walk.times(walk.plus(walk.times(n, height), oy), width)

                def place(ox: Register, own: list[Register]) -> list[Register]:
                    columns = [walk.seen(1, ox, j) for j in range(family.size[1])]
                    upstream = walk.load(walk.at(g, walk.plus(walk.times(walk.plus(before, ox), walk.channels), c)), mask)
                    found = []
                    for (i, j), acc in zip(family.taps, own, strict=True):
                        here = walk.times(walk.plus(starts[i], columns[j][0]), walk.channels)
                        source = walk.chosen(code.let(f"and i1 {rows[i][1]}, {columns[j][1]}"), x, here, zeros)
                        found.append(f.fma(walk.load(walk.at(source, c), mask), upstream, acc))
                    return found

                return [f.add(a, b) for a, b in zip(sums, code.loop(width, place, zero), strict=True)]

            return [f.add(a, b) for a, b in zip(total, code.loop(height, line, zero), strict=True)]

        for t, total in enumerate(code.loop(walk.images, image, zero)):
            walk.store(total, walk.at(kernel, walk.plus(walk.times(walk.channels, str(t)), c)), mask)

    assert taps
    walk.each_vector(vector)
    return code


def largest(family: Family, cpu: Cpu) -> Code:
    """The largest of each window, and which tap it was: x, y, numbers, a row of minus infinity. The first of equals; NaN stays."""
    code = Code()
    table = Table(code)
    x, y, numbers, border = table.pointers(4)
    walk = Walk(family, cpu, table, code)
    f = walk.f

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        sources = [walk.chosen(inside[i][j], x, places[i][j], border) for i, j in family.taps]

        def vector(c: Register, mask: Register) -> None:
            best, number = walk.load(walk.at(sources[0], c), mask), "zeroinitializer"
            for t, source in enumerate(sources[1:], 1):
                value = walk.load(walk.at(source, c), mask)
                larger = code.let(f"and {f.mask} {f.compare('ugt', value, best)}, {f.compare('ord', best, best)}")
                best = f.select(larger, value, best)
                number = code.let(f"select {f.mask} {larger}, {f.whole} {everywhere(str(t), 'i32', f.lanes)}, {f.whole} {number}")
            walk.store(best, walk.at(walk.at(y, first), c), mask)
            walk.store(number, walk.at(walk.at(numbers, first), c), mask, "i32")

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def largest_gradient(family: Family, cpu: Cpu) -> Code:
    """Each window's gradient where its largest stood: g, numbers, x, a row of zeros, a row of -1."""
    code = Code()
    table = Table(code)
    g, numbers, x, zeros, nowhere = table.pointers(5)
    walk = Walk(family, cpu, table, code)
    f = walk.f

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        sources = [(walk.chosen(inside[i][j], g, places[i][j], zeros), walk.chosen(inside[i][j], numbers, places[i][j], nowhere))
                   for i, j in family.taps]

        def vector(c: Register, mask: Register) -> None:
            total: Register | None = None
            for t, (source, which) in enumerate(sources):
                number = walk.load(walk.at(which, c), mask, "i32")
                hit = code.let(f"icmp eq {f.whole} {number}, {everywhere(str(t), 'i32', f.lanes)}")
                share = f.select(hit, walk.load(walk.at(source, c), mask), f.of(0.0))
                total = share if total is None else f.add(total, share)
            assert total is not None
            walk.store(total, walk.at(walk.at(x, first), c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def mean(family: Family, cpu: Cpu) -> Code:
    """The mean of each window's places in the image: x, y, a row of zeros."""
    code = Code()
    table = Table(code)
    x, y, zeros = table.pointers(3)
    walk = Walk(family, cpu, table, code)
    f = walk.f

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        sources = [walk.chosen(inside[i][j], x, places[i][j], zeros) for i, j in family.taps]
        count = "0"
        for i, j in family.taps:
            count = walk.plus(count, code.let(f"zext i1 {inside[i][j]} to i64"))
        one = code.let(f"insertelement {f.type} poison, float {code.let(f'uitofp i64 {count} to float')}, i64 0")
        many = code.let(f"shufflevector {f.type} {one}, {f.type} poison, <{f.lanes} x i32> zeroinitializer")

        def vector(c: Register, mask: Register) -> None:
            total = walk.load(walk.at(sources[0], c), mask)
            for source in sources[1:]:
                total = f.add(total, walk.load(walk.at(source, c), mask))
            walk.store(f.div(total, many), walk.at(walk.at(y, first), c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def mean_gradient(family: Family, cpu: Cpu) -> Code:
    """Each window's gradient over all of its places, none of which lies outside: g, x, a row of zeros."""
    code = Code()
    table = Table(code)
    g, x, zeros = table.pointers(3)
    walk = Walk(family, cpu, table, code)
    f = walk.f

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        sources = [walk.chosen(inside[i][j], g, places[i][j], zeros) for i, j in family.taps]

        def vector(c: Register, mask: Register) -> None:
            total = walk.load(walk.at(sources[0], c), mask)
            for source in sources[1:]:
                total = f.add(total, walk.load(walk.at(source, c), mask))
            walk.store(f.div(total, f.of(float(len(sources)))), walk.at(walk.at(x, first), c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


KINDS: dict[str, Callable[[Family, Cpu], Code]] = {"depthwise": depthwise, "depthwise_kernel": depthwise_kernel, "largest": largest,
                                                   "largest_gradient": largest_gradient, "mean": mean, "mean_gradient": mean_gradient}
