"""Reads arrays in the idx format of the MNIST files, plain or gzip; every stated size is checked before it is believed."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

import numpy as np

from nnspec.data.column import Array, Raw, Table
from nnspec.data.config import CategoryColumn, ColumnKind, NumberColumn
from nnspec.data.images import ImageArray
from nnspec.data.unpacked import LARGEST, bomb
from nnspec.errors import DataError, Place, Problem, Source

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CHUNK = 1 << 20  # bytes unpacked at a time


class IdxHeader(NamedTuple):
    """What an idx file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    packed: bool

    @property
    def start(self) -> int:
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_idx(path: Path, name: str, kind: ColumnKind | None) -> Table:
    """The one column ``name`` of a file. Raises DataError."""
    header = read_idx_header(path)
    if not header.shape[0]:
        raise _error(path, "the file has no rows", rule="empty-file")
    if 0 in header.shape:
        raise _error(path, "the array has an axis of length 0", f"shape {header.shape}")
    shape, dtype = header.shape[1:], header.dtype
    whole = dtype.kind in "iu"
    if isinstance(kind, CategoryColumn) and not whole:
        raise _error(path, f"column '{name}' cannot be classes", f"numbers of type {dtype.name}", "whole numbers")
    if isinstance(kind, CategoryColumn) or (whole and not shape and not isinstance(kind, NumberColumn)):
        distinct, codes = np.unique(read_values(path, header), return_inverse=True)
        codes = codes.reshape(header.shape).astype(np.int64)
        raw = Raw(shape, lambda: codes, tuple(str(n) for n in distinct.tolist()))
    elif dtype.itemsize == 1 and dtype.kind == "u" and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))):
        shape = shape if len(shape) == 3 else (*shape, 1)
        pixels: Literal["rgb", "gray"] = "rgb" if shape[2] == 3 else "gray"
        raw = Raw(shape, partial(_images, path, header, shape), pixels=pixels)
    else:
        raw = Raw(shape, partial(_numbers, path, header), bytes=dtype.itemsize == 1 and dtype.kind == "u")
    return Table(header.shape[0], {name: raw})


def _images(path: Path, header: IdxHeader, shape: tuple[int, ...]) -> ImageArray:
    return ImageArray(read_values(path, header).reshape(-1, *shape))


def _numbers(path: Path, header: IdxHeader) -> Array:
    return read_values(path, header).astype(np.float64 if header.dtype.itemsize > 2 else np.float32)


def read_idx_header(path: Path) -> IdxHeader:
    """Type and shape, held against the file's length, and against its gzip trailer. Raises DataError."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        header = _header(path, cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file, packed)
        if header.size > LARGEST:
            raise _error(path, "the array is too large", f"{header.size:,} bytes", f"at most {LARGEST:,}")
        expected = header.start + header.size
        if packed:
            file.seek(max(0, length - 4))
            (stated,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
            if stated != expected % (1 << 32):
                raise _error(path, "the gzip file is truncated or damaged", f"{stated:,} bytes by its last four bytes", f"{expected:,} by its header")
            if bomb(expected, length):
                raise _error(
                    path, "the file unpacks to very much", f"{length:,} bytes that become {expected:,}", "", "gunzip it first, if you trust it"
                )
        elif length != expected:
            sign = "ends too early" if length < expected else "goes on after its values"
            raise _error(path, f"the file {sign}", f"{length:,} bytes", f"{expected:,}, as its header says: {_shown(header)}")
    return header


def _header(path: Path, file: BinaryIO, packed: bool) -> IdxHeader:
    try:
        start = file.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in DTYPES or not start[3]:
            wanted = "0 0, a type (8, 9, 11 to 14), and the number of axes"
            raise _error(path, "the file is no idx file", f"it begins with {start.hex(' ') or 'nothing'}", wanted)
        axes = file.read(4 * start[3])
        if len(axes) < 4 * start[3]:
            raise _error(path, "the file ends in its header", f"offset {4 + len(axes)}", f"{start[3]} lengths of axes")
    except (OSError, EOFError, zlib.error) as e:
        raise _gzip_error(path, e) from None
    return IdxHeader(struct.unpack(f">{start[3]}I", axes), np.dtype(DTYPES[start[2]]), packed)


def read_values(path: Path, header: IdxHeader) -> Array:
    """The array, in the machine's own byte order. Raises DataError."""
    out = np.empty(header.size, np.uint8)
    view, done = memoryview(out.data), 0
    with path.open("rb") as raw:
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if header.packed else raw
        try:
            file.read(header.start)
            while done < len(view) and (piece := file.read(min(CHUNK, len(view) - done))):
                view[done : done + len(piece)] = piece
                done += len(piece)
            rest = file.read(1)  # a gzip file checks itself at its end
        except (OSError, EOFError, zlib.error) as e:
            raise _gzip_error(path, e, header.start + done) from None
    if done < len(view) or rest:
        what = "goes on after its values" if rest else "ends too early"
        raise _error(path, f"the file {what}", f"offset {header.start + done}", f"{header.start + header.size:,} bytes")
    values = out.view(header.dtype).reshape(header.shape)
    return values.astype(header.dtype.newbyteorder("="), copy=False)


def _gzip_error(path: Path, e: Exception, offset: int = 0) -> DataError:
    found = str(getattr(e, "strerror", None) or e)[:100]
    return _error(path, "the gzip file is truncated or damaged", f"{found}, after {offset:,} unpacked bytes")


def _shown(header: IdxHeader) -> str:
    return f"{' x '.join(map(str, header.shape))} of {header.dtype.name}"


def _error(path: Path, message: str, found: str = "", wanted: str = "", hint: str = "", rule: str = "bad-idx") -> DataError:
    return DataError(Problem(message, Place(Source(str(path), "")), found=found, wanted=wanted, hint=hint, rule=rule))


def beside(tables: Mapping[str, Table], places: Mapping[str, Place | None]) -> Table:
    """Columns of files of their own as one table; ``places`` is where each is named. Raises DataError where they differ in their rows."""
    first, *others = tables
    for name in others:
        a, b = tables[first], tables[name]
        if a.given != b.given or a.rows != b.rows:
            message = f"columns '{first}' and '{name}' differ in their number of rows"
            counts = [", ".join(f"{split}: {n}" for split, n in t.given) or str(t.rows) for t in (b, a)]
            raise DataError(Problem(message, places[name], found=counts[0], wanted=counts[1], rule="ragged-rows"))
    columns = {name: raw for table in tables.values() for name, raw in table.columns.items()}
    return Table(tables[first].rows, columns, given=tables[first].given)
