"""Products whose kernel computes the nest behind them: the same bits as one after the other, wherever matrices lie."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from nnspec.codegen.check_plan import check_plan
from nnspec.ir.graph import Graph
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops.movement import swap
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from nnspec_numpy.kernels import gemm
from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.team import TEAM
from tests.program_graphs import fed
from tests.test_epilogue import apart, followed
from tests.test_nests import cpu, value  # noqa: F401  # a fixture
from tests.test_numpy_backend import bound

SHAPES = ((5, 9, 20), (64, 100, 70), (1, 33, 40), (40, 1100, 50), (130, 2100, 33), (7, 2, 3))


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    monkeypatch.setattr(gemm, "_library", lambda *_: float("inf"))


def product(m, k, n, lies):
    x = swap(value(k, m)) if lies == "TN" else value(m, k)
    w = swap(value(n, k, label="w")) if lies == "NT" else value(k, n, label="w")
    return x @ w


def endings(y):
    b, r = value(y.shape[-1], label="b"), value(*y.shape, label="r")
    return {"bias and relu": {"y": e.relu(y + b)}, "a residual": {"y": e.relu(y + b) + r},
            "two results": {"y": e.sigmoid(y + b), "z": e.tanh(y) * r}, "the product too": {"y": y, "z": e.relu(y)},
            "a mask": {"y": y * e.step(r)}}


def results(graph, loops):
    passed = run_pipeline(graph, BACKEND.claims, loops)
    run, _ = bound(passed, fed(graph))
    run.run()
    return {k: v.copy() for k, v in run.outputs.items()}, passed, run.program


@pytest.mark.parametrize("lies", ["NN", "NT", "TN"])
def test_what_follows_a_product_gives_the_same_bits(cpu, lies):  # noqa: F811
    if not gemm.lanes():
        pytest.skip("no compiled products")
    for m, k, n in SHAPES:
        for name in endings(product(2, 2, 2, lies)):
            graph = Graph(endings(product(m, k, n, lies))[name])
            (ours, passed, program), (others, _, _) = results(graph, BACKEND.loops()), results(graph, apart())
            assert len(followed(passed)) == 1, name
            check_plan(passed, program)
            assert all(np.array_equal(ours[key], others[key]) for key in others), (name, m, k, n)
            (step,) = (s for s in program.steps if "then" in BACKEND.choice(s))
            assert "blocks of" in BACKEND.choice(step)


@pytest.mark.skipif(chosen() is None, reason="without llvmlite nothing is fused")
def test_no_number_of_threads_changes_a_bit():
    y = product(300, 700, 400, "NT")
    graph, found = Graph({"y": e.relu(y + value(400, label="b"))}), []
    for threads in (1, 2, 4):
        before, TEAM.threads = TEAM.threads, threads
        try:
            found.append(results(graph, BACKEND.loops())[0]["y"])
        finally:
            TEAM.threads = before
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


def test_what_has_another_type_is_no_epilogue(cpu):  # noqa: F811
    y, number = product(30, 40, 50, "NN"), e.exp(value(label="s"))
    for graph in (Graph({"y": e.cast(e.relu(y), DType.float64)}), Graph({"y": e.relu(y), "z": e.less(y, 0.0)}),
                  Graph({"y": e.relu(y) * number, "z": number})):
        (ours, passed, program), (others, _, _) = results(graph, BACKEND.loops()), results(graph, apart())
        check_plan(passed, program)
        assert all(np.array_equal(ours[key], others[key]) for key in others)
