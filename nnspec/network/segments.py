"""Where each parameter lies: in a flat segment with those that move alike, in the order in which gradients are produced."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import prod

from nnspec.ir.graph import Value, abstract, origin
from nnspec.ir.types import DType, TensorType
from nnspec.network.graph import Network, Rate
from nnspec.ops.movement import Pack, Unpack
from nnspec.records import dataclass, field
from nnspec.training import loss_scale
from nnspec.training.optimizer import Optimizer

ALIGN = 16  # elements: 64 bytes of float32
STATE = "$state"  # what layers move by themselves: statistics
FROZEN = "$frozen"  # what nothing moves
AVERAGE = "average"  # the vector beside a segment that holds the mean of its past
GATHERED = "gathered"  # that which gathers gradients over micro-batches
NEXT = f"{STATE}.next"  # statistics as micro-batches move them, until the step is taken


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
class Group:
    """What the parameters of a segment have in common: they move alike.

    ``kind`` is the optimizer's word for it, ``rate`` a learning rate of their own, ``stretches`` those they move in (None: all).
    """

    kind: str = "parameters"
    rate: Rate = Rate()
    stretches: frozenset[int] | None = None


@dataclass(frozen=True)
class Segments:
    """Every parameter's place, and the segments' lengths."""

    slots: Mapping[str, Slot]
    sizes: Mapping[str, int]
    dtype: DType
    averaged: bool = False  # answers come from the averages of what is learned
    gathers: bool = False  # a step is taken over several micro-batches
    groups: Mapping[str, Group] = field(default_factory=dict)  # of the segments that are learned
    half: DType | None = None  # of what products read, where that is not ``dtype``

    def members(self, segment: str) -> list[str]:
        return [path for path, slot in self.slots.items() if slot.segment == segment]

    @cached_property
    def learned(self) -> list[str]:
        """The segments that an optimizer moves."""
        return [s for s in self.sizes if s not in (STATE, FROZEN)]

    def moving(self, stretch: int) -> list[str]:
        """Those that it moves in a stretch of the schedule."""
        return [s for s in self.learned if (in_ := self.groups[s].stretches) is None or stretch in in_]

    @property
    def scaled(self) -> bool:
        """Whether gradients are made of a loss that is scaled."""
        return self.half == DType.float16 and bool(self.learned)

    @cached_property
    def counted(self) -> bool:
        """Whether it is counted how often segments have moved: they differ, or a step may be left out."""
        return self.scaled or any(g.stretches is not None for g in self.groups.values())

    def types(self, slots: tuple[str, ...] = ()) -> dict[str, TensorType]:
        """The types of all persistent vectors, those of an optimizer with ``slots`` included."""
        beside = (*slots, *((AVERAGE,) if self.averaged else ()), *((GATHERED,) if self.gathers else ()))
        names = list(self.sizes) + [f"{s}.{slot}" for s in self.learned for slot in beside]
        names += [NEXT] if self.gathers and STATE in self.sizes else []
        scale = {loss_scale.LABEL: loss_scale.TYPE} if self.scaled else {}
        return {name: TensorType((self.sizes[name.split(".")[0]],), self.dtype) for name in names} | scale

    def answering(self, segment: str) -> str:
        """The vector that answers for a segment: its average, where there are averages."""
        return f"{segment}.{AVERAGE}" if self.averaged and segment in self.learned else segment

    def input(self, segment: str, beside: str = "") -> Value:
        """An input value for a segment, or for a vector beside it."""
        label = f"{segment}.{beside}" if beside else segment
        return abstract(TensorType((self.sizes[segment],), self.dtype), label, "state")

    def inputs(self, answering: bool = False) -> dict[str, Value]:
        """An input value for each segment; with ``answering`` for what answers in its place."""
        return {name: self.input(name, AVERAGE if answering and self.answering(name) != name else "") for name in self.sizes}

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


def arrange(
    network: Network, optimizer: Optimizer | None, dtype: DType, frozen: tuple[frozenset[str], ...] = (), half: DType | None = None
) -> Segments:
    """Slots for every parameter: learned ones by the optimizer's groups, their rates, and the stretches in which they move.

    ``frozen`` has the layers that do not move, for each stretch of the schedule; by default those that the spec freezes.
    """
    frozen = frozen or (frozenset(leaf.path for leaf in network.leaves if leaf.frozen),)
    slots: dict[str, Slot] = {}
    sizes: dict[str, int] = {}
    names: dict[Group, str] = {}
    for leaf in reversed(network.leaves):  # backward runs from the last layer to the first
        moves = frozenset(n for n, still in enumerate(frozen) if leaf.path not in still)
        for p in leaf.own:
            if p.trainable and moves:
                kind = optimizer.group(p.role) if optimizer else "parameters"
                segment = _name(Group(kind, leaf.rate, None if len(moves) == len(frozen) else moves), names)
            else:
                segment = STATE if moves else FROZEN
            start = sizes.get(segment, 0)
            slots[f"{leaf.path}/{p.name}"] = Slot(segment, start, p.shape)
            sizes[segment] = start + -(-prod(p.shape) // ALIGN) * ALIGN
    averaged, gathers = (optimizer.average is not None, optimizer.accumulate > 1) if optimizer else (False, False)
    return Segments({path: slots[path] for path in network.parameters}, sizes, dtype, averaged, gathers, {v: k for k, v in names.items()},
                    half)


def _name(group: Group, names: dict[Group, str]) -> str:
    """``$parameters``, or ``$parameters_2`` for the second group of this kind."""
    n = sum(g.kind == group.kind for g in names) + 1
    return names.setdefault(group, f"${group.kind}" if n == 1 else f"${group.kind}_{n}")
