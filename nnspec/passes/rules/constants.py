"""What rules ask about constants."""

from __future__ import annotations

import math

import numpy as np

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import Constant
from nnspec.ir.types import DType
from nnspec.ops.elementwise import Cast, Comparison
from nnspec.ops.index import OneHot
from nnspec.ops.movement import BroadcastTo, Reshape, Slice, Transpose, broadcast_to


def number(x: Value) -> float | int | None:
    """The one number that ``x`` holds everywhere, if that is known."""
    while isinstance(x.op, BroadcastTo | Reshape | Transpose):
        x = x.inputs[0]
    if isinstance(x.op, Constant) and x.op.data.size == 1 and x.dtype != DType.bool:
        held: float | int = x.op.data.item()
        return held
    return None


def filled(held: float | int, like: Value) -> Value:
    """``held`` at every place of ``like``."""
    return broadcast_to(constant(held, like.dtype), like.shape)


def is_finite(x: Value) -> bool:
    """No element can be NaN or infinite, whatever the data."""
    while isinstance(x.op, BroadcastTo | Reshape | Transpose | Slice):
        x = x.inputs[0]
    if not x.dtype.is_float or isinstance(x.op, OneHot | Comparison):
        return True
    if isinstance(x.op, Constant):
        return bool(np.isfinite(x.op.data).all())
    return isinstance(x.op, Cast) and not x.inputs[0].dtype.is_float


def is_normal(held: float | int, dtype: DType) -> bool:
    """A float that ``dtype`` holds with full precision: not 0, not infinite, not below its normal range."""
    if dtype not in (DType.float32, DType.float64):
        return False
    info = np.finfo(dtype.value)
    return math.isfinite(held) and float(info.tiny) <= abs(held) <= float(info.max)
