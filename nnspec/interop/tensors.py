"""Safetensors files of strangers: the header is checked to the last byte before any number is read.

A file is 8 bytes (the header's length, little-endian), the header (JSON: name -> dtype, shape, offsets), and the numbers.
Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nnspec.errors import DataError, Place, Problem
from nnspec.ir.op import Array
from nnspec.records import dataclass, field

LARGEST_HEADER = 100_000_000  # bytes, as the format says
MOST_AXES = 16
LONGEST_NAME = 500
ONNX = ".onnx"
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
         "F8_E4M3": 1, "F8_E5M2": 1, "C64": 8}  # fmt: skip
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
KEYS = {"dtype", "shape", "data_offsets"}
_TORCH = ("a file of PyTorch's, which may run code when it is read",
          "torch.load(…, weights_only=True) there, then safetensors.torch.save_file(state_dict, 'weights.safetensors')")  # fmt: skip
_KERAS = ("a file of Keras's (HDF5)", "safetensors.numpy.save_file({w.path: w.numpy() for w in model.weights}, 'weights.safetensors')")
_NUMPY = ("an archive of NumPy arrays", "safetensors.numpy.save_file(dict(numpy.load(FILE)), 'weights.safetensors')")
SUFFIXES = {".pt": _TORCH, ".pth": _TORCH, ".bin": _TORCH, ".ckpt": _TORCH, ".pkl": _TORCH, ".pickle": _TORCH, ".h5": _KERAS, ".hdf5": _KERAS,
            ".keras": _KERAS, ".npz": _NUMPY, ".npy": _NUMPY}  # fmt: skip
STARTS = ((b"\x89HDF\r\n", _KERAS), (b"\x93NUMPY", _NUMPY), (b"PK\x03\x04", _TORCH), (b"\x80\x02", _TORCH), (b"\x80\x03", _TORCH),
          (b"\x80\x04", _TORCH), (b"\x80\x05", _TORCH))  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor as the header describes it; it lies from ``start`` to ``end`` behind the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class TensorFile:
    """A file whose header is right: what it holds, and where. ``place`` is where the spec names it."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    begin: int
    place: Place | None = field(default=None, compare=False)

    def read(self, name: str, dtype: np.dtype[Any]) -> Array:
        """A tensor's numbers. Raises DataError where they are no floats, are not finite, or do not fit the dtype."""
        t = self.tensors[name]
        raw = self.raw(name)
        with np.errstate(over="ignore"):
            values = raw.astype(dtype).reshape(t.shape)
        if not np.isfinite(values).all():
            what = "a number that does not fit" if np.isfinite(raw).all() else "NaN or infinity"
            raise self._wrong(f"'{name[:100]}' holds {what}", wanted=f"finite numbers in {dtype}")
        return values

    def raw(self, name: str) -> Array:
        """A tensor's numbers as they stand there. Raises DataError."""
        t = self.tensors[name]
        if t.dtype not in FLOATS:
            raise self._wrong(f"'{name[:100]}' holds no numbers with a fraction", f"dtype {t.dtype}", f"one of {', '.join(FLOATS)}")
        try:
            with open(self.path, "rb") as file:
                file.seek(self.begin + t.start)
                raw = np.fromfile(file, FLOATS[t.dtype], prod(t.shape))
        except OSError as e:
            raise self._wrong("the file cannot be read", e.strerror or "") from e
        if raw.size != prod(t.shape):
            raise self._wrong(f"'{name[:100]}' is cut off", f"{raw.size:,} numbers", f"{prod(t.shape):,}")
        if t.dtype == "BF16":
            raw = (raw.astype("<u4") << 16).view("<f4")
        return raw

    def sha256(self) -> str:
        """The file's digest. Raises DataError."""
        try:
            with open(self.path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as e:
            raise self._wrong("the file cannot be read", e.strerror or "") from e

    def _wrong(self, what: str, found: str = "", wanted: str = "") -> DataError:
        return wrong(self.path, what, self.place, found, wanted)


def wrong(path: Path, what: str, place: Place | None, found: str = "", wanted: str = "", hint: str = "") -> DataError:
    """The error of a weights file."""
    return DataError(Problem(f"{path}: {what}", place, found, wanted, hint, "weights-file"))


def open_tensors(path: Path, place: Place | None = None) -> TensorFile:
    """Reads and checks the header of a file; no tensor is read, but for an ONNX file. Raises DataError with what is wrong."""
    if path.suffix.lower() == ONNX and path.is_file():
        from nnspec.interop.onnx_weights import open_onnx

        return open_onnx(path, place)
    try:
        size = os.stat(path).st_size
        if path.is_dir():
            raise wrong(path, "this is a folder", place, wanted="a safetensors file")
        if not path.is_file():
            raise wrong(path, "this is no file", place, wanted="a safetensors file")
        with open(path, "rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(size - 8, LARGEST_HEADER):
                _refuse_others(path, start, place)
                found = f"a file of {size:,} bytes" if len(start) < 8 else f"a header of {length:,} bytes in a file of {size:,}"
                raise wrong(path, "not a whole safetensors file", place, found, f"a header of 2 to {max(2, min(size - 8, LARGEST_HEADER)):,} bytes")
            text = file.read(length)
    except FileNotFoundError:
        near = SUFFIXES.get(path.suffix.lower())
        raise wrong(path, "there is no such file", place, wanted="a safetensors file, or the folder of a run; paths are relative to the spec",
                    hint=near[1] if near else "") from None  # fmt: skip
    except (OSError, ValueError) as e:
        raise wrong(path, "the file cannot be read", place, getattr(e, "strerror", None) or str(e)[:100]) from None
    try:
        tensors, metadata = _header(text, size - 8 - length)
    except _Bad as e:
        raise wrong(path, e.what, place, e.found[:200], e.wanted[:200]) from None
    return TensorFile(path, tensors, metadata, 8 + length, place)


def _refuse_others(path: Path, start: bytes, place: Place | None) -> None:
    """Files of other kinds are not read; the error says how to convert them."""
    known = next((k for magic, k in STARTS if start.startswith(magic)), None)
    if start.startswith(b"PK") or known is None:
        known = SUFFIXES.get(path.suffix.lower(), known)
    if known is not None:
        found, how = known
        raise wrong(path, "this is not a safetensors file", place, found, "a safetensors file", how)


class _Bad(Exception):
    def __init__(self, what: str, found: object = "", wanted: object = "") -> None:
        super().__init__(what)
        self.what, self.found, self.wanted = f"header: {what}", str(found), str(wanted)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]  # add answers None
        raise _Bad(f"'{twice[:100]}' stands there twice")
    return content


def _header(text: bytes, size: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What the header says, checked against ``size`` bytes of numbers."""
    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as e:
        raise _Bad("this is not JSON", str(e)[:100]) from None
    if not isinstance(content, dict):
        raise _Bad("this is not a mapping of tensors", type(content).__name__)
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _Bad("'__metadata__' is no mapping of texts")
    if long := next((name for name in content if len(name) > LONGEST_NAME), ""):
        raise _Bad("a name is too long", f"{len(long):,} characters", f"at most {LONGEST_NAME}")
    tensors = {name: _tensor(name[:100], entry) for name, entry in content.items()}
    end = 0
    for name, t in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if t.start != end:
            what = "overlaps another tensor" if t.start < end else "leaves a gap before it"
            raise _Bad(f"'{name[:100]}' {what}", f"offset {t.start:,}", f"{end:,}")
        end = t.end
    if end != size:
        raise _Bad("the file is cut off" if end > size else "the file is longer than its tensors", f"{size:,} bytes of numbers", f"{end:,}")
    return tensors, metadata


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _tensor(name: str, entry: Any) -> Tensor:
    if not isinstance(entry, dict) or set(entry) != KEYS:
        raise _Bad(f"'{name}' is not described as a tensor", wanted=", ".join(sorted(KEYS)))
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise _Bad(f"'{name}' has a dtype that is not known", str(dtype)[:40], f"one of {', '.join(SIZES)}")
    if not isinstance(shape, list) or len(shape) > MOST_AXES or not all(map(_whole, shape)):
        raise _Bad(f"the shape of '{name}' is none", str(shape)[:100], f"at most {MOST_AXES} lengths")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)) or offsets[0] > offsets[1]:
        raise _Bad(f"the offsets of '{name}' are none", str(offsets)[:100], "where it starts and ends")
    wanted = prod(shape) * SIZES[dtype]
    if offsets[1] - offsets[0] != wanted:
        raise _Bad(f"'{name}' has another size than its shape", f"{offsets[1] - offsets[0]:,} bytes", f"{wanted:,} for {dtype} {tuple(shape)}")
    return Tensor(dtype, tuple(shape), *offsets)
