"""Where each parameter lies: in a flat segment with those that move alike, in the order in which gradients are produced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from nnspec.ir.graph import Value, abstract, origin
from nnspec.ir.types import DType, TensorType
from nnspec.network.graph import Network
from nnspec.ops.movement import Pack, Unpack

ALIGN = 16  # elements: 64 bytes of float32
STATE = "$state"  # what layers move by themselves: statistics
FROZEN = "$frozen"  # what nothing moves


@dataclass(frozen=True)
class Slot:
    """A parameter's place in its segment."""

    segment: str
    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Segments:
    """Every parameter's place, and the segments' lengths."""

    slots: Mapping[str, Slot]
    sizes: Mapping[str, int]
    dtype: DType

    def members(self, segment: str) -> list[str]:
        return [path for path, slot in self.slots.items() if slot.segment == segment]

    @property
    def learned(self) -> list[str]:
        """The segments that an optimizer moves."""
        return [s for s in self.sizes if s not in (STATE, FROZEN)]

    def types(self, slots: tuple[str, ...] = ()) -> dict[str, TensorType]:
        """The types of all persistent vectors, those of an optimizer with ``slots`` included."""
        names = list(self.sizes) + [f"{s}.{slot}" for s in self.learned for slot in slots]
        return {name: TensorType((self.sizes[name.split(".")[0]],), self.dtype) for name in names}

    def inputs(self) -> dict[str, Value]:
        """An input value for each segment."""
        return {name: abstract(TensorType((n,), self.dtype), name, "state") for name, n in self.sizes.items()}

    def views(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Every parameter as a view of its segment."""
        out: dict[str, Value] = {}
        for path, s in self.slots.items():
            with origin(path, "forward"):
                out[path] = Unpack(s.offset, s.shape)(inputs[s.segment])
        return out

    def pack(self, segment: str, values: Mapping[str, Value]) -> Value:
        """A segment from its members' values."""
        members = self.members(segment)
        packed = Pack(tuple(self.slots[m].offset for m in members), self.sizes[segment])
        return packed(*(values[m] for m in members))  # type: ignore[no-any-return]  # one output


def arrange(network: Network, group: Callable[[str], str], dtype: DType) -> Segments:
    """Slots for every parameter; ``group`` names the segment of a learned one by its role."""
    slots: dict[str, Slot] = {}
    sizes: dict[str, int] = {}
    parameters = network.parameters
    for leaf in reversed(network.leaves):  # backward runs from the last layer to the first
        for p in leaf.own:
            path = f"{leaf.path}/{p.name}"
            segment = f"${group(p.role)}" if parameters[path].trainable else FROZEN if leaf.frozen else STATE
            start = sizes.get(segment, 0)
            slots[path] = Slot(segment, start, p.shape)
            sizes[segment] = start + -(-prod(p.shape) // ALIGN) * ALIGN
    return Segments({path: slots[path] for path in parameters}, sizes, dtype)
