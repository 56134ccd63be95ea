"""Sums, products and powers that need less work or none."""

from __future__ import annotations

import math
from collections.abc import Callable

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import Constant
from nnspec.ir.types import DType, size
from nnspec.ops.elementwise import (
    Cast,
    Multiply,
    Negative,
    Power,
    Subtract,
    Where,
    cast,
    sqrt,
    square,
)
from nnspec.ops.movement import broadcast_to, reshape
from nnspec.ops.reduce import sum_
from nnspec.passes.rewrite import Uses
from nnspec.passes.rules.constants import filled, is_finite, is_normal, number


def add(value: Value, uses: Uses) -> Value | None:
    """Nothing added, or a negative.

        x + 0   ->   x          (the sign of a zero may change)
        x + -y  ->   x - y

    ``x + 0`` only where ``x`` has the result's shape.
    """
    a, b = value.inputs
    for x, y in ((a, b), (b, a)):
        if number(y) == 0 and x.type == value.type:
            return x
        if isinstance(y.op, Negative):
            return x - y.inputs[0]
    return None


def subtract(value: Value, uses: Uses) -> Value | None:
    """Nothing taken away, from nothing, or a negative.

        x - 0   ->   x
        0 - x   ->   -x         (the sign of a zero may change)
        x - -y  ->   x + y

    The first two only where ``x`` has the result's shape.
    """
    a, b = value.inputs
    if number(b) == 0 and a.type == value.type:
        return a
    if number(a) == 0 and b.type == value.type:
        return -b
    return a + b.inputs[0] if isinstance(b.op, Negative) else None


def multiply(value: Value, uses: Uses) -> Value | None:
    """Products with a known number.

        x * 1          ->   x           where x has the result's shape
        x * 0          ->   0           only where x can be neither NaN nor infinite, whatever the data
        x * -1         ->   -x          where x has the result's shape
        c * -x         ->   -c * x
        c * (d * x)    ->   (c d) * x   only where d * x is not read elsewhere, and c d is a normal float
        y * -x         ->   -(y * x)    only where -x has the result's shape and is not read elsewhere

    The last but one rounds once instead of twice. Signs go outwards because sums and numbers there take them in.
    A NaN's sign may change.
    """
    a, b = value.inputs
    for x, c in ((a, b), (b, a)):
        held = number(c)
        if held is None:
            continue
        if held == 0 and is_finite(x):
            return filled(0, value)
        if held in (1, -1) and x.type == value.type:
            return x if held == 1 else -x
        if isinstance(x.op, Negative) and value.dtype.is_float:
            return _times(-held, x.inputs[0], value)
        if isinstance(x.op, Multiply) and uses[x] == 1:
            return _chain(held, x, value)
    return _outward(value, uses)


def _outward(value: Value, uses: Uses) -> Value | None:
    """A product or quotient with a negative of the result's shape: the sign is turned after it."""
    inputs = value.inputs
    for i, x in enumerate(inputs):
        if isinstance(x.op, Negative) and uses[x] == 1 and x.type == value.type and number(inputs[1 - i]) is None:
            return -value.op.one(*inputs[:i], x.inputs[0], *inputs[i + 1 :])
    return None


def _chain(c: float | int, product: Value, value: Value) -> Value | None:
    a, b = product.inputs
    for x, other in ((a, b), (b, a)):
        d = number(other)
        if d is not None and is_normal(c * d, value.dtype):
            return _times(c * d, x, value)
    return None


def _times(held: float | int, x: Value, value: Value) -> Value | None:
    """``held * x``, if that alone has the shape of ``value``."""
    return constant(held, x.dtype) * x if x.type == value.type else None


def outer(value: Value, uses: Uses) -> Value | None:
    """``a @ b   ->   a * b``, only where a has one column and b one row: each of the product's elements is one product."""
    a, b = value.inputs
    return a * b if a.shape[-1] == 1 and value.dtype.is_float else None


def inner(value: Value, uses: Uses) -> Value | None:
    """``a @ b   ->   sum(a * b)`` of many pairs of vectors, only where each a has one row and each b one column, and there are several:
    one walk over both in place of a product a pair.
    """
    a, b = value.inputs
    many = a.rank > 2 and a.shape[:-2] == b.shape[:-2] and size(a.shape[:-2]) != 1
    if not (many and a.shape[-2] == b.shape[-1] == 1 and value.dtype.is_float):
        return None
    return sum_(a * reshape(b, a.shape), -1, keep=True)


def divide(value: Value, uses: Uses) -> Value | None:
    """Quotients by a known number.

        x / 1   ->   x           where x has the result's shape
        x / c   ->   x * (1/c)   only where c is a power of two, so that both are exact
        -x / y  ->   -(x / y)    only where -x has the result's shape and is not read elsewhere (x / -y too)
    """
    x, c = value.inputs
    held = number(c)
    if held is None or not value.dtype.is_float:
        return _outward(value, uses)
    if held == 1 and x.type == value.type:
        return x
    if abs(math.frexp(held)[0]) != 0.5 or not is_normal(held, value.dtype) or not is_normal(1 / held, value.dtype):
        return None
    return x * constant(1 / held, value.dtype) if x.type == value.type else None


def negative(value: Value, uses: Uses) -> Value | None:
    """Turned round twice.

        --x        ->   x
        -(a - b)   ->   b - a   only where a - b is not read elsewhere (the sign of a zero may change)
    """
    (x,) = value.inputs
    match x:
        case Value(Negative(), (y,)):
            return y
        case Value(Subtract(), (a, b)) if uses[x] == 1:
            return b - a
    return None


POWERS: dict[float, Callable[[Value], Value]] = {
    0.0: lambda x: filled(1, x),
    0.5: sqrt,
    1.0: lambda x: x,
    2.0: square,
    -1.0: lambda x: 1.0 / x,
}


def sum_of_negative(value: Value, uses: Uses) -> Value | None:
    """``Sum(-x)   ->   -Sum(x)``, only where ``-x`` is not read elsewhere: fewer signs are turned."""
    (x,) = value.inputs
    if isinstance(x.op, Negative) and uses[x] == 1:
        return -value.op.one(x.inputs[0])
    return None


def power(value: Value, uses: Uses) -> Value | None:
    """Powers that have an op of their own.

        x ** 0   ->   1
        x ** 1   ->   x
        x ** 2   ->   Square(x)
        x ** 0.5 ->   Sqrt(x)     (at minus infinity NaN, where the power is infinite)
        x ** -1  ->   1 / x
    """
    assert isinstance(value.op, Power)
    simpler = POWERS.get(value.op.exponent)
    return simpler(value.inputs[0]) if simpler and value.dtype.is_float else None


def where(value: Value, uses: Uses) -> Value | None:
    """A choice that is made already.

        Where(True, a, b)    ->   a, broadcast to the result's shape
        Where(False, a, b)   ->   b, broadcast to the result's shape
    """
    assert isinstance(value.op, Where)
    condition, a, b = value.inputs
    while condition.op.view:
        condition = condition.inputs[0]
    if not isinstance(condition.op, Constant) or not condition.op.data.size:
        return None
    data = condition.op.data
    if data.all():
        return broadcast_to(a, value.shape)
    return None if data.any() else broadcast_to(b, value.shape)


def recast(value: Value, uses: Uses) -> Value | None:
    """A dtype on the way that loses nothing.

        Cast(Cast(x, wide), to)   ->   Cast(x, to)   only where wide holds every number of x's dtype
        Cast(x, x's dtype)        ->   x
    """
    (x,) = value.inputs
    if x.dtype == value.dtype:
        return x
    if isinstance(x.op, Cast) and x.dtype in WIDER.get(x.inputs[0].dtype, ()):
        return cast(x.inputs[0], value.dtype)
    return None


_D = DType
WIDER: dict[DType, tuple[DType, ...]] = {
    _D.bool: tuple(t for t in _D if t != _D.bool and not t.half),
    _D.int8: (_D.int16, _D.int32, _D.int64, _D.float32, _D.float64),
    _D.uint8: (_D.int16, _D.uint16, _D.int32, _D.uint32, _D.int64, _D.uint64, _D.float32, _D.float64),
    _D.int16: (_D.int32, _D.int64, _D.float32, _D.float64),
    _D.uint16: (_D.int32, _D.uint32, _D.int64, _D.uint64, _D.float32, _D.float64),
    _D.int32: (_D.int64, _D.float64),
    _D.uint32: (_D.int64, _D.uint64, _D.float64),
    _D.float32: (_D.float64,),
}
