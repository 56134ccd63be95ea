"""Loads what was declared: reads, divides, fits the preparation on the training rows, and applies it everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from nnspec.data.column import Array, Column, Declaration
from nnspec.data.division import divide
from nnspec.data.images import ImageArray, Images
from nnspec.data.inputs import assemble
from nnspec.data.pixels import Decoded, Pixels, in_memory
from nnspec.data.prepare import Fill, Preparation, Step, fit_step
from nnspec.errors import DataError, Problem
from nnspec.records import dataclass

CHUNK = 1 << 22  # bytes of float64 worked on at a time


@dataclass(frozen=True, eq=False)
class Rows:
    """A split's rows: an array a column, rows first; ``rows`` are their numbers in the source, ascending.

    Images are not read yet: ``Pixels`` stand for their arrays.
    """

    arrays: Mapping[str, Array]
    rows: NDArray[np.intp]

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    def assembled(self, groups: Mapping[str, tuple[str, ...]]) -> Rows:
        """The same rows with an array for each group of columns: network inputs, ``target``."""
        return Rows({name: assemble(self.arrays, columns) for name, columns in groups.items()}, self.rows)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows by split (``train``, and ``validation`` and ``test`` where the spec has them), prepared."""

    declaration: Declaration
    splits: Mapping[str, Rows]
    preparation: Preparation


def load(
    declaration: Declaration,
    precision: Literal["float32", "float64"] = "float32",
    preparation: Preparation | None = None,
) -> Dataset:
    """Reads the rows; ``preparation`` is one fitted before, by default it is fitted on the training rows.

    Numbers and arrays have dtype ``precision``, categories int64. Images stay where they are, and so do training images that
    are augmented: those are prepared afterwards. Raises DataError for a value that is not finite.
    """
    rows = divide(declaration.split, declaration.columns, declaration.array, declaration.drawn, declaration.seed)
    arrays: dict[str, dict[str, Array]] = {name: {} for name in rows}
    steps: dict[str, tuple[Step, ...]] = {}
    moved = {name for a in declaration.augment for name in (*a.images, *a.masks)}
    budget = declaration.loading.budget
    for name, column in declaration.columns.items():
        values, dtype = declaration.read(name), np.dtype(np.int64 if column.dtype == "int64" else precision)
        lazy = isinstance(values, Images)
        if not isinstance(values, Images):
            _check(values, column, name in declaration.missing)
        source = _source(values, budget, dtype) if isinstance(values, Images) or name in moved else None
        if isinstance(source, Decoded):
            budget -= source.kept.nbytes
        raw: Array = values if not isinstance(values, Images) else _plain(source, column, declaration.rows)
        if preparation is None:
            steps[name] = _fit(declaration, column, raw, rows["train"])
        fitted = preparation or Preparation(steps)
        for split, numbers in rows.items():
            changed = name in moved and split == "train"
            if source is not None and (lazy or changed):
                arrays[split][name] = cast(Array, Pixels(source, numbers, column, fitted, dtype, changed))
            else:
                arrays[split][name] = _prepared(fitted, column, raw, numbers, dtype)
    splits = {split: Rows(arrays[split], numbers) for split, numbers in rows.items()}
    return Dataset(declaration, splits, preparation or Preparation({name: s for name, s in steps.items() if s}))


def _source(values: Array | Images, budget: int, dtype: np.dtype[np.generic]) -> Images:
    """Rows to be read in batches: decoded ones are kept within the budget, numbers in the precision that is wanted."""
    if isinstance(values, Images):
        return values if in_memory(values) else Decoded(values, budget)
    return ImageArray(values.astype(dtype, copy=False))


def _plain(source: Images | None, column: Column, rows: int) -> Array:
    """All rows before any preparation, as float64, or class numbers: an array that is read where it is looked at."""
    assert source is not None
    dtype = np.dtype(np.int64 if column.dtype == "int64" else np.float64)
    return cast(Array, Pixels(source, np.arange(rows), column, Preparation({}), dtype))


def _fit(declaration: Declaration, column: Column, raw: Array, train: NDArray[np.intp]) -> tuple[Step, ...]:
    steps: list[Step] = []
    if column.name in declaration.missing:
        steps.append(_fill(column, declaration.missing[column.name], raw[train]))
    for name, config in declaration.prepare:
        if name == column.name:
            before = Preparation({column.name: tuple(steps)})
            steps.append(fit_step(config, partial(_pieces, before, column, raw, train), column.shape[-1:]))
    return tuple(steps)


def _fill(column: Column, how: str | float, x: Array) -> Fill:
    """The value for missing ones, from the training rows where it is a statistic."""
    if isinstance(how, int | float):
        return Fill(float(how))
    known = x[x >= 0] if column.classes else x[~np.isnan(x.astype(np.float64))]
    if column.classes and how != "most_frequent":
        return Fill(float(column.classes.index(how)))
    if how == "zero":
        return Fill(0.0)
    if not known.size:
        raise DataError(
            Problem(
                f"no training row has a value of '{column.name}', so there is no {how}",
                column.place,
                hint="give a number: missing: 0" if not column.classes else "name a class: missing: unknown",
                rule="bad-value",
            )
        )
    if how == "most_frequent":
        values, counts = np.unique(known, return_counts=True)
        return Fill(float(values[np.argmax(counts)]))
    return Fill(float(np.median(known) if how == "median" else np.mean(known)))


def _pieces(preparation: Preparation, column: Column, raw: Array, rows: NDArray[np.intp]) -> Iterator[Array]:
    """The rows so far prepared, as float64, a piece at a time."""
    length = max(1, CHUNK // (8 * max(1, int(np.prod(column.shape)))))
    for start in range(0, len(rows), length):
        piece = raw[rows[start : start + length]]
        yield preparation.apply(column.name, piece if column.classes is not None else piece.astype(np.float64))


def _prepared(
    preparation: Preparation, column: Column, raw: Array, rows: NDArray[np.intp], dtype: np.dtype[np.generic]
) -> Array:
    out = np.empty((len(rows), *column.shape), dtype)
    start = 0
    for piece in _pieces(preparation, column, raw, rows):
        part = out[start : start + len(piece)]
        with np.errstate(over="ignore"):
            part[...] = piece
        if dtype.kind == "f" and not np.isfinite(part).all():
            raise DataError(
                Problem(
                    f"a prepared value of '{column.name}' does not fit {dtype.name}",
                    column.place,
                    hint="precision: float64, or prepare: [standardize: …]",
                    rule="bad-value",
                )
            )
        start += len(piece)
    return out


def _check(raw: Array, column: Column, filled: bool) -> None:
    """Numbers are finite; NaN stands for a missing one where those are filled."""
    if raw.dtype.kind != "f":
        return
    for start in range(0, len(raw), CHUNK):
        piece = raw[start : start + CHUNK]
        bad = np.isinf(piece) if filled else ~np.isfinite(piece)
        if bad.any():
            row = start + int(np.argwhere(bad)[0][0])
            found = "infinite" if np.isinf(raw[row]).any() else "missing (NaN)"
            hint = (
                ""
                if found == "infinite" or column.shape
                else f"fill it: columns: {{{column.name}: {{number: {{missing: median}}}}}}"
            )
            raise DataError(
                Problem(
                    f"row {row + 1} of column '{column.name}' is not a finite number",
                    column.place,
                    found=found,
                    hint=hint,
                    rule="bad-value",
                )
            )
