"""A column of image files: their headers looked at now, their pixels when a batch wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from nnspec.data.column import Raw
from nnspec.data.config import Channels
from nnspec.data.decode import Photo, require_pillow
from nnspec.data.image_header import SUFFIXES, Header, read_header
from nnspec.data.images import ImageFiles
from nnspec.errors import LIMIT, DataError, Place, Problem, Source


def headers(paths: Sequence[Path], problems: list[Problem]) -> list[Header]:
    """The header of every file; as many problems as are shown."""
    known: dict[Path, Header] = {}
    for path in paths:
        if path not in known:
            try:
                known[path] = read_header(path)
            except DataError as e:
                problems += e.problems
                if len(problems) >= LIMIT:
                    return []
    return [known[path] for path in paths if path in known]


def common_size(paths: Sequence[Path], found: Sequence[Header], hint: str, problems: list[Problem]) -> tuple[int, int]:
    """The one size that all have; a problem for the first that has another."""
    first = found[0]
    others = [i for i, header in enumerate(found) if header[1:3] != first[1:3]]
    if others:
        odd = found[others[0]]
        more = f", and {len(others) - 1} more files" if len(others) > 1 else ""
        problems.append(
            Problem(
                "the images differ in size",
                file_place(paths[others[0]]),
                found=f"{odd.height} x {odd.width}{more}",
                wanted=f"{first.height} x {first.width}, as {paths[0].name} has",
                hint=hint.format(size=f"[{first.height}, {first.width}]"),
                rule="ragged-rows",
            )
        )
    return first.height, first.width


def pictures(
    paths: Sequence[Path], size: tuple[int, int] | None, channels: Channels, problems: list[Problem], hint: str = "resize them: size: {size}"
) -> Raw:
    """The column of these files, a row each; what is wrong with a header is added to ``problems``."""
    found = headers(paths, problems)
    if not problems and size is None:
        size = common_size(paths, found, hint, problems)
    photo = Photo(size or (1, 1), channels)
    return Raw(photo.shape, partial(_images, paths, photo), where=place_finder(paths), pixels=channels)


def _images(paths: Sequence[Path], photo: Photo) -> ImageFiles:
    require_pillow()
    return ImageFiles(paths, photo.shape, photo, np.dtype(np.uint8))


def place_finder(paths: Sequence[Path]) -> Callable[[int], Place | None]:
    return lambda row: file_place(paths[row])


def file_place(path: Path) -> Place:
    """A whole file as a place."""
    return Place(Source(str(path), ""))


def no_image(path: Path) -> Problem:
    """The problem of a file among images whose name is not that of an image."""
    wanted = f"one of {', '.join(SUFFIXES)}"
    return Problem(
        "this is no image", file_place(path), found=f"a file called '{path.name}'", wanted=wanted, hint="move it elsewhere", rule="bad-image"
    )
