"""Nests that kernels take as their epilogue: the same bits as one after the other, for every way, operand and vector width."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import pytest

pytest.importorskip("llvmlite")
import nnspec
from nnspec.autodiff import gradients
from nnspec.codegen.check_plan import check_plan
from nnspec.compiler import loads
from nnspec.ir.graph import Call, Graph, Value, abstract, constant
from nnspec.ir.op import Input
from nnspec.ir.types import DType, TensorType
from nnspec.ir.verify import verify
from nnspec.ops import elementwise as e
from nnspec.ops.conv import Conv
from nnspec.ops.fused import Followed
from nnspec.ops.reduce import sum_
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.llvm.rules import Nests
from nnspec_numpy.team import TEAM
from tests.program_graphs import fed
from tests.test_nests import cpu, value  # noqa: F401  # a fixture
from tests.test_numpy_backend import bound, check_equal

FULL = bool(os.environ.get("NNSPEC_FULL"))


class Apart(Nests):
    """Nests as they are, none of them an epilogue."""

    def follows(self, first: Call, calls: Sequence[Call]) -> bool:
        return False


def apart() -> Apart:
    here = chosen()
    assert here is not None
    return Apart(here)


def followed(graph: Graph) -> list[Followed]:
    return [c.op for c in graph.calls if isinstance(c.op, Followed)]


def conv(x: tuple[int, ...], w: tuple[int, ...], stride: int = 1, pad: int | str = "same", dilation: int = 1, groups: int = 1, tiles: int = 4) -> Value:
    rank = len(w) - 2
    padding = pad if isinstance(pad, str) else ((pad, pad),) * rank
    op = Conv(stride=(stride,) * rank, padding=padding, dilation=(dilation,) * rank, groups=groups, tiles=tiles)
    return op.one(value(*x), value(*w, label="w"))


CONVOLUTIONS: dict[str, Callable[[], Value]] = {
    "direct 3x3": lambda: conv((3, 9, 7, 16), (3, 3, 16, 24), tiles=0),
    "direct strided": lambda: conv((2, 13, 11, 16), (3, 3, 16, 72), stride=2),
    "direct dilated": lambda: conv((2, 9, 13, 16), (3, 3, 16, 33), dilation=2),
    "groups": lambda: conv((2, 8, 9, 32), (3, 3, 8, 64), groups=4),
    "one axis": lambda: conv((2, 19, 16), (3, 16, 40)),
    "pointwise": lambda: conv((2, 7, 7, 64), (1, 1, 64, 80), pad=0),
    "pointwise in strips": lambda: conv((2, 28, 28, 256), (1, 1, 256, 128), pad=0),
    "Winograd 2x2": lambda: conv((2, 17, 15, 64), (3, 3, 64, 72), tiles=2),
    "Winograd 4x4": lambda: conv((2, 19, 18, 64), (3, 3, 64, 80), pad=1),
    "Winograd in blocks": lambda: conv((1, 14, 15, 512), (3, 3, 512, 640)),
    "depthwise": lambda: conv((2, 9, 11, 40), (3, 3, 1, 40), groups=40),
    "depthwise strided": lambda: conv((2, 9, 11, 17), (5, 5, 1, 17), groups=17, stride=2),
    "in bands": lambda: conv((1, 56, 56, 64), (3, 3, 64, 64)),
    "pointwise in bands": lambda: conv((1, 56, 56, 64), (1, 1, 64, 256), pad=0),
    "three axes": lambda: conv((1, 4, 5, 4, 8), (2, 2, 2, 8, 16)),
}


def like(y: Value, label: str) -> Value:
    return value(*y.shape, label=label)


def vector(y: Value, label: str) -> Value:
    return value(y.shape[-1], label=label)


BODIES: dict[str, Callable[[Value], tuple[Value, ...]]] = {
    "bias and relu": lambda y: (e.relu(y + vector(y, "b")),),
    "norm, shortcut, relu": lambda y: (e.relu(y * vector(y, "b") + vector(y, "c") + like(y, "d")),),
    "relu6": lambda y: (e.Minimum()(e.Maximum()(y * vector(y, "b") + vector(y, "c"), constant(0.0, y.dtype)), constant(6.0, y.dtype)),),
    "two shortcuts and a number": lambda y: ((y * value(label="n") + like(y, "d")) * like(y, "f"),),
    "a number computed": lambda y: (y * (value(label="n") * 2.0 + 1.0) + value(1, 1, label="m"),),
    "functions": lambda y: (e.tanh(y) * e.sigmoid(y + vector(y, "b")),),
    "a choice": lambda y: (e.where(e.less(y, vector(y, "b")), like(y, "d"), y * 2.0),),
    "the result too": lambda y: (y, e.relu(y + vector(y, "b"))),
    "several results": lambda y: (e.exp(y), e.relu(y + vector(y, "b")), y * like(y, "d")),
    "a bias alone": lambda y: (y + vector(y, "b"),),
}


def outputs(graph: Graph, loops: Nests | None, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    run, _ = bound(run_pipeline(graph, BACKEND.claims, loops), feed)
    run.run()
    run.run()
    return {name: y.copy() for name, y in run.outputs.items()}


FEW = ("norm, shortcut, relu", "several results")
PAIRS = [(name, body) for name in CONVOLUTIONS for body in BODIES if FULL or body in FEW or name == "direct 3x3"]


@pytest.mark.compiled
@pytest.mark.parametrize(("name", "body"), PAIRS)
def test_an_epilogue_gives_the_bits_of_a_nest_that_follows(name: str, body: str) -> None:
    graph = Graph({f"y{i}": v for i, v in enumerate(BODIES[body](CONVOLUTIONS[name]()))})
    feed = fed(graph)
    one = run_pipeline(graph, BACKEND.claims, BACKEND.loops())
    verify(one)
    check_plan(one, BACKEND.plan(one, "t"))
    here = chosen()
    assert here is not None
    assert bool(followed(one)) == (name != "three axes") or here.width < 64
    ours, wanted = outputs(graph, BACKEND.loops(), feed), outputs(graph, apart(), feed)
    for k, y in wanted.items():
        np.testing.assert_array_equal(ours[k], y, err_msg=k)


@pytest.mark.parametrize("name", ["direct strided", "pointwise", "Winograd 4x4", "depthwise"])
def test_every_vector_width_gives_those_bits_and_the_references_numbers(name: str, cpu: str) -> None:  # noqa: F811
    graph = Graph({f"y{i}": v for i, v in enumerate(BODIES["norm, shortcut, relu"](CONVOLUTIONS[name]()))})
    feed = fed(graph)
    ours, wanted = outputs(graph, BACKEND.loops(), feed), outputs(graph, apart(), feed)
    np.testing.assert_array_equal(ours["y0"], wanted["y0"])
    check_equal(run_pipeline(graph, BACKEND.claims, BACKEND.loops()), feed, 2e-4)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["direct 3x3", "pointwise", "Winograd 4x4", "depthwise"])
def test_what_is_no_number_infinite_or_tiny_goes_the_same_way(name: str) -> None:
    y = CONVOLUTIONS[name]()
    graph = Graph({"y": e.relu(y + vector(y, "b")), "z": y * vector(y, "c")})
    feed = fed(graph)
    feed["x"] = feed["x"] * np.float32(1e-38)
    feed["b"] = feed["b"] * np.float32(1e-39)
    feed["x"].reshape(-1)[::97] = np.nan
    feed["x"].reshape(-1)[5::101] = np.inf
    ours, wanted = outputs(graph, BACKEND.loops(), feed), outputs(graph, apart(), feed)
    for k, v in wanted.items():
        assert not np.isfinite(v).all()
        np.testing.assert_array_equal(ours[k], v)


@pytest.mark.parametrize("threads", [2, 4])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    y = conv((8, 28, 28, 64), (3, 3, 64, 64))
    graph = Graph({"y": e.relu(y * vector(y, "b") + like(y, "d"))})
    feed = fed(graph)
    wanted = outputs(graph, BACKEND.loops(), feed)["y"]
    TEAM.threads = threads
    try:
        np.testing.assert_array_equal(outputs(graph, BACKEND.loops(), feed)["y"], wanted)
    finally:
        TEAM.threads = 1


# Who follows whom

@pytest.mark.wide
def test_what_only_the_nest_reads_is_never_in_memory() -> None:
    y = CONVOLUTIONS["direct 3x3"]()
    after = run_pipeline(Graph({"y": e.relu(y + vector(y, "b"))}), BACKEND.claims, BACKEND.loops())
    (op,) = followed(after)
    assert list(op.body.outputs) == ["y0"]
    assert str(op).endswith("then [relu(a + b)]") and op.name == "Conv"
    (step,) = BACKEND.plan(after, "t").steps
    assert BACKEND.choice(step) == "direct: math: strict; then relu(a + b)"


def test_a_nest_that_waits_for_another_reader_of_the_product_does_not_follow() -> None:
    """What is normalised by its own mean has to be there before."""
    y = CONVOLUTIONS["direct 3x3"]()
    mean = sum_(y, (0, 1, 2)) * (1.0 / 189)
    graph = Graph({"y": e.relu(y - mean)})
    after = run_pipeline(graph, BACKEND.claims, BACKEND.loops())
    assert not followed(after)
    check_equal(after, fed(graph), 1e-4)


@pytest.mark.wide
def test_of_two_products_the_later_one_takes_the_nest() -> None:
    x = value(2, 8, 8, 16)
    a, b = (Conv(stride=(1, 1), padding="same", dilation=(1, 1)).one(x, value(3, 3, 16, 32, label=label)) for label in ("v", "w"))
    graph = Graph({"y": e.relu(a * vector(a, "c") + b)})
    after = run_pipeline(graph, BACKEND.claims, BACKEND.loops())
    assert [c.op.name for c in after.calls if c.op.name in ("Conv", "Fused")] == ["Conv", "Conv"] and len(followed(after)) == 1
    check_equal(after, fed(graph), 1e-4)


def test_crossing_products_make_no_circle() -> None:
    """Two convolutions and two nests, each of which reads both."""
    x = value(2, 8, 8, 16)
    a, b = (Conv(stride=(1, 1), padding="same", dilation=(1, 1)).one(x, value(3, 3, 16, 32, label=label)) for label in ("v", "w"))
    first = e.relu(a + b)
    second = e.tanh(sum_(first, (1, 2), keep=True) + a) * b
    graph = Graph({"y": first, "z": second})
    after = run_pipeline(graph, BACKEND.claims, BACKEND.loops())
    verify(after)
    check_equal(after, fed(graph), 1e-4)


@pytest.mark.parametrize("operand", [(3, 1, 1, 24), (3, 9, 7, 1), (9, 7, 24)])
def test_operands_of_other_shapes_leave_the_nest_by_itself(operand: tuple[int, ...]) -> None:
    y = CONVOLUTIONS["direct 3x3"]()
    graph = Graph({"y": e.relu(y * value(*operand, label="s"))})
    after = run_pipeline(graph, BACKEND.claims, BACKEND.loops())
    assert not followed(after)
    check_equal(after, fed(graph), 1e-4)


def test_double_precision_has_no_epilogue() -> None:
    x, w, b = (abstract(TensorType(s, DType.float64), n) for n, s in {"x": (2, 8, 8, 16), "w": (3, 3, 16, 32), "b": (32,)}.items())
    graph = Graph({"y": e.relu(Conv(stride=(1, 1), padding="same", dilation=(1, 1)).one(x, w) + b)})
    assert not followed(run_pipeline(graph, BACKEND.claims, BACKEND.loops()))


@pytest.mark.wide
def test_a_gradient_reads_what_the_epilogue_gives() -> None:
    """Training with a bias and a relu keeps one array of a layer, not two."""
    y = CONVOLUTIONS["direct 3x3"]()
    z = e.relu(y + vector(y, "b"))
    x, w = y.inputs
    found = gradients(sum_(z * like(y, "g")), [x, w])
    graph = Graph({"z": z, **{f"g{i}": v for i, v in enumerate(found) if v is not None}})
    after = run_pipeline(graph, BACKEND.claims, BACKEND.loops())
    (op,) = followed(after)
    assert not any(isinstance(v.op, Input) for v in op.body.outputs.values())
    check_equal(after, fed(graph), 1e-4)


NETWORK = """
nnspec: 1
name: followed
inputs: {x: {shape: [20, 20, 16]}}
layers:
  - conv2d: {filters: 64, kernel: 3, padding: same}
  - batch_norm
  - relu
  - residual:
      layers: [{conv2d: {filters: 64, kernel: 1, activation: gelu}}, {conv2d: {filters: 64, kernel: 3, padding: same}}, batch_norm]
  - relu
  - depthwise_conv2d: {kernel: 3, stride: 2, activation: relu6}
  - global_avg_pool2d
  - dense: 5
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.05}}
seed: 3
"""


@pytest.mark.parametrize("math", ["fast", "strict"])
def test_a_network_that_learns_and_answers_is_that_of_nests_apart(math: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 20, 20, 16)).astype(np.float32), rng.integers(0, 5, 12)
    found = []
    for how in ("one", "apart"):
        if how == "apart":
            monkeypatch.setattr("nnspec_numpy.backend.follows", lambda first, calls: False)
        model = nnspec.compile(loads(NETWORK, set={"math": math}))
        answers = [model.predict(x, raw=True)]
        for _ in range(3):
            model.train_batch({"x": x, model.spec.built.losses[0].feed: y})
            answers.append(model.predict(x, raw=True))
        found.append(answers)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.wide
def test_kept_kernels_have_epilogues_too() -> None:
    model = nnspec.compile(loads(NETWORK))
    x = np.zeros((12, 20, 20, 16), np.float32)
    model.predict(x)
    (program,) = [ready.program for ready in model.programs._kept.values() if ready.program]
    said = [BACKEND.choice(s) for s in program.steps if isinstance(s.call.op, Followed)]
    assert len(said) == 3 or chosen().width < 64  # the last relu goes with the pool behind it
    assert any("its kernel is kept; then" in text for text in said)
