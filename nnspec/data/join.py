"""Joins the tables of several files into one: rows one after another, columns of equal names and types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from nnspec.data.column import Array, Raw, Table
from nnspec.data.images import Images, Joined
from nnspec.errors import DataError, Place, Problem, Source

File = tuple[str, Path, Table]  # its split, or ""


def join(files: Sequence[File]) -> Table:
    """One table of all rows, and how many of them each split has. Raises DataError where columns differ."""
    _, first, table = files[0]
    if len(files) == 1:
        return replace(table, given=given(files))
    problems = [p for _, path, other in files[1:] for p in _differences(first, table, path, other)]
    if problems:
        raise DataError(*problems)
    columns = {name: join_raw([(t.rows, t.columns[name]) for _, _, t in files]) for name in table.columns}
    found = tuple(p for _, _, t in files for p in t.problems)
    return Table(sum(t.rows for _, _, t in files), columns, table.dropped, found, given(files))


def given(files: Sequence[File]) -> tuple[tuple[str, int], ...]:
    """The rows of each split that has files of its own."""
    counts: dict[str, int] = {}
    for split, _, table in files:
        counts[split] = counts.get(split, 0) + table.rows
    return tuple((split, rows) for split, rows in counts.items() if split)


def _differences(first: Path, table: Table, path: Path, other: Table) -> list[Problem]:
    place = Place(Source(str(path), ""))
    if set(table.names) != set(other.names):
        more = sorted(set(other.names) - set(table.names)), sorted(set(table.names) - set(other.names))
        found = "; ".join(f"{word} {', '.join(names[:8])}" for word, names in zip(("also", "without"), more, strict=True) if names)
        return [Problem("the files differ in their columns", place, found=found, wanted=f"the columns of {first.name}", rule="ragged-files")]
    problems = []
    for name, raw in table.columns.items():
        a, b = _kind(raw), _kind(other.columns[name])
        if a != b and not table.problems and not other.problems:
            message = f"the files differ in column '{name}'"
            problems.append(Problem(message, place, found=b, wanted=f"{a}, as in {first.name}", rule="ragged-files"))
    return problems


def _kind(raw: Raw) -> str:
    shape = " x ".join(map(str, raw.shape))
    held = "texts" if raw.texts is not None else "masks" if raw.classes is not None else "images" if raw.pixels else "numbers"
    return f"{held} {shape}".strip()


def join_raw(parts: Sequence[tuple[int, Raw]]) -> Raw:
    """A column of the rows of several; texts are numbered anew."""
    first = parts[0][1]
    starts = np.cumsum([0, *(rows for rows, _ in parts)]).tolist()
    texts = tuple(dict.fromkeys(t for _, raw in parts for t in raw.texts or ())) if first.texts is not None else None
    lacking = next((start + raw.missing for start, (_, raw) in zip(starts, parts, strict=False) if raw.missing is not None), None)
    raws = [raw for _, raw in parts]
    return Raw(first.shape, partial(_values, raws, texts), texts, _where(starts, raws), lacking, first.classes, first.pixels, first.bytes)


def _values(raws: Sequence[Raw], texts: tuple[str, ...] | None) -> Array | Images:
    values = [raw.values() for raw in raws]
    images = [v for v in values if isinstance(v, Images)]
    if images:
        return Joined(images)
    if texts is None:
        return np.concatenate(values)  # type: ignore[arg-type]  # no images are among them
    known = {text: i for i, text in enumerate(texts)}
    return np.concatenate([np.array([*(known[t] for t in raw.texts or ()), -1], np.int64)[raw.array()] for raw in raws])


def _where(starts: Sequence[int], raws: Sequence[Raw]) -> Callable[[int], Place | None]:
    def where(row: int) -> Place | None:
        i = max(n for n in range(len(raws)) if starts[n] <= row)
        return raws[i].where(row - starts[i])

    return where
