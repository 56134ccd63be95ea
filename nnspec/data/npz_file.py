"""Reads arrays from an npz file; their headers alone, until values are wanted."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from nnspec.data.column import Array, Raw, Table
from nnspec.data.config import CategoryColumn, ColumnKind, DropColumn, NumberColumn
from nnspec.data.unpacked import LARGEST, bomb
from nnspec.errors import DataError, Place, Problem, Source

LONGEST = 1 << 16  # bytes of an array's header


def read_npz(path: Path, kinds: Mapping[str, ColumnKind]) -> Table:
    """The table in a file of ``numpy.savez``. Raises DataError."""
    place = Place(Source(str(path), ""))
    headers = _headers(path, place)
    dropped = tuple(name for name in headers if isinstance(kinds.get(name), DropColumn))
    used = {name: header for name, header in headers.items() if name not in dropped}
    problems = [
        problem
        for name, (shape, dtype) in used.items()
        for problem in _check(name, shape, dtype, kinds.get(name), place)
    ]
    lengths = {name: shape[0] for name, (shape, _) in used.items() if shape}
    if len(set(lengths.values())) > 1:
        problems.append(
            Problem(
                "the arrays differ in their number of rows",
                place,
                found=", ".join(f"{n}: {k}" for n, k in lengths.items()),
                wanted="equal lengths of the first axis",
                hint="leave one out: columns: {name: drop}",
                rule="ragged-rows",
            )
        )
    elif not any(lengths.values()):
        problems.append(Problem("the file has no rows", place, rule="empty-file"))
    if problems:
        raise DataError(*problems)
    columns = {name: _raw(path, name, shape, dtype, kinds.get(name), place) for name, (shape, dtype) in used.items()}
    return Table(next(iter(lengths.values())), columns, dropped)


HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[A-Za-z]\d{0,9}(?:\[\w{1,9}\])?)', 'fortran_order': (?:True|False), 'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\),? ?\}\s*"
)


def _headers(path: Path, place: Place) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of every array, its size checked against what the file holds."""
    headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in headers or not member.filename.endswith(".npy"):
                    raise ValueError(f"'{member.filename}' is {'there twice' if name in headers else 'no array'}")
                with archive.open(member) as file:
                    shape, dtype = _header(name, file)
                    size = member.file_size - file.tell()
                total += size
                expected = math.prod(shape) * dtype.itemsize
                if not dtype.hasobject and expected != size:
                    raise ValueError(f"'{name}' should have {expected} bytes and has {size}")
                headers[name] = (shape, dtype)
    except Exception as e:  # whatever zipfile and NumPy make of a damaged file
        found = str(e)[:200] or type(e).__name__
        raise DataError(Problem("the file is no npz of arrays", place, found=found, wanted="what numpy.savez writes", rule="bad-npz")) from None
    if total > LARGEST:
        raise DataError(Problem("the arrays are too large", place, found=f"{total:,} bytes", wanted=f"at most {LARGEST:,}", rule="bad-npz"))
    if bomb(total, packed := path.stat().st_size):
        found, hint = f"{packed:,} bytes that become {total:,}", "write it with numpy.savez, uncompressed, if you trust it"
        raise DataError(Problem("the file unpacks to very much", place, found=found, hint=hint, rule="bad-npz"))
    if not headers:
        raise DataError(Problem("the file has no arrays", place, rule="empty-file"))
    return headers


def _header(name: str, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The header of one array, of the form that ``numpy.save`` writes; NumPy's own reader would evaluate more."""
    version = npy.read_magic(file)
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(file.read(width), "little")
    match = HEADER.fullmatch(file.read(length)) if length <= LONGEST else None
    if match is None:
        raise ValueError(f"'{name}' has a header that numpy.save does not write for plain numbers and texts")
    return tuple(int(n) for n in match[2].split(b",") if n.strip()), np.dtype(match[1].decode())


def _check(
    name: str, shape: tuple[int, ...], dtype: np.dtype[Any], kind: ColumnKind | None, place: Place
) -> list[Problem]:
    problems = []
    if dtype.kind == "O":
        problems.append(
            Problem(
                f"array '{name}' holds pickled objects, which are never read",
                place,
                wanted="numbers or texts",
                hint="save it with a dtype",
                rule="bad-npz",
            )
        )
    elif dtype.kind not in "biufU":
        problems.append(
            Problem(
                f"array '{name}' cannot be read",
                place,
                found=f"dtype {dtype}",
                wanted="numbers or texts",
                rule="bad-npz",
            )
        )
    elif dtype.kind == "U" and isinstance(kind, NumberColumn):
        problems.append(
            Problem(f"array '{name}' holds texts, not numbers", place, found=f"dtype {dtype}", rule="bad-npz")
        )
    elif dtype.kind == "f" and isinstance(kind, CategoryColumn):
        problems.append(
            Problem(
                f"array '{name}' cannot be classes",
                place,
                found=f"dtype {dtype}",
                wanted="whole numbers or texts",
                rule="bad-npz",
            )
        )
    if not shape:
        problems.append(
            Problem(
                f"array '{name}' has no axes, so no rows",
                place,
                hint=f"leave it out: columns: {{{name}: drop}}",
                rule="bad-npz",
            )
        )
    elif 0 in shape[1:]:
        problems.append(
            Problem(f"array '{name}' has an axis of length 0", place, found=f"shape {shape}", rule="bad-npz")
        )
    return problems


def _raw(
    path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], kind: ColumnKind | None, place: Place
) -> Raw:
    def values() -> Array:
        return _array(path, name, place)

    if dtype.kind != "U" and not isinstance(kind, CategoryColumn):
        return Raw(shape[1:], values, bytes=dtype == np.uint8)
    distinct, codes = np.unique(values(), return_inverse=True)
    codes = codes.reshape(shape).astype(np.int64)
    texts = tuple(str(text).lower() if isinstance(text, bool) else str(text) for text in distinct.tolist())
    empty = [i for i, text in enumerate(texts) if not text.strip()]
    if not empty:
        return Raw(shape[1:], lambda: codes, texts)
    codes[np.isin(codes, empty)] = -1
    return Raw(shape[1:], lambda: codes, texts, missing=int(np.argwhere(codes < 0)[0][0]))


def _array(path: Path, name: str, place: Place) -> Array:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    except Exception as e:  # whatever zipfile and NumPy make of a damaged file
        raise DataError(Problem(f"array '{name}' cannot be read", place, found=str(e)[:200], rule="bad-npz")) from None
