"""The loss in what it reads of the network, and the step that a backend compiled in all parameters, against differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnspec.ir.graph import Call, Graph, Value, abstract, calls_of
from nnspec.ir.interpret import evaluate
from nnspec.ir.op import Array, Input
from nnspec.network.scalars import SEED, STEP, WEIGHT, loss_weight
from nnspec.ops.rows import StopGradient
from nnspec.runtime.checked import How, Row, checked, cost, summed, type_of
from nnspec.runtime.reduced import VAST, passes
from nnspec.runtime.session import Model
from nnspec.runtime.slopes import EPSILON, Function, Verdict, barriers, judge

PASSED = 100.0  # times the tolerance is that of the step: on its way it passes thousands of kinks at once (ResNet-50: 2.6e-5)
SMALL = (1e-7, 1e-8, 1e-6, 1e-9, 1e-5)  # its moves, for the same reason


def loss_row(model: Model, how: How, arrays: Mapping[str, Array], weights: Array | None, rng: np.random.Generator) -> Row:
    """The loss as a function of what it reads of the network: outputs, or what is behind their softmax."""
    graph = model.programs.graph("gradients", {n: type_of(a) for n, a in arrays.items()}, weights is not None, 0)
    loss = graph.outputs["loss"]
    region = _region(loss)
    ends = dict.fromkeys(v for c in region for v in c.inputs if v.call not in region and v.dtype.is_float)
    layers = {leaf.path for leaf in model.spec.built.network.leaves}
    floats = {v: v.call.origin.layer for v in ends if v.call.origin.layer in layers}
    if not floats:
        return Row("loss", "", why="it reads no layer's output")
    other = [v for c in region for v in c.inputs if v.call not in region and v not in floats]
    at = evaluate([*floats, *other], _fed(model, graph, arrays, weights))
    # cut: the same calls over inputs of their own
    cut = {v: abstract(v.type, f"end{n}") for n, v in enumerate([*floats, *dict.fromkeys(other)])}
    new: dict[Value, Value] = dict(cut)
    for c in region:
        made = c.op(*(new[v] for v in c.inputs))
        new.update(zip(c.outputs, made if isinstance(made, tuple) else (made,), strict=True))
    f = Function([new[loss]], {cut[v]: at[v] for v in cut})
    f.weights = {v: np.ones(()) for v in f.outputs}
    if not f.finite:
        return Row("loss", "", why="it is not finite")
    return Row("loss", "", checked(f, {("value", f"of {path}"): cut[v] for v, path in floats.items()}, how, rng, cost(f.calls)))


def _region(loss: Value) -> list[Call]:
    """The calls that are the loss's own: those made for it, and what depends on them."""
    own: set[Call] = set()
    for c in calls_of([loss]):
        if c.origin.layer == "loss" or any(v.call in own for v in c.inputs):
            own.add(c)
    return sorted(own, key=lambda c: c.serial)


def _fed(model: Model, graph: Graph, arrays: Mapping[str, Array], weights: Array | None) -> dict[Value, Array]:
    scalars: dict[str, Any] = {STEP: model.step, SEED: model.seed, WEIGHT: weights}
    scalars |= {loss_weight(n): factor for n, factor in enumerate(model.factors(model.step))}
    fed = {}
    for c in graph.calls:
        if isinstance(c.op, Input):
            v, label = c.outputs[0], c.op.label
            value = arrays[label] if label in arrays else scalars[label] if label in scalars else model.memory.read(label)
            fed[v] = np.asarray(value, v.dtype.numpy)
    return fed


def step_row(model: Model, how: How, arrays: Mapping[str, Array], weights: Array | None, rng: np.random.Generator) -> Row:
    """The loss of the program that the backend compiled, as all parameters move together: at random, and along their gradient."""
    n = len(next(iter(arrays.values())))
    if not how.full and passes(model.spec, n) > VAST:
        return Row("step", "", why=f"{passes(model.spec, n) / 1e9:,.0f} billion operations a pass: --full tries it")
    ready = model.programs.ready("gradients", arrays, n, weights is not None)

    def loss() -> float:
        model.programs.fill(ready, arrays, n, n, weights)
        model.programs.set(ready, 0.0, model.step, model.factors(model.step))
        ready.run.run()
        return float(ready.run.outputs["loss"])

    base = loss()
    slopes = {name.removeprefix("gradient:"): np.array(g, np.float64) for name, g in ready.run.outputs.items() if name.startswith("gradient:")}
    held = {path: model.read(path).astype(np.float64) for path in slopes}
    if not slopes or not np.isfinite(base):
        return Row("step", "", why="the loss is not finite" if slopes else "nothing is learned")
    sizes = {path: float(np.sqrt(np.mean(np.square(a)))) or 1.0 for path, a in held.items()}
    stopped = _stopped(model, arrays, weights)
    told: list[tuple[str, Verdict]] = []
    ways = {"direction": {p: sizes[p] * rng.uniform(0.5, 1.0, a.shape) * rng.choice((-1.0, 1.0), a.shape) for p, a in held.items()}}
    length = float(np.sqrt(sum(float(np.sum(np.square(g))) for g in slopes.values())))
    if length:
        ways["along the gradient"] = {p: sizes[p] * g / length * np.sqrt(g.size) for p, g in slopes.items()}
    for name, way in ways.items():

        def change(h: float, way: Mapping[str, Array] = way) -> tuple[float, float]:
            if stopped is not None:
                return stopped.changes(_segments(model, way, stopped), h)
            model.restore({f"parameters/{p}": held[p] + h * way[p] for p in held})
            return loss() - base, 16 * EPSILON * abs(base)

        analytic = sum(float(np.sum(slopes[p] * way[p])) for p in held)
        scale = float(np.sqrt(sum(float(np.sum(np.square(slopes[p] * way[p]))) for p in held)))
        told.append((name, judge(change, analytic, scale, 1.0, PASSED * how.tolerance, SMALL)))
    model.restore({f"parameters/{p}": a for p, a in held.items()})
    return Row("step", model.backend.name if not model.interpreted else "interpret",
               (summed("all parameters", "parameter", sum(a.size for a in held.values()), told, PASSED * how.tolerance),))  # fmt: skip


def _stopped(model: Model, arrays: Mapping[str, Array], weights: Array | None) -> Function | None:
    """The loss op by op, with what stops gradients held, where something does: the compiled one moves with all that it reads."""
    graph = model.programs.graph("gradients", {n: type_of(a) for n, a in arrays.items()}, weights is not None, 0)
    forward = Graph({"loss": graph.outputs["loss"]})
    if not any(isinstance(c.op, StopGradient) or 0 < len(barriers(c)) < len(c.inputs) for c in forward.calls):
        return None
    f = Function([graph.outputs["loss"]], _fed(model, forward, arrays, weights))
    f.weights = {v: np.ones(()) for v in f.outputs}
    return f


def _segments(model: Model, way: Mapping[str, Array], f: Function) -> dict[Value, Array]:
    """Directions of parameters as those of the segments that hold them."""
    states = {v.op.label: v for v in f.fed if isinstance(v.op, Input)}
    out: dict[Value, Array] = {}
    for path, direction in way.items():
        slot = model.segments.slots[path]
        v = states.get(slot.segment)
        if v is not None:
            whole = out.setdefault(v, np.zeros(f.fed[v].shape))
            whole[slot.offset : slot.offset + slot.size] = direction.reshape(-1)
    return out
