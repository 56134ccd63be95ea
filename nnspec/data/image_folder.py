"""Reads a folder with a folder of images for each class: what is there, and how large; pixels come later."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnspec.data.column import Raw, Table
from nnspec.data.config import ColumnKind, DropColumn
from nnspec.data.image_header import SUFFIXES
from nnspec.data.join import given
from nnspec.data.paths import MOST_FILES, Part
from nnspec.data.pictures import file_place, no_image, pictures, place_finder
from nnspec.data.source_kinds import ImageFolder
from nnspec.errors import LIMIT, DataError, Problem

COLUMNS = ("image", "label")


def read_image_folder(parts: Sequence[Part], fields: ImageFolder, kinds: dict[str, ColumnKind]) -> Table:
    """The rows of all parts, sorted by class and name: ``image``, and ``label``, the folder's name. Raises DataError."""
    problems: list[Problem] = []
    paths: list[Path] = []
    labels: list[str] = []
    rows: list[tuple[str, Path, Table]] = []
    for part in parts:
        before = len(paths)
        for name, files in _classes(part, problems):
            paths += files
            labels += [name] * len(files)
        rows.append((part.split, part.files[0], Table(len(paths) - before, {})))
    if problems:
        raise DataError(*problems[:LIMIT])
    classes = tuple(sorted(set(labels)))
    numbers = {name: i for i, name in enumerate(classes)}
    codes = np.array([numbers[label] for label in labels], np.int64)
    dropped = tuple(name for name in COLUMNS if isinstance(kinds.get(name), DropColumn))
    columns: dict[str, Raw] = {}
    if "image" not in dropped:
        columns["image"] = pictures(paths, fields.size, fields.channels, problems)
    if "label" not in dropped:
        columns["label"] = Raw((), lambda: codes, classes, place_finder(paths))
    if problems:
        raise DataError(*problems[:LIMIT])
    return Table(len(paths), columns, dropped, given=given(rows))


def _classes(part: Part, problems: list[Problem]) -> list[tuple[str, list[Path]]]:
    """Each class of a folder with its files, both sorted; what does not belong there is added to ``problems``."""
    top = part.files[0]
    folders, beside = _listed(top, part, problems)
    problems += [
        Problem(
            "a file stands beside the folders of the classes",
            file_place(path),
            wanted=f"{part.name}/CLASS/{path.name}",
            hint='images without classes are read by files: {image: "folder/*"}',
            rule="bad-folder",
        )
        for path in beside[:LIMIT]
    ]
    if not folders and not problems:
        problems.append(
            Problem(
                f"the folder '{part.name}' holds no folders",
                part.place,
                found="nothing",
                wanted="a folder of images for each class",
                rule="empty-file",
            )
        )
    found = []
    for folder in folders:
        if len(problems) >= LIMIT:
            break
        inner, files = _listed(folder, part, problems)
        problems += [
            Problem("a folder stands inside of a class's folder", file_place(p), wanted="images only", rule="bad-folder") for p in inner[:LIMIT]
        ]
        problems += [no_image(p) for p in files if p.suffix.lower() not in SUFFIXES][:LIMIT]
        if not files and not inner:
            problems.append(Problem(f"the folder of class '{folder.name}' holds no images", file_place(folder), found="nothing", rule="empty-file"))
        found.append((_text(folder.name), files))
    return found


def _text(name: str) -> str:
    """A folder's name as UTF-8 has it, whatever the locale makes of its bytes; what is none stays as it is."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _listed(folder: Path, part: Part, problems: list[Problem]) -> tuple[list[Path], list[Path]]:
    """The folders and the files in a folder, sorted, without hidden ones; links are what they lead to."""
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                found = _is(entry)
                if found == "folder":
                    folders.append(Path(entry.path))
                elif found == "file":
                    files.append(Path(entry.path))
                else:
                    problems.append(Problem("this cannot be read", file_place(Path(entry.path)), found=found, wanted="an image", rule="bad-folder"))
                if len(files) > MOST_FILES or len(problems) >= LIMIT:
                    break
    except OSError as e:
        problems.append(Problem("the folder cannot be read", file_place(folder), found=e.strerror or str(e), rule="bad-folder"))
    if len(files) > MOST_FILES:
        problems.append(Problem(f"the folder holds more than {MOST_FILES:,} files", file_place(folder), rule="bad-folder"))
    return sorted(folders), sorted(files)


def _is(entry: os.DirEntry[str]) -> str:
    """``folder``, ``file``, or what else it is; of a link what it leads to."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "no regular file"
    except OSError as e:
        return e.strerror or str(e)
