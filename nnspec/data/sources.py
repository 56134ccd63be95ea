"""Reads what a source holds: the shipped sets, rows in the spec, CSV and npz files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nnspec.data import config
from nnspec.data.column import Table
from nnspec.data.config import DropColumn
from nnspec.data.csv_file import read_csv
from nnspec.data.inline import read_inline
from nnspec.data.npz_file import read_npz
from nnspec.data.section import Section, at
from nnspec.data.shipped_sets import read_digits, read_iris
from nnspec.errors import DataError, Place, Problem, nearest
from nnspec.spec.source import Mapping as MappingNode

SHIPPED_TARGETS = {"digits": "digit", "iris": "species"}


def read_source(section: Section, folder: Path) -> Table:
    """What the source of a section holds. Raises SpecError or DataError."""
    fields, body, kinds = section.fields, section.body, section.kinds
    match fields:
        case config.Csv():
            return _file(
                lambda path: read_csv(path, fields, kinds), folder, fields.path, at(body, "path") or section.place
            )
        case config.Npz():
            return _file(lambda path: read_npz(path, kinds), folder, fields.path, at(body, "path") or section.place)
        case config.Inline():
            columns = body.pairs["columns"] if isinstance(body, MappingNode) else None
            assert isinstance(columns, MappingNode)  # its fields were checked
            return read_inline(columns, kinds)
        case config.Digits():
            table = read_digits()
        case _:
            table = read_iris()
    dropped = tuple(name for name, kind in kinds.items() if isinstance(kind, DropColumn) and name in table.columns)
    return Table(table.rows, {name: raw for name, raw in table.columns.items() if name not in dropped}, dropped)


def _file(read: Callable[[Path], Table], folder: Path, name: str, place: Place) -> Table:
    path = folder / name
    try:
        if path.is_file():
            return read(path)
        found = "a folder" if path.is_dir() else "no regular file" if path.exists() else "nothing there"
        near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    except (OSError, ValueError) as e:
        found, near = getattr(e, "strerror", None) or str(e), ""
    if any(mark in name for mark in "*?["):
        near = "a pattern for several files: not in this version"
    raise DataError(
        Problem(
            f"the data file '{name}' cannot be read",
            place,
            found=found,
            wanted="a file; paths are relative to the spec",
            hint=near,
            rule="no-file",
        )
    )
