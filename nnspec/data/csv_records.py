"""Reads a CSV file row by row, and knows where in the file every value stands."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nnspec.errors import DataError, Place, Problem, Source
from nnspec.records import dataclass

LARGEST = 1 << 30  # bytes of a file
LONGEST = 1 << 20  # bytes of a line
FIELD = 131_072  # characters of a value, the limit of Python's csv module


@dataclass(frozen=True, slots=True, eq=False)
class Line(Source):
    """One line of a file too large to keep; ``text`` is the line."""

    number: int = 1

    def line(self, number: int) -> str:
        return self.text if number == self.number else ""


class Record(NamedTuple):
    """One row of the file: its values, its first line, and the text it came from."""

    cells: list[str]
    line: int
    text: str


def read_records(path: Path, separator: str) -> Iterator[Record]:
    """The file's rows; empty lines at its end do not count. Raises DataError."""
    taken: list[str] = []  # lines since the last record
    number = 0

    def lines(file: BinaryIO) -> Iterator[str]:
        nonlocal number
        for text in _lines(path, file):
            taken.append(text)
            number += 1
            yield text

    blank: list[Record] = []
    with path.open("rb") as file:
        reader = csv.reader(lines(file), delimiter=separator, skipinitialspace=separator != " ", strict=True)
        while True:
            start = number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as e:
                raise DataError(_csv_problem(path, str(e), start, taken)) from None
            record = Record(cells, start, "".join(taken))
            taken.clear()
            if not cells:
                blank.append(record)
                continue
            yield from blank
            blank.clear()
            yield record


def _csv_problem(path: Path, message: str, start: int, taken: list[str]) -> Problem:
    text = taken[0].rstrip("\r\n") if taken else ""
    hint = "put quotes around the whole value, and double those inside it"
    if "field larger" in message:
        message, hint = f"a value is longer than {FIELD} characters", "a double quote may have been left open"
    elif "unexpected end" in message:
        message, hint = "a double quote is left open until the end of the file", ""
    elif "new-line" in message:
        message, hint = "a carriage return stands inside the line", "save the file with line ends of Unix or Windows"
    return Problem(
        message, Place(Line(str(path), text, start), start, text.find('"') + 1 or 1), hint=hint, rule="bad-csv"
    )


def _lines(path: Path, file: BinaryIO) -> Iterator[str]:
    """The file's lines as text; anything that is not UTF-8 text is a DataError."""
    number = total = 0
    while raw := file.readline(LONGEST + 1):
        number += 1
        total += len(raw)
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
            _check_start(path, raw)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as e:
            if len(raw) <= LONGEST:
                text = raw.decode("utf-8", "replace")
                column = len(raw[: e.start].decode("utf-8")) + 1
                raise DataError(
                    Problem(
                        "the file is not UTF-8",
                        Place(Line(str(path), text, number), number, column),
                        found=f"byte 0x{raw[e.start]:02x}",
                        wanted="UTF-8 text",
                        hint="save it as UTF-8",
                        rule="not-utf8",
                    )
                ) from None
            text = ""
        problem = ""
        column = 1
        if "\0" in text:
            column, problem = text.index("\0") + 1, "a NUL character stands in the line"
        elif len(raw) > LONGEST:
            text, problem = "", f"the line is longer than {LONGEST} bytes"
        elif total > LARGEST:
            problem = f"the file is larger than {LARGEST} bytes; store it as npz"
        if problem:
            raise DataError(
                Problem(problem, Place(Line(str(path), text[:10_000], number), number, column), rule="bad-csv")
            )
        yield text


def _check_start(path: Path, raw: bytes) -> None:
    kinds = {
        b"\x1f\x8b": "gzip: unpack it",
        b"PAR1": "parquet: name it under parquet",
        b"PK\x03\x04": "zip: unpack it, or name it under npz",
        b"\xff\xfe": "UTF-16: save it as UTF-8",
        b"\xfe\xff": "UTF-16: save it as UTF-8",
    }
    for start, hint in kinds.items():
        if raw.startswith(start):
            raise DataError(
                Problem(
                    "the file is not a CSV text",
                    Place(Line(str(path), "")),
                    found=hint.split(":")[0],
                    wanted="UTF-8 text",
                    hint=hint.split(": ")[1],
                    rule="bad-csv",
                )
            )


def place_of(path: Path, record: Record, index: int, separator: str) -> Place:
    """Where a row's value begins, quotes and several lines considered."""
    position, seen, quoted = 0, 0, False
    for position, character in enumerate(record.text):  # noqa: B007  # the position is the result
        if seen == index and not (character == " " and not quoted):
            break
        if character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            seen += 1
    before = record.text[:position]
    line = record.line + before.count("\n")
    text = record.text.split("\n")[line - record.line].rstrip("\r")
    return Place(Line(str(path), text, line), line, position - (before.rfind("\n") + 1) + 1)
