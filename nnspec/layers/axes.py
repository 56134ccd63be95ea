"""Axes as a spec counts them: from 0 without the batch, or from -1 backwards."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import show

Axis = Annotated[int, Field(ge=-16, le=15)]


def listed(value: Any) -> Any:
    """A number, or nothing, stands for a list of one."""
    return (value,) if value is None or (isinstance(value, int) and not isinstance(value, bool)) else value


Axes = Annotated[tuple[Axis, ...], BeforeValidator(listed)]


def place(axis: int, rank: int, what: str, x: Value | None = None) -> int:
    """``axis`` among ``rank`` axes, from 0; raises ShapeError where there is none."""
    if not -rank <= axis < rank:
        found = f"axis {axis}" if x is None else f"axis {axis} of {show(x.shape)}"
        raise ShapeError(f"{what} has no such axis", found, f"{-rank} to {rank - 1}, the batch not counted" if rank else "an input that has axes")
    return axis % rank


def places(axes: Iterable[int], rank: int, what: str, x: Value | None = None) -> tuple[int, ...]:
    """Each of ``axes`` among ``rank``, in their order; none may stand twice."""
    found = tuple(place(a, rank, what, x) for a in axes)
    if len(set(found)) < len(found):
        raise ShapeError(f"{what} names an axis twice", str(list(axes)), "each axis once")
    return found
