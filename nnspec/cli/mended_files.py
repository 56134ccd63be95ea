"""The files that ``nnspec check --fix`` mends: read, compared, and written as a whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import SequenceMatcher, unified_diff
from pathlib import Path

from nnspec.errors import Problem, SpecError, printable

BOM = "\ufeff"


def moved(line: int, old: str, new: str) -> int:
    """The line of a text that one of another text has become, however far in it stands."""
    a, b = ([line.strip() for line in text.splitlines()] for text in (old, new))
    head = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if line <= head:
        return line
    tail = next((n for n, (x, y) in enumerate(zip(a[head:][::-1], b[head:][::-1], strict=False)) if x != y), min(len(a), len(b)) - head)
    if line > len(a) - tail:
        return line + len(b) - len(a)
    for _, i, k, j, m in SequenceMatcher(None, a[head : len(a) - tail], b[head : len(b) - tail], autojunk=False).get_opcodes():
        if i < line - head <= k:
            return head + min(j + line - head - i, max(m, j + 1))
    return line


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def shown(path: Path) -> str:
    """The path from here, where it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def difference(name: str, old: str, new: str) -> Iterator[str]:
    def lines(text: str) -> list[str]:
        return text.splitlines(keepends=True)

    for line in unified_diff(lines(old), lines(new), f"a/{name.lstrip('/')}", f"b/{name.lstrip('/')}"):
        text = printable(line.rstrip("\r\n").replace("\t", "  ")) if not line.endswith("\n") or "\r" in line[:-2] else line.rstrip("\n")
        yield f"{text}\n" if line.endswith(("\n", "\r")) else f"{text}\n\\ No newline at end of file\n"


def writable(path: Path, was: str) -> None:
    """Raises SpecError where a file is not to be written to, or is no longer what was read."""
    found = ""
    try:
        if not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
            found = "the file is read-only"
        elif not os.access(path.parent, os.W_OK):
            found = "its folder is read-only"
        elif read(path) != was:
            found = "it was changed while it was checked"
    except (OSError, ValueError) as e:
        found = getattr(e, "strerror", None) or str(e)
    if found:
        hint = "check it again" if "changed" in found else "--diff shows what would be written"
        raise SpecError(Problem(f"{shown(path)} cannot be written", found=found, hint=hint, rule="file"))


def outside(file: str, allowed: Iterable[Path]) -> Problem | None:
    """The problem of a link that leads out of its folder, or to itself."""
    path = Path(file)
    try:
        target = path.resolve()
    except RuntimeError:
        return Problem(f"{file}: the file cannot be read", found="a link that leads to itself", wanted="a spec: a text file in YAML", rule="file")
    if not path.is_symlink() or any(target.is_relative_to(f.resolve()) for f in (path.parent, *allowed)):
        return None
    hint = f"nnspec check --fix {target}, or --allow-include {target.parent}"
    return Problem(f"{file} is a link that leads out of its folder", found=str(target), wanted="the file itself", hint=hint, rule="file")


def write(path: Path, data: bytes) -> None:
    """The new content under another name, which then takes the place of the old; its rights stay."""
    from nnspec.runtime.atomic import refused, sync

    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as e:
        with suppress(OSError):
            os.unlink(temporary)
        raise refused(path, e) from e
