"""Changes of values before they reach the network: fitted on training rows, applied, undone, and kept with the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nnspec.data.column import Array
from nnspec.data.config import MinMaxStep, OneHotStep, Prepare, RescaleStep, StandardizeStep
from nnspec.records import dataclass

Floats = NDArray[np.float64]
Pieces = Callable[[], Iterable[Array]]  # the training rows, a piece at a time, as often as it is asked


class Step(Protocol):
    """One fitted change of one column; arrays have rows first, statistics broadcast over the last axis."""

    kind: ClassVar[str]

    def apply(self, x: Array) -> Array:
        """The prepared values."""
        ...

    def undo(self, x: Array) -> Array:
        """The values before."""
        ...

    @property
    def unit(self) -> Floats:
        """How much of the column's own unit one prepared unit is."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Numbers that JSON keeps to the bit."""
        ...


@dataclass(frozen=True, eq=False)
class Fill:
    """A value for missing ones: of numbers for NaN, of classes for -1."""

    kind: ClassVar[str] = "fill"
    value: float

    def apply(self, x: Array) -> Array:
        if np.issubdtype(x.dtype, np.integer):
            return np.where(x < 0, x.dtype.type(int(self.value)), x)
        return np.where(np.isnan(x), self.value, x)

    def undo(self, x: Array) -> Array:
        return x

    @property
    def unit(self) -> Floats:
        return np.asarray(1.0)

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(float(data["value"]))


@dataclass(frozen=True, eq=False)
class Standardize:
    """``(x - mean) / deviation``."""

    kind: ClassVar[str] = "standardize"
    mean: Floats
    deviation: Floats

    @classmethod
    def fit(cls, pieces: Pieces, last: tuple[int, ...]) -> Self:
        """Mean and biased deviation over all axes but the last (``last`` is its length, or empty), in two passes.

        Where all values are equal the deviation is 1, so that they become 0.
        """
        count = 0
        total, low, high = np.zeros(last), np.full(last, np.inf), np.full(last, -np.inf)
        for x in pieces():
            axes = tuple(range(x.ndim - len(last)))
            count += x.size // max(1, total.size)
            total += x.sum(axes)
            low, high = np.minimum(low, x.min(axes)), np.maximum(high, x.max(axes))
        mean = np.where(low == high, low, total / count)
        square = np.zeros(last)
        for x in pieces():
            square += ((x - mean) ** 2).sum(tuple(range(x.ndim - len(last))))
        deviation = np.sqrt(square / count)
        return cls(mean, np.where((low == high) | (deviation == 0), 1.0, deviation))

    def apply(self, x: Array) -> Array:
        return (x - self.mean) / self.deviation

    def undo(self, x: Array) -> Array:
        return x * self.deviation + self.mean

    @property
    def unit(self) -> Floats:
        return self.deviation

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(np.array(data["mean"], np.float64), np.array(data["deviation"], np.float64))


@dataclass(frozen=True, eq=False)
class Rescale:
    """``x * scale + offset``."""

    kind: ClassVar[str] = "rescale"
    scale: float
    offset: float

    def apply(self, x: Array) -> Array:
        return x * self.scale + self.offset

    def undo(self, x: Array) -> Array:
        return (x - self.offset) / self.scale

    @property
    def unit(self) -> Floats:
        return np.asarray(1.0 / abs(self.scale))

    def to_json(self) -> dict[str, Any]:
        return {"scale": self.scale, "offset": self.offset}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(float(data["scale"]), float(data["offset"]))


@dataclass(frozen=True, eq=False)
class MinMax:
    """``low + (x - least) / (most - least) * (high - low)``; where the two are equal, ``low``."""

    kind: ClassVar[str] = "min_max"
    least: Floats
    most: Floats
    range: tuple[float, float]

    @classmethod
    def fit(cls, pieces: Pieces, last: tuple[int, ...], range: tuple[float, float]) -> Self:
        """The smallest and largest value over all axes but the last (``last`` is its length, or empty)."""
        least, most = np.full(last, np.inf), np.full(last, -np.inf)
        for x in pieces():
            axes = tuple(np.arange(x.ndim - len(last)))
            least, most = np.minimum(least, x.min(axes)), np.maximum(most, x.max(axes))
        return cls(least, most, range)

    def apply(self, x: Array) -> Array:
        return self.range[0] + (x - self.least) / self.unit

    def undo(self, x: Array) -> Array:
        return (x - self.range[0]) * self.unit + self.least

    @property
    def unit(self) -> Floats:
        width = self.most - self.least
        return np.asarray(np.where(width == 0, 1.0, width / (self.range[1] - self.range[0])))

    def to_json(self) -> dict[str, Any]:
        return {"least": self.least.tolist(), "most": self.most.tolist(), "range": list(self.range)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        low, high = map(float, data["range"])
        return cls(np.array(data["least"], np.float64), np.array(data["most"], np.float64), (low, high))


@dataclass(frozen=True, eq=False)
class OneHot:
    """Class numbers as vectors: 1 at the class; -1, which stands for none, is all 0. Not undone: there is nothing to add."""

    kind: ClassVar[str] = "one_hot"
    classes: int

    def apply(self, x: Array) -> Array:
        return np.asarray(x[..., None] == np.arange(self.classes), np.float64)

    def undo(self, x: Array) -> Array:
        return x

    @property
    def unit(self) -> Floats:
        return np.ones(self.classes)

    def to_json(self) -> dict[str, Any]:
        return {"classes": self.classes}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(int(data["classes"]))


STEPS: dict[str, type[Fill] | type[Standardize] | type[Rescale] | type[MinMax] | type[OneHot]] = {
    step.kind: step for step in (Fill, Standardize, Rescale, MinMax, OneHot)
}


def fit_step(config: Prepare, pieces: Pieces, last: tuple[int, ...]) -> Step:
    """What a step of the spec is for the training rows."""
    match config:
        case MinMaxStep(range=range):
            return MinMax.fit(pieces, last, range)
        case OneHotStep():
            return OneHot(*last)
        case StandardizeStep():
            return Standardize.fit(pieces, last)
        case RescaleStep(scale=scale, offset=offset):
            return Rescale(scale, offset)
    raise TypeError(f"no preparation is called {config.kind}")


@dataclass(frozen=True, eq=False)
class Preparation:
    """The fitted steps of every column, in order.

    A column is a name, or a tuple of names for columns side by side along the last axis, as ``assemble`` makes them: before
    preparation each takes one place, after it a one-hot category takes one for each class.
    Arrays keep their dtype where it is floating, else become float64; the arithmetic is float64.
    """

    steps: Mapping[str, tuple[Step, ...]]

    def apply(self, column: str | tuple[str, ...], x: Array) -> Array:
        """From the column's own unit to what the network sees."""
        return self._each(column, x, lambda step, y: step.apply(y), reverse=False)

    def undo(self, column: str | tuple[str, ...], x: Array) -> Array:
        """From what the network sees, or says, to the column's own unit."""
        return self._each(column, x, lambda step, y: step.undo(y), reverse=True)

    def scale(self, column: str | tuple[str, ...]) -> Floats:
        """How much of the column's unit one prepared unit is: an mae is multiplied by it, an mse by its square.

        Shape ``()`` for a number, else one for each entry of the last axis (or ``()`` where they are equal).
        """
        if isinstance(column, tuple):
            if len(column) == 1:
                return self.scale(column[0])
            return np.concatenate([np.broadcast_to(self.scale(name), self.width(name)) for name in column])
        result = np.asarray(1.0)
        for step in self.steps.get(column, ()):
            result = result * step.unit
        return np.asarray(result, np.float64)

    def width(self, column: str) -> int:
        """How many places a column of one value a row takes once it is prepared."""
        return next((step.classes for step in self.steps.get(column, ()) if isinstance(step, OneHot)), 1)

    def one_hot(self, column: str) -> bool:
        """Whether a column of class numbers becomes one of vectors."""
        return any(isinstance(step, OneHot) for step in self.steps.get(column, ()))

    def filled(self, column: str, x: Array) -> Array:
        """Class numbers with what is missing filled in, and nothing else changed."""
        for step in self.steps.get(column, ()):
            x = step.apply(x) if isinstance(step, Fill) else x
        return x

    def _each(
        self, column: str | tuple[str, ...], x: Array, change: Callable[[Step, Array], Array], reverse: bool
    ) -> Array:
        if isinstance(column, tuple) and len(column) > 1:
            widths = [self.width(name) if reverse else 1 for name in column]
            parts = np.split(x, np.cumsum(widths)[:-1], axis=-1)
            if not reverse:
                parts = [part[..., 0] for part in parts]
            done = [self._each(name, part, change, reverse) for name, part in zip(column, parts, strict=True)]
            return np.concatenate([y if y.ndim == x.ndim else y[..., None] for y in done], axis=-1)
        name = column[0] if isinstance(column, tuple) else column
        steps = self.steps.get(name, ())
        if not steps:
            return x
        if self.one_hot(name) and not reverse:  # class numbers, whatever their dtype
            y = x if np.issubdtype(x.dtype, np.integer) else np.where(np.isnan(x), -1, x).astype(np.int64)
        elif np.issubdtype(x.dtype, np.integer) and all(isinstance(step, Fill) for step in steps):
            y = x
        else:
            y = x.astype(np.float64)
        for step in reversed(steps) if reverse else steps:
            y = change(step, y)
        return y.astype(x.dtype) if np.issubdtype(x.dtype, np.floating) else y

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, which JSON writes and reads back to the bit."""
        return {name: [{"kind": step.kind, **step.to_json()} for step in steps] for name, steps in self.steps.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preparation:
        """The preparation that ``to_json`` wrote."""
        return cls({name: tuple(STEPS[step["kind"]].from_json(step) for step in steps) for name, steps in data.items()})
