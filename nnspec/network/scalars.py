"""The scalars that a step is told, and the names of what batches add up."""

from __future__ import annotations

from nnspec.ir.graph import Value, abstract
from nnspec.ir.types import DType, TensorType

RATE, STEP, SEED, WEIGHT = "$learning_rate", "$step", "$seed", "$weight"
COUNT, PENALTY = "count:", "$penalty_"  # before the name of an output that batches add up; before the number of a penalty
SHARE, KEEP, LOSS = "$share", "$keep", "$loss"  # of a step over several micro-batches
SCALARS = {RATE: DType.float64, STEP: DType.int64, SEED: DType.uint32, SHARE: DType.float64, KEEP: DType.float64, LOSS: DType.float64}


def loss_weight(n: int) -> str:
    """The scalar that holds the weight of the n-th loss, where that is a schedule."""
    return f"$loss_weight_{n}"


def share_of(n: int) -> str:
    """The scalar that holds a micro-batch's share of what the n-th loss is divided by, where rows alone do not say it."""
    return f"{SHARE}_{n}"


def updates(segment: str) -> str:
    """The scalar that says how often a segment has moved, where segments differ in that."""
    return f"$updates_{segment.removeprefix('$')}"


def told(*names: str) -> dict[str, Value]:
    """These scalars as inputs, by name."""
    return {name: abstract(TensorType((), SCALARS[name]), name, "scalar") for name in names}
