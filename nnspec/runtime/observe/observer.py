"""A run's network in this process, read from its folder and asked what is inside: the run itself is never touched."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError
from nnspec.ir.op import Array
from nnspec.runtime import checkpoint
from nnspec.runtime.observe.boundary import SIZE, Boundary, boundary
from nnspec.runtime.observe.confusion import Confusion, Scatter, confusion, scatter
from nnspec.runtime.observe.features import EACH, Features, features
from nnspec.runtime.observe.kernels import Kernels, kernels, leaf_of
from nnspec.runtime.observe.measure import Snapshot, first_rows, snapshot
from nnspec.runtime.observe.rows import GIVEN, Split, chosen, given, looked_into, splits_of
from nnspec.runtime.observe.samples import LOOKED, SHOWN, Sample, Samples, rows, samples
from nnspec.runtime.observe.shown import Absent
from nnspec.runtime.run_folder import BEST, LAST, RECORD
from nnspec.runtime.saving import load_model

KEPT = 1 << 28  # bytes of a row's layers
NO_ROWS = "the run has no data of its own to look at: give it a row"


class Observer:
    """Answers about one checkpoint of a run. One thread at a time is in it.

    ``refresh`` takes the newest weights where the run has written others since. Raises DataError where the folder is none of a run or a
    file of it is damaged.
    """

    def __init__(self, folder: str | Path, which: str = "last", threads: int | None = None) -> None:
        self.folder, self.which = Path(folder), which
        self._lock = RLock()
        self._stamp = self._stamped()
        self.model = load_model(self.folder, which)
        self._stand()
        if threads is not None:
            self.model.backend.set_threads(threads)
        self._given: Split | None = None
        self._seen: tuple[Any, dict[str, Array]] | None = None  # a row's layers, kept for the next layer that is asked for

    @property
    def file(self) -> Path:
        """The checkpoint."""
        return self.folder / (BEST if self.which == "best" else LAST)

    @property
    def step(self) -> int:
        return self.model.step

    @property
    def notes(self) -> tuple[str, ...]:
        """What who looks should know: of the machine, and of rows that are not those of the run any more, once they were read."""
        return (*self.model.notes, *(self.__dict__["_data"][1] if "_data" in self.__dict__ else ()))

    @property
    def layers(self) -> tuple[str, ...]:
        """Inputs and layers by name, in order."""
        return tuple(self.model.spec.built.network.nodes)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The network's outputs by name."""
        return tuple(self.model.spec.built.network.output_names)

    @cached_property
    def _data(self) -> tuple[dict[str, Split], tuple[str, ...]]:
        return splits_of(self.model, self._digests())

    @property
    def _splits(self) -> dict[str, Split]:
        return self._data[0]

    def _digests(self) -> dict[str, Any]:
        """What the run says of its rows; nothing where it is a model that was only saved."""
        try:
            found = json.loads((self.folder / RECORD).read_text("utf-8")).get("data")
        except (OSError, ValueError, RecursionError, AttributeError):
            return {}
        return found if isinstance(found, dict) else {}

    def _rows(self) -> dict[str, Split]:
        with self._lock:
            return {**self._splits, **({GIVEN: self._given} if self._given is not None else {})}

    @property
    def splits(self) -> dict[str, int]:
        """How many rows there are, by split; ``given`` are those of the user's own."""
        return {name: split.rows for name, split in self._rows().items()}

    @property
    def given(self) -> tuple[str, ...]:
        """What the rows of the user's own are called."""
        return self._given.labels if self._given is not None else ()

    def _default(self) -> str:
        """The split that is looked at where none is named."""
        return next((name for name in ("validation", "test", "train") if name in self._rows()), GIVEN)

    def refresh(self) -> bool:
        """Takes the weights of the checkpoint where it is another than before; whether it was. Raises DataError."""
        with self._lock:
            stamp = self._stamped()
            if stamp == self._stamp:
                return False
            arrays, standing = checkpoint.read(self.file, self.model.state(), "parameters/" if self.which == "best" else "")
            self.model.restore(arrays)
            self.model.step, self._stamp, self._seen = standing.step, stamp, None
            self._stand()
            return True

    def _stamped(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.file)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _stand(self) -> None:
        """What a schedule that depends on measures has seen, so that its rate is the run's."""
        self.model.plateau.seen = checkpoint.peek(self.file).plateau

    # Rows of the user's own

    def give(self, label: str | Sequence[str], feeds: Mapping[str, Any]) -> None:
        """Rows as ``predict`` takes them, called ``label``, or each by its own; they are the split ``given`` from now on.

        Raises SpecError where they do not fit.
        """
        with self._lock:
            n = len(next(iter(feeds.values()), ()))
            labels = tuple(label) if not isinstance(label, str) else (label,) if n == 1 else tuple(f"{label}:{i + 1}" for i in range(n))
            if len(labels) != n:
                raise SpecError(Problem("there is not a label for each row", found=f"{len(labels)} for {n} rows", rule="observe"))
            self._given = given(self.model, feeds, labels)
            self._seen = None

    # Answers

    def statistics(self) -> Snapshot | Absent:
        """Statistics of every layer, parameter and gradient on the first rows that validate, else train: as a tap of the run at this step."""
        with self._lock:
            found = {name: split.arrays for name, split in self._rows().items()}
            if not found:
                return Absent(NO_ROWS)
            own = {name: arrays for name, arrays in found.items() if name != GIVEN}
            split, arrays = first_rows(self.model, own or found)
            model, (batches, epochs) = self.model, self.model.pace
            why = "" if own else "nothing says what a row should be"
            why = "the best weights are kept without the optimizer's state" if self.which == "best" else why
            at = model.step if epochs is None else min(model.step, max(0, batches * epochs - 1))  # after the last step that step's rate
            rate = model.rate(at, batches, epochs) if model.spec.document.optimizer is not None else None
            return snapshot(model, arrays, split, rate, (), model.stretch(at, batches), why)

    def samples(self, split: str = "", shown: int = SHOWN, looked: int = LOOKED) -> Samples | Absent:
        """The first and the worst rows of a split."""
        with self._lock:
            if not self._rows():
                return Absent(NO_ROWS)
            name = split or self._default()
            return samples(self.model, name, chosen(self._rows(), name), shown, looked)

    def row(self, split: str, row: int) -> Sample:
        """One row of a split, from 0."""
        with self._lock:
            return rows(self.model, split, chosen(self._rows(), split, row), np.array([row]))[0]

    def confusion(self, split: str = "", output: str = "") -> Confusion | Absent:
        """What an output, by default the first, takes for what."""
        with self._lock:
            if not self._rows():
                return Absent(NO_ROWS)
            name = split or self._default()
            return confusion(self.model, name, chosen(self._rows(), name), output or self.outputs[0])

    def scatter(self, split: str = "", output: str = "") -> Scatter | Absent:
        """What an output of numbers, by default the first, says against what is so."""
        with self._lock:
            if not self._rows():
                return Absent(NO_ROWS)
            name = split or self._default()
            return scatter(self.model, name, chosen(self._rows(), name), output or self.outputs[0])

    def features(self, layer: str, split: str = "", row: int = 0, scaled: str = EACH) -> Features | Absent:
        """What a layer (or ``layer.output``) makes of a row, in inference."""
        with self._lock:
            nodes = self.model.spec.built.network.nodes
            node = layer if layer in nodes else layer.rpartition(".")[0]
            if node not in self.model.spec.built.network.inputs:
                leaf_of(self.model, node if node in nodes else layer)
            if not self._rows():
                return Absent(NO_ROWS)
            name = split or self._default()
            found = chosen(self._rows(), name, row)
            key = (name, row, self._stamp)
            made = self._seen[1] if self._seen is not None and self._seen[0] == key else looked_into(self.model, found.take(np.array([row])))
            self._seen = (key, made) if sum(x.nbytes for x in made.values()) <= KEPT else None
            values = made.get(layer)
            if values is None:
                only = nodes[node].get("only") == "training"
                return Absent(f"'{layer}' is there in training only" if only else f"'{node}' has no output '{layer.rpartition('.')[2]}'")
            leaf = nodes[node]["leaf"]
            batched = leaf is None or leaf.batched
            return features(values[0] if batched and values.ndim else values, layer, nodes[node]["kind"], name, row, scaled)

    def kernels(self, layer: str, parameter: str = "") -> Kernels | Absent:
        """What a layer has learned, as pictures."""
        with self._lock:
            return kernels(self.model, layer, parameter)

    def boundary(self, output: str = "", size: int = SIZE) -> Boundary | Absent:
        """Answers all over the plane of two inputs."""
        with self._lock:
            return boundary(self.model, {n: s for n, s in self._rows().items() if n != GIVEN}, output or self.outputs[0], size)
