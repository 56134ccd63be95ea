"""Arrays from Python as a model's programs want them: named, prepared, of the right dtype and shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnspec.data.column import SAMPLE_WEIGHT
from nnspec.data.prepare import Preparation
from nnspec.errors import Problem, SpecError
from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.network.build import Built
from nnspec.network.class_weights import many
from nnspec.network.targets import Target
from nnspec.records import dataclass
from nnspec.runtime.feeds import as_array, check_limits, check_names, convert, fit, rows_of

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Feeder:
    """What is fed is as the data has it; where the model has a fitted preparation, it is applied."""

    built: Built
    preparation: Preparation | None
    dtype: DType

    def batch(self, feeds: Mapping[str, Any]) -> tuple[Arrays, Array | None]:
        """Inputs, targets and row weights; keys are input names, ``target`` or the target columns' names, ``sample_weight``."""
        given = dict(feeds)
        weights = given.pop(SAMPLE_WEIGHT, None)
        inputs = self.built.network.inputs
        targets = {t.feed: t for t in reversed(self.built.targets) if t.feed not in inputs}
        for feed, t in targets.items():  # the columns' own names stand for it as well
            if feed not in given and t.columns and all(c in given for c in t.columns):
                parts = [as_array(c, given.pop(c)) for c in t.columns]
                given[feed] = parts[0] if len(parts) == 1 else np.stack(parts, axis=-1)
        check_names(given, [*inputs, *targets], [SAMPLE_WEIGHT])
        arrays, sizes = self.inputs(given)
        arrays |= {name: self.target(t, given[name], sizes) for name, t in targets.items()}
        for t in self.built.losses:
            if t.void is not None:  # what it is put in place of is not looked at in the graph
                known = np.where(arrays[t.feed] == t.void.number, 0, arrays[t.feed])
                check_limits({t.feed: known}, {t.feed: many(t) + (not t.void.unit)})
        return arrays, self.weights(weights, rows_of(arrays))

    def inputs(self, given: Mapping[str, Any]) -> tuple[Arrays, dict[str, int]]:
        """The network's inputs, and the lengths of named axes."""
        sizes: dict[str, int] = {}
        arrays: Arrays = {}
        for name, type in self.built.network.inputs.items():
            arrays[name] = self.prepared(name, self.built.columns.get(name, ()), given[name], type.dtype)
            fit(name, arrays[name], type, sizes)
        return arrays, sizes

    def target(self, target: Target, given: Any, sizes: dict[str, int]) -> Array:
        """A target as class numbers where it holds whole numbers and the loss takes classes, else as numbers."""
        array = as_array(target.feed, given)
        wanted, output = target.type, target.port.type
        assert wanted is not None and output is not None
        if not wanted.dtype.is_float and target.void is None and array.ndim == len(output.shape) and array.ndim > len(wanted.shape):
            wanted = output  # one-hot
        if wanted.dtype.is_float and array.ndim == len(wanted.shape) - 1 and wanted.shape[-1] == 1:
            wanted = TensorType(wanted.shape[:-1], wanted.dtype)
        array = self.prepared(target.feed, target.columns, given, wanted.dtype)
        fit(target.feed, array, wanted, sizes)
        return array

    def prepared(self, name: str, columns: tuple[str, ...], given: Any, dtype: DType) -> Array:
        """One array, converted, and prepared where its columns are."""
        if self.preparation is None or not columns or not dtype.is_float:
            return convert(name, given, dtype)
        array = convert(name, given, DType.float64)
        if len(columns) > 1 and array.ndim and array.shape[-1] != len(columns):
            return convert(name, given, dtype)  # fit says what is wrong
        return convert(name, self.preparation.apply(columns if len(columns) > 1 else columns[0], array), dtype)

    def weights(self, given: Any, rows: int) -> Array | None:
        """A weight a row, or None."""
        if given is None:
            return None
        weights = convert(SAMPLE_WEIGHT, given, self.dtype)
        if weights.shape != (rows,):
            raise SpecError(Problem(f"'{SAMPLE_WEIGHT}' does not fit", found=f"shape {weights.shape}", wanted=f"({rows},), a number for each row",
                                    rule="sample-weight"))  # fmt: skip
        bad = ~(weights >= 0) | np.isinf(weights)
        if bad.any():
            row = int(np.argmax(bad))
            raise SpecError(Problem(f"'{SAMPLE_WEIGHT}' holds what is no weight", found=f"{weights[row]:g} in row {row}",
                                    wanted="finite numbers of at least 0", rule="sample-weight"))  # fmt: skip
        if not weights.any():
            raise SpecError(Problem(f"'{SAMPLE_WEIGHT}' is 0 in every row", wanted="a row that weighs something", rule="sample-weight"))
        return weights


def parted(arrays: Mapping[str, Array], weights: Array | None = None) -> tuple[Arrays, Array | None]:
    """What is fed, and what the rows weigh, by their column or else as given."""
    rest = dict(arrays)
    own = rest.pop(SAMPLE_WEIGHT, weights)
    return rest, own
