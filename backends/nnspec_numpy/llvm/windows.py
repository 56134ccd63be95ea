"""Windows of two axes as compiled kernels: pools, convolutions of every channel by itself, and the gradients of both.

A convolution is gathered, backwards too where it has no stride: a place of the result asks every tap where it looked. Other gradients
are scattered, window after window. Places outside are addresses of a row that holds what a border does, or of one that nobody reads.
Vectors run along channels, the last ones under a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register, everywhere
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors

Pair = tuple[int, int]


@dataclass(frozen=True)
class Family:
    """Kernels for windows of one shape; ``back`` where the result is what the windows look at, and their values are the source."""

    kind: str
    size: Pair
    stride: Pair
    dilation: Pair = (1, 1)
    back: bool = False
    together: int = 1  # places of the result at a time, side by side

    def offset(self, place: int, tap: int) -> int:
        """How far a tap of a place among those at a time looks; backwards it has no other's where there is a stride."""
        if not self.back:
            return place * self.stride[1] + tap * self.dilation[1]
        return place - tap * self.dilation[1] if self.stride[1] == 1 else place * self.size[1] + tap

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield self.kind, KINDS[self.kind](self, cpu)

    @property
    def apart(self) -> bool:
        """Whether no place is in two windows."""
        return all(s >= (k - 1) * d + 1 for s, k, d in zip(self.stride, self.size, self.dilation, strict=True))

    @property
    def taps(self) -> list[Pair]:
        return list(product(range(self.size[0]), range(self.size[1])))


class Reach(NamedTuple):
    """What a tap of a place sees: a name that equal ones share, where its channels begin, and whether it is there."""

    key: Pair
    place: Register
    inside: Register


class Line(NamedTuple):
    """A line of the result: its first place's number, and for each row of taps where its source's line begins and whether it is there."""

    start: Register
    sources: list[Register]
    fits: list[Register]


class Block(NamedTuple):
    """Places of a line: where their channels begin, whether they came before, and what their taps see: a place, a row, a tap of it."""

    firsts: list[Register]
    again: list[Register]
    reached: list[list[list[Reach]]]


class Walk(Vectors):
    """The arguments that every kernel begins with, and loops over places and channels.

    How many images there are, height and width of the result and of the source, channels, rows and columns of border before.
    """

    def __init__(self, family: Family, cpu: Cpu, table: Table, code: Code) -> None:
        self.family = family
        self.images, *sizes, channels, top, left = table.sizes(8)
        super().__init__(code, Lanes(code, DType.float32, cpu.width // 4), channels)
        self.result, self.source, self.border = sizes[:2], sizes[2:], (top, left)
        width, together = self.result[1], family.together
        self.last = code.let(f"sub i64 {width}, {together}")
        self.blocks = self.parts(width, together)

    def each_place(self, body: Callable[[Register, list[list[Register]], list[list[Register]]], None]) -> None:
        """``body(first, places, inside)`` for every place of the result: where its channels begin, and for each tap where those of
        its source do, and whether it is there."""
        def one(firsts: list[Register], reached: list[list[list[Reach]]]) -> None:
            body(firsts[0], [[r.place for r in line] for line in reached[0]], [[r.inside for r in line] for line in reached[0]])

        self.each_block(one)

    def each_block(self, body: Callable[[list[Register], list[list[list[Reach]]]], None]) -> None:
        """``body(firsts, reached)`` for ``together`` places side by side, of which the last may come twice."""
        def line(line: Line) -> None:
            def block(number: Register, _: list[Register]) -> list[Register]:
                b = self.block(line, number)
                body(b.firsts, b.reached)
                return []

            self.code.loop(self.blocks, block)

        self.each_line(line)

    def each_line(self, body: Callable[[Line], None]) -> None:
        """``body`` for every line of the result."""
        def image(n: Register, _: list[Register]) -> list[Register]:
            def line(y: Register, _: list[Register]) -> list[Register]:
                rows = [self.seen(0, y, i) for i in range(self.family.size[0])]
                starts = [self.times(self.plus(self.times(n, self.source[0]), row), self.source[1]) for row, _ in rows]
                body(Line(self.times(self.plus(self.times(n, self.result[0]), y), self.result[1]), starts, [fits for _, fits in rows]))
                return []

            return self.code.loop(self.result[0], line)

        self.code.loop(self.images, image)

    def block(self, line: Line, number: Register) -> Block:
        """Places side by side; where the line ends before them they are moved back, and come twice."""
        code, together, x = self.code, self.family.together, number
        start = self.times(number, str(together))
        if together > 1:
            x = code.let(f"select i1 {code.let(f'icmp slt i64 {start}, {self.last}')}, i64 {start}, i64 {self.last}")
        xs = [self.plus(x, str(k)) if k else x for k in range(together)]
        firsts = [self.times(self.plus(line.start, x), self.channels) for x in xs]
        again = ["false" if together == 1 else code.let(f"icmp slt i64 {x}, {start}") for x in xs]
        columns: dict[int, tuple[Register, Register]] = {}
        made: dict[Pair, Reach] = {}
        reached = []
        for k, own in enumerate(xs):
            offsets = [self.family.offset(k, j) for j in range(self.family.size[1])]
            columns.update({o: self.seen(1, own, j) for j, o in enumerate(offsets) if o not in columns})
            for key in ((i, o) for i in range(self.family.size[0]) for o in offsets):
                if key not in made:
                    at, inside = columns[key[1]]
                    made[key] = Reach(key, self.times(self.plus(line.sources[key[0]], at), self.channels),
                                      code.let(f"and i1 {line.fits[key[0]]}, {inside}"))
            reached.append([[made[i, o] for o in offsets] for i in range(self.family.size[0])])
        return Block(firsts, again, reached)

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
        def vector(k: Register, whole: bool) -> None:
            c = self.times(k, str(self.f.lanes))
            body(c, ALL if whole else self.mask(c))

        self.along(self.f.lanes, vector)

    def chosen(self, inside: Register, array: Register, place: Register, row: Register) -> Register:
        """The address of a place of an array, or ``row``."""
        return self.code.let(f"select i1 {inside}, ptr {self.at(array, place)}, ptr {row}")

    def add(self, x: Register, p: Register, mask: Register) -> None:
        """To what is there, or in its place where no two windows share anything."""
        if not self.family.apart:
            x = self.f.add(self.load(p, mask), x)
        self.store(x, p, mask)

    def count(self, inside: list[list[Register]]) -> Register:
        """How many taps are in the image, in every lane."""
        many = "0"
        for i, j in self.family.taps:
            many = self.plus(many, self.code.let(f"zext i1 {inside[i][j]} to i64"))
        return self.number(many)


def depthwise(family: Family, cpu: Cpu) -> Code:
    """``y = sum over taps of x * kernel``: x, kernel, y, a row of zeros. Backwards x is the gradient and y that of the input."""
    code = Code()
    table = Table(code)
    x, kernel, y, zeros = table.pointers(4)
    walk = Walk(family, cpu, table, code)

    def places(firsts: list[Register], reached: list[list[list[Reach]]]) -> None:
        sources = {key: walk.chosen(inside, x, at, zeros) for block in reached for line in block for key, at, inside in line}
        asked = [[block[i][j][0] for i, j in family.taps] for block in reached]

        def vector(c: Register, mask: Register) -> None:
            weights = [walk.load(walk.at(kernel, walk.plus(walk.times(walk.channels, str(t)), c)), mask) for t in range(len(family.taps))]
            totals, values = [walk.f.of(0.0)] * len(firsts), dict[Pair, Register]()
            for t, weight in enumerate(weights):
                for k, keys in enumerate(asked):
                    if keys[t] not in values:
                        values[keys[t]] = walk.load(walk.at(sources[keys[t]], c), mask)
                    totals[k] = walk.f.fma(values[keys[t]], weight, totals[k])
            for first, total in zip(firsts, totals, strict=True):
                walk.store(total, walk.at(walk.at(y, first), c), mask)

        walk.each_vector(vector)

    walk.each_block(places)
    return code


def depthwise_scatter(family: Family, cpu: Cpu) -> Code:
    """The gradient in the input where there is a stride, added to what is there: g, kernel, x, a row that nobody reads."""
    code = Code()
    table = Table(code)
    g, kernel, x, nowhere = table.pointers(4)
    walk = Walk(family, cpu, table, code)

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        targets = [walk.chosen(inside[i][j], x, places[i][j], nowhere) for i, j in family.taps]

        def vector(c: Register, mask: Register) -> None:
            upstream = walk.load(walk.at(walk.at(g, first), c), mask)
            for t, target in enumerate(targets):
                weight, there = walk.load(walk.at(kernel, walk.plus(walk.times(walk.channels, str(t)), c)), mask), walk.at(target, c)
                walk.store(walk.f.fma(upstream, weight, walk.load(there, mask)), there, mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def depthwise_kernel(family: Family, cpu: Cpu) -> Code:
    """The gradient of every tap of the kernel, added to what is there: x, g, kernel, a row of zeros, and room for the sums of a line."""
    code = Code()
    table = Table(code)
    x, g, kernel, zeros, sums = table.pointers(5)
    walk = Walk(family, cpu, table, code)
    f, taps = walk.f, range(len(family.taps))

    def tap(base: Register, t: int, c: Register) -> Register:
        return walk.at(base, walk.plus(walk.times(walk.channels, str(t)), c))

    def clear(c: Register, mask: Register) -> None:
        for t in taps:
            walk.store(f.of(0.0), tap(sums, t, c), mask)

    def add(c: Register, mask: Register) -> None:
        for t in taps:
            walk.store(f.add(walk.load(tap(kernel, t, c), mask), walk.load(tap(sums, t, c), mask)), tap(kernel, t, c), mask)

    def line(line: Line) -> None:
        def block(number: Register, _: list[Register]) -> list[Register]:
            b = walk.block(line, number)
            gradients = [code.let(f"select i1 {again}, ptr {zeros}, ptr {walk.at(g, first)}") for first, again in zip(b.firsts, b.again, strict=True)]
            sources = {r.key: r for place in b.reached for row in place for r in row}
            seen = {key: walk.chosen(r.inside, x, r.place, zeros) for key, r in sources.items()}

            def vector(c: Register, mask: Register) -> None:
                upstream = [walk.load(walk.at(p, c), mask) for p in gradients]
                values = dict[Pair, Register]()
                for t, (i, j) in enumerate(family.taps):
                    total = walk.load(tap(sums, t, c), mask)
                    for k, up in enumerate(upstream):
                        key = b.reached[k][i][j].key
                        if key not in values:
                            values[key] = walk.load(walk.at(seen[key], c), mask)
                        total = f.fma(values[key], up, total)
                    walk.store(total, tap(sums, t, c), mask)

            walk.each_vector(vector)
            return []

        walk.each_vector(clear)
        code.loop(walk.blocks, block)
        walk.each_vector(add)

    walk.each_line(line)
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
    """Each window's gradient where its largest stood: g, numbers, x, a row that nobody reads."""
    code = Code()
    table = Table(code)
    g, numbers, x, nowhere = table.pointers(4)
    walk = Walk(family, cpu, table, code)
    f = walk.f

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        targets = [walk.chosen(inside[i][j], x, places[i][j], nowhere) for i, j in family.taps]

        def vector(c: Register, mask: Register) -> None:
            value, number = walk.load(walk.at(walk.at(g, first), c), mask), walk.load(walk.at(walk.at(numbers, first), c), mask, "i32")
            for t, target in enumerate(targets):
                hit = code.let(f"icmp eq {f.whole} {number}, {everywhere(str(t), 'i32', f.lanes)}")
                walk.add(f.select(hit, value, f.of(0.0)), walk.at(target, c), mask)

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
        many = walk.count(inside)

        def vector(c: Register, mask: Register) -> None:
            total = walk.load(walk.at(sources[0], c), mask)
            for source in sources[1:]:
                total = f.add(total, walk.load(walk.at(source, c), mask))
            walk.store(f.div(total, many), walk.at(walk.at(y, first), c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def mean_gradient(family: Family, cpu: Cpu) -> Code:
    """Each window's gradient over all of its places in the image: g, x, a row that nobody reads."""
    code = Code()
    table = Table(code)
    g, x, nowhere = table.pointers(3)
    walk = Walk(family, cpu, table, code)

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        targets = [walk.chosen(inside[i][j], x, places[i][j], nowhere) for i, j in family.taps]
        many = walk.count(inside)

        def vector(c: Register, mask: Register) -> None:
            share = walk.f.div(walk.load(walk.at(walk.at(g, first), c), mask), many)
            for target in targets:
                walk.add(share, walk.at(target, c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


KINDS: dict[str, Callable[[Family, Cpu], Code]] = {
    "depthwise": depthwise, "depthwise_scatter": depthwise_scatter, "depthwise_kernel": depthwise_kernel,
    "largest": largest, "largest_gradient": largest_gradient, "mean": mean, "mean_gradient": mean_gradient}
