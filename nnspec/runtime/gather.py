"""One step over several micro-batches: their gradients are gathered, each by its share of the weight, then taken as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nnspec.errors import NumbersError
from nnspec.ir.op import Array
from nnspec.network.phases import KEEP, LOSS, SHARE
from nnspec.network.segments import NEXT, STATE

if TYPE_CHECKING:
    from nnspec.runtime.session import Model, Ready
    from nnspec.runtime.tally import Tally

DRAWS = 40  # bits: the draws of the k-th micro-batch are those of step ``step + k 2^40``


def gathered_step(
    model: Model, arrays: Mapping[str, Array], rate: float, size: int, weights: Array | None, factors: tuple[float, ...], stretch: int,
    tally: Tally,
) -> float:  # fmt: skip
    """A step on micro-batches of ``size`` rows; its loss. Losses and metrics are counted over all rows together.

    Batch statistics are those of each micro-batch. Raises NumbersError where a number is not finite; nothing has moved then.
    """
    n = len(next(iter(arrays.values())))
    total = float(n) if weights is None else float(weights.sum(dtype=np.float64))
    loss: float | None = None
    for k, start in enumerate(range(0, n, size)):
        part = {name: a[start : start + size] for name, a in arrays.items()}
        own = None if weights is None else weights[start : start + size]
        rows = min(size, n - start)
        share = (rows if own is None else float(own.sum(dtype=np.float64))) / total
        if share == 0.0:
            continue  # rows of no weight have no mean
        ready = model._ready("gather", part, size, own is not None or rows < size, stretch)
        model._fill(ready, part, rows, size, own)
        model._set(ready, 0.0, model.step + (k << DRAWS), factors)
        _run(model, ready, {SHARE: share, KEEP: 0.0 if loss is None else 1.0})
        tally.add(ready.run.outputs, rows, factors)
        loss = (loss or 0.0) + share * float(ready.run.outputs["loss"])
    ready = model._ready("take", {}, 1, False, stretch)
    model._set(ready, rate, model.step)
    assert loss is not None
    _run(model, ready, {LOSS: loss})
    model._moved(stretch)
    return loss


def _run(model: Model, ready: Ready, scalars: Mapping[str, float]) -> None:
    for name, value in scalars.items():
        ready.run.inputs[name][...] = value
    ready.run.run()
    if not bool(ready.run.outputs["finite"]):
        blamed = model._blame(ready)
        _forget(model)
        raise NumbersError(blamed)


def _forget(model: Model) -> None:
    """Statistics are again those of the last step; what was gathered is dropped as the next step begins."""
    if NEXT in model.memory.types:
        model.memory.write(NEXT, model.memory.read(STATE))
