"""Pools and their gradients as compiled kernels."""

from __future__ import annotations

from nnspec_numpy.llvm.code import Code, Register, everywhere
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.windows import Shape, Walk


def largest(shape: Shape, cpu: Cpu) -> Code:
    """The largest of each window, and which tap it was: x, y, numbers, a row of minus infinity. The first of equals; NaN stays."""
    code = Code()
    table = Table(code)
    x, y, numbers, border = table.pointers(4)
    walk = Walk(shape, cpu, table, code)
    f = walk.f

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        sources = [walk.chosen(inside[i][j], x, places[i][j], border) for i, j in shape.taps]

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


def largest_alone(shape: Shape, cpu: Cpu) -> Code:
    """The largest of each window: x, y, a row of minus infinity. NaN stays."""
    code = Code()
    table = Table(code)
    x, y, border = table.pointers(3)
    walk = Walk(shape, cpu, table, code)

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        sources = [walk.chosen(inside[i][j], x, places[i][j], border) for i, j in shape.taps]

        def vector(c: Register, mask: Register) -> None:
            best = walk.load(walk.at(sources[0], c), mask)
            for source in sources[1:]:
                best = larger(walk.f, best, walk.load(walk.at(source, c), mask))
            walk.store(best, walk.at(walk.at(y, first), c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def larger(f: Lanes, best: Register, value: Register) -> Register:
    """The later one only where it is larger, or not a number; what is not a number stays."""
    taken = f.code.let(f"and {f.mask} {f.compare('ugt', value, best)}, {f.compare('ord', best, best)}")
    return f.select(taken, value, best)


def largest_gradient(shape: Shape, cpu: Cpu) -> Code:
    """Each window's gradient where its largest stood: g, numbers, x, a row that nobody reads."""
    code = Code()
    table = Table(code)
    g, numbers, x, nowhere = table.pointers(4)
    walk = Walk(shape, cpu, table, code)
    f = walk.f

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        targets = [walk.chosen(inside[i][j], x, places[i][j], nowhere) for i, j in shape.taps]

        def vector(c: Register, mask: Register) -> None:
            value, number = walk.load(walk.at(walk.at(g, first), c), mask), walk.load(walk.at(walk.at(numbers, first), c), mask, "i32")
            for t, target in enumerate(targets):
                hit = code.let(f"icmp eq {f.whole} {number}, {everywhere(str(t), 'i32', f.lanes)}")
                walk.add(f.select(hit, value, f.of(0.0)), walk.at(target, c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def mean(shape: Shape, cpu: Cpu) -> Code:
    """The mean of each window's places in the image: x, y, a row of zeros."""
    code = Code()
    table = Table(code)
    x, y, zeros = table.pointers(3)
    walk = Walk(shape, cpu, table, code)
    f = walk.f

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        sources = [walk.chosen(inside[i][j], x, places[i][j], zeros) for i, j in shape.taps]
        many = walk.count(inside)

        def vector(c: Register, mask: Register) -> None:
            total = walk.load(walk.at(sources[0], c), mask)
            for source in sources[1:]:
                total = f.add(total, walk.load(walk.at(source, c), mask))
            walk.store(f.div(total, many), walk.at(walk.at(y, first), c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code


def mean_gradient(shape: Shape, cpu: Cpu) -> Code:
    """Each window's gradient over all of its places in the image: g, x, a row that nobody reads."""
    code = Code()
    table = Table(code)
    g, x, nowhere = table.pointers(3)
    walk = Walk(shape, cpu, table, code)

    def place(first: Register, places: list[list[Register]], inside: list[list[Register]]) -> None:
        targets = [walk.chosen(inside[i][j], x, places[i][j], nowhere) for i, j in shape.taps]
        many = walk.count(inside)

        def vector(c: Register, mask: Register) -> None:
            share = walk.f.div(walk.load(walk.at(walk.at(g, first), c), mask), many)
            for target in targets:
                walk.add(share, walk.at(target, c), mask)

        walk.each_vector(vector)

    walk.each_place(place)
    return code
