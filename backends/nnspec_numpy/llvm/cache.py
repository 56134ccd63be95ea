"""Object code kept on disk, one file a program: written whole or not at all, and made again where it is not what it says.

The folder is the user's cache folder, or what NNSPEC_CACHE names. A folder that cannot be written is no error. Entries are executed:
nothing is read from a folder or a file that belongs to somebody else or that everybody may write.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

VARIABLE = "NNSPEC_CACHE"
MAGIC = b"nnspec object code 1\n"
MOST = 512  # entries; those that were not asked for longest go first
PART = ".nnspec-"  # begins the names of entries that are being written
NAME = re.compile(r"[0-9a-f]{64}\.o")  # an entry's, among whatever else lies in the folder
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


def kept(key: bytes, make: Callable[[], bytes]) -> bytes:
    """The object code of ``key``, from disk where it is whole and ours; else made, and kept."""
    digest = sha256(key).digest()
    try:
        path = folder() / f"{digest.hex()}.o"
    except RuntimeError:  # nobody's home
        return make()
    if not _safe(path.parent):
        return make()
    found = _read(path, digest)
    if found is None:
        found = make()
        _write(path, digest, found)
    return found


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
    """An entry's code; None where it is missing, damaged, of another key or of another user, for it will be executed."""
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
    aged: list[tuple[float, str]] = []
    with os.scandir(where) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):  # somebody else was here
                if NAME.fullmatch(entry.name):
                    aged.append((entry.stat().st_mtime, entry.path))
                elif entry.name.startswith(PART) and entry.stat().st_mtime < time.time() - LEFT:
                    os.unlink(entry.path)
    for _, path in sorted(aged)[: max(0, len(aged) - MOST)]:
        Path(path).unlink(missing_ok=True)
