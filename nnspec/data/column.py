"""What a source says of its columns, before and after the spec had its say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnspec.data.augment import Augmentation
from nnspec.data.config import Loading, Prepare
from nnspec.data.images import Images
from nnspec.errors import Place, Problem, SpecError
from nnspec.records import dataclass, field, replace

Array = NDArray[Any]
ColumnType = Literal["number", "category", "image", "array", "one_hot"]
SPLITS = ("train", "validation", "test")
SAMPLE_WEIGHT = "sample_weight"  # the column that says what each row weighs


@dataclass(frozen=True)
class Column:
    """A column as the network sees it: ``shape`` is that of one row; a number and a category have shape ``()``.

    A category's dtype is ``int64``, its values number ``classes``; all else is ``float32`` (or the
    run's precision). A category that is prepared as ``one_hot`` is a vector of its number of classes. ``pixels`` says how
    an image of 0 to 1 is made of an image file, empty where it is not known; ``bytes`` are numbers of 0 to 255 as the source holds them.
    """

    name: str
    kind: ColumnType
    shape: tuple[int, ...]
    dtype: Literal["float32", "int64"]
    classes: tuple[str, ...] | None = None
    place: Place | None = None
    pixels: Literal["", "rgb", "bgr", "gray"] = ""
    bytes: bool = False

    @property
    def plain_number(self) -> bool:
        """Whether it is one number a row."""
        return self.kind == "number"

    @property
    def joins(self) -> bool:
        """Whether several of it can share one input, side by side."""
        return self.kind in ("number", "one_hot")


@dataclass(frozen=True, eq=False)
class Raw:
    """A column as its source holds it: numbers (NaN: missing), numbers of ``texts`` (-1: missing), or images.

    ``where(row)`` is the place of a row's value, if it has one; ``missing`` is the first row without one, if known.
    ``classes`` are those of masks, whose values number them already; ``pixels`` is how images are laid out.
    """

    shape: tuple[int, ...]
    values: Callable[[], Array | Images]
    texts: tuple[str, ...] | None = None
    where: Callable[[int], Place | None] = lambda row: None
    missing: int | None = None
    classes: tuple[str, ...] | None = None
    pixels: Literal["", "rgb", "bgr", "gray"] = ""
    bytes: bool = False  # numbers of 0 to 255

    def array(self) -> Array:
        """The values of a column that is no image."""
        return as_array(self.values())


@dataclass(frozen=True, eq=False)
class Table:
    """All columns of a source, in its order; those the spec drops stand in ``dropped`` alone.

    ``problems`` are those of its rows; where there are some the values mean nothing, but names and types can still be
    checked. ``given`` are the splits that have files of their own, with their rows, in the order of the rows; train is first.
    """

    rows: int
    columns: Mapping[str, Raw]
    dropped: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    given: tuple[tuple[str, int], ...] = ()

    @property
    def drawn(self) -> int:
        """How many rows, the first ones, are divided by fractions: all, or those of the train files."""
        return self.given[0][1] if self.given else self.rows

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.columns, *self.dropped)


@dataclass(frozen=True)
class Fractions:
    """How rows are divided: the parts by name, those of size 0 left out, and the columns that say how.

    With ``folds`` it is the number ``fold`` (from 0) that validates; ``alone`` where it is the only one to be trained.
    Where splits have files of their own (``given``: their rows, in order), ``parts`` divide the rows of train alone.
    """

    parts: tuple[tuple[str, float], ...] = (("train", 1.0),)
    stratify: str | None = None
    place: Place | None = None
    order: str | None = None
    group: str | None = None
    folds: int = 0
    fold: int = 0
    alone: bool = False
    given: tuple[tuple[str, int], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The splits there are, in their usual order."""
        found = {name for name, _ in (*self.parts, *self.given)}
        return tuple(name for name in SPLITS if name in found)


@dataclass(frozen=True, eq=False)
class Augmented:
    """An augmentation with the images that it changes, the masks that move along, and the name of its draws."""

    step: Augmentation
    images: tuple[str, ...]
    masks: tuple[str, ...]
    stream: str


@dataclass(frozen=True, eq=False)
class Declaration:
    """What a data section promises: columns (features, then targets, in the source's order), rows and how to load them.

    ``names`` is what formulas see: ``$data.species.classes``, ``$data.image.shape``. ``read`` gives a column's
    values as float numbers (NaN: missing) or int64 class numbers (-1: missing), before any preparation, or as
    ``Images``, still to be read: bytes that stand for 0 to 1 where the column is float32, else class numbers.
    """

    source: str
    columns: Mapping[str, Column]
    targets: tuple[str, ...]
    rows: int
    names: Mapping[str, object]
    seed: int
    split: Fractions
    prepare: tuple[tuple[str, Prepare], ...]
    missing: Mapping[str, str | float]
    place: Place
    read: Callable[[str], Array | Images] = field(repr=False)
    loading: Loading = field(default_factory=Loading)
    augment: tuple[Augmented, ...] = ()
    balance: str | None = None

    def array(self, name: str) -> Array:
        """The values of a column that is no image."""
        return as_array(self.read(name))

    @property
    def drawn(self) -> int:
        """How many rows, the first ones, are divided by ``split.parts``; the rest are in files of other splits."""
        return self.split.given[0][1] if self.split.given else self.rows

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that are no target, and do not only say how rows are divided, or what they weigh."""
        aside = (*self.targets, self.split.order, self.split.group, SAMPLE_WEIGHT)
        return tuple(name for name in self.columns if name not in aside)

    @property
    def weighted(self) -> bool:
        """Whether a column says what each row weighs."""
        return SAMPLE_WEIGHT in self.columns

    @property
    def folds(self) -> int:
        """How many folds the rows are divided into; 0 where they are not."""
        return self.split.folds

    def fold(self, number: int) -> Declaration:
        """The same data with a fold (from 0) as ``validation`` and the others as ``train``. Raises SpecError."""
        if not 0 <= number < self.folds:
            wanted = f"0 to {self.folds - 1}" if self.folds else "split: {folds: 5}"
            raise SpecError(Problem("there is no such fold", self.split.place, found=str(number), wanted=wanted, rule="bad-value"))
        return replace(self, split=replace(self.split, fold=number, alone=True))


def as_array(values: Array | Images) -> Array:
    """The values of a column that is no image."""
    assert not isinstance(values, Images)
    return values


def index_of(texts: tuple[str, ...], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """For each text its class number, -1 where there is none; one -1 more at the end, for what is missing."""
    known = {text: i for i, text in enumerate(classes)}
    return np.array([*(known.get(text, -1) for text in texts), -1], np.int64)
