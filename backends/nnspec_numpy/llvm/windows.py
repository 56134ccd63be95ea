"""What compiled kernels of windows over two or more axes walk along: places of a result, what their taps see, vectors of channels.

A convolution is gathered, backwards too where it has no stride: a place of the result asks every tap where it looked. Other gradients
are scattered, window after window. Places outside are addresses of a row that holds what a border does, or of one that nobody reads.
Vectors run along channels, the last ones under a mask. Of a window all axes but the last make up its rows: those of an image, or of every
plane of a volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from nnspec.ir.types import DType
from nnspec.records import dataclass
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors

Pair = tuple[int, int]
Ints = tuple[int, ...]
ALWAYS = "true"


@dataclass(frozen=True)
class Shape:
    """Windows; ``back`` where the result is what they look at, and their values are the source."""

    size: Ints
    stride: Ints
    dilation: Ints
    back: bool = False
    together: int = 1  # places of the result at a time, side by side

    def offset(self, place: int, tap: int) -> int:
        """How far a tap of a place among those at a time looks; backwards it has no other's where there is a stride."""
        if not self.back:
            return place * self.stride[-1] + tap * self.dilation[-1]
        return place - tap * self.dilation[-1] if self.stride[-1] == 1 else place * self.size[-1] + tap

    @property
    def apart(self) -> bool:
        """Whether no place is in two windows."""
        return all(s >= (k - 1) * d + 1 for s, k, d in zip(self.stride, self.size, self.dilation, strict=True))

    @property
    def rows(self) -> list[Ints]:
        """The place of each row of a window along all axes but the last."""
        return list(product(*map(range, self.size[:-1])))

    @property
    def taps(self) -> list[Pair]:
        """The row of each tap, by its number, and its place in it."""
        return list(product(range(len(self.rows)), range(self.size[-1])))


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


class Window(NamedTuple):
    """A place of the result: where its channels begin, where those of what its taps see do, or of the row outside; and which taps are inside."""

    first: Register
    taps: list[Register]
    inside: list[list[Register]]


Vector = Callable[[Register, Register], None]  # of channels from one on, under a mask


class Walk(Vectors):
    """The arguments that every kernel begins with, and loops over places and channels.

    How many images there are, the sizes of the result and of the source along each axis, channels, and the border before along each.
    """

    def __init__(self, shape: Shape, cpu: Cpu, table: Table, code: Code) -> None:
        self.shape = shape
        axes = len(shape.size)
        (self.images,), self.result, self.source, (channels,), self.border = (table.sizes(n) for n in (1, axes, axes, 1, axes))
        super().__init__(code, Lanes(code, DType.float32, cpu.width // 4), channels)
        width, together = self.result[-1], shape.together
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
        axes = len(self.shape.size) - 1

        def walk(axis: int, start: Register, sources: list[Register], fits: list[Register]) -> None:
            """The lines along the axes from one on; of the axes before, where they start, and what each place of a window sees there."""
            if axis == axes:
                body(Line(self.times(start, self.result[-1]), [self.times(s, self.source[-1]) for s in sources], fits))
                return

            def step(y: Register, _: list[Register]) -> list[Register]:
                seen = [self.seen(axis, y, i) for i in range(self.shape.size[axis])]
                further = [self.plus(self.times(s, self.source[axis]), at) for s in sources for at, _ in seen]
                both = [fit if f == ALWAYS else self.code.let(f"and i1 {f}, {fit}") for f in fits for _, fit in seen]
                walk(axis + 1, self.plus(self.times(start, self.result[axis]), y), further, both)
                return []

            self.code.loop(self.result[axis], step)

        def image(n: Register, _: list[Register]) -> list[Register]:
            walk(0, n, [n], [ALWAYS])
            return []

        self.code.loop(self.images, image)

    def block(self, line: Line, number: Register) -> Block:
        """Places side by side; where the line ends before them they are moved back, and come twice."""
        code, together, x = self.code, self.shape.together, number
        start = self.times(number, str(together))
        if together > 1:
            x = code.let(f"select i1 {code.let(f'icmp slt i64 {start}, {self.last}')}, i64 {start}, i64 {self.last}")
        xs = [self.plus(x, str(k)) if k else x for k in range(together)]
        firsts = [self.times(self.plus(line.start, x), self.channels) for x in xs]
        again = ["false" if together == 1 else code.let(f"icmp slt i64 {x}, {start}") for x in xs]
        columns: dict[int, tuple[Register, Register]] = {}
        made: dict[Pair, Reach] = {}
        rows, last = range(len(self.shape.rows)), len(self.shape.size) - 1
        reached = []
        for k, own in enumerate(xs):
            offsets = [self.shape.offset(k, j) for j in range(self.shape.size[-1])]
            columns.update({o: self.seen(last, own, j) for j, o in enumerate(offsets) if o not in columns})
            for key in ((i, o) for i in rows for o in offsets):
                if key not in made:
                    at, inside = columns[key[1]]
                    made[key] = Reach(key, self.times(self.plus(line.sources[key[0]], at), self.channels),
                                      code.let(f"and i1 {line.fits[key[0]]}, {inside}"))
            reached.append([[made[i, o] for o in offsets] for i in rows])
        return Block(firsts, again, reached)

    def seen(self, axis: int, place: Register, tap: int) -> tuple[Register, Register]:
        """Where tap ``tap`` of the window at ``place`` looks along an axis, or which window looks there with it; and whether there is one."""
        code, stride, reach = self.code, self.shape.stride[axis], tap * self.shape.dilation[axis]
        if not self.shape.back:
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
        if not self.shape.apart:
            x = self.f.add(self.load(p, mask), x)
        self.store(x, p, mask)

    def count(self, inside: list[list[Register]]) -> Register:
        """How many taps are in the image, in every lane."""
        many = "0"
        for i, j in self.shape.taps:
            many = self.plus(many, self.code.let(f"zext i1 {inside[i][j]} to i64"))
        return self.number(many)


def each_window(shape: Shape, cpu: Cpu, count: int, seen: int, window: Callable[[Walk, Sequence[Register], Window], Vector]) -> Code:
    """A kernel of ``count`` arrays, of which windows look at number ``seen``, and outside of it at the last: ``window`` says what each does."""
    code = Code()
    table = Table(code)
    arrays = table.pointers(count)
    walk = Walk(shape, cpu, table, code)

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        taps = [walk.chosen(inside[i][j], arrays[seen], places[i][j], arrays[-1]) for i, j in shape.taps]
        walk.each_vector(window(walk, arrays, Window(first, taps, inside)))

    walk.each_place(place)
    return code
