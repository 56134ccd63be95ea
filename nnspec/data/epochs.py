"""The batches that a network trains on: ordered or balanced, augmented, and made ahead of the step."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.data.augment import Mixup
from nnspec.data.batches import Batch, batches, count, order
from nnspec.data.column import Array, Augmented
from nnspec.data.draws import Draws
from nnspec.data.load import Rows
from nnspec.data.pixels import Decoded, Pixels
from nnspec.data.prefetch import ahead
from nnspec.data.split import shuffled
from nnspec.records import dataclass, field

PARTNER = 1 << 31  # set in the copy number of a partner of mixup, whose draws are its own


@dataclass(frozen=True, eq=False)
class Epochs:
    """The epochs of a split. What a batch holds depends on the seed, the epoch and its place in it alone.

    ``classes`` are what ``balance`` draws equally (one number a row). ``mixed`` says how many classes an array has of which
    mixup makes probabilities, 0 where class numbers become a number between them. ``workers`` None is 1 where images are
    decoded or augmented, else 0. ``void`` has the class of a mask that counts for nothing, by its column: it is what comes from outside.
    """

    rows: Rows
    batch_size: int
    seed: int
    augment: tuple[Augmented, ...] = ()
    classes: NDArray[np.int64] | None = None
    mixed: Mapping[str, int] = field(default_factory=dict)
    workers: int | None = None
    void: Mapping[str, int] = field(default_factory=dict)
    shuffle: bool = True

    @property
    def threads(self) -> int:
        """How many threads make batches."""
        if self.workers is not None:
            return self.workers
        decoded = any(isinstance(x, Pixels) and isinstance(x.source, Decoded) for x in self.rows.arrays.values())
        return 1 if self.augment or decoded else 0

    def batches(self, epoch: int, start: int = 0) -> Generator[Batch]:
        """The batches of an epoch from number ``start`` on; with no threads the arrays are overwritten by the next batch."""
        chosen = self.order(epoch)
        lazy = any(isinstance(x, Pixels) for x in self.rows.arrays.values())
        if not self.threads and not lazy and not self.augment:
            return batches(self.rows, self.batch_size, chosen, start, reuse=True)
        copies = np.zeros(len(chosen), np.intp) if self.classes is None else occurrences(chosen)
        return ahead(lambda position: self._make(epoch, position, chosen, copies), range(start, count(len(chosen), self.batch_size)), self.threads)

    def order(self, epoch: int) -> NDArray[np.intp]:
        """The rows of an epoch: drawn, balanced, or as they stand."""
        if self.classes is not None:
            return balance(self.seed, epoch, self.classes)
        return order(self.seed, epoch, self.rows.size) if self.shuffle else np.arange(self.rows.size)

    def _make(self, epoch: int, position: int, chosen: NDArray[np.intp], copies: NDArray[np.intp]) -> Batch:
        here = slice(position * self.batch_size, (position + 1) * self.batch_size)
        rows, copy = chosen[here], copies[here]
        draws = Draws(self.seed, epoch, self.rows.rows[rows], copy)
        arrays = self._augmented(rows, draws)
        if self.augment and isinstance(self.augment[-1].step, Mixup):
            arrays = self._mixed(self.augment[-1], arrays, draws)
        return Batch(arrays, len(rows), position)

    def _augmented(self, rows: NDArray[np.intp], draws: Draws) -> dict[str, Array]:
        """The arrays of some rows; a column that feeds several of them is changed once."""
        done: dict[str, Array] = {}
        arrays: dict[str, Array] = {}
        for name, x in self.rows.arrays.items():
            if not isinstance(x, Pixels):
                arrays[name] = x.take(rows, axis=0)
                continue
            column = x.column.name
            if column not in done:
                done[column] = x.prepared(self._changed(x, rows, draws)) if x.moved else x[rows]
            arrays[name] = done[column]
        return arrays

    def _changed(self, x: Pixels, rows: NDArray[np.intp], draws: Draws) -> Array:
        """The rows of an image or mask column, augmented, not yet prepared; bytes as long as they can stay bytes."""
        values, name = x.raw(rows), x.column.name
        for a in self.augment:
            if name in a.images or name in a.masks:
                drawn = a.step.draw(draws, a.stream, (values.shape[1], values.shape[2]))
                if name in a.masks:
                    void = self.void.get(name, 0)
                    values = swapped(a.step.mask(swapped(values, void), drawn), void)
                else:
                    values = a.step.image(values if a.step.bytes else x.values(values), drawn)
        return values

    def _mixed(self, a: Augmented, arrays: dict[str, Array], draws: Draws) -> dict[str, Array]:
        """``share * row + (1 - share) * partner`` of every array."""
        partner = draws.whole(f"{a.stream}/partner", (self.rows.size,))[:, 0]
        others = self._augmented(partner, Draws(draws.seed, draws.epoch, self.rows.rows[partner], draws.rows | np.intp(PARTNER)))
        share = a.step.draw(draws, a.stream, (1, 1))
        out = {}
        for name, x in arrays.items():
            x, y = self._numbers(name, x), self._numbers(name, others[name])
            s = share.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
            out[name] = s * x + (1 - s) * y
        return out

    def _numbers(self, name: str, x: Array) -> Array:
        """Class numbers as probabilities, or as numbers; all else as it is."""
        if x.dtype.kind == "f":
            return x
        dtype: Any = next((y.dtype for y in self.rows.arrays.values() if y.dtype.kind == "f"), np.dtype(np.float32))
        classes = self.mixed.get(name, 0)
        return (x[..., None] == np.arange(classes)).astype(dtype) if classes else x.astype(dtype)


def swapped(x: Array, void: int) -> Array:
    """Class numbers with 0 and ``void`` in each other's place: what an augmentation puts as 0 is then void."""
    return np.where(x == 0, x.dtype.type(void), np.where(x == void, x.dtype.type(0), x)) if void else x


def balance(seed: int, epoch: int, classes: NDArray[np.int64]) -> NDArray[np.intp]:
    """The rows of an epoch in which every class comes equally often, to a row; as many as there are rows.

    Of a class with too few rows each comes equally often, to one; of one with too many a part, drawn anew in each epoch.
    """
    total = len(classes)
    present = np.unique(classes)
    more = shuffled(seed, "data/balance", epoch, len(present))[: total % len(present)]
    wanted = np.full(len(present), total // len(present))
    wanted[more] += 1
    taken = []
    for number, n in zip(present.tolist(), wanted.tolist(), strict=True):
        members = np.flatnonzero(classes == number)
        mixed = members[shuffled(seed, f"data/balance/{number}", epoch, len(members))]
        taken.append(np.resize(mixed, n))
    rows = np.concatenate(taken)
    return rows[order(seed, epoch, total)]


def occurrences(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often each entry's row came before it."""
    by_row = np.argsort(rows, kind="stable")
    ordered = rows[by_row]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    before = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    out = np.empty(len(rows), np.intp)
    out[by_row] = before
    return out
