"""Vectors for numbers."""

from collections.abc import Iterable

from nnspec.ir.graph import Value
from nnspec.layers.layer import Layer, Mode, Param, Values
from nnspec.ops.index import gather
from nnspec.spec.model import Count


class Embedding(Layer, kind="embedding", primary="vocabulary"):
    """A learned vector of ``units`` for each number from 0 to ``vocabulary - 1``.

    Input: whole numbers ``(…)``, output ``(…, units)``. The table ``(vocabulary, units)`` starts uniform within ±0.05.
    ``y[…, u] = embedding[x[…], u]``. Whole numbers alone; one that is fed beyond the vocabulary is an error.
    """

    vocabulary: Count
    units: Count

    def params(self, x: Value) -> Iterable[Param]:
        yield Param("embedding", (self.vocabulary, self.units), init="uniform")

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        return gather(p.embedding, x)
