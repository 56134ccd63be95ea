"""One step over several micro-batches: their gradients are gathered, each by its share of the weight, then taken as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nnspec.errors import NumbersError
from nnspec.ir.op import Array
from nnspec.network.scalars import KEEP, LOSS, SHARE
from nnspec.network.segments import NEXT, STATE
from nnspec.records import dataclass

if TYPE_CHECKING:
    from nnspec.runtime.programs import Ready
    from nnspec.runtime.steps import Steps
    from nnspec.runtime.tally import Tally

DRAWS = 40  # bits: the draws of the k-th micro-batch are those of step ``step + k 2^40``


def gathered_step(
    model: Steps, arrays: Mapping[str, Array], rate: float, size: int, weights: Array | None, factors: tuple[float, ...], stretch: int,
    tally: Tally,
) -> float:  # fmt: skip
    """A step on micro-batches of ``size`` rows; its loss. Losses and metrics are counted over all rows together.

    Batch statistics are those of each micro-batch. Raises NumbersError where a number is not finite; nothing has moved then.
    """
    parts = [p for p in _parts(arrays, size, weights) if p.mass]  # rows of no weight have no mean
    total = sum(p.mass for p in parts)
    own = _own_masses(model, parts, size, stretch)
    loss: float | None = None
    for p in parts:
        ready = model.programs.ready("gather", p.arrays, size, p.weighted(size), stretch)
        model.programs.fill(ready, p.arrays, p.rows, size, p.weights)
        model.programs.set(ready, 0.0, model.step + (p.number << DRAWS), factors)
        shares = {name: masses[p.number] for name, masses in own.items()}
        shared = {SHARE: p.mass / total} if SHARE in ready.run.inputs else {}
        _run(ready, {**shared, **shares, KEEP: 0.0 if loss is None else 1.0})
        taken = bool(ready.run.outputs["finite"]) if model.segments.scaled else _whole(model, ready)
        if taken:
            tally.add(ready.run.outputs, p.rows, factors)
        loss = (loss or 0.0) + float(ready.run.outputs["loss"])
    assert loss is not None
    taking = {LOSS: loss}

    def take() -> Ready:
        ready = model.programs.ready("take", {}, 1, False, stretch)
        model.programs.set(ready, rate, model.step)
        return _run(ready, taking)

    model.moved(stretch, _whole(model, take(), take))
    return loss


@dataclass(frozen=True)
class Part:
    """A micro-batch: ``mass`` is the weight of its rows."""

    number: int
    arrays: Mapping[str, Array]
    rows: int
    weights: Array | None
    mass: float

    def weighted(self, size: int) -> bool:
        return self.weights is not None or self.rows < size


def _parts(arrays: Mapping[str, Array], size: int, weights: Array | None) -> Iterator[Part]:
    n = len(next(iter(arrays.values())))
    for k, start in enumerate(range(0, n, size)):
        own = None if weights is None else weights[start : start + size]
        rows = min(size, n - start)
        yield Part(k, {name: a[start : start + size] for name, a in arrays.items()}, rows, own,
                   float(rows if own is None else own.sum(dtype=np.float64)))  # fmt: skip


def _own_masses(model: Steps, parts: Sequence[Part], size: int, stretch: int) -> dict[str, dict[int, float]]:
    """For each loss whose classes weigh something: every micro-batch's share of what the loss is divided by, over all of them."""
    first = parts[0]
    inputs = model.programs.ready("gather", first.arrays, size, first.weighted(size), stretch).run.inputs
    wanted = [name for name in inputs if name.startswith(f"{SHARE}_")]
    if not wanted:
        return {}
    masses: dict[str, dict[int, float]] = {name: {} for name in wanted}
    for p in parts:
        ready = model.programs.ready("weigh", p.arrays, size, p.weighted(size), stretch)
        model.programs.fill(ready, {k: a for k, a in p.arrays.items() if k in ready.run.inputs}, p.rows, size, p.weights)
        model.programs.set(ready, 0.0, model.step + (p.number << DRAWS))
        ready.run.run()
        for name in wanted:
            masses[name][p.number] = float(ready.run.outputs[f"mass:{name.removeprefix(f'{SHARE}_')}"])
    return {name: {k: m / (sum(of.values()) or 1.0) for k, m in of.items()} for name, of in masses.items()}


def _run(ready: Ready, scalars: Mapping[str, float]) -> Ready:
    for name, value in scalars.items():
        ready.run.inputs[name][...] = value
    ready.run.run()
    return ready


def _whole(model: Steps, ready: Ready, again: Callable[[], Ready] | None = None) -> bool:
    """Whether all was finite; raises NumbersError where it was not, unless the loss scale was too large."""
    try:
        taken = bool(model.settled(ready, again).run.outputs["finite"])
    except NumbersError:
        _forget(model)
        raise
    if not taken:
        _forget(model)
    return taken


def _forget(model: Steps) -> None:
    """Statistics are again those of the last step; what was gathered is dropped as the next step begins."""
    if NEXT in model.memory.types:
        model.memory.write(NEXT, model.memory.read(STATE))
