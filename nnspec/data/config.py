"""What can be written in a spec's data section: sources, kinds of columns, the split and preparations."""

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from nnspec.spec.model import Config, Kind, Number

Names = str | tuple[str, ...]


def parse_paths(value: Any) -> Any:
    """A path, or a mapping of splits to paths."""
    splits = value if isinstance(value, dict) else {}
    known = "train" in splits and not set(splits) - {"train", "validation", "test"}
    if (isinstance(value, str) and value) or (known and all(isinstance(v, str) and v for v in splits.values())):
        return value
    found = ", ".join(splits) if splits else repr(value)[:60]
    wanted = "a path, or one for each split: {train: a, test: b}, also validation; train is needed"
    raise PydanticCustomError("nnspec", "{message}", {"message": "a path does not fit", "found": found, "wanted": wanted, "hint": ""})


def _sides(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


def _file_column(value: Any) -> Any:
    return value if isinstance(value, dict) and "path" in value else {"path": value}


Paths = Annotated[str | dict[str, str], BeforeValidator(parse_paths)]
Side = Annotated[int, Field(ge=1, le=8192)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_sides)]
Channels = Literal["rgb", "bgr", "gray"]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MOST_CLASSES = 100_000


class Source(Kind):
    """Where rows come from.

    A column of numbers called ``sample_weight`` is no feature: it says what each row weighs, at least 0, in batch statistics,
    losses and metrics. A prediction does not need it.
    """

    registry: ClassVar[dict[str, type[Any]]] = {}


class Digits(Source, kind="digits"):
    """1797 handwritten digits, shipped: ``image`` (8, 8, 1) in 0 to 1, target ``digit``, 10 classes.

    The original's pixels are 0 to 16, here divided by 16.
    Without ``split`` a stratified fifth is the test split.
    """


class Iris(Source, kind="iris"):
    """150 flowers, shipped: four lengths in centimetres, target ``species``, 3 classes.

    Without ``split`` a stratified fifth is the test split.
    """


class Inline(Source, kind="inline"):
    """Rows written in the spec: ``{columns: {x: [[0, 0], [0, 1]], y: [0, 1]}, target: y}``.

    Nested lists are arrays, texts and truth values are categories, an empty value is missing.
    """

    columns: dict[str, tuple[Any, ...]] = Field(min_length=1)
    target: Names = ()


class Csv(Source, kind="csv", primary="path"):
    """A text table in UTF-8: one row a line, ``path`` relative to the spec's folder.

    ``path`` may be a pattern (``rows/*.csv``: the files' rows one after another, sorted by name), or one for each split.

    Spaces around a value do not count. ``header`` is ``true`` (the first line names the columns), ``false``
    (they are ``column_1``, ``column_2``, …) or a list of names for a file that has none. A column of numbers
    is a number, one of texts a category; a mixture wants its type under ``columns``. An empty value is missing, and
    so are NA, N/A, NaN, null and ? in a column of numbers.
    """

    path: Paths
    target: Names = ()
    separator: str = Field(default=",", pattern=r'^[^"\r\n]$')
    decimal: Literal[".", ","] = "."
    header: bool | tuple[str, ...] = True

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.decimal == self.separator:
            raise ValueError('a separator that is not the decimal mark: separator: ";"')
        return self


class Npz(Source, kind="npz", primary="path"):
    """Arrays saved by ``numpy.savez``: a column each, rows along the first axis.

    ``path`` is relative to the spec's folder; it may be a pattern, or one for each split.
    Numbers of one axis are number columns (unless declared ``category``), more axes are arrays, texts are categories.
    Pickled objects are refused.
    """

    path: Paths
    target: Names = ()


class Parquet(Source, kind="parquet", primary="path"):
    """A parquet file (needs ``nnspec[parquet]``): numbers, texts and truth values as categories, lists as arrays.

    ``path`` is relative to the spec's folder; it may be a pattern, or one for each split. Lists of a column have one
    length; lists of lists have more axes. Dates become ISO 8601 texts.
    """

    path: Paths
    target: Names = ()


class Idx(Source, kind="idx"):
    """Arrays in the format of the MNIST files, plain or gzip: a column each, rows along the first axis.

    ``{image: train-images-idx3-ubyte.gz, label: train-labels-idx1-ubyte.gz, target: label}``; a path may be one for each
    split: ``image: {train: a.gz, test: b.gz}``. Bytes of two axes a row, or of three with 1 or 3 channels last, are
    images of 0 to 1, the byte divided by 255. Whole numbers of one axis are classes (unless declared ``number``). All
    else is arrays of numbers as they stand. Source: LeCun, "The MNIST database of handwritten digits", 1998.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Paths]
    example: ClassVar[str] = "{image: train-images-idx3-ubyte.gz, label: train-labels-idx1-ubyte.gz, target: label}"
    target: Names = ()


class ImageFolder(Source, kind="image_folder", primary="path"):
    """A folder with a folder of images for each class (needs ``nnspec[images]``): columns ``image`` and ``label``, the target.

    PNG, JPEG, BMP, WebP, and of a GIF the first frame, of at most 67 million pixels, upright by their EXIF orientation;
    what is transparent lies on white, of 16 bits the upper eight count. ``size`` is [height, width], or one number for
    both: every image is resized to exactly that, bilinearly and with antialiasing; left out, all images must have one
    size. Pixels are 0 to 1. ``channels: gray`` is ITU-R 601 luma. Classes are the folders' names, sorted. Files whose name
    begins with a dot are ignored, any other that is no image is an error. ``path`` may be one for each split.
    """

    path: Paths
    size: Size | None = None
    channels: Channels = "rgb"


class FileColumn(Config):
    """Files of one column: ``path`` is a pattern, or one for each split.

    ``as: image`` takes ``size`` and ``channels`` as image_folder does. ``as: labels`` is a mask: gray values or palette
    numbers are class numbers of shape (height, width). Its ``classes`` are how many there are from 0, or their names in
    that order, or each name's value ({background: 0, object: 255}); left out, all masks are read, and every value that
    is found is a class. A mask is as large as its image, and is resized with it, to the nearest value; with a ``size`` of its
    own it may be of any.
    """

    path: Paths
    as_: Literal["image", "labels"] = Field(default="image", alias="as")
    size: Size | None = None
    channels: Channels | None = None
    classes: Annotated[int, Field(ge=1, le=65536)] | tuple[str, ...] | dict[str, int] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.as_ == "image" and self.classes is not None:
            raise ValueError("classes beside as: labels; an image has none")
        if self.as_ == "labels" and self.channels is not None:
            raise ValueError("channels beside as: image; labels have none")
        return self


class Files(Source, kind="files"):
    """Image files, a column each, joined by their names without ending (needs ``nnspec[images]``).

    ``{image: "img/*.jpg", mask: {path: "mask/*.png", as: labels}, target: mask}``: ``img/a.jpg`` and ``mask/a.png`` are a
    row. A file without its partner is an error, as are two files of one name. Paths are relative to the spec's folder.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[FileColumn, BeforeValidator(_file_column)]]
    example: ClassVar[str] = '{image: "img/*.jpg", mask: {path: "mask/*.png", as: labels}, target: mask}'
    target: Names = ()


class ColumnKind(Kind):
    """What a column holds."""

    registry: ClassVar[dict[str, type[Any]]] = {}


class NumberColumn(ColumnKind, kind="number"):
    """Numbers. A missing one is an error, or is filled with a statistic of the training rows, or with a number."""

    missing: Literal["error", "median", "mean", "zero", "most_frequent"] | Number = "error"


class CategoryColumn(ColumnKind, kind="category"):
    """One of several classes, stored as class numbers.

    ``classes`` fixes them and their order, or says how many there are of whole numbers from 0; without it they are the
    values of all rows, sorted (by number where all are numbers). A missing one is an error, or is the training rows'
    ``most_frequent``, or the class that is named.
    """

    missing: str = "error"
    classes: (
        Annotated[int, Field(ge=1, le=MOST_CLASSES)]
        | Annotated[tuple[str | int | bool, ...], Field(min_length=1)]
        | None
    ) = None


class ImageColumn(ColumnKind, kind="image", primary="size"):
    """Paths of image files (needs ``nnspec[images]``), read as by image_folder: ``size``, ``channels``.

    They are relative to ``root`` (itself relative to the spec), by default the folder of the file that names them, and
    never lead out of it.
    """

    size: Size | None = None
    channels: Channels = "rgb"
    root: str | None = None


class DropColumn(ColumnKind, kind="drop"):
    """A column that is not used."""


class Split(Config):
    """Fractions of the rows, drawn by the seed; ``train`` is by default what the others leave.

    Rows beyond the sum of the fractions are in no split. ``stratify`` names a category column whose classes have
    the same proportions in every split, to a row.

    ``group`` names a column whose equal values stay together: all rows of a patient are in one part. Groups are whole, so
    fractions are met as nearly as whole groups can; with ``stratify`` the classes' proportions too.
    ``order`` names a column by which rows are sorted instead of drawn: the smallest numbers, or earliest dates, are
    ``train``, the next ``validation``, the last ``test``. Dates are ISO 8601 texts (2024-03-01, 2024-03, with a time or
    without); a category with ``classes`` of its own has their order. Equal ones keep their order in the source.
    ``folds: 5`` divides what ``test`` leaves into five equal parts: each is ``validation`` once, the others then ``train``.
    ``fold: 2`` beside it takes the second of these trainings alone.
    The columns of ``group`` and ``order`` are no features unless an input names them.
    """

    train: Part | None = None
    validation: Part = 0.0
    test: Part = 0.0
    stratify: str | None = None
    folds: Annotated[int, Field(ge=2, le=1000)] | None = None
    fold: Annotated[int, Field(ge=1, le=1000)] | None = None
    order: str | None = None
    group: str | None = None


class Prepare(Kind):
    """A change of values before the network, fitted on training rows only, undone in predictions and metrics."""

    registry: ClassVar[dict[str, type[Any]]] = {}
    columns: Names | None = None


class StandardizeStep(Prepare, kind="standardize", primary="columns"):
    """``(x - mean) / deviation``, the biased standard deviation (1 where all are equal).

    ``columns`` are by default all numbers and arrays that are no target. An array has a mean for each entry of
    its last axis.
    """


class MinMaxStep(Prepare, kind="min_max", primary="columns"):
    """``low + (x - min) / (max - min) * (high - low)`` for ``range: [low, high]``, by default 0 to 1.

    The smallest and largest value of the training rows; other rows may lie outside of the range. Where all are equal
    they become ``low``. ``columns`` are by default all numbers and arrays that are no target. An array has a smallest
    and largest for each entry of its last axis.
    """

    range: tuple[Number, Number] = (0.0, 1.0)

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if not self.range[0] < self.range[1]:
            raise ValueError("a range that rises: [0, 1]")
        return self


class OneHotStep(Prepare, kind="one_hot", primary="columns"):
    """A category as a vector: 1 at its class, 0 elsewhere.

    ``columns`` are by default all categories that are no target. Such a column can share an input with numbers, in
    which it takes as many places as it has classes. A prediction of a one-hot target stays a number for each class.
    """


class RescaleStep(Prepare, kind="rescale"):
    """``x * scale + offset``, over ``columns``: by default all numbers and arrays that are no target."""

    scale: Annotated[float, Field(allow_inf_nan=False)]
    offset: Number = 0.0


class Loading(Config):
    """How rows become batches; what is learned does not depend on ``workers`` and ``cache``.

    ``workers`` threads decode, augment and prepare the next batches while a step runs: by default 1 where images are
    decoded from files or augmented, else 0, for rows that lie in memory are gathered faster than handed over.
    ``cache`` is how much memory decoded images may take; those beyond it are decoded again in every epoch.
    ``balance`` draws each epoch's rows so that every class comes equally often: ``true`` for the classes of the target, or a
    category column. An epoch stays as long: rows of rare classes come several times, of frequent ones not all.
    """

    workers: Annotated[int, Field(ge=0, le=64)] | None = None
    cache: str = "1GB"
    balance: bool | str = False

    @field_validator("cache")
    @classmethod
    def _size(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?\s?[MG]B", value):
            raise ValueError("a size: 512MB, 2GB")
        return value

    @property
    def budget(self) -> int:
        """``cache`` in bytes."""
        return int(float(self.cache[:-2]) * (1 << (20 if self.cache[-2] == "M" else 30)))
