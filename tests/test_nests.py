"""Loop nests: what is fused gives what its calls give, for every vector width, from run to run, and reads well."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite")
import tests.graphs
from nnspec.autodiff import gradients, tensor_type
from nnspec.codegen.check_plan import check_plan
from nnspec.errors import SpecError
from nnspec.ir.graph import Call, Graph, Value, abstract, constant
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Array, Input
from nnspec.ir.types import DType, TensorType
from nnspec.ir.verify import verify
from nnspec.ops import elementwise as e
from nnspec.ops.fused import Fused
from nnspec.ops.movement import Unpack, concat, transpose
from nnspec.ops.normalization import LayerNorm
from nnspec.ops.random import RandomBits
from nnspec.ops.reduce import all_finite, argmax, max_, min_, sum_
from nnspec.ops.softmax import log_softmax, softmax, softmax_cross_entropy
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from nnspec_numpy.llvm import cpu as cpus
from nnspec_numpy.llvm import render
from nnspec_numpy.llvm.build import module
from nnspec_numpy.llvm.cpu import MASKS, Cpu, chosen
from nnspec_numpy.llvm.rules import Nests
from nnspec_numpy.team import TEAM
from tests.program_graphs import adam, fed, graphs, lenet, mlp, sgd
from tests.test_numpy_backend import CLOSE, OPS, arrays_of, bound, check_equal

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = 200 if os.environ.get("NNSPEC_FULL") else 30
STEPS = {"mlp_sgd": lambda: mlp(optimizer=sgd), "mlp_adam": lambda: mlp(optimizer=adam), "lenet_adam": lambda: lenet()}


def there() -> list[str]:
    """The masks that this processor can run."""
    import llvmlite.binding as llvm

    has = {name for name, yes in llvm.get_host_cpu_features().items() if yes}
    return [m for m, wanted in MASKS.items() if m != "none" and has.issuperset(wanted)]


@pytest.fixture(params=there())
def cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NNSPEC_CPU", request.param)
    return str(request.param)


def fused(graph: Graph) -> Graph:
    """What stands in nests, none of them the epilogue of a product."""
    cpu = chosen()
    after = run_pipeline(graph, BACKEND.claims, Nests(cpu) if cpu is not None else None)
    verify(after)
    return after


def nests(graph: Graph) -> list[Fused]:
    return [c.op for c in graph.calls if isinstance(c.op, Fused)]


def value(*shape: int, label: str = "x", dtype: DType = DType.float32) -> Value:
    return abstract(TensorType(shape, dtype), label)


# Equal numbers

class Eager(Nests):
    """Nests even of one call."""

    def worth(self, calls: Sequence[Call]) -> bool:
        return True


FAMILIES = ("arithmetic", "functions", "choices", "activation", "reduce", "index", "softmax", "normalization")


@pytest.mark.parametrize("dtype", [DType.float64, DType.float32])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_op_in_a_nest_gives_what_its_reference_gives(family: str, dtype: DType, cpu: str) -> None:
    """All samples of all ops of a family, in one program."""
    feed: dict[str, Array] = {}
    outputs: dict[str, Value] = {}
    for name, cls in OPS.items():
        for i, sample in enumerate(cls.samples if cls.__module__.endswith(family) else ()):
            own = {f"{name}-{i}-{label}": a for label, a in arrays_of(cls, sample, dtype).items()}
            made = cls(**sample.attributes)(*(abstract(tensor_type(a), label) for label, a in own.items()))
            feed |= own
            outputs |= {f"{name}-{i}-{j}": v for j, v in enumerate(made if isinstance(made, tuple) else (made,))}
    known_here = chosen()
    assert known_here is not None
    after = run_pipeline(Graph(outputs), BACKEND.claims, Eager(known_here))
    assert nests(after) or dtype == DType.float64
    check_equal(after, feed, CLOSE[dtype])


@settings(max_examples=EXAMPLES, deadline=None)
@given(graphs(DType.float32))
def test_a_fused_program_of_single_precision_gives_what_the_interpreter_gives(graph: Graph) -> None:
    after = fused(graph)
    check_plan(after, BACKEND.plan(after, "t"))
    check_equal(after, fed(graph, 1), 2e-5)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_networks_and_their_gradients_give_what_they_give_unfused(data: st.DataObject) -> None:
    """Random graphs of normalisations, softmax, products and packs with their gradients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.graphs, "D", DType.float32)
        graph = data.draw(tests.graphs.graphs())
    feed = {label: x.astype(np.float32) for label, x in tests.graphs.feed(graph).items()}
    programs = [run_pipeline(graph, BACKEND.claims, loops) for loops in (None, BACKEND.loops())]
    plain, fast = (bound(g, {label: x for label, x in feed.items() if label in g.inputs})[0] for g in programs)
    for run in (plain, fast):
        run.run()
    for name, wanted in plain.outputs.items():
        largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
        np.testing.assert_allclose(fast.outputs[name], wanted, rtol=2e-3, atol=2e-4 * largest, err_msg=name)


@settings(max_examples=EXAMPLES, deadline=None)
@given(graphs(DType.float64))
def test_double_precision_is_fused_to_the_last_bit(graph: Graph) -> None:
    """Against the same program unfused: only what IEEE 754 makes exact is fused there."""
    feed = fed(graph, 1)
    plain, fast = (bound(run_pipeline(graph, BACKEND.claims, loops), feed) for loops in (None, BACKEND.loops()))
    for run, _ in (plain, fast):
        run.run()
    for name in graph.outputs:
        if name.startswith("update:"):
            a, b = (memory.read(name.removeprefix("update:")) for _, memory in (plain, fast))
        else:
            a, b = plain[0].outputs[name], fast[0].outputs[name]
        np.testing.assert_allclose(b, a, rtol=1e-15, atol=1e-300, err_msg=name)


@pytest.mark.parametrize("name", STEPS)
def test_a_training_step_gives_what_the_interpreter_gives(name: str, cpu: str) -> None:
    graph = fused(STEPS[name]())
    assert nests(graph)
    feed = fed(graph)
    feed.update({"square": np.abs(feed["square"])} if "square" in feed else {})
    check_plan(graph, BACKEND.plan(graph, "t"))
    check_equal(graph, feed, 1e-5)


LENGTHS = [1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 100, 129]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("rows", [1, 2, 5, 33])
def test_every_length_of_rows_is_walked_to_its_end(n: int, rows: int, cpu: str) -> None:
    x, row, column, one = value(rows, n), value(n, label="row"), value(rows, 1, label="column"), value(label="one")
    graph = Graph({"bias": e.relu(x + row), "scaled": e.exp(x * column) * one, "all": e.less(x + row * one, column)})
    check_equal(fused(graph), fed(graph), 1e-5)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("rows", [1, 2, 7, 64, 200])
def test_rows_are_added_up_to_the_last(n: int, rows: int, cpu: str) -> None:
    x, row = value(rows, n), value(n, label="row")
    y = e.where(e.less(0.0 * x, x), x - row, 0.0)
    graph = Graph({"y": y, "sum": sum_(y, 0), "square": sum_(e.square(x) * row, 0, keep=True), "largest": max_(y * 2.0, 0), "all": sum_(y * row),
                   "least": min_(y - 1.0)})
    check_equal(fused(graph), fed(graph), 2e-5)


def test_sums_of_many_rows_lose_few_digits() -> None:
    x = value(1 << 15, 24)
    feed = {"x": np.random.default_rng(0).uniform(0.5, 1.5, (1 << 15, 24)).astype(np.float32)}
    run, _ = bound(fused(Graph({"columns": sum_(x * 1.5, 0), "all": sum_(e.square(x) * 1.5)})), feed)
    run.run()
    wide = feed["x"].astype(np.float64)
    np.testing.assert_allclose(run.outputs["columns"], 1.5 * wide.sum(0), rtol=2e-6)
    np.testing.assert_allclose(run.outputs["all"], 1.5 * np.square(wide).sum(), rtol=2e-6)


def test_images_are_summed_over_all_but_their_channels(cpu: str) -> None:
    for channels in (1, 3, 6, 16, 20, 64, 70):
        x, g, mean_ = value(2, 3, 5, channels), value(2, 3, 5, channels, label="g"), value(channels, label="mean")
        normal = (x - mean_) * 0.5
        graph = Graph({"a": sum_(g * normal, (0, 1, 2)), "b": sum_(g * 1.5, (0, 1, 2)), "y": e.relu(normal)})
        check_equal(fused(graph), fed(graph), 1e-5)


ROWS = [2, 10, 16, 40, 100, 200, 1000]  # some stay in registers, some are walked several times


@pytest.mark.parametrize("n", ROWS)
def test_softmax_and_its_loss_are_one_nest(n: int, cpu: str) -> None:
    x, labels, w = value(7, n), value(7, label="labels", dtype=DType.int64), value(7, 1, label="w")
    with_gradient = gradients(sum_(softmax_cross_entropy(x * 2.0, labels)), [x])[0]
    assert with_gradient is not None
    graph = Graph({"loss": softmax_cross_entropy(x * 2.0, labels), "g": with_gradient * w, "bias": sum_(with_gradient * w, 0),
                   "p": softmax(x), "l": log_softmax(x)})
    feed = fed(graph) | {"labels": np.random.default_rng(0).integers(0, n, 7)}
    after = fused(graph)
    assert not any(isinstance(c.op, e.Elementwise) and c.outputs[0].rank == 2 for c in after.calls)
    check_plan(after, BACKEND.plan(after, "t"))
    check_equal(after, feed, 2e-5)


@pytest.mark.parametrize("n", ROWS)
def test_layer_norm_forth_and_back(n: int, cpu: str) -> None:
    x, gamma, beta, g = value(3, 4, n), value(n, label="gamma"), value(n, label="beta"), value(3, 4, n, label="g")
    y = e.relu(LayerNorm(1e-3).one(x, gamma, beta))
    found = gradients(sum_(y * g), [x, gamma, beta])
    graph = Graph({"y": y, **{f"g{i}": v for i, v in enumerate(found) if v is not None}})
    after = fused(graph)
    check_plan(after, BACKEND.plan(after, "t"))
    check_equal(after, fed(graph), 5e-5)


@pytest.mark.parametrize("n", ROWS)
def test_rows_give_their_largest_their_least_and_their_sum(n: int, cpu: str) -> None:
    x, s = value(5, n), value(5, 1, label="s")
    shifted = e.exp(x - max_(x, 1, keep=True)) * s
    graph = Graph({"least": min_(x * s, 1), "kept": max_(shifted, 1, keep=True), "y": shifted / sum_(shifted, 1, keep=True), "ok": all_finite(shifted),
                   "columns": max_(shifted, 0), "total": sum_(shifted)})
    check_equal(fused(graph), fed(graph), 2e-5)


@pytest.mark.parametrize("n", ROWS)
def test_the_first_largest_of_a_row_is_numpys(n: int, cpu: str) -> None:
    x = value(40, n)
    graph = fused(Graph({"at": argmax(x), "y": e.exp(x)}))
    assert len(nests(graph)) == 1
    r = np.random.default_rng(n)
    feed = {"x": r.integers(-2, 3, (40, n)).astype(np.float32)}
    feed["x"][:4, n // 2] = np.nan, np.inf, -np.nan, -np.inf
    feed["x"][4] = -np.inf
    feed["x"][5] = -0.0
    feed["x"][5, -1] = 0.0
    run, _ = bound(graph, feed)
    run.run()
    np.testing.assert_array_equal(run.outputs["at"], np.argmax(feed["x"], 1))


@pytest.mark.compiled
def test_proofs_of_a_loss_and_of_new_weights_are_one() -> None:
    """A number may be proven finite in any nest."""
    graph = fused(mlp(optimizer=adam))
    assert not any(c.op.name == "AllFinite" for c in graph.calls)
    assert sum("allfinite" in str(n) for n in nests(graph)) == 1
    feed = fed(graph)
    feed["image"][0, 0] = np.inf
    run, _ = bound(graph, feed)
    run.run()
    assert not run.outputs["finite"]


def test_a_row_with_nan_has_no_largest(cpu: str) -> None:
    x = value(3, 40)
    run, _ = bound(fused(Graph({"m": max_(x * 1.0 + 0.0, 1), "n": min_(e.square(x), 1)})), {"x": np.ones((3, 40), np.float32)})
    run.inputs["x"][1, 39] = np.nan
    run.run()
    assert np.isnan(run.outputs["m"]).tolist() == [False, True, False]
    assert np.isnan(run.outputs["n"]).tolist() == [False, True, False]


def test_a_square_of_sums_over_either_axis_is_repeated_along_the_right_one() -> None:
    x = value(6, 6)
    y = e.exp(x)
    graph = Graph({"rows": y / sum_(y, 1, keep=True), "columns": y / sum_(y, 1), "both": y * sum_(y, 0) + sum_(y, 0, keep=True)})
    check_equal(fused(graph), fed(graph), 1e-5)


def test_one_row_alone(cpu: str) -> None:
    x = value(1, 20)
    graph = Graph({"y": softmax(x * 2.0), "s": sum_(e.exp(x), 0), "m": max_(e.exp(x), 1)})
    check_equal(fused(graph), fed(graph), 1e-5)


def test_axes_are_repeated_anywhere(cpu: str) -> None:
    x = value(2, 3, 4, 5)
    parts = [value(*s, label=f"p{i}") for i, s in enumerate([(2, 1, 1, 5), (1, 3, 1, 1), (4, 1), (2, 3, 1, 5), (5,), (1, 1, 4, 5)])]
    y = x
    for p in parts:
        y = e.tanh(y) * p
    graph = Graph({"y": y})
    assert len(nests(fused(graph))) == 1
    check_equal(fused(graph), fed(graph), 1e-5)


def test_operands_may_lie_otherwise_and_results_in_containers(cpu: str) -> None:
    x, y = value(6, 5), value(5, 6, label="y")
    made = e.relu(x * 2.0 + 1.0) * transpose(y, (1, 0))
    joined = concat((made, e.exp(x) * 0.5), 1)
    graph = Graph({"joined": joined, "part": e.sigmoid(joined) + 1.0})
    check_equal(fused(graph), fed(graph), 1e-5)


@pytest.mark.parametrize("dtype", [DType.bool, DType.uint8, DType.uint16, DType.int32, DType.uint32, DType.int64, DType.float32, DType.float64])
def test_choices_and_casts_of_every_type(dtype: DType, cpu: str) -> None:
    a, b, c = value(37, label="a", dtype=dtype), value(37, label="b", dtype=dtype), value(37, label="c", dtype=DType.bool)
    outputs = {"chosen": e.where(c, a, b), "number": e.cast(a, DType.float32) * 2.0 + e.cast(b, DType.float32)}
    if dtype != DType.bool:
        outputs |= {"larger": e.maximum(a, b) + e.minimum(a, b), "less": e.both(e.less(a, b), c), "equal": e.Or().one(e.equal(a, b), c)}
    graph = Graph(outputs)
    r = np.random.default_rng(0)
    feed: dict[str, Array] = {k: r.integers(0, 100, 37).astype(dtype.numpy) for k in "ab"} | {"c": r.integers(0, 2, 37).astype(bool)}
    check_equal(fused(graph), feed, 1e-6)


def test_nan_and_infinities_go_where_numpy_sends_them(cpu: str) -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e37, 88.0, 89.0, -104.0], np.float32)
    a, b = np.repeat(special, len(special)), np.tile(special, len(special))
    x, y = value(len(a), label="x"), value(len(a), label="y")
    graph = Graph({"max": e.maximum(x, y) * 1.5, "min": e.minimum(x, y) * 1.5, "relu": e.relu(x) + 0.5, "clip": e.minimum(e.maximum(x, 0.5), 2.0),
                   "less": e.both(e.less(x, y), e.less_equal(y, x)), "sign": e.sign(x) * 2.0, "step": e.step(x) * 2.0,
                   "where": e.where(e.equal(x, y), x, y), "exp": e.exp(x) * 0.5, "log": e.log(x) + 1.0, "tanh": e.tanh(x) + y,
                   "sigmoid": e.sigmoid(x) * y, "root": e.sqrt(x) / y, "abs": e.absolute(x) - y})
    feed = {"x": a, "y": b}
    run, _ = bound(fused(graph), feed)
    run.run()
    for name, wanted in interpret(graph, feed).items():
        np.testing.assert_allclose(run.outputs[name], wanted, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("n", [1, 16, 33, 1000])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_single_number_that_is_not_finite_is_found(n: int, bad: float, cpu: str) -> None:
    x, w = value(max(n, 2)), value(max(n, 2), label="w")
    graph = fused(Graph({"ok": all_finite(x * 0.5 + w, e.exp(w) - x)}))
    run, _ = bound(graph, {"x": np.ones(max(n, 2), np.float32), "w": np.ones(max(n, 2), np.float32)})
    run.run()
    assert run.outputs["ok"]
    for i in {0, n // 2, n - 1}:
        run.inputs["x"][i] = bad
        run.run()
        assert not run.outputs["ok"], i
        run.inputs["x"][i] = 1.0


def test_a_step_that_would_ruin_the_weights_leaves_them() -> None:
    graph = fused(mlp())
    feed = fed(graph)
    run, memory = bound(graph, feed)
    run.inputs["image"][0, 0] = np.nan
    run.run()
    assert not run.outputs["finite"]
    for label in ("parameters", "mean", "square"):
        np.testing.assert_array_equal(memory.read(label), feed[label])


@pytest.mark.compiled
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_large_nests_are_shared_in_parts_that_shapes_decide(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elements, columns and rows; what is reduced over several parts is joined."""
    monkeypatch.setattr(render, "PARTS", ((1 << 12, 4), (1 << 10, 2)))
    monkeypatch.setattr(TEAM, "threads", threads)
    x, row, s = value(37, 100), value(100, label="row"), value(37, 1, label="s")
    y = e.exp(x * s) + row
    graphs_ = [Graph({"y": y, "ok": all_finite(y, row * 1.0)}), Graph({"y": y, "sum": sum_(y, 0), "square": sum_(e.square(y), 0)}),
               Graph({"p": softmax(y)}), Graph({"y": y, "all": sum_(y)}), Graph({"y": e.relu(value(1000) * 2.0 + value(1000, label="b"))})]
    parts = []
    for graph in graphs_:
        after = fused(graph)
        check_equal(after, fed(graph), 1e-5)
        names: dict[int, list[str]] = {}
        module(BACKEND.plan(after, "t"), chosen(), names)  # type: ignore[arg-type]  # there is one
        parts.append(max(map(len, names.values())))
    assert parts == [4] * 5
    run, _ = bound(fused(graphs_[0]), fed(graphs_[0]))
    for i in (0, 17, 36):
        run.inputs["x"][i, 99] = np.nan
        run.run()
        assert not run.outputs["ok"], i
        run.inputs["x"][i, 99] = 0
    run.run()
    assert run.outputs["ok"]


def test_threads_decide_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "PARTS", ((1, 4),))
    x = value(64, 7, 96)
    graph = Graph({"a": sum_(e.exp(x), (0, 1)), "b": softmax(x * 2.0), "c": e.tanh(x) * 0.5, "d": sum_(e.square(x))})
    found = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(TEAM, "threads", threads)
        run, _ = bound(fused(graph), fed(graph))
        run.run()
        found.append({name: y.tobytes() for name, y in run.outputs.items()})
    assert found[0] == found[1] == found[2]


@pytest.mark.compiled
def test_strict_nests_round_as_numpy_does_and_leave_sums_alone() -> None:
    x, w = value(33, 40), value(33, 40, label="w")
    y = e.relu(x * w + x * 0.1 - w)
    graph = Graph({"y": y, "divided": y / (e.sqrt(e.square(w)) + 1e-7), "sum": sum_(y * w, 0)})
    feed = fed(graph)
    after = run_pipeline(graph, BACKEND.claims, BACKEND.loops(strict=True))
    assert nests(after) and not any("sum" in str(n) for n in nests(after))
    strict, plain = (bound(g, feed)[0] for g in (after, run_pipeline(graph, BACKEND.claims)))
    for run in (strict, plain):
        run.run()
    for name, wanted in plain.outputs.items():
        assert strict.outputs[name].tobytes() == wanted.tobytes(), name


def test_a_run_is_equal_to_the_last_bit_every_time() -> None:
    def once() -> bytes:
        graph = fused(mlp())
        run, memory = bound(graph, fed(graph) | {"square": np.abs(fed(graph)["square"])})
        for _ in range(3):
            run.run()
        return b"".join(memory.read(label).tobytes() for label in ("parameters", "mean", "square"))

    assert once() == once()


# What is fused, and how it reads

@pytest.mark.compiled
def test_an_update_looks_first_and_writes_its_states_in_place() -> None:
    program = BACKEND.plan(fused(mlp(optimizer=adam)), "t")
    look, write = [s for s in program.steps if isinstance(s.call.op, Fused) and s.call.origin.stage == "update"]
    assert look.guard is None and write.guard is not None
    assert {a.arena for a in write.outputs} == {"state:parameters", "state:mean", "state:square"}
    assert not [s for s in program.steps if s.call.op.name == "Copy"]


@pytest.mark.compiled
def test_a_bias_and_its_activation_are_written_over_the_product() -> None:
    program = BACKEND.plan(fused(mlp()), "t")
    (step,) = [s for s in program.steps if str(s.call.op) == "Fused[relu(a + b)]" and s.call.origin.layer == "dense_1"]
    assert step.outputs[0].offset == step.inputs[0].offset


@pytest.mark.compiled
def test_the_source_says_what_a_nest_computes() -> None:
    text = BACKEND.source(BACKEND.plan(fused(mlp()), "t"))
    assert "compute_dense_1_y = kernel(1, [dense_1_mat_mul, dense_1_bias], [dense_1_y], [])  # Fused[relu(a + b)]\n" in text
    assert "    compute_dense_1_y()\n" in text


@pytest.mark.compiled
def test_a_plan_says_how_each_nest_is_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "PARTS", ((1 << 20, 2),))
    x, n = value(512, 600), value(label="n")
    graph = fused(Graph({"a": e.relu(x * n) * 2.0, "b": sum_(e.square(value(40, 6, label="z")), 0), "c": softmax(value(4, 5, label="y")),
                         "d": e.sqrt(n + 1.0)}))
    program = BACKEND.plan(graph, "t")
    assert sorted(BACKEND.choice(s) for s in program.steps if isinstance(s.call.op, Fused)) == ["columns", "elements in 2 parts", "numbers", "rows"]


@pytest.mark.compiled
def test_an_expression_names_what_is_read_twice() -> None:
    x, y = value(4), value(4, label="y")
    t = x * 2.0 + y
    (nest,) = nests(fused(Graph({"y": e.exp(t) - t})))
    assert str(nest) == "Fused[t1 = (a * 2.0) + b; exp(t1) - t1]"


@pytest.mark.compiled
def test_a_fused_call_counts_the_work_of_its_body() -> None:
    x = value(4, 8)
    (nest,) = nests(fused(Graph({"y": e.exp(x) * 2.0 + 1.0})))
    assert nest.flops() == 3 * 32


def test_functions_of_double_precision_stay_numpys() -> None:
    x = value(4, dtype=DType.float64)
    assert not any("exp" in str(n) for n in nests(fused(Graph({"y": e.exp(x + 1.0) * 2.0 + 1.0}))))


@pytest.mark.compiled
def test_what_lies_between_two_calls_parts_them() -> None:
    """The second sum needs a product of the first: they can be in no nest together."""
    x, w = value(4, 4), value(4, 4, label="w")
    a = e.exp(x) + 1.0
    graph = fused(Graph({"y": e.tanh(a @ w) + a * 2.0}))
    assert [c.op.name for c in graph.calls if not isinstance(c.op, Input)] == ["Fused", "MatMul", "Fused"]
    check_equal(graph, fed(graph), 1e-5)


@pytest.mark.compiled
def test_what_only_a_later_nest_reads_is_computed_there() -> None:
    x, w = value(4, 4), value(4, 4, label="w")
    y = e.relu(x + 1.0)
    graph = fused(Graph({"g": e.where(e.less(y, 0.5), y @ w, 0.0) * 2.0}))
    assert [str(n) for n in nests(graph)] == ["Fused[relu(a + 1.0)]", "Fused[where(a < 0.5, b, 0.0) * 2.0]"]


@pytest.mark.compiled
def test_single_numbers_are_nests_of_their_own_or_part_of_those_that_read_them() -> None:
    step, rate, x = value(label="step", dtype=DType.int64), value(label="rate", dtype=DType.float64), value(8)
    t = e.cast(step, DType.float64) + 1.0
    graph = fused(Graph({"t": t, "y": e.relu(x * e.cast(rate / t * 2.0, DType.float32))}))
    assert [str(n) for n in nests(graph)] == ["Fused[cast(a, to=float64) + 1.0]", "Fused[relu(c * cast((a / b) * 2.0, to=float32))]"]
    check_equal(graph, {"step": np.array(3), "rate": np.array(0.5), "x": np.arange(8, dtype=np.float32)}, 1e-6)


def test_a_lone_sum_stays_a_statement() -> None:
    assert nests(fused(Graph({"y": value(4) + value(4, label="y")}))) == []


def test_a_state_is_written_after_all_who_read_its_old_content() -> None:
    """The new content waits for a reader that waits for what stands beside it."""
    w, x = abstract(TensorType((24,)), "w", "state"), value(24)
    c = e.exp(x) * 1.5
    read = w * sum_(c) + 1.0
    graph = Graph({"out": read, "update:w": c * x})
    after = fused(graph)
    check_plan(after, BACKEND.plan(after, "t"))
    check_equal(after, fed(graph), 1e-5)
    part = Unpack(2, (3, 4))(w)
    graph = Graph({"out": e.relu(part * 2.0) * sum_(c), "update:w": c * x})
    check_equal(fused(graph), fed(graph), 1e-5)


def test_parts_of_a_state_are_read_where_they_lie() -> None:
    w = abstract(TensorType((24,)), "w", "state")
    graph = Graph({"y": e.exp(Unpack(5, (3, 4))(w)) * 2.0})
    check_equal(fused(graph), {"w": np.arange(24, dtype=np.float32) / 24}, 1e-5)


@pytest.mark.compiled
def test_constants_of_one_element_stand_in_the_body_and_others_are_read() -> None:
    table = constant(np.arange(5.0), DType.float32)
    graph = fused(Graph({"y": (value(3, 5) + table) * 0.25}))
    (nest,) = nests(graph)
    assert str(nest) == "Fused[(a + b) * 0.25]"
    check_equal(graph, fed(graph), 1e-6)


@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (5, 24), (2, 3, 16), (33, 128), (7, 5, 8), (1,), (40,), (1, 3), (9, 5), (50, 13), (3, 100), (2, 3, 7)])
def test_draws_are_those_of_the_reference_to_the_bit(shape: tuple[int, ...], cpu: str) -> None:
    seed, step = abstract(TensorType((), DType.uint32), "seed"), abstract(TensorType((), DType.int64), "step")
    graph = Graph({"bits": RandomBits(shape, 0xDEADBEEF).one(seed, step)})
    program = BACKEND.plan(graph, "t")
    assert program.steps[0].workspace == ()
    check_equal(graph, {"seed": np.array(0xFFFFFFF0, np.uint32), "step": np.array((5 << 32) + 7, np.int64)}, 0)


# Without it

def test_an_unknown_processor_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", "avx3")
    with pytest.raises(SpecError, match="NNSPEC_CPU is 'avx3'"):
        chosen()


def test_nothing_is_fused_where_the_processor_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", "none")
    assert BACKEND.loops() is None


def test_without_llvmlite_programs_are_those_of_numpy_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llvmlite.py").write_text("raise ImportError('not here')\n")
    code = ("from tests.program_graphs import mlp\nfrom nnspec.passes import run_pipeline\nfrom nnspec_numpy import BACKEND\n"
            "print(BACKEND.source(BACKEND.plan(run_pipeline(mlp(), BACKEND.claims, BACKEND.loops()), 't')))")
    path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "backends")))
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, cwd=ROOT, capture_output=True, text=True, check=True)
    monkeypatch.setenv("NNSPEC_CPU", "none")
    plain = BACKEND.source(BACKEND.plan(run_pipeline(mlp(), BACKEND.claims), "t"))
    assert done.stdout == plain + "\n"


def test_a_system_that_forbids_compiled_code_computes_with_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import llvmlite.binding as llvm

    def forbidden() -> None:
        raise OSError("cannot allocate executable memory")

    monkeypatch.setattr(llvm, "check_jit_execution", forbidden)
    monkeypatch.setenv("NNSPEC_CACHE", str(tmp_path))
    monkeypatch.setattr(cpus, "_chosen", cpus._chosen.__wrapped__)
    assert chosen() is None and BACKEND.loops() is None


def test_an_old_llvm_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import llvmlite.binding as llvm

    monkeypatch.setattr(llvm, "llvm_version_info", (15, 0, 7))
    monkeypatch.setenv("NNSPEC_CACHE", str(tmp_path))
    monkeypatch.setattr(cpus, "_chosen", cpus._chosen.__wrapped__)
    assert chosen() is None and BACKEND.loops() is None


@pytest.mark.compiled
def test_nests_compile_for_other_machines() -> None:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    program = BACKEND.plan(fused(mlp()), "t")
    for triple, cpu in (("aarch64-unknown-linux-gnu", Cpu("generic", "", 16, False)), ("x86_64-pc-windows-msvc", Cpu("x86-64-v3", "", 32, True)),
                        ("arm64-apple-darwin", Cpu("apple-m1", "", 16, False))):
        machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu.name, features=cpu.features, opt=2)
        text = module(program, cpu, {})
        parsed = llvm.parse_assembly(f'target datalayout = "{machine.target_data}"\ntarget triple = "{triple}"\n\n{text}')
        assert b"nest_0" in machine.emit_object(parsed), triple


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 40), st.integers(1, 40))
def test_rows_that_are_joined_end_where_they_should(rows: int, n: int) -> None:
    graph = Graph({"y": e.relu(value(rows, n) + value(n, label="b")) * 2.0})
    check_equal(fused(graph), fed(graph), 1e-6)


def test_a_quotient_of_lanes_that_are_not_there_is_in_no_sum(cpu: str) -> None:
    """Of two columns, in vectors of four and more numbers: 0 / 0 beside them."""
    x, g = value(1, 2, 2), value(1, 2, 2, label="g")
    p = e.exp(x - max_(x, (0, 1), keep=True))
    check_equal(fused(Graph({"all": sum_(p / sum_(p, (0, 1), keep=True) * g)})), fed(Graph({"all": sum_(x * g)})), 1e-6)
