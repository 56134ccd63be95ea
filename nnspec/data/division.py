"""Which rows each part of a declared split has: drawn, grouped, ordered or in folds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.data.column import Array, Column, Fractions
from nnspec.data.split import Rows, grouped_rows, ordered_rows, rows_of_files, split_rows

MONTH = re.compile(r"\d{4}-\d{2}\Z")


def divide(
    split: Fractions, columns: Mapping[str, Column], read: Callable[[str], Array], rows: int, seed: int
) -> dict[str, Rows]:
    """The rows of each part, ascending; those of splits with files of their own come after the ``rows`` that are divided."""
    if not split.folds:
        return {**_parts(split, columns, read, np.arange(rows), seed), **rows_of_files(split.given)}
    folds, held = in_folds(split, columns, read, rows, seed)
    return {**of_fold(folds, held, split.fold), **rows_of_files(split.given)}


def divisions(split: Fractions, columns: Mapping[str, Column], read: Callable[[str], Array], rows: int, seed: int) -> list[dict[str, Rows]]:
    """The same for every fold, where there are some."""
    if not split.folds:
        return [divide(split, columns, read, rows, seed)]
    folds, held = in_folds(split, columns, read, rows, seed)
    return [{**of_fold(folds, held, number), **rows_of_files(split.given)} for number in range(split.folds)]


def in_folds(
    split: Fractions, columns: Mapping[str, Column], read: Callable[[str], Array], rows: int, seed: int
) -> tuple[list[Rows], dict[str, Rows]]:
    """The rows of each fold, and of the parts that are in none."""
    test = dict(split.parts).get("test", 0.0)
    whole = replace(split, parts=(("rest", 1 - test), ("test", test)) if test else (("rest", 1.0),))
    held = _parts(whole, columns, read, np.arange(rows), seed)
    each = replace(split, parts=tuple((str(i), 1 / split.folds) for i in range(split.folds)))
    return list(_parts(each, columns, read, held.pop("rest"), seed).values()), held


def of_fold(folds: list[Rows], held: Mapping[str, Rows], number: int) -> dict[str, Rows]:
    """The parts where one fold validates and the others train."""
    train = [part for i, part in enumerate(folds) if i != number]
    return {"train": np.sort(np.concatenate(train)), "validation": folds[number], **held}


def _parts(
    split: Fractions, columns: Mapping[str, Column], read: Callable[[str], Array], rows: Rows, seed: int
) -> dict[str, Rows]:
    """The same for some of the rows, folds left aside."""
    classes = read(split.stratify)[rows].astype(np.int64) if split.stratify else None
    if split.order:
        found = ordered_rows(split.parts, sort_keys(columns[split.order], read(split.order))[rows])
    elif split.group:
        found = grouped_rows(split.parts, read(split.group)[rows], seed, classes)
    else:
        found = split_rows(split.parts, len(rows), seed, classes)
    return {name: rows[chosen] for name, chosen in found.items()}


def sort_keys(column: Column, values: Array) -> NDArray[Any]:
    """What rows are sorted by: numbers, dates, or else the order of the classes."""
    dates = when(column.classes or ())
    if dates is None:
        return values
    ranks = {date: rank for rank, date in enumerate(sorted(set(dates)))}
    return np.array([ranks[date] for date in dates], np.int64)[values]


def when(texts: tuple[str, ...]) -> list[datetime] | None:
    """The ISO dates that texts are; None where one is none, or some have a time zone and others have not."""
    try:
        dates = [datetime.fromisoformat(f"{text}-01" if MONTH.match(text) else text) for text in texts]
    except ValueError:
        return None
    return dates if dates and len({date.tzinfo is None for date in dates}) == 1 else None
