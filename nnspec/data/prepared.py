"""Which columns each preparation of a spec changes, and what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nnspec.data.column import SAMPLE_WEIGHT, Column, Table
from nnspec.data.config import OneHotStep, Prepare
from nnspec.data.section import Section, find
from nnspec.errors import Problem, nearest, one_of


def preparations(
    section: Section, columns: Mapping[str, Column], targets: tuple[str, ...], table: Table
) -> list[tuple[str, Prepare]]:
    """Which step touches which column, in order. Adds what is wrong to the section."""
    aside = (*targets, getattr(section.split, "order", None), getattr(section.split, "group", None), SAMPLE_WEIGHT)
    numbers = [name for name, column in columns.items() if column.dtype == "float32"]
    classes = [name for name, column in columns.items() if column.kind == "category"]
    pairs: list[tuple[str, Prepare]] = []
    for step, node in section.steps:
        floats = classes if isinstance(step, OneHotStep) else numbers
        names = (step.columns,) if isinstance(step.columns, str) else step.columns
        if names is None:
            names = tuple(name for name in floats if name not in aside)
        if getattr(step, "scale", 1.0) == 0:
            section.wrong.append(Problem("rescale by 0 cannot be undone", node.place, rule="bad-value"))
        if not names:
            section.wrong.append(Problem(f"{step.kind} has no columns to work on", node.place, rule="bad-value"))
        for i, name in enumerate(names):
            place = find(node, name)
            if name not in columns:
                found = "it is dropped" if name in table.dropped else ""
                section.wrong.append(
                    Problem(
                        f"{step.kind} wants the column '{name}', which the data does not have",
                        place,
                        found=found,
                        wanted=one_of(columns),
                        hint=nearest(name, columns),
                        rule="unknown-column",
                    )
                )
            elif name == SAMPLE_WEIGHT:
                what = f"{step.kind} cannot change '{SAMPLE_WEIGHT}', which says what each row weighs"
                section.wrong.append(Problem(what, place, hint="weights need no scale: a mean divides by their sum", rule="bad-value"))
            elif name not in floats:
                works, holds = ("categories", columns[name].kind) if floats is classes else ("numbers", "classes")
                what = f"{step.kind} works on {works}, and column '{name}' holds {'an ' if holds[0] in 'ai' else ''}{holds}"
                hint = f"columns: {{{name}: category}}" if holds == "number" else ""
                section.wrong.append(Problem(what.replace("holds number", "holds numbers"), place, hint=hint, rule="bad-value"))
            elif (name, OneHotStep) in [(n, type(s)) for n, s in pairs] and floats is classes:
                section.wrong.append(Problem(f"column '{name}' is one_hot already", place, wanted="one_hot once", rule="bad-value"))
            elif name in names[:i]:
                section.wrong.append(Problem(f"{step.kind} names the column '{name}' twice", place, wanted="each name once", rule="bad-value"))
            else:
                pairs.append((name, step))
    return pairs


def one_hot(column: Column) -> Column:
    """A category as the vector that it is prepared to be."""
    return replace(column, kind="one_hot", shape=(len(column.classes or ()),), dtype="float32")
