"""``class_weights: balanced``: what each class weighs, counted over the training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from nnspec.data.column import SAMPLE_WEIGHT
from nnspec.ir.graph import Value
from nnspec.ir.op import Array
from nnspec.network.build import Built
from nnspec.network.targets import Target
from nnspec.training.classification import Classification
from nnspec.training.void import Void

PIECE = 1 << 20  # elements of a target that are counted at a time


def balancing(built: Built) -> list[Target]:
    """The losses whose classes weigh what the training rows say."""
    return [t for t in built.losses if isinstance(t.term.of, Classification) and t.term.of.balances()]


def count_classes(built: Built, rows: Mapping[str, Array]) -> dict[str, tuple[float, ...]]:
    """The weights of these losses over the training rows, by the losses' names; each row counts by its ``sample_weight``."""
    own = rows.get(SAMPLE_WEIGHT)
    return {t.term.name: balanced(rows[t.feed], many(t), t.term.of.binary(_output(t)), own, t.void) for t in balancing(built)}


def many(target: Target) -> int:
    """How many classes the loss tells apart."""
    loss: Classification = target.term.of
    return loss.many(_output(target))


def _output(target: Target) -> Value:
    assert target.output is not None
    return target.output


def balanced(t: Array, classes: int, binary: bool, weights: Array | None = None, void: Void | None = None) -> tuple[float, ...]:
    """``n / (classes * count)`` for each class of a target: class numbers, one-hot, or yes and no; 0 for a class that no row has.

    Rows that weigh something else than 1 count so much. The target is read piece by piece: it may be masks in files.
    """
    counts = np.zeros(classes)
    length = max(1, PIECE // max(1, math.prod(t.shape[1:])))
    for start in range(0, len(t), length):
        piece, own = t[start : start + length], None if weights is None else weights[start : start + length].astype(np.float64)
        counts += _counted(piece, classes, binary, own, void)
    with np.errstate(divide="ignore"):
        found = np.where(counts > 0, counts.sum() / (classes * counts), 0.0)
    return tuple(map(float, found))


def _counted(t: Array, classes: int, binary: bool, weights: Array | None, void: Void | None) -> Array:
    """How much of each class a few rows have."""
    places: Array = np.ones(t.shape) if weights is None else np.broadcast_to(weights.reshape(-1, *[1] * (t.ndim - 1)), t.shape)
    if void is not None:
        t, counts = void.rest(t)
        places = places * counts
    if binary or t.dtype.kind != "f":
        numbers = t > 0.5 if binary else t
        return np.bincount(numbers.reshape(-1).astype(np.int64), places.reshape(-1), minlength=classes)
    return np.asarray((t * places).reshape(-1, classes).sum(0, dtype=np.float64))
