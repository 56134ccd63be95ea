"""What a batch is scored: its loss, penalties among it, and what each loss and metric counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nnspec.ir.graph import Value, abstract, constant, origin
from nnspec.ir.types import DType, TensorType, known
from nnspec.network.build import Built
from nnspec.network.lower import Lowered
from nnspec.network.scalars import COUNT, PENALTY, loss_weight, share_of
from nnspec.network.segments import Segments
from nnspec.network.targets import Target
from nnspec.ops.elementwise import absolute, cast, square
from nnspec.ops.movement import broadcast_to
from nnspec.ops.reduce import mean, sum_
from nnspec.records import dataclass
from nnspec.training.losses import Loss, Part, over_rows, per_row
from nnspec.training.metrics import Metric, physical, reading


@dataclass(frozen=True)
class Scores:
    """A network's losses and metrics, with what of them the data decide."""

    built: Built
    segments: Segments
    scales: Mapping[str, tuple[float, ...]]  # by feed: how much one prepared unit is
    balance: Mapping[str, tuple[float, ...]]  # by loss: what each class weighs, where that is counted

    def outputs(
        self, low: Lowered, feeds: Mapping[str, Value], weight: Value | None, params: Mapping[str, Value], tables: bool = True,
        share: Value | None = None,
    ) -> dict[str, Value]:  # fmt: skip
        """``loss``, and ``count:NAME/PART`` of each loss and metric: sums that batches add up; ``tables`` are for evaluation.

        Penalties are part of the loss, as in Keras. With the ``share`` that a micro-batch has of a step's weight the loss is its part
        of the step's.
        """
        loss: Value | None = None
        counts: dict[str, Value] = {}
        with origin("loss", "forward"):
            for n, t in enumerate(self.built.losses):
                if not low.has(t.port):
                    continue  # for training alone
                part = self._part(t, low, feeds, weight)
                value, factor = part.value, t.term.weight
                if share is not None and part.mass is not None:
                    own = self.own_mass(t, low, feeds, weight) is not None
                    value = value * cast(abstract(share.type, share_of(n), "scalar") if own else share, value.dtype)
                if not isinstance(factor, float):
                    value = value * cast(abstract(TensorType((), DType.float64), loss_weight(n), "scalar"), value.dtype)
                elif factor != 1.0:
                    value = value * factor
                loss = value if loss is None else loss + value
                counts[f"{t.term.name}/sum"] = cast(part.sum, DType.float64)
                if part.mass is not None:
                    counts[f"{t.term.name}/mass"] = _float64(part.mass)
            for n, penalty in enumerate(self._penalties(params)):
                added = penalty if share is None else penalty * cast(share, penalty.dtype)
                loss = added if loss is None else loss + added
                mass = _float64(_mass(feeds, weight))
                counts[f"{PENALTY}{n}/sum"], counts[f"{PENALTY}{n}/mass"] = cast(penalty, DType.float64) * mass, mass
        outputs = {"loss": loss if loss is not None else constant(0, self.segments.dtype)}
        with origin("metrics", "forward"):
            for t in self.built.metrics:
                if not low.has(t.port) or (t.term.of.table and not tables):
                    continue
                counts |= {f"{t.term.name}/{part}": v for part, v in self._measure(t, low, feeds, weight).items()}
        return {**outputs, **{f"{COUNT}{name}": v for name, v in counts.items()}}

    def _penalties(self, params: Mapping[str, Value]) -> Iterator[Value]:
        """``l1 sum |w| + l2 sum w^2`` of each parameter that says so and is learned: once, however many layers share it."""
        for path, p in self.built.network.parameters.items():
            if p.regularize is None or self.segments.slots[path].segment not in self.segments.learned:
                continue
            with origin(p.layer, "forward"):
                l1 = sum_(absolute(params[path])) * p.regularize.l1 if p.regularize.l1 else None
                l2 = sum_(square(params[path])) * p.regularize.l2 if p.regularize.l2 else None
            yield from (penalty for penalty in (l1, l2) if penalty is not None)

    def _part(self, t: Target, low: Lowered, feeds: Mapping[str, Value], weight: Value | None) -> Part:
        """What one loss adds up, and what that is divided by."""
        loss, y = self.balanced(t), low.at(t.port)
        if not t.port.batched:  # made of parameters alone: there is no row to weigh
            mass = _mass(feeds, weight)
            return Part((sum_(y) if loss.reduce == "sum" else mean(y)) * mass, mass)
        return loss.part(y, self.compared(t, y, feeds), weight)

    def balanced(self, t: Target) -> Loss:
        """A loss with what its classes weigh, where that is counted."""
        loss: Loss = t.term.of
        if t.term.name in self.balance:
            loss = loss.weighing(self.balance[t.term.name])  # type: ignore[attr-defined]  # a loss of classes, or it would not be balanced
        return loss

    def own_mass(self, t: Target, low: Lowered, feeds: Mapping[str, Value], weight: Value | None) -> Value | None:
        """What a mean over elements that differ in what they count is divided by."""
        loss, y = self.balanced(t), low.at(t.port)
        masses = loss.masses(y, self.compared(t, y, feeds)) if t.port.batched and loss.reduce == "mean" else None
        return over_rows(per_row(masses), weight) if masses is not None else None

    def compared(self, t: Target, y: Value, feeds: Mapping[str, Value]) -> Value:
        """The target: what is fed, a number for every element, or the output itself for a loss that has none."""
        if t.number is None:
            return feeds[t.feed] if t.feed else y
        like = t.term.of.target(y) if isinstance(t.term.of, Loss) else y.type
        return broadcast_to(constant(t.number, like.dtype), like.shape)

    def _measure(self, t: Target, low: Lowered, feeds: Mapping[str, Value], weight: Value | None) -> dict[str, Value]:
        """What a metric counts of this batch."""
        metric: Metric = t.term.of
        y, answering = low.at(t.port), self.built.answering(t.port)
        r = reading(y, self.compared(t, y, feeds), answering.term.of if answering else None, weight, t.void)
        return metric.counts(physical(r, self.scales.get(t.feed, (1.0,))) if metric.power and r.t.dtype.is_float else r)


def _mass(feeds: Mapping[str, Value], weight: Value | None) -> Value | float:
    """What all rows weigh."""
    return sum_(weight) if weight is not None else float(known(next(iter(feeds.values())).shape[:1])[0])


def _float64(x: Value | float) -> Value:
    return cast(x, DType.float64) if isinstance(x, Value) else constant(x, DType.float64)
