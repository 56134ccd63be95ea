"""Small graphs whose rewriting is kept as golden text: for each pass, titles and graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from nnspec.autodiff import gradients
from nnspec.ir.graph import Call, Graph, Value, abstract, constant, origin
from nnspec.ir.types import DType, TensorType
from nnspec.ops.activation import softplus
from nnspec.ops.elementwise import cast, exp, less, maximum, power, relu, sqrt, tanh, where, zeros_like
from nnspec.ops.index import one_hot
from nnspec.ops.movement import Concat, Pack, Pad, Reshape, Slice, Transpose, Unpack, broadcast_to, reshape
from nnspec.ops.normalization import BatchNorm
from nnspec.ops.pool import MaxPool
from nnspec.ops.reduce import Max, Sum, all_finite, mean, sum_
from nnspec.ops.softmax import softmax
from nnspec.passes.drop_dead import drop_dead
from nnspec.passes.expand import expand
from nnspec.passes.fold_constants import fold_constants
from nnspec.passes.fuse_linear import fuse_linear
from nnspec.passes.fuse_loops import fuse_loops
from nnspec.passes.merge_equal import merge_equal
from nnspec.passes.pool_first import pool_first
from nnspec.passes.simplify import simplify
from tests.regions import Scaled

Examples: TypeAlias = dict[str, Callable[[], Graph]]
D = DType.float64


def new(label: str, *shape: int, dtype: DType = D) -> Value:
    return abstract(TensorType(shape, dtype), label)


def of(f: Callable[..., Value], *shapes: tuple[int, ...]) -> Callable[[], Graph]:
    """The graph of ``f`` on inputs a, b, … of these shapes."""
    return lambda: Graph({"y": f(*(new("abcd"[i], *s) for i, s in enumerate(shapes)))})


M = (2, 3)


def _shared_product() -> Graph:
    y = new("x", 2, 3) @ new("w", 3, 4)
    return Graph({"y": y + new("b", 4), "product": y})


def _region() -> Graph:
    x, gamma, beta = new("x", 2, 3), new("gamma", 3), new("beta", 3)
    with origin("layer_norm_1"):
        y = Scaled(0.1).one(x, gamma, beta)
    found = gradients(sum_(tanh(y)), [x, gamma, beta])
    assert found[0] is not None
    return Graph({"dx": found[0]})


def _layers() -> Graph:
    x = new("x", 2, 3)
    with origin("dense_1"):
        y = softplus(x)
    with origin("scores"):
        z = softmax(y)
    return Graph({"z": z})


def _statistics() -> Graph:
    with origin("batch_norm_1"):
        y, average, _ = BatchNorm(0.1)(new("x", 4, 3), new("gamma", 3), new("beta", 3))
    return Graph({"y": y, "mean": average})


def negative(x: Value) -> Value:
    return -x


def _half(x: Value) -> Value:
    return (2.0 * x) * 0.75


def _shared_multiple() -> Graph:
    y = 2.0 * new("x", 3)
    return Graph({"y": y, "z": y * 3.0})


def _ids() -> Graph:
    hot = one_hot(new("ids", 4, dtype=DType.int64), 3, D)
    return Graph({"y": hot * 0.0})


def _window(x: Value) -> Value:
    y: Value = MaxPool((2, 2), (2, 2), "same")(x)[0]
    return y


P = (1, 4, 4, 2)
SIMPLIFY: Examples = {
    "nothing added or taken away": of(lambda a: (a + 0.0) - 0.0, M),
    "from nothing": of(lambda a: 0.0 - a, M),
    "adding a negative": of(lambda a, b: a + -b, M, M),
    "taking away a negative": of(lambda a, b: a - -b, M, M),
    "once": of(lambda a: a * 1.0 / 1.0, M),
    "minus once": of(lambda a: -1.0 * a, M),
    "zero times what may be NaN stays": of(lambda a: a * 0.0, M),
    "zero times what is finite": _ids,
    "one that broadcasts stays": of(lambda a: a * constant([[1.0], [1.0]], D), (3,)),
    "a chain of constants": of(_half, M),
    "a chain read in between stays": _shared_multiple,
    "a column times a row": of(lambda a, b: a @ b, (5, 2, 1), (1, 3)),
    "pairs of rows and columns": of(lambda a, b: a @ b, (5, 1, 4), (5, 4, 1)),
    "a row and a column alone stay": of(lambda a, b: a @ b, (1, 1, 4), (1, 4, 1)),
    "a negative in a product": of(lambda a: -a * 3.0, M),
    "a sign in a product, summed": of(lambda a, b: sum_(a * -b), M, M),
    "a sign in a quotient": of(lambda a, b: 1.0 - -a / b, M, M),
    "a power of two as divisor": of(lambda a: a / 8.0, M),
    "places of the largest that nothing reads": of(_window, P),
    "another divisor stays": of(lambda a: a / 3.0, M),
    "minus minus": of(lambda a: negative(negative(a)), M),
    "minus a difference": of(lambda a, b: -(a - b), M, M),
    "powers": of(lambda a: power(a, 2.0) + power(a, 0.5) + power(a, 1.0) + power(a, -1.0) + power(a, 3.0), M),
    "the power zero": of(lambda a: power(a, 0.0), M),
    "a choice made already": of(lambda a, b: where(constant(True, DType.bool), a, b), (3,), M),
    "the other choice": of(lambda a, b: where(broadcast_to(constant(False, DType.bool), M), a, b), M, M),
    "a wide dtype on the way": lambda: Graph({"y": cast(cast(new("a", 3, dtype=DType.float32), D), DType.float32)}),
    "a narrow dtype on the way stays": lambda: Graph({"y": cast(cast(new("a", 3), DType.float32), D)}),
    "shape of shape": of(lambda a: reshape(Reshape((6,)).one(a), (3, 2)), M),
    "shape and back": of(lambda a: Reshape(M).one(Reshape((6,)).one(a)), M),
    "order of order": of(lambda a: Transpose((2, 0, 1)).one(Transpose((2, 0, 1)).one(a)), (2, 3, 4)),
    "order and back": of(lambda a: Transpose((1, 0)).one(Transpose((1, 0)).one(a)), M),
    "broadcast of broadcast": of(lambda a: broadcast_to(broadcast_to(a, M), (4, 2, 3)), (3,)),
    "a broadcast that the sum does itself": of(lambda a, b: a + broadcast_to(b, M), M, (3,)),
    "a broadcast that gives the shape stays": of(lambda a: maximum(broadcast_to(a, M), constant([1.0, 2, 3], D)), (3,)),
    "computed before it is broadcast": of(lambda a: exp(broadcast_to(a, M)), (3,)),
    "a number under another shape": of(lambda a: a + reshape(broadcast_to(constant(2.0, D), (6,)), M), M),
    "sum of a broadcast": of(lambda a: Sum((0, 1)).one(broadcast_to(a, M)), (3,)),
    "sum of a broadcast along another axis": of(lambda a: Sum((1,), True).one(broadcast_to(a, (4, 2, 3))), (3,)),
    "gradient of a mean of squares": lambda: _mean_of_squares(),
    "a sum of one": of(lambda a: Sum((1,)).one(a), (3, 1)),
    "a maximum of one": of(lambda a: Max((0, 1), True).one(a), (1, 1)),
    "a concat of one": of(lambda a: Concat(0).one(a), M),
    "a slice of everything": of(lambda a: Slice((0, 0), M, (1, 1)).one(a), M),
    "a slice of a part stays": of(lambda a: Slice((0, 0), (2, 3), (2, 1)).one(a), M),
    "a pad by nothing": of(lambda a: Pad((0, 0), (0, 0), (0, 0)).one(a), M),
    "a member of a pack": of(lambda a, b: Unpack(8, (3, 1)).one(Pack((0, 8), 11).one(a, b)), M, (3,)),
    "a part of a pack stays": of(lambda a, b: Unpack(7, (3, 1)).one(Pack((0, 8), 11).one(a, b)), M, (3,)),
    "an update keeps its form": lambda: _update(),
}


def _mean_of_squares() -> Graph:
    x = new("x", 2, 3)
    (g,) = gradients(mean(power(x, 2.0)), [x])
    assert g is not None
    return fold_constants(Graph({"dx": g}))


def _update() -> Graph:
    w, g, ok = new("w", 3), new("g", 3), new("ok", dtype=DType.bool)
    return Graph({"update:w": where(ok, w - 1.0 * g, w)})


FOLD: Examples = {
    "numbers": of(lambda a: a * exp(constant(0.0, D) + 2.0), M),
    "arrays and bools": of(lambda a: where(less(constant([1.0, 5.0], D), 2.0), a, zeros_like(a)), (2,)),
    "a broadcast stays": of(lambda a: a + broadcast_to(constant(1.0, D), M), M),
    "what depends on an input stays": of(lambda a: sqrt(a) + 1.0, M),
}

MERGE: Examples = {
    "equal calls": of(lambda a: exp(a) * tanh(exp(a)), M),
    "either order": of(lambda a, b: (a + b) * (b + a), M, M),
    "order that matters stays": of(lambda a, b: (a - b) * (b - a), M, M),
    "equal constants": of(lambda a: (a + 2.0) * (a + 2.0), M),
    "a region's own forward": lambda: expand(_region()),
}

LINEAR: Examples = {
    "a bias after a product": of(lambda a, b, c: a @ b + c, M, (3, 4), (4,)),
    "a bias before a product": of(lambda a, b, c: c + a @ b, M, (3, 4), (4,)),
    "through a reshape": of(lambda a, b, c: reshape(a @ b, (2, 1, 4)) + c, M, (3, 4), (4,)),
    "a product read elsewhere stays": _shared_product,
    "a matrix added stays": of(lambda a, b, c: a @ b + c, M, (3, 4), (2, 4)),
    "a product of stacks stays": of(lambda a, b, c: a @ b + c, (5, 2, 3), (3, 4), (4,)),
}

class Any:
    """A backend whose nests take every elementwise call, and which gains by two or more."""

    exact = False

    def takes(self, c: Call) -> bool:
        return True

    def worth(self, calls: Sequence[Call]) -> bool:
        return len(calls) > 1

    def follows(self, first: Call, calls: Sequence[Call]) -> bool:
        return False


def _adam() -> Graph:
    w, m, g = (new(label, 3) for label in ("w", "m", "g"))
    w, m = (abstract(v.type, label, "state") for v, label in ((w, "w"), (m, "m")))
    rate = new("rate", dtype=DType.float32)
    first = m * 0.9 + g * 0.1
    moved = w - cast(rate, D) * first
    loss = sum_(g)
    ok = all_finite(moved, first, loss)
    return Graph({"update:w": where(ok, moved, w), "update:m": where(ok, first, m)})


def _between() -> Graph:
    x, w = new("x", 3, 3), new("w", 3, 3)
    a = exp(x) + 1.0
    return Graph({"y": tanh(a @ w) + a * 2.0})


def _later() -> Graph:
    x, w = new("x", 3, 3), new("w", 3, 3)
    y = maximum(x + 1.0, 0.0)
    return Graph({"g": where(less(y, 0.5), y @ w, 0.0) * 2.0})


def _repeated() -> Graph:
    x, mean_, scale = new("x", 4, 3), new("mean", 3), new("scale", 3)
    centred = x - mean_
    total = sum_(exp(centred) * 2.0, 0)
    return Graph({"y": centred * (scale / total) + 1.0})


LOOPS: Examples = {
    "a bias and what follows": of(lambda a, b: maximum(a + b, 0.0), M, (3,)),
    "a call alone stays": of(lambda a, b: a + b, M, (3,)),
    "read twice": of(lambda a: exp(a * 2.0) - a * 2.0, M),
    "two results": lambda: Graph({"y": (y := exp(new("x", 3)) + 1.0) * 2.0, "z": y}),
    "what lies between parts": _between,
    "what a later nest alone reads is made there": _later,
    "what is cheap is made where it is read": _repeated,
    "an update looks at its numbers before it writes them": _adam,
}

EXPAND: Examples = {
    "a composite in a composite's layer": _layers,
    "several outputs, one of them read": _statistics,
    "a gradient region": _region,
}



def _learned() -> Graph:
    x, b = new("x", 1, 4, 4, 2), new("b", 2)
    y, places = MaxPool((2, 2), (2, 2), "same")(relu(x + b))
    return Graph({"y": y, "places": places})


def _skipped() -> Graph:
    y = relu(new("x", 1, 4, 4, 2))
    return Graph({"y": _window(y), "skip": y})


POOLED: Examples = {
    "a bias for each channel and a function that rises": of(lambda a, b: _window(relu(a + b)), P, (2,)),
    "two functions": of(lambda a: _window(tanh(relu(a))), P),
    "what differs from place to place stays": of(lambda a, b: _window(relu(a) + b), P, (4, 2)),
    "what falls stays": of(lambda a: _window(negative(a)), P),
    "what is read elsewhere stays": _skipped,
    "where places are read, all stays": _learned,
    "as many windows as places stay": of(lambda a: MaxPool((2, 2), (1, 1), "same")(relu(a))[0], P),
}

DEAD: Examples = {"a region of which one output is read": _region}

EXAMPLES: dict[str, tuple[Callable[[Graph], Graph], Examples]] = {
    "pool_first": (pool_first, POOLED),
    "expand": (expand, EXPAND),
    "fold_constants": (fold_constants, FOLD),
    "simplify": (simplify, SIMPLIFY),
    "merge_equal": (merge_equal, MERGE),
    "fuse_linear": (fuse_linear, LINEAR),
    "fuse_loops": (partial(fuse_loops, loops=Any()), LOOPS),
    "drop_dead": (drop_dead, DEAD),
}
