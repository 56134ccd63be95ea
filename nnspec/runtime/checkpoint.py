"""One safetensors file with everything that a continuation needs: arrays, and where the run stands."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from nnspec.errors import DataError, Problem
from nnspec.ir.op import Array
from nnspec.records import dataclass, field
from nnspec.runtime.atomic import replace
from nnspec.runtime.plateaus import Seen

FORMAT = 1
KEY = "nnspec"  # of the file's metadata, which holds one JSON text
SUMS = "sums/"  # before the names of counts that are arrays
DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
KEYS = {"format", "epoch", "batch", "step", "rows", "sums", "best", "patience", "stop", "plateau"}
LARGEST = 1 << 62


@dataclass(frozen=True)
class Mark:
    """A value that was the best so far, and the epoch (from 1) that had it."""

    epoch: int
    value: float


@dataclass(frozen=True)
class Standing:
    """Where a run stands: ``epoch`` epochs are done and measured, and ``batch`` batches of the next are taken.

    ``step`` counts the model's steps: those before the run, if any, too.

    ``sums`` are the counts of losses and metrics over the ``rows`` rows of the epoch under way, float64; those that
    are arrays are stored as such. ``best`` is the mark of the best checkpoint, ``patience`` that of early stopping,
    ``stop`` why the run has ended early, if it has, ``plateau`` what a schedule that depends on
    measures has seen.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    rows: int = 0
    sums: Mapping[str, Array | float] = field(default_factory=dict)
    best: Mark | None = None
    patience: Mark | None = None
    stop: str = ""
    plateau: Seen = Seen()

    def to_json(self) -> str:
        """Text that keeps every bit: numbers are written as ``float.hex``."""
        marks = {
            k: None if m is None else [m.epoch, m.value.hex()]
            for k, m in (("best", self.best), ("patience", self.patience))
        }
        sums = {name: float(value).hex() for name, value in self.sums.items() if not np.ndim(value)}
        counts = {"epoch": self.epoch, "batch": self.batch, "step": self.step, "rows": self.rows}
        seen = self.plateau
        plateau = [seen.stretch, None if seen.best is None else seen.best.hex(), seen.bad, seen.rest, seen.cuts]
        return json.dumps({"format": FORMAT, **counts, "sums": sums, **marks, "stop": self.stop, "plateau": plateau})

    @classmethod
    def from_json(cls, text: str) -> Standing:
        """What ``to_json`` wrote; raises ValueError that says which part is wrong."""
        data = json.loads(text)
        if not isinstance(data, dict) or set(data) != KEYS:
            raise ValueError("the keys are not those of a checkpoint")
        if data["format"] != FORMAT:
            raise ValueError(f"format {str(data['format'])[:20]}, this version reads {FORMAT}")
        if not isinstance(data["sums"], dict) or not isinstance(data["stop"], str):
            raise ValueError("'sums' or 'stop' has the wrong type")
        counts = {name: _count(name, data[name]) for name in ("epoch", "batch", "step", "rows")}
        sums: dict[str, Array | float] = {name: _number(name, value) for name, value in data["sums"].items()}
        return cls(
            **counts,
            sums=sums,
            best=_mark("best", data["best"]),
            patience=_mark("patience", data["patience"]),
            stop=data["stop"],
            plateau=_seen(data["plateau"]),
        )


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise ValueError(f"'{name}' is no count")
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, str) or len(value) > 40:
        raise ValueError(f"'{name}' is no number")
    try:
        return float.fromhex(value)
    except (ValueError, OverflowError) as e:
        raise ValueError(f"'{name}' is no number") from e


def _mark(name: str, value: object) -> Mark | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"'{name}' is no mark")
    return Mark(_count(name, value[0]), _number(name, value[1]))


def _seen(value: object) -> Seen:
    if not isinstance(value, list) or len(value) != 5:
        raise ValueError("'plateau' is not what one has seen")
    stretch, best, bad, rest, cuts = value
    counts = [_count("plateau", n) for n in (stretch, bad, rest, cuts)]
    return Seen(counts[0], None if best is None else _number("plateau", best), *counts[1:])


def save(path: Path, arrays: Mapping[str, Array], standing: Standing) -> None:
    """Writes a checkpoint; equal content gives equal bytes. After a crash the old file or the new one is there.

    Raises ResourceError where the disk is full; the old file is then as it was.
    """
    replace(path, _parts(arrays, standing))


def _parts(arrays: Mapping[str, Array], standing: Standing) -> Iterator[bytes | memoryview]:
    """The file piece by piece, so that no second copy of the arrays is made: header length, header, data."""
    header: dict[str, Any] = {"__metadata__": {KEY: standing.to_json()}}
    arrays = {**arrays, **{f"{SUMS}{name}": np.asarray(a, np.float64) for name, a in standing.sums.items() if np.ndim(a)}}
    data: list[Array] = []
    offset = 0
    for name in sorted(arrays, key=lambda n: (-arrays[n].itemsize, n)):  # wide ones first: every array stays aligned
        array = np.ascontiguousarray(arrays[name], arrays[name].dtype.newbyteorder("<")).reshape(arrays[name].shape)
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
        data.append(array)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for array in data:
        if array.size:
            yield array.reshape(-1).view(np.uint8).data


def read(path: Path, like: Mapping[str, Array], prefix: str = "") -> tuple[dict[str, Array], Standing]:
    """The arrays whose names start with ``prefix``, and where the run stood.

    Names, shapes and dtypes must be those of ``like`` (a model's ``state()``). Nothing is allocated before all of it is
    checked. Raises DataError that names the file and the place in it.
    """
    wanted = {name: array for name, array in like.items() if name.startswith(prefix)}
    try:
        with safe_open(path, framework="numpy") as file:
            standing = _standing(path, file.metadata())
            names = [name for name in file.keys() if name.startswith(prefix) and not name.startswith(SUMS)]  # noqa: SIM118
            found = {name: file.get_slice(name) for name in names}
            problems = [
                *_names(path, found, wanted),
                *(p for name in found if name in wanted for p in _type(path, name, found[name], wanted[name])),
            ]
            if problems:
                raise DataError(*problems)
            return {name: file.get_tensor(name) for name in wanted}, replaced(standing, sums={**standing.sums, **_sums(path, file)})
    except (SafetensorError, OSError) as e:
        raise _unreadable(path, e) from e


def _sums(path: Path, file: Any) -> dict[str, Array]:
    """The counts that are arrays."""
    found = {}
    for name in [name for name in file.keys() if name.startswith(SUMS)]:  # noqa: SIM118
        if file.get_slice(name).get_dtype() != "F64":
            raise DataError(Problem(f"{path}: '{name[:200]}' does not fit", found=file.get_slice(name).get_dtype(), wanted="F64", rule="checkpoint"))
        found[name.removeprefix(SUMS)] = file.get_tensor(name)
    return found


def peek(path: Path) -> Standing:
    """Where the run of a checkpoint stood; its arrays are not read. Raises DataError."""
    try:
        with safe_open(path, framework="numpy") as file:
            return _standing(path, file.metadata())
    except (SafetensorError, OSError) as e:
        raise _unreadable(path, e) from e


def _unreadable(path: Path, e: Exception) -> DataError:
    if path.is_dir() or (path.exists() and not os.access(path, os.R_OK)):  # of which safetensors says that it is not there
        found = "this is a folder" if path.is_dir() else "Permission denied"
        return DataError(
            Problem(f"{path}: the file cannot be read", found=found, wanted="a checkpoint", rule="checkpoint")
        )
    if isinstance(e, FileNotFoundError):
        return DataError(Problem(f"{path}: the file is not there", wanted="a checkpoint", rule="checkpoint"))
    if isinstance(e, OSError):
        return DataError(
            Problem(f"{path}: the file cannot be read", found=e.strerror or str(e)[:200], rule="checkpoint")
        )
    return DataError(
        Problem(
            f"{path}: header: not a whole safetensors file",
            found=str(e)[:200],
            wanted="a checkpoint",
            rule="checkpoint",
        )
    )


def _standing(path: Path, metadata: Mapping[str, str] | None) -> Standing:
    text = (metadata or {}).get(KEY)
    if text is None:
        raise DataError(
            Problem(
                f"{path}: header: not a checkpoint of nnspec", found=f"no '{KEY}' in the metadata", rule="checkpoint"
            )
        )
    try:
        return Standing.from_json(text)
    except (ValueError, RecursionError) as e:
        raise DataError(
            Problem(f"{path}: header: where the run stood cannot be read", found=str(e)[:200], rule="checkpoint")
        ) from e


def _names(path: Path, found: Mapping[str, object], wanted: Mapping[str, Array]) -> list[Problem]:
    missing = [
        Problem(f"{path}: '{n}' is missing", wanted="the arrays of this network", rule="checkpoint")
        for n in wanted
        if n not in found
    ]
    return missing + [
        Problem(f"{path}: nothing in this network is called '{n[:200]}'", rule="checkpoint")
        for n in found
        if n not in wanted
    ]


def _type(path: Path, name: str, found: Any, wanted: Array) -> list[Problem]:
    held = found.get_dtype(), tuple(found.get_shape())
    asked = DTYPES[wanted.dtype.name], wanted.shape
    if held == asked:
        return []
    return [
        Problem(
            f"{path}: '{name}' does not fit",
            found=f"{held[0]} {held[1]}",
            wanted=f"{asked[0]} {asked[1]}",
            rule="checkpoint",
        )
    ]
