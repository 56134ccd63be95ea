"""Random graphs: Hypothesis draws a small program of ops, and its gradients are appended."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.ir.graph import Graph, Value, abstract, constant, origin
from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType, known, size
from nnspec.ops.activation import gelu, softplus
from nnspec.ops.conv import Conv
from nnspec.ops.elementwise import (
    broadcast,
    cast,
    cos,
    exp,
    less,
    power,
    relu,
    sigmoid,
    sin,
    square,
    tanh,
    where,
    zeros_like,
)
from nnspec.ops.index import gather
from nnspec.ops.movement import Pack, Slice, Unpack, broadcast_to, concat, reshape, transpose
from nnspec.ops.normalization import BatchNorm, LayerNorm
from nnspec.ops.pool import AvgPool, MaxPool
from nnspec.ops.reduce import max_, mean, sum_
from nnspec.ops.softmax import log_softmax, softmax

D = DType.float64
UNARY: list[Callable[[Value], Value]] = [
    tanh, sigmoid, sin, cos, square, relu, gelu, softplus, lambda x: -x, lambda x: exp(tanh(x)),
    lambda x: power(square(x) + 0.5, 0.5), lambda x: power(x, 2.0), lambda x: x, lambda x: power(x, 1.0),
]
NUMBERS = [0.0, 1.0, -1.0, 2.0, 0.5, 3.0, -0.3]


def fits(a: Value, b: Value) -> bool:
    try:
        broadcast(a.shape, b.shape)
    except Exception:
        return False
    return True


class Builder:
    """Values made so far, and one method a kind of step; each returns a new value."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.inputs: list[Value] = []
        self.values: list[Value] = []
        for shape in ((4, 6), (6,), (3, 1, 2)):
            self.values.append(self.input(shape))

    def input(self, shape: tuple[int, ...]) -> Value:
        x = abstract(TensorType(shape, D), f"x{len(self.inputs)}")
        self.inputs.append(x)
        return x

    def pick(self, test: Callable[[Value], bool] = lambda v: True) -> Value:
        found = [v for v in self.values if test(v)]
        return self.draw(st.sampled_from(found)) if found else self.values[0]

    def step(self) -> None:
        kinds = [self.unary, self.binary, self.number, self.reduce, self.move, self.spread, self.product,
                 self.composite, self.choose, self.pack, self.image, self.rows]
        self.values.append(self.draw(st.sampled_from(kinds))())

    def unary(self) -> Value:
        return self.draw(st.sampled_from(UNARY))(self.pick())

    def binary(self) -> Value:
        a = self.pick()
        b = self.pick(lambda v: fits(a, v))
        if not fits(a, b):
            return a + a
        made = [lambda: a + b, lambda: a - b, lambda: a * b, lambda: a / (square(b) + 1.0)]
        return self.draw(st.sampled_from(made))()

    def number(self) -> Value:
        a, c = self.pick(), self.draw(st.sampled_from(NUMBERS))
        number = constant(c, D)
        if self.draw(st.booleans()):
            number = broadcast_to(number, a.shape)
        made = [lambda: a + number, lambda: number - a, lambda: number * a, lambda: a - number]
        return self.draw(st.sampled_from([*made, lambda: a / number] if c else made))()

    def axes(self, x: Value) -> tuple[int, ...]:
        return tuple(sorted(self.draw(st.sets(st.sampled_from(range(x.rank)), min_size=1))))

    def reduce(self) -> Value:
        x = self.pick(lambda v: v.rank > 0)
        f = self.draw(st.sampled_from([sum_, mean]))
        return f(x, self.axes(x), self.draw(st.booleans())) if x.rank else x

    def move(self) -> Value:
        x = self.pick(lambda v: v.rank > 1)
        if x.rank < 2:
            return x
        flat = reshape(x, (int(size(x.shape)),))  # type: ignore[arg-type]  # bound
        stop = tuple(max(1, int(d) - self.draw(st.integers(0, 1))) for d in x.shape)
        part = Slice((0,) * x.rank, stop, (1,) * x.rank)
        return self.draw(st.sampled_from([
            lambda: transpose(x, tuple(self.draw(st.permutations(range(x.rank))))),
            lambda: flat, lambda: reshape(flat, (1, *x.shape)), lambda: part.one(x),
            lambda: concat((x, tanh(x)), self.draw(st.integers(0, x.rank - 1))),
        ]))()

    def spread(self) -> Value:
        x = self.pick(lambda v: v.rank < 3)
        return broadcast_to(x, (self.draw(st.integers(1, 3)), *(d for d in x.shape)))

    def product(self) -> Value:
        x = self.pick(lambda v: v.rank == 2)
        n = self.draw(st.integers(1, 3))
        y = x @ (self.input((int(x.shape[1]), n)) * 0.3)  # type: ignore[call-overload]  # bound
        return y + self.input((n,)) if self.draw(st.booleans()) else y

    def composite(self) -> Value:
        x = self.pick(lambda v: v.rank == 2)
        gamma = self.input((int(x.shape[-1]),))  # type: ignore[call-overload]  # bound
        return self.draw(st.sampled_from([
            lambda: softmax(x), lambda: log_softmax(x), lambda: LayerNorm(0.1).one(x, gamma, gamma),
            lambda: BatchNorm(0.1)(x, gamma, gamma)[self.draw(st.integers(0, 2))],
        ]))()

    def choose(self) -> Value:
        x = self.pick()
        known_choice = broadcast_to(constant(self.draw(st.booleans()), DType.bool), x.shape)
        return self.draw(st.sampled_from([
            lambda: where(less(x, 0.123), x, x * 2.0), lambda: where(known_choice, x, zeros_like(x)),
            lambda: cast(less(x, 0.123), D) * x, lambda: x - max_(x) if x.rank else x,
        ]))()

    def image(self) -> Value:
        """Places of a convolution or of a pool over it, as rows."""
        x, stride = self.input((2, 5, 4, 3)), self.draw(st.sampled_from([1, 2]))
        y = Conv((stride, stride), "same", (1, 1)).one(x * 0.5, self.input((3, 3, 3, 6)))
        pooled = [lambda: y, lambda: relu(y), lambda: AvgPool((2, 2), (2, 2), "same").one(y), lambda: MaxPool((2, 2), (1, 2), "same")(y)[0]]
        made = self.draw(st.sampled_from(pooled))()
        return reshape(made, (prod(known(made.shape)[:-1]), 6))

    def rows(self) -> Value:
        """Rows of a table, some of them twice."""
        table = self.pick(lambda v: v.rank == 2)
        ids = self.draw(st.lists(st.integers(0, int(table.shape[0]) - 1), min_size=1, max_size=5))  # type: ignore[arg-type]  # bound
        return gather(table, constant(ids, DType.int64))

    def pack(self) -> Value:
        x, y = self.pick(), self.pick()
        m, n = int(size(x.shape)), int(size(y.shape))  # type: ignore[arg-type]  # bound
        packed = Pack((0, m + 1), m + 1 + n).one(x, y)
        return self.draw(st.sampled_from([lambda: Unpack(m + 1, y.shape).one(packed), lambda: packed]))()


@st.composite
def graphs(draw: Any, steps: int = 12) -> Graph:
    """A graph of several outputs and the gradients of one of them, on float64."""
    builder = Builder(draw)
    for i in range(draw(st.integers(2, steps))):
        with origin(f"layer_{i}"):
            builder.step()
    y, other = builder.values[-1], builder.pick()
    with origin("loss"):
        loss = sum_(tanh(y * 0.1)) if y.rank else tanh(y * 0.1)
    found = gradients(loss, builder.inputs)
    outputs = {f"gradient of {v.op.label}": g for v, g in zip(builder.inputs, found, strict=True)  # type: ignore[attr-defined]
               if g is not None}
    return Graph({"y": y, "other": other, "loss": loss, **outputs})


def feed(graph: Graph) -> dict[str, Array]:
    """Numbers for every input, the same for the same label and shape."""
    return {label: np.random.default_rng(len(label) + i).uniform(-1, 1, known(v.shape))
            for i, (label, v) in enumerate(sorted(graph.inputs.items()))}


