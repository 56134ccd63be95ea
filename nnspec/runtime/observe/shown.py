"""Inputs, targets and answers of one row as a person looks at them: a picture, numbers with names, a class, a map of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.network.targets import Target
from nnspec.records import dataclass
from nnspec.runtime.observe.measure import rounded
from nnspec.runtime.observe.picture import Picture, class_map, colour, coloured, grey, span
from nnspec.runtime.session import Model

NUMBERS = 64  # of a row that are shown
CLASSES = 10  # of an answer, the likeliest first


@dataclass(frozen=True)
class Absent:
    """Why something has no meaning for a network."""

    reason: str

    def as_json(self) -> dict[str, Any]:
        return {"absent": self.reason}


@dataclass(frozen=True)
class Shown:
    """One value; ``kind`` says which of the others are there, in JSON as here.

    - ``image``: ``picture``, and ``low`` and ``high``, which are its black and white; in the data's own unit
    - ``matrix``: the same of (places, features), grey over its own range
    - ``numbers``: ``names`` and ``values``, the first 64 of ``of``
    - ``class``: ``class``, its ``number`` and ``colour``; of an answer ``classes``, ``values`` (probabilities, the likeliest 10 of ``of``)
      and ``numbers``, the classes' numbers
    - ``units``: yes or no by unit: ``names`` and ``values`` (probabilities; of a target 0 or 1)
    - ``map``: ``picture``, a colour a class, and ``classes``, ``colours``, ``values``: the shares of those that are there
    """

    kind: str
    of: int = 0
    picture: Picture | None = None
    low: float | None = None
    high: float | None = None
    names: tuple[str, ...] | None = None
    values: tuple[float | None, ...] | None = None
    classes: tuple[str, ...] | None = None
    numbers: tuple[int, ...] | None = None
    colours: tuple[str, ...] | None = None
    number: int | None = None
    name: str | None = None

    def as_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"kind": self.kind, "of": self.of}
        if self.picture is not None:
            out["picture"] = self.picture.as_json()
        if self.number is not None:
            out |= {"class": self.name, "number": self.number, "colour": colour(self.number)}
        for key in ("names", "values", "classes", "numbers", "colours"):
            if getattr(self, key) is not None:
                out[key] = list(getattr(self, key))
        return out | ({"low": rounded(self.low), "high": rounded(self.high)} if self.low is not None else {})


def plain(x: Array, names: Sequence[str], bgr: bool = False, unit: bool = False) -> Shown:
    """Numbers in their own unit. With ``unit`` a picture is black at 0 and white at 1, else over its own range."""
    x = np.asarray(x, np.float64)
    image = picture_of(x, bgr)
    if image is not None:
        low, high = span(image)
        if unit and low >= -1e-6 and high <= 1 + 1e-6:
            low, high = 0.0, 1.0
        return Shown("image", x.size, coloured(image, low, high) if image.ndim == 3 else grey(image, low, high), low, high)
    if x.ndim == 2 and min(x.shape) > 1:
        low, high = span(x)
        return Shown("matrix", x.size, grey(x, low, high), low, high)
    flat = x.reshape(-1)
    alone = names[0] if len(names) == 1 else ""
    named = tuple(names) if len(names) == flat.size else tuple(f"{alone}[{i}]" for i in range(min(flat.size, NUMBERS)))
    return Shown("numbers", flat.size, names=named[:NUMBERS], values=tuple(rounded(float(v)) for v in flat[:NUMBERS]))


def picture_of(x: Array, bgr: bool = False) -> Array | None:
    """What of an array is a picture: (height, width) or (height, width, 3); None where it is none."""
    if x.ndim != 3 or min(x.shape[:2]) < 2 or x.shape[2] not in (1, 2, 3, 4):
        return None
    if x.shape[2] < 3:
        return np.asarray(x[..., 0])
    return np.asarray(x[..., 2::-1] if bgr else x[..., :3])


def input_shown(model: Model, name: str, x: Array) -> Shown:
    """One row of an input, in the data's own units."""
    columns, data = tuple(model.spec.built.columns.get(name, ())), model.spec.document.data
    if x.dtype.kind not in "f":
        classes = data.columns[columns[0]].classes if data is not None and len(columns) == 1 else None
        if classes is not None and x.ndim == 0:
            return Shown("class", len(classes), number=int(x), name=classes[int(x)] if 0 <= int(x) < len(classes) else str(int(x)))
        return plain(x, columns or (name,))
    bgr = data is not None and len(columns) == 1 and data.columns[columns[0]].pixels == "bgr"
    return plain(physical(model, columns, x), value_names(model, columns) or (name,), bgr, unit=True)


def value_names(model: Model, columns: tuple[str, ...]) -> tuple[str, ...]:
    """A name for each number that columns side by side are: of a class that is one-hot ``street=hill``."""
    data, out = model.spec.document.data, []
    for c in columns:
        width = model.preparation.width(c) if model.preparation is not None else 1
        classes = (data.columns[c].classes or ()) if data is not None and c in data.columns else ()
        out += [c] if width == 1 else [f"{c}={k}" for k in (classes if len(classes) == width else range(width))]
    return tuple(out)


def physical(model: Model, columns: tuple[str, ...], x: Array) -> Array:
    """One row's numbers as the data has them."""
    if model.preparation is None or not columns:
        return x
    names = columns if len(columns) > 1 else columns[0]
    found = np.asarray(model.preparation.undo(names, x[None].astype(np.float64))[0])
    return np.where(np.abs(found) < 1e-6 * model.preparation.scale(names), 0.0, found)  # what is left of 0 in single precision


def class_names(model: Model, target: Target, units: int) -> tuple[str, ...]:
    """Names for an output's classes, by their numbers where the data has none."""
    n = 2 if units == 1 else units
    known = target.classes or ()
    return tuple(known) if len(known) == n else tuple(map(str, range(n)))


def answer_shown(model: Model, target: Target | None, names: Sequence[str], y: Array) -> Shown:
    """One row of what ``predict`` answers: probabilities where the loss tells classes apart, else numbers in the target's unit."""
    if target is None or not target.term.of.classes:
        columns = target.columns if target is not None else ()
        return plain(physical(model, columns, y) if columns else y, columns or tuple(names), unit=True)
    if by_unit(target):
        return _units(target, y)
    y = np.concatenate([1 - y, y], axis=-1) if y.shape[-1:] == (1,) else y
    classes = class_names(model, target, y.shape[-1])
    if y.ndim > 1:
        return _map(y.argmax(-1), classes)
    order = np.argsort(-y, kind="stable")[:CLASSES]
    best = int(order[0])
    return Shown("class", y.size, classes=tuple(classes[i] for i in order), values=tuple(rounded(float(y[i])) for i in order),
                 numbers=tuple(map(int, order)), number=best, name=classes[best])  # fmt: skip


def target_shown(model: Model, target: Target, t: Array, units: int) -> Shown:
    """One row of what an output is compared with."""
    if not target.term.of.classes:
        return plain(physical(model, target.columns, t) if target.columns else t, target.columns or (target.feed,), unit=True)
    if by_unit(target):
        return _units(target, t)
    ids, classes = class_ids(target, t[None], units)[0], class_names(model, target, units)
    if np.ndim(ids):
        return _map(np.asarray(ids), classes)
    number = int(ids)
    return Shown("class", len(classes), number=number, name=classes[number] if 0 <= number < len(classes) else f"{number}, which counts for nothing")


def _units(target: Target, x: Array) -> Shown:
    """A number for each unit that says yes or no."""
    return Shown("units", x.size, names=unit_names(target, x.size)[:NUMBERS], values=tuple(rounded(float(v)) for v in x.reshape(-1)[:NUMBERS]))


def unit_names(target: Target, units: int) -> tuple[str, ...]:
    """What units that each say yes or no are called."""
    known = target.columns if len(target.columns) == units else target.classes or ()
    return tuple(known) if len(known) == units else tuple(f"[{i}]" for i in range(units))


def _map(ids: Array, classes: tuple[str, ...]) -> Shown:
    """A class for each place."""
    ids = ids if ids.ndim == 2 else ids.reshape(len(ids), -1)
    there, counts = np.unique(ids, return_counts=True)
    shares = [(int(k), float(c / ids.size)) for k, c in zip(there, counts, strict=True)]
    names = tuple(classes[k] if 0 <= k < len(classes) else "counts for nothing" for k, _ in shares)
    return Shown("map", ids.size, class_map(ids), classes=names, values=tuple(rounded(s) for _, s in shares), numbers=tuple(k for k, _ in shares),
                 colours=tuple(colour(k) if k >= 0 else "#000000" for k, _ in shares))  # fmt: skip


def by_unit(target: Target) -> bool:
    """Whether each of several units says yes or no by itself."""
    y = target.output
    return y is not None and target.term.of.binary(y) and y.rank > 1 and y.shape[-1] != 1 and y.rank == 2


def class_ids(target: Target, t: Array, units: int) -> Array:
    """Rows of a target as class numbers; -1 where it counts for nothing."""
    if t.dtype.kind == "f" and units > 1 and t.ndim > 1 and t.shape[-1] == units:
        return np.asarray(t.argmax(-1))
    ids = np.asarray(np.rint(t) if t.dtype.kind == "f" else t, np.int64)
    ids = ids[..., 0] if units == 1 and ids.ndim > 1 and ids.shape[-1] == 1 else ids
    return ids if target.void is None else void_out(target, ids)


def void_out(target: Target, ids: Array) -> Array:
    """Class numbers with -1 for what is ignored; where the output has no unit for it, those behind it move up."""
    void = target.void
    assert void is not None
    moved = ids if void.unit else np.where(ids > void.number, ids - 1, ids)
    return np.where(ids == void.number, -1, moved)
