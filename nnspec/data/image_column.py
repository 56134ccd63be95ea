"""A column of texts that are paths of images, as a table of texts names them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnspec.data.column import Raw, Table
from nnspec.data.config import ColumnKind, ImageColumn
from nnspec.data.image_header import SUFFIXES
from nnspec.data.pictures import pictures
from nnspec.errors import LIMIT, Problem


def with_images(table: Table, kinds: dict[str, ColumnKind], beside: Path, folder: Path) -> Table:
    """The table with its columns of kind ``image`` read; ``beside`` is the folder of the file, ``folder`` the spec's."""
    if table.problems:
        return table
    problems: list[Problem] = []
    columns = dict(table.columns)
    for name, kind in kinds.items():
        if isinstance(kind, ImageColumn) and name in columns:
            columns[name] = _column(name, columns[name], kind, folder / kind.root if kind.root is not None else beside, problems)
    return Table(table.rows, columns, table.dropped, tuple(problems[:LIMIT]), table.given)


def _column(name: str, raw: Raw, kind: ImageColumn, root: Path, problems: list[Problem]) -> Raw:
    own: list[Problem] = []
    if raw.texts is None or raw.shape:
        own.append(
            Problem(f"column '{name}' does not hold paths of images", raw.where(0), found="numbers", wanted="a path in every row", rule="bad-value")
        )
        problems += own
        return raw
    codes = raw.array()
    if raw.missing is not None:
        own.append(
            Problem(
                f"row {raw.missing + 1} of column '{name}' names no image",
                raw.where(raw.missing),
                found="nothing",
                wanted="a path",
                rule="missing-value",
            )
        )
    whole = Path(os.path.realpath(root))
    files: dict[int, Path] = {}
    for code, text in enumerate(raw.texts):
        file = root / text
        if problem := _refused(name, text, file, whole):
            own.append(replace(problem, place=raw.where(int(np.argmax(codes == code)))))
        files[code] = file
        if len(own) >= LIMIT:
            break
    if own:
        problems += own
        return raw
    paths = [files[code] for code in codes.tolist()]
    return pictures(paths, kind.size, kind.channels, problems, f"resize them: columns: {{{name}: {{image: {{size: {{size}}}}}}}}")


def _refused(name: str, text: str, file: Path, root: Path) -> Problem | None:
    """What is wrong with a path, its file not opened: it leads out of the folder, or to no image."""
    message = wanted = hint = ""
    try:
        inside = Path(os.path.realpath(file)).is_relative_to(root)
        if not inside:
            message, wanted = "leads out of the folder", f"a path inside of {root}"
            hint = f"say where images are: columns: {{{name}: {{image: {{root: FOLDER}}}}}}"
        elif not file.is_file():
            message, wanted = "leads to a folder" if file.is_dir() else "leads to nothing", f"a file; paths are relative to {root}"
        elif file.suffix.lower() not in SUFFIXES:
            message, wanted = "is no image's", f"one of {', '.join(SUFFIXES)}"
    except (OSError, ValueError) as e:
        message, wanted = "cannot be followed", getattr(e, "strerror", None) or str(e)
    if not message:
        return None
    return Problem(f"a path in column '{name}' {message}", found=f"'{text[:100]}'", wanted=wanted, hint=hint, rule="bad-path")
