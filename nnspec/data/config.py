"""What can be written in a spec's data section beside the source: kinds of columns, the split and preparations."""

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from nnspec.spec.model import Config, Kind, Number

Names = str | tuple[str, ...]


def _sides(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Side = Annotated[int, Field(ge=1, le=8192)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_sides)]
Channels = Literal["rgb", "bgr", "gray"]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MOST_CLASSES = 100_000


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
    """How rows become batches, keys of ``data`` itself; what is learned does not depend on ``workers`` and ``cache``.

    ``workers`` threads decode, augment and prepare the next batches while a step runs: by default 1 where images are
    decoded from files or augmented, else 0, for rows that lie in memory are gathered faster than handed over.
    ``cache`` is how much memory decoded images may take; those beyond it are decoded again in every epoch.
    ``balance`` draws each epoch's rows so that every class comes equally often: ``true`` for the classes of the target, or a
    category column. An epoch stays as long: rows of rare classes come several times, of frequent ones not all.
    ``shuffle: false`` takes the training rows as they stand, in every epoch.
    """

    workers: Annotated[int, Field(ge=0, le=64)] | None = None
    cache: str = "1GB"
    balance: bool | str = False
    shuffle: bool = True

    @model_validator(mode="after")
    def _drawn_or_not(self) -> Self:
        if not self.shuffle and self.balance:
            raise ValueError("shuffle: true beside balance, which draws the rows of each epoch")
        return self

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
