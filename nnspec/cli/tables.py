"""Measures that are tables, as text: a row for each class that is, a column for each class that it was taken for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def lines(table: Sequence[Sequence[float]], classes: Sequence[str] | None) -> Iterator[str]:
    """The rows of a table under the names of its columns; of one without classes under their numbers."""
    names = list(classes) if classes is not None and len(classes) == len(table) else [str(i) for i in range(len(table))]
    cells = [[f"{value:g}" for value in row] for row in table]
    first = max(len(name) for name in ("is", *names))
    widths = [max(len(name), *(len(row[i]) for row in cells)) for i, name in enumerate(names)]
    yield "  ".join(("is".ljust(first), *(name.rjust(w) for name, w in zip(names, widths, strict=True)), " <- taken for"))
    for name, row in zip(names, cells, strict=True):
        yield "  ".join((name.ljust(first), *(cell.rjust(w) for cell, w in zip(row, widths, strict=True))))
