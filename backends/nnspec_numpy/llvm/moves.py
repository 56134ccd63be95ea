"""Copies between strided arrays as compiled kernels: runs of four bytes and more, and squares of elements turned in registers.

Nothing is computed, so that what is left of whole vectors at an end is moved again with numbers that were moved before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.turned import transposed
from nnspec_numpy.llvm.vectors import ALL, Vectors

AXES = 5  # that are walked around what is moved at once
ZIPPED = (2, 3, 4, 8)  # lines that are laid into one another
TOGETHER = 4  # vectors of a run side by side
SHORT = 4  # vectors of a run that takes no loop of its own


def family(cpu: Cpu) -> Iterator[tuple[str, Code]]:
    """``runs``; ``short2`` for runs of two vectors; ``turned4x16`` for squares of 16 elements of 4 bytes; ``zip2`` and ``unzip2``; and so on."""
    yield "runs", runs(cpu)
    for vectors in range(1, SHORT + 1):
        yield f"short{vectors}", short(cpu, vectors)
    for dtype in (DType.float32, DType.float64):
        for lanes in squares(cpu, dtype.size):
            yield f"turned{dtype.size}x{lanes}", squared(dtype, lanes)
    for count in ZIPPED:
        yield f"zip{count}", zipped(cpu, count)
        yield f"unzip{count}", zipped(cpu, count, back=True)


def squares(cpu: Cpu, size: int) -> Iterator[int]:
    """How many elements of so many bytes a side has, the most first."""
    lanes = cpu.width // size
    while lanes > 1:
        yield lanes
        lanes //= 2


class Walk:
    """Loops over the axes around: how many steps each has, and how far x and y move with one, in bytes."""

    def __init__(self, code: Code, table: Table) -> None:
        self.code = code
        self.x, self.y = table.pointers(2)
        self.counts, self.x_steps, self.y_steps = (table.sizes(AXES) for _ in range(3))

    def moved(self, p: Register, by: Register) -> Register:
        return p if by == "0" else self.code.let(f"getelementptr i8, ptr {p}, i64 {by}")

    def times(self, a: Register, b: Register) -> Register:
        return "0" if "0" in (a, b) else self.code.let(f"mul i64 {a}, {b}")

    def around(self, inner: Callable[[Register, Register], None]) -> None:
        def axis(k: int, x: Register, y: Register) -> None:
            if k == AXES:
                inner(x, y)
                return

            def step(i: Register, _: list[Register]) -> list[Register]:
                axis(k + 1, self.moved(x, self.times(i, self.x_steps[k])), self.moved(y, self.times(i, self.y_steps[k])))
                return []

            self.code.loop(self.counts[k], step)

        axis(0, self.x, self.y)

    def to_the_end(self, count: Register, width: int, block: Callable[[Register], None]) -> None:
        """``block(first)`` for whole vectors of ``count`` places, which are at least one vector; the last ends with the last place."""
        code = self.code
        last = code.let(f"sub i64 {count}, {width}")

        def some(i: Register, _: list[Register]) -> list[Register]:
            first = self.times(i, str(width))
            block(code.let(f"select i1 {code.let(f'icmp ult i64 {first}, {last}')}, i64 {first}, i64 {last}"))
            return []

        code.loop(code.let(f"udiv i64 {code.let(f'add i64 {count}, {width - 1}')}, {width}"), some)


def runs(cpu: Cpu) -> Code:
    """Its table: x, y, the axes around, and how many times four bytes a run has."""
    code = Code()
    table = Table(code)
    walk = Walk(code, table)
    (run,) = table.sizes(1)
    v = Vectors(code, Lanes(code, DType.int32, cpu.width // 4), run)
    n = v.f.lanes

    def one(x: Register, y: Register) -> None:
        def together(k: Register, whole: bool) -> None:
            first = v.times(k, str(TOGETHER * n))
            if whole:
                places = [v.plus(first, str(j * n)) for j in range(TOGETHER)]
                for place, line in [(place, v.load(v.at(x, place), ALL, "i32")) for place in places]:
                    v.store(line, v.at(y, place), ALL, "i32")
                return
            rest = Vectors(code, v.f, code.let(f"sub i64 {run}, {first}"))

            def single(i: Register, full: bool) -> None:
                place = v.plus(first, v.times(i, str(n)))
                mask = ALL if full else v.mask(place)
                v.store(v.load(v.at(x, place), mask, "i32"), v.at(y, place), mask, "i32")

            rest.along(n, single)

        v.along(TOGETHER * n, together)

    walk.around(one)
    return code


def short(cpu: Cpu, vectors: int) -> Code:
    """The same for runs of so many vectors, of which the last may be in part: it then ends with the run, or is masked where it is the only one."""
    code = Code()
    table = Table(code)
    walk = Walk(code, table)
    (run,) = table.sizes(1)
    v = Vectors(code, Lanes(code, DType.int32, cpu.width // 4), run)
    last = code.let(f"sub i64 {run}, {v.f.lanes}")
    places = [*(str(k * v.f.lanes) for k in range(vectors - 1)), last] if vectors > 1 else ["0"]
    mask = ALL if vectors > 1 else v.mask("0")

    def one(x: Register, y: Register) -> None:
        for place, line in [(place, v.load(v.at(x, place), mask, "i32")) for place in places]:
            v.store(line, v.at(y, place), mask, "i32")

    walk.around(one)
    return code


def squared(dtype: DType, lanes: int) -> Code:
    """``y[j, i] = x[i, j]``. Its table: x, y, the axes around, how many i and j there are, how far x moves with an i and y with a j."""
    code = Code()
    table = Table(code)
    walk = Walk(code, table)
    height, width, x_step, y_step = table.sizes(4)
    v = Vectors(code, Lanes(code, dtype, lanes), "0")
    kind = v.f.type

    def one(x: Register, y: Register) -> None:
        def columns(j: Register) -> None:
            source, target = walk.moved(x, walk.times(j, str(dtype.size))), walk.moved(y, walk.times(j, y_step))

            def square(i: Register) -> None:
                start = walk.moved(source, walk.times(i, x_step))
                lines = [code.let(f"load {kind}, ptr {walk.moved(start, walk.times(str(k), x_step))}, align {dtype.size}") for k in range(lanes)]
                below = walk.moved(target, walk.times(i, str(dtype.size)))
                for k, line in enumerate(transposed(v, lines)):
                    code.do(f"store {kind} {line}, ptr {walk.moved(below, walk.times(str(k), y_step))}, align {dtype.size}")

            walk.to_the_end(height, lanes, square)

        walk.to_the_end(width, lanes, columns)

    walk.around(one)
    return code


def zipped(cpu: Cpu, count: int, back: bool = False) -> Code:
    """``y[n count + k] = x_k[n]``, or ``back``: ``y_k[n] = x[n count + k]``. Its table: x, y, the axes around, how many n there are, at least a
    vector, and how far the lines begin from one another, in bytes."""
    code = Code()
    table = Table(code)
    walk = Walk(code, table)
    (places,) = table.sizes(1)
    begins = table.sizes(count)
    lanes = cpu.width // 4
    kind = f"<{lanes} x float>"

    def one(x: Register, y: Register) -> None:
        def some(n: Register) -> None:
            there = walk.times(n, "4")
            apart, along = ([walk.moved(walk.moved(p, b), there) for b in begins] for p in (y, x)) if back else (
                [walk.moved(walk.moved(p, b), there) for b in begins] for p in (x, y))
            start = walk.moved(x if back else y, walk.times(there, str(count)))
            joined = [walk.moved(start, str(4 * lanes * k)) for k in range(count)]
            lines = [code.let(f"load {kind}, ptr {p}, align 4") for p in (joined if back else apart)]
            for line, p in zip(laid(code, lines, lanes, back), apart if back else joined, strict=True):
                code.do(f"store {kind} {line}, ptr {p}, align 4")

        walk.to_the_end(places, lanes, some)

    walk.around(one)
    return code


def laid(code: Code, lines: list[Register], lanes: int, back: bool) -> list[Register]:
    """Lines laid into one another, or taken out of one another: each result from all lines that it has elements of, two at a time."""
    count = len(lines)
    kind = f"<{lanes} x float>"
    results = []
    for r in range(count):
        places = [(i * count + r) if back else None for i in range(lanes)]
        wanted: list[tuple[int, int]] = [(p // lanes, p % lanes) for p in places if p is not None] if back else [
            ((r * lanes + i) % count, (r * lanes + i) // count) for i in range(lanes)]
        made = lines[0]
        for k in range(1, count):
            mask = [lanes + at if line == k else at if k == 1 and line == 0 else i for i, (line, at) in enumerate(wanted)]
            made = code.let(f"shufflevector {kind} {made}, {kind} {lines[k]}, <{lanes} x i32> <{', '.join(f'i32 {m}' for m in mask)}>")
        results.append(made)
    return results
