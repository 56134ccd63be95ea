"""Rows added at numbers, and the rank of a label's score."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.types import DType, TensorType
from nnspec.ops.index import ScatterAdd, TopK

from .kernel import Arrays, Kernel, Run, Types, elements, flat, sizes


def scatter_workspace(op: ScatterAdd, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    return (flat(elements(inputs[1].shape), DType.int64),)


def bind_scatter(op: ScatterAdd, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    """One after the other in row order, so that the sum's order is fixed."""
    g, ids = inputs
    table, numbers = outputs[0], workspace[0]
    rows = g.reshape(ids.size, *table.shape[1:])

    def run() -> None:
        table.fill(0)
        np.copyto(numbers, ids.reshape(-1), casting="unsafe")
        np.add.at(table, numbers, rows)

    return run


def top_workspace(op: TopK, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    x = inputs[0]
    rows, classes = elements(x.shape[:-1]), sizes(x)[-1]
    table = TensorType((rows, classes), DType.bool)
    return (TensorType((rows, 1), DType.int64), TensorType((rows, 1), DType.int64), TensorType((rows, 1), x.dtype), table, table, table,
            TensorType((rows, classes), DType.int32), TensorType((rows,), DType.int32), TensorType((rows,), DType.bool))


def bind_top(op: TopK, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    """Counts the scores above the label's, and equal ones that stand before it."""
    labels, places, own, above, equal, before, ones, counts, inside = workspace
    classes = inputs[0].shape[-1]
    x, ids = inputs[0].reshape(-1, classes), inputs[1].reshape(-1, 1)
    flat_x, y = x.reshape(-1), outputs[0].reshape(-1)
    starts = np.arange(0, x.size, classes, dtype=np.int64)[:, None]
    numbers = np.arange(classes, dtype=np.int64)
    take = partial(np.take, flat_x, places, out=own, mode="clip")

    def run() -> None:
        np.copyto(labels, ids, casting="unsafe")
        np.add(labels, starts, places)
        take()
        np.greater(x, own, above)
        np.equal(x, own, equal)
        np.less(numbers, labels, before)
        np.logical_and(equal, before, equal)
        np.logical_or(above, equal, above)
        np.copyto(ones, above)
        np.add.reduce(ones, axis=1, out=counts)
        np.less(counts, np.int32(op.k), inside)
        np.copyto(y, inside)

    return run


INDEX: dict[type[Any], Kernel] = {ScatterAdd: Kernel(bind_scatter, scatter_workspace), TopK: Kernel(bind_top, top_workspace)}
