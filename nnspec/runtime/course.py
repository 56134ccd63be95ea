"""What the number of a step says: the stretch that it is in, its rate, and what losses weigh."""

from __future__ import annotations

from nnspec.compiler import Spec
from nnspec.errors import Problem, SpecError
from nnspec.runtime.plateaus import Plateaus
from nnspec.training.schedule import Schedule
from nnspec.training.stretches import Stretches, schedules


class Course:
    """A model's schedules."""

    spec: Spec
    plateau: Plateaus
    pace: tuple[int, int | None]  # the steps of an epoch, and the epochs, of the run that it comes from

    def rate(self, step: int, per_epoch: int = 1, epochs: int | None = None) -> float:
        """The learning rate of a step, counted from 0."""
        optimizer, schedule = self.spec.document.optimizer, self.spec.document.schedule
        assert optimizer is not None
        total = per_epoch * (epochs if epochs is not None else self.spec.settings.epochs or 1)
        if schedule is None:
            return optimizer.learning_rate
        rate = schedule.rate(step, optimizer.learning_rate, per_epoch, total)
        return self.plateau.cut(schedules(schedule), self.stretch(step, per_epoch), rate)

    def stretch(self, step: int, per_epoch: int = 1) -> int:
        """The number, from 0, of the schedule's stretch that a step is in."""
        schedule = self.spec.document.schedule
        return schedule.at(step, per_epoch)[0] if isinstance(schedule, Stretches) else 0

    def base(self, stretch: int) -> float:
        """The learning rate that a stretch begins with."""
        optimizer, schedule = self.spec.document.optimizer, self.spec.document.schedule
        own = schedule.parts[stretch].own.learning_rate if isinstance(schedule, Stretches) else None
        return own if own is not None else optimizer.learning_rate if optimizer else 1.0

    def lasts(self, *schedules: Schedule | Stretches | float | None) -> None:
        """Raises SpecError where one is as long as a run whose length nothing says: it would be over after a step."""
        weights = [t.term.weight for t in self.spec.built.losses]
        if self.spec.settings.epochs is None and self.pace == (1, None) and any(getattr(s, "open", False) for s in (*schedules, *weights)):
            root = self.spec.document.root
            place = root.keys.get("schedule" if getattr(next(iter(schedules), None), "open", False) else "loss")
            raise SpecError(Problem("a schedule lasts as long as the run, and nothing says how long that is", place,
                                    wanted="a length of its own: {cosine: {length: 500 steps}}", hint="or epochs: 10; fed from Python a step is one",
                                    rule="missing-key"))  # fmt: skip

    def factors(self, step: int, per_epoch: int | None = None, epochs: int | None = None) -> tuple[float, ...]:
        """What each loss weighs at a step, counted from 0: a number, or a schedule that begins at 1; epochs are those of the run."""
        if per_epoch is None:
            per_epoch, epochs = self.pace
        total = per_epoch * (epochs if epochs is not None else self.spec.settings.epochs or 1)
        weights = (t.term.weight for t in self.spec.built.losses)
        return tuple(w if isinstance(w, float) else w.rate(step, 1.0, per_epoch, total) for w in weights)

    def alike(self, stretch: int) -> int:
        """The first stretch whose programs serve this one too."""
        if not stretch:
            return 0
        frozen = self.spec.built.frozen
        return next((n for n in range(stretch) if (frozen[n], self.base(n)) == (frozen[stretch], self.base(stretch))), stretch)

    @property
    def accumulate(self) -> int:
        """How many batches a step is taken over."""
        optimizer = self.spec.document.optimizer
        return optimizer.accumulate if optimizer else 1
