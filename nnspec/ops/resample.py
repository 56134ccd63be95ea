"""Ops in which every place of an axis reads one or two places of the input's: resizing, and borders that repeat the image.

The two are linear in the image, and each is the other's gradient. Of several axes they are one op each, which a backend may take in one walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Composite, Gradients, Op, case
from nnspec.ir.types import Dim, Shape, TensorType, known
from nnspec.ops.movement import broadcast_to, reshape
from nnspec.ops.pool import AvgPool


class Along(Op, abstract=True):
    """How places of one axis read another, by ``rule``:

    ``nearest`` place ``floor(o * step)``; ``linear`` the two around ``(o + 1/2) * step - 1/2``, ``corners`` those around
    ``o * (n - 1) / (m - 1)``, for n places read by m; ``edge`` and ``reflect`` place ``o - low``, outside of the image its
    end or its mirror image. ``step`` is a fraction (above, below); without one it is n / m.
    """

    axis: int
    rule: str
    step: tuple[int, int] | None = None
    low: int = 0

    def reads(self, n: int, m: int) -> tuple[Array, Array, Array]:
        """For each of m places the two of n places that it reads, and the share of the second; all in ascending order but mirrored ends."""
        o = np.arange(m, dtype=np.int64)
        above, below = self.step or (n, m)
        nothing = np.zeros(m)
        if self.rule == "nearest":
            first = np.minimum(o * above // below, n - 1)
        elif self.rule == "edge":
            first = np.clip(o - self.low, 0, n - 1)
        elif self.rule == "reflect":
            first = (n - 1) - np.abs((n - 1) - np.abs(o - self.low))
        else:
            place = o * ((n - 1) / max(m - 1, 1)) if self.rule == "corners" else np.maximum((o + 0.5) * (above / below) - 0.5, 0.0)
            first = np.minimum(np.floor(place).astype(np.int64), n - 1)
            return first, np.minimum(first + 1, n - 1), np.clip(place - first, 0.0, 1.0)
        return first, first, nothing

    def replaced(self, shape: Shape, length: Dim) -> Shape:
        """A shape with another length of the axis."""
        return (*shape[: self.axis], length, *shape[self.axis + 1 :])

    def column(self, x: Array, values: Array) -> Array:
        """One value a place, to be multiplied with ``x``."""
        return values.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - self.axis - 1))


class Resample(Along):
    """``y[o] = (1 - share[o]) x[first[o]] + share[o] x[second[o]]`` along an axis, for ``length`` places o."""

    length: Dim = 1
    samples = (
        case((2, 3, 2), axis=1, rule="nearest", length=7), case((2, 5, 1), axis=1, rule="nearest", length=3),
        case((1, 3, 2), axis=1, rule="linear", length=8), case((2, 5), axis=1, rule="linear", step=(3, 2), length=3),
        case((1, 1, 3), axis=1, rule="linear", length=4), case((2, 3, 2), axis=1, rule="corners", length=5),
        case((4, 3), axis=0, rule="corners", length=1),
        case((2, 4, 3), axis=1, rule="reflect", low=3, length=9), case((3, 2), axis=0, rule="edge", low=2, length=6),
    )  # fmt: skip

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(self.replaced(x[0].shape, self.length), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        (a,) = x
        first, second, share = self.reads(a.shape[self.axis], *known((self.length,)))
        y = a.take(first, self.axis)
        return y if not share.any() else y * self.column(a, 1 - share) + a.take(second, self.axis) * self.column(a, share)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (ResampleGrad(self.axis, self.rule, self.step, self.low, x[0].shape[self.axis])(g),)


class ResampleGrad(Along):
    """The gradient of Resample over an axis of ``length``: every place is added, by its shares, where it was read."""

    length: Dim = 1
    samples = (case((2, 7, 2), axis=1, rule="nearest", length=3), case((1, 8, 2), axis=1, rule="linear", length=3),
               case((2, 9, 3), axis=1, rule="reflect", low=3, length=4))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(self.replaced(x[0].shape, self.length), x[0].dtype)

    def reference(self, *x: Array) -> Any:
        (g,) = x
        (n,) = known((self.length,))
        first, second, share = self.reads(n, g.shape[self.axis])
        y = np.zeros(known(self.replaced(tuple(g.shape), n)), g.dtype)
        lines, added = np.moveaxis(y, self.axis, 0), np.moveaxis(g, self.axis, 0)
        for o, (i, j, b) in enumerate(zip(first, second, share, strict=True)):
            lines[i] += added[o] * g.dtype.type(1 - b)
            lines[j] += added[o] * g.dtype.type(b)
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (Resample(self.axis, self.rule, self.step, self.low, x[0].shape[self.axis])(g),)


class ResampleAxes(Composite):
    """``Resample`` by one rule along several axes behind the first, one after the other, in the order of ``axes``, which ascend."""

    axes: tuple[int, ...]
    rule: str
    steps: tuple[tuple[int, int] | None, ...]
    lows: tuple[int, ...]
    lengths: tuple[Dim, ...]
    samples = (
        case((2, 3, 4, 2), axes=(1, 2), rule="linear", steps=((1, 2), (2, 3)), lows=(0, 0), lengths=(6, 6)),
        case((1, 3, 2, 4, 5), axes=(1, 2, 3), rule="corners", steps=(None, None, None), lows=(0, 0, 0), lengths=(5, 1, 3)),
        case((2, 4, 3, 5), axes=(1, 2), rule="reflect", steps=(None, None), lows=(3, 1), lengths=(9, 5)),
        case((2, 3, 1, 2, 5), axes=(1, 3), rule="edge", steps=(None, None), lows=(0, 2), lengths=(4, 6)),
    )  # fmt: skip

    def parts(self) -> list[Resample]:
        return [Resample(*each) for each in zip(self.axes, (self.rule,) * len(self.axes), self.steps, self.lows, self.lengths, strict=True)]

    def build(self, *x: Value) -> Value:
        (y,) = x
        for part in self.parts():
            y = part.one(y)
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (ResampleAxesGrad(self.axes, self.rule, self.steps, self.lows, tuple(x[0].shape[a] for a in self.axes))(g),)


class ResampleAxesGrad(Composite):
    """The gradient of ResampleAxes over axes of ``lengths``: along the last axis first."""

    axes: tuple[int, ...]
    rule: str
    steps: tuple[tuple[int, int] | None, ...]
    lows: tuple[int, ...]
    lengths: tuple[Dim, ...]
    samples = (
        case((2, 6, 6, 2), axes=(1, 2), rule="linear", steps=((1, 2), (2, 3)), lows=(0, 0), lengths=(3, 4)),
        case((2, 9, 5, 5), axes=(1, 2), rule="reflect", steps=(None, None), lows=(3, 1), lengths=(4, 3)),
        case((1, 4, 2, 6, 5), axes=(1, 3), rule="edge", steps=(None, None), lows=(0, 2), lengths=(3, 2)),
    )  # fmt: skip

    def parts(self) -> list[ResampleGrad]:
        each = zip(self.axes, (self.rule,) * len(self.axes), self.steps, self.lows, self.lengths, strict=True)
        return [ResampleGrad(*one) for one in each][::-1]

    def build(self, *x: Value) -> Value:
        (y,) = x
        for part in self.parts():
            y = part.one(y)
        return y

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (ResampleAxes(self.axes, self.rule, self.steps, self.lows, tuple(x[0].shape[a] for a in self.axes))(g),)


def resample(x: Value, parts: Sequence[Resample]) -> Value:
    """``x`` along the axes of some parts of one rule, whose axes ascend."""
    if len(parts) < 2:
        return parts[0].one(x) if parts else x
    axes, rules, steps, lows, lengths = zip(*((p.axis, p.rule, p.step, p.low, p.length) for p in parts), strict=True)
    return ResampleAxes(axes, rules[0], steps, lows, lengths).one(x)


class Repeat(Composite):
    """Every place of ``(rows, places..., channels)`` repeated ``factors`` times along the axes of places: a copy; the gradient is a pool's mean."""

    factors: tuple[int, ...]
    samples = (case((2, 3, 2), factors=(2,)), case((1, 2, 3, 2), factors=(3, 1)), case((2, 1, 2, 2, 1), factors=(2, 2, 3)))

    def build(self, *x: Value) -> Value:
        n, *places, c = x[0].shape
        apart = tuple(d for p in places for d in (p, 1))
        repeated = tuple(d for p, f in zip(places, self.factors, strict=True) for d in (p, f))
        y = broadcast_to(reshape(x[0], (n, *apart, c)), (n, *repeated, c))
        return reshape(y, (n, *(p * f for p, f in zip(places, self.factors, strict=True)), c))

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        pooled = AvgPool(self.factors, self.factors, ((0, 0),) * len(self.factors)).one(g)
        return (pooled * float(prod(self.factors)),)
