"""What a spec says of the split, against the columns and the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nnspec.data.column import SPLITS, Array, Column, Fractions
from nnspec.data.section import Section, at
from nnspec.data.sources import SHIPPED_TARGETS
from nnspec.data.split import portions
from nnspec.errors import Place, Problem, nearest, one_of


def fractions(section: Section, columns: Mapping[str, Column], rows: int, read: Callable[[str], Array]) -> Fractions:
    """How the rows are divided; every part that has a fraction has a row. Adds what is wrong to the section."""
    given, node, source = section.split, section.split_node, section.name
    place = node.place if node else section.place
    if given is None:
        if source not in SHIPPED_TARGETS or node is not None:
            return Fractions(place=place)
        target = SHIPPED_TARGETS[source]
        return Fractions((("train", 0.8), ("test", 0.2)), target if target in columns else None, place)
    train = max(0.0, 1 - given.validation - given.test) if given.train is None else given.train
    sizes = dict(zip(SPLITS, (train, given.validation, given.test), strict=True))
    total = sum(sizes.values())
    if total > 1 + 1e-9:
        section.wrong.append(
            Problem(
                "the fractions of the split are more than 1",
                place,
                found=f"{total:g}",
                wanted="at most 1",
                rule="bad-value",
            )
        )
    elif train <= 1e-12:
        section.wrong.append(
            Problem(
                "the split leaves no rows to train on",
                place,
                found=f"train: {train:g}",
                wanted="more than 0",
                rule="bad-value",
            )
        )
    parts = tuple((name, size) for name, size in sizes.items() if size > 1e-12)
    column = columns.get(given.stratify) if given.stratify else None
    if given.stratify and (column is None or column.kind != "category"):
        section.wrong.append(_no_category(given.stratify, column, columns, at(node, "stratify") or place))
    elif not section.wrong and not section.bad:
        counts = np.unique(read(column.name), return_counts=True)[1] if column else np.array([rows])
        for (name, size), taken in zip(
            parts, portions(counts, tuple(size for _, size in parts)).sum(axis=0).tolist(), strict=True
        ):
            if not taken:
                section.wrong.append(
                    Problem(
                        f"the split '{name}' is empty",
                        at(node, name) or place,
                        found=f"{size:g} of {rows} rows",
                        wanted="at least one row",
                        rule="empty-split",
                    )
                )
    return Fractions(parts, given.stratify, place)


def _no_category(name: str, column: Column | None, columns: Mapping[str, Column], place: Place) -> Problem:
    if column is None:
        return Problem(
            f"stratify wants the column '{name}', which the data does not have",
            place,
            wanted=one_of(columns),
            hint=nearest(name, columns),
            rule="unknown-column",
        )
    return Problem(
        f"stratify wants a category, and column '{name}' is none",
        place,
        found=column.kind,
        hint=f"columns: {{{name}: category}}" if column.kind == "number" else "",
        rule="bad-value",
    )
