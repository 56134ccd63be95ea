"""Replaces a file as a whole: whoever reads it, after a crash too, finds the old content or the new one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nnspec.errors import Problem, ResourceError

SUFFIX = ".tmp"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Writes ``parts`` under a temporary name beside ``path``, syncs, renames, and syncs the folder.

    Raises ResourceError where that fails, on a full disk for instance; ``path`` is then as it was.
    """
    temporary = path.with_name(path.name + SUFFIX)
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as e:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise refused(path, e) from e


def refused(path: Path, e: OSError) -> ResourceError:
    """The error for a file that cannot be written."""
    return ResourceError(
        Problem(
            f"{path} cannot be written",
            found=e.strerror or str(e),
            hint="make room, or choose another folder" if e.errno in FULL else "choose another folder",
            rule="disk",
        )
    )


def sync(folder: Path) -> None:
    """Makes the folder's entries last, where the system can open folders."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Removes what saves that were killed have left behind."""
    for name in names:
        (folder / (name + SUFFIX)).unlink(missing_ok=True)
