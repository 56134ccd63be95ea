"""The graphs of one network and one phase: the whole training step, evaluation, prediction, gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nnspec.autodiff import gradients
from nnspec.ir.graph import Graph, Value, abstract, constant, origin
from nnspec.ir.types import DType, TensorType, bind, known
from nnspec.layers.layer import Mode
from nnspec.network.build import Built
from nnspec.network.lower import Lowered, lower
from nnspec.network.segments import AVERAGE, GATHERED, NEXT, STATE, Group, Segments
from nnspec.network.targets import Target
from nnspec.ops.elementwise import absolute, cast, greater, square, where, zeros_like
from nnspec.ops.movement import broadcast_to
from nnspec.ops.reduce import all_finite, mean, sum_
from nnspec.ops.rounding import Rounded
from nnspec.passes.mix_precision import mix_precision
from nnspec.passes.pool_first import pool_first
from nnspec.passes.quiet_gradients import quiet_gradients
from nnspec.records import dataclass, field, replace
from nnspec.training import loss_scale
from nnspec.training.losses import Loss, Part, over_rows, per_row
from nnspec.training.metrics import Metric, physical, reading
from nnspec.training.optimizers import Optimizer, as_step

RATE, STEP, SEED, WEIGHT = "$learning_rate", "$step", "$seed", "$weight"
COUNT, PENALTY = "count:", "$penalty_"  # before the name of an output that batches add up; before the number of a penalty
SHARE, KEEP, LOSS = "$share", "$keep", "$loss"  # of a step over several micro-batches
SCALARS = {RATE: DType.float64, STEP: DType.int64, SEED: DType.uint32, SHARE: DType.float64, KEEP: DType.float64, LOSS: DType.float64}
Types = Mapping[str, TensorType]
Shown = tuple[Value, ...]
NOTHING: Mapping[str, Shown] = {}


def loss_weight(n: int) -> str:
    """The scalar that holds the weight of the n-th loss, where that is a schedule."""
    return f"$loss_weight_{n}"


def share_of(n: int) -> str:
    """The scalar that holds a micro-batch's share of what the n-th loss is divided by, where rows alone do not say it."""
    return f"{SHARE}_{n}"


def updates(segment: str) -> str:
    """The scalar that says how often a segment has moved, where segments differ in that."""
    return f"$updates_{segment.removeprefix('$')}"


@dataclass(frozen=True)
class Phase:
    """A network with what it is trained for: everything that its graphs depend on but the shapes."""

    built: Built
    segments: Segments
    optimizer: Optimizer | None
    scales: Mapping[str, tuple[float, ...]]  # by feed: how much one prepared unit is
    balance: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # by loss: what each class weighs, where that is counted
    stretch: int = 0  # of the schedule: what moves in it
    base: float = 1.0  # the learning rate that it begins with
    sound: bool = True  # whether states are finite and small, so that a gradient shows what a step makes of them

    def training(self, types: Types, weighted: bool) -> Graph:
        """Forward, loss, backward, clipping, update and metrics; every update predicated on finite values."""
        outputs, states, scalars, grads, statistics = self._descent(types, weighted)
        with origin("", "update"):
            new, shown = self._updates(states, grads, scalars)
            if statistics is not None:
                new[STATE] = statistics
            self._predicate(outputs, new, states, shown, grads)
        return self._quiet(Graph(outputs))

    def gathering(self, types: Types, weighted: bool) -> Graph:
        """Forward, loss, backward and metrics of a micro-batch: its share of the step's gradient is added to what is gathered.

        ``$share`` is its part of the weight of all rows of the step, ``$keep`` 0 for the first micro-batch and then 1; statistics move
        beside themselves until the step is taken.
        """
        outputs, states, scalars, grads, statistics = self._descent(types, weighted, SHARE, KEEP)
        with origin("", "update"):
            new = {}
            for segment, g in grads.items():
                states[label := f"{segment}.{GATHERED}"] = self.segments.input(segment, GATHERED)
                keep = cast(scalars[KEEP], g.dtype)
                if self.segments.scaled:  # what a step that was not taken has left need not be finite
                    new[label] = where(greater(keep, 0.0), states[label], zeros_like(g)) + g
                else:
                    new[label] = states[label] * keep + g
            if statistics is not None:
                new[NEXT] = statistics
            if self.segments.scaled:  # whether the step is taken is decided at its end
                outputs["finite"] = all_finite(outputs["loss"])
                outputs.update({f"update:{label}": v for label, v in new.items()})
            else:
                self._predicate(outputs, new, states)
        return self._quiet(Graph(outputs))

    def _quiet(self, graph: Graph) -> Graph:
        return quiet_gradients(graph) if self.optimizer is not None and self.optimizer.divides else graph

    def taking(self) -> Graph:
        """Clipping and update from what is gathered; ``$loss`` is the step's."""
        with origin("", "update"):
            states = self.segments.inputs()
            scalars = _scalars(RATE, STEP, LOSS)
            if self.segments.scaled:
                states[loss_scale.LABEL] = abstract(loss_scale.TYPE, loss_scale.LABEL, "state")
            grads = {s: self.segments.input(s, GATHERED) for s in self.segments.moving(self.stretch)}
            new, shown = self._updates(states, grads, scalars)
            if STATE in states:
                new[STATE] = self.segments.input(STATE, NEXT.removeprefix(f"{STATE}."))
            outputs: dict[str, Value] = {"loss": scalars[LOSS]}
            self._predicate(outputs, new, states, shown, grads)
        return Graph(outputs)

    def _descent(
        self, types: Types, weighted: bool, *more: str
    ) -> tuple[dict[str, Value], dict[str, Value], dict[str, Value], dict[str, Value], Value | None]:
        """Loss and metrics, the segments, the step's scalars, gradients by segment, and what statistics become."""
        assert self.optimizer is not None
        scalars = _scalars(*((STEP, SEED) if more else (RATE, STEP, SEED)), *more)
        feeds, states, params = self._inputs(types)
        if more and STATE in states:
            states[NEXT] = self.segments.input(STATE, NEXT.removeprefix(f"{STATE}."))
            with origin("", "forward"):
                params = self.segments.views({**states, STATE: states[NEXT]})
        weight = self._weight(types, weighted)
        low = self._lower(feeds, params, types, Mode(True, weight=weight, seed=scalars[SEED], step=scalars[STEP]))
        outputs, moved = _pooled(self._scores(low, feeds, weight, params, tables=False, share=scalars.get(SHARE)), low)
        moving = self.segments.moving(self.stretch)
        learned = [path for path, slot in self.segments.slots.items() if slot.segment in moving]
        grads, scale = self._gradients(outputs["loss"], params, learned, states)
        with origin("", "update"):
            packed = {s: self.segments.pack(s, grads) for s in moving}
            if scale is not None:
                packed = {s: g / scale for s, g in packed.items()}
            if not moved:
                return outputs, states, scalars, packed, None
            kept = {m: moved.get(m, params[m]) for m in self.segments.members(STATE)}
            return outputs, states, scalars, packed, self.segments.pack(STATE, kept)

    def _gradients(
        self, loss: Value, params: Mapping[str, Value], learned: list[str], states: dict[str, Value]
    ) -> tuple[dict[str, Value], Value | None]:
        """d loss / d parameter, times the scale where there is one."""
        scale = None
        if self.segments.scaled:
            with origin("loss", "forward"):
                states[loss_scale.LABEL] = abstract(loss_scale.TYPE, loss_scale.LABEL, "state")
                scale = loss_scale.scale(states[loss_scale.LABEL])
                loss = loss * scale
        found = gradients(loss, [params[p] for p in learned])
        return {p: zeros_like(params[p]) if g is None else g for p, g in zip(learned, found, strict=True)}, scale

    def weighing(self, types: Types, weighted: bool) -> Graph:
        """What each loss is divided by in a micro-batch, where that is more than the weight of its rows: ``mass:N``."""
        feeds, _, params = self._inputs(types)
        scalars = _scalars(STEP, SEED)
        weight = self._weight(types, weighted)
        low = self._lower(feeds, params, types, Mode(True, weight=weight, seed=scalars[SEED], step=scalars[STEP]))
        found = {f"mass:{n}": self._own_mass(t, low, feeds, weight) for n, t in enumerate(self.built.losses) if low.has(t.port)}
        return Graph({name: cast(mass, DType.float64) for name, mass in found.items() if mass is not None})

    def _predicate(
        self, outputs: dict[str, Value], new: Mapping[str, Value], states: Mapping[str, Value], shown: Mapping[str, Shown] = NOTHING,
        grads: Mapping[str, Value] | None = None,
    ) -> None:  # fmt: skip
        """New content of ``states`` by label, taken where all of it and the loss are finite: looked at itself, or ``shown`` by other values.

        Where the loss is scaled gradients are looked at, too, for clipped ones are finite always; and the scale moves in any case.
        """
        looked = [part for label, v in new.items() for part in shown.get(label, (v,))]
        if self.segments.scaled:
            looked += (grads or {}).values()
        finite = outputs["finite"] = all_finite(outputs["loss"], *looked)
        if self.segments.scaled:
            outputs[f"update:{loss_scale.LABEL}"] = loss_scale.moved(states[loss_scale.LABEL], finite)
        outputs.update({f"update:{label}": where(finite, v, states[label]) for label, v in new.items()})

    def evaluation(self, types: Types, weighted: bool) -> Graph:
        """The loss and the metrics, in inference."""
        feeds, _, params = self._inputs(types, True)
        weight = self._weight(types, weighted)
        return Graph(self._scores(self._lower(feeds, params, types, _inference()), feeds, weight, params))

    def prediction(self, types: Types) -> Graph:
        """Every output as it is (``raw:NAME``), and as ``predict`` answers it (``output:NAME``)."""
        network = self.built.network
        feeds, _, params = self._inputs(types, True)
        low = self._lower(feeds, params, types, _inference())
        outputs: dict[str, Value] = {}
        for name, port in zip(network.output_names, network.outputs, strict=True):
            y = low.at(port)
            outputs[f"raw:{name}"] = y
            loss = self.built.answering(port)
            with origin("predict", "forward"):
                outputs[f"output:{name}"] = loss.term.of.probabilities(y) if loss is not None else y
        return Graph(outputs)

    def derivative(self, types: Types, weighted: bool) -> Graph:
        """d loss / d parameter for every learned parameter (``gradient:PATH``), in training mode."""
        feeds, _, params = self._inputs(types)
        scalars = _scalars(STEP, SEED)
        weight = self._weight(types, weighted)
        low = self._lower(feeds, params, types, Mode(True, weight=weight, seed=scalars[SEED], step=scalars[STEP]))
        loss = _pooled(self._scores(low, feeds, weight, params), low)[0]["loss"]
        learned = [path for path, slot in self.segments.slots.items() if slot.segment in self.segments.learned]
        found, scale = self._gradients(loss, params, learned, {})
        return Graph({"loss": loss, **{f"gradient:{p}": g if scale is None else g / scale for p, g in found.items()}})

    def _inputs(self, types: Types, answering: bool = False) -> tuple[dict[str, Value], dict[str, Value], dict[str, Value]]:
        feeds = {name: abstract(t, name) for name, t in types.items()}
        with origin("", "forward"):
            states = self.segments.inputs(answering)
            return feeds, states, self.segments.views(states)

    def _weight(self, types: Types, weighted: bool) -> Value | None:
        rows = next(iter(types.values())).shape[:1]
        return abstract(TensorType(rows, self.segments.dtype), WEIGHT) if weighted else None

    def _lower(self, feeds: Mapping[str, Value], params: Mapping[str, Value], types: Types, mode: Mode) -> Lowered:
        inputs = {name: feeds[name] for name in self.built.network.inputs}
        batch = next(iter(types.values())).shape[0]
        local = replace(mode, batch=batch, dtype=self.segments.dtype)
        low = lower(self.built.network, inputs, params, local, self.built.frozen[self.stretch])
        return low if self.segments.half is None else _mixed(low, self.segments.half)

    def _scores(
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
                    own = self._own_mass(t, low, feeds, weight) is not None
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
                if p.regularize.l1:
                    yield sum_(absolute(params[path])) * p.regularize.l1
                if p.regularize.l2:
                    yield sum_(square(params[path])) * p.regularize.l2

    def _part(self, t: Target, low: Lowered, feeds: Mapping[str, Value], weight: Value | None) -> Part:
        """What one loss adds up, and what that is divided by."""
        loss, y = self._balanced(t), low.at(t.port)
        if not t.port.batched:  # made of parameters alone: there is no row to weigh
            mass = _mass(feeds, weight)
            return Part((sum_(y) if loss.reduce == "sum" else mean(y)) * mass, mass)
        return loss.part(y, self._compared(t, y, feeds), weight)

    def _balanced(self, t: Target) -> Loss:
        loss: Loss = t.term.of
        if t.term.name in self.balance:
            loss = loss.weighing(self.balance[t.term.name])  # type: ignore[attr-defined]  # a loss of classes, or it would not be balanced
        return loss

    def _own_mass(self, t: Target, low: Lowered, feeds: Mapping[str, Value], weight: Value | None) -> Value | None:
        """What a mean over elements that differ in what they count is divided by."""
        loss, y = self._balanced(t), low.at(t.port)
        masses = loss.masses(y, self._compared(t, y, feeds)) if t.port.batched and loss.reduce == "mean" else None
        return over_rows(per_row(masses), weight) if masses is not None else None

    def _compared(self, t: Target, y: Value, feeds: Mapping[str, Value]) -> Value:
        """The target: what is fed, a number for every element, or the output itself for a loss that has none."""
        if t.number is None:
            return feeds[t.feed] if t.feed else y
        like = t.term.of.target(y) if isinstance(t.term.of, Loss) else y.type
        return broadcast_to(constant(t.number, like.dtype), like.shape)

    def _measure(self, t: Target, low: Lowered, feeds: Mapping[str, Value], weight: Value | None) -> dict[str, Value]:
        """What a metric counts of this batch."""
        metric: Metric = t.term.of
        y, answering = low.at(t.port), self.built.answering(t.port)
        r = reading(y, self._compared(t, y, feeds), answering.term.of if answering else None, weight, t.void)
        return metric.counts(physical(r, self.scales.get(t.feed, (1.0,))) if metric.power and r.t.dtype.is_float else r)

    def _updates(
        self, states: dict[str, Value], grads: Mapping[str, Value], scalars: Mapping[str, Value]
    ) -> tuple[dict[str, Value], dict[str, Shown]]:
        """New segments, optimizer state and averages, by label, and what shows of which that they are finite; ``states`` gains what they were."""
        assert self.optimizer is not None
        step = scalars[STEP]
        new: dict[str, Value] = {}
        shown: dict[str, Shown] = {}
        for segment, g in self.optimizer.clipped(grads).items():
            slots = {name: self.segments.input(segment, name) for name in self.optimizer.state}
            states.update({f"{segment}.{name}": v for name, v in slots.items()})
            group = self.segments.groups[segment]
            t = as_step(abstract(step.type, updates(segment), "scalar") if self.segments.counted else step)
            rate = self._rate(group, scalars[RATE])
            new[segment], moved = self.optimizer.move(states[segment], g, slots, rate, t, group.kind)
            new.update({f"{segment}.{name}": v for name, v in moved.items()})
            if self.sound and (proof := self.optimizer.proof(states[segment], g, rate, t, group.kind)) is not None:
                shown |= {segment: proof, **{f"{segment}.{name}": () for name in moved}}
        if self.segments.averaged:
            for segment in self.segments.learned:
                label = self.segments.answering(segment)
                states[label] = self.segments.input(segment, AVERAGE)
                new[label] = self.optimizer.averages(states[label], new.get(segment, states[segment]), as_step(step))
        return new, shown

    def _rate(self, group: Group, rate: Value) -> Value:
        """A group's learning rate: a factor of the optimizer's, or a number that goes along with the schedule as that does."""
        own, base = group.rate, self.base
        if own.scaled:
            return rate if own.value == 1.0 else rate * own.value
        return rate * (own.value / base) if base else rate * 0.0 + own.value


def _mixed(low: Lowered, half: DType) -> Lowered:
    """The same layers with products of 16 bits; parameters stay the values they are.

    What is read here are outputs and losses' inputs: of them the last rounding is left out, for they are float32.
    """
    found = mix_precision(Graph({f"{n}": v for n, v in enumerate([*low.values.values(), *low.state.values()])}), half).outputs
    values = iter([v.inputs[0] if isinstance(v.op, Rounded) else v for v in found.values()])
    return Lowered({port: next(values) for port in low.values}, {path: next(values) for path in low.state})


def _pooled(outputs: Mapping[str, Value], low: Lowered) -> tuple[dict[str, Value], dict[str, Value]]:
    """The same outputs and new states, with pools before what rises with them; parameters come before and stay the values they are."""
    found = pool_first(Graph({**outputs, **{f"{STATE}:{path}": v for path, v in low.state.items()}})).outputs
    return {name: found[name] for name in outputs}, {path: found[f"{STATE}:{path}"] for path in low.state}


def _scalars(*names: str) -> dict[str, Value]:
    return {name: abstract(TensorType((), SCALARS[name]), name, "scalar") for name in names}


def _inference() -> Mode:
    """The mode of what is only asked; what draws at random draws from the seed and a number."""
    scalars = _scalars(SEED, STEP)
    return Mode(seed=scalars[SEED], step=scalars[STEP])


def _mass(feeds: Mapping[str, Value], weight: Value | None) -> Value | float:
    """What all rows weigh."""
    return sum_(weight) if weight is not None else float(known(next(iter(feeds.values())).shape[:1])[0])


def _float64(x: Value | float) -> Value:
    return cast(x, DType.float64) if isinstance(x, Value) else constant(x, DType.float64)


def bound(types: Types, rows: int, sizes: Mapping[str, int]) -> dict[str, TensorType]:
    """Types with the batch and every named axis known."""
    where_ = {"batch": rows, **sizes}
    return {name: TensorType(known(tuple(bind(d, where_) for d in t.shape)), t.dtype) for name, t in types.items()}
