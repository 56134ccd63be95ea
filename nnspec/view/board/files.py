"""Reads files that somebody else writes, replaces or removes meanwhile: what is not there, or no plain file, is nothing."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TEXT, LINES = 1 << 23, 1 << 16  # bytes that are read of a file, and of the end of one
CHUNK = 1 << 22  # bytes of lines that are read at a time
MARK = 64  # bytes by which a file is known again
FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

Stamp = tuple[int, int, int]  # a file's number, size and time: what changes when it does


@contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """The descriptor of a plain file, for reading alone; links are not followed, and a pipe is not waited for."""
    handle = None
    with suppress(OSError, ValueError):
        handle = os.open(path, FLAGS)
    try:
        yield handle if handle is not None and stat.S_ISREG(os.fstat(handle).st_mode) else None
    finally:
        if handle is not None:
            os.close(handle)


def stamp(path: Path) -> Stamp | None:
    """What changes whenever a file does; nothing where there is no plain file."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def text(path: Path, most: int = TEXT) -> str | None:
    """A text file; what is no UTF-8 is replaced, and one that is too long is nothing."""
    with opened(path) as handle:
        if handle is None:
            return None
        try:
            with open(os.dup(handle), "rb") as file:
                content = file.read(most + 1)
        except OSError:
            return None
    return content.decode("utf-8", "replace") if len(content) <= most else None


def json_object(path: Path) -> dict[str, Any] | None:
    """A file that holds one JSON object; nothing where it holds anything else."""
    content = text(path)
    return as_object(content) if content is not None else None


def as_object(line: str | bytes) -> dict[str, Any] | None:
    """A JSON object; nothing where the text is none."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def last_object(path: Path) -> dict[str, Any] | None:
    """The last whole line of a file of JSON objects; one that is being written does not count."""
    with opened(path) as handle:
        if handle is None:
            return None
        try:
            size = os.fstat(handle).st_size
            os.lseek(handle, max(0, size - LINES), os.SEEK_SET)
            lines = os.read(handle, LINES).split(b"\n")
        except OSError:
            return None
    whole = (found for line in reversed(lines[:-1]) if (found := as_object(line)) is not None)
    return next(whole, None)


class Tail:
    """A file of lines that grows: each call gives what has come since; one that was replaced or cut is read anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        self._head = self._last = b""  # the first bytes, and those before ``at``

    def read(self) -> tuple[bool, list[bytes], bool]:
        """Whether the file begins anew, whole lines, and whether more of them are there already."""
        with opened(self.path) as handle:
            if handle is None:
                anew, self.at, self._head, self._last = self.at > 0, 0, b"", b""
                return anew, [], False
            try:
                return self._read(handle)
            except OSError:
                return False, [], False

    def _read(self, handle: int) -> tuple[bool, list[bytes], bool]:
        anew = not self._known(handle)
        if anew:
            self.at = 0
        os.lseek(handle, self.at, os.SEEK_SET)
        chunk = os.read(handle, CHUNK)
        end = chunk.rfind(b"\n") + 1
        if not end and len(chunk) == CHUNK:
            end = CHUNK  # a line without end is none
        if end:
            if not self.at:
                self._head = chunk[: min(end, MARK)]
            self._last = (self._last + chunk[:end])[-MARK:] if not anew else chunk[:end][-MARK:]
            self.at += end
        return anew, chunk[:end].split(b"\n")[:-1], os.fstat(handle).st_size > self.at and len(chunk) == CHUNK

    def _known(self, handle: int) -> bool:
        """Whether this still is the file that was read before."""
        if not self.at:
            return True
        if os.fstat(handle).st_size < self.at:
            return False
        os.lseek(handle, 0, os.SEEK_SET)
        if os.read(handle, len(self._head)) != self._head:
            return False
        os.lseek(handle, self.at - len(self._last), os.SEEK_SET)
        return os.read(handle, len(self._last)) == self._last
