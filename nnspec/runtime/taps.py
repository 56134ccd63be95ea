"""Looks into a run every so many steps, and leaves what it saw in the run's folder: statistics of layers, weights and gradients.

A tap is a program of its own over the run's parameters, on the same rows each time (the first that validate, else the first to train
on; at most 64). It reads and writes nothing back: the run's bits are those of a run without taps. Files, one a tap::

    RUN/taps/step_00000100.json     after 100 steps of the run; step 0 is before the first

    {"format": 1, "every": 100, "epoch": 1.25, "step": 100, "rows": 64, "split": "validation", "loss": 0.41, "rate": 0.001,
     "layers":     {NAME: {"kind", "shape", "activation": STATISTICS | null, "gradient": STATISTICS | null, "absent": {"gradient": why}}},
     "parameters": {PATH: {"layer", "shape", "weight": STATISTICS, "gradient": STATISTICS | null, "update", "ratio", "absent"}}}

STATISTICS and the rest are ``nnspec.runtime.observe.measure``'s dataclasses as JSON, numbers in six digits, null what is not finite. They
are in the network's order, inputs first. ``loss`` is that of the rows in training mode, before the step that would come next.

At most 64 files stay (fewer of networks with more than 500 tensors, never fewer than 8): every second is removed when they are more, so
that those of multiples of EVERY, 2 EVERY, 4 EVERY ... steps are left, and the newest. Which stay follows from the number of the step
alone: the folder of a run that was killed and resumed is that of one that was not. A disk that is full, or memory that is short, is
told once and does not end the run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nnspec.errors import DataError, NnspecError, Problem, SpecError
from nnspec.ir.op import Array
from nnspec.records import dataclass
from nnspec.runtime.atomic import SUFFIX, refused, replace
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.session import Model

FORMAT = 1
TAPS = "taps"
MOST, LEAST, TENSORS = 64, 8, 32_000  # files; and tensors in all files together
LARGEST = 1 << 26  # bytes of a file that is read back
NAME = re.compile(r"step_(\d{8,12})\.json")


@dataclass(frozen=True)
class Every:
    """How often: each so many steps, or epochs."""

    count: int
    epochs: bool = False

    def steps(self, batches: int) -> int:
        return self.count * (batches if self.epochs else 1)


def every(text: str) -> Every:
    """``100`` or ``100 steps``, ``1epoch``, ``2 epochs``. Raises SpecError."""
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*(steps?|epochs?)?\s*", text)
    if found is None or not int(found[1]):
        raise SpecError(Problem(f"'{text[:40]}' does not say how often to look", wanted="steps or epochs: 100, or 1epoch", rule="bad-value"))
    return Every(int(found[1]), (found[2] or "").startswith("epoch"))


@dataclass(frozen=True)
class Tapping:
    """What a run is told of its taps: how often, and where warnings go."""

    often: Every
    say: Callable[[str], None]

    def of(self, model: Model, splits: Mapping[str, Mapping[str, Array]], folder: Path) -> Taps:
        """The taps of one run."""
        return Taps(model, splits, folder, self.often, self.say)


class Taps(Callback):
    """Looks before the first step, every so many steps, and after the last epoch."""

    passive = True  # it looks at steps that it has asked for, when none is under way

    def __init__(self, model: Model, splits: Mapping[str, Mapping[str, Array]], folder: Path, often: Every, say: Callable[[str], None]) -> None:
        self.model, self.splits, self.folder, self.often, self.say = model, splits, folder / TAPS, often, say
        self.told = self.off = False
        self.every = self.at = -1
        self.rows: tuple[str, dict[str, Array]] | None = None

    def on_start(self, state: State) -> None:
        self.every = self.often.steps(state.batches)
        clear(self.folder, after=state.step)
        if self.wants(state.step) and not (self.folder / name(state.step)).exists():
            self._look(state)

    def wants(self, step: int) -> bool:
        return not self.off and step % self.every == 0

    def on_step(self, state: State) -> None:
        if self.wants(state.step):
            self._look(state)

    def on_epoch(self, state: State) -> None:
        if (state.epoch == state.epochs or state.stop) and not self.off and self.at != state.step:
            self._look(state)

    def _look(self, state: State) -> None:
        from nnspec.runtime.observe.measure import first_rows, snapshot

        model, step = self.model, state.step
        self.at = step
        try:
            self.rows = self.rows or first_rows(model, self.splits)
            split, arrays = self.rows
            at = min(step, max(0, state.epochs * state.batches - 1))  # after the last step there is none to come: that one's rate
            factors = model.factors(at, state.batches, state.epochs)
            rate = model.rate(at, state.batches, state.epochs)
            seen = snapshot(model, arrays, split, rate, factors, model.stretch(at, state.batches)).as_json()
        except (NnspecError, MemoryError) as e:
            self.off = True
            self.say(f"there are no taps of this run: {_first(e)}")
            return
        content = {"format": FORMAT, "every": self.every, "epoch": round(step / state.batches, 6), **seen, "step": step}
        try:
            self._write(step, json.dumps(content, allow_nan=False))
        except NnspecError as e:
            if not self.told:
                self.told = True
                self.say(f"a tap was not written, and the run goes on: {_first(e)}")

    def _write(self, step: int, text: str) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as e:
            raise refused(self.folder, e) from e
        replace(self.folder / name(step), [text.encode()])
        apart = self.every
        while step // apart >= self._most():
            apart *= 2
        for other in steps(self.folder.parent):
            if other % apart and other != step:
                (self.folder / name(other)).unlink(missing_ok=True)

    def _most(self) -> int:
        network = self.model.spec.built.network
        return min(MOST, max(LEAST, TENSORS // (len(network.nodes) + len(network.parameters))))


def _first(e: BaseException) -> str:
    return str(e).partition("\n")[0] or type(e).__name__


def name(step: int) -> str:
    """A tap's file."""
    return f"step_{step:08d}.json"


def clear(folder: Path, after: int = -1) -> None:
    """Removes the taps of later steps, and what writes that were killed have left."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        found = NAME.fullmatch(path.name.removesuffix(SUFFIX))
        if found and (path.name.endswith(SUFFIX) or int(found[1]) > after):
            path.unlink(missing_ok=True)


# Reading

SERIES = {
    "layers": {"activation": ("mean", "std", "min", "max", "zeros", "saturated", "dead"), "gradient": ("norm", "peak", "zeros")},
    "parameters": {"weight": ("norm", "std"), "gradient": ("norm", "peak", "zeros")},
}


def steps(run: str | Path) -> tuple[int, ...]:
    """The steps of a run's taps, ascending; none where there are none."""
    folder = Path(run) / TAPS
    names = [NAME.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(int(found[1]) for found in names if found))


def read(run: str | Path, step: int | None = None) -> dict[str, Any]:
    """A run's tap, by default its newest. Raises DataError."""
    known = steps(run)
    if not known or (step is not None and step not in known):
        what = f"{run} has no tap of step {step}" if known else f"{run} has no taps"
        wanted = ", ".join(map(str, known[-8:])) if known else "nnspec run SPEC --taps 1epoch"
        raise DataError(Problem(what, wanted=wanted, rule="taps"))
    path = Path(run) / TAPS / name(known[-1] if step is None else step)
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(Problem(f"{path}: the file is too large", wanted=f"at most {LARGEST >> 20} MiB", rule="taps"))
        content: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(Problem(f"{path}: this is no tap", found=getattr(e, "strerror", None) or str(e)[:100], rule="taps")) from None
    groups = [content.get(group) for group in SERIES] if isinstance(content, dict) and content.get("format") == FORMAT else [None]
    if not all(isinstance(group, dict) for group in groups):
        raise DataError(Problem(f"{path}: this is no tap of this version", wanted=f"format {FORMAT}", rule="taps"))
    found: dict[str, Any] = content
    return found


def history(run: str | Path) -> dict[str, Any]:
    """All taps of a run over its steps, without histograms::

        {"steps": [0, 100, ...], "epochs": [0.0, 1.25, ...], "loss": [...], "rate": [...],
         "layers": {NAME: {"activation.mean": [...], "gradient.norm": [...], ...}}, "parameters": {PATH: {"weight.norm": [...], "ratio": [...], ...}}}

    A file that is no tap is left out.
    """
    found = []
    for step in steps(run):
        try:
            found.append(read(run, step))
        except DataError:  # thinned out since, or damaged
            continue
    out: dict[str, Any] = {"steps": [t.get("step") for t in found], "epochs": [t.get("epoch") for t in found],
                           "loss": [t.get("loss") for t in found], "rate": [t.get("rate") for t in found]}  # fmt: skip
    for group, quantities in SERIES.items():
        names = list(dict.fromkeys(n for t in found for n in t[group]))
        out[group] = {n: _series([t[group].get(n) for t in found], quantities, ("update", "ratio") if group == "parameters" else ()) for n in names}
    return out


def _series(entries: list[Any], quantities: Mapping[str, tuple[str, ...]], plain: tuple[str, ...]) -> dict[str, list[Any]]:
    """One tensor's numbers over time; those that it never had are left out."""
    entries = [e if isinstance(e, dict) else {} for e in entries]
    lines = {f"{q}.{part}": [(e.get(q) or {}).get(part) if isinstance(e.get(q), dict) else None for e in entries]
             for q, parts in quantities.items() for part in parts}  # fmt: skip
    lines |= {part: [e.get(part) for e in entries] for part in plain}
    return {key: values for key, values in lines.items() if any(v is not None for v in values)}
