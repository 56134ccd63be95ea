"""What a spec says of the split, against the columns and the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from nnspec.data.column import SPLITS, Array, Column, Fractions, Table
from nnspec.data.config import CategoryColumn, Split
from nnspec.data.division import divisions, when
from nnspec.data.section import Section, at
from nnspec.data.sources import SHIPPED_TARGETS
from nnspec.errors import Place, Problem, nearest, one_of

EXCLUDE = (  # words of a split that cannot stand together, and why
    ("order", "stratify", "rows that are sorted are not drawn by class"),
    ("order", "group", "rows that are sorted cannot be kept together"),
    ("order", "folds", "folds are drawn, and order puts the latest rows last"),
    ("folds", "train", "every fold trains once the others validate"),
    ("folds", "validation", "each fold validates once"),
)


def fractions(
    section: Section, columns: Mapping[str, Column], table: Table, targets: tuple[str, ...], read: Callable[[str], Array], seed: int
) -> Fractions:
    """How the rows are divided; every part has a row, and training sees every class. Adds what is wrong to the section."""
    given, node, source = section.split, section.split_node, section.name
    place = node.place if node else section.place
    if given is None:
        if source not in SHIPPED_TARGETS or node is not None:
            return Fractions(place=place)
        target = SHIPPED_TARGETS[source]
        return Fractions((("train", 0.8), ("test", 0.2)), target if target in columns else None, place)
    before = len(section.wrong)
    parts = _sizes(section, given, place)
    section.wrong += [
        Problem(f"'{a}' and '{b}' of a split do not go together", at(node, b) or place, hint=why, rule="bad-value")
        for a, b, why in EXCLUDE
        if {a, b} <= given.model_fields_set and getattr(given, a) is not None and getattr(given, b) is not None
    ]
    if given.fold is not None and given.fold > (given.folds or 0):
        wanted = f"1 to {given.folds}" if given.folds else "folds: 5 beside it"
        where = at(node, "fold") or place
        section.wrong.append(Problem("there is no such fold", where, found=f"fold: {given.fold}", wanted=wanted, rule="bad-value"))
    split = Fractions(parts, given.stratify, place, given.order, given.group, given.folds or 0, (given.fold or 1) - 1, given.fold is not None)
    section.wrong += _columns(section, split, columns, table, place)
    word = next((word for word in ("stratify", "order", "group") if getattr(given, word) is not None), None)
    if word is not None and not given.folds and len(parts) == 1 and parts[0][1] >= 1 - 1e-9:
        what = f"the split divides nothing, so that '{word}' would be ignored"
        section.wrong.append(Problem(what, at(node, word) or place, found="all rows train", wanted=f"split: {{{word}: …, validation: 0.2}}",
                                     rule="bad-value"))  # fmt: skip
    if len(section.wrong) == before and not section.wrong and not section.bad:
        _rows(section, split, columns, table, targets, read, seed)
    return split


def _sizes(section: Section, given: Split, place: Place) -> tuple[tuple[str, float], ...]:
    """The parts with their fractions, those of size 0 left out."""
    if given.folds:
        rest = 1.0 - given.test
        train, validation = rest * (given.folds - 1) / given.folds, rest / given.folds
    else:
        train = max(0.0, 1 - given.validation - given.test) if given.train is None else given.train
        validation = given.validation
    sizes = dict(zip(SPLITS, (train, validation, given.test), strict=True))
    total = sum(sizes.values())
    if total > 1 + 1e-9:
        section.wrong.append(Problem("the fractions of the split are more than 1", place, found=f"{total:g}", wanted="at most 1", rule="bad-value"))
    elif train <= 1e-12:
        section.wrong.append(
            Problem("the split leaves no rows to train on", place, found=f"train: {train:g}", wanted="more than 0", rule="bad-value")
        )
    return tuple((name, size) for name, size in sizes.items() if size > 1e-12)


def _columns(section: Section, split: Fractions, columns: Mapping[str, Column], table: Table, place: Place) -> list[Problem]:
    """What is wrong with the columns that a split names."""
    problems = []
    for word in ("stratify", "order", "group"):
        name = getattr(split, word)
        if name is None:
            continue
        where, column = at(section.split_node, word) or place, columns.get(name)
        if column is None:
            dropped = name in table.dropped
            hint = f"leave {{{name}: drop}} out: a column that only says how rows are divided is no feature" if dropped else nearest(name, columns)
            found = "it is dropped" if dropped else ""
            what = f"{word} wants the column '{name}', which the data does not have"
            problems.append(Problem(what, where, found=found, wanted="" if dropped else one_of(columns), hint=hint, rule="unknown-column"))
        elif word == "stratify" and column.kind != "category":
            hint = f"columns: {{{name}: category}}" if column.kind == "number" else ""
            problems.append(Problem(f"stratify wants a category, and column '{name}' is none", where, found=column.kind, hint=hint, rule="bad-value"))
        elif column.kind not in ("number", "category"):
            problems.append(
                Problem(
                    f"{word} wants a column of one value a row, and '{name}' is none",
                    where,
                    found=column.kind,
                    wanted="numbers or texts",
                    rule="bad-value",
                )
            )
        elif word == "order" and column.classes is not None and when(column.classes) is None:
            kind = section.kinds.get(name)
            if not (isinstance(kind, CategoryColumn) and kind.classes is not None):
                strange = next((c for c in column.classes if when((c,)) is None), "some with a time zone, some without")
                hint = f"ISO dates, or the classes in their order: columns: {{{name}: {{category: {{classes: [...]}}}}}}"
                problems.append(
                    Problem(
                        f"column '{name}' cannot be put in order",
                        where,
                        found=f"'{strange[:60]}'",
                        wanted="numbers, or dates as 2024-03-01",
                        hint=hint,
                        rule="bad-value",
                    )
                )
    return problems


def _rows(
    section: Section, split: Fractions, columns: Mapping[str, Column], table: Table, targets: tuple[str, ...],
    read: Callable[[str], Array], seed: int,
) -> None:  # fmt: skip
    """Divides the rows once, to see that it can be done."""
    place, node, read = split.place, section.split_node, cache(read)
    for word in ("order", "group"):
        name = getattr(split, word)
        if name is None:
            continue
        values = read(name)
        lacking = values < 0 if columns[name].classes else np.isnan(values)
        if lacking.any():
            row = int(np.argmax(lacking))
            section.bad.append(
                Problem(
                    f"row {row + 1} has no '{name}', which says where it goes",
                    table.columns[name].where(row) or place,
                    wanted="a value in every row",
                    rule="missing-value",
                )
            )
            return
    counted = len(np.unique(read(split.group))) if split.group else table.rows
    what = f"groups of '{split.group}'" if split.group else "rows"
    if split.folds and split.folds > counted:
        section.wrong.append(
            Problem(
                f"there are more folds than {what}",
                at(node, "folds") or place,
                found=f"{split.folds} folds of {counted} {what}",
                wanted="at least one in each",
                rule="empty-split",
            )
        )
        return
    choices = divisions(split, columns, read, table.rows, seed)
    empty = [(name, size) for name, size in split.parts if not all(len(parts[name]) for parts in choices)]
    section.wrong += [
        Problem(
            f"the split '{name}' is empty",
            at(node, name) or place,
            found=f"{size:g} of {counted} {what}",
            wanted="at least one row",
            rule="empty-split",
        )
        for name, size in empty
    ]
    for fold, parts in enumerate(choices):
        if empty or _unseen(section, split, parts, fold, columns, table, targets, read):
            return


def _unseen(
    section: Section, split: Fractions, parts: Mapping[str, Array], fold: int, columns: Mapping[str, Column], table: Table,
    targets: tuple[str, ...], read: Callable[[str], Array],
) -> bool:  # fmt: skip
    """Classes of targets that training never sees; True where there are some."""
    found = False
    for name in targets:
        column = columns[name]
        if column.kind != "category" or column.classes is None:
            continue
        values = read(name)
        seen = set(np.unique(values[parts["train"]]).tolist())
        for part, rows in parts.items():
            strange = [c for c in np.unique(values[rows]).tolist() if c not in seen and c >= 0]
            if part == "train" or not strange:
                continue
            row = int(rows[np.argmax(values[rows] == strange[0])])
            names = ", ".join(f"'{column.classes[c]}'" for c in strange[:6]) + (", …" if len(strange) > 6 else "")
            where = f"the {part} split" + (f" of fold {fold + 1}" if split.folds else "")
            few = "" if split.stratify or split.order else f"; split: {{…, stratify: {name}}} spreads them evenly"
            section.bad.append(
                Problem(
                    f"class{'es' if len(strange) > 1 else ''} {names} of column '{name}' {'are' if len(strange) > 1 else 'is'} only in {where}",
                    table.columns[name].where(row) or split.place,
                    found=f"row {row + 1} is the first of {int(np.isin(values[rows], strange).sum())}",
                    wanted="every class among the rows to train on",
                    hint=f"more rows of it, or leave it out{few}",
                    rule="unseen-class",
                )
            )
            found = True
            break
    return found
