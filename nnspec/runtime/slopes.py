"""Analytic gradients beside differences of the function itself, in float64: steps shrink until they agree, and kinks are told from mistakes.

A difference is that of the outputs, element by element, before it is summed: what did not move adds no rounding. What an op declares not to
differentiate (comparisons, indices, ``stop_gradient``, the boxes of ``roi_align``) is held where it is while the rest moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from nnspec.autodiff import backpropagate, gradients
from nnspec.ir.graph import Call, Value, abstract, calls_of
from nnspec.ir.interpret import evaluate, run
from nnspec.ir.op import Array, Input

STEPS = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-4, 1e-3)  # of a size, in turn; the smallest for a million windows, of which some are at ties
EPSILON = float(np.finfo(np.float64).eps)
KINK = 100.0  # times the tolerance is how far differences of both sides are apart where there is a kink

Difference = Callable[[float], tuple[float, float]]  # of a signed step: the change of the function, and what rounding adds to it


class Verdict(NamedTuple):
    """``relative`` is the difference by the tensor's largest gradient; ``kink``: both sides differ here, and nothing can be said."""

    analytic: float
    numeric: float
    relative: float
    kink: bool = False


def judge(
    change: Difference, analytic: float, scale: float, size: float, tolerance: float, steps: Sequence[float] = STEPS
) -> Verdict:
    """The best that differences say of one slope; ``size`` is that of what moves, ``scale`` that of the tensor's gradients."""
    best = Verdict(analytic, float("nan"), float("inf"))
    for step in steps:
        h = step * size
        (up, noise), (down, more) = change(h), change(-h)
        numeric, rounding = (up - down) / (2 * h), (noise + more) / (2 * h)
        if not isfinite(numeric):
            continue
        allowed = max(scale, abs(numeric), rounding / tolerance, 1e-30)
        relative = abs(numeric - analytic) / allowed
        if relative < best.relative:
            best = Verdict(analytic, numeric, relative)
        if relative <= tolerance:
            return best
    return best._replace(kink=_kink(change, analytic, max(scale, abs(analytic)), size, tolerance)) if isfinite(best.relative) else best


def _kink(change: Difference, analytic: float, scale: float, size: float, tolerance: float) -> bool:
    """Whether the slopes of both sides differ, however near: then any slope between them is right."""
    for step in (1e-6, 1e-8):
        h = step * size
        (up, noise), (down, more) = change(h), change(-h)
        right, left = up / h, -down / h
        if abs(right - left) <= KINK * tolerance * scale + (noise + more) / h:
            return False
    slack = KINK * tolerance * scale
    return min(left, right) - slack <= analytic <= max(left, right) + slack


class Function:
    """Values over what is fed, with everything between them kept, so that a move is worked out from where it was made."""

    def __init__(self, outputs: Sequence[Value], fed: Mapping[Value, Array]) -> None:
        self.outputs = [v for v in outputs if v.dtype.is_float]
        self.calls = [c for c in calls_of(outputs) if not isinstance(c.op, Input)]
        self.fed = dict(fed)
        every = [v for c in self.calls for v in c.outputs]
        self.values = {**self.fed, **evaluate([*every, *outputs], self.fed)}
        rng = np.random.default_rng(len(self.calls))
        self.weights = {v: rng.uniform(0.5, 1.5, self.values[v].shape) * rng.choice((-1.0, 1.0), self.values[v].shape) for v in self.outputs}
        self._held = {c: barriers(c) for c in self.calls}

    @property
    def finite(self) -> bool:
        return all(bool(np.isfinite(self.values[v]).all()) for v in self.outputs)

    def slopes(self, wrt: Sequence[Value]) -> list[Array | None]:
        """d sum(weights * outputs) / d each of ``wrt``, by the graph's own gradients."""
        seeds = {v: abstract(v.type, f"weight{n}") for n, v in enumerate(self.outputs)}
        found = backpropagate(seeds, wrt)
        there = [g for g in found if g is not None]
        at = evaluate(there, {**self.fed, **{s: self.weights[v] for v, s in seeds.items()}}) if there else {}
        return [None if g is None else at[g] for g in found]

    def change(self, value: Value, direction: Array | int, h: float) -> tuple[float, float]:
        """By how much sum(weights * outputs) changes as ``value`` moves, and what of that may be rounding."""
        if not isinstance(direction, int):
            return self.changes({value: direction}, h)
        one = self.values[value].copy()
        one.reshape(-1)[direction] += h
        return self._moved({value: one})

    def changes(self, directions: Mapping[Value, Array], h: float) -> tuple[float, float]:
        """The same as several values move together."""
        return self._moved({v: self.values[v] + h * way for v, way in directions.items()})

    def _moved(self, moved: dict[Value, Array]) -> tuple[float, float]:
        with np.errstate(all="ignore"):
            for c in self.calls:
                if any(v in moved for n, v in enumerate(c.inputs) if n not in self._held[c]):
                    own = [moved.get(v, self.values[v]) if n not in self._held[c] else self.values[v] for n, v in enumerate(c.inputs)]
                    moved.update(zip(c.outputs, run(c, own), strict=True))
        total, noise = 0.0, 0.0
        for v in self.outputs:
            if v in moved:
                before, after, weight = self.values[v], moved[v], self.weights[v]
                total += float(np.sum(weight * (after - before)))
                noise += 4 * EPSILON * float(np.sqrt(np.sum(np.square(weight * np.maximum(np.abs(before), np.abs(after)))[after != before])))
        return total, noise


_BARRIERS: dict[object, frozenset[int]] = {}


def barriers(c: Call) -> frozenset[int]:
    """The inputs of a call into which no gradient flows, as the op declares by its samples."""
    samples = type(c.op).samples
    if samples and not any(s.differentiable for s in samples):
        return frozenset(range(len(c.inputs)))
    candidates = [n for n in sorted({n for s in samples for n in s.fixed}) if n < len(c.inputs)]
    if not candidates:
        return frozenset()
    key = (c.op, tuple(v.type for v in c.inputs))
    if key not in _BARRIERS:
        inputs = [abstract(v.type) for v in c.inputs]
        made = c.op(*inputs)
        y = next(v for v in (made if isinstance(made, tuple) else (made,)) if v.dtype.is_float)
        found = gradients(y, inputs)
        _BARRIERS[key] = frozenset(n for n in candidates if found[n] is None)
    return _BARRIERS[key]
