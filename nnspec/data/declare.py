"""Reads a spec's data section and says what it promises: columns, types, classes, rows; every problem at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnspec.data.augmented import augmentations, balanced
from nnspec.data.cells import number
from nnspec.data.column import Array, Column, ColumnType, Declaration, Fractions, Raw, Table, as_array, index_of
from nnspec.data.config import CategoryColumn, ImageColumn, NumberColumn, OneHotStep
from nnspec.data.csv_file import column_hint
from nnspec.data.fractions import fractions
from nnspec.data.images import Images
from nnspec.data.prepared import one_hot, preparations
from nnspec.data.section import Section, at
from nnspec.data.source_kinds import ImageFolder
from nnspec.data.sources import SHIPPED_TARGETS, read_source
from nnspec.data.weights import weights_of_rows
from nnspec.errors import DataError, NnspecError, Problem, SpecError, nearest, one_of
from nnspec.spec.source import Node

OF_PATHS = ("csv", "npz", "parquet", "inline")  # sources of which a column may hold paths of images


def declare(node: Node, folder: Path, seed: int) -> Declaration:
    """The declaration of a data section; paths in it are relative to ``folder``.

    Without ``split`` all rows train, but of ``digits`` and ``iris`` a stratified fifth is the test split. Classes come
    from all rows. A CSV file is read for its types; of an npz only what is needed. Raises SpecError, or DataError
    if only a data file is wrong.
    """
    return _Declare(Section(node), folder, seed).declaration()


class _Declare:
    """A section against what its source holds: every part adds its problems, and the end raises them together."""

    def __init__(self, section: Section, folder: Path, seed: int) -> None:
        self.section, self.folder, self.seed = section, folder, seed
        self.kinds, self.places = section.kinds, section.places
        self.wrong, self.bad = section.wrong, section.bad

    def declaration(self) -> Declaration:
        section = self.section
        table = section.attempt(lambda: read_source(section, self.folder)) if section.fields else None
        if table is None:
            raise self.error()
        self.bad += table.problems
        targets = self.targets(table)
        columns, values = self.columns(table, targets)

        def read(name: str) -> Array:
            return as_array(values(name))[: table.drawn]

        prepare = preparations(section, columns, targets, table)
        parts = fractions(section, columns, replace(table, rows=table.drawn), targets, read, self.seed)
        parts = replace(parts, given=table.given)
        self.files_of_splits(table, targets, columns, parts)
        weights_of_rows(section, columns, targets, table, values, parts, self.seed)
        augment = augmentations(section, columns, targets)
        balance = balanced(section, columns, targets)
        if self.wrong or self.bad:
            raise self.error()
        columns |= {name: one_hot(columns[name]) for name, step in prepare if isinstance(step, OneHotStep)}
        missing = {
            column: kind.missing
            for column, kind in self.kinds.items()
            if isinstance(kind, NumberColumn | CategoryColumn) and kind.missing != "error" and column in columns
        }
        names: dict[str, object] = {
            c.name: {"shape": c.shape, **({"classes": len(c.classes)} if c.classes else {})} for c in columns.values()
        }
        return Declaration(
            section.name,
            columns,
            targets,
            table.rows,
            names,
            self.seed,
            parts,
            tuple(prepare),
            missing,
            section.place,
            values,
            section.loading,
            augment,
            balance,
        )

    def error(self) -> NnspecError:
        return SpecError(*self.wrong, *self.bad) if self.wrong else DataError(*self.bad)

    def targets(self, table: Table) -> tuple[str, ...]:
        node = self.section.body or self.section.node
        shipped = SHIPPED_TARGETS.get(self.section.name)
        if shipped:
            return (shipped,) if shipped in table.columns else ()
        given = getattr(self.section.fields, "target", ())
        if isinstance(self.section.fields, ImageFolder):
            given = "label" if "label" in table.columns else ()
        targets = (given,) if isinstance(given, str) else given
        place = at(node, "target") or node.place
        for i, target in enumerate(targets):
            if target in table.dropped:
                self.wrong.append(
                    Problem(f"the target '{target}' is dropped", self.places.get(target, place), rule="bad-value")
                )
            elif target not in table.columns:
                self.wrong.append(
                    Problem(
                        f"the data has no column '{target}' for a target",
                        at(node, "target", i) or place,
                        wanted=one_of(table.names),
                        hint=column_hint(target, table.names),
                        rule="unknown-column",
                    )
                )
            elif target in targets[:i]:
                self.wrong.append(
                    Problem(f"the target '{target}' is named twice", at(node, "target", i) or place, wanted="each once", rule="bad-value")
                )
        return tuple(target for target in targets if target in table.columns)

    def columns(self, table: Table, targets: tuple[str, ...]) -> tuple[dict[str, Column], Callable[[str], Array | Images]]:
        """The columns, features first, and how a column is read."""
        for name, place in self.places.items():
            if name not in table.names:
                self.wrong.append(
                    Problem(
                        f"the data has no column '{name}'",
                        place,
                        wanted=one_of(table.names),
                        hint=column_hint(name, table.names),
                        rule="unknown-column",
                    )
                )
        if not table.columns:
            self.wrong.append(Problem("every column is dropped", self.section.place, rule="bad-value"))
        ordered = [*(name for name in table.columns if name not in targets), *targets]
        columns = {name: self.column(name, table.columns[name]) for name in dict.fromkeys(ordered)}
        codes = {
            name: index_of(raw.texts, columns[name].classes or ())
            for name, raw in table.columns.items()
            if raw.texts is not None
        }

        def read(name: str) -> Array | Images:
            raw = table.columns[name]
            return codes[name][raw.array()] if name in codes else raw.values()

        return columns, read

    def column(self, name: str, raw: Raw) -> Column:
        place, kind = self.places.get(name, self.section.place), self.kinds.get(name)
        classes = raw.classes
        if raw.texts is not None:
            category = kind if isinstance(kind, CategoryColumn) else CategoryColumn()
            classes = classes_of(raw.texts, category)
            self.check_classes(name, raw, raw.texts, category, classes)
        held = "texts" if raw.texts is not None else "masks" if raw.classes is not None else "images" if raw.pixels else "numbers of a shape"
        wrong = CategoryColumn if held != "texts" else NumberColumn
        unread = isinstance(kind, ImageColumn) and self.section.name not in OF_PATHS
        if unread or isinstance(kind, wrong) or (isinstance(kind, NumberColumn) and held in ("masks", "images")):
            source = self.section.name
            hint = f"the source says it: {source}: {{path: …, size: …}}" if source in ("image_folder", "files") else f"leave '{name}' out of columns"
            what = f"column '{name}' holds no paths of images" if unread else f"column '{name}' cannot be a {kind.kind if kind else ''}"
            self.wrong.append(Problem(what, place, found=held, hint=hint, rule="bad-value"))
        policy = getattr(kind, "missing", "error")
        if policy != "error" and raw.shape:
            self.wrong.append(
                Problem(
                    f"column '{name}' holds arrays; missing values are filled in columns of one value a row only",
                    place,
                    rule="bad-value",
                )
            )
        elif raw.missing is not None and policy == "error":
            how = f"{{{'category' if classes else 'number'}: {{missing: {'most_frequent' if classes else 'median'}}}}}"
            self.bad.append(
                Problem(
                    f"row {raw.missing + 1} of column '{name}' has no value",
                    raw.where(raw.missing) or place,
                    found="nothing",
                    wanted="a class" if classes else "a number",
                    hint=f"say what to put there: columns: {{{name}: {how}}}",
                    rule="missing-value",
                )
            )
        if classes is not None:
            return Column(name, "array" if raw.shape else "category", raw.shape, "int64", classes, place)
        shape_kinds: dict[int, ColumnType] = {0: "number", 3: "image"}
        return Column(name, shape_kinds.get(len(raw.shape), "array"), raw.shape, "float32", None, place, raw.pixels, raw.bytes)

    def files_of_splits(self, table: Table, targets: tuple[str, ...], columns: dict[str, Column], split: Fractions) -> None:
        """A split has files or a fraction, not both; and training sees every class that is answered elsewhere."""
        node = self.section.split_node
        for name, _ in table.given[1:]:
            if name in dict(split.parts):
                place = at(node, name) or self.section.place
                self.wrong.append(
                    Problem(f"the split '{name}' has files of its own", place, wanted="a fraction of the train files, or files", rule="bad-value")
                )
        for name in targets if not self.wrong and not self.bad else ():
            classes, start = columns[name].classes, table.drawn
            if classes is None or table.columns[name].texts is None:
                continue
            codes = index_of(table.columns[name].texts or (), classes)[table.columns[name].array()]
            seen = np.isin(np.arange(len(classes)), codes[:start])
            for part, rows in table.given[1:]:
                strange = np.argwhere((codes[start : start + rows] >= 0) & ~seen[codes[start : start + rows]])
                if strange.size:
                    row = int(strange[0][0])
                    label = classes[int(codes[start : start + rows][tuple(strange[0])])]
                    self.bad.append(
                        Problem(
                            f"class '{label[:60]}' of column '{name}' is only in the {part} split",
                            table.columns[name].where(start + row) or columns[name].place,
                            found=f"row {row + 1} of its files is the first",
                            wanted="every class among the rows to train on",
                            hint="more rows of it, or leave it out",
                            rule="unseen-class",
                        )
                    )
                start += rows

    def check_classes(
        self, name: str, raw: Raw, texts: tuple[str, ...], kind: CategoryColumn, classes: tuple[str, ...]
    ) -> None:
        if len(set(classes)) < len(classes):
            self.wrong.append(
                Problem(f"a class of column '{name}' is named twice", self.places.get(name), wanted="each once", rule="bad-value")
            )
        if kind.missing not in ("error", "most_frequent", *classes):
            self.wrong.append(
                Problem(
                    f"what is missing in column '{name}' cannot be '{kind.missing}'",
                    self.places.get(name),
                    wanted=f"error, most_frequent, or {one_of(classes)}",
                    hint=nearest(kind.missing, classes),
                    rule="unknown-class",
                )
            )
        known = set(classes)
        strange = next((i for i, text in enumerate(texts) if text not in known), None)
        if strange is not None:
            row = int(np.argwhere(raw.array() == strange)[0][0])
            wanted = (
                f"a whole number from 0 to {len(classes) - 1}" if isinstance(kind.classes, int) else one_of(classes)
            )
            self.bad.append(
                Problem(
                    f"row {row + 1} of column '{name}' is none of its classes",
                    raw.where(row) or self.places.get(name),
                    found=f"'{texts[strange][:60]}'",
                    wanted=wanted,
                    hint=nearest(texts[strange], classes),
                    rule="unknown-class",
                )
            )


def classes_of(texts: tuple[str, ...], kind: CategoryColumn) -> tuple[str, ...]:
    """The classes in order: as the spec says, else sorted, by number where all are numbers."""
    if isinstance(kind.classes, int):
        return tuple(str(i) for i in range(kind.classes))
    if kind.classes is not None:
        return tuple(str(c).lower() if isinstance(c, bool) else str(c) for c in kind.classes)
    named = {kind.missing} - {"error", "most_frequent"}
    texts = tuple({*texts, *named})
    if all(math.isfinite(number(text)) for text in texts):
        return tuple(sorted(texts, key=lambda text: (number(text), text)))
    return tuple(sorted(texts))
