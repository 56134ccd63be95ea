"""A class that counts for nothing: the void of a mask, the padding of a sequence."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nnspec.ir.graph import Value
from nnspec.ops.elementwise import Not, cast, equal, greater, where, zeros_like
from nnspec.records import dataclass


@dataclass(frozen=True)
class Void:
    """Its ``number`` in the target, and whether the output has a ``unit`` for it: without one the classes behind it move up."""

    number: int
    unit: bool = True

    def seen(self, t: Value) -> tuple[Value, Value]:
        """The target with class 0 where nothing counts, and where it counts."""
        counts = Not().one(equal(t, self.number))
        moved = t if self.unit else t - cast(greater(t, self.number), t.dtype)
        return where(counts, moved, zeros_like(t)), counts

    def rest(self, t: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The same of an array."""
        counts = t != self.number
        moved = t if self.unit else t - (t > self.number).astype(t.dtype)
        return moved * counts, counts
