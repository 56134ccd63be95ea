"""Predictions: what a model answers to any number of rows, in the target's own unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnspec.compiler import Spec
from nnspec.data.batches import pieces
from nnspec.data.prepare import Preparation
from nnspec.errors import Problem, SpecError
from nnspec.ir.op import Array
from nnspec.network.segments import Segments
from nnspec.runtime.feeding import Feeder
from nnspec.runtime.feeds import check_names, rows_of
from nnspec.runtime.programs import Programs, alone

CHUNK = 256  # rows of a program that answers


class Answers:
    """A model's predictions."""

    spec: Spec
    programs: Programs
    segments: Segments
    preparation: Preparation | None

    @alone
    def predict(self, x: Any, raw: bool = False, network: str | None = None) -> Any:
        """The network's answer for any number of rows: array in, array out; dicts by name where there are several.

        Probabilities where the loss has a link, physical units where the target was prepared; ``raw`` gives the output as it is.
        """
        if network is not None:
            raise SpecError(Problem("networks: not in this version", rule="not-in-this-version"))
        inputs = self.spec.built.network.inputs
        given = dict(x) if isinstance(x, Mapping) else {next(iter(inputs)): x}
        check_names(given, inputs)
        arrays, _ = self._feeder.inputs(given)
        n = rows_of(arrays)
        if n <= CHUNK:
            results = self._answers(arrays, n, n, 0, raw)
        else:
            parts = [self._answers(part, min(CHUNK, n - CHUNK * i), CHUNK, i, raw) for i, part in enumerate(pieces(arrays, CHUNK))]
            results = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        if not raw and self.preparation is not None:
            results = {name: self._physical(name, a) for name, a in results.items()}
        return results if len(results) > 1 else next(iter(results.values()))

    def _answers(self, arrays: Mapping[str, Array], size: int, capacity: int, number: int, raw: bool) -> dict[str, Array]:
        """The outputs for the ``number``-th piece of what is asked, of ``size`` rows."""
        ready = self.programs.ready("predict", arrays, capacity, False)
        self.programs.fill(ready, arrays, size, capacity, None)
        self.programs.set(ready, 0.0, number)
        ready.run.run()
        kind = "raw:" if raw else "output:"
        return {name: np.array(ready.run.outputs[kind + name][:size]) for name in self.spec.built.network.output_names}

    def _physical(self, name: str, array: Array) -> Array:
        """A prediction in the target's own unit."""
        port = dict(zip(self.spec.built.network.output_names, self.spec.built.network.outputs, strict=True))[name]
        target = self.spec.built.answering(port)
        if target is None or self.preparation is None or target.term.of.classes or not target.columns:
            return array
        columns = target.columns if len(target.columns) > 1 else target.columns[0]
        return np.asarray(self.preparation.undo(columns, array), array.dtype)

    def classes(self, name: str | None = None) -> tuple[str, ...] | None:
        """The class names of an output, where the data has them."""
        network = self.spec.built.network
        port = dict(zip(network.output_names, network.outputs, strict=True))[name or network.output_names[0]]
        target = self.spec.built.answering(port)
        return target.classes if target is not None and target.term.of.classes else None

    @property
    def _feeder(self) -> Feeder:
        return Feeder(self.spec.built, self.preparation, self.segments.dtype)
