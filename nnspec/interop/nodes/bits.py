"""ONNX's operators on bits, by arithmetic: shifts are products, and two numbers meet byte by byte in a table. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce as fold
from typing import Any

import numpy as np

from nnspec.interop.nodes.axes import opposite
from nnspec.interop.nodes.elements import signed
from nnspec.interop.nodes.node import Node, NotImportedError, Rule, fixed
from nnspec.ir.graph import Value, constant
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import index

BYTES = np.arange(256)


def whole(n: Node, i: int) -> Value:
    """An input of whole numbers."""
    if n[i].dtype.is_float or n[i].dtype == DType.bool:
        raise NotImportedError(f"bits of {n[i].dtype}")
    return n[i]


def shifted(n: Node) -> Value:
    """Bits moved: products with powers of two, and their whole quotients; by as many as there are, or by less than 0, none is left but the sign."""
    a, b, left = whole(n, 0), e.cast(n[1], DType.int64), n.text("direction", "", "LEFT", "RIGHT") == "LEFT"
    bits = 8 * a.dtype.size
    last = bits - 1 if left or not signed(a.dtype) else bits - 2  # the largest power that is above 0
    powers = fixed((2 ** np.arange(last + 1, dtype=np.uint64)).astype(a.dtype.numpy), a.dtype)
    factor = index.gather(powers, e.minimum(e.maximum(b, 0), last))
    moved = e.Multiply().one(a, factor) if left else e.FloorDivide().one(a, factor)
    rest = e.where(e.less(a, 0), constant(-1, a.dtype), 0) if signed(a.dtype) and not left else constant(0, a.dtype)
    return e.where(e.both(e.less(b, last + 1), e.greater_equal(b, 0)), moved, rest)


def flipped(n: Node) -> Value:
    """Every bit the other: ``-1 - x``, or the largest number less x."""
    return opposite(whole(n, 0))


def met(function: Any) -> Rule:
    """Two numbers bit by bit: a byte of each is a place in a table; the highest byte of what has a sign counts from -128 to 127."""
    def rule(n: Node) -> Value:
        given, kind = (whole(n, 0), whole(n, 1)), n[0].dtype
        wide = DType.uint64 if kind == DType.uint64 else DType.int64
        a, b = (e.cast(v, wide) for v in given)

        def part(k: int) -> Value:
            step, values = constant(256**k, wide), function(BYTES[:, None], BYTES[None]).reshape(-1)
            if signed(kind) and k == kind.size - 1:
                values = values - 256 * (values > 127)
            x, y = (e.cast(e.Remainder().one(e.FloorDivide().one(v, step), constant(256, wide)), DType.int64) for v in (a, b))
            return index.gather(fixed(values.astype(wide.numpy) * wide.numpy.type(256**k), wide), x * 256 + y)

        return e.cast(fold(e.Add().one, map(part, range(kind.size))), kind)

    return rule


RULES: Mapping[str, Rule] = {
    "BitShift": shifted, "BitwiseNot": flipped,
    "BitwiseAnd": met(np.bitwise_and), "BitwiseOr": met(np.bitwise_or), "BitwiseXor": met(np.bitwise_xor),
}  # fmt: skip
