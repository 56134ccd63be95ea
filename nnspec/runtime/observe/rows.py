"""The rows that a network is looked at with: those of its data, by split, and those that a person gives; and what it answers to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError, nearest, one_of
from nnspec.ir.op import Array
from nnspec.records import dataclass
from nnspec.runtime.answers import CHUNK
from nnspec.runtime.feeding import parted
from nnspec.runtime.feeds import check_names, rows_of
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.observe.measure import elements
from nnspec.runtime.programs import alone
from nnspec.runtime.resume import fingerprint
from nnspec.runtime.session import Model

ELEMENTS = 1 << 25  # of all layers' outputs that are made at once
GIVEN = "given"  # the split of what a person gives


@dataclass(frozen=True, eq=False)
class Split:
    """Converted arrays of inputs and targets, rows first; ``labels`` name rows that were given, ``sources`` are rows' numbers in the data."""

    arrays: Mapping[str, Array]
    rows: int
    sources: Array | None = None
    labels: tuple[str, ...] = ()

    def take(self, numbers: Array) -> dict[str, Array]:
        """Some rows of it; images are decoded now."""
        return {name: np.asarray(array[numbers]) for name, array in self.arrays.items()}


def splits_of(model: Model, before: Mapping[str, Any] | None = None) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The rows of the spec's own data, read again from where the spec says they are, and notes; no rows where it has no data.

    ``before`` are the digests that a run has left of its rows: where they are others now, a note says so. Raises DataError, SpecError.
    """
    found: dict[str, Split] = {}
    notes = []
    for name, rows in dataset(model).splits.items() if model.spec.document.data is not None else ():
        if not rows.size:
            continue
        arrays = assembled(model, rows).arrays
        if before and before.get(name) not in (None, fingerprint({name: arrays})[name]):
            notes.append(f"the {name} rows have changed since the run")
        found[name] = Split(parted(arrays)[0], rows.size, rows.rows)
    return found, tuple(notes)


def given(model: Model, feeds: Mapping[str, Any], labels: tuple[str, ...]) -> Split:
    """Rows as ``predict`` takes them, without targets. Raises SpecError where they do not fit."""
    check_names(feeds, model.spec.built.network.inputs)
    arrays, _ = model._feeder.inputs(dict(feeds))
    return Split(arrays, rows_of(arrays), None, labels)


def chosen(splits: Mapping[str, Split], split: str, row: int | None = None) -> Split:
    """The split of that name, which has that row. Raises SpecError."""
    if split not in splits:
        wanted = one_of(splits) if splits else "data in the spec, or a row of your own"
        raise SpecError(Problem(f"there are no rows called '{split[:60]}'", wanted=wanted, hint=nearest(split, splits), rule="observe"))
    found = splits[split]
    if row is not None and not 0 <= row < found.rows:
        raise SpecError(Problem(f"there is no row {row} of '{split}'", wanted=f"0 to {found.rows - 1}", rule="observe"))
    return found


@dataclass(frozen=True, eq=False)
class Answered:
    """What a network says to rows: by output, as ``predict`` does but in prepared units; and what each adds to the loss, where that is known."""

    outputs: Mapping[str, Array]
    loss: Array | None


def together(model: Model) -> int:
    """How many rows are answered at once: as many always, so that one program is made, and fewer by a network that is large."""
    return max(1, min(CHUNK, ELEMENTS // elements(model.spec.built.network)))


def within(model: Model, rows: int, budget: float) -> int:
    """How many of these rows a budget of FLOPs lets answer; 64 in any case."""
    each = sum(flops for node in model.spec.built.network.nodes.values() if isinstance(flops := node["flops"], int))
    return min(rows, max(64, int(budget / max(1, each))))


def each_answer(model: Model, split: Split, numbers: Array) -> Iterator[tuple[dict[str, Array], Answered]]:
    """Rows of a split with their answers, some at a time."""
    chunk = together(model)
    for start in range(0, len(numbers), chunk):
        arrays = split.take(np.asarray(numbers[start : start + chunk], np.intp))
        yield arrays, answered(model, arrays, chunk)


@alone
def answered(model: Model, arrays: Mapping[str, Array], capacity: int) -> Answered:
    """Answers to converted rows, at most ``capacity`` of them, for which one program is made."""
    n = len(next(iter(arrays.values())))
    ready = model.programs.ready("rows", arrays, capacity, False)
    model.programs.fill(ready, arrays, n, capacity, None)
    model.programs.set(ready, 0.0, 0, model.factors(model.step))
    ready.run.run()
    found = {name: np.array(a[:n]) for name, a in ready.run.outputs.items()}
    return Answered({name: found[f"output:{name}"] for name in model.spec.built.network.output_names}, found.get("loss"))


@alone
def looked_into(model: Model, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Every layer's output for converted rows, by the tap's name."""
    inputs = {name: arrays[name] for name in model.spec.built.network.inputs}
    n = len(next(iter(inputs.values())))
    ready = model.programs.ready("values", inputs, n, False)
    model.programs.fill(ready, inputs, n, n, None)
    model.programs.set(ready, 0.0, 0)
    ready.run.run()
    return {name: np.array(a) for name, a in ready.run.outputs.items()}
