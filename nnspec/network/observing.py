"""The graphs that look into a network: what every layer gives, and which gradient reaches it, in numbers that are few. They change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import gcd

from nnspec.autodiff import gradients
from nnspec.ir.graph import Graph, Value, abstract, origin
from nnspec.ir.types import DType, TensorType, count, known
from nnspec.layers.layer import Mode
from nnspec.network.graph import Leaf, Network
from nnspec.network.lower import Lowered
from nnspec.network.phases import Phase, Types, inference
from nnspec.network.scalars import RATE, SEED, STEP, loss_weight, told
from nnspec.network.targets import Target
from nnspec.ops.elementwise import Sigmoid, Tanh, absolute, cast, equal, greater, less_equal, square, where, zeros_like
from nnspec.ops.movement import Slice, Unpack, broadcast_to, reshape
from nnspec.ops.reduce import max_, mean, min_, sum_
from nnspec.records import dataclass
from nnspec.training import loss_scale
from nnspec.training.losses import per_row
from nnspec.training.origin import made_by

SAMPLE = 1 << 13  # elements of a tensor that a histogram is counted over, at most
EDGE = 0.01  # how near to an end of its range a sigmoid or tanh is saturated


@dataclass(frozen=True)
class Tap:
    """A place that is looked at: an input, a layer, or (``path.name``) a further output of one."""

    name: str
    node: str
    output: str
    kind: str
    type: TensorType
    batched: bool = True


@dataclass(frozen=True)
class Observing(Phase):
    """The graphs of a phase that only look. Outputs are called ``QUANTITY:PART:NAME``.

    A quantity is ``activation`` (of a tap, in inference), ``slope`` (the gradient of the loss there, in training), or of a parameter
    ``weight``, ``gradient`` and ``move`` (the update). Parts are sums over each row, added up by who reads them, in float64:
    ``sum``, ``spread`` (squares of the distances from the row's mean), ``square``, ``min``, ``max``, ``zeros``, ``saturated``;
    ``peak``: the largest size of each unit, by the last axis; ``sample``: elements at even distances.
    """

    def activations(self, types: Types) -> Graph:
        """Every layer's output and every weight, in inference: what answers, nothing folded into anything."""
        feeds, _, params = self._inputs(types, True)
        low = self._lower(feeds, params, types, inference())
        outputs: dict[str, Value] = {}
        for tap in taps(self.built.network, low):
            if tap.type.dtype.is_float and count(tap.type.shape):
                with origin(tap.node, "forward"):
                    outputs.update(_named("activation", tap.name, _measured(low.values[tap.node, tap.output], tap.batched, units=True)))
        for path, value in params.items():
            if count(value.shape):
                with origin(path, "forward"):
                    outputs.update(_named("weight", path, _measured(value, False)))
        return Graph(outputs)

    def slopes(self, types: Types, weighted: bool) -> Graph:
        """The gradient of the loss at every layer's output and parameter, and the update that would follow, in training.

        All is as in a training step but that nothing moves: batch statistics are the batch's, dropout drops, clipping clips.
        """
        scalars = told(RATE, STEP, SEED)
        feeds, states, params = self._inputs(types)
        weight = self._weight(types, weighted)
        low = self._lower(feeds, params, types, Mode(True, weight=weight, seed=scalars[SEED], step=scalars[STEP]))
        scored = self._scored.outputs(low, feeds, weight, params, tables=False)
        moving = self.segments.moving(self.stretch)
        learned = [path for path, slot in self.segments.slots.items() if slot.segment in moving]
        places = {t.name: low.values[t.node, t.output] for t in taps(self.built.network, low) if t.type.dtype.is_float and t.kind != "input"}
        with origin("loss", "forward"):
            loss, scale = scored["loss"], None
            if self.segments.scaled:
                states[loss_scale.LABEL] = abstract(loss_scale.TYPE, loss_scale.LABEL, "state")
                scale = loss_scale.scale(states[loss_scale.LABEL])
                loss = loss * scale
        found = gradients(loss, [*(params[p] for p in learned), *places.values()])
        outputs: dict[str, Value] = {"loss": scored["loss"]}
        with origin("", "update"):
            grads = {p: zeros_like(params[p]) if g is None else g for p, g in zip(learned, found, strict=False)}
            if scale is not None:
                grads = {p: g / scale for p, g in grads.items()}
            for path, g in grads.items():
                outputs.update(_named("gradient", path, _sized(g, False)))
            outputs.update(self._moves(states, grads, moving, scalars))
        for name, slope in zip(places, found[len(learned):], strict=True):
            if slope is not None and count(slope.shape):
                with origin(name, "backward"):
                    outputs.update(_named("slope", name, _sized(slope if scale is None else slope / scale, True)))
        return Graph(outputs)

    def _moves(self, states: dict[str, Value], grads: Mapping[str, Value], moving: list[str], scalars: Mapping[str, Value]) -> dict[str, Value]:
        """How far the optimizer would move each parameter."""
        outputs: dict[str, Value] = {}
        packed = {s: self.segments.pack(s, grads) for s in moving}
        before = dict(states)
        new, _ = self._updates(states, packed, scalars)
        for segment in moving:
            difference = new[segment] - before[segment]
            for path in self.segments.members(segment):
                slot = self.segments.slots[path]
                moved = Unpack(slot.offset, slot.shape)(difference)
                outputs[f"move:square:{path}"] = sum_(square(_flat(moved, False)), 1)
        return outputs

    def rows(self, types: Types) -> Graph:
        """Every output as ``predict`` answers it (``output:NAME``), and each row's ``loss`` where the targets are there, in inference."""
        network = self.built.network
        feeds, _, params = self._inputs(types, True)
        low = self._lower(feeds, params, types, inference())
        outputs: dict[str, Value] = {}
        for name, port in zip(network.output_names, network.outputs, strict=True):
            loss, y = self.built.answering(port), low.at(port)
            outputs[f"output:{name}"] = loss.term.of.probabilities(y) if loss is not None else y
        losses = [t for t in self.built.losses if low.has(t.port) and t.port.batched]
        if losses and all(t.feed in feeds for t in losses if t.feed):
            with origin("loss", "forward"):
                parts = [self._row_loss(self.built.losses.index(t), t, low, feeds) for t in losses]
                outputs["loss"] = sum(parts[1:], parts[0])
        return Graph(outputs)

    def _row_loss(self, n: int, t: Target, low: Lowered, feeds: Mapping[str, Value]) -> Value:
        """What each row adds to the loss: the mean over its elements, each by what it counts."""
        scored, y = self._scored, low.at(t.port)
        loss, target, factor = scored.balanced(t), scored.compared(t, y, feeds), t.term.weight
        e, m = loss.elements(y, target), loss.masses(y, target)
        if m is not None and loss.reduce == "mean":
            mass = per_row(m)
            rows = per_row(e) / where(less_equal(mass, 0.0), mass * 0.0 + 1.0, mass)
        else:
            rows = per_row(e, sum_ if loss.reduce == "sum" else mean)
        rows = cast(rows, DType.float64)
        return rows * (factor if isinstance(factor, float) else abstract(TensorType((), DType.float64), loss_weight(n), "scalar"))

    def values(self, types: Types) -> Graph:
        """Every layer's output itself, by its tap's name, in inference."""
        feeds, _, params = self._inputs(types, True)
        low = self._lower(feeds, params, types, inference())
        return Graph({tap.name: low.values[tap.node, tap.output] for tap in taps(self.built.network, low)})


def observing(phase: Phase) -> Observing:
    """What looks into a phase."""
    return Observing(**vars(phase))


def taps(network: Network, low: Lowered) -> Iterator[Tap]:
    """What there is to look at, in the network's order: what each layer makes, not the parameters that it holds."""
    for name, type in network.inputs.items():
        yield Tap(name, name, "", "input", low.values[name, ""].type if (name, "") in low.values else type)
    by_path: dict[str, list[str]] = {}
    for node, output in low.values:
        by_path.setdefault(node, []).append(output)
    for leaf in network.leaves:
        own = {p.name for p in leaf.params}
        for output in sorted(by_path.get(leaf.path, ())):
            if output not in own:
                yield _tap(leaf, output, low)


def _tap(leaf: Leaf, output: str, low: Lowered) -> Tap:
    name = f"{leaf.path}.{output}" if output else leaf.path
    return Tap(name, leaf.path, output, leaf.entry.kind, low.values[leaf.path, output].type, leaf.batched)


def _named(quantity: str, name: str, parts: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{quantity}:{part}:{name}": value for part, value in parts.items()}


def _flat(x: Value, batched: bool) -> Value:
    """A row's elements along the last of two axes; all elements as one row where there are no rows."""
    shape = known(x.shape)
    rows = shape[0] if batched and shape else 1
    return reshape(x, (rows, count(shape) // rows))


def _measured(x: Value, batched: bool, units: bool = False) -> dict[str, Value]:
    """What is said of a tensor's values."""
    flat = _flat(x, batched)
    n = known(flat.shape)[1]
    mean = sum_(flat, 1, keep=True) * (1.0 / n)
    parts = {
        "sum": sum_(flat, 1),
        "spread": sum_(square(flat - broadcast_to(mean, flat.shape)), 1),
        "min": min_(flat, 1),
        "max": max_(flat, 1),
        "zeros": sum_(cast(equal(flat, 0.0), flat.dtype), 1),
        "sample": _sample(flat, x),
    }
    if units and x.rank > 1:
        parts["peak"] = max_(absolute(x), tuple(range(x.rank - 1)))
    if made_by(x, Sigmoid):
        parts["saturated"] = sum_(cast(greater(absolute(flat - 0.5), 0.5 - EDGE), flat.dtype), 1)
    elif made_by(x, Tanh):
        parts["saturated"] = sum_(cast(greater(absolute(flat), 1.0 - EDGE), flat.dtype), 1)
    return parts


def _sized(g: Value, batched: bool) -> dict[str, Value]:
    """What is said of a gradient."""
    flat = _flat(g, batched)
    return {
        "square": sum_(square(flat), 1),
        "peak": max_(absolute(flat), 1),
        "zeros": sum_(cast(equal(flat, 0.0), flat.dtype), 1),
        "sample": _sample(flat, g),
    }


def _sample(flat: Value, x: Value) -> Value:
    """Elements at even distances, the distance without a factor of the tensor's axes: else it would see some channels alone."""
    rows, n = known(flat.shape)
    step = -(-rows * n // SAMPLE)
    while step > 1 and any(gcd(step, d) > 1 for d in known(x.shape)[1:]):
        step += 1
    return flat if step == 1 else Slice((0, 0), (rows, n), (1, step)).one(flat)
