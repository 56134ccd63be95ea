"""What a kernel is: arrays are bound once to a callable that then runs without allocating."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Protocol, TypeAlias

from nnspec.ir.op import Array
from nnspec.ir.types import DType, Shape, TensorType, known
from nnspec.records import dataclass
from nnspec_numpy.crew import Step as Step
from nnspec_numpy.crew import sequence as sequence
from nnspec_numpy.crew import together as together

Run: TypeAlias = Step
Types: TypeAlias = Sequence[TensorType]
Arrays: TypeAlias = Sequence[Array]


def nothing(op: Any, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    """No workspace."""
    return ()


def plain(op: Any, inputs: Types, outputs: Types) -> str:
    """No choice."""
    return ""


def one_way(op: Any, inputs: Types, outputs: Types) -> tuple[str, ...]:
    """Nothing to choose from."""
    return ()


class Form(Protocol):
    """What is made of a weight before any row is seen; equal forms of one weight are made once. ``str`` names it."""

    @property
    def type(self) -> TensorType:
        """The memory for it."""

    def fill(self, weight: Array, kept: Array) -> Sequence[Step]:
        """Steps that make it."""


def no_forms(op: Any, inputs: Types, outputs: Types) -> tuple[Form, ...]:
    """Nothing is kept."""
    return ()


@dataclass(frozen=True)
class Kernel:
    """How an op runs where NumPy has no single call for it.

    ``bind(op, inputs, outputs, workspace)`` gives the callable that reads ``inputs`` and fills ``outputs``, which
    are C-contiguous and share no memory with the inputs. ``workspace(op, input types, output types)`` says which
    scratch arrays it wants: contiguous, of any content, and free for others between two runs. ``contiguous`` names
    the inputs that have to be C-contiguous: all of them (True), or those at some positions. ``choice`` says, where there
    are several ways, which one is taken and why, in a few words. ``forms`` says in which forms the weight, input 1, is kept
    between runs: ``bind`` finds them behind its workspace. ``ways`` names all ways that these shapes can go: ``op.way`` is one of them,
    or empty, and then the kernel chooses.
    """

    bind: Callable[[Any, Arrays, Arrays, Arrays], Run]
    workspace: Callable[[Any, Types, Types], tuple[TensorType, ...]] = nothing
    contiguous: bool | tuple[int, ...] = True
    choice: Callable[[Any, Types, Types], str] = plain
    forms: Callable[[Any, Types, Types], tuple[Form, ...]] = no_forms
    ways: Callable[[Any, Types, Types], tuple[str, ...]] = one_way

    def wants_contiguous(self, position: int) -> bool:
        """Whether the input at ``position`` has to be C-contiguous."""
        return self.contiguous if isinstance(self.contiguous, bool) else position in self.contiguous


def flat(size: int, dtype: DType) -> TensorType:
    """A vector to be cut and shaped when bound."""
    return TensorType((size,), dtype)


def cut(space: Array, shape: Sequence[int]) -> Array:
    """The first elements of a flat workspace, shaped."""
    return space[: prod(shape)].reshape(tuple(shape))


def sizes(kind: TensorType) -> tuple[int, ...]:
    """The shape as plain integers."""
    return known(kind.shape)


def rows_of(array: Array, keep: int = 1) -> Array:
    """All but the last ``keep`` axes as one; a view, for the array is contiguous."""
    return array.reshape(prod(array.shape[: array.ndim - keep]), *array.shape[array.ndim - keep :])


def elements(shape: Shape) -> int:
    """How many elements a concrete shape holds."""
    return prod(known(shape))
