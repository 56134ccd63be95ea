"""What is made of a product's right side is kept between predictions, and made again whenever a parameter may be another."""

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.ir.graph import Graph, abstract
from nnspec.ir.program import KEPT
from nnspec.ir.types import DType, TensorType
from nnspec.ops.movement import Unpack, swap
from nnspec.passes.keep_kernels import keep_kernels
from nnspec_numpy import BACKEND
from nnspec_numpy.kernels import gemm
from nnspec_numpy.threads import core

compiled = pytest.mark.skipif(not gemm.lanes(), reason="no compiled products for this processor")

NETWORK = """
nnspec: 1
name: kept
inputs: {x: {shape: [20]}}
layers: [dense: 512, relu, dense: 512, relu, dense: 3]
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.1}}
seed: 1
"""


def kept(program):
    return [name for name in program.arenas if name.startswith(KEPT)]


def answers(model, x):
    other = nnspec.compile(model.spec, backend="interpret")
    other.restore(model.state())
    return other.predict(x, raw=True)


def longer_vectors_of_the_library():
    """As where NNSPEC_CPU names a lesser processor than OpenBLAS has found: then it is the faster one."""
    return gemm.lanes() < 16 and core().endswith(gemm.FULL)


@compiled
def test_nothing_is_stale_after_a_step_an_assignment_or_a_restored_state():
    model = nnspec.compile(loads(NETWORK))
    x = np.random.default_rng(0).standard_normal((64, 20), np.float32)
    before, first = model.state(), model.predict(x, raw=True)
    ready = model.programs.ready("predict", {"x": x}, 64, False)
    ours = any("kept in panels" in model.backend.choice(s) for s in ready.program.steps)
    assert kept(ready.program) and (ours or longer_vectors_of_the_library())
    for change in ("train", "write", "restore"):
        if change == "train":
            model.train_batch({"x": x, next(iter(model.spec.built.losses)).feed: np.arange(64) % 3})
        elif change == "write":
            path = next(p for p, v in model.parameters.items() if v.shape == (512, 512))
            model.write(path, model.read(path) * 2)
        else:
            model.restore(before)
        y = model.predict(x, raw=True)
        assert np.abs(y - answers(model, x)).max() <= 2e-5 * np.abs(y).max(), change
        assert np.array_equal(y, first) == (change == "restore")


@compiled
def test_a_matrix_that_is_read_both_ways_is_kept_both_ways():
    state = abstract(TensorType((512 * 512,)), "weights", "state")
    x = abstract(TensorType((40, 512)), "x")
    w = Unpack(0, (512, 512)).one(state)
    program = BACKEND.plan(keep_kernels(Graph({"y": (x @ w) @ swap(w)})), "tied")
    assert len(kept(program)) == 2
    memory = BACKEND.memory({"weights": TensorType((512 * 512,), DType.float32)})
    rng = np.random.default_rng(0)
    weights, rows = rng.standard_normal(512 * 512, np.float32), rng.standard_normal((40, 512), np.float32)
    memory.write("weights", weights)
    run = BACKEND.bind(program, memory)
    run.inputs["x"][...] = rows
    run.run()
    square = weights.reshape(512, 512).astype(np.float64)
    expected = rows @ square @ square.T
    assert np.abs(run.outputs["y"] - expected).max() <= 1e-5 * np.abs(expected).max()


def test_what_is_no_parameter_is_not_kept():
    x, y = abstract(TensorType((40, 512)), "x"), abstract(TensorType((512, 512)), "y")
    state = abstract(TensorType((512 * 512,)), "weights", "state")
    w = Unpack(0, (512, 512)).one(state)
    assert not kept(BACKEND.plan(keep_kernels(Graph({"y": x @ y})), "data"))
    assert not kept(BACKEND.plan(keep_kernels(Graph({"y": x @ w, "update:weights": state * 2.0})), "step"))
