"""Rules about how the learning rate changes, and how long a run is."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.lint.rule import Rule
from nnspec.lint.view import View
from nnspec.training.schedule import Schedule, Span
from nnspec.training.schedules import Cosine, Linear, MultiStep, Plateau, Polynomial, Step


class ScheduleBeyondRun(Rule, number=55, name="schedule-beyond-run"):
    """The learning rate would change after the run has ended."""

    why = """
        A schedule whose first step lies at or behind the last epoch leaves the rate as it is: the run is shorter than was planned, or the
        schedule is that of a longer one. A cosine that is cut off ends at a high rate, without the small steps at its end.
        """
    hint = "let the length follow epochs (leave it out), or train longer"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: {sgd: {learning_rate: 0.1}}
        schedule:
          multistep: {at: [30, 60]}                  # <-
        epochs: 20
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: {sgd: {learning_rate: 0.1}}
        schedule:
          multistep: {at: [10, 15]}
        epochs: 20
        """

    def find(self, view: View) -> Iterator[Problem]:
        schedule, epochs = view.document.schedule, view.epochs()
        if not isinstance(schedule, Schedule) or not epochs:
            return
        warm = _epochs(schedule.warmup, view)
        late = [(key, span) for key, span in _spans(schedule) if warm is not None and (n := _epochs(span, view)) is not None
                and (warm + n >= epochs if key in ("every", "at") else warm + n > 1.2 * epochs)]  # fmt: skip
        if late and len(late) == len(_spans(schedule)):
            key, span = late[0]
            cut = "the rate never changes" if key in ("every", "at") else "is cut off before its end"
            what = cut if key in ("every", "at") else f"the schedule {cut}"
            yield self.at(view.place("schedule", schedule.kind, key), f"{what}: the run has {_many(epochs)}", found=f"{key}: {span}",
                          wanted=f"less than {_many(epochs)}")  # fmt: skip
        elif isinstance(schedule, MultiStep) and late:
            yield self.at(view.place("schedule", schedule.kind, "at"), f"a step lies behind the end of the run, which has {_many(epochs)}",
                          found=f"at: {late[0][1]}", wanted=f"less than {_many(epochs)}")  # fmt: skip


class RateOfZero(Rule, number=56, name="rate-of-zero"):
    """The schedule comes to a rate of 0 long before the run ends."""

    why = """
        Past its length a cosine or a line stays at its end. Where that is 0 the rest of the run computes gradients and changes nothing;
        only batch statistics still move.
        """
    hint = "leave length out, so that it is the run's, or let minimum (to) be above 0"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: {sgd: {learning_rate: 0.1}}
        schedule:
          cosine: {length: 10}                       # <-
        epochs: 100
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: {sgd: {learning_rate: 0.1}}
        schedule:
          cosine: {warmup: 2}
        epochs: 100
        """

    def find(self, view: View) -> Iterator[Problem]:
        schedule, epochs = view.document.schedule, view.epochs()
        if not isinstance(schedule, Cosine | Linear | Polynomial) or not epochs or schedule.length is None:
            return
        end = schedule.minimum if isinstance(schedule, Cosine) else schedule.to
        warm, length = _epochs(schedule.warmup, view), _epochs(schedule.length, view)
        if end == 0 and warm is not None and length is not None and warm + length < 0.9 * epochs:
            yield self.at(view.place("schedule", schedule.kind, "length"), f"from epoch {warm + length:.4g} on the learning rate is 0",
                          found=f"length: {schedule.length}", wanted=f"the run's {_many(epochs)}")  # fmt: skip


class WarmupBeyondRun(Rule, number=57, name="warmup-beyond-run"):
    """The warmup is as long as the run."""

    why = "In a warmup the rate only rises: a run that ends within it never takes a step at the rate that is written."
    hint = "a warmup of a few epochs, or of a few hundred steps ('500 steps')"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: {sgd: {learning_rate: 0.1}}
        schedule:
          cosine: {warmup: 500}                      # <-
        epochs: 20
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: {sgd: {learning_rate: 0.1}}
        schedule:
          cosine: {warmup: 500 steps}
        epochs: 50
        """

    def find(self, view: View) -> Iterator[Problem]:
        schedule, epochs = view.document.schedule, view.epochs()
        if isinstance(schedule, Schedule) and epochs and (warm := _epochs(schedule.warmup, view)) is not None and warm >= epochs:
            hint = f"'{schedule.warmup.amount:g} steps', if steps are meant" if schedule.warmup.unit == "epochs" else ""
            yield self.at(view.place("schedule", schedule.kind, "warmup"), f"the run ends within the warmup: it has {_many(epochs)}",
                          found=f"warmup: {schedule.warmup}", wanted=f"less than {_many(epochs)}", hint=hint)  # fmt: skip


class PlateauNeverCuts(Rule, number=58, name="plateau-never-cuts"):
    """The run ends before a plateau can lower the learning rate."""

    why = """
        A plateau waits `patience` epochs without an improvement before it cuts the rate. Where early stopping waits no longer the run is
        over first, and where the run is shorter it never happens.
        """
    hint = "a patience of the plateau of half that of early_stopping, or less"
    bad = """
        nnspec: 1
        data: {digits: {}, split: {train: 0.8, validation: 0.2}}
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: {sgd: {learning_rate: 0.1}}
        schedule:
          plateau: {patience: 10}                    # <-
        early_stopping: 5
        epochs: 50
        """
    good = """
        nnspec: 1
        data: {digits: {}, split: {train: 0.8, validation: 0.2}}
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: {sgd: {learning_rate: 0.1}}
        schedule:
          plateau: {patience: 5}
        early_stopping: 15
        epochs: 50
        """

    def find(self, view: View) -> Iterator[Problem]:
        schedule, epochs, stopping = view.document.schedule, view.epochs(), view.document.settings.early_stopping
        if not isinstance(schedule, Plateau):
            return
        place = view.place("schedule", "plateau", "patience")
        if epochs and schedule.patience >= epochs:
            yield self.at(place, f"the plateau never cuts the rate: the run has {_many(epochs)}", found=f"patience: {schedule.patience}",
                          wanted=f"less than {epochs}", hint="a patience that the run has room for")  # fmt: skip
        elif stopping is not None and stopping.watch == schedule.watch and schedule.patience >= stopping.patience:
            yield self.at(place, "early_stopping ends the run before the plateau cuts the rate", found=f"patience: {schedule.patience}",
                          wanted=f"less than early_stopping's {stopping.patience}")  # fmt: skip


class PatienceBeyondRun(Rule, number=61, name="patience-beyond-run"):
    """Early stopping waits longer than the run lasts."""

    why = "Patience of as many epochs as there are can never run out: early stopping is written, and does nothing."
    hint = "a patience of a fifth of the epochs or less"
    bad = """
        nnspec: 1
        data: {digits: {}, split: {train: 0.8, validation: 0.2}}
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: adam
        early_stopping: 30                           # <-
        epochs: 20
        """
    good = """
        nnspec: 1
        data: {digits: {}, split: {train: 0.8, validation: 0.2}}
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: adam
        early_stopping: 5
        epochs: 20
        """

    def find(self, view: View) -> Iterator[Problem]:
        stopping, epochs = view.document.settings.early_stopping, view.epochs()
        if stopping is not None and epochs and stopping.patience >= epochs:
            yield self.at(view.place("early_stopping", "patience"), f"early stopping never stops a run of {_many(epochs)}",
                          found=f"patience: {stopping.patience}", wanted=f"less than {epochs}")  # fmt: skip


class WatchesTraining(Rule, number=62, name="watches-training"):
    """What ends the run, or chooses its weights, is measured on the rows that train."""

    why = """
        On training rows a network gets better as long as it learns them by heart. There is a validation split: its rows tell when that
        begins. Source: Prechelt, "Early stopping - but when?", 1998.
        """
    hint = "watch validation.loss, or a metric of validation"
    bad = """
        nnspec: 1
        data: {digits: {}, split: {train: 0.8, validation: 0.2}}
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: adam
        early_stopping: {patience: 5, watch: train.loss}   # <-
        epochs: 50
        """
    good = """
        nnspec: 1
        data: {digits: {}, split: {train: 0.8, validation: 0.2}}
        layers:
          - flatten
          - dense: 10
        loss: cross_entropy
        optimizer: adam
        early_stopping: {patience: 5, watch: validation.loss}
        epochs: 50
        """

    def find(self, view: View) -> Iterator[Problem]:
        settings, data = view.document.settings, view.data
        if data is None or "validation" not in data.split.names:
            return
        stopping, keeping = settings.early_stopping, settings.checkpoint
        watched = {"early_stopping": stopping.watch if stopping else "", "checkpoint": keeping.watch or ""}
        for key, watch in watched.items():
            if watch.startswith("train."):
                yield self.at(view.place(key, "watch"), f"'{key}' looks at the rows that train", found=f"watch: {watch}",
                              wanted=f"validation.{watch.removeprefix('train.')}")  # fmt: skip


def _spans(schedule: Schedule) -> list[tuple[str, Span]]:
    if isinstance(schedule, MultiStep):
        return [("at", span) for span in schedule.at]
    if isinstance(schedule, Step):
        return [("every", schedule.every)]
    length = getattr(schedule, "length", None)
    return [("length", length)] if isinstance(schedule, Cosine | Linear | Polynomial) and length is not None else []


def _epochs(span: Span, view: View) -> float | None:
    """A length in epochs, where it can be told."""
    if span.unit == "epochs" or not span.amount:
        return span.amount
    return span.amount / view.steps if view.steps else None


def _many(epochs: int) -> str:
    return f"{epochs} epoch{'s' if epochs != 1 else ''}"
