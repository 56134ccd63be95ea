"""The order of calls: valid, writes last, and never with a higher peak than program order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from nnspec.autodiff import gradients
from nnspec.ir.graph import Call, Graph, Value, abstract, constant, origin
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import DType, TensorType, count
from nnspec.ops.elementwise import exp, tanh, where
from nnspec.ops.movement import Pack, Unpack
from nnspec.ops.reduce import all_finite, sum_
from nnspec.passes import run_pipeline
from nnspec.passes.schedule import Lives, peak, schedule
from tests.graphs import graphs


def alive_at_most(graph: Graph, order: tuple[Call, ...]) -> int:
    """The peak by definition: at each call, what is made by then and needed then or later; a view is its base."""
    base: dict[Value, Value] = {}
    for c in graph.calls:
        for v in c.outputs:
            base[v] = base[c.inputs[0]] if c.op.view else v
    place = {c: i for i, c in enumerate(order)}
    written = {v.call for name, v in graph.outputs.items() if name.startswith("update:")}
    until: dict[Value, int] = {v: place[v.call] for v in base.values()}
    for c in graph.calls:
        if not c.op.view:
            for v in c.inputs:
                until[base[v]] = max(until[base[v]], place[c])
    for v in graph.outputs.values():
        until[base[v]] = len(order)
    total = [0] * len(order)
    for v, end in until.items():
        if not isinstance(v.op, Input | Constant) and v.call not in written:
            for i in range(place[v.call], min(end + 1, len(order))):
                total[i] += count(v.shape) * v.dtype.size
    return max(total)


def step() -> Graph:
    """A training step of two layers over one flat state."""
    flat = abstract(TensorType((20,), DType.float64), "weights", "state")
    x = abstract(TensorType((3, 4), DType.float64), "x")
    rate = abstract(TensorType((), DType.float64), "rate", "scalar")
    w, b = Unpack(0, (4, 4)).one(flat), Unpack(16, (4,)).one(flat)
    with origin("dense_1"):
        y = tanh(x @ w + b)
    loss = sum_(y * y)
    gw, gb = gradients(loss, [w, b])
    assert gw is not None and gb is not None
    with origin("", "update"):
        new = flat - rate * Pack((0, 16), 20).one(gw, gb)
        kept = where(all_finite(new), new, flat)
    late = exp(flat)  # reads the old content after its new content was made
    return Graph({"update:weights": kept, "loss": loss, "late": late})


def reads(c: Call, label: str) -> bool:
    """Directly, or through a view."""
    values = list(c.inputs)
    while values:
        v = values.pop()
        if isinstance(v.op, Input) and v.op.label == label:
            return True
        if v.op.view:
            values.extend(v.inputs)
    return False


@settings(max_examples=60)
@given(graphs())
def test_every_call_comes_once_and_after_what_it_reads(graph: Graph) -> None:
    order = schedule(graph)
    assert sorted(order, key=lambda c: c.serial) == list(graph.calls)
    place = {c: i for i, c in enumerate(order)}
    assert all(place[v.call] < place[c] for c in order for v in c.inputs)


@settings(max_examples=60)
@given(graphs())
def test_the_peak_is_what_its_definition_says(graph: Graph) -> None:
    for order in (graph.calls, schedule(graph)):
        assert peak(Lives(graph), order) == alive_at_most(graph, order)


@settings(max_examples=60)
@given(graphs())
def test_the_peak_is_never_above_that_of_program_order(graph: Graph) -> None:
    optimised = run_pipeline(graph)
    assert alive_at_most(optimised, schedule(optimised)) <= alive_at_most(optimised, optimised.calls)


def test_equal_graphs_get_equal_orders() -> None:
    assert [c.op for c in schedule(step())] == [c.op for c in schedule(step())]


def test_state_is_written_after_all_its_readers() -> None:
    graph = step()
    order = schedule(graph)
    write = graph.outputs["update:weights"].call
    readers = [i for i, c in enumerate(order) if reads(c, "weights") and not c.op.view and c is not write]
    assert len(readers) >= 3
    assert order.index(write) == len(order) - 1 > max(readers)


def test_a_state_read_by_what_needs_its_new_content_is_refused() -> None:
    graph = step()
    new = graph.outputs["update:weights"]
    mixed = new + graph.inputs["weights"]
    with pytest.raises(ValueError, match="needs its new content"):
        schedule(Graph({"update:weights": new, "mixed": mixed}))


def test_another_reader_of_new_content_comes_after_the_write() -> None:
    graph = step()
    new = graph.outputs["update:weights"]
    after = exp(new)
    order = schedule(Graph({**graph.outputs, "after": after}))
    assert order.index(new.call) < order.index(after.call)


def test_what_is_read_late_from_inputs_is_computed_late() -> None:
    x = abstract(TensorType((100,), DType.float64), "x")
    early = exp(x)  # only read at the end, and x stays anyway
    y = x
    for _ in range(4):
        y = tanh(y + 1.0)
    graph = Graph({"y": sum_(y) + sum_(early)})
    order = schedule(graph)
    assert order.index(early.call) > order.index(y.call)
    assert alive_at_most(graph, order) < alive_at_most(graph, graph.calls)


def test_what_frees_more_than_it_makes_runs_at_once() -> None:
    x = abstract(TensorType((100,), DType.float64), "x")
    wide = [exp(x * float(i)) for i in range(5)]
    graph = Graph({"y": sum_(wide[0]) + sum_(wide[1]) + sum_(wide[2]) + sum_(wide[3]) + sum_(wide[4])})
    assert alive_at_most(graph, schedule(graph)) < 3 * 808 < alive_at_most(graph, graph.calls)


def test_a_graph_of_nothing_but_an_input_is_ordered() -> None:
    x = abstract(TensorType((2,)), "x")
    assert [c.op.name for c in schedule(Graph({"y": x}))] == ["Input"]
    assert [c.op.name for c in schedule(Graph({"y": constant(1.0, DType.float32)}))] == ["Constant"]
