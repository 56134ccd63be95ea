"""Rows to predict: from images, csv and npz files, or typed as numbers and class names with commas between them."""

from __future__ import annotations

import csv
import errno
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, is_zipfile

import numpy as np

from nnspec.data.cells import number
from nnspec.data.column import Array, Column, Raw, Table, index_of
from nnspec.data.config import CategoryColumn, ColumnKind, DropColumn, ImageColumn, NumberColumn
from nnspec.data.csv_file import read_csv, separator_hint
from nnspec.data.csv_records import read_records
from nnspec.data.decode import Photo
from nnspec.data.image_column import with_images
from nnspec.data.image_header import SUFFIXES
from nnspec.data.images import Images
from nnspec.data.inputs import assemble
from nnspec.data.npz_file import read_npz
from nnspec.data.section import Section
from nnspec.data.source_kinds import Csv
from nnspec.errors import DataError, Place, Problem, SpecError, nearest, one_of
from nnspec.records import dataclass, replace
from nnspec.spec.formulas import substitute

if TYPE_CHECKING:
    from nnspec.runtime.session import Model

PICTURES = 256  # decoded at a time


@dataclass(frozen=True)
class Batch:
    """Rows by input, ready for ``predict``, and what to call each of them."""

    labels: tuple[str, ...]
    feeds: Mapping[str, Array]


class Reader:
    """Reads rows for one model: the columns of its data where it has data, else its inputs by name."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.shapes = {name: tuple(t.shape) for name, t in model.spec.inputs.items()}
        self.data = model.spec.document.data
        self.columns: Mapping[str, tuple[str, ...]] = model.spec.built.columns
        self.needed = [c for name in self.shapes for c in self.columns.get(name, ())]

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
            return iter([self._image(path)])
        return iter([self._npz(path)]) if suffix == ".npz" else self._csv(path)

    # The four forms

    def _image(self, path: Path) -> Batch:
        """One image, made as those were that the model has learned from."""
        column = self._column(self.needed[0]) if self.data is not None and len(self.needed) == 1 else None
        if column is None or not column.pixels:
            wanted = f"{', '.join(self.needed or self.shapes)}: a csv or npz file"
            hint = "in a csv file a column holds the images' paths" if any(self.data and self._column(c).pixels for c in self.needed) else ""
            raise SpecError(Problem(f"'{path}' is an image, and the model takes more or something else", wanted=wanted, hint=hint))
        ((name, _),) = self.shapes.items()
        pixels = Photo((column.shape[0], column.shape[1]), column.pixels)(path)
        return Batch((str(path),), {name: self._whole((column.name,), pixels[None] / np.float32(255))})

    def _csv(self, path: Path) -> Iterator[Batch]:
        fields = self._csv_fields(path)
        if self._flat() and not self._names_images(path, fields):
            table = self._table(read_csv(path, fields, {}))
            rows = np.stack([self._numbers(name, raw) for name, raw in table.columns.items()], axis=1)
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
        kinds = {name: self._kind(name) for name in names}
        table = self._table(with_images(read_csv(path, fields, kinds), kinds, path.parent, path.parent))
        pictures = {c: images for c in self.needed if isinstance(images := table.columns[c].values(), Images)}
        values = {c: self._values(c, table.columns[c]) for c in self.needed if c not in pictures}
        for c, x in values.items():
            self._whole((c,), x, table.columns[c].where)  # here, where a row has a place
        return self._parts(_labels(path, table.rows), values, pictures)

    def _parts(self, labels: tuple[str, ...], values: Mapping[str, Array], pictures: Mapping[str, Images]) -> Iterator[Batch]:
        """Rows in parts where they hold pictures, which are decoded a part at a time."""
        for start in range(0, len(labels), PICTURES if pictures else len(labels)):
            rows = range(start, min(start + PICTURES, len(labels)) if pictures else len(labels))
            part = {c: x[rows.start : rows.stop] for c, x in values.items()}
            part.update({c: images.take(rows) / np.float32(255) for c, images in pictures.items()})
            yield Batch(labels[rows.start : rows.stop], self._feeds(part))

    def _names_images(self, path: Path, fields: Csv) -> bool:
        """Whether the file has a column of paths for the one image that the model takes, and not its pixels."""
        if self.data is None or not self._column(self.needed[0]).pixels:
            return False
        first = next(read_records(path, fields.separator), None)
        return first is not None and self.needed[0] in [cell.strip() for cell in first.cells]

    def _npz(self, path: Path) -> Batch:
        held = _names_in(path)
        sources = {name: (name,) if name in held else self.columns.get(name, (name,)) for name in self.shapes}
        wanted = {c for columns in sources.values() for c in columns}
        if missing := sorted(wanted - set(held)):
            raise DataError(*(_no_array(path, c, held) for c in missing))
        kinds = {name: self._kind(name) if name in wanted else DropColumn() for name in held}
        table = self._table(read_npz(path, {n: k for n, k in kinds.items() if not isinstance(k, NumberColumn)}))
        feeds = {}
        for name, columns in sources.items():
            values = {c: self._values(c, table.columns[c]) for c in columns}
            feeds[name] = self._given(path, name, values[name]) if name in values else self._input(name, values)
            self._check_shape(path, name, feeds[name])
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
                raise self._not_a_row(text, "numbers with commas between them")
            return Batch((text,), self._unflatten(numbers, text))
        if len(cells) != len(self.needed):
            raise self._not_a_row(text, ",".join(self.needed), _many(len(cells)))
        values = {c: self._typed_value(c, cell, text) for c, cell in zip(self.needed, cells, strict=True)}
        return Batch((text,), self._feeds(values))

    # Their values

    def _flat(self) -> bool:
        """Whether a row is one input's numbers in order: no data that names columns, or one column of arrays."""
        if len(self.shapes) != 1 or self.data is None:
            return len(self.shapes) == 1
        only = self._column(self.needed[0])
        return len(self.needed) == 1 and not only.plain_number and only.classes is None

    def _unflatten(self, rows: Array, what: str) -> dict[str, Array]:
        ((name, shape),) = self.shapes.items()
        known = [d if isinstance(d, int) else -1 for d in shape]
        wanted = math.prod(d for d in known if d != -1)
        if known.count(-1) > 1 or rows.shape[1] % wanted or (-1 not in known and rows.shape[1] != wanted):
            raise self._not_a_row(what, f"{wanted} numbers for '{name}'", _many(rows.shape[1]))
        return {name: self._whole(self.columns.get(name, (name,)), rows.reshape(len(rows), *known))}

    def _feeds(self, values: Mapping[str, Array]) -> dict[str, Array]:
        return {name: self._input(name, values) for name in self.shapes}

    def _input(self, name: str, values: Mapping[str, Array]) -> Array:
        """An input from its columns."""
        columns = self.columns.get(name, (name,))
        return assemble({c: self._whole((c,), values[c]) for c in columns}, columns)

    def _given(self, path: Path, name: str, x: Array) -> Array:
        """An input that is one array; numbers may leave out their axis of length 1."""
        x = x[:, None] if x.ndim == 1 and self.shapes[name] == (1,) else x
        self._check_shape(path, name, x)
        return self._whole(self.columns.get(name, (name,)), x)

    def _check_shape(self, path: Path, name: str, x: Array) -> None:
        """Here, where it is known that a file is wrong and not the call."""
        found, wanted = x.shape[1:], self.shapes[name]
        fits = len(found) == len(wanted) and all(n == d for n, d in zip(found, wanted, strict=True) if isinstance(d, int))
        if not fits:
            shapes = (" x ".join(map(str, shape)) or "single numbers" for shape in (found, wanted))
            raise DataError(Problem(f"{path}: the rows of '{name}' do not fit", found=next(shapes), wanted=next(shapes)))

    def _whole(
        self, columns: Sequence[str], x: Array, where: Callable[[int], Place | None] = lambda row: None
    ) -> Array:
        """What ``predict`` takes: numbers in their own unit, classes with missing ones filled; all else is there."""
        preparation = self.model.preparation
        names = tuple(columns) if len(columns) > 1 else columns[0]
        numbers, precision = x.dtype.kind == "f", self.model.spec.settings.precision
        filled = x if preparation is None else preparation.apply(names, x) if numbers else preparation.filled(columns[0], x)
        if numbers:
            with np.errstate(over="ignore"):
                bad = ~np.isfinite(filled.astype(precision)) | np.isinf(x.astype(precision))
        else:
            bad = (filled < 0) & (self.data is not None)
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            lacks = f"has no value, or one that does not fit {precision}" if numbers else "has no value"
            message = f"row {row + 1} of '{', '.join(columns)}' {lacks}"
            raise DataError(Problem(message, where(row), wanted="a value in every row"))
        return x if numbers else filled

    def _values(self, name: str, raw: Raw) -> Array:
        """A column as numbers, or as class numbers."""
        if raw.texts is None:
            return self._numbers(name, raw)
        classes = self._column(name).classes or ()
        if strange := [t for t in raw.texts if t not in classes]:
            row = int(np.argwhere(raw.array() == raw.texts.index(strange[0]))[0][0])
            raise DataError(
                Problem(
                    f"row {row + 1} of column '{name}' is none of its classes",
                    raw.where(row),
                    found=f"'{strange[0][:60]}'",
                    wanted=one_of(classes),
                    hint=nearest(strange[0], classes),
                )
            )
        return index_of(raw.texts, classes)[raw.array()]

    def _numbers(self, name: str, raw: Raw) -> Array:
        if raw.texts is not None:
            raise DataError(Problem(f"column '{name}' holds texts", raw.where(0), wanted="numbers"))
        values = raw.values()
        if isinstance(values, Images):
            return values.take(range(len(values))) / np.float32(255)
        return values if values.dtype.kind in "iu" and self.data is None else values.astype(np.float64)

    def _typed_value(self, name: str, cell: str, row: str) -> Array:
        classes = self._column(name).classes
        if classes is None:
            value = number(cell) if cell else math.nan
            if cell and not math.isfinite(value):
                order = f", in the order {','.join(self.needed)}" if len(self.needed) > 1 else ""
                raise self._not_a_row(row, f"a number for '{name}'{order}", f"'{cell[:60]}'")
            return np.array([value], np.float64)
        if cell and cell not in classes:
            raise SpecError(
                Problem(f"'{cell}' is no class of '{name}'", wanted=one_of(classes), hint=nearest(cell, classes))
            )
        return np.array([classes.index(cell) if cell else -1], np.int64)

    def _column(self, name: str) -> Column:
        """The column of that name, or the only one of the input of that name."""
        assert self.data is not None
        if name not in self.data.columns and len(self.columns.get(name, ())) == 1:
            name = self.columns[name][0]
        return self.data.columns[name]

    def _kind(self, name: str) -> ColumnKind:
        if self.data is None or (name not in self.needed and name not in self.shapes):
            return NumberColumn() if self.data is None else DropColumn()
        column = self.data.columns.get(name)
        if column is not None and column.pixels:
            return ImageColumn(size=(column.shape[0], column.shape[1]), channels=column.pixels)
        stacked = name in self.shapes and name not in self.data.columns and len(self.columns[name]) > 1
        return NumberColumn() if stacked or self._column(name).classes is None else CategoryColumn()

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

    def _not_a_row(self, text: str, wanted: str, found: str = "") -> SpecError:
        return SpecError(
            Problem(
                f"'{text[:60]}' is neither a file nor a row",
                found=found,
                wanted=wanted,
                hint="an image, a .csv or an .npz file may be given",
            )
        )


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
