"""Convolutions of few filters as compiled kernels: several places side by side share a vector.

Places and their filters lie in one line, ``place * filters + filter``, and a vector is so many numbers of that line: no lane is idle. What its
places see is read at once and spread over the lanes by a shuffle; the filters are repeated in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import gcd

from nnspec.ir.types import DType
from nnspec.records import dataclass
from nnspec_numpy.llvm.code import Code, Register, lanes_below, vector
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors


@dataclass(frozen=True)
class Read:
    """Numbers ``start`` to ``start + count`` of what the places of a block see, as one vector."""

    start: int
    count: int


@dataclass(frozen=True)
class Packing:
    """``places`` side by side of so many ``filters`` in vectors of ``lanes``; the next place sees what is ``step`` numbers on."""

    filters: int
    step: int
    places: int
    lanes: int
    own: int = 0  # channels, where a filter sees its own alone, as in a pool

    @cached_property
    def vectors(self) -> int:
        return -(-self.places * self.filters // self.lanes)

    @cached_property
    def orders(self) -> int:
        """How many orders of filters there are; vectors take turns."""
        return min(self.vectors, self.filters // gcd(self.filters, self.lanes))

    @cached_property
    def width(self) -> int:
        """Numbers that a gradient's sums take in memory: whole places."""
        return -(-self.orders * self.lanes // self.filters) * self.filters

    def seen(self, vector: int) -> list[int]:
        """Where the place of each lane looks; lanes behind the last place do as the last."""
        most = self.places * self.filters - 1
        each = (divmod(min(vector * self.lanes + i, most), self.filters) for i in range(self.lanes))
        return [place * self.step + (filter % self.own if self.own else 0) for place, filter in each]

    def taps(self, vector: int, wide: int) -> list[int]:
        """Which column of its window each lane is, of windows of so many."""
        most = self.places * self.filters - 1
        return [min(vector * self.lanes + i, most) % self.filters // (self.filters // wide) for i in range(self.lanes)]

    @cached_property
    def reads(self) -> tuple[list[Read], list[tuple[int, ...]]]:
        """Vectors that are read, and which one or two of them each vector of places is made of."""
        starts, ends = list[int](), list[int]()
        used: list[tuple[int, ...]] = []
        for v in range(self.vectors):
            seen, mine = self.seen(v), list[int]()
            for place in sorted(set(seen)):
                if not starts or place - starts[-1] >= self.lanes:
                    starts.append(place)
                    ends.append(place)
                ends[-1] = max(ends[-1], place)
                k = next(i for i in reversed(range(len(starts))) if starts[i] <= place)
                mine += [] if k in mine else [k]
            used.append(tuple(mine))
        return [Read(a, b - a + 1) for a, b in zip(starts, ends, strict=True)], used

    @property
    def possible(self) -> bool:
        return all(len(u) <= 2 for u in self.reads[1])

    @cached_property
    def shuffles(self) -> int:
        """Different orders of numbers, each of which is a constant in a register."""
        reads, used = self.reads
        return len({tuple(p - reads[u[0]].start for p in self.seen(v)) for v, u in enumerate(used)})


@dataclass(frozen=True)
class Packed:
    """A kernel of ``kind`` for ``lines`` of a result, or ``numbers`` of a run, at a time."""

    kind: str
    packing: Packing
    numbers: int  # of a run, one instruction after the other
    lines: int = 1

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield self.kind, KINDS[self.kind](self, cpu)


class Places(Vectors):
    """What the places of a block see, in every lane."""

    def __init__(self, code: Code, packing: Packing) -> None:
        super().__init__(code, Lanes(code, DType.float32, packing.lanes), "0")
        self.packing = packing

    def few(self, count: int) -> Register:
        """The mask of the first lanes."""
        return ALL if count == self.f.lanes else lanes_below(count, self.f.lanes)

    def left(self, vector: int) -> Register:
        """The mask of the lanes of a vector that are filters of a place."""
        return self.few(min(self.f.lanes, self.packing.places * self.packing.filters - vector * self.f.lanes))

    def spread(self, at: Register, element: str = "float") -> list[Register]:
        """A vector for each of the block: what its places see from ``at`` on."""
        reads, used = self.packing.reads
        found = [self.load(self.at(at, str(r.start)), self.few(r.count), element) for r in reads]
        return [self.shuffled([found[k] for k in u], [reads[k].start for k in u], self.packing.seen(v), element) for v, u in enumerate(used)]

    def shuffled(self, sources: Sequence[Register], starts: Sequence[int], places: Sequence[int], element: str) -> Register:
        n = self.f.lanes
        kind = vector(element, n)
        order = [p - starts[0] if len(starts) == 1 or p < starts[1] else n + p - starts[1] for p in places]
        text = ", ".join(f"i32 {i}" for i in order)
        other = sources[1] if len(sources) == 2 else "poison"
        return self.code.let(f"shufflevector {kind} {sources[0]}, {kind} {other}, <{n} x i32> <{text}>")

    def block(self, number: Register, size: int, whole: Register) -> Register:
        """Where block ``number`` of so many begins: the last one is moved back."""
        if size == 1:
            return number
        first, last = self.times(number, str(size)), self.code.let(f"sub i64 {whole}, {size}")
        return self.code.let(f"select i1 {self.code.let(f'icmp slt i64 {first}, {last}')}, i64 {first}, i64 {last}")


def packed(kernel: Packed, cpu: Cpu) -> Code:
    """``y = sum over a window's runs of x * w``.

    Its table: x, w in the orders of filters, y; images, lines and places (at least as many as at a time), rows of a window, runs of a row;
    how far x moves with an image, a line, a row of the window and a run; y with an image and a line.
    """
    code, p = Code(), kernel.packing
    table = Table(code)
    x, w, y = table.pointers(3)
    images, lines, places, tall, runs = table.sizes(5)
    x_image, x_line, x_row, x_run, y_image, y_line = table.sizes(6)
    v = Places(code, p)
    run_size = kernel.numbers * p.orders * p.lanes
    zero = [(v.f.type, "zeroinitializer")] * (kernel.lines * p.vectors)

    def image(n: Register, _: list[Register]) -> list[Register]:
        def line_block(k: Register, _: list[Register]) -> list[Register]:
            line = v.block(k, kernel.lines, lines)
            x_start = v.at(x, v.plus(v.times(n, x_image), v.times(line, x_line)))
            y_start = v.at(y, v.plus(v.times(n, y_image), v.times(line, y_line)))

            def place_block(b: Register, _: list[Register]) -> list[Register]:
                first = v.block(b, p.places, places)
                base = v.at(x_start, v.times(first, str(p.step)))
                target = v.at(y_start, v.times(first, str(p.filters)))

                def window_row(i: Register, sums: list[Register]) -> list[Register]:
                    def run(j: Register, sums: list[Register]) -> list[Register]:
                        seen = v.at(base, v.plus(v.times(i, x_row), v.times(j, x_run)))
                        weights = v.at(w, v.times(v.plus(v.times(i, runs), j), str(run_size)))
                        sources = [v.at(seen, v.times(x_line, str(r))) if r else seen for r in range(kernel.lines)]
                        for t in range(kernel.numbers):
                            filters = [v.load(v.at(weights, str((t * p.orders + q) * p.lanes)), ALL) for q in range(p.orders)]
                            there = [one for source in sources for one in v.spread(v.at(source, str(t)))]
                            sums = [v.f.fma(one, filters[k % p.vectors % p.orders], total) for k, (one, total) in
                                    enumerate(zip(there, sums, strict=True))]
                        return sums

                    return code.loop(runs, run, [(v.f.type, s) for s in sums])

                sums = code.loop(tall, window_row, zero)
                for k, total in enumerate(sums):
                    r, q = divmod(k, p.vectors)
                    line_target = v.at(target, v.times(y_line, str(r))) if r else target
                    v.store(total, v.at(line_target, str(q * p.lanes)), v.left(q))
                return []

            return code.loop(v.parts(places, p.places), place_block)

        return code.loop(v.parts(lines, kernel.lines), line_block)

    code.loop(images, image)
    return code


def packed_gradient(kernel: Packed, cpu: Cpu) -> Code:
    """``w += sum over places of x * g``, in the orders of filters, for every number of a run; the sums of each image are added to what is there.

    Its table: x, g, w; images, lines and places (at least as many as at a time), rows of a window, runs of a row, parts of a run; how far
    x moves with an image, a line, a row of the window and a run; g with an image and a line.
    """
    code, p = Code(), kernel.packing
    table = Table(code)
    x, g, w = table.pointers(3)
    images, lines, places, tall, runs, parts = table.sizes(6)
    x_image, x_line, x_row, x_run, g_image, g_line = table.sizes(6)
    v = Places(code, p)
    size = kernel.numbers * p.width
    zero = [(v.f.type, "zeroinitializer")] * (kernel.numbers * p.orders)
    count = [code.let(f"add i64 0, {q * p.lanes}") for q in range(p.vectors)]

    def kept(q: Register, skipped: Register) -> Register:
        """The lanes of a vector that no block had before."""
        n = p.lanes
        before = code.let(f"trunc i64 {code.let(f'sub i64 {skipped}, {q}')} to i32")
        numbers = "<" + ", ".join(f"i32 {i}" for i in range(n)) + ">"
        return code.let(f"icmp sge <{n} x i32> {numbers}, {v.all_lanes(before, 'i32')}")

    def image(n: Register, _: list[Register]) -> list[Register]:
        x_start, g_start = v.at(x, v.times(n, x_image)), v.at(g, v.times(n, g_image))

        def window_row(i: Register, _: list[Register]) -> list[Register]:
            def run(j: Register, _: list[Register]) -> list[Register]:
                def part(a: Register, _: list[Register]) -> list[Register]:
                    seen = v.at(x_start, v.plus(v.plus(v.times(i, x_row), v.times(j, x_run)), v.times(a, str(kernel.numbers))))
                    target = v.at(w, v.times(v.plus(v.times(v.plus(v.times(i, runs), j), parts), a), str(size)))

                    def line(oy: Register, sums: list[Register]) -> list[Register]:
                        x_here, g_here = v.at(seen, v.times(oy, x_line)), v.at(g_start, v.times(oy, g_line))

                        def place_block(b: Register, sums: list[Register]) -> list[Register]:
                            first = v.block(b, p.places, places)
                            source, upstream = v.at(x_here, v.times(first, str(p.step))), v.at(g_here, v.times(first, str(p.filters)))
                            skipped = v.times(code.let(f"sub i64 {v.times(b, str(p.places))}, {first}"), str(p.filters))
                            found = []
                            for q in range(p.vectors):
                                own = v.load(v.at(upstream, str(q * p.lanes)), v.left(q))
                                found.append(v.f.select(kept(count[q], skipped), own, v.f.of(0.0)))
                            sums = list(sums)
                            for t in range(kernel.numbers):
                                for q, one in enumerate(v.spread(v.at(source, str(t)))):
                                    k = t * p.orders + q % p.orders
                                    sums[k] = v.f.fma(one, found[q], sums[k])
                            return sums

                        return code.loop(v.parts(places, p.places), place_block, [(v.f.type, s) for s in sums])

                    for k, total in enumerate(code.loop(lines, line, zero)):
                        t, q = divmod(k, p.orders)
                        there = v.at(target, str(t * p.width + q * p.lanes))
                        v.store(v.f.add(v.load(there, ALL), total), there, ALL)
                    return []

                return code.loop(parts, part)

            return code.loop(runs, run)

        return code.loop(tall, window_row)

    code.loop(images, image)
    return code


KINDS = {"packed": packed, "packed_gradient": packed_gradient}
