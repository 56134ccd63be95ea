"""Rows to predict: from images, csv and npz files, or typed as numbers and class names with commas between them."""

from __future__ import annotations

import csv
import errno
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from nnspec.cli.taken import Taken
from nnspec.data.cells import number
from nnspec.data.column import Array, Table
from nnspec.data.config import DropColumn, NumberColumn
from nnspec.data.csv_file import read_csv, separator_hint
from nnspec.data.csv_records import read_records
from nnspec.data.decode import Photo, Pixels
from nnspec.data.image_column import with_images
from nnspec.data.image_header import SUFFIXES
from nnspec.data.images import Images
from nnspec.data.npz_file import read_npz
from nnspec.data.section import Section
from nnspec.data.source_kinds import Csv
from nnspec.errors import DataError, Problem, SpecError, nearest, one_of
from nnspec.records import dataclass, replace
from nnspec.spec.formulas import substitute

PICTURES = 256  # decoded at a time


@dataclass(frozen=True)
class Batch:
    """Rows by input, ready for ``predict``, and what to call each of them."""

    labels: tuple[str, ...]
    feeds: Mapping[str, Array]


class Reader(Taken):
    """Reads rows for one model."""

    def read(self, text: str) -> Iterator[Batch]:
        """One INPUT of the command line; photographs of a csv file are decoded when their turn comes.

        Raises DataError for a file, SpecError for a typed row.
        """
        path = Path(text)
        suffix = path.suffix.lower()
        try:
            if suffix not in (".csv", ".npz", *SUFFIXES) and not path.is_file() and not path.is_dir():
                return iter([self._typed(text)])
            path.open("rb").close()
        except OSError as e:
            if e.errno == errno.ENAMETOOLONG:
                return iter([self._typed(text)])
            found = {errno.ENOENT: "nothing there", errno.EISDIR: "this is a folder"}.get(e.errno or 0, e.strerror or "")
            raise DataError(
                Problem(f"the data file '{text}' cannot be read", found=found, wanted="an image, a csv or npz file, or a row of numbers")
            ) from None
        if suffix in SUFFIXES:
            return iter([self.picture(str(path), lambda photo: photo(path))])
        return iter([self._npz(path)]) if suffix == ".npz" else self._csv(path)

    # The four forms

    @property
    def takes_pictures(self) -> bool:
        """Whether a row of the model is one image."""
        return self.data is not None and len(self.needed) == 1 and bool(self.column(self.needed[0]).pixels)

    def picture(self, label: str, make: Callable[[Photo], Pixels]) -> Batch:
        """One image, made as those were that the model has learned from. Raises SpecError where it takes no image, DataError for a damaged one."""
        if not self.takes_pictures:
            wanted = f"{', '.join(self.needed or self.shapes)}: a csv or npz file"
            hint = "in a csv file a column holds the images' paths" if any(self.data and self.column(c).pixels for c in self.needed) else ""
            raise SpecError(Problem(f"'{label}' is an image, and the model takes more or something else", wanted=wanted, hint=hint))
        ((name, _),) = self.shapes.items()
        column = self.column(self.needed[0])
        assert column.pixels
        pixels = make(Photo((column.shape[0], column.shape[1]), column.pixels))
        return Batch((label,), {name: self.whole((column.name,), pixels[None] / np.float32(255))})

    def _csv(self, path: Path) -> Iterator[Batch]:
        fields = self._csv_fields(path)
        if self._flat() and not self._names_images(path, fields):
            table = self._table(read_csv(path, fields, {}))
            rows = np.stack([self.numbers(name, raw) for name, raw in table.columns.items()], axis=1)
            return iter([Batch(_labels(path, table.rows), self._unflatten(rows, path.name))])
        first = next(read_records(path, fields.separator), None)
        names = [c.strip() for c in first.cells] if first is not None and fields.header is True else list(self.needed)
        if missing := [c for c in self.needed if c not in names]:
            if hint := separator_hint(tuple(names), "give it the separator of the data that the model was trained on"):
                missing = missing[:1]  # of the others the same is to be said
            raise DataError(
                *(
                    Problem(f"{path}: the file has no column '{c}'", wanted=one_of(names), hint=hint or nearest(c, names))
                    for c in missing
                )
            )
        kinds = {name: self.kind(name) for name in names}
        table = self._table(with_images(read_csv(path, fields, kinds), kinds, path.parent, path.parent))
        pictures = {c: images for c in self.needed if isinstance(images := table.columns[c].values(), Images)}
        values = {c: self.values(c, table.columns[c]) for c in self.needed if c not in pictures}
        for c, x in values.items():
            self.whole((c,), x, table.columns[c].where)  # here, where a row has a place
        return self._parts(_labels(path, table.rows), values, pictures)

    def _parts(self, labels: tuple[str, ...], values: Mapping[str, Array], pictures: Mapping[str, Images]) -> Iterator[Batch]:
        """Rows in parts where they hold pictures, which are decoded a part at a time."""
        for start in range(0, len(labels), PICTURES if pictures else len(labels)):
            rows = range(start, min(start + PICTURES, len(labels)) if pictures else len(labels))
            part = {c: x[rows.start : rows.stop] for c, x in values.items()}
            part.update({c: images.take(rows) / np.float32(255) for c, images in pictures.items()})
            yield Batch(labels[rows.start : rows.stop], self.feeds(part))

    def _names_images(self, path: Path, fields: Csv) -> bool:
        """Whether the file has a column of paths for the one image that the model takes, and not its pixels."""
        if self.data is None or not self.column(self.needed[0]).pixels:
            return False
        first = next(read_records(path, fields.separator), None)
        return first is not None and self.needed[0] in [cell.strip() for cell in first.cells]

    def _npz(self, path: Path) -> Batch:
        held = _names_in(path)
        sources = {name: (name,) if name in held else self.columns.get(name, (name,)) for name in self.shapes}
        wanted = {c for columns in sources.values() for c in columns}
        if missing := sorted(wanted - set(held)):
            raise DataError(*(_no_array(path, c, held) for c in missing))
        kinds = {name: self.kind(name) if name in wanted else DropColumn() for name in held}
        table = self._table(read_npz(path, {n: k for n, k in kinds.items() if not isinstance(k, NumberColumn)}))
        feeds = {}
        for name, columns in sources.items():
            values = {c: self.values(c, table.columns[c]) for c in columns}
            feeds[name] = self.given(path, name, values[name]) if name in values else self.input(name, values)
            self.check_shape(path, name, feeds[name])
        return Batch(_labels(path, table.rows), feeds)

    def _typed(self, text: str) -> Batch:
        try:
            return self._row(text)
        except DataError as e:  # it stands in the call, not in a file
            raise SpecError(*(replace(p, found=f"'{text[:60]}'") for p in e.problems)) from None

    def _row(self, text: str) -> Batch:
        cells = _cells(text)
        if self._flat():
            numbers = np.array([[number(cell) for cell in cells]], np.float64)
            if not np.isfinite(numbers).all():
                raise self.not_a_row(text, "numbers with commas between them")
            return Batch((text,), self._unflatten(numbers, text))
        if len(cells) != len(self.needed):
            raise self.not_a_row(text, ",".join(self.needed), _many(len(cells)))
        values = {c: self.typed_value(c, cell, text) for c, cell in zip(self.needed, cells, strict=True)}
        return Batch((text,), self.feeds(values))

    # Their values

    def _flat(self) -> bool:
        """Whether a row is one input's numbers in order: no data that names columns, or one column of arrays."""
        if len(self.shapes) != 1 or self.data is None:
            return len(self.shapes) == 1
        only = self.column(self.needed[0])
        return len(self.needed) == 1 and not only.plain_number and only.classes is None

    def _unflatten(self, rows: Array, what: str) -> dict[str, Array]:
        ((name, shape),) = self.shapes.items()
        known = [d if isinstance(d, int) else -1 for d in shape]
        wanted = math.prod(d for d in known if d != -1)
        if known.count(-1) > 1 or rows.shape[1] % wanted or (-1 not in known and rows.shape[1] != wanted):
            raise self.not_a_row(what, f"{wanted} numbers for '{name}'", _many(rows.shape[1]))
        return {name: self.whole(self.columns.get(name, (name,)), rows.reshape(len(rows), *known))}

    def _csv_fields(self, path: Path) -> Csv:
        """Separator, decimal mark and header as in the spec's own csv."""
        document = self.model.spec.document
        if self.data is not None and self.data.source == "csv":
            fields = Section(substitute(document.root.pairs["data"], document.env)).fields
            if isinstance(fields, Csv):
                return fields
        return Csv(path=str(path))

    def _table(self, table: Table) -> Table:
        if table.problems:
            raise DataError(*table.problems)
        return table


def _labels(path: Path, rows: int) -> tuple[str, ...]:
    return tuple(f"{path}:{row}" for row in range(1, rows + 1))


def _cells(text: str) -> list[str]:
    """The values of a typed row; one that holds a comma may stand in double quotes, as in a csv file."""
    try:
        return [cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), [""])]
    except csv.Error:  # line ends
        return [cell.strip() for cell in text.split(",")]


def _many(values: int) -> str:
    return f"{values} value{'' if values == 1 else 's'}"


def _names_in(path: Path) -> list[str]:
    if not is_zipfile(path):  # else NumPy would advise to unpickle it
        raise DataError(Problem(f"{path}: the file is no npz of arrays", found="no zip archive"))
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return list(archive.files)
    except (ValueError, OSError, EOFError, BadZipFile, AttributeError, TypeError) as e:
        raise DataError(Problem(f"{path}: the file is no npz of arrays", found=str(e)[:200])) from None


def _no_array(path: Path, name: str, held: list[str]) -> Problem:
    return Problem(f"{path}: the file has no array '{name}'", wanted=one_of(held), hint=nearest(name, held))
