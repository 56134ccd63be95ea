"""What happens beside training: a protocol of four moments, the state they see, and what to watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from nnspec.compiler import Spec
from nnspec.errors import Place, Problem, nearest, one_of
from nnspec.records import dataclass, field
from nnspec.runtime.checkpoint import Mark
from nnspec.runtime.tally import Tally
from nnspec.training.schedules import Plateau
from nnspec.training.stretches import schedules

Entry = dict[str, float]  # one epoch: epoch, step, rate, seconds, train.loss, validation.loss, …


@dataclass
class State:
    """A run under way, as callbacks see it; they set nothing but ``stop``: a reason to end after this epoch."""

    name: str
    folder: Path | None
    epochs: int
    batches: int  # an epoch has
    rows: int  # an epoch has
    batch_size: int
    notes: tuple[str, ...] = ()
    epoch: int = 0  # done
    batch: int = 0  # of the epoch under way, done
    step: int = 0
    rate: float = 0.0
    taken: int = 0  # rows of the epoch under way
    tally: Tally | None = None  # what it has counted so far
    history: list[Entry] = field(default_factory=list)
    stop: str = ""
    error: BaseException | None = None  # what ended it

    @property
    def metrics(self) -> Entry:
        """The epoch under way so far: ``train.loss``, ``train.accuracy``; what takes long only at its end."""
        whole = self.batch == self.batches
        return {f"train.{name}": value for name, value in self.tally.scores(whole).items()} if self.taken and self.tally else {}


class Callback:
    """Four moments of a run; a callback overrides those it needs.

    One that is ``passive`` looks at nothing but the state in ``on_step`` and raises nothing there: the next step may be under way then,
    unless it ``wants`` that step.

    ``on_step`` comes after every step and ``on_epoch`` after an epoch's validation, when ``state.history`` holds it.
    An ``Interrupted`` raised from these two saves the run and ends it, as Ctrl-C does. ``on_end`` comes always, after
    errors too.
    """

    passive: bool = False

    def wants(self, step: int) -> bool:
        """Whether no other step may be under way when ``on_step`` sees this one (counted from 1)."""
        return False

    def on_start(self, state: State) -> None:
        """Before the first step, of a resumed run as well."""

    def on_step(self, state: State) -> None:
        """After each step."""

    def on_epoch(self, state: State) -> None:
        """After each epoch."""

    def on_end(self, state: State) -> None:
        """At the very end."""


class Drawing(Callback):
    """Draws the history, at most every so many ``seconds``, and all of it at the end: ``write(draw(history))``."""

    def __init__(
        self, write: Callable[[str], None], draw: Callable[[Sequence[Entry]], str], seconds: float = 2.0
    ) -> None:
        self.write, self.draw, self.seconds = write, draw, seconds
        self.drawn, self.at = 0, float("-inf")

    def on_epoch(self, state: State) -> None:
        if time.monotonic() - self.at >= self.seconds:
            self.drawn, self.at = len(state.history), time.monotonic()
            self.write(self.draw(state.history))

    def on_end(self, state: State) -> None:
        if len(state.history) > self.drawn:
            self.write(self.draw(state.history))


@dataclass
class Watch:
    """The best value so far of one metric; better is by more than ``change``."""

    name: str
    less: bool
    change: float = 0.0
    mark: Mark | None = None

    def improved(self, epoch: int, entry: Mapping[str, float]) -> bool:
        """Whether an epoch is the best so far; it is then marked. NaN never is."""
        value = entry[self.name]
        if value != value:
            return False
        if self.mark is not None:
            gain = self.mark.value - value if self.less else value - self.mark.value
            if not gain > self.change:
                return False
        self.mark = Mark(epoch, value)
        return True


class EarlyStopping(Callback):
    """Ends the run when ``watch`` has not become better for ``patience`` epochs."""

    def __init__(self, watch: Watch, patience: int) -> None:
        self.watch, self.patience = watch, patience

    def on_epoch(self, state: State) -> None:
        entry = state.history[-1]
        if self.watch.improved(state.epoch, entry):
            return
        best = self.watch.mark
        if state.epoch - (best.epoch if best else 0) >= self.patience:
            what = f"was best in epoch {best.epoch}: {best.value:.6g}" if best else "never was a number"
            state.stop = f"stopped early: {self.watch.name} {what}"


def lesser(spec: Spec) -> dict[str, bool]:
    """For the loss and each metric whether less of it is better."""
    less = {"loss": True}
    if len(spec.built.losses) > 1:
        less |= {t.term.name: True for t in spec.built.losses}
    return less | {t.term.name: t.term.of.better == "less" for t in spec.built.metrics if not t.term.of.table}


def watches(spec: Spec, splits: Collection[str]) -> tuple[EarlyStopping | None, Watch | None, list[Problem]]:
    """Early stopping and the watch of the best checkpoint as a spec states them, and what is wrong with them.

    ``splits`` are those of the data. By default the best checkpoint has the least ``validation.loss``, or
    ``train.loss`` where no rows validate.
    """
    less = lesser(spec)
    problems: list[Problem] = []
    stopping, checkpoint = spec.settings.early_stopping, spec.settings.checkpoint
    early: EarlyStopping | None = None
    if stopping is not None:
        watch = _watch(stopping.watch, less, splits, "early_stopping", spec, problems)
        early = EarlyStopping(watch, stopping.patience) if watch else None
        if watch:
            watch.change = stopping.change
    name = checkpoint.watch or ("validation.loss" if "validation" in splits else "train.loss")
    best = _watch(name, less, splits, "checkpoint", spec, problems)
    for schedule in schedules(spec.document.schedule):
        if isinstance(schedule, Plateau):
            _watch(schedule.watch, less, splits, "schedule", spec, problems)
    return early, best if checkpoint.keep == "best" else None, problems


def _watch(
    name: str, less: Mapping[str, bool], splits: Collection[str], key: str, spec: Spec, problems: list[Problem]
) -> Watch | None:
    known = [f"{split}.{metric}" for split in ("train", "validation") if split in splits for metric in less]
    if name in known:
        return Watch(name, less[name.partition(".")[2]])
    lost = name.startswith("validation.") and "validation" not in splits
    problems.append(
        Problem(
            f"'{key}' watches {name}, but no rows validate"
            if lost
            else f"'{key}' watches '{name}', which is not measured",
            _place(spec, key),
            wanted="data with a validation split" if lost else one_of(known),
            hint="split: {train: 0.8, validation: 0.2} under data, or watch: train.loss"
            if lost
            else nearest(name, known),
            rule="watch",
        )
    )
    return None


def _place(spec: Spec, key: str) -> Place | None:
    """Where the spec says it: the value of ``watch``, or the whole key."""
    root = spec.document.root
    node = root.pairs.get(key)
    pairs = getattr(node, "pairs", {})
    if "watch" in pairs:
        place: Place = pairs["watch"].place
        return place
    return node.place if node is not None else root.place
