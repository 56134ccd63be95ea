"""What an epoch or a split adds up to: counts of losses and metrics, joined batch by batch, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import lru_cache

import numpy as np

from nnspec.errors import DataError, Problem
from nnspec.ir.op import Array
from nnspec.network.build import Built
from nnspec.network.scalars import COUNT, PENALTY
from nnspec.training.metrics import Metric, Table

LOSS = ("sum", "mass", "weighted")
Sums = dict[str, dict[str, Array]]  # counts by name and part


class Scores(dict[str, float]):
    """The loss and the metrics by name; ``tables`` holds those that are no single number."""

    def __init__(self, numbers: Mapping[str, float], tables: Mapping[str, Table]) -> None:
        super().__init__(numbers)
        self.tables = dict(tables)


class Tally:
    """Counts so far. Losses and metrics that are for training or inference alone are counted where they are."""

    def __init__(self, built: Built) -> None:
        self._losses = [t.term.name for t in built.losses]
        self._metrics: dict[str, Metric] = {t.term.name: t.term.of for t in built.metrics}
        self._counts: dict[str, dict[str, list[Array | float]]] = {}  # what is added has one array or number, what keeps rows one a batch
        self._alike: set[str] = set()  # whose counts have been compared with what a program gives, and are plainly added up

    def add(self, outputs: Mapping[str, Array], rows: int, factors: Sequence[float]) -> None:
        """The counts of one batch of so many rows, and what each loss weighs in it."""
        batch: dict[str, dict[str, Array]] = {}
        for name, array in outputs.items():
            term, part = _named(name)
            if part:
                batch.setdefault(term, {})[part] = array
        for n, name in enumerate(self._losses):
            if name in batch:
                batch[name]["weighted"] = batch[name]["sum"] * factors[n]
        for name in batch:
            if name.startswith(PENALTY):
                batch[name]["weighted"] = batch[name]["sum"]
        for name, parts in batch.items():
            if name in self._alike:
                held = self._counts[name]
                for part, array in parts.items():
                    held[part][0] += array if array.ndim else array.item()
                continue
            metric = self._metrics.get(name)
            end = rows if metric is not None and metric.keeps_rows else None
            self._join(name, {part: np.array(array[:end] if end is not None else array, np.float64) for part, array in parts.items()})

    def _join(self, name: str, parts: dict[str, Array]) -> None:
        held, metric = self._counts.get(name), self._metrics.get(name)
        if held is None:
            self._counts[name] = {part: [array] for part, array in parts.items()}
            return
        keeps = metric is not None and metric.keeps_rows
        if held.keys() != parts.keys() or any(np.shape(held[p][0])[keeps:] != parts[p].shape[keeps:] for p in parts):
            raise DataError(Problem(f"the checkpoint's counts of '{name}' are not those of this network", rule="checkpoint"))
        if keeps:
            for part, array in parts.items():
                held[part].append(array)
            return
        before = {part: np.asarray(arrays[0]) for part, arrays in held.items()}
        joined = metric.join(before, parts) if metric is not None else {part: before[part] + parts[part] for part in parts}
        self._counts[name] = {part: [np.array(array)] if array.ndim else [array.item()] for part, array in joined.items()}
        if metric is None or type(metric).join is Metric.join:
            self._alike.add(name)

    def scores(self, whole: bool = True, loss: float | None = None) -> Scores:
        """What the counts come to; what takes long only at the end, of the ``whole``. ``loss`` is what a step made small, where it is one step's."""
        numbers: dict[str, float] = {}
        tables: dict[str, Table] = {}
        added = {name: self._of(name) for name in self._counts if name in self._losses or name.startswith(PENALTY)}
        numbers["loss"] = sum(_divided(c, "weighted") for c in added.values()) if loss is None else loss
        if len(self._losses) > 1:
            numbers |= {name: _divided(added[name], "sum") for name in self._losses if name in added}
        for name, metric in self._metrics.items():
            if name not in self._counts or (metric.keeps_rows and not whole):
                continue
            value = metric.value(self._of(name))
            if isinstance(value, list):
                tables[name] = value
            else:
                numbers[name] = value
        return Scores(numbers, tables)

    def sums(self) -> Sums:
        """The counts so far of what adds up, batch by batch: what comes later is the rest."""
        return {name: {part: array.copy() for part, array in self._of(name).items()} for name in self._counts if _adds_up(self._metrics.get(name))}

    def since(self, before: Sums) -> Scores:
        """What the counts come to that were added after ``before``; of what adds up alone, and only its numbers."""
        late = copy(self)
        none: dict[str, Array] = {}
        late._counts = {
            name: {part: [np.asarray(array - before.get(name, none).get(part, 0.0))] for part, array in parts.items()}
            for name, parts in self.sums().items()
        }
        return late.scores(whole=False)

    def _of(self, name: str) -> dict[str, Array]:
        return {part: np.asarray(arrays[0]) if len(arrays) == 1 else np.concatenate(arrays) for part, arrays in self._counts[name].items()}

    def state(self) -> dict[str, Array]:
        """All counts by ``NAME/PART``, for a checkpoint."""
        return {f"{name}/{part}": array.copy() for name in self._counts for part, array in self._of(name).items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes back what ``state`` gave; raises DataError where that is of another network."""
        self._counts, self._alike = {}, set()
        for key, array in state.items():
            name, _, part = key.rpartition("/")
            known = self._metrics[name].parts if name in self._metrics else LOSS if name in self._losses or name.startswith(PENALTY) else ()
            if part not in known:
                raise DataError(Problem(f"the checkpoint counts '{key[:100]}', which this network does not", rule="checkpoint"))
            self._counts.setdefault(name, {})[part] = [np.asarray(array, np.float64)]


def _adds_up(metric: Metric | None) -> bool:
    return metric is None or not (metric.keeps_rows or metric.table or type(metric).join is not Metric.join)


@lru_cache(1024)
def _named(output: str) -> tuple[str, str]:
    """Whose count an output is, and which; nothing for what is none."""
    term, _, part = output.removeprefix(COUNT).rpartition("/") if output.startswith(COUNT) else ("", "", "")
    return term, part


def _divided(c: Mapping[str, Array], part: str) -> float:
    """A loss over all rows: divided by what it weighs, where it is a mean."""
    if "mass" not in c:
        return float(c[part])
    return float(c[part]) / float(c["mass"]) if c["mass"] else 0.0
