"""Reads columns of image files that belong together by their names: photographs and their masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnspec.data.column import Raw, Table
from nnspec.data.decode import Mask, mask_values, require_pillow
from nnspec.data.image_header import SUFFIXES, Header
from nnspec.data.images import ImageFiles
from nnspec.data.paths import Part
from nnspec.data.pictures import common_size, file_place, headers, no_image, pictures, place_finder
from nnspec.data.source_kinds import FileColumn
from nnspec.errors import LIMIT, DataError, Place, Problem, nearest

MOST_VALUES = 256  # different values of masks whose classes are not declared


def read_files(columns: Mapping[str, FileColumn], parts: Mapping[str, Sequence[Part]], dropped: tuple[str, ...]) -> Table:
    """A row for each name that every column has a file of, sorted by name. Raises DataError."""
    problems: list[Problem] = []
    paths, given = _joined(parts, problems)
    if problems:
        raise DataError(*problems[:LIMIT])
    raws: dict[str, Raw] = {}
    for name, column in columns.items():
        if column.as_ == "image" and name not in dropped:
            raws[name] = pictures(paths[name], column.size, column.channels or "rgb", problems, f"resize them: {name}: {{path: …, size: {{size}}}}")
    lead = next((name for name, column in columns.items() if column.as_ == "image"), None)
    if problems:
        raise DataError(*problems[:LIMIT])
    for name, column in columns.items():
        if column.as_ == "labels" and name not in dropped:
            size = columns[lead].size if lead else None
            raw = _masks(name, column, paths[name], (lead, paths[lead], size) if lead else None, problems)
            if raw is not None:
                raws[name] = raw
    if problems:
        raise DataError(*problems[:LIMIT])
    rows = len(next(iter(paths.values())))
    return Table(rows, {name: raws[name] for name in columns if name in raws}, dropped, given=given)


def _joined(parts: Mapping[str, Sequence[Part]], problems: list[Problem]) -> tuple[dict[str, list[Path]], tuple[tuple[str, int], ...]]:
    """The files of each column, row by row, and the rows of each split."""
    first, *others = parts
    splits = [part.split for part in parts[first]]
    for name in others:
        if [part.split for part in parts[name]] != splits:
            found = ", ".join(part.split for part in parts[name]) or "one path"
            wanted = f"those of '{first}': {', '.join(splits) or 'one path'}"
            problems.append(
                Problem(
                    f"column '{name}' has paths for other splits",
                    parts[name][0].place,
                    found=found.strip() or "one path",
                    wanted=wanted,
                    rule="bad-value",
                )
            )
    if problems:
        return {}, ()
    paths: dict[str, list[Path]] = {name: [] for name in parts}
    counts: list[tuple[str, int]] = []
    for i, split in enumerate(splits):
        stems = {name: _stems(name, parts[name][i], problems) for name in parts}
        everything = sorted(set().union(*stems.values()))
        for stem in everything:
            if lacking := [name for name in parts if stem not in stems[name]]:
                file = next(s[stem] for s in stems.values() if stem in s)
                lonely = [other for other in stems[lacking[0]] if not all(other in s for s in stems.values())]
                problems.append(_alone(stem, file, lacking[0], lonely))
            if len(problems) >= LIMIT:
                return {}, ()
        if not problems:
            counts.append((split, len(everything)))
            for name in parts:
                paths[name] += [stems[name][stem] for stem in everything]
    return paths, tuple(c for c in counts if c[0])


def _stems(name: str, part: Part, problems: list[Problem]) -> dict[str, Path]:
    """The files of a part by their names without ending."""
    found: dict[str, Path] = {}
    for path in part.files:
        if path.suffix.lower() not in SUFFIXES:
            problems.append(no_image(path))
        elif path.stem in found:
            other = found[path.stem]
            problems.append(
                Problem(
                    f"two files of column '{name}' have one name",
                    file_place(path),
                    found=f"'{other.name}' in {other.parent}",
                    wanted="different names without their endings, by which columns are joined",
                    rule="repeated-name",
                )
            )
        else:
            found[path.stem] = path
        if len(problems) >= LIMIT:
            break
    return found


def _alone(stem: str, path: Path, column: str, known: list[str]) -> Problem:
    return Problem(
        f"the file has no partner in column '{column}'",
        file_place(path),
        wanted=f"a file called '{stem}', whatever its ending, among those of '{column}'",
        hint=nearest(stem, known[:1000]),
        rule="missing-value",
    )


Lead = tuple[str, Sequence[Path], tuple[int, int] | None]  # the image column whose sizes count: its name, files, size


def _masks(name: str, column: FileColumn, paths: Sequence[Path], lead: Lead | None, problems: list[Problem]) -> Raw | None:
    """The column of masks; what is wrong is added to ``problems``."""
    found = headers(paths, problems)
    if problems:
        return None
    size = column.size
    if size is None and lead is not None:
        sizes = headers(lead[1], problems)
        _same_sizes(name, paths, found, lead, sizes, problems)
        size = lead[2] or sizes[0][1:3]
    elif size is None:
        size = common_size(paths, found, f"resize them: {name}: {{path: …, as: labels, size: {{size}}}}", problems)
    if problems:
        return None
    numbers, classes, wanted = _classes(column, paths, problems)
    if not classes or problems:
        return None
    mask = Mask((size[0], size[1]), numbers, wanted)
    return Raw(mask.size, partial(_files, paths, mask, len(classes)), where=place_finder(paths), classes=classes)


def _files(paths: Sequence[Path], mask: Mask, classes: int) -> ImageFiles:
    require_pillow()
    return ImageFiles(paths, mask.size, mask, np.dtype(np.uint8 if classes <= 256 else np.uint16))


def _same_sizes(name: str, paths: Sequence[Path], found: Sequence[Header], lead: Lead, sizes: Sequence[Header], problems: list[Problem]) -> None:
    for path, mask, image, its in zip(paths, found, sizes, lead[1], strict=True):
        if mask[1:3] != image[1:3] and len(problems) < LIMIT:
            problems.append(
                Problem(
                    "the mask is of another size than its image",
                    file_place(path),
                    found=f"{mask.height} x {mask.width}",
                    wanted=f"{image.height} x {image.width}, as {its.name} is",
                    hint=f"resize it all the same: {name}: {{path: …, as: labels, size: [{image.height}, {image.width}]}}",
                    rule="ragged-rows",
                )
            )


def _classes(column: FileColumn, paths: Sequence[Path], problems: list[Problem]) -> tuple[NDArray[np.int64], tuple[str, ...], str]:
    """The class number of each value, the classes' names, and what values there may be."""
    declared = column.classes
    if isinstance(declared, int):
        return np.arange(declared), tuple(map(str, range(declared))), f"a number from 0 to {declared - 1}"
    if isinstance(declared, tuple):
        return np.arange(len(declared)), declared, f"a number from 0 to {len(declared) - 1}"
    if declared is not None:
        numbers = np.full(max(declared.values()) + 1, -1, np.int64)
        numbers[list(declared.values())] = range(len(declared))
        return numbers, tuple(declared), f"one of {', '.join(map(str, sorted(declared.values())[:12]))}"
    values: set[int] = set()
    for path in dict.fromkeys(paths):
        try:
            values.update(np.unique(mask_values(path)).tolist())
        except DataError as e:
            problems += e.problems
        if len(values) > MOST_VALUES:
            problems.append(_too_many(file_place(path)))
        if len(problems) >= LIMIT or len(values) > MOST_VALUES:
            return np.zeros(0, np.int64), (), ""
    found = sorted(values)
    numbers = np.full(max(found, default=0) + 1, -1, np.int64)
    numbers[found] = range(len(found))
    return numbers, tuple(map(str, found)), "a value that was there when the masks were first read"


def _too_many(place: Place) -> Problem:
    hint = "say how many there are: {path: …, as: labels, classes: 1000}"
    return Problem(f"masks hold more than {MOST_VALUES} different values", place, wanted="a number for each class", hint=hint, rule="bad-image")
