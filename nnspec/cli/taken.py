"""What a model takes: its inputs, the columns of its data that they are made of, and values brought into them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnspec.data.cells import number
from nnspec.data.column import Array, Column, Raw, index_of
from nnspec.data.config import CategoryColumn, ColumnKind, DropColumn, ImageColumn, NumberColumn
from nnspec.data.images import Images
from nnspec.data.inputs import assemble
from nnspec.errors import DataError, Place, Problem, SpecError, nearest, one_of

if TYPE_CHECKING:
    from nnspec.runtime.session import Model


class Taken:
    """The columns of a model's data where it has data, else its inputs by name."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.shapes = {name: tuple(t.shape) for name, t in model.spec.inputs.items()}
        self.data = model.spec.document.data
        self.columns: Mapping[str, tuple[str, ...]] = model.spec.built.columns
        self.needed = [c for name in self.shapes for c in self.columns.get(name, ())]

    def column(self, name: str) -> Column:
        """The column of that name, or the only one of the input of that name."""
        assert self.data is not None
        if name not in self.data.columns and len(self.columns.get(name, ())) == 1:
            name = self.columns[name][0]
        return self.data.columns[name]

    def kind(self, name: str) -> ColumnKind:
        if self.data is None or (name not in self.needed and name not in self.shapes):
            return NumberColumn() if self.data is None else DropColumn()
        column = self.data.columns.get(name)
        if column is not None and column.pixels:
            return ImageColumn(size=(column.shape[0], column.shape[1]), channels=column.pixels)
        stacked = name in self.shapes and name not in self.data.columns and len(self.columns[name]) > 1
        return NumberColumn() if stacked or self.column(name).classes is None else CategoryColumn()

    # Values of a column

    def values(self, name: str, raw: Raw) -> Array:
        """A column as numbers, or as class numbers."""
        if raw.texts is None:
            return self.numbers(name, raw)
        classes = self.column(name).classes or ()
        if strange := [t for t in raw.texts if t not in classes]:
            row = int(np.argwhere(raw.array() == raw.texts.index(strange[0]))[0][0])
            raise DataError(
                Problem(
                    f"row {row + 1} of column '{name}' is none of its classes",
                    raw.where(row),
                    found=f"'{strange[0][:60]}'",
                    wanted=one_of(classes),
                    hint=nearest(strange[0], classes),
                )
            )
        return index_of(raw.texts, classes)[raw.array()]

    def numbers(self, name: str, raw: Raw) -> Array:
        if raw.texts is not None:
            raise DataError(Problem(f"column '{name}' holds texts", raw.where(0), wanted="numbers"))
        values = raw.values()
        if isinstance(values, Images):
            return values.take(range(len(values))) / np.float32(255)
        return values if values.dtype.kind in "iu" and self.data is None else values.astype(np.float64)

    def typed_value(self, name: str, cell: str, row: str) -> Array:
        classes = self.column(name).classes
        if classes is None:
            value = number(cell) if cell else math.nan
            if cell and not math.isfinite(value):
                order = f", in the order {','.join(self.needed)}" if len(self.needed) > 1 else ""
                raise self.not_a_row(row, f"a number for '{name}'{order}", f"'{cell[:60]}'")
            return np.array([value], np.float64)
        if cell and cell not in classes:
            raise SpecError(
                Problem(f"'{cell}' is no class of '{name}'", wanted=one_of(classes), hint=nearest(cell, classes))
            )
        return np.array([classes.index(cell) if cell else -1], np.int64)

    # Columns as inputs

    def feeds(self, values: Mapping[str, Array]) -> dict[str, Array]:
        return {name: self.input(name, values) for name in self.shapes}

    def input(self, name: str, values: Mapping[str, Array]) -> Array:
        """An input from its columns."""
        columns = self.columns.get(name, (name,))
        return assemble({c: self.whole((c,), values[c]) for c in columns}, columns)

    def given(self, path: Path, name: str, x: Array) -> Array:
        """An input that is one array; numbers may leave out their axis of length 1."""
        x = x[:, None] if x.ndim == 1 and self.shapes[name] == (1,) else x
        self.check_shape(path, name, x)
        return self.whole(self.columns.get(name, (name,)), x)

    def whole(
        self, columns: Sequence[str], x: Array, where: Callable[[int], Place | None] = lambda row: None
    ) -> Array:
        """What ``predict`` takes: numbers in their own unit, classes with missing ones filled; all else is there."""
        preparation = self.model.preparation
        names = tuple(columns) if len(columns) > 1 else columns[0]
        numbers, precision = x.dtype.kind == "f", self.model.spec.settings.held
        filled = x if preparation is None else preparation.apply(names, x) if numbers else preparation.filled(columns[0], x)
        if numbers:
            with np.errstate(over="ignore"):
                bad = ~np.isfinite(filled.astype(precision)) | np.isinf(x.astype(precision))
        else:
            bad = (filled < 0) & (self.data is not None)
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            lacks = f"has no value, or one that does not fit {precision}" if numbers else "has no value"
            message = f"row {row + 1} of '{', '.join(columns)}' {lacks}"
            raise DataError(Problem(message, where(row), wanted="a value in every row"))
        return x if numbers else filled

    def check_shape(self, path: Path, name: str, x: Array) -> None:
        """Here, where it is known that a file is wrong and not the call."""
        found, wanted = x.shape[1:], self.shapes[name]
        fits = len(found) == len(wanted) and all(n == d for n, d in zip(found, wanted, strict=True) if isinstance(d, int))
        if not fits:
            shapes = (" x ".join(map(str, shape)) or "single numbers" for shape in (found, wanted))
            raise DataError(Problem(f"{path}: the rows of '{name}' do not fit", found=next(shapes), wanted=next(shapes)))

    def not_a_row(self, text: str, wanted: str, found: str = "") -> SpecError:
        return SpecError(
            Problem(
                f"'{text[:60]}' is neither a file nor a row",
                found=found,
                wanted=wanted,
                hint="an image, a .csv or an .npz file may be given",
            )
        )
