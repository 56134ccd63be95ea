"""Where rows can come from: the sources that a spec's data section can name, with their fields."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from nnspec.data.config import Channels, Names, Size
from nnspec.spec.model import Config, Kind


def parse_paths(value: Any) -> Any:
    """A path, or a mapping of splits to paths."""
    splits = value if isinstance(value, dict) else {}
    known = "train" in splits and not set(splits) - {"train", "validation", "test"}
    if (isinstance(value, str) and value) or (known and all(isinstance(v, str) and v for v in splits.values())):
        return value
    found = ", ".join(splits) if splits else repr(value)[:60]
    wanted = "a path, or one for each split: {train: a, test: b}, also validation; train is needed"
    raise PydanticCustomError("nnspec", "{message}", {"message": "a path does not fit", "found": found, "wanted": wanted, "hint": ""})


def _file_column(value: Any) -> Any:
    return value if isinstance(value, dict) and "path" in value else {"path": value}


Paths = Annotated[str | dict[str, str], BeforeValidator(parse_paths)]


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
