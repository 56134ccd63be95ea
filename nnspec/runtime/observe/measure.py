"""What layers, parameters and gradients are like at one moment, in few numbers: the programs that look are run, and their sums added up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnspec.data.batches import pieces
from nnspec.ir.op import Array
from nnspec.ir.types import known
from nnspec.network.graph import Network
from nnspec.records import dataclass, field
from nnspec.runtime.feeding import parted
from nnspec.runtime.programs import Ready, alone
from nnspec.runtime.session import Model

BINS = 32
DECADES = (-12, 4)  # of the sizes of gradients: two bins each
ROWS = 64  # that are looked at, at most
ELEMENTS = 1 << 27  # of all layers' outputs over these rows, at most: 512 MiB of float32


@dataclass(frozen=True)
class Histogram:
    """How often values fall between ``low`` and ``high``, in bins of equal width: the last one has its upper end, too.

    With ``scale`` ``log10`` the bins are of log10 of the sizes of values, the same ones at all times; what is beyond counts in the first
    or the last, and ``zeros`` are those without a logarithm. ``of`` are how many elements were looked at: at most 8192, at even distances.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    of: int
    scale: str = "linear"
    zeros: int = 0

    def as_json(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "counts": list(self.counts), "of": self.of, "scale": self.scale, "zeros": self.zeros}


@dataclass(frozen=True)
class Statistics:
    """One tensor's. What is None has no meaning for it; NaN and infinities are None in JSON."""

    count: int
    norm: float
    zeros: float  # the share that is exactly 0
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    peak: float | None = None  # the largest size, of gradients
    saturated: float | None = None  # the share within 0.01 of an end of a sigmoid's or tanh's range
    units: int | None = None  # by the last axis
    dead: int | None = None  # of these, those that were 0 on every row
    histogram: Histogram | None = None

    def as_json(self) -> dict[str, Any]:
        plain = {name: rounded(value) for name, value in vars(self).items() if name != "histogram" and value is not None}
        return {**plain, "histogram": self.histogram.as_json() if self.histogram else None}


@dataclass(frozen=True)
class Place:
    """An input or a layer: its output's values in inference, and the gradient of the loss there in training."""

    kind: str
    shape: tuple[int, ...]
    activation: Statistics | None = None
    gradient: Statistics | None = None
    absent: Mapping[str, str] = field(default_factory=dict)  # why one of them is not there

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "shape": list(self.shape), "activation": _json(self.activation), "gradient": _json(self.gradient),
                "absent": dict(self.absent)}


@dataclass(frozen=True)
class Weight:
    """A parameter: its values, its gradient, and the update that the optimizer would make of it."""

    layer: str
    shape: tuple[int, ...]
    weight: Statistics | None = None
    gradient: Statistics | None = None
    update: float | None = None  # the norm of the change
    ratio: float | None = None  # of that norm to the weight's: about 1e-3 is usual
    absent: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"layer": self.layer, "shape": list(self.shape), "weight": _json(self.weight), "gradient": _json(self.gradient),
                "update": rounded(self.update), "ratio": rounded(self.ratio), "absent": dict(self.absent)}


@dataclass(frozen=True)
class Snapshot:
    """A network at one step, on the same rows each time."""

    step: int
    rows: int
    split: str
    loss: float | None
    rate: float | None
    layers: Mapping[str, Place]
    parameters: Mapping[str, Weight]

    def as_json(self) -> dict[str, Any]:
        return {
            "step": self.step, "rows": self.rows, "split": self.split, "loss": rounded(self.loss), "rate": rounded(self.rate),
            "layers": {name: place.as_json() for name, place in self.layers.items()},
            "parameters": {name: weight.as_json() for name, weight in self.parameters.items()},
        }


def _json(of: Statistics | None) -> dict[str, Any] | None:
    return of.as_json() if of is not None else None


def rounded(value: float | None, digits: int = 6) -> float | None:
    """A number as JSON has it, in so many digits; None for what is not finite."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def first_rows(model: Model, splits: Mapping[str, Mapping[str, Array]]) -> tuple[str, dict[str, Array]]:
    """The rows that are looked at: the first that validate, else the first to train on; fewer where the network is large."""
    split = "validation" if "validation" in splits else "train" if "train" in splits else next(iter(splits))
    arrays = splits[split]
    rows = min(len(next(iter(arrays.values()))), ROWS, max(1, ELEMENTS // elements(model.spec.built.network)))
    return split, next(iter(pieces({name: array[:rows] for name, array in arrays.items()}, rows)))


def elements(network: Network) -> int:
    """What all layers' outputs of one row hold; a named axis counts as 1."""
    return max(1, sum(math.prod(d if isinstance(d, int) else 1 for d in node["shape"]) for node in network.nodes.values()))


@dataclass(frozen=True)
class Seen:
    """What a program that looks has answered, and the length of the rows behind each sum."""

    arrays: Mapping[str, Array]
    widths: Mapping[str, int]


NOTHING = Seen({}, {})
PARTS = ("sum", "spread", "square", "min", "max", "zeros", "saturated", "peak", "sample")


@alone
def snapshot(model: Model, arrays: Mapping[str, Array], split: str = "", rate: float | None = None, factors: tuple[float, ...] = (),
             stretch: int = 0, why: str = "") -> Snapshot:  # fmt: skip
    """Looks at a model on converted rows. ``why`` says why there are no gradients, where there are none to be had.

    Gradients are those of the training step that would come next, were these its rows; ``rate`` is its learning rate. Nothing moves.
    """
    rows, weights = parted(arrays)
    n = len(next(iter(rows.values())))
    seen = _activations(model, rows, n)
    grads = NOTHING
    if not why and (not model.spec.built.losses or model.spec.document.optimizer is None):
        why = "the spec has no " + ("optimizer" if model.spec.built.losses else "loss")
    if not why:
        ready = model.programs.ready("slopes", rows, n, weights is not None, model.alike(stretch))
        model.programs.fill(ready, rows, n, n, weights)
        model.programs.set(ready, 0.0 if rate is None else rate, model.step, factors or model.factors(model.step))
        grads = _run(ready)
    loss = float(grads.arrays["loss"]) if grads.arrays else None
    return Snapshot(model.step, n, split, loss, rate, _places(model, seen, grads, why), _weights(model, seen, grads, why))


def _activations(model: Model, rows: Mapping[str, Array], n: int) -> Seen:
    inputs = {name: rows[name] for name in model.spec.built.network.inputs}
    ready = model.programs.ready("activations", inputs, n, False)
    model.programs.fill(ready, inputs, n, n, None)
    model.programs.set(ready, 0.0, 0)
    return _run(ready)


def _run(ready: Ready) -> Seen:
    ready.run.run()
    widths = {name: known(v.inputs[0].shape)[1] for name, v in ready.graph.outputs.items() if ":zeros:" in name}
    return Seen({name: np.array(a) for name, a in ready.run.outputs.items()}, widths)


def _places(model: Model, seen: Seen, grads: Seen, why: str) -> dict[str, Place]:
    """Every input and layer in order, with what there is of it."""
    out: dict[str, Place] = {}
    network = model.spec.built.network
    outputs = {key.split(":", 2)[2] for key in (*seen.arrays, *grads.arrays) if key.startswith(("activation:", "slope:"))}
    further: dict[str, list[str]] = {}
    for name in sorted(outputs - set(network.nodes)):
        further.setdefault(name.rpartition(".")[0], []).append(name)
    for node, data in network.nodes.items():
        for name in (node, *further.get(node, ())):
            activation, gradient = _statistics(seen, "activation", name), _statistics(grads, "slope", name)
            absent = {}
            if activation is None:
                whole = not data["dtype"].startswith("float")
                absent["activation"] = "whole numbers" if whole else "it is there in training only" if data.get("only") == "training" else "empty"
            if gradient is None:
                absent["gradient"] = why or ("an input" if data["kind"] == "input" else "the loss does not depend on it")
            shape = tuple(d if isinstance(d, int) else -1 for d in data["shape"]) if name == node else ()
            out[name] = Place(data["kind"], shape, activation, gradient, absent)
    return out


def _weights(model: Model, seen: Seen, grads: Seen, why: str) -> dict[str, Weight]:
    out: dict[str, Weight] = {}
    for path, p in model.spec.built.network.parameters.items():
        weight, gradient = _statistics(seen, "weight", path), _statistics(grads, "gradient", path)
        square = grads.arrays.get(f"move:square:{path}")
        update = None if square is None else math.sqrt(float(np.sum(square, dtype=np.float64)))
        ratio = update / weight.norm if update is not None and weight is not None and weight.norm > 0 else None
        absent = {} if gradient is not None else {"gradient": why or ("it is not learned" if p.trainable is False else "it does not move now")}
        out[path] = Weight(p.layer, tuple(known(p.param.shape)), weight, gradient, update, ratio, absent)
    return out


def _statistics(parts: Seen, quantity: str, name: str) -> Statistics | None:
    """A tensor's statistics from its rows' sums, added up in float64."""
    of = {part: parts.arrays[f"{quantity}:{part}:{name}"].astype(np.float64) for part in PARTS if f"{quantity}:{part}:{name}" in parts.arrays}
    if "zeros" not in of:
        return None
    width = parts.widths[f"{quantity}:zeros:{name}"]
    count = width * len(of["zeros"])
    zeros = float(of["zeros"].sum() / count)
    with np.errstate(all="ignore"):
        if "square" in of:
            norm = math.sqrt(total) if (total := float(of["square"].sum())) >= 0 else math.nan
            return Statistics(count, norm, zeros, peak=float(of["peak"].max()), histogram=_by_size(of["sample"]))
        mean = float(of["sum"].sum() / count)
        spread = float((of["spread"] + width * (of["sum"] / width - mean) ** 2).sum())
        low, high = float(of["min"].min()), float(of["max"].max())
        norm = math.sqrt(spread + count * mean * mean) if spread >= 0 and math.isfinite(mean) else math.nan
        std = math.sqrt(spread / count) if spread >= 0 else math.nan
    units, dead = (of["peak"].size, int((of["peak"] == 0).sum())) if "peak" in of else (None, None)
    saturated = float(of["saturated"].sum() / count) if "saturated" in of else None
    return Statistics(count, norm, zeros, mean, std, low, high, None, saturated, units, dead, _linear(of["sample"], low, high))


def _linear(sample: Array, low: float, high: float) -> Histogram:
    """Over the tensor's own range."""
    x = sample[np.isfinite(sample)]
    if not x.size:
        return Histogram(0.0, 0.0, (0,) * BINS, 0)
    low, high = (low, high) if math.isfinite(low) and math.isfinite(high) else (float(x.min()), float(x.max()))
    if not 0 < high - low < math.inf:  # one value, or a range that is no number
        return Histogram(low, high, (x.size, *(0,) * (BINS - 1)), x.size)
    return Histogram(low, high, tuple(np.histogram(x, BINS, (low, high))[0].tolist()), x.size)


def _by_size(sample: Array) -> Histogram:
    """By the logarithms of sizes, over a range that is always the same."""
    x = np.abs(sample[np.isfinite(sample)])
    logs = np.log10(x[x > 0])
    low, high = DECADES
    places = np.clip(((logs - low) * (BINS / (high - low))).astype(np.intp), 0, BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    return Histogram(low, high, tuple(counts.tolist()), x.size, "log10", int(x.size - logs.size))
