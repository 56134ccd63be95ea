"""Rows added at numbers, and the rank of a label's score."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.index import ScatterAdd, TopK
from nnspec_numpy.llvm.added_rows import family
from nnspec_numpy.llvm.library import Kernels, library

from .kernel import Arrays, Kernel, Run, Step, Types, elements, flat, rows_of, sequence, sizes

WIDE = 192  # elements from which a row is added by a call of its own
PLACES = 16384  # elements added in one call
SCORES = 8192  # scores ranked at a time


def _per_call(ids: int, width: int) -> int:
    return max(1, min(ids, PLACES // width))


def native(dtype: DType) -> Kernels | None:
    """The compiled kernel, where there is one."""
    return library(family) if dtype == DType.float32 else None


def scatter_workspace(op: ScatterAdd, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    ids, width = elements(inputs[1].shape), prod(sizes(outputs[0])[1:])
    if width >= WIDE or native(inputs[0].dtype) is not None:
        return (flat(ids, DType.int64),)
    return flat(ids, DType.int64), flat(_per_call(ids, width) * width, DType.int64)


def bind_scatter(op: ScatterAdd, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    """One row after the other, so that the sum's order is fixed.

    ``np.add.at`` is fast for one-dimensional arrays alone, so short rows are added element by element at numbers of
    their own; a call asks for 5 kB, whatever the sizes.
    """
    g, ids = inputs
    table, numbers = outputs[0], workspace[0]
    width = prod(table.shape[1:])
    values, rows = g.reshape(ids.size, width), table.reshape(-1, width)
    steps: list[Step] = [partial(table.fill, 0), partial(np.copyto, numbers, ids.reshape(-1), casting="unsafe")]
    compiled = native(DType(g.dtype.name))
    if compiled is not None and g.size:
        return sequence([*steps, compiled.bind("add", values, numbers, rows, ids.size, len(rows), width)])
    if width >= WIDE:
        return sequence([*steps, _row_by_row(numbers, list(values), list(rows))])
    places = workspace[1]
    per, line = _per_call(ids.size, width), table.reshape(-1)
    columns = np.tile(np.arange(width, dtype=np.int64), per)
    steps.append(partial(np.multiply, numbers, np.int64(width), numbers))
    for first in range(0, ids.size, per):
        chosen = numbers[first : first + per]
        n = chosen.size * width
        steps += [partial(np.copyto, places[:n].reshape(-1, width), chosen[:, None]),
                  partial(np.add, columns[:n], places[:n], places[:n]),
                  partial(np.add.at, line, places[:n], values[first : first + per].reshape(-1))]
    return sequence(steps)


def _row_by_row(numbers: Array, values: list[Array], rows: list[Array]) -> Callable[[], None]:
    chosen, add = numbers.data, np.add

    def run() -> None:
        for number, value in zip(chosen, values, strict=True):
            row = rows[number]
            add(row, value, row)

    return run


def _rows(scores: int, classes: int) -> int:
    return max(1, min(scores // classes, SCORES // classes))


def top_workspace(op: TopK, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    x = inputs[0]
    classes = sizes(x)[-1]
    rows = _rows(elements(x.shape), classes)
    n = rows * classes
    return (flat(elements(inputs[1].shape), DType.int64), flat(rows, DType.int64), flat(rows, x.dtype),
            flat(n, x.dtype), flat(n, DType.int64), *(flat(n, DType.bool) for _ in range(3)),
            flat(n, DType.int32), flat(rows, DType.int32), flat(rows, DType.bool))


def bind_top(op: TopK, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    """Counts the scores above the label's, and equal ones that stand before it."""
    x, y = rows_of(inputs[0]), outputs[0].reshape(-1)
    numbers = workspace[0]
    steps: list[Step] = [partial(np.copyto, numbers, inputs[1].reshape(-1), casting="unsafe")]
    rows = _rows(x.size, x.shape[1])
    starts = np.arange(rows, dtype=np.int64) * x.shape[1]
    order = np.tile(np.arange(x.shape[1], dtype=np.int64), rows)
    for first in range(0, len(x), rows):
        some = slice(first, first + rows)
        steps += _rank(op.k, x[some], numbers[some], y[some], starts, order, workspace[1:])
    return sequence(steps)


def _rank(k: int, x: Array, labels: Array, y: Array, starts: Array, order: Array, space: Arrays) -> list[Step]:
    """Ranks are taken over one line: comparisons with a broadcast operand ask NumPy for buffers."""
    n, line = len(x), x.reshape(-1)
    places, own = space[0][:n], space[1][:n]
    score, label, above, equal, before, ones = (s[: x.size] for s in space[2:8])
    counts, inside = space[8][:n], space[9][:n]
    return [partial(np.add, labels, starts[:n], places),
            partial(np.take, line, places, out=own, mode="clip"),
            partial(np.copyto, score.reshape(x.shape), own[:, None]),
            partial(np.copyto, label.reshape(x.shape), labels[:, None]),
            partial(np.greater, line, score, above),
            partial(np.equal, line, score, equal),
            partial(np.less, order[: x.size], label, before),
            partial(np.logical_and, equal, before, equal),
            partial(np.logical_or, above, equal, above),
            partial(np.copyto, ones, above),
            partial(np.add.reduce, ones.reshape(x.shape), axis=1, out=counts),
            partial(np.less, counts, np.int32(k), inside),
            partial(np.copyto, y, inside)]


INDEX: dict[type[Any], Kernel] = {ScatterAdd: Kernel(bind_scatter, scatter_workspace),
                                  TopK: Kernel(bind_top, top_workspace)}
