"""ONNX's matrix products and sums of products. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping

from nnspec.interop.nodes.node import Node, Rule, sizes
from nnspec.ir.graph import Value
from nnspec.ops import movement


def product(n: Node) -> Value:
    a, b = n[0], n[1]
    wide, high = movement.reshape(a, (1, *a.shape)) if a.rank == 1 else a, movement.reshape(b, (*b.shape, 1)) if b.rank == 1 else b
    y = wide @ high
    shape = sizes(y)
    cut = shape[: -2 if a.rank == 1 else len(shape) - 1] + (shape[-1:] if b.rank > 1 else ())
    return movement.reshape(y, cut)


def gemm(n: Node) -> Value:
    a, b = (movement.swap(v) if n.attribute(k, 0) else v for v, k in ((n[0], "transA"), (n[1], "transB")))
    y, alpha, beta = a @ b, float(n.attribute("alpha", 1.0)), float(n.attribute("beta", 1.0))
    y = y if alpha == 1 else y * alpha
    return y + (n[2] if beta == 1 else n[2] * beta) if n.has(2) else y


RULES: Mapping[str, Rule] = {"MatMul": product, "Gemm": gemm}
