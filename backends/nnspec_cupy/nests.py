"""Which calls one kernel holds: ``nnspec.passes.levels.Loops`` of a GPU."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.ir.graph import Call
from nnspec.ops.conv import Convolution
from nnspec.ops.elementwise import Elementwise
from nnspec.ops.index import OneHot, Pick
from nnspec.ops.matmul import MatMul
from nnspec.ops.reduce import AllFinite, ArgMax, Reduction
from nnspec_cupy.cuda import elements


class Nests:
    """Elements by threads of their own; rows, columns and the whole reduced in an order that shapes decide."""

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact

    def __str__(self) -> str:
        return "CUDA C"

    def takes(self, c: Call) -> bool:
        match c.op:
            case Elementwise():
                return elements.takes(c)
            case AllFinite():
                return all(v.dtype.is_float and v.dtype == c.inputs[0].dtype for v in c.inputs)
            case Reduction(axis=axis):
                rank = c.inputs[0].rank
                return axis in (tuple(range(rank)), tuple(range(rank - 1)), (rank - 1,)) and c.inputs[0].shape[-1] != 1
            case ArgMax(axis=at):
                return c.inputs[0].rank > 1 and at == c.inputs[0].rank - 1 and c.inputs[0].shape[-1] != 1
            case Pick():
                return c.inputs[0].rank > 1 and c.inputs[0].shape[-1] != 1
            case OneHot(depth=depth):
                return depth > 1
        return False

    def follows(self, first: Call, calls: Sequence[Call]) -> bool:
        """Products and convolutions are a library's, which writes what it makes."""
        return False

    def multiplies(self, c: Call) -> bool:
        """What is multiplied in 16 bits and summed in float32: products, and convolutions, by cuDNN or as products of columns."""
        return isinstance(c.op, MatMul | Convolution)

    def worth(self, calls: Sequence[Call]) -> bool:
        return len(calls) > 1 or not isinstance(calls[0].op, ArgMax | OneHot | Pick)
