"""What a column called ``sample_weight`` must be: a number of at least 0 for each row, and not 0 for all rows of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nnspec.data.column import SAMPLE_WEIGHT, Array, Column, Fractions, Table, as_array
from nnspec.data.config import CategoryColumn, NumberColumn
from nnspec.data.division import divisions
from nnspec.data.images import Images
from nnspec.data.section import Section, at
from nnspec.errors import Problem


def weights_of_rows(
    section: Section, columns: Mapping[str, Column], targets: tuple[str, ...], table: Table, read: Callable[[str], Array | Images],
    split: Fractions, seed: int,
) -> None:  # fmt: skip
    """Adds what is wrong with the column to the section, where there is one."""
    column = columns.get(SAMPLE_WEIGHT)
    if column is None:
        return
    kind = section.kinds.get(SAMPLE_WEIGHT)
    if SAMPLE_WEIGHT in targets:
        place = at(section.body, "target") or section.place
        what = f"'{SAMPLE_WEIGHT}' is no target: it says what each row weighs"
        section.wrong.append(Problem(what, place, wanted="another column", rule="sample-weight"))
    elif column.kind != "number" or isinstance(kind, CategoryColumn):
        shape = " x ".join(map(str, column.shape))
        section.wrong.append(Problem(f"column '{SAMPLE_WEIGHT}' says what each row weighs", column.place, found=f"{column.kind} {shape}".strip(),
                                     wanted="a number for each row", hint="a column that means something else has another name",
                                     rule="sample-weight"))  # fmt: skip
    elif not section.wrong and not section.bad:
        _values(section, table, columns, as_array(read(SAMPLE_WEIGHT)), lambda name: as_array(read(name)), split, seed)


def _values(
    section: Section, table: Table, columns: Mapping[str, Column], weights: Array, read: Callable[[str], Array], split: Fractions, seed: int
) -> None:
    """What is wrong with the numbers: one that is no weight, or a split whose rows weigh nothing."""
    kind, column = section.kinds.get(SAMPLE_WEIGHT), columns[SAMPLE_WEIGHT]
    how = kind.missing if isinstance(kind, NumberColumn) else "error"
    if isinstance(how, float | int) and how < 0:
        section.wrong.append(Problem(f"what is missing in column '{SAMPLE_WEIGHT}' cannot weigh {how:g}", column.place, wanted="at least 0",
                                     rule="sample-weight"))  # fmt: skip
    bad = (weights < 0) | np.isinf(weights) | (np.isnan(weights) & (how == "error"))
    if bad.any():
        row = int(np.argmax(bad))
        section.bad.append(Problem(f"row {row + 1} of column '{SAMPLE_WEIGHT}' is no weight", table.columns[SAMPLE_WEIGHT].where(row) or column.place,
                                   found=f"{weights[row]:g}", wanted="a finite number of at least 0", rule="sample-weight"))  # fmt: skip
        return
    filled = np.where(np.isnan(weights), how if isinstance(how, float | int) else how != "zero", weights)

    def of_drawn(name: str) -> Array:
        return read(name)[: table.drawn]

    for fold, parts in enumerate(divisions(split, columns, of_drawn, table.drawn, seed)):
        empty = next((name for name, rows in parts.items() if len(rows) and not filled[rows].any()), None)
        if empty is not None:
            where = f"the {empty} split" + (f" of fold {fold + 1}" if split.folds else "")
            section.bad.append(Problem(f"the rows of {where} weigh nothing", column.place, found=f"{len(parts[empty])} times 0",
                                       wanted="a weight above 0 in every split", hint=f"correct the column '{SAMPLE_WEIGHT}', or drop it",
                                       rule="sample-weight"))  # fmt: skip
            return
