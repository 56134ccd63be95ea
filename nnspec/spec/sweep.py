"""``sweep``: which keys of a spec are tried with which values, and the trials that come of it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from itertools import islice, product
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from nnspec.errors import Problem, nearest, one_of
from nnspec.ops.random import uniform
from nnspec.records import dataclass
from nnspec.spec.model import Config
from nnspec.spec.nodes import Mapping as MappingNode

MOST = 1_000  # trials
SCALES = ("log", "linear")
KEPT = ("sweep", "expect", "name", "description", "nnspec")  # what no trial changes: it would learn the same
Trial = Mapping[str, Any]


class Axis(ABC):
    """The values that a key may take; ``size`` is how many there are."""

    @property
    @abstractmethod
    def size(self) -> float: ...

    @abstractmethod
    def at(self, u: float) -> Any:
        """The value of a random number above 0 and below 1."""

    @abstractmethod
    def values(self) -> Sequence[Any]:
        """All of them, where they can be counted."""


@dataclass(frozen=True)
class Choices(Axis):
    """A list, each entry as likely as any other."""

    of: tuple[Any, ...]

    @property
    def size(self) -> float:
        return len(self.of)

    def at(self, u: float) -> Any:
        return self.of[min(int(u * len(self.of)), len(self.of) - 1)]

    def values(self) -> Sequence[Any]:
        return self.of


@dataclass(frozen=True)
class Range(Axis):
    """Numbers from ``low`` to ``high``, even or even in their logarithms; whole numbers where both ends are, ends included."""

    scale: str
    low: float
    high: float

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> float:
        return self.high - self.low + 1 if self.whole else math.inf

    def at(self, u: float) -> Any:
        low, high = float(self.low), float(self.high) + self.whole
        value = math.exp(math.log(low) + u * (math.log(high) - math.log(low))) if self.scale == "log" else low + u * (high - low)
        if self.whole:
            return min(max(math.floor(value), int(self.low)), int(self.high))
        short = float(f"{value:.4g}") if high - low > 0.5 * max(abs(low), abs(high)) else value  # for people to repeat
        return min(max(short, low), high)

    def values(self) -> Sequence[Any]:
        return range(int(self.low), int(self.high) + 1)


def parse_axis(value: Any) -> Axis:
    """``[16, 32]``, ``{log: [1e-4, 1e-1]}`` or ``{linear: [8, 64]}``."""
    if isinstance(value, tuple) and value:
        repeated = next((v for i, v in enumerate(value) if any(type(v) is type(w) and v == w for w in value[:i])), None)
        if repeated is not None:
            raise _wrong("a value stands twice in a list of the sweep", repr(repeated), "each value once")
        return Choices(value)
    if not isinstance(value, dict) or len(value) != 1:
        raise _wrong("the values of a sweep do not fit", repr(value), "a list, or {log: [1e-4, 1e-1]}, or {linear: [8, 64]}")
    ((scale, ends),) = value.items()
    if scale not in SCALES:
        hint = "'linear' draws evenly" if scale in ("uniform", "range", "int", "float") else "'log' draws evenly in the logarithm"
        raise _wrong(f"no range of a sweep is called '{scale}'", scale, "log or linear", hint)
    numbers = isinstance(ends, tuple) and all(isinstance(e, int | float) and not isinstance(e, bool) and math.isfinite(e) for e in ends)
    if not numbers or len(ends) != 2 or not ends[0] < ends[1]:
        raise _wrong(f"'{scale}' of a sweep does not fit", repr(ends), "two numbers, the lesser first: [1e-4, 1e-1]")
    if scale == "log" and ends[0] <= 0:
        raise _wrong("'log' of a sweep begins at 0 or below", repr(ends[0]), "more than 0", "linear takes any numbers")
    return Range(scale, *ends)


def _wrong(message: str, found: str, wanted: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError("nnspec", "{message}", {"message": message, "found": found[:60], "wanted": wanted, "hint": hint})


class Sweep(Config):
    """Trials of a spec with other values: ``nnspec sweep`` runs them.

    ``over`` names keys as ``--set`` does, each with a list, or with a range: ``{log: [1e-4, 1e-1]}``, ``{linear: [8, 64]}``, whole numbers where both
    ends are. Without ``trials`` every combination of the lists is tried; with it so many are drawn by the spec's seed, none twice. ``maximize`` or
    ``minimize`` names the metric to sort by, as of a trial's last epoch; by default the least validation loss (else train loss).
    """

    over: Annotated[dict[str, Annotated[Axis, BeforeValidator(parse_axis)]], Field(min_length=1)]
    trials: Annotated[int, Field(ge=1, le=MOST)] | None = None
    maximize: str | None = None
    minimize: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.maximize and self.minimize:
            raise _wrong("a sweep has two objectives", "maximize and minimize", "one of them")
        endless = next((key for key, axis in self.over.items() if isinstance(axis, Range)), None)
        if self.trials is None and endless is not None:
            raise _wrong(f"the sweep draws '{endless}' from a range, but not how often", "no 'trials'", "trials: 20")
        if self.trials is None and self.size > MOST:
            raise _wrong("the sweep has too many combinations", f"{self.size:,.0f}", f"at most {MOST:,}", "trials: 20 draws some of them")
        return self

    @property
    def size(self) -> float:
        """How many combinations there are."""
        return math.prod(axis.size for axis in self.over.values())

    @property
    def objective(self) -> tuple[str | None, bool]:
        """The metric that decides, if one is named, and whether less of it is better."""
        return (self.maximize, False) if self.maximize else (self.minimize, True)


def trials(sweep: Sweep, seed: int) -> list[Trial]:
    """Every trial as settings by key. Of random ones, more trials begin with the same as fewer."""
    keys = list(sweep.over)
    if sweep.trials is None or sweep.trials >= sweep.size:
        return [dict(zip(keys, values, strict=True)) for values in product(*(axis.values() for axis in sweep.over.values()))]
    drawn = sweep.trials
    while True:
        columns = [[axis.at(u) for u in uniform(seed, f"sweep/{key}", drawn).tolist()] for key, axis in sweep.over.items()]
        unlike = {repr(values): values for values in zip(*columns, strict=True)}
        if len(unlike) >= sweep.trials:
            return [dict(zip(keys, values, strict=True)) for values in islice(unlike.values(), sweep.trials)]
        drawn *= 2


def refuse(node: MappingNode, sweep: Sweep, names: Collection[str], known: Collection[str]) -> list[Problem]:
    """What a sweep says that means nothing here: ``names`` are the spec's variables, ``known`` what is measured."""
    problems = []
    over = node.pairs["over"]
    places = over.keys if isinstance(over, MappingNode) else {}
    for key in sweep.over:
        first, _, rest = key.partition(".")
        if first in KEPT or first.startswith("x-"):
            what = f"'{key}' changes nothing that a trial learns"
            problems.append(Problem(what, places[key], wanted="a key of the network, its data or its training", rule="sweep"))
        elif first == "vars" and rest.partition(".")[0] not in names:
            wanted = one_of(f"vars.{n}" for n in names) if names else "vars: {…}"
            problems.append(Problem(f"the spec has no variable '{rest}'", places[key], wanted=wanted, hint=nearest(rest, names), rule="unknown-name"))
    metric, _ = sweep.objective
    if metric is not None and metric not in known:
        objective = node.pairs["maximize" if sweep.maximize else "minimize"]
        own = [k for k in known if k.partition(".")[2] == metric]
        problems.append(Problem(f"'{metric}' is not measured", objective.place, wanted=one_of(known) if known else "a spec with a loss",
                                hint=f"of which rows? {' or '.join(own)}" if own else nearest(metric, known), rule="unknown-name"))  # fmt: skip
    return problems
