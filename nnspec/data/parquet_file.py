"""Reads a parquet file: numbers, texts as categories, lists as arrays; pyarrow stays behind this file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nnspec.data.column import Array, Raw, Table
from nnspec.data.config import MOST_CLASSES, CategoryColumn, ColumnKind, DropColumn, ImageColumn, NumberColumn
from nnspec.data.unpacked import LARGEST
from nnspec.errors import DataError, MissingExtraError, Place, Problem, Source


def read_parquet(path: Path, kinds: Mapping[str, ColumnKind]) -> Table:
    """The table in a file. Raises DataError, and MissingExtraError without pyarrow."""
    file, place = _open(path), Place(Source(str(path), ""))
    rows, schema = int(file.metadata.num_rows), file.schema_arrow
    if not rows or not schema.names:
        raise DataError(Problem("the file has no rows" if schema.names else "the file has no columns", place, rule="empty-file"))
    if twice := [name for i, name in enumerate(schema.names) if name in schema.names[:i]]:
        raise DataError(Problem(f"two columns are called '{twice[0]}'", place, wanted="different names", rule="bad-header"))
    size = 8 * rows * len(schema.names)
    if size > LARGEST:
        raise DataError(Problem("the table is too large", place, found=f"{rows:,} rows", wanted=f"at most {LARGEST:,} bytes", rule="bad-parquet"))
    dropped = tuple(name for name in schema.names if isinstance(kinds.get(name), DropColumn))
    problems: list[Problem] = []
    columns: dict[str, Raw] = {}
    for name in schema.names:
        if name not in dropped:
            try:
                columns[name] = _raw(path, name, schema.field(name).type, kinds.get(name))
            except DataError as e:
                problems += e.problems
    if problems:
        raise DataError(*problems)
    return Table(rows, columns, dropped)


def _open(path: Path) -> Any:
    """The file's metadata; pages are not read yet."""
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError(
            Problem("parquet files are read with pyarrow, which is not installed", hint="pip install 'nnspec[parquet]'")
        ) from None
    try:
        return parquet.ParquetFile(path)
    except OSError as e:
        if e.errno is not None:
            raise
        raise _damaged(path, e) from None
    except Exception as e:  # whatever pyarrow makes of a damaged file
        raise _damaged(path, e) from None


def _damaged(path: Path, e: Exception, what: str = "the file is no parquet file") -> DataError:
    found = str(e).splitlines()[0][:200] if str(e) else type(e).__name__
    return DataError(Problem(what, Place(Source(str(path), "")), found=found, rule="bad-parquet"))


def _column(path: Path, name: str) -> Any:
    """A column as one pyarrow array."""
    file = _open(path)
    try:
        read = file.read(columns=[name]).column(name)
        if len(read) != file.metadata.num_rows:
            raise ValueError(f"{len(read)} rows, and the file states {file.metadata.num_rows}")
        return read.combine_chunks() if read.num_chunks != 1 else read.chunk(0)
    except Exception as e:  # whatever pyarrow makes of a damaged file
        raise _damaged(path, e, f"column '{name}' cannot be read") from None


def _raw(path: Path, name: str, type: Any, kind: ColumnKind | None) -> Raw:
    types = import_module("pyarrow").types
    shape: tuple[int, ...] = ()
    place = Place(Source(str(path), ""))
    if types.is_dictionary(type):
        type = type.value_type
    held = _column(path, name)
    if (lists := _is_list(type)) and held.null_count:
        row = int(np.argmax(held.is_null().to_numpy(zero_copy_only=False)))
        raise DataError(Problem(f"row {row + 1} of column '{name}' has no value", place, found="null", wanted="a list", rule="missing-value"))
    if lists:
        held, type, shape = _flat(name, held, type, place)
    numbers = types.is_integer(type) or types.is_floating(type) or types.is_decimal(type)
    texts = any(
        test(type) for test in (types.is_string, types.is_large_string, types.is_string_view, types.is_boolean, types.is_date, types.is_timestamp)
    )
    wanted = "numbers, texts, truth values, dates, or lists of them"
    if not (numbers or texts) or (texts and isinstance(kind, NumberColumn)) or (types.is_floating(type) and isinstance(kind, CategoryColumn)):
        raise DataError(
            Problem(
                f"column '{name}' cannot be read" + (f" as {kind.kind}" if kind and (numbers or texts) else ""),
                place,
                found=f"type {str(type)[:60]}",
                wanted=wanted if kind is None else f"what {kind.kind} holds",
                hint=f"leave it out: columns: {{{name}: drop}}",
                rule="bad-parquet",
            )
        )
    if numbers and not isinstance(kind, CategoryColumn):
        missing = _first_null(held, shape) if held.null_count else None
        return Raw(shape, partial(_numbers, path, name, shape), None, missing=missing)
    return _texts(name, held, shape, isinstance(kind, ImageColumn), place)


def _is_list(type: Any) -> bool:
    types = import_module("pyarrow").types
    return bool(types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type))


def _flat(name: str, held: Any, type: Any, place: Place) -> tuple[Any, Any, tuple[int, ...]]:
    """The values in all lists, their type, and the shape that every row has."""
    shape: list[int] = []
    rows = len(held)
    while _is_list(type):
        lengths = np.asarray(held.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False))
        first = int(lengths[0]) if len(lengths) else 0
        if (lengths != first).any() or first < 1:
            odd = int(np.argmax(lengths != first)) if first >= 1 else 0
            row = odd * rows // max(1, len(lengths))
            found, wanted = (
                f"a list of {int(lengths[odd]) if len(lengths) else 0}",
                f"{first}, as in the first row" if first >= 1 else "at least one value",
            )
            raise DataError(Problem(f"row {row + 1} of column '{name}' differs in shape", place, found=found, wanted=wanted, rule="ragged-rows"))
        shape.append(first)
        held, type = held.flatten(), type.value_type
    return held, type, tuple(shape)


def _first_null(held: Any, shape: tuple[int, ...]) -> int:
    return int(np.argmax(held.is_null().to_numpy(zero_copy_only=False))) // max(1, int(np.prod(shape)))


def _numbers(path: Path, name: str, shape: tuple[int, ...]) -> Array:
    arrow = import_module("pyarrow")
    held = _column(path, name)
    while _is_list(held.type):
        held = held.flatten()
    try:
        values = held.dictionary_decode() if arrow.types.is_dictionary(held.type) else held
        values = values.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    except Exception as e:  # whatever pyarrow makes of a damaged file
        raise _damaged(path, e, f"column '{name}' cannot be read") from None
    return np.asarray(values, np.float64).reshape(-1, *shape)


def _texts(name: str, held: Any, shape: tuple[int, ...], paths: bool, place: Place) -> Raw:
    """Texts as numbers of those that differ; an empty one, and null, is missing."""
    arrow = import_module("pyarrow")
    try:
        if arrow.types.is_dictionary(held.type):
            held = held.dictionary_decode()
        coded = held.cast(arrow.string()).dictionary_encode()
        texts = [text.strip() for text in coded.dictionary.to_pylist()]
        codes = np.asarray(coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int64)
    except Exception as e:  # texts that are not UTF-8, numbers that are out of range
        raise DataError(Problem(f"column '{name}' cannot be read", place, found=str(e)[:200], rule="bad-parquet")) from None
    if len(texts) > MOST_CLASSES and not paths:
        hint = f"leave it out: columns: {{{name}: drop}}"
        raise DataError(
            Problem(f"column '{name}' has more than {MOST_CLASSES} different texts", place, wanted="classes that repeat", hint=hint, rule="bad-value")
        )
    distinct = tuple(dict.fromkeys(text for text in texts if text))
    known = {text: i for i, text in enumerate(distinct)}
    codes = np.array([*(known.get(text, -1) for text in texts), -1], np.int64)[codes].reshape(-1, *shape)
    missing = int(np.argwhere(codes < 0)[0][0]) if (codes < 0).any() else None
    return Raw(shape, lambda: codes, distinct, missing=missing)
