"""Each pass alone and all in order: golden text, equal numbers on random graphs, order kept, linear work."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.autodiff import Vjp, gradients
from nnspec.ir.graph import Graph, Value, abstract, constant, origin
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Composite, Input
from nnspec.ir.text import show
from nnspec.ir.types import DType, TensorType
from nnspec.ir.verify import verify
from nnspec.ops.elementwise import Exp, Multiply, Not, exp, less, tanh
from nnspec.ops.movement import broadcast_to
from nnspec.ops.random import RandomBits
from nnspec.ops.reduce import sum_
from nnspec.ops.softmax import Softmax, softmax
from nnspec.passes import PIPELINE, run_pipeline
from nnspec.passes.drop_dead import drop_dead
from nnspec.passes.expand import expand
from nnspec.passes.fold_constants import LIMIT, fold_constants
from nnspec.passes.merge_equal import merge_equal
from nnspec.passes.rewrite import Uses, rewrite, rewrite_calls
from nnspec.passes.simplify import simplify
from tests.graphs import feed, graphs
from tests.pass_examples import EXAMPLES

GOLDEN = Path(__file__).parent / "golden" / "passes"
PASSES = dict.fromkeys(PIPELINE)


def same_numbers(before: Graph, after: Graph) -> None:
    inputs = feed(before)
    a, b = interpret(before, inputs), interpret(after, inputs)
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
        largest = float(np.abs(a[name][np.isfinite(a[name])]).max(initial=1.0))
        np.testing.assert_allclose(b[name], a[name], rtol=1e-9, atol=1e-10 * largest)


def vector(label: str = "x", *shape: int) -> Value:
    return abstract(TensorType(shape or (4,), DType.float64), label)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_pass_rewrites_as_its_golden_text_says(name: str) -> None:
    function, examples = EXAMPLES[name]
    parts = []
    for title, build in examples.items():
        before = build()
        after = function(before)
        verify(after)
        parts.append(f"## {title}\n{show(before)}->\n{show(after)}")
    found, path = "\n".join(parts), GOLDEN / f"{name}.txt"
    if os.environ.get("NNSPEC_WRITE_GOLDEN"):
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_golden_examples_keep_their_numbers(name: str) -> None:
    function, examples = EXAMPLES[name]
    for build in examples.values():
        before = build()
        if all(v.dtype == DType.float64 for v in before.inputs.values()):
            same_numbers(before, function(before))


def test_every_pass_of_the_pipeline_has_golden_text() -> None:
    assert {p.__name__ for p in PIPELINE} == set(EXAMPLES) == {p.stem for p in GOLDEN.glob("*.txt")}


@pytest.mark.parametrize("step", PASSES, ids=lambda p: p.__name__)
@settings(max_examples=40)
@given(graph=graphs())
def test_a_pass_alone_keeps_the_numbers_of_random_graphs(step: Callable[[Graph], Graph], graph: Graph) -> None:
    after = step(graph)
    verify(after)
    same_numbers(graph, after)


@settings(max_examples=120)
@given(graphs())
def test_the_pipeline_keeps_the_numbers_of_random_graphs(graph: Graph) -> None:
    after = run_pipeline(graph, verify=True)
    same_numbers(graph, after)
    assert not any(isinstance(c.op, Composite) for c in after.calls)


@settings(max_examples=40)
@given(graphs())
def test_a_second_run_of_the_pipeline_finds_little_more(graph: Graph) -> None:
    once = run_pipeline(graph)
    assert len(run_pipeline(once).calls) <= len(once.calls)


@settings(max_examples=40)
@given(graphs())
def test_what_is_claimed_stays_whole(graph: Graph) -> None:
    def claims(op: Composite) -> bool:
        return isinstance(op, Softmax) or (isinstance(op, Vjp) and isinstance(op.of, Composite))

    after = run_pipeline(graph, claims, verify=True)
    same_numbers(graph, after)
    assert all(claims(c.op) for c in after.calls if isinstance(c.op, Composite))


@settings(max_examples=40)
@given(graphs())
def test_passes_keep_each_calls_layer_and_stage(graph: Graph) -> None:
    assert {c.origin for c in run_pipeline(graph).calls} <= {c.origin for c in graph.calls}


# --- the driver -------------------------------------------------------------------------------------------------

def layered(n: int) -> Graph:
    """Independent calls in alternation, each of its own layer, read in reverse at the end."""
    x, parts = vector(), []
    for i in range(n):
        with origin(str(i)):
            parts.append(exp(x) if i % 3 else tanh(x))
    with origin(str(n)):
        total = parts[-1]
        for p in reversed(parts[:-1]):
            total = total + p
    return Graph({"y": total, "first": parts[0]})


@given(st.sets(st.integers(0, 29)))
def test_calls_keep_their_order_whatever_is_rewritten(chosen: set[int]) -> None:
    def rule(value: Value, uses: Uses) -> Value | None:
        if isinstance(value.op, Exp) and int(value.call.origin.layer) in chosen:
            return tanh(value.inputs[0]) * tanh(value.inputs[0])
        return None

    before = layered(30)
    after = rewrite(before, rule)
    verify(after)
    layers = [int(c.origin.layer) for c in after.calls if not isinstance(c.op, Input)]
    assert layers == sorted(layers)
    assert set(layers) == set(range(31))


def test_nothing_is_made_again_where_nothing_changes() -> None:
    before = layered(9)
    assert rewrite(before, lambda value, uses: None).calls == before.calls


def test_calls_before_the_first_change_are_left_as_they_are() -> None:
    before = layered(9)
    last = before.outputs["y"]
    after = rewrite(before, lambda value, uses: tanh(value.inputs[0]) if value is last else None)
    assert after.calls[:-1] == before.calls[:-1]


def test_each_call_is_visited_once_and_those_made_by_rules_once_too() -> None:
    visits: Counter[str] = Counter()

    def rule(value: Value, uses: Uses) -> Value | None:
        visits[value.op.name] += 1
        match value:
            case Value(Exp(), (x,)):
                return tanh(tanh(x))
        return None

    rewrite(layered(300), rule)
    assert visits == {"Tanh": 100 + 2 * 200, "Exp": 200, "Add": 299}


def test_twice_the_graph_is_twice_the_work() -> None:
    def work(n: int) -> int:
        visits = 0

        def rule(value: Value, uses: Uses) -> Value | None:
            nonlocal visits
            visits += 1
            return x.inputs[0] if value.op.name == "Negative" and (x := value.inputs[0]).op.name == "Negative" else None

        y = vector()
        for _ in range(n):
            minus = -tanh(y)
            y = -minus
        rewrite(Graph({"y": y}), rule)
        return visits

    assert work(400) == 2 * work(200)


def test_a_rule_must_keep_the_type() -> None:
    with pytest.raises(AssertionError, match="was rewritten"):
        rewrite(layered(3), lambda value, uses: sum_(value) if isinstance(value.op, Exp) else None)


@settings(max_examples=60)
@given(graphs(), st.integers(0, 2))
def test_rules_are_told_how_often_each_value_is_read(graph: Graph, kind: int) -> None:
    """At the last call, what is counted is what the finished graph reads."""
    told: dict[Value, int] = {}

    def visit(c, uses):  # type: ignore[no-untyped-def]  # a Visit
        told.clear()
        told.update(uses)
        if kind and isinstance(c.op, Multiply):
            a, b = c.inputs
            return (a + (b + a),) if kind == 1 else (c.inputs[0] - b,)
        return None

    after = rewrite_calls(expand(graph), visit)
    actual = after.uses
    for c in after.calls[:-1]:
        for v in c.outputs:
            if v in told:
                assert told[v] == actual[v]


# --- what single passes must not do -----------------------------------------------------------------------------

def test_draws_of_equal_ops_are_not_merged() -> None:
    seed, step = abstract(TensorType((), DType.uint32), "seed"), abstract(TensorType((), DType.int64), "step")
    a, b = (RandomBits((2, 3), 7).one(seed, step) for _ in range(2))
    after = merge_equal(Graph({"a": a, "b": b}))
    assert after.outputs["a"] is not after.outputs["b"]


def test_inputs_of_different_labels_are_not_merged() -> None:
    after = merge_equal(Graph({"y": exp(vector("a")) + exp(vector("b"))}))
    assert len(after.calls) == 5


def test_operands_in_order_are_not_merged_with_the_other_order() -> None:
    a, b = vector("a"), vector("b")
    after = merge_equal(Graph({"y": (a - b) * (b - a)}))
    assert len(after.calls) == 5


def test_zero_times_what_may_be_infinite_stays() -> None:
    x = vector()
    after = simplify(Graph({"y": x * 0.0}))
    y = interpret(after, {"x": np.array([np.inf, np.nan, 0, 1])})["y"]
    assert np.isnan(y).tolist() == [True, True, False, False]


def test_an_infinite_or_vanishing_product_of_constants_is_not_formed() -> None:
    for c in (1e-200, 1e200):
        y = (vector() * c) * c
        assert simplify(Graph({"y": y})).calls == Graph({"y": y}).calls


def test_a_division_that_a_product_would_round_otherwise_stays() -> None:
    assert simplify(Graph({"y": vector() / 3.0})).outputs["y"].op.name == "Divide"


def test_large_results_are_not_carried_in_the_program() -> None:
    n = LIMIT // 8
    for size, folded in ((n, True), (n + 1, False)):
        y = exp(constant(np.zeros(size), DType.float64))
        assert (fold_constants(Graph({"y": y})).outputs["y"].op.name == "Constant") is folded


def test_a_broadcast_of_a_constant_is_not_folded() -> None:
    y = broadcast_to(constant(1.0, DType.float64), (3, 4))
    assert fold_constants(Graph({"y": y})).calls == Graph({"y": y}).calls


def test_bools_are_folded_too() -> None:
    y = Not().one(less(constant(1.0, DType.float64), 2.0))
    assert fold_constants(Graph({"y": y})).outputs["y"].op.reference().tolist() is False


def test_a_gradient_region_keeps_what_is_read() -> None:
    x, g = vector("x", 2, 3), vector("g", 3)
    from tests.regions import Scaled

    y = Scaled(0.1).one(x, g, g)
    dx, _, _ = gradients(sum_(tanh(y)), [x, y, g])
    assert dx is not None
    after = drop_dead(Graph({"dx": dx}))
    (region,) = [c for c in after.calls if isinstance(c.op, Vjp)]
    assert region.op.wanted == (0,)
    same_numbers(Graph({"dx": dx}), after)


def test_composites_inside_composites_are_expanded_in_their_layer() -> None:
    x = vector("x", 2, 3)
    with origin("scores"):
        y = softmax(x)
    after = expand(Graph({"y": y}))
    assert {c.origin.layer for c in after.calls if not isinstance(c.op, Input)} == {"scores"}
    assert {c.op.name for c in after.calls} == {"Input", "Max", "Subtract", "Exp", "Sum", "Divide"}
