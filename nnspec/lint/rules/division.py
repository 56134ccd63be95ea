"""Rules about how rows are divided into those that train and those that are measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from nnspec.data.column import Declaration
from nnspec.data.division import when
from nnspec.errors import Problem
from nnspec.lint.columns import values
from nnspec.lint.dropped import dropped
from nnspec.lint.rule import Rule
from nnspec.lint.view import View

WHO = re.compile(r"(?i)(.*[_ -])?(patient|subject|participant|speaker|person|user|customer|client|author|writer|family|donor|animal|member)"
                 r"([_ -]?(id|no|nr|number|code|key|name))?$")  # fmt: skip
WHEN = re.compile(r"(?i)(.*[_ -])?(date|datetime|timestamp|day|time)$")
LEAST = 20  # rows, below which a table says little of itself


class LeakingSplit(Rule, number=48, name="leaking-split"):
    """Rows that belong together, or follow each other in time, are drawn apart."""

    why = """
        Where a patient has several rows and they are drawn one by one, the same patient trains and validates: what is measured is how well
        patients are known again. Where each day is a row, days on both sides of a validation row train, and what is measured is how
        well a gap is filled, not how well tomorrow is foretold. Source: Kaufman, Rosset, Perlich, "Leakage in data mining", 2011; Roberts
        and others, "Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic structure", 2017.
        """
    hint = "split: {group: COLUMN} keeps equal values together, split: {order: COLUMN} lets the last ones validate"
    bad = """
        nnspec: 1
        data:
          inline:
            columns:
              patient: [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5]
              rate: [0.1, 0.3, 0.2, 0.4, 0.7, 0.9, 0.8, 0.6, 0.2, 0.1, 0.3, 0.5, 0.4, 0.6, 0.5, 0.7, 0.9, 0.8, 0.7, 0.6]
              ill: [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
            target: ill
          split: {train: 0.8, validation: 0.2}       # <-
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: sigmoid}
        loss: binary_cross_entropy
        """
    good = bad.replace("{train: 0.8, validation: 0.2}       # <-", "{train: 0.8, validation: 0.2, group: patient}")

    def find(self, view: View) -> Iterator[Problem]:
        data = view.data
        if data is None or not _drawn(data) or data.rows < LEAST:
            return
        place = view.place("data", "split")
        held = dropped(view, lambda name: bool(WHO.match(name) or WHEN.match(name)))
        known: dict[str, list[str] | None] = {**dict.fromkeys(data.features), **held}
        for name, texts in known.items():
            found = _listed(values(data, name)) if texts is None and WHO.match(name) else texts
            if not found:
                continue
            many, aside = len(set(found)), f"; a column that only divides is no feature: leave {{{name}: drop}} out" if texts is not None else ""
            if WHO.match(name) and 4 <= many <= len(found) / 2:
                yield self.at(place, f"rows of one '{name}' come to both sides: they are drawn one by one", found=f"{len(found):,} rows of {many:,}",
                              wanted=f"group: {name}", hint=f"group: {name} keeps them together{aside}")  # fmt: skip
            elif WHEN.match(name) and texts is not None and many >= 0.9 * len(found) and when(tuple(texts[:LEAST])) is not None:
                yield self.at(place, "rows of a series are drawn: days before and after those of validation train", found=f"a row for each '{name}'",
                              wanted=f"order: {name}", hint=f"order: {name} lets the last rows validate{aside}")  # fmt: skip


class RareUnstratified(Rule, number=49, name="rare-unstratified"):
    """A rare class is drawn into a small split by chance."""

    why = """
        Of a class with eight rows a fifth of all rows holds between none and four, as the seed has it: measures of that class are noise, and
        a split without one says nothing of it. `stratify` gives every split its share. Source: Kohavi, "A study of cross-validation and
        bootstrap for accuracy estimation and model selection", 1995.
        """
    hint = "split: {stratify: COLUMN} keeps the classes' proportions in every split"
    bad = """
        nnspec: 1
        data:
          inline:
            columns:
              x: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]
              kind: [a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b, b, c, c, c]
            target: kind
          split: {train: 0.7, validation: 0.3}       # <-
        layers:
          - dense: {units: 16, activation: relu}
          - dense: 3
        loss: cross_entropy
        """
    good = bad.replace("validation: 0.3}       # <-", "validation: 0.3, stratify: kind}")

    def find(self, view: View) -> Iterator[Problem]:
        data = view.data
        if data is None or not _drawn(data) or data.split.stratify is not None or data.rows < LEAST:
            return
        parts = {name: part for name, part in data.split.parts if name != "train" and part > 0}
        if data.split.folds:
            parts["validation"] = 1 / data.split.folds
        for name in data.targets:
            column = data.columns[name]
            found = _listed(values(data, name)) if column.kind == "category" and not column.shape and column.classes and parts else []
            if len(found) < LEAST:
                continue
            number, rows = min(Counter(found).items(), key=lambda item: item[1])
            split = min(parts, key=lambda part: parts[part])
            expected = rows * parts[split]
            if 2 <= rows <= 0.25 * len(found) and expected < 3:
                yield self.at(view.place("data", "split"), f"class '{(column.classes or ())[int(number)]}' comes to '{split}' by chance",
                              found=f"{rows} of {len(found):,} rows, {expected:.1f} of them expected in '{split}'",
                              wanted=f"stratify: {name}", hint=f"stratify: {name} keeps the classes' proportions in every split")  # fmt: skip


def _drawn(data: Declaration) -> bool:
    """Whether chance alone divides the rows."""
    split = data.split
    return split.group is None and split.order is None and (bool(split.folds) or sum(part > 0 for _, part in split.parts) > 1)


def _listed(found: object) -> Sequence[float]:
    return found.tolist() if found is not None and getattr(found, "ndim", 0) == 1 else []  # type: ignore[attr-defined]  # an array
