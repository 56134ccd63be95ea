"""Fold a bias into the matrix product before it.

    Add(MatMul(x, w), b)                      ->   Linear(x, w, b)
    Add(Reshape(MatMul(x, w), (…, n)), b)     ->   Reshape(Linear(x, w, b), (…, n))

Only for matrices and a vector over the product's columns, and only when nothing else reads the product, outputs
included: it would be computed twice.
"""

from __future__ import annotations

from nnspec.ir.graph import Graph, Value
from nnspec.ops.elementwise import Add
from nnspec.ops.matmul import Linear, MatMul
from nnspec.ops.movement import Reshape, reshape
from nnspec.passes.rewrite import Uses, rewrite


def fuse_linear(graph: Graph) -> Graph:
    return rewrite(graph, _fuse)


def _fuse(value: Value, uses: Uses) -> Value | None:
    match value:
        case Value(Add(), (a, b)):
            return _fold(a, b, uses) or _fold(b, a, uses)
    return None


def _fold(product: Value, bias: Value, uses: Uses) -> Value | None:
    if uses[product] != 1:
        return None
    match product:
        case Value(MatMul(), (x, w)) if x.rank == w.rank == 2 and bias.shape == w.shape[1:]:
            return Linear().one(x, w, bias)
        case Value(Reshape(shape=shape), (Value(MatMul(), (x, w)) as inner,)) if uses[inner] == 1:
            if x.rank == w.rank == 2 and bias.shape == w.shape[1:] == shape[-1:]:
                return reshape(Linear().one(x, w, bias), shape)
    return None
