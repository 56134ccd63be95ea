"""Matrix products by compiled kernels of our own: operands as they lie, products side by side in any number of axes, tiles for threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from nnspec.codegen.views import Layout
from nnspec.ir.graph import Value
from nnspec.ir.op import Array
from nnspec.ir.program import Array as Planned
from nnspec.ir.program import row_major
from nnspec.ir.types import DType, TensorType
from nnspec.ops.matmul import MatMul
from nnspec.ops.movement import Transpose
from nnspec_numpy.llvm.library import library
from nnspec_numpy.llvm.products import NAME
from nnspec_numpy.products import parts_of, tiles

from .ending import Ending
from .gemm import PART, Way, blocks, crowded, keeps, lanes, most_vectors, way
from .kernel import Arrays, Form, Kernel, Run, Step, Types, flat, sequence, sizes, together

LINE = 16  # numbers that a cache takes at a time


@dataclass(frozen=True)
class Panels:
    """A matrix of ``depth`` rows cut into panels of as many columns as a vector has ``lanes``, each in one run; those behind mean nothing."""

    depth: int
    columns: int
    lanes: int
    how: str  # the matrix lies

    def __str__(self) -> str:
        return f"panels of {self.lanes} from {self.how} of {self.depth}x{self.columns}"

    @property
    def pitch(self) -> int:
        """How far panels are apart: no multiple of a page."""
        return self.depth * self.lanes + LINE

    @property
    def count(self) -> int:
        return -(-self.columns // self.lanes)

    @property
    def type(self) -> TensorType:
        return flat(self.count * self.pitch, DType.float32)

    def fill(self, weight: Array, kept: Array) -> list[Step]:
        def cut() -> None:
            for i in range(self.count):
                some = weight[:, i * self.lanes : (i + 1) * self.lanes]
                panel = kept[i * self.pitch :][: self.depth * self.lanes].reshape(self.depth, self.lanes)
                panel[:, : some.shape[1]] = some

        return [cut]


@dataclass(frozen=True)
class Lies:
    """The shapes of a product, and how its matrices lie: ``upright`` and ``turned`` where the left and the right one lie by columns."""

    batch: tuple[int, ...]
    m: int
    k: int
    n: int
    upright: bool
    turned: bool
    pitches: tuple[int, int, int]
    moves: tuple[tuple[int, ...], ...]  # of left, right and result, how far along each axis of the batch


def lies(shapes: Sequence[tuple[int, ...]], strides: Sequence[tuple[int, ...]]) -> Lies | None:
    """Of left, right and result, strides in numbers; None where no kernel takes them."""
    (m, k), n = shapes[0][-2:], shapes[1][-1]
    if 0 in (*shapes[2], k):
        return None
    pitches, by_columns = [], []
    for shape, stride in zip(shapes, strides, strict=True):
        (rows, columns), (s, t) = shape[-2:], stride[-2:]
        plain = (t == 1 or columns == 1) and (s >= columns or rows == 1)
        upright = not plain and (s == 1 or rows == 1) and (t >= rows or columns == 1)
        if not (plain or upright):
            return None
        pitches.append(t if upright else s)
        by_columns.append(upright)
    if by_columns[2]:
        return None
    rank = len(shapes[2]) - 2
    moves = tuple(_moves(shape[:-2], stride[:-2], rank) for shape, stride in zip(shapes, strides, strict=True))
    batch, moves = _joined(shapes[2][:-2], moves)
    found = Lies(batch, m, k, n, by_columns[0], by_columns[1], (pitches[0], pitches[1], pitches[2]), moves)
    return _stacked(found)


def _moves(shape: tuple[int, ...], strides: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Along each of ``rank`` axes: 0 where one matrix serves all."""
    return (0,) * (rank - len(shape)) + tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def _joined(batch: tuple[int, ...], moves: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Neighbouring axes as one where all three go on evenly; axes of one product are none."""
    axes: list[tuple[int, tuple[int, ...]]] = []
    for i, n in enumerate(batch):
        steps = tuple(m[i] for m in moves)
        if n == 1:
            continue
        if axes and all(before == n * step for before, step in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = (axes[-1][0] * n, steps)
        else:
            axes.append((n, steps))
    return tuple(n for n, _ in axes), tuple(tuple(steps[i] for _, steps in axes) for i in range(3))


def _stacked(p: Lies) -> Lies:
    """Products with one right matrix as one product, where the rows go on evenly."""
    a, b, y = p.moves
    if len(p.batch) == 1 and b == (0,) and not p.upright and a == (p.m * p.pitches[0],) and y == (p.m * p.pitches[2],):
        return Lies((), p.batch[0] * p.m, p.k, p.n, False, p.turned, p.pitches, ((), (), ()))
    return p


def chosen(op: MatMul, dtype: DType, shapes: Sequence[tuple[int, ...]], strides: Sequence[tuple[int, ...]], room: bool,
           own: bool = False) -> tuple[Way, Lies | None]:
    """The way of a product whose matrices lie so; ``room`` where it has a workspace, ``own`` where only a kernel of ours will do."""
    found = lies(shapes, strides) if dtype == DType.float32 else None
    if found is None:
        return Way("OpenBLAS", f"{dtype}" if dtype != DType.float32 else "its matrices lie anyhow"), None
    if len(found.batch) > 2:
        return Way("OpenBLAS", f"{len(found.batch)} axes of products side by side"), None
    kept = bool(_forms(op, dtype, shapes))
    made = way(prod(found.batch), found.m, found.k, found.n, found.upright, found.turned, found.pitches, kept, room, own)
    return made, found


def _forms(op: MatMul, dtype: DType, shapes: Sequence[tuple[int, ...]]) -> tuple[Form, ...]:
    k, n = shapes[1][-2:]
    if not op.kept or dtype != DType.float32 or len(shapes[1]) != 2 or not keeps(k, n, op.kept == "columns"):
        return ()
    return (Panels(k, n, lanes(), op.kept),)


def forms(op: MatMul, inputs: Types, outputs: Types) -> tuple[Form, ...]:
    return _forms(op, inputs[0].dtype, [sizes(t) for t in (*inputs, *outputs)])


def room(op: MatMul, inputs: Types, outputs: Types, layouts: Sequence[Layout | None], own: bool = False,
         ) -> tuple[TensorType, ...]:
    """For a strip of the right matrix in each tile, where one is moved."""
    shapes = [sizes(t) for t in (*inputs, *outputs)]
    strides = [layout.strides if layout else row_major(shape) for layout, shape in zip(layouts, shapes, strict=True)]
    made, found = chosen(op, inputs[0].dtype, shapes, strides, True, own)
    if found is None or made.right not in ("moved", "turned"):
        return ()
    return (flat(parts_of(prod(shapes[2]) * found.k) * _strip(found.k, most_vectors(found.n)), DType.float32),)


def workspace(op: MatMul, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    """The same for matrices that lie by rows."""
    return room(op, inputs, outputs, [None] * 3)


def _strip(k: int, width: int) -> int:
    """Numbers of a strip of so many columns, its depth rounded up to whole vectors."""
    return (min(k, PART) + LINE) * width


def follows(op: MatMul, inputs: Sequence[Value], y: TensorType) -> bool:
    """Whether the product of these matrices is computed by a kernel of ours, which takes an epilogue."""
    if len(y.shape) != 2:
        return False
    shapes = [sizes(v.type) for v in inputs]
    strides = [(1, shape[0]) if isinstance(v.op, Transpose) else row_major(shape) for v, shape in zip(inputs, shapes, strict=True)]
    return chosen(op, y.dtype, [*shapes, sizes(y)], [*strides, row_major(sizes(y))], True)[0].right != ""


def bind(op: MatMul, inputs: Arrays, outputs: Arrays, space: Arrays, ending: Ending | None = None) -> Run:
    (a, b), y = inputs, outputs[0]
    shapes = [x.shape for x in (a, b, y)]
    strides = [tuple(s // x.itemsize for s in x.strides) for x in (a, b, y)]
    made, found = chosen(op, DType(y.dtype.name), shapes, strides, bool(space), ending is not None)
    if not made.right or found is None:
        assert ending is None, "a library's product has no epilogue"
        return sequence([partial(np.matmul, a, b, y)])
    panels = next(iter(_forms(op, DType.float32, shapes)), None) if made.right == "panels" else None
    steps = _calls(found, made, a, b, y, space, panels if isinstance(panels, Panels) else None, ending)
    return together([sequence([s]) for s in steps])


def multiplied(a: Array, b: Array, y: Array) -> Step:
    """The step ``y = a @ b`` of matrices, by a kernel of ours wherever there is one: no part that threads share then waits for Python."""
    every = a, b, y
    strides = [tuple(s // x.itemsize for s in x.strides) for x in every]
    made, found = chosen(MatMul(), DType(y.dtype.name), [x.shape for x in every], strides, False, True)
    if not made.right or found is None:
        return partial(np.matmul, a, b, y)
    return together(_calls(found, made, a, b, y, (), None, None))


def _calls(p: Lies, made: Way, a: Array, b: Array, y: Array, space: Arrays, panels: Panels | None, ending: Ending | None) -> list[Step]:
    """One call a tile: rows and columns of one product, or some of the products side by side."""
    outer, inner = (*p.batch, 1, 1)[:2]
    moves = [(*m, 0, 0)[:2] for m in p.moves]
    bases = [x.ctypes.data for x in (a, b, y)]
    if panels is not None:
        bases[1] = space[-1].ctypes.data
    calls: list[Step] = []
    width = most_vectors(p.n)

    def call(first: int, count: int, i: int, rows: int, j: int, columns: int) -> None:
        cut = blocks(rows, p.k, columns, made.right, crowded(p.k, p.pitches, p.upright), lanes())
        right = j // panels.lanes * panels.pitch if panels else j * (p.pitches[1] if p.turned else 1)
        places = (i * (1 if p.upright else p.pitches[0]), right, i * p.pitches[2] + j)
        at = [base + 4 * (place + first * move[0]) for base, place, move in zip(bases, places, moves, strict=True)]
        room = 0 if panels or not space else space[0].ctypes.data + 4 * len(calls) * _strip(p.k, width)
        kind = cut.kind(p.upright, made.right, columns)
        kernels = library(replace(kind, epilogue=ending.epilogue) if ending else kind)
        assert kernels is not None
        flat_moves = [n for m in moves for n in m]
        run = kernels.bind(NAME, *at, room, count, inner, *flat_moves, p.k, columns, *p.pitches, panels.pitch if panels else 0,
                           *cut.counts(columns), cut.parts, cut.part,
                           *(ending.arguments(y[i : i + rows, j : j + columns]) if ending else ()))
        run.keep += (a, b, y, space)
        calls.append(run)

    parts = parts_of(prod(p.batch) * p.m * p.k * p.n)
    if p.batch:
        ends = [outer * i // parts for i in range(parts + 1)] if outer >= parts else [0, outer]
        for one, two in zip(ends, ends[1:], strict=False):
            call(one, two - one, 0, p.m, 0, p.n)
        return calls
    rows, columns = tiles(p.m, p.k, p.n)
    for i in range(0, p.m, rows):
        for j in range(0, p.n, columns):
            call(0, 1, i, min(rows, p.m - i), j, min(columns, p.n - j))
    return calls


def planned(op: MatMul, inputs: Sequence[Planned], outputs: Sequence[Planned], space: Sequence[Planned], own: bool = False) -> Way:
    """Which way a planned step takes, and why."""
    every = (*inputs, *outputs)
    return chosen(op, every[-1].type.dtype, [a.shape for a in every], [a.strides for a in every], bool(space), own)[0]


MATMUL: dict[type[Any], Kernel] = {MatMul: Kernel(bind, workspace, contiguous=False, forms=forms)}
