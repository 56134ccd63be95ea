"""The best boxes of a row, and none that overlap them: the best that is left, again and again, of several rows at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.types import DType, TensorType
from nnspec.ops.boxes import NonMaxSuppression

from .kernel import Arrays, Kernel, Run, Types, cut, flat, sequence, sizes

TOGETHER = 16384  # boxes looked at in one call: rows that have no more left are then waited for by few others


def together(rows: int, n: int) -> int:
    """How many rows are looked at at once."""
    return max(1, min(rows, TOGETHER // max(1, n)))


def workspace(op: NonMaxSuppression, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    (rows, n), kind = sizes(inputs[1]), inputs[0].dtype
    m = together(rows, n)
    return (*(flat(m * n, kind) for _ in range(9)), *(flat(m * n, DType.bool) for _ in range(2)),
            *(flat(m, kind) for _ in range(6)), *(flat(m, DType.int64) for _ in range(3)), flat(m, DType.bool))


def bind(op: NonMaxSuppression, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    rows, n = inputs[1].shape
    m = together(rows, n)
    return sequence([partial(quiet, some(op, [x[i : i + m] for x in inputs], [y[i : i + m] for y in outputs], space)) for i in range(0, rows, m)])


def some(op: NonMaxSuppression, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    """A few rows. Corners and areas are brought to arrays of their own; a score that is out is minus infinity."""
    boxes, scores, *groups = inputs
    numbers, counts = outputs
    rows, n = scores.shape
    x1, y1, x2, y2, area, left, shared, a, b, out, other = (cut(s, (rows, n)) for s in space[:11])
    own = [s[:rows] for s in space[11:16]]  # of the best of each row its corners and area
    score, (best, places, alike), there = space[16][:rows], (s[:rows] for s in space[17:20]), space[20][:rows]
    b1, c1, b2, c2, size = (v[:, None] for v in own)
    lines = [v.reshape(-1) for v in (x1, y1, x2, y2, area)]
    line, firsts = left.reshape(-1), np.arange(rows, dtype=np.int64) * n
    overlap, lowest = boxes.dtype.type(op.overlap), boxes.dtype.type(-np.inf)
    ids = groups[0].reshape(-1) if groups else None

    def begin() -> None:
        numbers.fill(0)
        counts.fill(0)
        for i, v in enumerate((x1, y1, x2, y2)):
            np.copyto(v, boxes[:, :, i])
        np.subtract(x2, x1, out=a)
        np.subtract(y2, y1, out=area)
        np.multiply(a, area, out=area)
        np.copyto(left, scores)
        np.isnan(left, out=out)
        np.copyto(left, lowest, where=out)

    def meet() -> None:
        """What the best of each row overlaps is out: sums and quotients in the order of the reference."""
        for v, w in zip(lines, own, strict=True):
            np.take(v, places, out=w, mode="clip")
        np.minimum(x2, b2, out=a)
        np.maximum(x1, b1, out=b)
        np.subtract(a, b, out=shared)
        np.minimum(y2, c2, out=a)
        np.maximum(y1, c1, out=b)
        np.subtract(a, b, out=a)
        np.maximum(shared, 0, out=shared)
        np.maximum(a, 0, out=a)
        np.multiply(shared, a, out=shared)
        np.add(area, size, out=a)
        np.subtract(a, shared, out=a)
        np.divide(shared, a, out=a)
        np.greater(a, overlap, out=out)
        if ids is not None:
            np.take(ids, places, out=alike, mode="clip")
            np.equal(groups[0], alike[:, None], out=other)
            np.logical_and(out, other, out=out)
        np.copyto(left, lowest, where=out)
        line[places] = lowest

    def run() -> None:
        begin()
        for found in range(op.maximum):
            left.argmax(1, out=best)
            np.add(best, firsts, out=places)
            np.take(line, places, out=score, mode="clip")
            np.greater(score, lowest, out=there)
            if not there.any():
                break
            np.copyto(numbers[:, found], best, where=there)
            np.add(counts, there, out=counts)
            meet()

    return run


def quiet(run: Run) -> None:
    """Two boxes of no area share nothing of nothing, which is no news."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        run()


BOXES: dict[type[Any], Kernel] = {NonMaxSuppression: Kernel(bind, workspace)}
