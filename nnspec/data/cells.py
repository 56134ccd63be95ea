"""A column's values, taken in piece by piece as texts: numbers, classes, or whichever they turn out to be."""

from __future__ import annotations

import math
from itertools import islice
from typing import Protocol

import numpy as np

from nnspec.data.column import Array
from nnspec.data.config import MOST_CLASSES

NO_NUMBER = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"})
_IN_NUMBERS = frozenset("0123456789+-.eE")
Wrong = tuple[int, str, str, str]  # row, message, wanted, hint; {name} is the column's


class Cells(Protocol):
    """What takes in a column's texts, stripped of spaces."""

    @property
    def wrong(self) -> Wrong | None:
        """The first value that does not fit."""
        ...

    @property
    def missing(self) -> int | None:
        """The first row without a value."""
        ...

    def add(self, cells: list[str], start: int) -> None:
        """The next rows' texts; the first of them is row ``start``."""
        ...

    def result(self) -> tuple[Array, tuple[str, ...] | None]:
        """Float numbers and None, or numbers of texts and the texts."""
        ...


class Numbers:
    """Numbers; what stands for a missing one is NaN."""

    def __init__(self, decimal: str = ".") -> None:
        self.decimal = decimal
        self.parts: list[Array] = []
        self.wrong: Wrong | None = None
        self.missing: int | None = None

    def add(self, cells: list[str], start: int) -> None:
        if self.wrong is not None:
            return
        try:
            if not _IN_NUMBERS.issuperset("".join(cells)) or self.decimal != ".":
                raise ValueError
            values = np.array([float(cell) for cell in cells], np.float64)
        except ValueError:
            values = np.array([number(cell, self.decimal) for cell in cells], np.float64)
        for row in np.flatnonzero(~np.isfinite(values)).tolist():
            if cells[row] in NO_NUMBER:
                self.missing = start + row if self.missing is None else self.missing
            else:
                self.wrong = (
                    start + row,
                    "column '{name}' is numbers, and this is none",
                    "a finite number, or nothing where it is missing",
                    self._hint(cells[row]),
                )
                return
        self.parts.append(values)

    def _hint(self, cell: str) -> str:
        if self.decimal == "." and math.isfinite(number(cell, ",")):
            return 'decimal: "," reads numbers with a comma'
        return "correct it, or declare the column: {name}: category"

    def result(self) -> tuple[Array, None]:
        return np.concatenate(self.parts) if self.parts else np.zeros(0), None


class Texts:
    """Classes: every different text is one, ``most`` of them; an empty one is missing (-1)."""

    def __init__(self, most: int | None = MOST_CLASSES) -> None:
        self.most = most
        self.codes: dict[str, int] = {}
        self.parts: list[Array] = []
        self.wrong: Wrong | None = None
        self.missing: int | None = None

    def add(self, cells: list[str], start: int) -> None:
        if self.wrong is not None:
            return  # a column of names that never repeat is not remembered to its end
        codes = self.codes
        values = np.array([codes.setdefault(cell, len(codes)) if cell else -1 for cell in cells], np.int64)
        if self.missing is None and (values < 0).any():
            self.missing = start + int(np.argmax(values < 0))
        if self.most is not None and len(codes) > self.most:
            self.wrong = (
                start + int(np.argmax(values >= self.most)),
                f"column '{{name}}' has more than {self.most} different texts",
                "classes that repeat",
                "leave it out: columns: {{{name}: drop}}",
            )
        self.parts.append(values)

    def result(self) -> tuple[Array, tuple[str, ...]]:
        return np.concatenate(self.parts) if self.parts else np.zeros(0, np.int64), tuple(self.codes)


class Inferred:
    """Numbers if every value is one, texts if none is; a mixture is wrong, for it is often a slip of the pen."""

    def __init__(self, decimal: str = ".") -> None:
        self.decimal = decimal
        self.waiting: list[str] = []  # values before the first that tells
        self.cells: Numbers | Texts | None = None
        self.mixed: Wrong | None = None

    @property
    def wrong(self) -> Wrong | None:
        if self.cells is None:
            return (0, "column '{name}' has no values", "numbers or texts", "leave it out: columns: {{{name}: drop}}")
        if self.mixed is None and isinstance(self.cells, Numbers) and self.cells.wrong is not None:
            row, _, wanted, hint = self.cells.wrong
            return (row, "column '{name}' is numbers up to here, and this is none", wanted, hint)
        return self.mixed or self.cells.wrong

    @property
    def missing(self) -> int | None:
        return self.cells.missing if self.cells else None

    def add(self, cells: list[str], start: int) -> None:
        if self.cells is None:
            telling = next((cell for cell in cells if cell not in NO_NUMBER), None)
            cells, start = self.waiting + cells, start - len(self.waiting)
            if telling is None:
                self.waiting = cells
                return
            self.cells = Numbers(self.decimal) if math.isfinite(number(telling, self.decimal)) else Texts()
        known = len(self.cells.codes) if isinstance(self.cells, Texts) else 0
        self.cells.add(cells, start)
        if isinstance(self.cells, Texts) and self.mixed is None:
            for cell in islice(self.cells.codes, known, None):
                if math.isfinite(number(cell, self.decimal)):
                    self.mixed = (
                        start + cells.index(cell),
                        "column '{name}' is texts up to here, and this is a number",
                        "all texts, or all numbers",
                        "say which: columns: {{{name}: category}}, or number",
                    )
                    break

    def result(self) -> tuple[Array, tuple[str, ...] | None]:
        return self.cells.result() if self.cells else (np.zeros(0), None)


def number(cell: str, decimal: str = ".") -> float:
    """The number a text is, NaN where it is none (``1_000`` and ``inf`` are none)."""
    if decimal != ".":
        cell = cell.replace(".", "x").replace(decimal, ".")
    if not _IN_NUMBERS.issuperset(cell):
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return math.nan
