"""Between which ends whole numbers lie, by how they are made: numbers of elements need no count from the end where none is below 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Constant, Op
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import index, movement, reduce, rows
from nnspec.ops.boxes import NonMaxSuppression

Ends: TypeAlias = "tuple[float, float]"  # the least and the largest, infinity where that is not known
ANY: Ends = (float("-inf"), float("inf"))
DEEPEST = 60  # ops behind one another that are looked at
SAME = (movement.Reshape, movement.Transpose, movement.BroadcastTo, movement.Slice, index.Gather, rows.TakeRows, rows.StopGradient)
OF_A_REDUCTION = (reduce.Max, reduce.Min)


def ends(v: Value, depth: int = 0) -> Ends:
    """The least and the largest that a value may hold: those of its type where no more is known; ``ANY`` for floats."""
    if v.dtype.is_float:
        return ANY
    if v.dtype == DType.bool:
        return 0, 1
    held: Any = np.iinfo(v.dtype.numpy)
    all_of, op = (held.min, held.max), v.op
    if depth > DEEPEST:
        return all_of
    if isinstance(op, Constant):
        return (int(op.data.min()), int(op.data.max())) if op.data.size else (0, 0)
    if isinstance(op, rows.Largest | NonMaxSuppression | reduce.ArgMax):
        return numbered(v, op)
    given = [ends(x, depth + 1) for x in v.inputs]
    if isinstance(op, (*SAME, *OF_A_REDUCTION)):
        return given[0]
    low, high = RULES[type(op)](given) if type(op) in RULES else all_of
    return (low, high) if held.min <= low and high <= held.max else all_of  # beyond the type's own ends numbers begin again at the other


def numbered(v: Value, op: Op) -> Ends:
    """Numbers of elements, and of how many."""
    if isinstance(op, NonMaxSuppression):
        most: Any = op.maximum if v.rank == 1 else v.inputs[1].shape[1]
        most = most + 1 if v.rank == 1 and isinstance(most, int) else most
    else:
        axis = op.axis if isinstance(op, reduce.ArgMax) else -1
        most = v.inputs[0].shape[axis]
    return 0, most - 1 if isinstance(most, int) else float("inf")


def hull(given: list[Ends]) -> Ends:
    return min(a for a, _ in given), max(b for _, b in given)


def remainder(given: list[Ends]) -> Ends:
    """With the sign of the divisor, as Python has it."""
    low, high = given[1]
    return (0, high - 1) if low > 0 else ANY


def least(given: list[Ends]) -> Ends:
    return min(a for a, _ in given), min(b for _, b in given)


def largest(given: list[Ends]) -> Ends:
    return max(a for a, _ in given), max(b for _, b in given)


def total(given: list[Ends]) -> Ends:
    return sum(a for a, _ in given), sum(b for _, b in given)


def product(given: list[Ends]) -> Ends:
    """Of numbers that are not below 0."""
    (a, b), (c, d) = given
    return (a * c, b * d) if min(a, c) >= 0 and max(b, d) < float("inf") else ANY


def quotient(given: list[Ends]) -> Ends:
    (a, b), (c, _) = given
    return (0, b) if a >= 0 and c >= 1 else ANY


RULES: Mapping[type[Op], Callable[[list[Ends]], Ends]] = {
    e.Cast: lambda given: given[0], movement.Concat: hull, e.Where: lambda given: hull(given[1:]), e.Remainder: remainder, e.Minimum: least,
    e.Maximum: largest, e.Add: total, e.Multiply: product, e.FloorDivide: quotient,
}  # fmt: skip
