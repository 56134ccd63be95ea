"""Pools and their gradients as compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec_numpy.llvm.code import Code, Register, everywhere
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.windows import Shape, Vector, Walk, Window, each_window


def largest(shape: Shape, cpu: Cpu) -> Code:
    """The largest of each window, and which tap it was: x, y, numbers, a row of minus infinity. The first of equals; NaN stays."""
    def window(walk: Walk, arrays: Sequence[Register], at: Window) -> Vector:
        code, f, (_, y, numbers, _) = walk.code, walk.f, arrays

        def vector(c: Register, mask: Register) -> None:
            best, number = walk.load(walk.at(at.taps[0], c), mask), "zeroinitializer"
            for t, source in enumerate(at.taps[1:], 1):
                value = walk.load(walk.at(source, c), mask)
                taken = code.let(f"and {f.mask} {f.compare('ugt', value, best)}, {f.compare('ord', best, best)}")
                best = f.select(taken, value, best)
                number = code.let(f"select {f.mask} {taken}, {f.whole} {everywhere(str(t), 'i32', f.lanes)}, {f.whole} {number}")
            walk.store(best, walk.at(walk.at(y, at.first), c), mask)
            walk.store(number, walk.at(walk.at(numbers, at.first), c), mask, "i32")

        return vector

    return each_window(shape, cpu, 4, 0, window)


def largest_alone(shape: Shape, cpu: Cpu) -> Code:
    """The largest of each window: x, y, a row of minus infinity. NaN stays."""
    def window(walk: Walk, arrays: Sequence[Register], at: Window) -> Vector:
        def vector(c: Register, mask: Register) -> None:
            best = walk.load(walk.at(at.taps[0], c), mask)
            for source in at.taps[1:]:
                value = walk.load(walk.at(source, c), mask)
                best = walk.f.select(larger(walk.f, best, value), value, best)
            walk.store(best, walk.at(walk.at(arrays[1], at.first), c), mask)

        return vector

    return each_window(shape, cpu, 3, 0, window)


def larger(f: Lanes, best: Register, value: Register) -> Register:
    """Where a later value is taken: only where it is larger, or not a number; what is not a number stays."""
    return f.code.let(f"and {f.mask} {f.compare('ugt', value, best)}, {f.compare('ord', best, best)}")


def largest_gradient(shape: Shape, cpu: Cpu) -> Code:
    """Each window's gradient where its largest stood: g, numbers, x, a row that nobody reads."""
    def window(walk: Walk, arrays: Sequence[Register], at: Window) -> Vector:
        code, f, (g, numbers, _, _) = walk.code, walk.f, arrays

        def vector(c: Register, mask: Register) -> None:
            value, number = walk.load(walk.at(walk.at(g, at.first), c), mask), walk.load(walk.at(walk.at(numbers, at.first), c), mask, "i32")
            for t, target in enumerate(at.taps):
                hit = code.let(f"icmp eq {f.whole} {number}, {everywhere(str(t), 'i32', f.lanes)}")
                walk.add(f.select(hit, value, f.of(0.0)), walk.at(target, c), mask)

        return vector

    return each_window(shape, cpu, 4, 2, window)


def mean(shape: Shape, cpu: Cpu) -> Code:
    """The mean of each window's places in the image: x, y, a row of zeros."""
    def window(walk: Walk, arrays: Sequence[Register], at: Window) -> Vector:
        many = walk.count(at.inside)

        def vector(c: Register, mask: Register) -> None:
            total = walk.load(walk.at(at.taps[0], c), mask)
            for source in at.taps[1:]:
                total = walk.f.add(total, walk.load(walk.at(source, c), mask))
            walk.store(walk.f.div(total, many), walk.at(walk.at(arrays[1], at.first), c), mask)

        return vector

    return each_window(shape, cpu, 3, 0, window)


def mean_gradient(shape: Shape, cpu: Cpu) -> Code:
    """Each window's gradient over all of its places in the image: g, x, a row that nobody reads."""
    def window(walk: Walk, arrays: Sequence[Register], at: Window) -> Vector:
        many = walk.count(at.inside)

        def vector(c: Register, mask: Register) -> None:
            share = walk.f.div(walk.load(walk.at(walk.at(arrays[0], at.first), c), mask), many)
            for target in at.taps:
                walk.add(share, walk.at(target, c), mask)

        return vector

    return each_window(shape, cpu, 3, 1, window)
