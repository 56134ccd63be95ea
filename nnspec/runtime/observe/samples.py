"""Rows with what the network says of them: the first ones, and those that it finds hardest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError
from nnspec.ir.op import Array
from nnspec.network.targets import Target
from nnspec.records import dataclass
from nnspec.runtime.observe.measure import rounded
from nnspec.runtime.observe.rows import Answered, Split, each_answer, together, within
from nnspec.runtime.observe.shown import Shown, answer_shown, by_unit, class_ids, input_shown, target_shown
from nnspec.runtime.session import Model

SHOWN = 12
MOST_SHOWN = 64
LOOKED = 2048  # rows among which the hardest are found, at most
BUDGET = 4e11  # FLOPs to find them with: seconds


@dataclass(frozen=True)
class Sample:
    """One row: what goes in, what should come out, and what does. ``right`` and ``loss`` are None where nothing says so."""

    split: str
    row: int  # of the split, from 0
    source: int | None  # of the data, from 0
    label: str
    inputs: Mapping[str, Shown]
    targets: Mapping[str, Shown]
    answers: Mapping[str, Shown]
    loss: float | None
    right: bool | None  # all classes are

    def as_json(self) -> dict[str, Any]:
        shown = {group: {name: s.as_json() for name, s in getattr(self, group).items()} for group in ("inputs", "targets", "answers")}
        where = {"split": self.split, "row": self.row, "source": self.source, "label": self.label}
        return {**where, **shown, "loss": rounded(self.loss), "right": self.right}


@dataclass(frozen=True)
class Samples:
    """Of a split's ``of`` rows the ``first``, and the ``worst`` of the first ``looked``: those with the largest loss.

    2048 rows are looked at, fewer of networks that take long.
    """

    split: str
    of: int
    looked: int
    first: tuple[Sample, ...]
    worst: tuple[Sample, ...]

    def as_json(self) -> dict[str, Any]:
        first, worst = ([s.as_json() for s in group] for group in (self.first, self.worst))
        return {"split": self.split, "of": self.of, "looked": self.looked, "first": first, "worst": worst}


def samples(model: Model, name: str, split: Split, shown: int = SHOWN, looked: int = LOOKED) -> Samples:
    """The first rows and the worst of the first ``looked``, so many of each. Raises SpecError where that is no number of rows."""
    if not 1 <= shown <= MOST_SHOWN:
        raise SpecError(Problem("that is no number of samples", found=str(shown), wanted=f"1 to {MOST_SHOWN}", rule="observe"))
    numbers = np.arange(within(model, min(split.rows, looked), BUDGET))
    losses = [np.full(len(next(iter(arrays.values()))), np.nan) if said.loss is None else said.loss
              for arrays, said in each_answer(model, split, numbers)]  # fmt: skip
    all_ = np.concatenate(losses)
    order = np.argsort(-np.nan_to_num(all_, nan=-np.inf, posinf=np.inf), kind="stable")
    worst = order[np.isfinite(all_[order]) | np.isposinf(all_[order])][:shown]
    return Samples(name, split.rows, len(numbers), rows(model, name, split, numbers[:shown]), rows(model, name, split, worst))


def rows(model: Model, name: str, split: Split, numbers: Array) -> tuple[Sample, ...]:
    """Some rows of a split."""
    chunk, out = together(model), []
    for n, (arrays, said) in enumerate(each_answer(model, split, numbers)):
        part = numbers[n * chunk : (n + 1) * chunk]
        out += [_sample(model, name, split, int(number), i, arrays, said) for i, number in enumerate(part)]
    return tuple(out)


def _sample(model: Model, name: str, split: Split, number: int, i: int, arrays: Mapping[str, Array], said: Answered) -> Sample:
    network = model.spec.built.network
    inputs = {key: input_shown(model, key, np.asarray(arrays[key][i])) for key in network.inputs}
    targets: dict[str, Shown] = {}
    answers: dict[str, Shown] = {}
    right: bool | None = None
    for output, port in zip(network.output_names, network.outputs, strict=True):
        target, y = model.spec.built.answering(port), said.outputs[output]
        answers[output] = answer_shown(model, target, (output,), np.asarray(y[i]))
        if target is None or target.feed not in arrays:
            continue
        t = arrays[target.feed][i]
        targets[output] = target_shown(model, target, np.asarray(t), _units(y))
        own = is_right(target, np.asarray(y[i : i + 1]), np.asarray(t)[None])
        right = own if right is None else right if own is None else right and own
    loss = None if said.loss is None else float(said.loss[i])
    source = None if split.sources is None else int(split.sources[number])
    label = split.labels[number] if split.labels else f"row {number}"
    return Sample(name, number, source, label, inputs, targets, answers, loss, right)


def _units(y: Array) -> int:
    return int(y.shape[-1]) if y.ndim > 1 else 1


def is_right(target: Target, y: Array, t: Array) -> bool | None:
    """Whether one row's class is the right one; None where the answer is no single class."""
    if not target.term.of.classes or by_unit(target):
        return None
    said, ids = said_classes(y), class_ids(target, t, _units(y))
    return bool(said.reshape(-1)[0] == ids.reshape(-1)[0]) if said.size == 1 and ids.reshape(-1)[0] >= 0 else None


def said_classes(y: Array) -> Array:
    """The likeliest class at each place, from probabilities; of one unit yes above a half."""
    if y.ndim == 1:
        return np.asarray(y > 0.5, np.int64)
    return np.asarray(y[..., 0] > 0.5, np.int64) if y.shape[-1] == 1 else np.asarray(y.argmax(-1))
