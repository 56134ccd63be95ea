"""Winograd's transformations as compiled kernels: tiles read where they lie, changed in registers, written where they are wanted.

Borders are addresses: a place outside of the image is read from a row of zeros, and written to a row that nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.epilogue import Ending, Epilogue
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors


def winograd(m: int, a: Array, b: Array) -> Iterator[tuple[str, Array, bool]]:
    """Of tiles of ``m``: the matrix of one axis of each kernel, and whether it reads images."""
    yield f"read_{m}", b, True
    yield f"spread_{m}", a.T, True
    yield f"write_{m}", a, False


def write(cpu: Cpu, matrix: Array, step: int, reads: bool, epilogue: Epilogue | None = None) -> Code:
    """A kernel that goes from images to tiles, or from tiles to images.

    Its table: image, tiles, a row of as many numbers as channels, then how many images, lines of tiles and tiles in a line there are,
    channels, height and width, the first tile's row and column, how far one number of a tile lies from the next, and one pixel of an
    image; then what its ending takes. At least as many channels as lanes: what is left at their end is computed twice.
    """
    code = Code()
    f = Lanes(code, DType.float32, cpu.width // 4)
    table = Table(code)
    image, tiles, row = table.pointers(3)
    images, lines, places, channels, height, width, top, left, pitch, pixel = table.sizes(10)
    ending = Ending(epilogue, Vectors(code, f, channels), table)
    last = code.let(f"sub i64 {channels}, {f.lanes}")
    vectors = code.let(f"udiv i64 {code.let(f'add i64 {channels}, {f.lanes - 1}')}, {f.lanes}")
    whole = _times(code, _times(code, height, width), pixel)
    size = matrix.shape[1] if reads else matrix.shape[0]
    planes = matrix.shape[0] if reads else matrix.shape[1]

    def each_image(n: Register, _: list[Register]) -> list[Register]:
        here = _at(code, image, _times(code, n, whole))

        def each_line(ty: Register, _: list[Register]) -> list[Register]:
            y = _plus(code, top, _times(code, ty, str(step)))
            line = _plus(code, _times(code, n, lines), ty)

            def each_tile(tx: Register, _: list[Register]) -> list[Register]:
                x = _plus(code, left, _times(code, tx, str(step)))
                first = _at(code, tiles, _times(code, _plus(code, _times(code, line, places), tx), channels))
                seen = [[ending.spot(p, fits, row) for p, fits in line] for line in _places(code, here, (y, x), (height, width), pixel, size)]

                def each_vector(i: Register, _: list[Register]) -> list[Register]:
                    c = _times(code, i, str(f.lanes))
                    c = code.let(f"select i1 {code.let(f'icmp slt i64 {c}, {last}')}, i64 {c}, i64 {last}")
                    own = [[_at(code, p, c) for p, *_ in line] for line in seen]
                    others = [[_at(code, first, _plus(code, c, _times(code, pitch, str(i * planes + j)))) for j in range(planes)]
                              for i in range(planes)]
                    source, target = (own, others) if reads else (others, own)
                    columns = [apply(f, matrix, [_load(f, p) for p in column]) for column in zip(*source, strict=True)]
                    made = [apply(f, matrix, list(values)) for values in zip(*columns, strict=True)]
                    if not reads:
                        for spots, found in zip(seen, made, strict=True):
                            ending.store(spots, found, c, c, ALL)
                        return []
                    for line, found in zip(target, made, strict=True):
                        for p, v in zip(line, found, strict=True):
                            code.do(f"store {f.type} {v}, ptr {p}, align 4")
                    return []

                return code.loop(vectors, each_vector)

            return code.loop(places, each_tile)

        return code.loop(lines, each_line)

    code.loop(images, each_image)
    return code


def taps(cpu: Cpu, matrix: Array, noise: float) -> Code:
    """A kernel that makes the taps of a gradient from the sums over tiles: ``matrix`` along both axes, and zero for what is less than
    ``noise`` times the largest of the sums. Its table: sums, taps, and how many numbers there are of each, one vector at least.
    """
    code = Code()
    f = Lanes(code, DType.float32, cpu.width // 4)
    table = Table(code)
    sums, made = table.pointers(2)
    (count,) = table.sizes(1)
    last = code.let(f"sub i64 {count}, {f.lanes}")
    vectors = code.let(f"udiv i64 {code.let(f'add i64 {count}, {f.lanes - 1}')}, {f.lanes}")
    few, many = matrix.shape

    def each_vector(i: Register, _: list[Register]) -> list[Register]:
        c = _times(code, i, str(f.lanes))
        c = code.let(f"select i1 {code.let(f'icmp slt i64 {c}, {last}')}, i64 {c}, i64 {last}")
        largest, columns = f.of(0.0), []
        for j in range(many):
            column = [_load(f, _at(code, sums, _plus(code, c, _times(code, count, str(i * many + j))))) for i in range(many)]
            for v in column:
                size = f.intrinsic("fabs", v)
                largest = f.select(f.compare("ogt", size, largest), size, largest)
            columns.append(apply(f, matrix, column))
        least = f.mul(largest, f.of(noise))
        for y, line in enumerate(zip(*columns, strict=True)):
            for x, v in enumerate(apply(f, matrix, list(line))):
                heard = f.select(f.compare("olt", f.intrinsic("fabs", v), least), f.of(0.0), v)
                code.do(f"store {f.type} {heard}, ptr {_at(code, made, _plus(code, c, _times(code, count, str(y * few + x))))}, align 4")
        return []

    code.loop(vectors, each_vector)
    return code


def _plus(code: Code, a: Register, b: Register) -> Register:
    return a if b == "0" else b if a == "0" else code.let(f"add i64 {a}, {b}")


def _times(code: Code, a: Register, b: Register) -> Register:
    return "0" if "0" in (a, b) else b if a == "1" else a if b == "1" else code.let(f"mul i64 {a}, {b}")


def _at(code: Code, base: Register, place: Register) -> Register:
    return base if place == "0" else code.let(f"getelementptr float, ptr {base}, i64 {place}")


def _load(f: Lanes, p: Register) -> Register:
    return f.code.let(f"load {f.type}, ptr {p}, align 4")


def _places(code: Code, image: Register, at: tuple[Register, Register], size: tuple[Register, Register],
            pixel: Register, count: int) -> list[list[tuple[Register, Register]]]:
    """Addresses of the places of a tile, and whether each is in the image."""
    rows, columns = ([_plus(code, start, str(i)) for i in range(count)] for start in at)
    inside = [[code.let(f"icmp ult i64 {x}, {most}") for x in xs] for xs, most in zip((rows, columns), size, strict=True)]
    found = []
    for y, fits_y in zip(rows, inside[0], strict=True):
        start = _times(code, y, size[1])
        places = [_at(code, image, _times(code, _plus(code, start, x), pixel)) for x in columns]
        both = [code.let(f"and i1 {fits_y}, {fits_x}") for fits_x in inside[1]]
        found.append(list(zip(places, both, strict=True)))
    return found


def apply(f: Lanes, matrix: Array, x: Sequence[Register]) -> list[Register]:
    """``matrix @ x``. Points come in pairs of opposite sign, whose rows or columns differ in signs alone: half of their sums are shared."""
    matrix, x = _joined(f, matrix, list(x))
    found: list[Register | None] = [None] * len(matrix)
    for i in range(len(matrix)):
        if found[i] is not None:
            continue
        j = next((j for j in range(i + 1, len(matrix)) if found[j] is None and _alike(matrix[i], matrix[j])), None)
        if j is None:
            found[i] = _sum(f, matrix[i], x)
            continue
        same = matrix[i] == matrix[j]
        even, odd = _sum(f, np.where(same, matrix[i], 0), x), _sum(f, np.where(same, 0, matrix[i]), x)
        found[i], found[j] = f.add(even, odd), f.sub(even, odd)
    return [v for v in found if v is not None]


def _joined(f: Lanes, matrix: Array, x: list[Register]) -> tuple[Array, list[Register]]:
    """Columns that differ in signs alone, by the sum and the difference of what they multiply."""
    matrix = matrix.copy()
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            if _alike(matrix[:, i], matrix[:, j]):
                x[i], x[j] = f.add(x[i], x[j]), f.sub(x[i], x[j])
                same = matrix[:, i] == matrix[:, j]
                matrix[:, i], matrix[:, j] = np.where(same, matrix[:, i], 0), np.where(same, 0, matrix[:, i])
                break
    return matrix, x


def _alike(a: Array, b: Array) -> bool:
    """Equal but for signs, some of which differ and some do not, and more than two numbers."""
    other, count = int(np.count_nonzero(a != b)), int(np.count_nonzero(a))
    return bool((np.abs(a) == np.abs(b)).all()) and count > 2 and 0 < other < count


def _sum(f: Lanes, weights: Array, x: Sequence[Register]) -> Register:
    found: Register | None = None
    for w, v in sorted(zip(weights, x, strict=True), key=lambda pair: abs(abs(float(pair[0])) - 1)):
        if w == 0:
            continue
        if found is None:
            found = v if w == 1 else f.neg(v) if w == -1 else f.mul(f.of(float(w)), v)
        else:
            found = f.add(found, v) if w == 1 else f.sub(found, v) if w == -1 else f.fma(f.of(float(w)), v, found)
    assert found is not None
    return found
