"""A graph made ready to run: ordered steps over arrays whose places in memory are all decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from numpy.typing import NDArray

from nnspec.ir.graph import Call
from nnspec.ir.op import Op
from nnspec.ir.types import TensorType, known
from nnspec.records import dataclass, field

STATE = "state:"  # an arena of this prefix is one state's memory, kept between steps and between programs
KEPT = "kept:"  # an arena of this prefix is what was made of a parameter, kept as long as that stands still, and shared by programs


class Copy(Op, abstract=True):
    """The same elements elsewhere: what a plan adds where memory cannot simply be seen otherwise."""

    elementwise = True

    def infer(self, *x: TensorType) -> TensorType:
        return x[0]

    def reference(self, *x: NDArray[Any]) -> NDArray[Any]:
        return x[0]

    def flops(self, *x: TensorType) -> int:
        return 0


@dataclass(frozen=True, eq=False)
class Array:
    """A place in an arena, ``offset`` bytes from its start; ``strides`` count elements.

    ``base`` is the array that owns the memory which this one sees otherwise. ``data`` holds the elements of a
    constant; a constant that stands in the source as a literal has no arena.
    """

    name: str
    type: TensorType
    arena: str
    offset: int
    strides: tuple[int, ...]
    layer: str = ""
    base: Array | None = None
    data: NDArray[Any] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return known(self.type.shape)

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.type.dtype.size

    @property
    def literal(self) -> bool:
        return not self.arena

    @property
    def contiguous(self) -> bool:
        return contiguous(self.shape, self.strides)

    def __str__(self) -> str:
        place = f"{self.arena} + {self.offset}" if self.arena else "literal"
        strides = "" if self.contiguous else f", strides {self.strides}"
        return f"{self.name} : {self.type} at {place}{strides}"


@dataclass(frozen=True, eq=False)
class Step:
    """One call over arrays; ``call.inputs`` say what ``inputs`` hold. With ``guard``, only if that is true."""

    call: Call
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    workspace: tuple[Array, ...] = ()
    guard: Array | None = None

    @property
    def guarded(self) -> bool:
        return self.guard is not None

    def __str__(self) -> str:
        left, right = (", ".join(a.name for a in side) for side in (self.outputs, self.inputs))
        extra = f" using {', '.join(a.name for a in self.workspace)}" if self.workspace else ""
        condition = f" if {self.guard.name}" if self.guard else ""
        return f"{left} = {self.call.op}({right}){extra}{condition}"


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, the arrays they work on, and the arenas that hold these.

    ``inputs`` are what the host writes before a run and ``outputs`` what it reads after; ``state`` persists.
    """

    title: str
    inputs: Mapping[str, Array]
    state: Mapping[str, Array]
    outputs: Mapping[str, Array]
    steps: tuple[Step, ...]
    arrays: tuple[Array, ...]
    arenas: Mapping[str, int]  # bytes of each
    key: bytes = b""  # by which it is kept on disk, where it is

    @property
    def peak(self) -> int:
        """Bytes over all arenas, state included: all that running it takes."""
        return sum(self.arenas.values())

    def largest(self, n: int = 5) -> list[Array]:
        """The ``n`` largest arrays that own their memory, largest first; each knows its name, layer and type."""
        owners = [a for a in self.arrays if a.base is None and a.arena]
        return sorted(owners, key=lambda a: -a.bytes)[:n]

    def __str__(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"program {self.title}"
        yield from (f"arena {name} {size}" for name, size in self.arenas.items())
        yield from (f"array {a}" for a in self.arrays if a.arena)
        yield from (f"step {s}" for s in self.steps)
        yield from (f"return {name} = {a.name}" for name, a in self.outputs.items())


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Element strides of a plain array: ``(2, 3, 4) -> (12, 4, 1)``."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the elements lie one after another in row-major order."""
    if 0 in shape:
        return True
    return all(n == 1 or s == want for n, s, want in zip(shape, strides, row_major(shape), strict=True))
