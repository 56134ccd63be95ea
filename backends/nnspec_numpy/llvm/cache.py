"""Object code kept on disk, one file a program: written whole or not at all, and made again where it is not what it says.

The folder is the user's cache folder, or what NNSPEC_CACHE names. A folder that cannot be written is no error.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

VARIABLE = "NNSPEC_CACHE"
MAGIC = b"nnspec object code 1\n"
MOST = 512  # entries; the oldest go first


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
    found = _read(path, digest)
    if found is None:
        found = make()
        _write(path, digest, found)
    return found


def _read(path: Path, digest: bytes) -> bytes | None:
    """An entry's code; None where it is missing, damaged, of another key or of another user, for it will be executed."""
    try:
        with path.open("rb") as file:
            if hasattr(os, "geteuid") and os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            content = file.read()
    except OSError:
        return None
    start = len(MAGIC)
    code = content[start + 64 :]
    whole = content[:start] == MAGIC and content[start : start + 32] == digest and content[start + 32 : start + 64] == sha256(code).digest()
    return code if whole else None


def _write(path: Path, digest: bytes, code: bytes) -> None:
    """To a temporary name first, so that nobody ever reads half an entry."""
    name = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + digest + sha256(code).digest() + code)
        os.replace(name, path)
        _prune(path.parent)
    except OSError:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)


def _prune(where: Path) -> None:
    entries = list(where.glob("*.o"))
    if len(entries) > MOST:
        aged = sorted(entries, key=lambda p: p.stat().st_mtime)
        for p in aged[: len(entries) - MOST]:
            p.unlink(missing_ok=True)
