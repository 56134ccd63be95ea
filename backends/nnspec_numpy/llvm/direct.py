"""Convolutions as compiled kernels that multiply where things lie: no columns are made, sums stay in registers.

A block of places side by side times a block of filters is held in registers. What one row of a window sees is one run of numbers
where the window has no holes, so that a block goes along a run, multiplying a number of each place with a vector of filters.
"""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.ir.types import DType
from nnspec.records import dataclass
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.epilogue import Ending, Epilogue
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.library import Table
from nnspec_numpy.llvm.vectors import ALL, Vectors

AHEAD = 32  # numbers whose filters are asked of memory before they are multiplied: a stream ends at each page otherwise


@dataclass(frozen=True)
class Block:
    """How many rows (places, or numbers of a run) and vectors of filters a kernel holds in registers, and what it makes of them."""

    kind: str
    rows: int
    vectors: int
    epilogue: Epilogue | None = None

    def __call__(self, cpu: Cpu) -> Iterator[tuple[str, Code]]:
        yield self.kind, KINDS[self.kind](self, cpu)


def forward(block: Block, cpu: Cpu) -> Code:
    """``y = sum over a window's runs of x * w``.

    Its table: x, w, y; images, lines, places (at least ``rows``), filters, rows of a window, runs of a row, numbers of a run; how far x
    moves with an image, a line, a place, a row of the window and a run; y with an image, a line and a place; w with a number, an image and
    a block of filters; then what its ending takes.
    """
    code = Code()
    table = Table(code)
    x, w, y = table.pointers(3)
    images, lines, places, filters, tall, runs, numbers = table.sizes(7)
    x_image, x_line, x_place, x_row, x_run, y_image, y_line, y_place, pitch, w_image, w_block = table.sizes(11)
    v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), filters)
    ending = Ending(block.epilogue, v, table)
    last = code.let(f"sub i64 {places}, {block.rows}")
    blocks = v.parts(places, block.rows)
    steps = [v.times(x_place, str(p)) for p in range(block.rows)]
    results = [v.times(y_place, str(p)) for p in range(block.rows)]
    row_pitch = v.times(v.times(runs, numbers), pitch)
    run_pitch = v.times(numbers, pitch)
    zero = [(v.f.type, "zeroinitializer")] * (block.rows * block.vectors)

    def filter_block(k: Register, whole: bool) -> None:
        c = v.times(k, str(block.vectors * v.f.lanes))
        masks = [ALL if whole else v.mask(v.plus(c, str(q * v.f.lanes)) if q else c) for q in range(block.vectors)]
        y_here = v.at(y, c)

        def image(n: Register, _: list[Register]) -> list[Register]:
            w_here = v.at(w, v.plus(v.times(n, w_image), v.times(k, w_block)))

            def line(oy: Register, _: list[Register]) -> list[Register]:
                x_start = v.at(x, v.plus(v.times(n, x_image), v.times(oy, x_line)))
                y_start = v.at(y_here, v.plus(v.times(n, y_image), v.times(oy, y_line)))

                def place_block(b: Register, _: list[Register]) -> list[Register]:
                    first = v.times(b, str(block.rows))
                    first = code.let(f"select i1 {code.let(f'icmp slt i64 {first}, {last}')}, i64 {first}, i64 {last}")
                    base = v.at(x_start, v.times(first, x_place))
                    target = v.at(y_start, v.times(first, y_place))
                    for result in results:
                        ending.soon(v.at(target, result), block.vectors)

                    def window_row(i: Register, sums: list[Register]) -> list[Register]:
                        def run(j: Register, sums: list[Register]) -> list[Register]:
                            seen = v.at(base, v.plus(v.times(i, x_row), v.times(j, x_run)))
                            sources = [v.at(seen, step) for step in steps]
                            weights = v.at(w_here, v.plus(v.times(i, row_pitch), v.times(j, run_pitch)))
                            ahead = v.at(weights, v.times(pitch, str(AHEAD)))

                            def number(t: Register, sums: list[Register]) -> list[Register]:
                                here = v.at(weights, v.times(t, pitch))
                                vectors = [v.load(v.at(here, str(q * v.f.lanes)), masks[q]) for q in range(block.vectors)]
                                for q in range(block.vectors):
                                    v.soon(v.at(ahead, v.times(t, pitch)), q)
                                found = []
                                for p, source in enumerate(sources):
                                    one = v.everywhere(v.at(source, t))
                                    found += [v.f.fma(one, vectors[q], sums[p * block.vectors + q]) for q in range(block.vectors)]
                                return found

                            return code.loop(numbers, number, [(v.f.type, s) for s in sums])

                        return code.loop(runs, run, [(v.f.type, s) for s in sums])

                    sums = code.loop(tall, window_row, zero)
                    spots = [ending.spot(v.at(target, result)) for result in results]
                    for q in range(block.vectors):
                        further = str(q * v.f.lanes)
                        ending.store(spots, sums[q :: block.vectors], further, v.plus(c, further) if q else c, masks[q])
                    return []

                return code.loop(blocks, place_block)

            return code.loop(lines, line)

        code.loop(images, image)

    v.along(block.vectors * v.f.lanes, filter_block)
    return code


def kernel_gradient(block: Block, cpu: Cpu) -> Code:
    """``w += sum over places of x * g``, for every number of a run; the sums of each line are added to what is there.

    Its table: x, g, w; images, lines, places, filters, rows of a window, runs of a row, numbers of a run (at least ``rows``); how far
    x moves with an image, a line, a place, a row of the window and a run; g with an image, a line and a place; w with a number and an
    image.
    """
    code = Code()
    table = Table(code)
    x, g, w = table.pointers(3)
    images, lines, places, filters, tall, runs, numbers = table.sizes(7)
    x_image, x_line, x_place, x_row, x_run, g_image, g_line, g_place, pitch, w_image = table.sizes(10)
    v = Vectors(code, Lanes(code, DType.float32, cpu.width // 4), filters)
    last = code.let(f"sub i64 {numbers}, {block.rows}")
    zero = [(v.f.type, "zeroinitializer")] * (block.rows * block.vectors)

    def image(n: Register, _: list[Register]) -> list[Register]:
        w_here = v.at(w, v.times(n, w_image))

        def line(oy: Register, _: list[Register]) -> list[Register]:
            x_start = v.at(x, v.plus(v.times(n, x_image), v.times(oy, x_line)))
            g_start = v.at(g, v.plus(v.times(n, g_image), v.times(oy, g_line)))

            def filter_block(k: Register, whole: bool) -> None:
                c = v.times(k, str(block.vectors * v.f.lanes))
                masks = [ALL if whole else v.mask(v.plus(c, str(q * v.f.lanes)) if q else c) for q in range(block.vectors)]
                upstream = v.at(g_start, c)

                def window_row(i: Register, _: list[Register]) -> list[Register]:
                    def run(j: Register, _: list[Register]) -> list[Register]:
                        seen = v.at(x_start, v.plus(v.times(i, x_row), v.times(j, x_run)))
                        start = v.times(v.plus(v.times(i, runs), j), numbers)

                        def number_block(b: Register, _: list[Register]) -> list[Register]:
                            own = v.times(b, str(block.rows))
                            first = code.let(f"select i1 {code.let(f'icmp slt i64 {own}, {last}')}, i64 {own}, i64 {last}")
                            base = v.at(seen, first)

                            def place(p: Register, sums: list[Register]) -> list[Register]:
                                here = v.at(upstream, v.times(p, g_place))
                                vectors = [v.load(v.at(here, str(q * v.f.lanes)), masks[q]) for q in range(block.vectors)]
                                source, found = v.at(base, v.times(p, x_place)), []
                                for r in range(block.rows):
                                    one = v.everywhere(v.at(source, str(r)))
                                    found += [v.f.fma(one, vectors[q], sums[r * block.vectors + q]) for q in range(block.vectors)]
                                return found

                            sums = code.loop(places, place, zero)
                            for r in range(block.rows):
                                at = v.plus(first, str(r)) if r else first
                                again = code.let(f"icmp slt i64 {at}, {own}")  # moved back, and added before
                                target = v.at(v.at(w_here, c), v.times(v.plus(start, at), pitch))
                                for q in range(block.vectors):
                                    there = v.at(target, str(q * v.f.lanes))
                                    share = v.f.select(v.all_lanes(again), v.f.of(0.0), sums[r * block.vectors + q])
                                    v.store(v.f.add(v.load(there, masks[q]), share), there, masks[q])
                            return []

                        return code.loop(v.parts(numbers, block.rows), number_block)

                    return code.loop(runs, run)

                code.loop(tall, window_row)

            v.along(block.vectors * v.f.lanes, filter_block)
            return []

        return code.loop(lines, line)

    code.loop(images, image)
    return code


KINDS = {"forward": forward, "kernel_gradient": kernel_gradient}
