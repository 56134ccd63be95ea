"""Rows of a person's own beside those of the data: files that were named at the start, and images that are chosen in the page."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nnspec.data.decode import Photo, Pixels, require_pillow
from nnspec.data.image_header import SUFFIXES, Unreadable, header, image_error, read_header
from nnspec.errors import DataError, NnspecError, Problem, SpecError

if TYPE_CHECKING:
    from nnspec.runtime.observe import Observer
    from nnspec.runtime.session import Model

ROWS = 256  # that are looked at, of all files together
CHOSEN, BYTES = 16, 1 << 26  # images that were chosen in the page, and what they hold together: the oldest go
LABEL = 200  # letters


class Rows(Protocol):
    """Rows by input, as ``predict`` takes them, and what to call each of them."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def feeds(self) -> Mapping[str, Any]: ...


class Reads(Protocol):
    """What reads rows for one model: ``nnspec.cli.rows.Reader``."""

    @property
    def takes_pictures(self) -> bool: ...
    def picture(self, label: str, make: Callable[[Photo], Pixels]) -> Rows: ...
    def read(self, text: str) -> Iterator[Rows]: ...


class Own:
    """What a person wants to see, kept in memory: it is read for a model when that is looked into."""

    def __init__(self, reader: Callable[[Model], Reads] | None = None, files: Sequence[Path] = ()) -> None:
        for path in files:
            if path.suffix.lower() in SUFFIXES:
                require_pillow()
                read_header(path)
            elif not path.is_file():
                found, wanted = "this is a folder" if path.is_dir() else "there is no such file", "an image, a csv or npz file"
                raise DataError(Problem(f"'{path}' cannot be shown", found=found, wanted=wanted, rule="own-row"))
        self._reader, self._files = reader, tuple(files)
        self._chosen: deque[tuple[str, bytes]] = deque()
        self._lock = Lock()
        self.version = 0  # another one where the rows are

    def add(self, label: str, data: bytes) -> None:
        """An image that was chosen in the page. Raises DataError where it is none, MissingExtraError without Pillow."""
        require_pillow()
        label = "".join(c if c.isprintable() else "?" for c in label[:LABEL]) or "image"
        try:
            header(io.BytesIO(data))
        except Unreadable as e:
            raise image_error(Path(label), *e.args) from None
        with self._lock:
            self._chosen = deque(one for one in self._chosen if one != (label, data))
            self._chosen.append((label, data))
            while len(self._chosen) > CHOSEN or sum(len(held) for _, held in self._chosen) > max(BYTES, len(data)):
                self._chosen.popleft()
            self.version += 1

    def give(self, seen: Observer) -> list[str]:
        """Gives the rows to who looks into a model; what it does not take, each in a sentence."""
        if self._reader is None:
            return []
        with self._lock:
            chosen = tuple(self._chosen)
        reader = self._reader(seen.model)
        sources: list[Callable[[], Iterator[Rows]]] = [partial(_pictured, reader, *one) for one in reversed(chosen)]  # the newest first
        sources += [partial(reader.read, str(path)) for path in self._files]
        found: list[Rows] = []
        refused = []
        for read in sources:
            try:
                for part in read():
                    _fits(found, part)
                    found.append(part)
                    if sum(len(p.labels) for p in found) >= ROWS:
                        break
            except NnspecError as e:
                refused.append(_sentence(e))
        if found:
            labels = [label for part in found for label in part.labels][:ROWS]
            feeds = {name: np.concatenate([np.asarray(part.feeds[name]) for part in found])[:ROWS] for name in found[0].feeds}
            seen.give(labels, feeds)
        return refused

    def takes_pictures(self, model: Model) -> bool:
        """Whether an image can be chosen for it."""
        return self._reader is not None and self._reader(model).takes_pictures


def _pictured(reader: Reads, label: str, data: bytes) -> Iterator[Rows]:
    return iter([reader.picture(label, lambda photo: photo.of(data, label))])


def _fits(found: Sequence[Rows], part: Rows) -> None:
    """Raises SpecError where rows are of another length than those before them: they are answered together."""
    for name, x in part.feeds.items() if found else ():
        one, other = np.shape(found[0].feeds[name])[1:], np.shape(x)[1:]
        if one != other:
            message = f"'{part.labels[0]}' is of another shape than the rows before it"
            raise SpecError(Problem(message, found=f"{other}", wanted=f"{one}", rule="own-row"))


def _sentence(error: NnspecError) -> str:
    problem = error.problems[0]
    where = f"{problem.place.source.name}: " if problem.place is not None else ""
    return (where + problem.message + (f" ({problem.found})" if problem.found else ""))[:400]
