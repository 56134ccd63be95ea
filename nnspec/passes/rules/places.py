"""Places of what is largest that nobody asks for."""

from __future__ import annotations

from nnspec.ir.graph import Value
from nnspec.ops.pool import MaxPool, WindowMax
from nnspec.passes.rewrite import Uses


def unasked(value: Value, uses: Uses) -> Value | None:
    """``MaxPool(x)[0]   ->   WindowMax(x)``, only where nothing reads which place was the largest."""
    pool = value.op
    assert isinstance(pool, MaxPool)
    largest, places = value.call.outputs
    return WindowMax(pool.size, pool.stride, pool.padding)(*value.inputs) if value is largest and not uses[places] else None
