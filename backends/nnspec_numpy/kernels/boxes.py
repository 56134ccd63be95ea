"""The best boxes of a row, and none that overlap them: the best that is left, again and again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.boxes import NonMaxSuppression

from .kernel import Arrays, Kernel, Run, Step, Types, flat, sequence, sizes


def workspace(op: NonMaxSuppression, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    n, kind = sizes(inputs[1])[1], inputs[0].dtype
    return TensorType((5, n), kind), *(flat(n, kind) for _ in range(4)), *(flat(n, DType.bool) for _ in range(2))


def bind(op: NonMaxSuppression, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    """A row after the other. Corners and areas of a row are brought to lines of their own, and a score that is out is minus infinity."""
    steps: list[Step] = []
    for i in range(len(inputs[1])):
        groups = inputs[2][i] if len(inputs) > 2 else None
        steps.append(row(op, inputs[0][i], inputs[1][i], groups, outputs[0][i], outputs[1][i : i + 1], space))
    return sequence(steps)


def row(op: NonMaxSuppression, boxes: Array, scores: Array, groups: Array | None, numbers: Array, counted: Array, space: Arrays) -> Step:
    """What fills the numbers of one row, and their count."""
    sides, left, shared, a, b, out, other = space
    x1, y1, x2, y2, area = sides
    overlap = boxes.dtype.type(op.overlap)
    lowest = boxes.dtype.type(-np.inf)

    def begin() -> None:
        numbers.fill(0)
        np.copyto(sides[:4], boxes.T)
        np.subtract(x2, x1, out=a)
        np.subtract(y2, y1, out=area)
        np.multiply(a, area, out=area)
        np.copyto(left, scores)
        np.isnan(left, out=out)
        np.copyto(left, lowest, where=out)

    def meet(n: int) -> None:
        """Takes out what box n overlaps: sums and quotients in the order of the reference."""
        np.minimum(x2, x2[n], out=a)
        np.maximum(x1, x1[n], out=b)
        np.subtract(a, b, out=shared)
        np.minimum(y2, y2[n], out=a)
        np.maximum(y1, y1[n], out=b)
        np.subtract(a, b, out=a)
        np.maximum(shared, 0, out=shared)
        np.maximum(a, 0, out=a)
        np.multiply(shared, a, out=shared)
        np.add(area, area[n], out=a)
        np.subtract(a, shared, out=a)
        np.divide(shared, a, out=a)
        np.greater(a, overlap, out=out)
        if groups is not None:
            np.equal(groups, groups[n], out=other)
            np.logical_and(out, other, out=out)
        np.copyto(left, lowest, where=out)
        left[n] = lowest

    def run() -> None:
        begin()
        found = 0
        while found < op.maximum:
            best = int(left.argmax())
            if left[best] == lowest:
                break
            numbers[found] = best
            found += 1
            meet(best)
        counted[0] = found

    return partial(quiet, run)


def quiet(run: Callable[[], None]) -> None:
    """Two boxes of no area share nothing of nothing, which is no news."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        run()


BOXES: dict[type[Any], Kernel] = {NonMaxSuppression: Kernel(bind, workspace)}
