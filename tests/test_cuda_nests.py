"""Loop nests as CUDA C: every kind of walk, at sizes around those where it changes, against the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from nnspec.ir.graph import Graph, Value, abstract, constant
from nnspec.ir.interpret import interpret
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import exp, less, log, sqrt, where
from nnspec.ops.fused import Fused
from nnspec.ops.index import one_hot, pick
from nnspec.ops.movement import reshape
from nnspec.ops.reduce import AllFinite, argmax, max_, sum_
from nnspec.passes import run_pipeline
from nnspec_cupy.backend import CupyBackend
from nnspec_cupy.source import kernels
from tests.cuda.sample import tenth
from tests.cuda.shim import COMPILER, ShimDevice

pytestmark = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
Build = Callable[..., dict[str, Value]]


def softmax(x: Value, b: Value) -> dict[str, Value]:
    z = x + b
    e = exp(z - max_(z, -1, keep=True))
    return {"y": e / sum_(e, -1, keep=True)}


def loss(x: Value, ids: Value) -> dict[str, Value]:
    z = x - max_(x, -1, keep=True)
    each = log(sum_(exp(z), -1)) - pick(z, ids)
    return {"each": each, "total": sum_(each), "right": argmax(x, -1)}


def norm(x: Value, b: Value) -> dict[str, Value]:
    n = 1.0 / float(x.shape[-1])  # type: ignore[arg-type]
    d = x - sum_(x, -1, keep=True) * n
    y = d / sqrt(sum_(d * d, -1, keep=True) * n + 1e-5)
    return {"y": y * b, "of_b": sum_(y * x, tuple(range(x.rank - 1))), "fine": AllFinite().one(y)}


def bias(x: Value, b: Value) -> dict[str, Value]:
    y = where(less(x + b, constant(0.0, x.dtype)), x * 0.1, x)
    return {"y": y, "sum": sum_(y, tuple(range(x.rank - 1))), "most": max_(y * y, tuple(range(x.rank - 1)), keep=True)}


def whole(x: Value, b: Value) -> dict[str, Value]:
    y = x * b
    return {"y": y * 2.0, "sum": sum_(y * y), "fine": AllFinite().one(y, x)}


def hot(x: Value, ids: Value) -> dict[str, Value]:
    return {"y": (x - one_hot(ids, int(x.shape[-1]), x.dtype)) * 0.5}  # type: ignore[arg-type]


def middle(x: Value, b: Value) -> dict[str, Value]:
    return {"y": exp(reshape(x, x.shape) * b) + sum_(x, -1, keep=True)}


SHAPES = [(5, 2), (7, 10), (300, 33), (2100, 10), (3, 5, 64), (40, 300), (3, 1100), (130, 1025), (1, 4), (1, 3000), (2000, 1)]
BUILDS: list[Build] = [softmax, loss, norm, bias, whole, hot, middle]
CASES = tenth([(b, s) for b in BUILDS for s in SHAPES if s[-1] > 1 or b is whole], 4)
BACKEND = CupyBackend(ShimDevice())


def graph_of(build: Build, shape: tuple[int, ...], dtype: DType) -> Graph:
    x = abstract(TensorType(shape, dtype), "x")
    if build in (loss, hot):
        return Graph(build(x, abstract(TensorType(shape[:-1], DType.int64), "b")))
    return Graph(build(x, abstract(TensorType(shape[-1:], dtype), "b")))


PLANS = {(b, s, d): BACKEND.plan(run_pipeline(graph_of(b, s, d), loops=BACKEND.loops()), "test") for b, s in CASES for d in (DType.float32, DType.float64)}


@pytest.fixture(scope="module", params=[pytest.param(BACKEND, id="shim"), *([pytest.param(CupyBackend(), id="gpu")] if os.environ.get("NNSPEC_GPU") == "test" else [])])
def backend(request: pytest.FixtureRequest) -> CupyBackend:
    found: CupyBackend = request.param
    found.device.load({name: k for p in PLANS.values() for name, k in kernels(p).items()}.values())
    return found


@pytest.mark.parametrize("dtype", [DType.float32, DType.float64])
@pytest.mark.parametrize(("build", "shape"), [pytest.param(b, s, id=f"{b.__name__}-{'x'.join(map(str, s))}") for b, s in CASES])
def test_a_nest_gives_what_its_body_says(backend: CupyBackend, build: Build, shape: tuple[int, ...], dtype: DType) -> None:
    program = PLANS[build, shape, dtype]
    assert any(isinstance(s.call.op, Fused) for s in program.steps)
    rng = np.random.default_rng(len(shape) * shape[-1])
    graph = graph_of(build, shape, dtype)
    feed = {"x": rng.normal(size=shape).astype(dtype.numpy)}
    if "b" in graph.inputs:
        feed["b"] = (rng.integers(0, shape[-1], shape[:-1]) if build in (loss, hot) else rng.normal(size=shape[-1:]).astype(dtype.numpy))
    wanted = interpret(graph, feed)
    run = backend.bind(program, backend.memory({}))
    for name, a in feed.items():
        run.inputs[name][...] = a
    run.run()
    for name, y in wanted.items():
        found = run.outputs[name]
        assert (found.shape, found.dtype) == (y.shape, y.dtype)
        close = 1e-12 if dtype == DType.float64 else 3e-5
        np.testing.assert_allclose(found, y, rtol=close, atol=close * max(1.0, float(np.abs(y).max(initial=0))), err_msg=name)
