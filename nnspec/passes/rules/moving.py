"""Movements that go nowhere, or further at once."""

from __future__ import annotations

from nnspec.ir.graph import Value
from nnspec.ir.types import size
from nnspec.ops.movement import Concat, Pack, Pad, Reshape, Slice, Transpose, Unpack, reshape, transpose
from nnspec.ops.reduce import Max, Min, Sum
from nnspec.passes.rewrite import Uses


def reshaped(value: Value, uses: Uses) -> Value | None:
    """Shapes of shapes.

        Reshape(Reshape(x))           ->   Reshape(x)
        Reshape(x) to its own shape   ->   x
    """
    (x,) = value.inputs
    if x.type == value.type:
        return x
    return reshape(x.inputs[0], value.shape) if isinstance(x.op, Reshape) else None


def transposed(value: Value, uses: Uses) -> Value | None:
    """Orders of orders.

        Transpose(Transpose(x, p), q)            ->   Transpose(x, p then q)
        Transpose(x) that leaves axes in place   ->   x
    """
    (x,) = value.inputs
    assert isinstance(value.op, Transpose)
    if value.op.axes == tuple(range(x.rank)):
        return x
    if not isinstance(x.op, Transpose):
        return None
    before = x.op.axes
    return transpose(x.inputs[0], tuple(before[a] for a in value.op.axes))


def joined(value: Value, uses: Uses) -> Value | None:
    """``Concat(x)   ->   x``"""
    return value.inputs[0] if isinstance(value.op, Concat) and len(value.inputs) == 1 else None


def sliced(value: Value, uses: Uses) -> Value | None:
    """``Slice(x)   ->   x``, only where every element is kept."""
    (x,) = value.inputs
    assert isinstance(value.op, Slice)
    whole = x.type == value.type and all(s == 1 for s in value.op.step) and not any(value.op.start)
    return x if whole else None


def padded(value: Value, uses: Uses) -> Value | None:
    """``Pad(x)   ->   x``, only where nothing is added."""
    assert isinstance(value.op, Pad)
    return value.inputs[0] if value.inputs[0].type == value.type else None


def unpacked(value: Value, uses: Uses) -> Value | None:
    """A member of a pack is read where it came from.

        Unpack(Pack(…, x at offset, …), offset)   ->   x, reshaped

    Only where offset and number of elements agree, so that nothing but ``x`` is read.
    """
    (packed,) = value.inputs
    if not isinstance(packed.op, Pack) or not isinstance(value.op, Unpack):
        return None
    for start, x in zip(packed.op.offsets, packed.inputs, strict=True):
        if start == value.op.offset and size(x.shape) == size(value.shape):
            return reshape(x, value.shape)
    return None


def reduced(value: Value, uses: Uses) -> Value | None:
    """``Sum(x)   ->   Reshape(x)`` (Max, Min too), only where every axis it goes along has length 1."""
    (x,) = value.inputs
    assert isinstance(value.op, Sum | Max | Min)
    return reshape(x, value.shape) if all(x.shape[a] == 1 for a in value.op.axis) else None


def passed(value: Value, uses: Uses) -> Value | None:
    """``StopGradient(x)   ->   x``, once the gradients are taken."""
    return value.inputs[0]
