"""Convolutions of every channel by itself and their gradients as compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.epilogue import Ending, Epilogue
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.windows import Line, Pair, Reach, Shape, Vector, Walk, Window, each_window


def depthwise(shape: Shape, cpu: Cpu, epilogue: Epilogue | None = None) -> Code:
    """``y = sum over taps of x * kernel``: x, kernel, y, a row of zeros. Backwards x is the gradient and y that of the input.

    Behind what every walk begins with stands what its ending takes.
    """
    code = Code()
    table = Table(code)
    x, kernel, y, zeros = table.pointers(4)
    walk = Walk(shape, cpu, table, code)
    ending = Ending(epilogue, walk, table)

    def places(firsts: list[Register], reached: list[list[list[Reach]]]) -> None:
        sources = {key: walk.chosen(inside, x, at, zeros) for block in reached for line in block for key, at, inside in line}
        asked = [[block[i][j][0] for i, j in shape.taps] for block in reached]
        spots = [ending.spot(walk.at(y, first)) for first in firsts]

        def vector(c: Register, mask: Register) -> None:
            totals, values = [walk.f.of(0.0)] * len(firsts), dict[Pair, Register]()
            for t in range(len(shape.taps)):
                weight = walk.load(walk.at(kernel, walk.plus(walk.times(walk.channels, str(t)), c)), mask)
                for k, keys in enumerate(asked):
                    if keys[t] not in values:
                        values[keys[t]] = walk.load(walk.at(sources[keys[t]], c), mask)
                    totals[k] = walk.f.fma(values[keys[t]], weight, totals[k])
            ending.store(spots, totals, c, c, mask)

        walk.each_vector(vector)

    walk.each_block(places)
    return code


def depthwise_scatter(shape: Shape, cpu: Cpu) -> Code:
    """The gradient in the input where there is a stride, added to what is there: g, kernel, x, a row that nobody reads."""
    def window(walk: Walk, arrays: Sequence[Register], at: Window) -> Vector:
        g, kernel, _, _ = arrays

        def vector(c: Register, mask: Register) -> None:
            upstream = walk.load(walk.at(walk.at(g, at.first), c), mask)
            for t, target in enumerate(at.taps):
                weight, there = walk.load(walk.at(kernel, walk.plus(walk.times(walk.channels, str(t)), c)), mask), walk.at(target, c)
                walk.store(walk.f.fma(upstream, weight, walk.load(there, mask)), there, mask)

        return vector

    return each_window(shape, cpu, 4, 2, window)


def depthwise_kernel(shape: Shape, cpu: Cpu) -> Code:
    """The gradient of every tap of the kernel, added to what is there: x, g, kernel, a row of zeros, and room for the sums of a line."""
    code = Code()
    table = Table(code)
    x, g, kernel, zeros, sums = table.pointers(5)
    walk = Walk(shape, cpu, table, code)
    f, taps = walk.f, range(len(shape.taps))

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
                for t, (i, j) in enumerate(shape.taps):
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
