"""The mean and the centred sum of squares of every column of a matrix in one walk over it, as compiled kernels.

Blocks of rows, as Chan, Golub and LeVeque, 1979, but each is shifted by the mean of all rows before it: with S and Q the sums of
``d = x - mean`` and of its squares over a block behind n rows, which are m with it,

    mean' = mean + S / m        squares' = squares + Q - S^2 / m

Nothing cancels: Q is at least S^2 over the block's own rows, which are at most half of m. The first block is shifted by its own mean, for
which it alone is read twice. A mean is kept as that of the first block and what was added since, so that its last bits are not lost
where columns lie far from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors

STRIP = 4  # vectors that are summed side by side: neighbours of a row, or of that many rows
Sums = Sequence[tuple[Register, Register]]  # of a strip's vectors, with those of the squares
Body = Callable[[list[Register], list[Register]], None]


def family(cpu: Cpu) -> Iterator[tuple[str, Code]]:
    yield "moments", moments(cpu)
    yield "joined", joined(cpu)


class Strips(Vectors):
    """Neighbouring columns, a strip at a time: several vectors as long as there are enough, then one."""

    def strips(self, widest: int, body: Body) -> None:
        """``body(places, masks)`` for every strip."""
        lanes = self.f.lanes
        whole = self.code.let(f"udiv i64 {self.channels}, {widest * lanes}")
        done = self.times(whole, str(widest * lanes))

        def wide(i: Register, _: list[Register]) -> list[Register]:
            first = self.times(i, str(widest * lanes))
            body([self.plus(first, str(k * lanes)) for k in range(widest)], [ALL] * widest)
            return []

        def one(place: Register, mask: Register) -> None:
            body([place], [mask])

        def narrow(i: Register, _: list[Register]) -> list[Register]:
            one(self.plus(done, self.times(i, str(lanes))), ALL)
            return []

        self.when(whole, lambda: self.code.loop(whole, wide))
        left = self.code.let(f"sub i64 {self.channels}, {done}")
        vectors = self.code.let(f"udiv i64 {left}, {lanes}")
        self.when(vectors, lambda: self.code.loop(vectors, narrow))
        end = self.plus(done, self.times(vectors, str(lanes)))
        self.when(self.code.let(f"sub i64 {self.channels}, {end}"), lambda: one(end, self.mask(end)))


def moments(cpu: Cpu) -> Code:
    """Its table: x, the first block's means, what all add to them, and squares; rows, columns, and rows of a block."""
    code = Code()
    table = Table(code)
    x, mean, added, squares = table.pointers(4)
    rows, columns, block = table.sizes(3)
    v = Strips(code, Lanes(code, DType.float32, cpu.width // 4), columns)
    f = v.f
    kind = f.type
    widest = STRIP if cpu.width == 64 else STRIP // 2  # of 32 registers, or 16
    room = [[code.stack(f.lanes, "float") for _ in range(STRIP)] for _ in range(2)]

    def gathered(start: Register, count: Register, places: list[Register], masks: list[Register], shifts: list[tuple[Register, ...]]) -> Sums:
        """The sums over ``count`` rows from the address ``start``: first several rows at a time, where the strip is narrow."""
        together = STRIP // len(places)
        for k in range(len(places)):
            for sums in room:
                v.store(f.of(0.0), sums[k], ALL)

        def some(first: Register, at_once: int, times: Register) -> None:
            def row(i: Register, now: list[Register]) -> list[Register]:
                found = list(now)
                for r in range(at_once):
                    line = v.at(start, v.times(v.plus(first, v.plus(v.times(i, str(at_once)), str(r))), columns))
                    for k, (place, mask, shift) in enumerate(zip(places, masks, shifts, strict=True)):
                        d = v.load(v.at(line, place), mask)
                        for s in shift:
                            d = f.sub(d, s)
                        at = 2 * (r * len(places) + k)
                        found[at : at + 2] = [f.add(found[at], d), f.fma(d, d, found[at + 1])]
                return found

            sums = code.loop(times, row, [(kind, f.of(0.0))] * (2 * len(places) * at_once))
            for k in range(len(places)):
                for j in range(2):
                    total = v.load(room[j][k], ALL)
                    for r in range(at_once):
                        total = f.add(total, sums[2 * (r * len(places) + k) + j])
                    v.store(total, room[j][k], ALL)

        if together == 1:
            some("0", 1, count)
        else:
            many, left = (code.let(f"{how} i64 {count}, {together}") for how in ("udiv", "urem"))
            v.when(many, lambda: some("0", together, many))
            v.when(left, lambda: some(v.times(many, str(together)), 1, left))
        return [(v.load(room[0][k], ALL), v.load(room[1][k], ALL)) for k in range(len(places))]

    def least(a: Register, b: Register) -> Register:
        return code.let(f"select i1 {code.let(f'icmp ult i64 {a}, {b}')}, i64 {a}, i64 {b}")

    def begin(count: Register, places: list[Register], masks: list[Register]) -> None:
        share = f.div(f.of(1.0), v.number(count))
        for place, mask, (total, _) in zip(places, masks, gathered(x, count, places, masks, [()] * len(places)), strict=True):
            v.store(f.mul(total, share), v.at(mean, place), mask)
            v.store(f.of(0.0), v.at(squares, place), mask)
            v.store(f.of(0.0), v.at(added, place), mask)

    def go_on(i: Register, _: list[Register]) -> list[Register]:
        before = v.times(i, block)
        count = least(block, code.let(f"sub i64 {rows}, {before}"))
        share = f.div(f.of(1.0), v.number(v.plus(before, count)))

        def strip(places: list[Register], masks: list[Register]) -> None:
            shifts = [tuple(v.load(v.at(p, place), mask) for p in (mean, added)) for place, mask in zip(places, masks, strict=True)]
            found = gathered(v.at(x, v.times(before, columns)), count, places, masks, list(shifts))
            for place, mask, (_, low), (total, square) in zip(places, masks, shifts, found, strict=True):
                step = f.mul(total, share)
                own = f.sub(square, f.mul(total, step))
                v.store(f.add(v.load(v.at(squares, place), mask), own), v.at(squares, place), mask)
                v.store(f.add(low, step), v.at(added, place), mask)

        v.strips(widest, strip)
        return []

    v.strips(widest, partial(begin, least(block, rows)))
    code.loop(v.plus("0", code.let(f"udiv i64 {v.plus(rows, code.let(f'sub i64 {block}, 1'))}, {block}")), go_on)
    return code


def joined(cpu: Cpu) -> Code:
    """Those of several matrices as those of one: what ``moments`` left of each and numbers of rows; mean, variance; matrices, columns, all rows."""
    code = Code()
    table = Table(code)
    means, added, squares, counts, mean, variance = table.pointers(6)
    many, columns, over = table.sizes(3)
    v = Strips(code, Lanes(code, DType.float32, cpu.width // 4), columns)
    f = v.f

    def strip(places: list[Register], masks: list[Register]) -> None:
        (place,), (mask,) = places, masks
        first = v.load(v.at(means, place), mask)

        def one(i: Register, now: list[Register]) -> list[Register]:
            before, low, total = now
            at = v.plus(v.times(i, columns), place)
            own = code.let(f"load i64, ptr {code.let(f'getelementptr i64, ptr {counts}, i64 {i}')}, align 8")
            after = code.let(f"add i64 {before}, {own}")
            further = f.sub(v.load(v.at(means, at), mask), first)
            d = f.sub(f.add(further, v.load(v.at(added, at), mask)), low)
            step = f.mul(d, f.div(v.number(own), v.number(after)))
            between = f.mul(f.mul(d, step), v.number(before))
            return [after, f.add(low, step), f.add(total, f.add(v.load(v.at(squares, at), mask), between))]

        _, low, total = code.loop(many, one, [("i64", "0"), (f.type, f.of(0.0)), (f.type, f.of(0.0))])
        v.store(f.add(first, low), v.at(mean, place), mask)
        v.store(f.div(total, v.number(over)), v.at(variance, place), mask)

    v.strips(1, strip)
    return code
