"""What a network answers all over the plane, where its inputs are two numbers, with the rows of its data in it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError
from nnspec.ir.op import Array
from nnspec.records import dataclass
from nnspec.runtime.observe.confusion import port_of
from nnspec.runtime.observe.measure import rounded
from nnspec.runtime.observe.picture import Picture, as_bytes, colour, rgb, span
from nnspec.runtime.observe.rows import Split
from nnspec.runtime.observe.samples import said_classes
from nnspec.runtime.observe.shown import Absent, by_unit, class_ids, class_names, physical
from nnspec.runtime.session import Model

SIZE, MOST = 64, 256
MARGIN = 0.1  # of the data's range, on each side
POINTS = 500  # of a split


@dataclass(frozen=True)
class Boundary:
    """Answers over a grid of ``size`` by ``size`` places, from ``low`` to ``high`` along both axes, in the data's own units.

    Rows of the grid go from the largest y (above) to the smallest, as in a picture. Of classes ``labels`` are their numbers, a byte
    each, and ``sure`` the probability of that class, 0 to 255; of numbers ``values`` are float32, little-endian, and ``least`` and
    ``most`` their range. ``picture`` is all of it in colour, paler where it is less sure. ``points`` are rows of the data by split: (x, y,
    class or number). In JSON bytes are base64.
    """

    output: str
    axes: tuple[str, str]
    low: tuple[float, float]
    high: tuple[float, float]
    size: int
    picture: Picture
    points: Mapping[str, tuple[tuple[float | None, float | None, float | None], ...]]
    classes: tuple[str, ...] = ()
    labels: bytes = b""
    sure: bytes = b""
    values: bytes = b""
    least: float | None = None
    most: float | None = None

    def as_json(self) -> dict[str, Any]:
        grids = {key: b64encode(getattr(self, key)).decode() for key in ("labels", "sure", "values") if getattr(self, key)}
        return {
            "output": self.output, "axes": list(self.axes), "low": [rounded(v) for v in self.low], "high": [rounded(v) for v in self.high],
            "size": self.size, "picture": self.picture.as_json(), "points": {split: [list(p) for p in rows] for split, rows in self.points.items()},
            "classes": list(self.classes), "colours": [colour(k) for k in range(len(self.classes))], **grids,
            "least": rounded(self.least), "most": rounded(self.most),
        }  # fmt: skip


def boundary(model: Model, splits: Mapping[str, Split], output: str, size: int = SIZE) -> Boundary | Absent:
    """Answers of one output over the range of the data. Raises SpecError where ``size`` is no size."""
    if not 2 <= size <= MOST:
        raise SpecError(Problem("a grid has no such size", found=str(size), wanted=f"2 to {MOST}", rule="observe"))
    port = port_of(model, output)
    shapes = {name: t.shape for name, t in model.spec.inputs.items()}
    if sum(int(np.prod([d if isinstance(d, int) else 0 for d in shape])) for shape in shapes.values()) != 2:
        return Absent("a plane is shown of networks whose inputs are two numbers")
    if any(not t.dtype.is_float for t in model.spec.inputs.values()):
        return Absent("a plane is shown of two numbers, and one of the inputs is a class")
    columns = {name: tuple(model.spec.built.columns.get(name, ())) for name in shapes}
    if model.preparation is not None and any(model.preparation.one_hot(c) for names in columns.values() for c in names):
        return Absent("a plane is shown of two numbers, and the input is a class of two")
    if len(port.shape) > 1:
        return Absent(f"'{output}' is more than one number or class a row")
    points = {name: _plane(model, columns, shapes, split) for name, split in splits.items()}
    known = np.concatenate(list(points.values())) if points else np.array([[-1.0, -1.0], [1.0, 1.0]])
    low, high = known.min(0), known.max(0)
    margin = np.where(high > low, (high - low) * MARGIN, 1.0)
    low, high = low - margin, high + margin
    x, y = np.meshgrid(np.linspace(low[0], high[0], size), np.linspace(high[1], low[1], size))
    said = model.predict(_fed(shapes, np.stack([x.reshape(-1), y.reshape(-1)], axis=1)))
    answer = np.asarray(said[output] if isinstance(said, dict) else said, np.float64)
    names = [c for own in columns.values() for c in own]
    axes = (names[0], names[1]) if len(names) == 2 else (f"{names[0]}[0]", f"{names[0]}[1]") if names else ("x", "y")
    return _drawn(model, output, axes, (low, high), size, answer, {name: _meant(model, output, split) for name, split in splits.items()}, points)


def _plane(model: Model, columns: Mapping[str, tuple[str, ...]], shapes: Mapping[str, Any], split: Split) -> Array:
    """Rows as points, in the data's own units."""
    arrays = split.take(np.arange(min(split.rows, POINTS)))
    parts = []
    for name in shapes:
        own = columns[name]
        parts.append(np.stack([np.reshape(physical(model, own, row), -1) for row in arrays[name]]))
    return np.concatenate(parts, axis=1).astype(np.float64)


def _fed(shapes: Mapping[str, Any], points: Array) -> dict[str, Array]:
    """Points as the network's inputs."""
    feeds, taken = {}, 0
    for name, shape in shapes.items():
        width = int(np.prod(shape))
        feeds[name] = points[:, taken : taken + width].reshape(-1, *shape)
        taken += width
    return feeds


def _meant(model: Model, output: str, split: Split) -> Array | None:
    """What the rows should be: class numbers, or numbers in their own unit."""
    target = model.spec.built.answering(port_of(model, output))
    if target is None or target.feed not in split.arrays:
        return None
    t = split.take(np.arange(min(split.rows, POINTS)))[target.feed]
    if target.term.of.classes and not by_unit(target):
        units = target.port.type.shape[-1] if target.port.type is not None and len(target.port.type.shape) > 1 else 1
        return np.reshape(class_ids(target, t, units if isinstance(units, int) else 1), -1)
    t = t.reshape(len(t), -1)[:, 0]
    return np.array([np.reshape(physical(model, target.columns[:1], v), -1)[0] for v in t]) if target.columns else t


def _drawn(
    model: Model, output: str, axes: tuple[str, str], ends: tuple[Array, Array], size: int, answer: Array, meant: Mapping[str, Array | None],
    places: Mapping[str, Array],
) -> Boundary:  # fmt: skip
    """The grid as numbers and as a picture."""
    target = model.spec.built.answering(port_of(model, output))
    points = {
        name: tuple((rounded(float(a)), rounded(float(b)), None if (t := meant[name]) is None else rounded(float(t[i])))
                    for i, (a, b) in enumerate(xy)) for name, xy in places.items()
    }  # fmt: skip
    low, high = (float(ends[0][0]), float(ends[0][1])), (float(ends[1][0]), float(ends[1][1]))
    if target is not None and target.term.of.classes and not by_unit(target):
        width = answer.shape[-1] if answer.ndim > 1 else 1
        labels = said_classes(answer).reshape(size, size)
        one = answer.reshape(len(answer), -1)
        best = (np.maximum(one[:, 0], 1 - one[:, 0]) if width == 1 else one.max(1)).reshape(size, size)
        classes = class_names(model, target, width)
        if len(classes) <= 256:
            return Boundary(output, axes, low, high, size, _picture(labels, best, len(classes)), points, classes,
                            labels.astype(np.uint8).tobytes(), as_bytes(best, 0, 1).tobytes())  # fmt: skip
    values = answer.reshape(size * size, -1)[:, 0].reshape(size, size)
    least, most = span(values)
    picture = _two_sided(values, least, most)
    return Boundary(output, axes, low, high, size, picture, points, values=values.astype("<f4").tobytes(), least=least, most=most)


def _picture(labels: Array, sure: Array, classes: int) -> Picture:
    """Each class in its colour, white where the network is as sure as who guesses."""
    table = np.array([rgb(k) for k in range(classes)], np.float64)
    chance = 1 / classes
    strength = np.clip((sure - chance) / (1 - chance), 0, 1)[..., None] * 0.6 + 0.08  # points in the full colours stand out
    return Picture(np.asarray(255 + (table[labels] - 255) * strength + 0.5, np.uint8))


def _two_sided(values: Array, least: float, most: float) -> Picture:
    """Orange for the least, white between, blue for the most."""
    t = as_bytes(values, least, most)[..., None] / 127.5 - 1
    ends = np.where(t < 0, np.array(rgb(1), np.float64), np.array(rgb(0), np.float64))
    return Picture(np.asarray(255 + (ends - 255) * np.abs(t) * 0.8 + 0.5, np.uint8))
