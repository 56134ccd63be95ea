"""Steps before memory has addresses: buffers, where values lie in them, and what a backend asks of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from nnspec.codegen.views import Layout, plain
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Op
from nnspec.ir.types import DType, TensorType
from nnspec.records import dataclass, field


class Kept(NamedTuple):
    """Memory for what is made of the input at ``position``, a state, in a ``form``: it is made again when a state was written."""

    type: TensorType
    position: int
    form: str


class Rules(Protocol):
    """What a backend's statements and kernels ask of memory."""

    def check(self, op: Op) -> None:
        """Raises NotImplementedError where there is no way to run ``op``."""

    def literal(self, op: Op, index: int) -> bool:
        """Whether a constant of one element may stand in the source as input ``index``."""

    def reads(self, op: Op, index: int, x: Layout) -> bool:
        """Whether input ``index`` may lie so; else it is copied to a plain array first."""

    def writes(self, op: Op, index: int, y: Layout) -> bool:
        """Whether output ``index`` may lie so; a plain array always may."""

    def in_place(self, op: Op) -> tuple[int, ...]:
        """The inputs whose memory the first output may take, where type and layout are equal."""

    def waits(self, op: Op) -> bool:
        """Whether a step that waits for a condition does nothing where that is false; else it writes no state that waits."""

    def workspace(self, op: Op, inputs: Sequence[TensorType], outputs: Sequence[TensorType],
                  layouts: Sequence[Layout | None]) -> Sequence[TensorType | NDArray[Any] | Kept]:
        """Memory that one call needs besides, what is kept for it, and constants that it reads; ``layouts`` of inputs and outputs."""


@dataclass(eq=False)
class Buffer:
    """Memory of its own for one or more values; ``born`` and ``last`` are the steps that first and last touch it."""

    dtype: DType
    size: int  # elements
    arena: str = "work"
    value: Value | None = None  # what fills it, where it may be that only parts of it are ever named
    data: NDArray[Any] | None = None
    born: int = -1
    last: int = -1
    offset: int = 0  # bytes from the arena's start
    merged: Buffer | None = None  # its memory is another's, whose last value dies as this one is born

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.size

    def owner(self) -> Buffer:
        found = self
        while found.merged is not None:
            found = found.merged
        return found


class Spot(NamedTuple):
    """Where a value lies."""

    buffer: Buffer
    layout: Layout

    @property
    def whole(self) -> bool:
        return self.layout == plain(self.layout.shape) and prod(self.layout.shape) == self.buffer.size


class Operand(NamedTuple):
    """A value as a step sees it; without a spot it is a literal."""

    value: Value
    spot: Spot | None


@dataclass(eq=False)
class Draft:
    """A step whose memory has no address yet."""

    call: Call
    reads: list[Operand]
    writes: list[Operand]
    workspace: list[tuple[TensorType, Spot]] = field(default_factory=list)
    guard: Operand | None = None

    def touched(self) -> Iterable[Buffer]:
        operands = [*self.reads, *self.writes, *([self.guard] if self.guard else [])]
        yield from (o.spot.buffer.owner() for o in operands if o.spot)
        yield from (s.buffer for _, s in self.workspace)
