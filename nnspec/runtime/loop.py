"""The training loop: epochs of batches, measured, watched, saved, and continued to the bit where they were left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from nnspec.data.batches import count
from nnspec.data.epochs import Epochs
from nnspec.errors import DataError, NumbersError, Problem, SpecError
from nnspec.ir.op import Array
from nnspec.records import dataclass, field
from nnspec.runtime import checkpoint
from nnspec.runtime.answers import CHUNK
from nnspec.runtime.callbacks import Callback, Entry, State, lesser, watches
from nnspec.runtime.checkpoint import Standing
from nnspec.runtime.interrupt import Interrupted, Signals
from nnspec.runtime.resume import Splits, command, record, refuse_differences, replay_choices
from nnspec.runtime.run_folder import RECORD, RESULT, RunFolder
from nnspec.runtime.saving import described
from nnspec.runtime.session import Model
from nnspec.runtime.steps import Begun
from nnspec.runtime.tally import Scores
from nnspec.runtime.vectors import read_answering, weights_of
from nnspec.training.metrics import Table
from nnspec.training.schedules import Plateau
from nnspec.training.stretches import schedules

SECONDS = 2.0  # between checkpoints at the ends of epochs, at least


@dataclass(frozen=True)
class Run:
    """What training leaves: the history by epoch, and the last metrics (``train.``, ``validation.`` and ``test.``)."""

    folder: Path | None
    history: tuple[Entry, ...]
    metrics: Mapping[str, float]
    best: checkpoint.Mark | None = None
    stop: str = ""  # why it ended before its last epoch, if it did
    tables: Mapping[str, Table] = field(default_factory=dict)  # what is measured and no single number: ``validation.confusion``

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value:.4g}" for name, value in list(self.metrics.items())[:4])
        return f"<Run{f' {self.folder}' if self.folder else ''}: {len(self.history)} epochs{f', {self.stop}' if self.stop else ''}; {told}>"

    def _repr_html_(self) -> str:
        from nnspec.view.notebook import run_html

        return run_html(self.history, self.metrics, str(self.folder or "run"), self.stop)


class Loop:
    """One run of a model over arrays."""

    def __init__(
        self, model: Model, splits: Splits, train: Epochs | None, folder: RunFolder | None, epochs: int, callbacks: Sequence[Callback]
    ) -> None:
        if train is None:
            raise SpecError(Problem("there are no rows to train on", rule="feed"))
        self.model, self.splits, self.folder, self.callbacks = model, splits, folder, callbacks
        self.early, self.best, problems = watches(model.spec, splits)
        if problems:
            raise SpecError(*problems)
        rows, size = train.rows.size, train.batch_size
        self.train = train
        self.state = State(model.spec.name, folder.path if folder else None, epochs, count(rows, size), rows, size)
        self.every = model.spec.settings.checkpoint.every
        model.pace = self.state.batches, epochs
        self.signals = Signals()
        self._pending: tuple[dict[str, Array], Standing] | None = None  # the best epoch's vectors, not yet cut and written
        self._late = model.late and all(c.passive or type(c).on_step is Callback.on_step for c in callbacks)
        self._begun: tuple[Begun, int, float] | None = None  # a step that was not looked at, its rows and its rate
        self._saved = time.monotonic()
        self._began = self._saved

    # The folder

    def prepare(self, folder: RunFolder, going: bool) -> None:
        """Continues from the folder's checkpoint, or writes what a new run says of itself."""
        ways = replay_choices(self.model, folder) if going else ()
        now = {**record(self.model, self.splits, self.state.epochs), "batches": self.state.batches}
        if going:
            self.state.notes = (*refuse_differences(folder, self.model.spec.text, now), *ways)
            now["weights"] = folder.read_json(RECORD).get("weights", [])  # what it began with; none are loaded anew
            self.restore(folder)
            (folder.path / RESULT).unlink(missing_ok=True)
        else:
            folder.clear()
        for name, text in described(self.model).items():
            folder.write(name, text)
        folder.write_json(RECORD, now)
        self.state.history = list(folder.start_metrics(self.state.epoch))

    def restore(self, folder: RunFolder) -> None:
        """Model, sums, watches and position from the last checkpoint."""
        arrays, at = checkpoint.read(folder.last, self.model.state())
        state = self.state
        position = at.epoch * state.batches + at.batch
        if at.epoch > state.epochs or at.batch > state.batches or at.step < position:
            raise DataError(
                Problem(
                    f"{folder.last}: header: the position is not one of this run",
                    found=f"epoch {at.epoch}, batch {at.batch}, step {at.step}",
                    wanted=f"{state.batches} batches an epoch",
                    rule="checkpoint",
                )
            )
        if self.best is not None and at.best is not None:
            kept = checkpoint.peek(folder.best).best
            if kept is None or kept.epoch < at.best.epoch:
                raise DataError(
                    Problem(
                        f"{folder.best}: this is not the best epoch that {folder.last.name} knows",
                        wanted=f"epoch {at.best.epoch}",
                        rule="checkpoint",
                    )
                )
        self.model.restore(arrays)
        self.model.step, self.model.plateau.seen = at.step, at.plateau
        state.epoch, state.batch, state.step = at.epoch, at.batch, position
        state.taken, state.tally = at.rows, self.model.tally()
        state.tally.restore({name: np.asarray(value) for name, value in at.sums.items()})
        state.rate = self._rate(position - 1) if position else 0.0
        state.stop = at.stop
        if self.best is not None:
            self.best.mark = at.best
        if self.early is not None:
            self.early.watch.mark = at.patience

    def standing(self) -> Standing:
        """Where the run stands now."""
        s = self.state
        best, patience = self.best.mark if self.best else None, self.early.watch.mark if self.early else None
        sums = s.tally.state() if s.tally else {}
        return Standing(s.epoch, s.batch, self.model.step, s.taken, sums, best, patience, s.stop, self.model.plateau.seen)

    def save(self) -> None:
        """The best checkpoint, where there is a new one, then the last: one killed in between finds the best again."""
        if self.folder is None:
            return
        self.folder.sync_metrics()
        if self._pending is not None:
            held, standing = self._pending
            checkpoint.save(self.folder.best, weights_of(self.model, held), standing)
            self._pending = None
        checkpoint.save(self.folder.last, self.model.state(), self.standing())
        self._saved = time.monotonic()

    # The loop

    def run(self) -> Run:
        """All epochs, then the test split."""
        try:
            with self.signals:
                for callback in self.callbacks:
                    callback.on_start(self.state)
                self._compile()
                self._epochs()
                return self._finish()
        except BaseException as e:
            self.state.error = e
            raise
        finally:
            for callback in self.callbacks:
                callback.on_end(self.state)

    def _compile(self) -> None:
        """Makes the programs that measure before the first step is taken: that memory is short is told then."""
        for split in ("validation", "test"):
            if split in self.splits:
                self.model.score({name: array[:CHUNK] for name, array in self.splits[split].items()})

    def _epochs(self) -> None:
        try:
            while self.state.epoch < self.state.epochs and not self.state.stop:
                self._epoch()
            self.save()
        except Interrupted as e:
            self.save()
            raise type(e)(self._how_to_resume()) from None
        except NumbersError as e:
            self.save()
            raise NumbersError(*self._where(e)) from e

    def _epoch(self) -> None:
        self._began = time.monotonic()
        state = self.state
        with closing(self.train.batches(state.epoch, state.batch)) as batches:  # ends its threads, whatever happens here
            try:
                for batch in batches:
                    self._step(batch.arrays, batch.size)
            finally:
                self._settle()
        self._measure()
        if state.epoch == state.epochs or state.stop or time.monotonic() - self._saved >= SECONDS:
            self.save()
        self.signals.check()

    def _step(self, arrays: Mapping[str, Array], size: int) -> None:
        state = self.state
        if self._late:
            self._step_late(arrays, size)
            return
        state.rate = self._rate(state.step)
        state.tally = state.tally or self.model.tally()
        factors, stretch = self._factors(state.step), self._stretch(state.step)
        self.model.train_step(arrays, state.rate, state.batch_size, factors=factors, tally=state.tally, stretch=stretch)
        self._taken(size)
        self.signals.check()

    def _step_late(self, arrays: Mapping[str, Array], size: int) -> None:
        """Begins a step, then looks at the one before it; at this one, too, where the run is saved after it or left."""
        step = self.state.step + (self._begun is not None)
        rate = self._rate(step)
        begun = self.model.begin_step(arrays, rate, self.state.batch_size, self._factors(step), self._stretch(step))
        self._settle((begun, size, rate))
        noted = self.signals.noted is not None
        if noted or (self.every is not None and (step + 1) % self.every == 0) or any(c.wants(step + 1) for c in self.callbacks):
            self._settle()
        if noted:
            self.signals.check()

    def _settle(self, following: tuple[Begun, int, float] | None = None) -> None:
        """Looks at the step that was begun, where there is one; ``following`` was begun after it, and is nothing where it was not taken."""
        if self._begun is not None:
            (begun, size, rate), self._begun = self._begun, None
            state = self.state
            tally = state.tally or self.model.tally()
            self.model.end_step(begun, tally)
            state.tally, state.rate = tally, rate
            self._taken(size)
        self._begun = following

    def _taken(self, size: int) -> None:
        """Counts a step of so many rows."""
        state = self.state
        state.taken += size
        state.batch += 1
        state.step += 1
        for callback in self.callbacks:
            callback.on_step(state)
        if self.every is not None and state.step % self.every == 0:
            self.save()

    def _score(self, split: str) -> Scores:
        return self.model.score(self.splits[split], factors=self._factors(self.state.step))

    def _measure(self) -> None:
        """Ends an epoch: its metrics, then what depends on them."""
        state = self.state
        entry: Entry = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "rate": state.rate,
            "seconds": 0.0,
            **state.metrics,
        }
        if "validation" in self.splits:
            entry.update(
                {f"validation.{name}": value for name, value in self._score("validation").items()}
            )
        entry["seconds"] = round(time.monotonic() - self._began, 6)
        state.epoch, state.batch, state.taken, state.tally = state.epoch + 1, 0, 0, None
        state.history.append(entry)
        if self.folder is not None:
            self.folder.append(entry)
        if self.early is not None:
            self.early.on_epoch(state)
        self._observe(entry)
        better = self.best is not None and self.best.improved(state.epoch, entry)
        try:
            for callback in self.callbacks:
                callback.on_epoch(state)
        finally:
            if better and self.folder is not None:
                self._pending = read_answering(self.model), self.standing()

    def _finish(self) -> Run:
        state = self.state
        metrics = {name: value for name, value in (state.history[-1] if state.history else {}).items() if "." in name}
        tables: dict[str, Table] = {}
        if "test" in self.splits:
            scores = self._score("test")
            metrics.update({f"test.{name}": value for name, value in scores.items()})
            tables.update({f"test.{name}": table for name, table in scores.tables.items()})
        if "validation" in self.splits and any(t.term.of.table for t in self.model.spec.built.metrics):
            tables.update({f"validation.{name}": table for name, table in self._score("validation").tables.items()})
        best = self.best.mark if self.best else None
        if self.folder is not None:
            marked = {"epoch": best.epoch, "value": best.value} if best else None
            result = {"epochs": state.epoch, "stop": state.stop, "best": marked, "metrics": metrics}
            self.folder.write_json(RESULT, {**result, "tables": tables} if tables else result)
        return Run(state.folder, tuple(state.history), metrics, best, state.stop, tables)

    def _factors(self, step: int) -> tuple[float, ...]:
        return self.model.factors(step, self.state.batches, self.state.epochs)

    def _stretch(self, step: int) -> int:
        return self.model.stretch(step, self.state.batches)

    def _observe(self, entry: Entry) -> None:
        """What a plateau watches, of an epoch that has just been measured."""
        every = schedules(self.model.spec.document.schedule)
        stretch = self._stretch(self.state.step - 1)
        if every and isinstance(schedule := every[stretch], Plateau):
            self.model.plateau.observe(every, stretch, entry, lesser(self.model.spec)[schedule.watch.partition(".")[2]])

    def _rate(self, step: int) -> float:
        return self.model.rate(step, self.state.batches, self.state.epochs)

    # Messages

    def _how_to_resume(self) -> Problem:
        state = self.state
        where = f"after {state.step} steps, {state.epoch} of {state.epochs} epochs done"
        if self.folder is None:
            return Problem(
                f"interrupted {where}", hint="out=FOLDER saves a run, so that it can be resumed", rule="interrupted"
            )
        what = f"interrupted {where}; saved in {self.folder.path}"
        return Problem(what, hint=command(self.model, self.folder), rule="interrupted")

    def _where(self, e: NumbersError) -> list[Problem]:
        """The same problems with the batch they came up in."""
        state = self.state
        batch = f"epoch {state.epoch + 1}, batch {state.batch + 1} of {state.batches}"
        saved = (
            f"; the weights before it are in {self.folder.last}" if self.folder else "; the weights are those before it"
        )
        return [Problem(f"{batch}: {p.message}{saved}", p.place, p.found, p.wanted, p.hint, p.rule) for p in e.problems]
