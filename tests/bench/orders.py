"""Equally good sums: the interpreter, each of whose sums adds its terms in another order, which single precision rounds otherwise.

What differs among such interpreters is nobody's error: it is what a network makes of roundings. Permuted are the terms of products, convolutions and
their gradients (channels, filters and rows; not the taps of a window), and of sums; functions stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from nnspec.ir import interpret
from nnspec.ir.op import Array, Op
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.ops.matmul import Linear, MatMul
from nnspec.ops.reduce import Sum

Order = np.random.Generator


def _within_groups(rng: Order, n: int, groups: int) -> Array:
    """An order of channels in which each stays in its group."""
    own = rng.permutation(n // groups)
    return np.concatenate([own + g * (n // groups) for g in range(groups)])


def _product(op: Op, x: list[Array], rng: Order) -> list[Array]:
    p = rng.permutation(x[0].shape[-1])
    return [x[0][..., p], x[1][..., p, :], *x[2:]]


def _conv(op: Op, x: list[Array], rng: Order) -> list[Array]:
    p = _within_groups(rng, x[0].shape[-1], cast(Conv, op).groups)
    return [x[0][..., p], x[1][..., p[: x[1].shape[-2]], :]]


def _input_grad(op: Op, x: list[Array], rng: Order) -> list[Array]:
    p = _within_groups(rng, x[0].shape[-1], cast(ConvInputGrad, op).groups)
    return [x[0][..., p], x[1][..., p]]


def _kernel_grad(op: Op, x: list[Array], rng: Order) -> list[Array]:
    p = rng.permutation(len(x[0]))
    return [x[0][p], x[1][p]]


def _sum(op: Op, x: list[Array], rng: Order) -> list[Array]:
    (a,) = x
    for axis in cast(Sum, op).axis:
        a = np.take(a, rng.permutation(a.shape[axis]), axis)
    return [a]


ORDERS: dict[type[Op], Callable[[Op, list[Array], Order], list[Array]]] = {
    MatMul: _product, Linear: _product, Conv: _conv, ConvInputGrad: _input_grad, ConvKernelGrad: _kernel_grad, Sum: _sum,
}  # fmt: skip


@contextmanager
def reordered(seed: int) -> Iterator[None]:
    """Within, every interpreter adds in the orders of ``seed``; 0 is the usual one."""
    before: Any = interpret.run

    def run(c: Any, inputs: list[Array]) -> tuple[Array, ...]:
        change = ORDERS.get(type(c.op))
        rng = np.random.default_rng((seed, *map(len, map(np.shape, inputs)), *inputs[0].shape)) if change else None
        return cast(tuple[Array, ...], before(c, change(c.op, inputs, rng) if change and rng is not None else inputs))

    interpret.run = run if seed else before
    try:
        yield
    finally:
        interpret.run = before
