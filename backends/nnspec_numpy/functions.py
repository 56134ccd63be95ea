"""What the emitted source calls besides NumPy."""

from __future__ import annotations

from typing import Any

from numpy import dot, isfinite, maximum, minimum
from numpy.typing import NDArray

from nnspec.ir.types import DType
from nnspec.ops.rounding import nearest
from nnspec_numpy.products import product

__all__ = ["all_finite", "product", "rounded"]


def all_finite(*arrays: NDArray[Any], out: NDArray[Any]) -> None:
    """``out`` is true where no element of the flat ``arrays`` is NaN or infinite.

    A finite ``a @ a`` proves it in one pass without temporaries; where that overflows, the extremes decide.
    """
    out[()] = all(isfinite(dot(a, a)) or (isfinite(maximum.reduce(a)) and isfinite(minimum.reduce(a))) for a in arrays)


def rounded(x: NDArray[Any], to: str, out: NDArray[Any]) -> None:
    """``out`` is ``x`` in the numbers that ``to`` holds."""
    out[...] = nearest(x, DType(to))
