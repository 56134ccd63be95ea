"""Which columns feed which input of the network, and how they become one array."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np

from nnspec.data.column import SAMPLE_WEIGHT, Array, Declaration
from nnspec.errors import Place, Problem, SpecError, nearest, one_of


def input_columns(
    declaration: Declaration,
    inputs: Mapping[str, tuple[str, ...] | None],
    places: Mapping[str, Place] | None = None,
    also: Collection[str] = (),
) -> dict[str, tuple[str, ...]]:
    """The columns of every input; None stands for an input that does not name any.

    An input takes the column of its name, or those it names; a single input takes every column that is no target;
    without inputs there is one of these, called ``image`` where it has three axes, else ``features``. Raises SpecError
    for columns that do not exist, do not fit together, or feed nothing; those of ``also`` have another use.
    """
    places = places or {}
    features = declaration.features
    if not inputs:
        shape, _ = input_type(declaration, features)
        return {"image" if len(shape) == 3 else "features": features}
    problems: list[Problem] = []
    chosen: dict[str, tuple[str, ...]] = {}
    for name, columns in inputs.items():
        place = places.get(name, declaration.place)
        if SAMPLE_WEIGHT in (columns or ()):
            what = f"input '{name}' wants the column '{SAMPLE_WEIGHT}', which says what each row weighs"
            problems.append(Problem(what, place, wanted="other columns", hint="a feature has another name", rule="sample-weight"))
        if columns is None:
            columns = (name,) if name in declaration.columns else features if len(inputs) == 1 else ()
            if not columns:
                problems.append(
                    Problem(
                        f"input '{name}' has no column of its name",
                        place,
                        wanted=one_of(declaration.columns),
                        hint=nearest(name, declaration.columns) or f"say which: {name}: {{columns: [...]}}",
                        rule="unknown-column",
                    )
                )
                continue
        before = len(problems)
        for column in columns:
            if column not in declaration.columns:
                problems.append(
                    Problem(
                        f"input '{name}' wants the column '{column}', which the data does not have",
                        place,
                        wanted=one_of(declaration.columns),
                        hint=nearest(column, declaration.columns),
                        rule="unknown-column",
                    )
                )
        if len(problems) == before:
            try:
                input_type(declaration, columns, f"input '{name}'", place)
            except SpecError as e:
                problems += e.problems
        chosen[name] = columns
    used = {column for columns in chosen.values() for column in columns}
    problems += [
        Problem(
            f"column '{name}' feeds no input and is no target",
            declaration.columns[name].place or declaration.place,
            hint=f"name it under an input's columns, or leave it out: columns: {{{name}: drop}}",
            rule="unused-column",
        )
        for name in features
        if name not in used and name not in also and not any(p.rule == "unknown-column" for p in problems)
    ]
    if problems:
        raise SpecError(*problems)
    return chosen


def input_type(
    declaration: Declaration, columns: Sequence[str], what: str = "the input", place: Place | None = None
) -> tuple[tuple[int, ...], Literal["float32", "int64"]]:
    """Shape without the batch, and dtype, of columns taken together (an input, or a target). Raises SpecError.

    Numbers are stacked to ``(n,)``, one alone too, and one-hot categories stand among them with as many places as they
    have classes; one array, image or category stays as it is.
    """
    place = place or declaration.place
    found = [declaration.columns[name] for name in columns]
    if not found:
        raise SpecError(
            Problem(
                f"{what} has no columns",
                place,
                hint="every column is a target, or only says how rows are divided or what they weigh" if declaration.columns else "",
                rule="unknown-column",
            )
        )
    if all(column.joins for column in found):
        return (sum(column.shape[0] if column.shape else 1 for column in found),), "float32"
    if len(found) == 1:
        return found[0].shape, found[0].dtype
    odd = next(column for column in found if not column.joins)
    hint = f"give it an input of its own: inputs: {{{odd.name}: {{columns: {odd.name}}}, …}}"
    if odd.dtype == "int64":
        hint += ", and an embedding"
    if odd.kind == "category":
        hint += f"; or prepare: [one_hot: {odd.name}]"
    if not declaration.targets:
        hint = f"say which column is to be predicted, beside the data's path: target: {found[-1].name}; or {hint}"
    raise SpecError(
        Problem(
            f"{what} cannot hold columns of different kinds",
            place,
            found=", ".join(f"{column.name}: {describe(column.kind, column.shape)}" for column in found[:8]),
            wanted="numbers only, or a single column",
            hint=hint,
            rule="mixed-columns",
        )
    )


def describe(kind: str, shape: tuple[int, ...]) -> str:
    """A column's type in a few words."""
    return f"{kind} {' x '.join(map(str, shape))}".strip()


def assemble(arrays: Mapping[str, Array], columns: Sequence[str]) -> Array:
    """The array of columns taken together: ``(rows, n)`` of n numbers and vectors; a single other column itself, not copied."""
    first = arrays[columns[0]]
    if len(columns) == 1 and (first.ndim > 1 or first.dtype.kind == "i"):
        return first
    return np.concatenate([x[:, None] if x.ndim == 1 else x for x in (arrays[name] for name in columns)], axis=1)
