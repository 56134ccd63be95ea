"""What is slow to make kept on disk, a file each: written whole or not at all, and made again where it is not what it says.

The folder is the user's cache folder, or what NNSPEC_CACHE names. A folder that cannot be written is no error. Object code is executed:
nothing is read from a folder or a file that belongs to somebody else or that everybody may write.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from nnspec.records import dataclass

VARIABLE = "NNSPEC_CACHE"
MAGIC = b"nnspec object code 1\n"
MOST, LARGEST = 512, 256 << 20  # entries, and bytes of all; those that were not asked for longest go first
PART = ".nnspec-"  # begins the names of entries that are being written
OBJECT, CUBIN, PROGRAM, PROCESSOR = "o", "cubin", "program", "cpu"  # what an entry holds: the end of its name
NAME = re.compile(rf"[0-9a-f]{{64}}\.({OBJECT}|{CUBIN}|{PROGRAM}|{PROCESSOR})")  # an entry's, among whatever else lies in the folder
LEFT = 3600.0  # seconds until what a killed process was writing is taken away


def folder() -> Path:
    """Where entries lie."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nnspec"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "nnspec" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnspec"


def kept(key: bytes, make: Callable[[], bytes], kind: str = OBJECT) -> bytes:
    """The entry of ``key``, from disk where it is whole and ours; else made, and kept."""
    content = held(key, kind)
    if content is None:
        content = make()
        keep(key, content, kind)
    return content


def held(key: bytes, kind: str) -> bytes | None:
    """The entry of ``key``, where it is on disk, whole and ours."""
    return found(sha256(key).digest(), kind)


def found(digest: bytes, kind: str) -> bytes | None:
    """The same by the digest of its key."""
    path = _path(digest, kind)
    return None if path is None else _read(path, digest)


def held_json(key: bytes, kind: str) -> Any:
    """An entry that is JSON; None where there is none."""
    content = held(key, kind)
    try:
        return None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return None


def keep(key: bytes, content: bytes, kind: str) -> None:
    """Writes an entry, where there is a folder for it."""
    digest = sha256(key).digest()
    path = _path(digest, kind)
    if path is not None:
        _write(path, digest, content)


def _path(digest: bytes, kind: str) -> Path | None:
    """Where an entry is; None where nothing may be read or written."""
    try:
        where = folder()
    except RuntimeError:  # nobody's home
        return None
    return where / f"{digest.hex()}.{kind}" if _safe(where) else None


@dataclass(frozen=True)
class State:
    """A folder of entries: what lies in it, or why it is not used."""

    path: Path | None
    entries: int = 0
    bytes: int = 0
    refused: str = ""


def state() -> State:
    """What there is on disk; nothing is changed."""
    try:
        where = folder()
    except RuntimeError:
        return State(None, refused=f"there is no home folder; {VARIABLE} names another")
    try:
        status = where.stat()
    except FileNotFoundError:
        return State(where)
    except OSError as e:
        return State(where, refused=e.strerror or str(e))
    if not stat.S_ISDIR(status.st_mode):
        return State(where, refused="it is no folder")
    if not _own(status):
        theirs = status.st_uid != os.geteuid()
        return State(where, refused="it belongs to somebody else" if theirs else f"others may write it: chmod go-w {where}")
    try:
        sizes = [entry.stat().st_size for entry in os.scandir(where) if NAME.fullmatch(entry.name)]
    except OSError as e:
        return State(where, refused=e.strerror or str(e))
    return State(where, len(sizes), sum(sizes), "" if os.access(where, os.W_OK | os.X_OK) else "it cannot be written")


def _own(s: os.stat_result) -> bool:
    """Whether it is ours, and nobody else may write it."""
    return not hasattr(os, "geteuid") or s.st_uid == os.geteuid() and not s.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _safe(where: Path) -> bool:
    """Whether a folder is ours, or is still to be made."""
    try:
        return _own(where.stat())
    except OSError:
        return True


def _read(path: Path, digest: bytes) -> bytes | None:
    """An entry's content; None where it is missing, damaged, of another key or of another user, for it will be executed."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            held = os.fstat(file.fileno())
            if not stat.S_ISREG(held.st_mode) or not _own(held):
                return None
            content = file.read()
    except OSError:
        return None
    start = len(MAGIC)
    code = content[start + 64 :]
    if content[:start] != MAGIC or content[start : start + 32] != digest or content[start + 32 : start + 64] != sha256(code).digest():
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return code


def _write(path: Path, digest: bytes, code: bytes) -> None:
    """To a temporary name first, so that nobody ever reads half an entry."""
    import tempfile  # it imports much, and most entries are there

    name = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART)
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + digest + sha256(code).digest() + code)
        os.replace(name, path)
        _prune(path.parent)
    except OSError:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)


def _prune(where: Path) -> None:
    """Of our own files alone: the folder may be one in which others lie."""
    aged: list[tuple[float, str, int]] = []
    with os.scandir(where) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):  # somebody else was here
                if NAME.fullmatch(entry.name):
                    aged.append((entry.stat().st_mtime, entry.path, entry.stat().st_size))
                elif entry.name.startswith(PART) and entry.stat().st_mtime < time.time() - LEFT:
                    os.unlink(entry.path)
    count, total = len(aged), sum(size for *_, size in aged)
    for _, path, size in sorted(aged):
        if count <= MOST and total <= LARGEST:
            return
        Path(path).unlink(missing_ok=True)
        count, total = count - 1, total - size
