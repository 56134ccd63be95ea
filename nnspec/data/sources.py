"""Reads what a source holds: the shipped sets, rows in the spec, files of tables, arrays and images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnspec.data import source_kinds
from nnspec.data.column import SAMPLE_WEIGHT, Table
from nnspec.data.config import DropColumn, NumberColumn
from nnspec.data.csv_file import read_csv
from nnspec.data.file_columns import read_files
from nnspec.data.idx_file import beside, read_idx
from nnspec.data.image_column import with_images
from nnspec.data.image_folder import read_image_folder
from nnspec.data.inline import read_inline
from nnspec.data.npz_file import read_npz
from nnspec.data.parquet_file import read_parquet
from nnspec.data.paths import Part, parts, read_parts
from nnspec.data.section import Section, at
from nnspec.data.shipped_sets import read_digits, read_iris
from nnspec.data.source_kinds import FileColumn
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node

SHIPPED_TARGETS = {"digits": "digit", "iris": "species"}


def read_source(section: Section, folder: Path) -> Table:
    """What the source of a section holds. Raises SpecError or DataError."""
    fields, body, kinds = section.fields, section.body, section.kinds
    kinds.setdefault(SAMPLE_WEIGHT, NumberColumn())
    dropped = tuple(name for name, kind in kinds.items() if isinstance(kind, DropColumn))
    match fields:
        case source_kinds.Csv():
            return _tables(section, folder, fields.path, lambda path: read_csv(path, fields, kinds))
        case source_kinds.Npz():
            return _tables(section, folder, fields.path, lambda path: read_npz(path, kinds))
        case source_kinds.Parquet():
            return _tables(section, folder, fields.path, lambda path: read_parquet(path, kinds))
        case source_kinds.Idx():
            return _idx(section, folder, fields, dropped)
        case source_kinds.ImageFolder():
            return read_image_folder(parts(fields.path, folder, _path_node(body), section.place, folders=True), fields, kinds)
        case source_kinds.Files():
            return _files(section, folder, fields, dropped)
        case source_kinds.Inline():
            columns = body.pairs["columns"] if isinstance(body, MappingNode) else None
            assert isinstance(columns, MappingNode)  # its fields were checked
            return with_images(read_inline(columns, kinds), kinds, folder, folder)
        case source_kinds.Digits():
            table = read_digits()
        case _:
            table = read_iris()
    held = tuple(name for name in dropped if name in table.columns)
    return Table(table.rows, {name: raw for name, raw in table.columns.items() if name not in held}, held)


def _tables(section: Section, folder: Path, path: str | Mapping[str, str], read: Callable[[Path], Table]) -> Table:
    """Files that hold all columns each."""
    given = parts(path, folder, _path_node(section.body), section.place)
    return read_parts(lambda file: with_images(read(file), section.kinds, file.parent, folder), given)


def _path_node(body: Node | None) -> Node | None:
    return body.pairs.get("path") if isinstance(body, MappingNode) else body


def _idx(section: Section, folder: Path, fields: source_kinds.Idx, dropped: tuple[str, ...]) -> Table:
    """A file for each column."""
    tables: dict[str, Table] = {}
    extra: Mapping[str, Any] = fields.model_extra or {}
    for name, path in extra.items():
        if name not in dropped:
            given = parts(path, folder, at_node(section.body, name), section.place)
            tables[name] = read_parts(lambda file, name=name: read_idx(file, name, section.kinds.get(name)), given)  # type: ignore[misc]  # mypy knows no defaults of lambdas
    held = tuple(name for name in dropped if name in extra)
    return replace(beside(tables, {name: at(section.body, name) for name in tables}), dropped=held) if tables else Table(0, {}, held)


def _files(section: Section, folder: Path, fields: source_kinds.Files, dropped: tuple[str, ...]) -> Table:
    columns: dict[str, FileColumn] = dict(fields.model_extra or {})
    found: dict[str, list[Part]] = {}
    for name, column in columns.items():
        node = at_node(section.body, name)
        inner = node.pairs.get("path", node) if isinstance(node, MappingNode) else node
        found[name] = parts(column.path, folder, inner, at(section.body, name) or section.place)
    return read_files(columns, found, tuple(name for name in dropped if name in columns))


def at_node(body: Node | None, key: str) -> Node | None:
    """The value of a key."""
    return body.pairs.get(key) if isinstance(body, MappingNode) else None
