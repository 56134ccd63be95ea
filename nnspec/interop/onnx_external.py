"""Tensors that lie in files beside an ONNX model: plain names alone, no links, nothing read beyond what a tensor's shape asks for."""

from __future__ import annotations

import os
import stat
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from nnspec.interop.onnx_export import MOST
from nnspec.interop.onnx_read import tensors_of, wrong

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

LONGEST = 255  # of a file's name


def fill(model: ModelProto, path: Path) -> None:
    """Takes into the model what its tensors have in files beside ``path``. Raises DataError."""
    from onnx import TensorProto

    total = 0
    for tensor in tensors_of(model):
        if tensor.data_location != TensorProto.EXTERNAL and not tensor.external_data:
            continue
        said = {e.key: e.value for e in tensor.external_data}
        what = f"'{tensor.name[:100]}'"
        length = expected(tensor, path, what)
        total += length
        if total > MOST:
            raise wrong(path, "the model is too large with the files beside it", f"more than {MOST:,} bytes", f"at most {MOST:,}")
        offset = whole(said.get("offset", "0"), path, what, "offset")
        stated = whole(said.get("length", str(length)), path, what, "length")
        if stated != length:
            raise wrong(path, f"{what} has another length than its shape", f"{stated:,} bytes", f"{length:,}")
        content = read(path, said.get("location", ""), offset, length, what)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.raw_data = content


def expected(tensor: TensorProto, path: Path, what: str) -> int:
    """The bytes of a tensor by its type and shape."""
    from onnx import helper

    try:
        size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError):
        raise wrong(path, f"{what} has a type that is not in this version", str(tensor.data_type)) from None
    if any(d < 0 for d in tensor.dims) or size * prod(tensor.dims) > MOST:
        raise wrong(path, f"{what} has no shape that a file could have", str(list(tensor.dims))[:100])
    return int(size * prod(tensor.dims))


def whole(text: str, path: Path, what: str, key: str) -> int:
    """A number of bytes."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise wrong(path, f"the {key} of {what} is none", text[:60], "a number of bytes")
    return int(text)


def read(path: Path, name: str, offset: int, length: int, what: str) -> bytes:
    """A part of a file beside the model. Raises DataError where the name leads elsewhere, or the file is shorter."""
    if not name or name in (".", "..") or len(name) > LONGEST or any(c in name for c in "/\\\0:") or name != os.path.basename(name):
        raise wrong(path, f"{what} lies in a file that is not beside the model", name[:100], "the plain name of a file in the same folder")
    target = path.parent / name
    try:
        handle = os.open(target, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or target.is_symlink():
                raise wrong(path, f"{what} lies in '{name[:100]}', which is no plain file")
            if offset + length > found.st_size:
                raise wrong(path, f"{what} is cut off in '{name[:100]}'", f"{found.st_size:,} bytes", f"{offset + length:,}")
            file.seek(offset)
            return file.read(length)
    except OSError as e:
        raise wrong(path, f"'{name[:100]}', in which {what} lies, cannot be read", e.strerror or "") from None
