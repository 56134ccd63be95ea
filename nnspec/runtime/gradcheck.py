"""Every layer's gradient, the loss's and the step's, against differences in float64: of parameters and of what the layers read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from math import isfinite

import numpy as np

from nnspec.compiler import Spec, finish
from nnspec.ir.graph import Value, abstract
from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.layers.layer import Mode, Values, applied
from nnspec.network.graph import Leaf
from nnspec.network.scalars import SEED, STEP
from nnspec.runtime.bench import rows
from nnspec.runtime.checked import How, Row, checked, cost, type_of
from nnspec.runtime.checked_step import loss_row, step_row
from nnspec.runtime.feeding import parted
from nnspec.runtime.feeds import ends
from nnspec.runtime.session import Model
from nnspec.runtime.slopes import Function
from nnspec.spec.load import take_apart

MANY = 60  # layers, beyond which those that are alike are checked once
Ports = dict[tuple[str, str], Array]


def gradcheck(spec: Spec, how: How, backend: str = "numpy", watch: Callable[[str], None] = lambda path: None) -> Iterator[Row]:
    """A row a layer in order, then the loss, then the whole step as ``backend`` compiles it. The spec's precision is float64 here."""
    model = Model(_exact(spec, how.rows), backend)
    model.transfer()
    rng = np.random.default_rng(model.seed)
    arrays, weights = parted(rows(model, how.sizes))
    arrays = {name: a[: how.rows] for name, a in arrays.items()}
    weights = None if weights is None else weights[: how.rows]
    if spec.document.data is None:
        for target, least, most in ends({name: type_of(a) for name, a in arrays.items()}, model.spec.built.losses):
            arrays[target.feed] = _between(arrays[target.feed], least, most, rng)
    read = model.spec.built.network.inputs.keys() - {t.feed for t in model.targets}
    arrays = {name: _apart(a, rng) if name in read else a for name, a in arrays.items()}
    model.restore({f"parameters/{path}": _apart(model.read(path), rng) for path, p in model.parameters.items() if p.trainable})
    wanted = how.layers
    yield from Layers(model, how, arrays, rng, watch).rows()
    if not model.spec.built.losses:
        yield Row("loss", "", why="the spec has none")
        return
    if model.spec.document.optimizer is None:
        yield Row("loss", "", why="nothing is learned")
        return
    if not wanted or any(fnmatchcase("loss", p) for p in wanted):
        watch("loss")
        yield loss_row(model, how, arrays, weights, rng)
    if not wanted or any(fnmatchcase("step", p) for p in wanted):
        watch("step")
        yield step_row(model, how, arrays, weights, rng)


def _exact(spec: Spec, rows: int) -> Spec:
    """The spec in float64, of few rows; with an optimizer, without which nobody feeds targets."""
    d = spec.document
    learns = any(data["trainable"] for data in spec.built.network.nodes.values())
    settings = {"precision": "float64", "math": "strict", "batch_size": rows, **({"optimizer": "sgd"} if learns and not d.optimizer else {})}
    return finish(take_apart(d.root, d.file, settings, d.allow, d.data))


def _apart(values: Array, rng: np.random.Generator) -> Array:
    """Moved a little, away from 0 and from each other: at ties and at the edge of a relu there is no slope to compare with."""
    if values.dtype.kind != "f":
        return values
    size = float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
    return values + np.where(values < 0, -1e-3, 1e-3) * (size or 1.0) * rng.uniform(0.1, 1.0, values.shape)


def _between(values: Array, least: float, most: float, rng: np.random.Generator) -> Array:
    """Drawn numbers that a loss compares with something."""
    if values.dtype.kind != "f" or not (isfinite(least) or isfinite(most)):
        return values
    low, high = (least, most) if isfinite(least) and isfinite(most) else (least, least + 1) if isfinite(least) else (most - 1, most)
    return np.asarray(rng.uniform(low, high, values.shape), values.dtype)


class Layers:
    """The walk over a network's layers, each a function of its own, fed with what came before it."""

    def __init__(self, model: Model, how: How, arrays: Mapping[str, Array], rng: np.random.Generator, watch: Callable[[str], None]) -> None:
        self.model, self.how, self.rng, self.watch = model, how, rng, watch
        self.network = model.spec.built.network
        self.ports: Ports = {(name, ""): arrays[name] for name in self.network.inputs}
        self.last = {(p.node, p.output): leaf.path for leaf in self.network.leaves for p in leaf.inputs}
        self.seen: dict[object, str] = {}
        self.once = len(self.network.leaves) > MANY and not how.every

    def rows(self) -> Iterator[Row]:
        for leaf in self.network.leaves:
            self.watch(leaf.path)
            yield self.row(leaf)
            for port in [p for p, path in self.last.items() if path == leaf.path]:
                self.ports.pop(port, None)

    def row(self, leaf: Leaf) -> Row:
        kind = leaf.entry.kind
        if not leaf.built(True):
            if leaf.passes:
                self.ports[leaf.path, ""] = self.ports[leaf.inputs[0].node, leaf.inputs[0].output]
            return Row(leaf.path, kind, why=f"not in training: only in {leaf.only}")
        held = {p.name: self.model.read(f"{leaf.weights}/{p.name}") for p in leaf.params}
        x = [self.ports[p.node, p.output] for p in leaf.inputs]
        f, inputs, params = self.function(leaf, [_apart(a, self.rng) for a in x], held)
        if not f.finite:
            f, inputs, params = self.function(leaf, x, held)
        for (output, v) in self.made.items():
            self.ports[leaf.path, output] = f.values[v]
        if self.how.layers and not any(fnmatchcase(leaf.path, p) or leaf.path.startswith(f"{p}/") for p in self.how.layers):
            return Row(leaf.path, kind, why="left out")
        types = tuple((v.type, p.batched) for v, p in zip(inputs, leaf.inputs, strict=True))
        look = kind, repr(leaf.entry), types, leaf.frozen, leaf.weights != leaf.path
        if self.once and look in self.seen:
            return Row(leaf.path, kind, why=f"as {self.seen[look]}")
        self.seen.setdefault(look, leaf.path)
        learned = {p.name: params[p.name] for p in leaf.params if p.trainable}
        wanted = {**{("input", _input(leaf, n)): v for n, v in enumerate(inputs)}, **{("parameter", n): v for n, v in learned.items()}}
        floats = {key: v for key, v in wanted.items() if v.dtype.is_float}
        if not f.finite:
            return Row(leaf.path, kind, why="its output is not finite")
        if not f.outputs or not floats:
            return Row(leaf.path, kind, why="its output is whole numbers" if floats else "it reads no floats, and learns nothing")
        tensors = checked(f, floats, self.how, self.rng, cost(f.calls))
        whole = [name for (_, name), v in wanted.items() if not v.dtype.is_float]
        return Row(leaf.path, kind, tensors, f"{', '.join(whole)}: whole numbers have no gradient" if whole else "")

    def function(self, leaf: Leaf, x: list[Array], held: Mapping[str, Array]) -> tuple[Function, list[Value], dict[str, Value]]:
        """The layer over inputs of its own, in training."""
        inputs = [abstract(type_of(a), f"x{n}") for n, a in enumerate(x)]
        params = {name: abstract(type_of(a), name, "parameter") for name, a in held.items()}
        seed, step = abstract(TensorType((), DType.uint32), SEED, "scalar"), abstract(TensorType((), DType.int64), STEP, "scalar")
        mode = Mode(True, leaf.path in self.model.spec.built.frozen[0], self.how.rows, None, seed, step, leaf.path,
                    tuple(p.batched for p in leaf.inputs), self.model.segments.dtype)  # fmt: skip
        built = applied(leaf.entry, tuple(inputs), Values(params), mode)
        self.made = {"": built.y, **built.outputs, **params}
        fed = dict(zip([*inputs, *params.values()], [*x, *held.values()], strict=True))
        fed |= {seed: np.array(self.model.seed, np.uint32), step: np.array(self.model.step)}
        return Function([built.y, *built.outputs.values()], fed), inputs, params


def _input(leaf: Leaf, n: int) -> str:
    port = leaf.inputs[n]
    name = f"{port.node}.{port.output}" if port.output else port.node
    return f"from {name}" if len(leaf.inputs) > 1 else "input"
