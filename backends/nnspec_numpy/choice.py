"""Where: a choice by arithmetic on the bits.

A choice by masks (``copyto(y, a, where=c)``) takes NumPy ten times as long as arithmetic, which is as exact on bits:
``where(c, a, b) = (a - b) * c + b`` over whole numbers of the same size, c being 0 or 1, all modulo a power of two.
"""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.codegen.emit import Line
from nnspec.ir.op import Op
from nnspec.ir.program import Array
from nnspec.ir.types import DType, TensorType
from nnspec_numpy.statement import Space, Types

BITS = {1: DType.uint8, 2: DType.uint16, 4: DType.uint32, 8: DType.int64}


def where_space(op: Op, x: Types, y: Types) -> Space:
    return (TensorType(x[0].shape, BITS[y[0].dtype.size]),)


def write_where(line: Line) -> Iterator[str]:
    c, (mask,) = line.x[0], line.w
    _, a, b = line.step.inputs
    y = _bits(line, line.step.outputs[0])
    a_bits, b_bits = _bits(line, a), _bits(line, b)
    yield f"copyto({mask}, {c})"
    if b_bits == "0":
        yield f"multiply({mask}, {a_bits}, out={y})"
    elif a_bits == "0":
        yield f"subtract({mask}, 1, out={mask})"
        yield f"bitwise_and({mask}, {b_bits}, out={y})"
    elif a.literal and b.literal:
        yield f"multiply({mask}, {_difference(a, b)}, out={y})"
        yield f"add({y}, {b_bits}, out={y})"
    else:
        yield f"subtract({a_bits}, {b_bits}, out={y})"
        yield f"multiply({y}, {mask}, out={y})"
        yield f"add({y}, {b_bits}, out={y})"


def _bits(line: Line, a: Array) -> str:
    dtype = BITS[a.type.dtype.size]
    if a.literal:
        return str(_number(a))
    return line.view(a, "bits", a.shape, a.strides, dtype=dtype)


def _number(a: Array) -> int:
    assert a.data is not None
    return int(a.data.reshape(1).view(BITS[a.type.dtype.size].numpy)[0])


def _difference(a: Array, b: Array) -> int:
    dtype = BITS[a.type.dtype.size].numpy
    bits = 8 * dtype.itemsize
    wrapped = (_number(a) - _number(b)) % (1 << bits)
    return wrapped - (1 << bits) if dtype.kind == "i" and wrapped >> (bits - 1) else wrapped
