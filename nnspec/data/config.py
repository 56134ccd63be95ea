"""What can be written in a spec's data section: sources, kinds of columns, the split and preparations."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nnspec.spec.model import Config, Kind, Number

Names = str | tuple[str, ...]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MOST_CLASSES = 100_000


class Source(Kind):
    """Where rows come from."""

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

    Spaces around a value do not count. ``header`` is ``true`` (the first line names the columns), ``false``
    (they are ``column_1``, ``column_2``, …) or a list of names for a file that has none. A column of numbers
    is a number, one of texts a category; a mixture wants its type under ``columns``. An empty value is missing, and
    so are NA, N/A, NaN, null and ? in a column of numbers.
    """

    path: str = Field(min_length=1)
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

    ``path`` is relative to the spec's folder.
    Numbers of one axis are number columns (unless declared ``category``), more axes are arrays, texts are categories.
    Pickled objects are refused.
    """

    path: str = Field(min_length=1)
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
