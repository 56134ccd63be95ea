"""How far two backends are apart: the same steps on both, from the same parameters, on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np

from nnspec.compiler import Spec
from nnspec.ir.op import Array
from nnspec.runtime.bench import rows
from nnspec.runtime.feeding import parted
from nnspec.runtime.loading import dataset, epochs
from nnspec.runtime.session import Model, compile

TURNED = 10.0  # times the root of what losses may be apart is what gradients may: a unit that turns by its last bit moves them by hundredths


@dataclass(frozen=True)
class Deviation:
    """The largest over all steps: of numbers, relative to the largest of their tensor; ``step``, counted from 1, is where it was."""

    name: str
    kind: str  # loss, gradient or parameter
    relative: float
    step: int


@dataclass(frozen=True)
class Parity:
    """Deviations by kind and name, and whether they are within what is allowed."""

    steps: int
    tolerance: float
    found: tuple[Deviation, ...]

    def allowed(self, kind: str) -> float:
        """Of losses the tolerance; of gradients and parameters what a relu makes of it that turns by the last bit."""
        return self.tolerance if kind == "loss" else TURNED * self.tolerance**0.5

    @property
    def passed(self) -> bool:
        """NaN passes nothing."""
        return all(d.relative <= self.allowed(d.kind) for d in self.found)


def parity(spec: Spec, names: tuple[str, str], steps: int, tolerance: float, sizes: Mapping[str, int], free: bool = False) -> Parity:
    """``steps`` training steps on two backends. ``math: strict`` is the caller's to ask for.

    Every step of the second begins where the first one's does, so that what is told is the error of a step; ``free``, each goes on
    from its own, and a relu that turns by the last bit is followed by all that comes of it.
    """
    one, other = (compile(spec, backend=name) for name in names)
    most: dict[tuple[str, str], Deviation] = {}
    for step, batch in enumerate(islice(_batches(one, other, sizes), steps), 1):
        if not free and step > 1:
            other.restore(one.state())
        own, theirs = one.gradients_of(*parted(batch)), other.gradients_of(*parted(batch))
        found = [("gradient", name, a, theirs[name]) for name, a in own.items()]
        n = len(next(iter(batch.values())))
        losses = [m.train_step(batch, m.rate(m.step), -(-n // m.accumulate) * m.accumulate)["loss"] for m in (one, other)]
        found.append(("loss", "loss", np.asarray(losses[0]), np.asarray(losses[1])))
        found += [("parameter", p, one.read(p), other.read(p)) for p in one.parameters]
        for kind, name, a, b in found:
            apart = relative(a, b)
            before = most.get((kind, name))
            if before is None or not apart <= before.relative:
                most[kind, name] = Deviation(name, kind, apart, step)
    return Parity(steps, tolerance, tuple(most.values()))


def relative(a: Array, b: Array) -> float:
    """The largest difference, by the largest number; NaN where one side alone is not finite."""
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    if not a.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    largest = float(np.abs(a).max())
    return float(apart.max()) / largest if largest else float(apart.max())


def _batches(model: Model, other: Model, sizes: Mapping[str, int]) -> Iterator[Mapping[str, Array]]:
    """The spec's own rows, epoch after epoch; without data one batch of drawn numbers, again and again."""
    made = epochs(model, dataset(model)) if model.spec.document.data is not None else None
    if made is None:
        batch = rows(model, sizes)
        while True:
            yield batch
    other.preparation = model.preparation
    epoch = 0
    while True:
        with closing(made.batches(epoch)) as batches:
            for b in batches:
                yield {name: np.array(a) for name, a in b.arrays.items()}
        epoch += 1
