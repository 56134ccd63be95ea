"""Learning rates that depend on what is measured: what a plateau has seen so far, kept with every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nnspec.records import dataclass
from nnspec.training.schedule import Schedule
from nnspec.training.schedules import Plateau


@dataclass(frozen=True)
class Seen:
    """Of the stretch under way: the best value, the epochs since without a better one or still to rest, and the cuts made."""

    stretch: int = 0
    best: float | None = None
    bad: int = 0
    rest: int = 0
    cuts: int = 0


@dataclass
class Plateaus:
    """Counts epochs that are no better, and cuts the rate."""

    seen: Seen = Seen()

    def cut(self, schedules: Sequence[Schedule], stretch: int, rate: float) -> float:
        """A rate of a stretch after the cuts made in it."""
        schedule = schedules[stretch]
        return schedule.cut(rate, self.seen.cuts) if isinstance(schedule, Plateau) and self.seen.stretch == stretch else rate

    def observe(self, schedules: Sequence[Schedule], stretch: int, entry: Mapping[str, float], less: bool) -> None:
        """Takes in an epoch that ended in a stretch; ``less`` is whether less is better. NaN is never better."""
        schedule = schedules[stretch]
        seen = self.seen if self.seen.stretch == stretch else Seen(stretch)
        if isinstance(schedule, Plateau):
            value = entry[schedule.watch]
            gain = value == value if seen.best is None else (seen.best - value if less else value - seen.best) > schedule.change
            best, bad, rest, cuts = (value, 0, seen.rest, seen.cuts) if gain else (seen.best, seen.bad + 1, seen.rest, seen.cuts)
            if rest:
                bad, rest = 0, rest - 1
            if bad >= schedule.patience:
                bad, rest, cuts = 0, schedule.cooldown, cuts + 1
            seen = Seen(stretch, best, bad, rest, cuts)
        self.seen = seen
