"""Elements that each row's own numbers choose, added back, and the largest of a row."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.types import DType, TensorType
from nnspec.ops.index import ScatterAdd
from nnspec.ops.rows import AddRows, Largest, TakeRows

from .index import bind_scatter, native, scatter_workspace
from .kernel import Arrays, Kernel, Run, Step, Types, elements, flat, rows_of, sequence, sizes

LOWEST = np.iinfo(np.int64).min
MAGNITUDE = np.int64(np.iinfo(np.int64).max)
FEW = 8  # taken one after the other; more are sorted
HALF = np.int64(32)
BEHIND = np.int64(0xFFFFFFFF)  # the half of a key that is a number


def place_steps(ids: Any, places: Any, length: int) -> list[Step]:
    """``places = row * length + ids``: the numbers of all rows in one line."""
    by_row = places.reshape(len(ids), -1)
    firsts = np.arange(len(ids), dtype=np.int64)[:, None] * length
    return [partial(np.copyto, by_row, ids.reshape(len(ids), -1), casting="unsafe"), partial(np.add, by_row, firsts, by_row)]


def take_workspace(op: TakeRows, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    return (flat(elements(inputs[1].shape), DType.int64),)


def bind_take(op: TakeRows, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, ids = inputs
    width = prod(x.shape[2:])
    table, y, places = x.reshape(-1, width), outputs[0].reshape(-1, width), workspace[0]
    compiled = native(DType(x.dtype.name))
    take = (compiled.bind("take", y, places, table, ids.size, len(table), width) if compiled is not None and y.size and table.size else
            partial(np.take, table, places, axis=0, out=y, mode="clip"))
    return sequence([*place_steps(ids, places, x.shape[1]), take])


def add_workspace(op: AddRows, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    return flat(elements(inputs[1].shape), DType.int64), *scatter_workspace(*_scatter(op, inputs, outputs))


def _scatter(op: AddRows, inputs: Types, outputs: Types) -> tuple[ScatterAdd, Types, Types]:
    """The same as one addition into the rows of a table."""
    g, ids, (rows, n, *rest) = sizes(inputs[0]), elements(inputs[1].shape), sizes(outputs[0])
    kind = inputs[0].dtype
    flat_inputs = (TensorType((ids, *rest), kind), flat(ids, DType.int64))
    assert prod(g) == ids * prod(rest)
    return ScatterAdd(rows * n), flat_inputs, (TensorType((rows * n, *rest), kind),)


def bind_add(op: AddRows, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    g, ids = inputs
    y, places = outputs[0], workspace[0]
    rest = y.shape[2:]
    scatter = bind_scatter(ScatterAdd(y.shape[0] * y.shape[1]), (g.reshape(ids.size, *rest), places), (y.reshape(-1, *rest),), workspace[1:])
    return sequence([*place_steps(ids, places, y.shape[1]), scatter])


def largest_workspace(op: Largest, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    n = elements(inputs[0].shape)
    rows = n // sizes(inputs[0])[-1]
    return (flat(n, DType.float64), flat(n, DType.int64), flat(n, DType.bool), *(flat(rows, DType.int64) for _ in range(3)),
            flat(rows, inputs[0].dtype))


def bind_largest(op: Largest, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    """``k`` times the first of the largest, which is then lowered below everything.

    Doubles are compared as whole numbers of the same order, for there even minus infinity has numbers below it.
    """
    if op.k > FEW and inputs[0].dtype == np.float32:
        return bind_sorted(op, inputs, outputs, workspace)
    x = rows_of(inputs[0])
    y, ids = rows_of(outputs[0]), rows_of(outputs[1])
    rows, n = x.shape
    wide, signs, mask = (w[: rows * n] for w in workspace[:3])
    best, places, firsts, own = (w[:rows] for w in workspace[3:])
    keys = wide.view(np.int64)
    line, by_row = x.reshape(-1), keys.reshape(rows, n)
    steps: list[Step] = [
        partial(np.add, line, 0.0, wide, casting="same_kind"),  # -0 becomes 0
        partial(np.isnan, wide, mask),
        partial(np.copyto, wide, np.nan, where=mask),
        partial(np.right_shift, keys, np.int64(63), signs),
        partial(np.bitwise_and, signs, MAGNITUDE, signs),
        partial(np.bitwise_xor, keys, signs, keys),
        partial(np.copyto, firsts, np.arange(rows, dtype=np.int64) * n),
    ]
    for i in range(op.k):
        steps += [
            partial(np.argmax, by_row, axis=-1, out=best),
            partial(np.add, best, firsts, places),
            partial(np.copyto, ids[:, i], best),
            partial(np.take, line, places, out=own, mode="clip"),
            partial(np.copyto, y[:, i], own),
            partial(_lower, keys, places),
        ]
    return sequence(steps)


def bind_sorted(op: Largest, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    """Elements and their numbers as one whole number each, the largest of which are brought to the end and sorted.

    In front stands the element as a whole number of the same order, behind it how far its number is from the last: of equals the
    first is the largest.
    """
    x = rows_of(inputs[0])
    y, ids = rows_of(outputs[0]), rows_of(outputs[1])
    (rows, n), k = x.shape, op.k
    wide, keys, mask = (w[: rows * n] for w in workspace[:3])
    single = wide.view(np.float32)[: rows * n]
    bits, signs = single.view(np.int32), wide.view(np.int32)[rows * n : 2 * rows * n]
    by_row, firsts = keys.reshape(rows, n), np.arange(rows, dtype=np.int64)[:, None] * n
    behind, best = np.arange(n - 1, -1, -1, dtype=np.int64), by_row[:, n - k :]
    places = wide.view(np.int64)[: rows * k].reshape(rows, k)
    line = x.reshape(-1)
    return sequence([
        partial(np.add, line, np.float32(0), single),  # -0 becomes 0
        partial(np.isnan, single, mask),
        partial(np.copyto, single, np.float32(np.nan), where=mask),
        partial(np.right_shift, bits, np.int32(31), signs),
        partial(np.bitwise_and, signs, np.int32(0x7FFFFFFF), signs),
        partial(np.bitwise_xor, bits, signs, bits),
        partial(np.copyto, keys, bits),
        partial(np.left_shift, keys, HALF, keys),
        partial(np.add, by_row, behind, by_row),
        partial(by_row.partition, n - k, 1),
        partial(best.sort, 1),
        partial(np.bitwise_and, best[:, ::-1], BEHIND, ids),
        partial(np.subtract, np.int64(n - 1), ids, ids),
        partial(np.add, ids, firsts, places),
        partial(np.take, line, places, out=y, mode="clip"),
    ])


def _lower(keys: Any, places: Any) -> None:
    keys[places] = LOWEST


ROWS: dict[type[Any], Kernel] = {TakeRows: Kernel(bind_take, take_workspace), AddRows: Kernel(bind_add, add_workspace),
                                 Largest: Kernel(bind_largest, largest_workspace)}
