"""Graphs that planners and backends are tried on: drawn at random, and whole training steps written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.ir.graph import Graph, Value, abstract, constant, origin
from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops import elementwise as e
from nnspec.ops.conv import Conv
from nnspec.ops.elementwise import cast, relu, sqrt, square, where
from nnspec.ops.index import pick
from nnspec.ops.movement import Pack, Pad, Slice, Unpack, broadcast_to, concat, reshape, transpose
from nnspec.ops.pool import MaxPool
from nnspec.ops.reduce import all_finite, argmax, max_, mean, sum_
from nnspec.ops.softmax import softmax_cross_entropy

LIMIT = 400  # elements of a drawn value
Draw = Callable[[Any], Any]


def fed(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Numbers for every input of a graph: floats around zero, whole numbers below 2."""
    r = np.random.default_rng(seed)
    return {label: np.asarray(r.normal(size=known(v.shape)) if v.dtype.is_float else r.integers(0, 2, known(v.shape)),
                              v.dtype.numpy) for label, v in graph.inputs.items()}


@st.composite
def graphs(draw: Draw, dtype: DType = DType.float64) -> Graph:
    """Outputs, a container and updates over a pool that grows by a random op at a time."""
    state = abstract(TensorType((24,), dtype), "weights", "state")
    pool = [abstract(TensorType((2, 3), dtype), "x"), abstract(TensorType((3,), dtype), "y"),
            abstract(TensorType((2, 1, 4), dtype), "z"), Unpack(2, (3, 4))(state), constant(0.1, dtype),
            constant(np.arange(6.0).reshape(3, 2), dtype)]
    steps: Sequence[Callable[[Draw, list[Value]], Value | None]] = (
        unary, binary, binary, binary, choose, product, turn, shape, cut, widen, reduce, join, pad, gather_up)
    for _ in range(draw(st.integers(1, 14))):
        made = draw(st.sampled_from(steps))(draw, pool)
        if made is not None and prod(known(made.shape)) <= LIMIT:
            pool.append(made)
    outputs = {f"out_{i}": v for i, v in enumerate(draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3)))}
    outputs["last"] = pool[-1]
    if draw(st.booleans()):
        outputs.update(update(draw, pool, state))
    return Graph(outputs)


def unary(draw: Draw, pool: list[Value]) -> Value:
    return draw(st.sampled_from((e.tanh, relu, e.absolute, square, lambda x: -x)))(draw(st.sampled_from(pool)))  # type: ignore[no-any-return]


def binary(draw: Draw, pool: list[Value]) -> Value | None:
    a, b = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
    op = draw(st.sampled_from((e.Add(), e.Subtract(), e.Multiply(), e.Maximum())))
    return op(a, b) if _broadcasts(a, b) else None


def choose(draw: Draw, pool: list[Value]) -> Value | None:
    a, b = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
    if not _broadcasts(a, b):
        return None
    other: Any = draw(st.sampled_from((a, b, 0.0, 1.5)))
    return where(e.less(a, b), a, other) if draw(st.booleans()) else where(e.less(a, b), other, b)


def product(draw: Draw, pool: list[Value]) -> Value | None:
    matrices = [v for v in pool if v.rank >= 2]
    a = draw(st.sampled_from(matrices))
    fitting = [b for b in matrices if b.shape[-2] == a.shape[-1] and (b.rank == 2 or b.shape[:-2] == a.shape[:-2])]
    return a @ draw(st.sampled_from(fitting)) if fitting else None


def turn(draw: Draw, pool: list[Value]) -> Value:
    v = draw(st.sampled_from(pool))
    return transpose(v, tuple(draw(st.permutations(range(v.rank)))))


def shape(draw: Draw, pool: list[Value]) -> Value:
    v = draw(st.sampled_from(pool))
    n = prod(known(v.shape))
    first = draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
    return reshape(v, draw(st.sampled_from(((n,), (first, n // first), (n // first, 1, first)))))


def cut(draw: Draw, pool: list[Value]) -> Value:
    v = draw(st.sampled_from(pool))
    start = tuple(draw(st.integers(0, n - 1)) for n in known(v.shape))
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, known(v.shape), strict=True))
    return Slice(start, stop, tuple(draw(st.integers(1, 2)) for _ in start))(v)  # type: ignore[no-any-return]


def widen(draw: Draw, pool: list[Value]) -> Value:
    v = draw(st.sampled_from(pool))
    return broadcast_to(v, (draw(st.integers(1, 3)), *(3 if n == 1 else n for n in v.shape)))


def reduce(draw: Draw, pool: list[Value]) -> Value:
    v = draw(st.sampled_from(pool))
    axes = tuple(i for i in range(v.rank) if draw(st.booleans()))
    return draw(st.sampled_from((sum_, max_)))(v, axes, keep=draw(st.booleans()))  # type: ignore[no-any-return]


def join(draw: Draw, pool: list[Value]) -> Value | None:
    ranked = [v for v in pool if v.rank]
    a = draw(st.sampled_from(ranked))
    axis = draw(st.integers(0, a.rank - 1))
    fitting = [b for b in ranked if b.rank == a.rank
               and all(i == axis or m == n for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)))]
    return concat((a, *draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=2))), axis)


def pad(draw: Draw, pool: list[Value]) -> Value:
    v = draw(st.sampled_from(pool))
    low, high, inner = (tuple(draw(st.integers(0, 1)) for _ in v.shape) for _ in range(3))
    return Pad(low, high, inner, 0.5)(v)  # type: ignore[no-any-return]


def gather_up(draw: Draw, pool: list[Value]) -> Value:
    members = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3))
    offsets, top = [], draw(st.integers(0, 2))
    for v in members:
        offsets.append(top)
        top += prod(known(v.shape)) + draw(st.integers(0, 3))
    return Pack(tuple(offsets), top)(*members)  # type: ignore[no-any-return]


def update(draw: Draw, pool: list[Value], state: Value) -> dict[str, Value]:
    """New content for two states, guarded by what is finite, by something else, or not at all."""
    other = abstract(state.type, "average", "state")
    small = [v for v in pool if v.rank <= 1 and _broadcasts(v, state) and prod(known(v.shape)) <= 24]
    change = draw(st.sampled_from(small)) if small else constant(0.5, state.dtype)
    new = draw(st.sampled_from((state - change, other * change)))
    average = draw(st.sampled_from((other + 0.5 * state, state, other + change)))
    ok = draw(st.sampled_from((all_finite(new, average), all_finite(pool[0]), None)))
    if ok is None:
        return {"update:weights": new, "update:average": average}
    return {"update:weights": where(ok, new, state), "update:average": where(ok, average, other), "finite": ok}


def _broadcasts(a: Value, b: Value) -> bool:
    pairs = zip(reversed(a.shape), reversed(b.shape), strict=False)
    return all(m == n or 1 in (m, n) for m, n in pairs)


# Training steps

Built = tuple[Value, Mapping[str, Value]]


class Parameters:
    """Parameters cut one after another from one segment."""

    def __init__(self, sizes: Sequence[tuple[str, tuple[int, ...]]], dtype: DType) -> None:
        self.offsets: list[int] = []
        top = 0
        for _, s in sizes:
            self.offsets.append(top)
            top += -(-prod(s) // 16) * 16
        self.total = top
        self.segment = abstract(TensorType((top,), dtype), "parameters", "state")
        self.values: dict[str, Value] = {}
        for (name, s), start in zip(sizes, self.offsets, strict=True):
            with origin(layer=name):
                self.values[name] = Unpack(start, s)(self.segment)

    def packed(self, loss: Value) -> Value:
        found = gradients(loss, list(self.values.values()))
        with origin("", "update"):
            return Pack(tuple(self.offsets), self.total)(*found)  # type: ignore[no-any-return]


def sgd(loss: Value, p: Parameters) -> dict[str, Value]:
    g = p.packed(loss)
    with origin("", "update"):
        rate = cast(abstract(TensorType((), DType.float64), "learning_rate", "scalar"), g.dtype)
        new = p.segment - rate * g
        ok = all_finite(new, loss)
        return {"finite": ok, "update:parameters": where(ok, new, p.segment)}


def adam(loss: Value, p: Parameters, b1: float = 0.9, b2: float = 0.999) -> dict[str, Value]:
    g = p.packed(loss)
    with origin("", "update"):
        rate = cast(abstract(TensorType((), DType.float64), "learning_rate", "scalar"), g.dtype)
        m, v = (abstract(p.segment.type, name, "state") for name in ("mean", "square"))
        first = m * b1 + g * (1.0 - b1)
        second = v * b2 + square(g) * (1.0 - b2)
        new = p.segment - rate * first / (sqrt(second) + 1e-7)
        ok = all_finite(new, first, second, loss)
        return {"finite": ok, "update:parameters": where(ok, new, p.segment), "update:mean": where(ok, first, m),
                "update:square": where(ok, second, v)}


def mlp(sizes: Sequence[int] = (20, 16, 12, 5), batch: int = 8, dtype: DType = DType.float32,
        optimizer: Callable[[Value, Parameters], dict[str, Value]] = adam) -> Graph:
    layers = list(zip(sizes, sizes[1:], strict=False))
    p = Parameters([(f"dense_{i + 1}/{name}", s) for i, (a, b) in enumerate(layers)
                    for name, s in (("kernel", (a, b)), ("bias", (b,)))], dtype)
    x = abstract(TensorType((batch, sizes[0]), dtype), "image")
    for i in range(len(layers)):
        with origin(f"dense_{i + 1}"):
            x = x @ p.values[f"dense_{i + 1}/kernel"] + p.values[f"dense_{i + 1}/bias"]
            x = relu(x) if i < len(layers) - 1 else x
    return _trained(x, p, optimizer)


def lenet(batch: int = 8, side: int = 12, dtype: DType = DType.float32,
          optimizer: Callable[[Value, Parameters], dict[str, Value]] = adam) -> Graph:
    """Two convolutions with max pooling between, and two dense layers."""
    left = side // 4
    p = Parameters([("conv2d_1/kernel", (3, 3, 1, 6)), ("conv2d_1/bias", (6,)), ("conv2d_2/kernel", (3, 3, 6, 8)),
                    ("dense_1/kernel", (left * left * 8, 16)), ("dense_1/bias", (16,)),
                    ("dense_2/kernel", (16, 5))], dtype)
    x = abstract(TensorType((batch, side, side, 1), dtype), "image")
    for i in (1, 2):
        with origin(f"conv2d_{i}"):
            x = Conv((1, 1), "same", (1, 1))(x, p.values[f"conv2d_{i}/kernel"])
            x = relu(x + p.values["conv2d_1/bias"] if i == 1 else x)
        with origin(f"max_pool2d_{i}"):
            x = MaxPool((2, 2), (2, 2), "same")(x)[0]
    x = reshape(x, (batch, left * left * 8))
    with origin("dense_1"):
        x = relu(x @ p.values["dense_1/kernel"] + p.values["dense_1/bias"])
    with origin("dense_2"):
        x = x @ p.values["dense_2/kernel"]
    return _trained(x, p, optimizer)


def _trained(x: Value, p: Parameters, optimizer: Callable[[Value, Parameters], dict[str, Value]]) -> Graph:
    target = abstract(TensorType((x.shape[0],), DType.int64), "target")
    with origin("", "loss"):
        loss = mean(softmax_cross_entropy(x, target))
        right = mean(cast(e.equal(argmax(x), target), x.dtype))
    best = pick(x, target)
    return Graph({"loss": loss, "accuracy": right, "scores": best, **optimizer(loss, p)})
