"""ONNX's matrix products and sums of products. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from nnspec.interop.nodes.node import Node, NotImportedError, Rule, fixed, sizes
from nnspec.ir.graph import Value
from nnspec.ops import index, movement, reduce

DOTS = "0123456789"  # names for the axes that an ellipsis stands for, the last of them last


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


def einsum(n: Node) -> Value:
    """Factors two by two: diagonals, what one alone is summed over, a product of matrices, and the axes in their order."""
    text = "".join(str(n.attribute("equation")).split())
    left, arrow, out = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(n.inputs):
        raise NotImportedError(f"{len(n.inputs)} factors for '{text[:80]}'")
    names = [spelled(t, v.rank, text) for t, v in zip(terms, n.inputs, strict=True)]
    dots = max((sum(c in DOTS for c in name) for name in names), default=0)
    if arrow:
        result = out.replace("...", DOTS[len(DOTS) - dots :])
    else:
        once = sorted(c for c in set("".join(names)) - set(DOTS) if "".join(names).count(c) == 1)
        result = DOTS[len(DOTS) - dots :] + "".join(once)
    if len(set(result)) < len(result) or set(result) - set("".join(names)):
        raise NotImportedError(f"the equation '{text[:80]}'")
    x, own = diagonal(n.inputs[0], names[0])
    for i in range(1, len(names)):
        x, own = joined(x, own, *diagonal(n.inputs[i], names[i]), set(result).union(*names[i + 1 :]))
    x, own = summed(x, own, set(result))
    return movement.transpose(x, tuple(own.index(c) for c in result))


def spelled(term: str, rank: int, text: str) -> str:
    """A letter for every axis."""
    plain = term.replace("...", "")
    more = rank - len(plain)
    if "..." in term and 0 <= more <= len(DOTS):
        term = term.replace("...", DOTS[len(DOTS) - more :], 1)
    if len(term) != rank or not all(c.isascii() and c.isalnum() for c in term):
        raise NotImportedError(f"'{term[:40]}' of '{text[:80]}' for {rank} axes")
    return term


def diagonal(x: Value, names: str) -> tuple[Value, str]:
    """Of axes of one name their diagonal."""
    for c in names:
        while names.count(c) > 1:
            i = names.index(c)
            j = names.index(c, i + 1)
            order = (i, j, *(k for k in range(x.rank) if k not in (i, j)))
            x = movement.transpose(x, order)
            length, other, *rest = sizes(x)
            if length != other:
                raise NotImportedError(f"axes of {length} and {other} under one name")
            x = index.gather(movement.reshape(x, (length * length, *rest)), fixed(np.arange(length) * (length + 1)))
            names = c + "".join(names[k] for k in order[2:])
    return x, names


def summed(x: Value, names: str, kept: set[str]) -> tuple[Value, str]:
    """Over the axes that nobody asks for."""
    axes = tuple(i for i, c in enumerate(names) if c not in kept)
    return reduce.sum_(x, axes) if axes else x, "".join(c for c in names if c in kept)


def joined(a: Value, left: str, b: Value, right: str, kept: set[str]) -> tuple[Value, str]:
    """The product of two factors, summed over what they share and nobody else asks for."""
    a, left = summed(a, left, kept | set(right))
    b, right = summed(b, right, kept | set(left))
    both = [c for c in left if c in right]
    batch, inner = [c for c in both if c in kept], [c for c in both if c not in kept]
    rows, columns = [c for c in left if c not in both], [c for c in right if c not in both]
    length: dict[str, int] = {}
    for names, v in ((left, a), (right, b)):
        length |= {c: max(d, length.get(c, 1)) for c, d in zip(names, sizes(v), strict=True)}

    def matrix(v: Value, names: str, first: Sequence[str], second: Sequence[str]) -> Value:
        order = [*batch, *first, *second]
        v = movement.transpose(v, tuple(names.index(c) for c in order))
        v = movement.broadcast_to(v, tuple(length[c] for c in order))
        return movement.reshape(v, (*(length[c] for c in batch), prod(length[c] for c in first), prod(length[c] for c in second)))

    y = matrix(a, left, rows, inner) @ matrix(b, right, inner, columns)
    out = "".join([*batch, *rows, *columns])
    return movement.reshape(y, tuple(length[c] for c in out)), out


RULES: Mapping[str, Rule] = {"MatMul": product, "Gemm": gemm, "Einsum": einsum}
