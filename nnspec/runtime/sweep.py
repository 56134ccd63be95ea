"""The folder of a sweep: what its trials are, how each ended, and which of them are still to be run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnspec.compiler import Spec
from nnspec.errors import DataError, NnspecError, Problem, SpecError
from nnspec.records import dataclass, field
from nnspec.runtime.resume import SHOWN, differences, leaves
from nnspec.runtime.run_folder import RECORD, RESULT, SWEEP, RunFolder
from nnspec.spec.source import read
from nnspec.spec.sweep import Trial

INTERRUPTED = (130, 143, -2, -15)  # the last two before a child could answer
NUMBERS = 4  # the exit status of a run that stopped on numbers: it would do so again


@dataclass
class Outcome:
    """A trial: its number from 1, what it sets, and, once it has ended, its metrics or why it has none."""

    number: int
    settings: Trial
    path: Path
    status: int | None = None  # None: not ended
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it need not be run again."""
        return self.status in (0, NUMBERS)

    def to_json(self) -> dict[str, Any]:
        return {"trial": self.number, "settings": dict(self.settings), "run": str(self.path), "status": self.status,
                "metrics": dict(self.metrics), "error": self.error, "seconds": round(self.seconds, 3)}  # fmt: skip


class SweepFolder:
    """A locked folder with a run's folder for each trial, and ``sweep.json``."""

    def __init__(self, folder: RunFolder, spec: Spec, trials: Sequence[Trial], epochs: int | None) -> None:
        self.folder, self.spec, self.epochs = folder, spec, epochs
        width = max(3, len(str(len(trials))))
        self.outcomes = [Outcome(n, trial, folder.path / f"{n:0{width}d}") for n, trial in enumerate(trials, 1)]

    def resume(self) -> None:
        """Takes over how trials of the same sweep have ended. Raises SpecError where the folder's is another one."""
        if not (self.folder.path / SWEEP).exists():
            if (self.folder.path / RECORD).exists():
                what = f"{self.folder.path} is the folder of a run"
                raise SpecError(Problem(what, wanted="the folder of a sweep, or a new one", rule="run-folder"))
            return
        before = self.folder.read_json(SWEEP)
        where = self.folder.path / SWEEP
        try:
            told, trials = dict(leaves(read(before["spec"], str(where)))), [_plain(t["settings"]) for t in before["trials"]]
            ended = {int(t["trial"]): (t["status"], str(t["error"]), float(t["seconds"])) for t in before["trials"]}
            epochs = before["epochs"]
        except (KeyError, TypeError, ValueError, NnspecError) as e:
            raise DataError(Problem(f"{where}: this is no record of a sweep", found=f"{type(e).__name__}: {e}"[:100], rule="run-folder")) from e
        changed = differences(told, self.spec.text)
        if epochs != self.epochs:
            changed.append(f"--epochs: {self.epochs}, was {epochs}")
        for outcome, trial in zip(self.outcomes, trials, strict=False):
            if _plain(outcome.settings) != trial:
                changed.append(f"trial {outcome.number}: {_shown(outcome.settings)}, was {_shown(trial)}")
        if changed:
            more = f"; … {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
            raise SpecError(Problem(f"the sweep in {self.folder.path} is another one", found="; ".join(changed[:SHOWN]) + more,
                                    wanted="the spec and the values that it was started with", hint="give another --out for a new sweep",
                                    rule="resume"))  # fmt: skip
        for outcome in self.outcomes:
            status, outcome.error, outcome.seconds = ended.get(outcome.number, (None, "", 0.0))
            outcome.status = status if isinstance(status, int) else None
            self.look(outcome)

    def look(self, outcome: Outcome) -> None:
        """Reads the metrics of a trial that has come to its end, whoever has seen it end."""
        path = outcome.path / RESULT
        if not path.is_file():
            if outcome.status == 0:
                outcome.status = None  # somebody has removed it: it is run again
            return
        try:
            metrics = json.loads(path.read_text("utf-8"))["metrics"]
            outcome.metrics = {str(name): float("nan" if value is None else value) for name, value in metrics.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise DataError(Problem(f"{path}: this is no result of a run", found=str(e)[:100], hint="remove the trial's folder to run it again",
                                    rule="run-folder")) from e  # fmt: skip
        outcome.status, outcome.error = 0, ""

    def write(self) -> None:
        """Notes how every trial stands. Raises ResourceError."""
        self.folder.write_json(SWEEP, {"spec": self.spec.text, "epochs": self.epochs, "trials": [o.to_json() for o in self.outcomes]})


def best(outcomes: Sequence[Outcome], metric: str, less: bool) -> list[Outcome]:
    """Trials in the order of an objective; those without a number come last."""
    def rank(outcome: Outcome) -> tuple[bool, float, int]:
        value = outcome.metrics.get(metric, math.nan)
        return (math.isnan(value), 0.0 if math.isnan(value) else value if less else -value, outcome.number)

    return sorted(outcomes, key=rank)


def _plain(settings: Any) -> Any:
    return json.loads(json.dumps(settings))


def _shown(settings: Trial) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())[:100]
