"""A schedule as a list of stretches, one after another: each with its length, its schedule, its rate, and what moves in it."""

from math import ceil
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from nnspec.errors import Place, Problem, SpecError
from nnspec.records import dataclass
from nnspec.spec.explain import choose, describe, unknown, validate
from nnspec.spec.model import Config, NotNegative, Positive
from nnspec.spec.source import Mapping, Node, Scalar, Sequence
from nnspec.training.schedule import LengthField, Schedule, Span
from nnspec.training.schedules import Constant


def _list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Stretch(Config):
    """A stretch's own keys, beside its schedule (by default ``constant``).

    It lasts ``epochs``, or ``length`` (``500 steps``), or as long as its schedule says: warmup and length. ``trainable`` names what
    moves in it and nothing else does, layers that the spec freezes among them: paths of entries (all inside of them too), or patterns
    with ``*``. ``learning_rate`` stands for the optimizer's in it.
    """

    epochs: Positive | None = None
    length: LengthField | None = None
    trainable: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_list)] | None = None
    learning_rate: NotNegative | None = None


@dataclass(frozen=True)
class Part:
    """A stretch with its schedule; ``spans`` add up to its length, and are none for the last one where nothing says it."""

    schedule: Schedule
    own: Stretch
    spans: tuple[Span, ...]
    place: Place
    names: tuple[Place, ...] = ()  # where each of ``trainable`` stands

    def steps(self, per_epoch: int) -> int:
        return max(1, sum(span.steps(per_epoch) for span in self.spans))


@dataclass(frozen=True)
class Stretches:
    """One after another, each with steps from 0 and from its own rate; past the last one's length its schedule goes on."""

    parts: tuple[Part, ...]

    def at(self, step: int, per_epoch: int) -> tuple[int, int]:
        """The number of the stretch that a step is in, and that of its first step."""
        start = 0
        for n, part in enumerate(self.parts[:-1]):
            if step < start + part.steps(per_epoch):
                return n, start
            start += part.steps(per_epoch)
        return len(self.parts) - 1, start

    def rate(self, step: int, base: float, per_epoch: int, total: int) -> float:
        """The learning rate of a step, counted from 0, in a run of ``total`` steps; ``base`` is the optimizer's."""
        n, start = self.at(step, per_epoch)
        part = self.parts[n]
        length = part.steps(per_epoch) if part.spans else max(1, total - start)
        return part.schedule.rate(step - start, base if part.own.learning_rate is None else part.own.learning_rate, per_epoch, length)

    def epochs(self, per_epoch: int) -> int | None:
        """How many epochs they take together, begun ones whole; None where the last one does not say."""
        return ceil(sum(p.steps(per_epoch) for p in self.parts) / per_epoch) if self.parts[-1].spans else None

    @property
    def open(self) -> bool:
        """Whether the last one lasts as long as the run."""
        return not self.parts[-1].spans and self.parts[-1].schedule.open

    @property
    def in_epochs(self) -> bool:
        """Whether their lengths are known without the data."""
        return all(span.unit == "epochs" for p in self.parts for span in p.spans)


def schedules(schedule: Schedule | Stretches | None) -> tuple[Schedule, ...]:
    """The schedule of each stretch; one where there is no list of them."""
    return tuple(p.schedule for p in schedule.parts) if isinstance(schedule, Stretches) else () if schedule is None else (schedule,)


def stretches(node: Sequence) -> Stretches:
    """The stretches of a list; raises SpecError with every problem."""
    problems: list[Problem] = []
    parts: list[Part] = []
    for n, item in enumerate(node.items, 1):
        try:
            parts.append(_part(item, n, n == len(node.items)))
        except SpecError as e:
            problems += e.problems
    if not node.items:
        problems.append(Problem("the list of stretches is empty", node.place, wanted="- constant: 100", rule="bad-value"))
    if problems:
        raise SpecError(*problems)
    return Stretches(tuple(parts))


def _part(node: Node, n: int, last: bool) -> Part:
    what = f"stretch {n}"
    if isinstance(node, Scalar) and isinstance(node.value, str):
        node = Mapping(node.place, {node.value: Scalar(node.place, None, "", False)}, {node.value: node.place}, False)
    if not isinstance(node, Mapping):
        raise SpecError(Problem(f"{what} does not fit", node.place, found=describe(node), wanted="{cosine: {}, epochs: 10}", rule="bad-value"))
    kinds = [k for k in node.pairs if k not in Stretch.model_fields]
    for k in kinds:
        if k not in Schedule.registry:
            raise SpecError(unknown(k, [*Stretch.model_fields, *Schedule.registry], node.keys[k], f"key of {what}", "unknown-key"))
    if len(kinds) > 1:
        wanted = "one schedule a stretch; the other one in a stretch of its own"
        raise SpecError(Problem(f"{what} has {len(kinds)} schedules", node.keys[kinds[1]], found=", ".join(kinds), wanted=wanted, rule="bad-value"))
    chosen = Mapping(node.place, {k: node.pairs[k] for k in kinds}, {k: node.keys[k] for k in kinds}, node.flow)
    schedule: Schedule = choose(chosen, Schedule, "schedule") if kinds else Constant()  # type: ignore[type-abstract]  # the family
    own_pairs = {k: v for k, v in node.pairs.items() if k not in kinds}
    own = validate(Stretch, Mapping(node.place, own_pairs, {k: node.keys[k] for k in own_pairs}, node.flow), node.place, what)
    if own.epochs is not None and own.length is not None:
        wanted = "one of them"
        raise SpecError(Problem(f"{what} says its length twice", node.keys["length"], found="epochs and length", wanted=wanted, rule="bad-value"))
    spans = _spans(schedule, own)
    if not spans and not last:
        raise SpecError(Problem(f"{what} does not say how long it is", node.place, wanted="epochs: 10, or length: 500 steps", rule="missing-key"))
    named = node.pairs.get("trainable")
    names = tuple(i.place for i in named.items) if isinstance(named, Sequence) else (named.place,) if named is not None else ()
    return Part(schedule, own, spans, node.place, names)


def _spans(schedule: Schedule, own: Stretch) -> tuple[Span, ...]:
    if own.epochs is not None:
        return (Span(own.epochs),)
    if own.length is not None:
        return (own.length,)
    length: Span | None = getattr(schedule, "length", None)
    return (schedule.warmup, length) if length is not None else ()
