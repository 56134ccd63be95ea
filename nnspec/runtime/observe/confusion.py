"""What a network takes for what: counts of classes against classes; and of numbers, what it says against what is so."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.network.graph import Port
from nnspec.network.targets import Target
from nnspec.records import dataclass
from nnspec.runtime.observe.measure import rounded
from nnspec.runtime.observe.rows import Split, each_answer, within
from nnspec.runtime.observe.samples import said_classes
from nnspec.runtime.observe.shown import Absent, by_unit, class_ids, class_names, physical, unit_names
from nnspec.runtime.session import Model

LOOKED = 20_000  # rows, at most
BUDGET = 8e11  # FLOPs: seconds
CLASSES = 64  # in a matrix; of more the ones that are taken for others most often
KNOWN = 4096  # classes that are counted at all
PAIRS = 20
POINTS = 1000
COLUMNS = 16


@dataclass(frozen=True)
class Confusion:
    """Counts by class: ``counts[i][j]`` are those of class i that were taken for class j, both of ``classes``.

    Of a network with more than 64 classes they are the 64 with the most mistakes, ``of`` how many there are; ``pairs`` are the most
    frequent mistakes of all: (class, taken for, how often). ``right`` of ``total`` places (rows, or points of masks) are right; what
    counts for nothing is left out. Where units say yes or no each, ``units`` are (name, hits, false alarms, misses, rightly not).
    """

    output: str
    split: str
    rows: int
    of_rows: int
    classes: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    counts: tuple[tuple[int, ...], ...] = ()
    of: int = 0
    right: int = 0
    total: int = 0
    pairs: tuple[tuple[str, str, int], ...] = ()
    units: tuple[tuple[str, int, int, int, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if isinstance(value, int | str)}
        return {**plain, "classes": list(self.classes), "numbers": list(self.numbers), "counts": [list(row) for row in self.counts],
                "pairs": [list(pair) for pair in self.pairs], "units": [list(unit) for unit in self.units]}


@dataclass(frozen=True)
class Column:
    """One number that is predicted, in its own unit: at most 1000 rows, and the measures of all that were looked at."""

    name: str
    target: tuple[float | None, ...]
    predicted: tuple[float | None, ...]
    mae: float
    rmse: float
    r2: float | None

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "target": list(self.target), "predicted": list(self.predicted), "mae": rounded(self.mae),
                "rmse": rounded(self.rmse), "r2": rounded(self.r2)}


@dataclass(frozen=True)
class Scatter:
    """Predicted against target, column by column, at most 16 of ``of``; of ``of_rows`` rows the first ``rows`` were looked at."""

    output: str
    split: str
    rows: int
    of_rows: int
    of: int
    columns: tuple[Column, ...]

    def as_json(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if isinstance(value, int | str)}
        return {**plain, "columns": [c.as_json() for c in self.columns]}


def confusion(model: Model, name: str, split: Split, output: str) -> Confusion | Absent:
    """Counts of one output's classes over the first rows of a split, 20,000 at most."""
    target = model.spec.built.answering(port_of(model, output))
    if target is None or not target.term.of.classes:
        return Absent(f"'{output}' tells no classes apart: no loss of classes reads it")
    if target.feed not in split.arrays:
        return Absent(f"nothing says what '{output}' should be")
    n = within(model, min(split.rows, LOOKED), BUDGET)
    table: Array | None = None
    for arrays, answers in each_answer(model, split, np.arange(n)):
        y = answers.outputs[output]
        if by_unit(target):
            found = _by_unit(y, arrays[target.feed])
        else:
            classes = 2 if y.ndim == 1 or y.shape[-1] == 1 else y.shape[-1]
            if classes > KNOWN:
                return Absent(f"'{output}' has {classes} classes, too many to count each against each")
            found = _counted(target, y, arrays[target.feed], classes)
        table = found if table is None else table + found
    assert table is not None
    if by_unit(target):
        names = unit_names(target, len(table))
        units = tuple((u, *map(int, row)) for u, row in zip(names, table[:KNOWN], strict=False))
        return Confusion(output, name, n, split.rows, of=len(table), right=int(table[:, [0, 3]].sum()), total=int(table.sum()), units=units)  # type: ignore[arg-type]
    return _told(table, class_names(model, target, len(table)), Confusion(output, name, n, split.rows))


def port_of(model: Model, output: str) -> Port:
    """The end of the network that is called so; raises SpecError."""
    from nnspec.errors import Problem, SpecError, nearest, one_of

    network = model.spec.built.network
    if output not in network.output_names:
        raise SpecError(Problem(f"the network has no output '{output[:60]}'", wanted=one_of(network.output_names),
                                hint=nearest(output, network.output_names), rule="observe"))  # fmt: skip
    return dict(zip(network.output_names, network.outputs, strict=True))[output]


def _counted(target: Target, y: Array, t: Array, classes: int) -> Array:
    """Classes by what they are taken for."""
    said = said_classes(y)
    ids = class_ids(target, t, classes if y.ndim > 1 and y.shape[-1] > 1 else 1).reshape(said.shape)
    counts = (ids >= 0) & (ids < classes)
    return np.bincount(ids[counts] * classes + said[counts], minlength=classes * classes).reshape(classes, classes)


def _by_unit(y: Array, t: Array) -> Array:
    """Hits, false alarms, misses and rightly not, of each unit."""
    said, meant = y > 0.5, t.reshape(y.shape) > 0.5
    return np.stack([(said & meant).sum(0), (said & ~meant).sum(0), (~said & meant).sum(0), (~said & ~meant).sum(0)], axis=1)


def _told(table: Array, names: tuple[str, ...], head: Confusion) -> Confusion:
    """The matrix, of many classes in part."""
    wrong = table - np.diag(np.diag(table))
    kept = np.arange(len(table))
    if len(table) > CLASSES:
        kept = np.sort(np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[:CLASSES])
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = [divmod(int(i), len(table)) for i in order if wrong.flat[i]]
    return Confusion(
        head.output, head.split, head.rows, head.of_rows, tuple(names[k] for k in kept), tuple(map(int, kept)),
        tuple(tuple(map(int, row)) for row in table[np.ix_(kept, kept)]), len(table), int(np.trace(table)), int(table.sum()),
        tuple((names[i], names[j], int(wrong[i, j])) for i, j in places),
    )  # fmt: skip


def scatter(model: Model, name: str, split: Split, output: str) -> Scatter | Absent:
    """An output of numbers against its target, in their own unit."""
    target = model.spec.built.answering(port_of(model, output))
    if target is None or target.term.of.classes:
        return Absent(f"'{output}' tells classes apart: see its confusion matrix" if target else f"no loss compares '{output}' with anything")
    if target.feed not in split.arrays:
        return Absent(f"nothing says what '{output}' should be")
    n = within(model, min(split.rows, LOOKED), BUDGET)
    said, meant = [], []
    for arrays, answers in each_answer(model, split, np.arange(n)):
        y = answers.outputs[output]
        t = arrays[target.feed]
        if y.ndim > 2 or t.size != y.size:
            return Absent(f"'{output}' is {' x '.join(map(str, y.shape[1:]))} numbers a row: see the samples")
        said.append(_column(model, target, y))
        meant.append(_column(model, target, t))
    return _scatter(output, name, split.rows, np.concatenate(said), np.concatenate(meant), target)


def _column(model: Model, target: Target, x: Array) -> Array:
    x = x.reshape(len(x), -1).astype(np.float64)
    columns = target.columns
    own = x if len(columns) > 1 or x.shape[1] > 1 else x[:, 0]
    return np.stack([np.reshape(physical(model, columns, row), -1) for row in own]) if columns else x


def _scatter(output: str, name: str, of: int, said: Array, meant: Array, target: Target) -> Scatter:
    n, width = said.shape
    shown = np.arange(0, n, -(-n // POINTS))
    names = target.columns if len(target.columns) == width else tuple(f"{output}[{i}]" if width > 1 else output for i in range(width))
    columns = []
    for k in range(min(width, COLUMNS)):
        p, t = said[:, k], meant[:, k]
        spread = float(((t - t.mean()) ** 2).sum())
        r2 = 1 - float(((p - t) ** 2).sum()) / spread if spread > 0 else None
        true, guessed = (tuple(rounded(float(v)) for v in x[shown]) for x in (t, p))
        columns.append(Column(names[k], true, guessed, float(abs(p - t).mean()), float(np.sqrt(((p - t) ** 2).mean())), r2))
    return Scatter(output, name, n, of, width, tuple(columns))


