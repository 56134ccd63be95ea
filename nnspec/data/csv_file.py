"""Reads a CSV file into columns of numbers and texts; whatever is wrong has its file, line and column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from nnspec.data.cells import Cells, Inferred, Numbers, Texts
from nnspec.data.column import SAMPLE_WEIGHT, Raw, Table
from nnspec.data.config import CategoryColumn, ColumnKind, DropColumn, ImageColumn, NumberColumn
from nnspec.data.csv_records import LONGEST, Line, Record, place_of, read_records
from nnspec.data.source_kinds import Csv
from nnspec.errors import LIMIT, DataError, Place, Problem, nearest

CHUNK = 8192  # rows converted at a time


def read_csv(path: Path, fields: Csv, kinds: Mapping[str, ColumnKind]) -> Table:
    """The table in a file; ``kinds`` says what the spec says of its columns. Raises DataError if there is none."""
    records = read_records(path, fields.separator)
    first = next(records, None)
    if first is None:
        raise DataError(Problem("the file has no rows", Place(Line(str(path), "")), rule="empty-file"))
    names = _names(path, first, fields)
    columns = {
        name: (i, _cells(kinds.get(name), fields.decimal))
        for i, name in enumerate(names)
        if not isinstance(kinds.get(name), DropColumn)
    }
    rows, problems = _scan(path, records if fields.header is True else _chain(first, records), names, columns)
    if not rows and not problems:
        problems.append(
            Problem("the file has a header and no rows", place_of(path, first, 0, fields.separator), rule="empty-file")
        )
    where = partial(_locate, path, fields)
    for name, (i, cells) in columns.items():
        if cells.wrong is not None and not problems:
            row, message, wanted, hint = cells.wrong
            place, text = where(i)(row)
            problems.append(
                Problem(
                    message.format(name=name),
                    place,
                    found=f"'{text[:60]}'" if text else "",
                    wanted=wanted,
                    hint=hint.format(name=name) if name != SAMPLE_WEIGHT else "",
                    rule="bad-value",
                )
            )
    dropped = tuple(name for name in names if name not in columns)
    return Table(rows, {name: _raw(cells, where(i)) for name, (i, cells) in columns.items()}, dropped, tuple(problems))


def _raw(cells: Cells, where: Callable[[int], tuple[Place | None, str]]) -> Raw:
    values, texts = cells.result()
    return Raw((), lambda: values, texts, lambda row: where(row)[0], cells.missing)


def _cells(kind: ColumnKind | None, decimal: str) -> Cells:
    match kind:
        case NumberColumn():
            return Numbers(decimal)
        case CategoryColumn():
            return Texts()
        case ImageColumn():
            return Texts(most=None)
    return Inferred(decimal)


def _names(path: Path, first: Record, fields: Csv) -> list[str]:
    """The columns' names, from the first line or from the spec."""
    width = len(first.cells)
    if fields.header is False:
        return [f"column_{i + 1}" for i in range(width)]
    names = list(fields.header) if isinstance(fields.header, tuple) else [cell.strip() for cell in first.cells]
    place = partial(place_of, path, first, separator=fields.separator)
    if len(names) != width:
        raise DataError(
            Problem(
                "the header in the spec does not fit the file",
                place(0),
                found=f"{width} values in the first line",
                wanted=f"{len(names)}, one for each name",
                rule="ragged-rows",
            )
        )
    problems = []
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        if not name:
            problems.append(
                Problem(
                    f"column {i + 1} has no name",
                    place(i),
                    hint="name it in the first line, or give the names as header: [...]",
                    rule="bad-header",
                )
            )
        elif name in seen:
            problems.append(
                Problem(
                    f"two columns are called '{name}'",
                    place(i),
                    found=f"columns {seen[name] + 1} and {i + 1}",
                    wanted="different names",
                    rule="bad-header",
                )
            )
        seen.setdefault(name, i)
    if problems:
        raise DataError(*problems)
    return names


def _scan(
    path: Path, records: Iterable[Record], names: list[str], columns: Mapping[str, tuple[int, Cells]]
) -> tuple[int, list[Problem]]:
    """Feeds every row to the columns; how many rows there are, and which rows are too short or too long."""
    problems: list[Problem] = []
    rows, width, otherwise = 0, len(names), separator_hint(tuple(names))
    records = iter(records)
    while chunk := list(islice(records, CHUNK)):
        for record in chunk:
            if len(record.cells) != width and len(problems) < LIMIT:
                problems.append(_ragged(path, record, width, otherwise))
                if otherwise:  # every row would say the same
                    return rows, problems
        if problems:
            if len(problems) >= LIMIT:
                break
            continue
        turned = list(zip(*(record.cells for record in chunk), strict=True))
        for i, cells in columns.values():
            cells.add([cell.strip() for cell in turned[i]], rows)
        rows += len(chunk)
    return rows, problems


def _ragged(path: Path, record: Record, width: int, otherwise: str) -> Problem:
    place = Place(Line(str(path), record.text.rstrip("\r\n")[:LONGEST], record.line), record.line, 1)
    found = f"{len(record.cells)} value{'s' if len(record.cells) != 1 else ''}" if record.cells else "an empty line"
    return Problem(
        "the row does not fit the header",
        place,
        found=found,
        wanted=f"{width}",
        hint=otherwise or ("a value that holds the separator stands in double quotes" if len(record.cells) > width else ""),
        rule="ragged-rows",
    )


def _locate(path: Path, fields: Csv, index: int) -> Callable[[int], tuple[Place | None, str]]:
    """Finds a row's value in the file again: only errors pay for places."""

    def where(row: int) -> tuple[Place | None, str]:
        with suppress(DataError, OSError):
            record = next(islice(read_records(path, fields.separator), row + (fields.header is True), None), None)
            if record is not None and index < len(record.cells):
                return place_of(path, record, index, fields.separator), record.cells[index].strip()
        return None, ""

    return where


def _chain(first: Record, rest: Iterable[Record]) -> Iterator[Record]:
    yield first
    yield from rest


def separator_hint(names: tuple[str, ...], hint: str = "separator: {}") -> str:
    """A hint for a header that seems to be separated by something else: such a mark is there as often as names are."""
    for mark, spelt in ((";", '";"'), ("\t", '"\\t"'), ("|", '"|"')):
        if sum(name.count(mark) for name in names) >= len(names):
            return "the file seems to be separated otherwise: " + hint.format(spelt)
    return ""


def column_hint(word: str, names: tuple[str, ...]) -> str:
    """What to say of a column that the file does not have."""
    return separator_hint(names) or nearest(word, names)
