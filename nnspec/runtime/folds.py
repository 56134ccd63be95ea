"""A spec with folds: one run a fold in the folder of all, and the mean and deviation of their metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import fsum, isfinite, nan, sqrt
from typing import Any

from nnspec.compiler import Spec
from nnspec.errors import NumbersError, Problem, SpecError
from nnspec.records import dataclass
from nnspec.runtime.interrupt import Interrupted, Signals
from nnspec.runtime.loop import Run
from nnspec.runtime.resume import command
from nnspec.runtime.run_folder import FOLDS, RECORD, RESULT, SPEC, RunFolder, open_run
from nnspec.runtime.session import Model

Train = Callable[[Model, RunFolder | None], Run]


@dataclass(frozen=True)
class Folds:
    """The runs of all folds; ``deviation`` is that of a sample, ``sqrt(sum (x - mean)^2 / (n - 1))``."""

    runs: tuple[Run, ...]
    metrics: Mapping[str, float]
    deviation: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """``metrics`` are the means."""
        folds = [{"fold": n, "run": str(run.folder) if run.folder else None, "metrics": dict(run.metrics)} for n, run in enumerate(self.runs, 1)]
        return {"metrics": dict(self.metrics), "deviation": dict(self.deviation), "folds": folds}


def train_folds(spec: Spec, make: Callable[[Spec], Model], train: Train, folder: RunFolder | None, first: Model | None = None) -> Folds:
    """Trains each fold, with a folder in ``fold_1``, ``fold_2``, …; those that have come to their end are only read.

    ``first`` is the model of the first fold, where it was made before.

    Raises what ``train`` raises, told with the fold it came up in.
    """
    if folder is not None and (folder.path / RECORD).exists():
        raise SpecError(Problem(f"{folder.path} is the folder of one run", wanted="the folder of a run with folds, or a new one", rule="run-folder"))
    if folder is not None:
        (folder.path / RESULT).unlink(missing_ok=True)
        from nnspec.lint import silenced  # which reads all rules

        folder.write(SPEC, silenced(spec) + spec.text)
        folder.write_json(FOLDS, {"folds": spec.folds})
    runs = []
    with Signals() as signals:  # one that comes between two folds ends them too
        for number in range(1, spec.folds + 1):
            model, first = first or make(spec.fold(number)), None
            try:
                signals.check()
                if folder is None:
                    runs.append(train(model, None))
                else:
                    with open_run(folder.path / f"fold_{number}", spec.name, resume=True) as own:
                        runs.append(train(model, own))
            except NumbersError as e:
                raise NumbersError(*(_in_fold(p, number, spec.folds, p.hint) for p in e.problems)) from None
            except Interrupted as e:
                hint = _again(spec, model, folder) if folder else e.problems[0].hint
                raise type(e)(*(_in_fold(p, number, spec.folds, hint) for p in e.problems)) from None
    together = summed([run.metrics for run in runs])
    folds = Folds(tuple(runs), *together)
    if folder is not None:
        folder.write_json(FOLDS, folds.to_json())
        folder.write_json(RESULT, {"metrics": dict(folds.metrics), "deviation": dict(folds.deviation)})
    return folds


def summed(metrics: list[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and deviation of each metric that every fold has; NaN where one of them is none."""
    names = [name for name in metrics[0] if all(isinstance(m.get(name), int | float) for m in metrics)]
    means, deviations = {}, {}
    for name in names:
        values = [float(m[name]) for m in metrics]
        good = all(map(isfinite, values))
        means[name] = mean = fsum(values) / len(values) if good else nan
        deviations[name] = sqrt(fsum((v - mean) ** 2 for v in values) / (len(values) - 1)) if good else nan
    return means, deviations


def _in_fold(p: Problem, number: int, folds: int, hint: str) -> Problem:
    return Problem(f"fold {number} of {folds}: {p.message}", p.place, p.found, p.wanted, hint, p.rule)


def _again(spec: Spec, model: Model, folder: RunFolder) -> str:
    """The command that goes on with all folds."""
    model.spec = spec  # not that of its fold
    return command(model, folder)
