"""From what a spec calls a path to files: one, one for each split, or all that fit a pattern."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from nnspec.data.column import Table
from nnspec.data.join import join
from nnspec.data.section import at
from nnspec.errors import DataError, Place, Problem, nearest
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node

MOST_FILES = 1_000_000
WILD = "*?["


class Part(NamedTuple):
    """What belongs to a split (``""`` where the rows are divided later): as it is written, and the files."""

    split: str
    name: str
    files: tuple[Path, ...]
    place: Place


def parts(given: str | Mapping[str, str], folder: Path, node: Node | None, place: Place, folders: bool = False) -> list[Part]:
    """The files (or ``folders``) of a path; relative ones stand in ``folder``. Train comes first. Raises DataError."""
    if isinstance(given, str):
        place = node.place if node is not None else place
        return [Part("", given, _found(given, folder, place, folders), place)]
    found = []
    for split in ("train", "validation", "test"):
        if split in given:
            where = at(node, split) or place if isinstance(node, MappingNode) else place
            found.append(Part(split, given[split], _found(given[split], folder, where, folders), where))
    return found


def read_parts(read: Callable[[Path], Table], given: list[Part]) -> Table:
    """The rows of all files, one after another. Raises DataError."""
    tables = [(part.split, path, _opened(read, path, part)) for part in given for path in part.files]
    return join(tables)


def _opened(read: Callable[[Path], Table], path: Path, part: Part) -> Table:
    try:
        return read(path)
    except OSError as e:
        raise missing(part.name, e.strerror or str(e), part.place) from None


def _found(name: str, folder: Path, place: Place, folders: bool) -> tuple[Path, ...]:
    try:
        path = folder / name
        if path.is_dir() if folders else path.is_file():
            return (path,)
        if any(mark in name for mark in WILD) and not folders:
            return _fitting(name, folder, place)
        found = "a file" if path.is_file() else "a folder" if path.is_dir() else "no regular file" if path.exists() else "nothing there"
        near = "" if path.exists() or not path.parent.is_dir() else nearest(path.name, (p.name for p in path.parent.iterdir() if p.exists()))
    except (OSError, ValueError) as e:
        found, near = getattr(e, "strerror", None) or str(e), ""
    raise missing(name, found, place, near, folders)


def _fitting(pattern: str, folder: Path, place: Place) -> tuple[Path, ...]:
    """Files that fit a pattern, sorted; hidden ones do not."""
    path = Path(pattern)
    if "**" in pattern:  # a stranger's spec would walk the whole disk
        raise DataError(Problem(f"'{pattern}' looks into folders of any depth", place, wanted="* for each folder on the way", rule="no-file"))
    if path.is_absolute():
        folder, path = Path(path.anchor), path.relative_to(path.anchor)
    found: list[Path] = []
    for file in folder.glob(str(path)):
        inside = file.relative_to(folder).parts
        if not any(part.startswith(".") and part not in (".", "..") for part in inside) and file.is_file():
            found.append(file)
        if len(found) > MOST_FILES:
            raise DataError(Problem(f"'{pattern}' fits more than {MOST_FILES:,} files", place, wanted="a narrower pattern", rule="no-file"))
    if not found:
        raise missing(pattern, "no file fits the pattern", place)
    return tuple(sorted(found))


def missing(name: str, found: str, place: Place, near: str = "", folders: bool = False) -> DataError:
    """The error of a path that leads to nothing; points to the comment on top of the spec where that speaks of it."""
    what, wanted = ("folder", "a folder") if folders else ("file", "a file")
    return DataError(
        Problem(
            f"the data {what} '{name}' cannot be read",
            place,
            found=found,
            wanted=f"{wanted}; paths are relative to the spec",
            hint=_elsewhere(name, place) or near or _told(name, place),
            rule="no-file",
        )
    )


def _elsewhere(name: str, place: Place) -> str:
    """Of a path that a shell or a browser would have followed, and of one typed in another folder than the spec's: how to write it."""
    if "://" in name:
        return "nothing is fetched: download it, and write its path"
    if name.startswith("~"):
        return f"~ is a shell's word: {Path.home()}{name[1:]}" if name[1:2] in ("", "/") else "write the path in full"
    if place.file.startswith("--set") and Path(name).exists():
        return f"in the current folder there is one: {Path(name).absolute()}"
    return ""


def _told(name: str, place: Place) -> str:
    """Where the spec begins with a comment that names the path's first folder: that it does."""
    first = next(iter(Path(name).parts), "")
    for line in place.source.lines:
        if not line.startswith("#"):
            return ""
        if first and first in line:
            return f"it has to be made first: the comment at the top of {Path(place.file).name} says how"
    return ""
