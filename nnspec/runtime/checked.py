"""One function's gradients beside differences: each tensor at some elements, and along a direction that holds them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass, field
from nnspec.runtime.slopes import Function, Verdict, judge

COSTLY = 5 * 10**8  # operations of all elements' differences of a tensor: beyond them fewer elements are looked at
DEAR = 4 * 10**9  # operations of one difference: beyond them a tensor is looked at along a direction alone


@dataclass(frozen=True)
class Tensor:
    """What was found for one tensor: a parameter, an input, or a value that a loss reads. ``worst`` is an element, or a direction."""

    name: str
    kind: str  # parameter, input or value
    size: int
    elements: int
    relative: float
    worst: str
    verdict: Verdict
    kinks: int
    failed: bool


@dataclass(frozen=True)
class Row:
    """A layer, the loss or the step. ``why`` says why nothing, or not all of it, was checked."""

    path: str
    kind: str
    tensors: tuple[Tensor, ...] = ()
    why: str = ""

    @property
    def worst(self) -> Tensor | None:
        return max(self.tensors, key=lambda t: (t.failed, t.relative), default=None)

    @property
    def failed(self) -> bool:
        return any(t.failed for t in self.tensors)


@dataclass(frozen=True)
class How:
    """``samples`` elements of each tensor and one direction; ``layers`` are patterns over paths; ``every`` also layers that are alike.

    ``full`` takes inputs at their size and all samples, whatever that costs.
    """

    rows: int = 4
    samples: int = 6
    tolerance: float = 1e-6
    layers: tuple[str, ...] = ()
    every: bool = False
    full: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)


def checked(f: Function, wanted: Mapping[tuple[str, str], Value], how: How, rng: np.random.Generator, cost: int) -> tuple[Tensor, ...]:
    """Each tensor along one direction, and at some of its elements: the one of the largest gradient, and others that are drawn."""
    out = []
    samples = how.samples if how.full else max(1, min(how.samples, COSTLY // max(cost, 1)))
    dear = cost > DEAR and not how.full
    for ((kind, name), v), found in zip(wanted.items(), f.slopes(list(wanted.values())), strict=True):
        values = f.values[v]
        if not values.size:
            continue
        slopes = np.zeros(values.shape) if found is None else found
        size = float(np.sqrt(np.mean(np.square(values)))) or 1.0
        largest = float(np.abs(slopes).max())
        picked = [] if dear else list(dict.fromkeys([int(np.abs(slopes).argmax()), *rng.permutation(values.size)[:samples].tolist()]))
        told: list[tuple[str, Verdict]] = []
        for i in picked if values.size > samples or (dear and values.size > 1) else range(values.size):
            at = ", ".join(map(str, np.unravel_index(i, values.shape)))
            own = max(size, abs(float(values.reshape(-1)[i])))
            told.append((f"[{at}]", judge(_along(f, v, int(i)), float(slopes.reshape(-1)[i]), largest, own, how.tolerance)))
        if values.size > 1:
            direction = rng.uniform(0.5, 1.0, values.shape) * rng.choice((-1.0, 1.0), values.shape)
            scale = float(np.sqrt(np.sum(np.square(slopes * direction))))
            told.append(("direction", judge(_along(f, v, direction), float(np.sum(slopes * direction)), scale, size, how.tolerance)))
        out.append(summed(name, kind, values.size, told, how.tolerance))
    return tuple(out)


def _along(f: Function, v: Value, direction: Array | int) -> Callable[[float], tuple[float, float]]:
    return lambda h: f.change(v, direction, h)


def summed(name: str, kind: str, size: int, told: list[tuple[str, Verdict]], tolerance: float) -> Tensor:
    sure = [pair for pair in told if not pair[1].kink]
    worst, verdict = max(sure or told, key=lambda pair: pair[1].relative)
    elements = sum(at != "direction" for at, _ in sure)
    failed = bool(sure) and not verdict.relative <= tolerance
    return Tensor(name, kind, size, elements, verdict.relative if sure else 0.0, worst, verdict, len(told) - len(sure), failed)


def type_of(a: Array) -> TensorType:
    return TensorType(tuple(a.shape), DType(a.dtype.name))


def cost(calls: list[Call]) -> int:
    """Operations of the differences of one element."""
    return sum(c.op.flops(*(v.type for v in c.inputs)) for c in calls)
