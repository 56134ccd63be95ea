"""``class_weights: balanced``: what each class weighs, counted over the training rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnspec.ir.graph import Value, abstract
from nnspec.ir.op import Array
from nnspec.network.build import Built
from nnspec.network.targets import Target
from nnspec.training.classification import Classification


def balancing(built: Built) -> list[Target]:
    """The losses whose classes weigh what the training rows say."""
    return [t for t in built.losses if isinstance(t.term.of, Classification) and t.term.of.balances()]


def count_classes(built: Built, rows: Mapping[str, Array]) -> dict[str, tuple[float, ...]]:
    """The weights of these losses over the training rows, by the losses' names."""
    return {t.term.name: balanced(np.asarray(rows[t.feed]), many(t), t.term.of.binary(_output(t))) for t in balancing(built)}


def many(target: Target) -> int:
    """How many classes the loss tells apart."""
    loss: Classification = target.term.of
    return loss.many(_output(target))


def _output(target: Target) -> Value:
    port = target.port
    assert port.type is not None
    return port.value if port.value is not None else abstract(port.type)


def balanced(t: Array, classes: int, binary: bool) -> tuple[float, ...]:
    """``n / (classes * count)`` for each class of a target: class numbers, one-hot, or yes and no; 0 for a class that no row has."""
    if t.dtype.kind != "f":
        counts = np.bincount(t.reshape(-1), minlength=classes).astype(np.float64)
    elif binary:
        yes = float((t > 0.5).sum())
        counts = np.array([t.size - yes, yes])
    else:
        counts = t.reshape(-1, t.shape[-1]).sum(0, dtype=np.float64)
    with np.errstate(divide="ignore"):
        weights = np.where(counts > 0, counts.sum() / (classes * counts), 0.0)
    return tuple(map(float, weights))
