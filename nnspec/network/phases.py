"""The graphs of one network and one phase: the whole training step, evaluation, prediction, gradients."""

from __future__ import annotations

from collections.abc import Mapping

from nnspec.autodiff import gradients
from nnspec.ir.graph import Graph, Value, abstract, origin
from nnspec.ir.types import DType, TensorType, bind, known
from nnspec.layers.layer import Mode
from nnspec.network.build import Built
from nnspec.network.lower import Lowered, lower
from nnspec.network.scalars import KEEP, LOSS, RATE, SEED, SHARE, STEP, WEIGHT, told, updates
from nnspec.network.scores import Scores
from nnspec.network.segments import AVERAGE, GATHERED, NEXT, STATE, Group, Segments
from nnspec.ops.elementwise import cast, greater, where, zeros_like
from nnspec.ops.reduce import all_finite
from nnspec.ops.rounding import Rounded
from nnspec.passes.mix_precision import mix_precision
from nnspec.passes.pool_first import pool_first
from nnspec.passes.quiet_gradients import quiet_gradients
from nnspec.records import dataclass, field, replace
from nnspec.training import loss_scale
from nnspec.training.optimizers import Optimizer, as_step

Types = Mapping[str, TensorType]
Shown = tuple[Value, ...]
NOTHING: Mapping[str, Shown] = {}


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
            scalars = told(RATE, STEP, LOSS)
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
        scalars = told(*((STEP, SEED) if more else (RATE, STEP, SEED)), *more)
        feeds, states, params = self._inputs(types)
        if more and STATE in states:
            states[NEXT] = self.segments.input(STATE, NEXT.removeprefix(f"{STATE}."))
            with origin("", "forward"):
                params = self.segments.views({**states, STATE: states[NEXT]})
        weight = self._weight(types, weighted)
        low = self._lower(feeds, params, types, Mode(True, weight=weight, seed=scalars[SEED], step=scalars[STEP]))
        outputs, moved = _pooled(self._scored.outputs(low, feeds, weight, params, tables=False, share=scalars.get(SHARE)), low)
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
        scalars = told(STEP, SEED)
        weight = self._weight(types, weighted)
        low = self._lower(feeds, params, types, Mode(True, weight=weight, seed=scalars[SEED], step=scalars[STEP]))
        found = {f"mass:{n}": self._scored.own_mass(t, low, feeds, weight) for n, t in enumerate(self.built.losses) if low.has(t.port)}
        return Graph({name: cast(mass, DType.float64) for name, mass in found.items() if mass is not None})

    @property
    def _scored(self) -> Scores:
        return Scores(self.built, self.segments, self.scales, self.balance)

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
        return Graph(self._scored.outputs(self._lower(feeds, params, types, inference()), feeds, weight, params))

    def prediction(self, types: Types) -> Graph:
        """Every output as it is (``raw:NAME``), and as ``predict`` answers it (``output:NAME``)."""
        network = self.built.network
        feeds, _, params = self._inputs(types, True)
        low = self._lower(feeds, params, types, inference())
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
        scalars = told(STEP, SEED)
        weight = self._weight(types, weighted)
        low = self._lower(feeds, params, types, Mode(True, weight=weight, seed=scalars[SEED], step=scalars[STEP]))
        loss = _pooled(self._scored.outputs(low, feeds, weight, params), low)[0]["loss"]
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


def inference() -> Mode:
    """The mode of what is only asked; what draws at random draws from the seed and a number."""
    scalars = told(SEED, STEP)
    return Mode(seed=scalars[SEED], step=scalars[STEP])


def bound(types: Types, rows: int, sizes: Mapping[str, int]) -> dict[str, TensorType]:
    """Types with the batch and every named axis known."""
    where_ = {"batch": rows, **sizes}
    return {name: TensorType(known(tuple(bind(d, where_) for d in t.shape)), t.dtype) for name, t in types.items()}
