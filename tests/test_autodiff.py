"""Gradients of whole graphs: fan-out, several outputs, regions, second order, and where nothing flows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from nnspec.autodiff import Vjp, backpropagate, gradients, tensor_type
from nnspec.ir.graph import Graph, Value, abstract, calls_of, constant, origin
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Op
from nnspec.ir.types import DType, TensorType
from nnspec.ir.verify import verify
from nnspec.ops.elementwise import Exp, cast, exp, greater, tanh
from nnspec.ops.index import gather
from nnspec.ops.normalization import BatchNorm
from nnspec.ops.pool import MaxPool
from nnspec.ops.reduce import argmax, sum_
from nnspec.ops.softmax import softmax_cross_entropy
from nnspec.passes.expand import expand
from tests.differences import check_gradient, check_second, draws, run
from tests.graphs import feed, graphs
from tests.regions import Scaled


def new(label: str, *shape: int) -> Value:
    return abstract(TensorType(shape, DType.float64), label)


@settings(max_examples=25)
@given(graphs(6))
def test_gradients_of_random_graphs_point_where_the_loss_falls(graph: Graph) -> None:
    """Along a random direction; elements are compared op by op elsewhere."""
    verify(graph)
    inputs = feed(graph)
    labels = [name.removeprefix("gradient of ") for name in graph.outputs if name.startswith("gradient of ")]
    at = {n: inputs[n] for n in graph.inputs}
    order = list(graph.inputs.values())
    found = run([graph.outputs[f"gradient of {n}"] for n in labels], order, list(at.values()))
    direction = {n: draws(i, a.shape, -1, 1) for i, (n, a) in enumerate(at.items())}
    slope = sum(float((g * direction[n]).sum()) for n, g in zip(labels, found, strict=True))

    def loss(t: float) -> float:
        moved = [a + t * direction[n] if n in labels else a for n, a in at.items()]
        return float(run([graph.outputs["loss"]], order, moved)[0])

    h = 1e-5  # small, so that hardly any kink lies between
    numeric = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
    assert abs(slope - numeric) <= 1e-5 * max(abs(slope), 1.0)


def test_a_value_read_twice_gathers_both_gradients() -> None:
    x = new("x", 3)
    y = x * x + tanh(x)
    check_gradient(sum_(y * y), [x], [draws(0, (3,))])


def test_what_the_loss_does_not_depend_on_has_no_gradient() -> None:
    x, z = new("x", 3), new("z", 3)
    assert gradients(sum_(exp(x)), [x, z])[1] is None


def test_nothing_flows_through_comparisons_and_numbers_of_places() -> None:
    x, table = new("x", 2, 3), new("table", 3, 2)
    assert gradients(sum_(cast(greater(x, 0.5), DType.float64)), [x]) == [None]
    through_ids, to_table = gradients(sum_(gather(table, argmax(x))), [x, table])
    assert through_ids is None and to_table is not None


def test_the_gradient_of_a_value_in_itself_is_its_seed() -> None:
    x = new("x", 3)
    seed = constant([1.0, 2.0, 3.0], DType.float64)
    assert backpropagate({x: seed}, [x]) == [seed]


def test_gradients_of_values_on_the_way_are_given_too() -> None:
    x = new("x", 3)
    middle = exp(x)
    in_middle, in_x = gradients(sum_(middle * middle), [middle, x])
    assert in_middle is not None and in_x is not None
    at = np.array([0.1, -0.5, 1.0])
    a, b = run([in_middle, in_x], [x], [at])
    np.testing.assert_allclose(a, 2 * np.exp(at), rtol=1e-14)
    np.testing.assert_allclose(b, 2 * np.exp(2 * at), rtol=1e-14)


def test_seeds_of_several_outputs_add_up() -> None:
    x = new("x", 3)
    a, b = exp(x), x * 2.0
    (g,) = backpropagate({a: constant([1.0, 0, 0], DType.float64), b: constant([0, 0, 1.0], DType.float64)}, [x])
    assert g is not None
    np.testing.assert_allclose(run([g], [x], [np.zeros(3)])[0], [1, 0, 2])


def test_auxiliary_outputs_take_no_gradient() -> None:
    x = new("x", 1, 4, 1)
    y, which = MaxPool((2,), (2,), ((0, 0),))(x)
    check_gradient(sum_(y * cast(which, DType.float64)), [x], [np.array([0.3, -1.0, 2.0, 2.5]).reshape(1, 4, 1)])


def test_a_composite_without_a_gradient_of_its_own_becomes_one_region() -> None:
    x, gamma, beta = new("x", 2, 3), new("gamma", 3), new("beta", 3)
    found = gradients(sum_(tanh(Scaled(0.1).one(x, gamma, beta))), [x, gamma])
    regions = {c for c in calls_of(v for v in found if v is not None) if isinstance(c.op, Vjp)}
    assert [c.op for c in regions] == [Vjp(Scaled(0.1), (0,), (0, 1))]


def test_a_composite_that_reads_a_value_twice_gives_each_place_its_own_gradient() -> None:
    x, both = (abstract(TensorType(s, DType.float64), n) for s, n in (((3, 4), "x"), ((4,), "both")))
    loss = sum_(tanh(Scaled(0.1).one(x, both, both)))
    check_gradient(loss, [x, both], [draws(1, (3, 4)), draws(2, (4,))])
    (g,) = gradients(loss, [both])
    assert g is not None
    before = Graph({"g": g})
    after = expand(before)
    inputs = feed(before)
    np.testing.assert_allclose(interpret(after, inputs)["g"], interpret(before, inputs)["g"], rtol=1e-12)


def test_the_statistics_of_a_batch_are_differentiated_where_they_are_used() -> None:
    x, gamma, beta = new("x", 4, 3), new("gamma", 3), new("beta", 3)
    y, average, variance = BatchNorm(0.1)(x, gamma, beta)
    loss = sum_(y * y * y) + sum_(average * variance)
    arrays = [draws(0, (4, 3)), draws(1, (3,)), draws(2, (3,))]
    check_gradient(loss, [x, gamma, beta], arrays)
    check_second(loss, [x, gamma, beta], arrays)


def test_gradients_of_a_network_are_central_differences_to_second_order() -> None:
    x, w, b, v = new("x", 4, 3), new("w", 3, 5), new("b", 5), new("v", 5, 2)
    ids = abstract(TensorType((4,), DType.int64), "ids")
    loss = sum_(softmax_cross_entropy(tanh(x @ w + b) @ v, ids))
    arrays = [draws(i, tuple(t.shape)) for i, t in enumerate((x, w, b, v))]  # type: ignore[arg-type]  # bound
    arrays.append(np.array([0, 1, 1, 0]))
    check_gradient(loss, [x, w, b, v, ids], arrays)
    check_second(loss, [x, w, b, v, ids], arrays)


def test_backward_calls_belong_to_the_layer_whose_gradient_they_are() -> None:
    x = new("x", 3)
    with origin("first"):
        y = exp(x)
    with origin("second"):
        y = tanh(y)
    (g,) = gradients(y, [x])
    assert g is not None
    backward = {c.origin for c in calls_of([g]) if c.origin.stage == "backward"}
    assert backward == {("first", "backward"), ("second", "backward")}


def test_an_op_that_says_nothing_of_its_gradient_is_named() -> None:
    class Opaque(Exp, abstract=True):
        grad = Op.grad

    x = new("x", 2)
    with pytest.raises(TypeError, match="Opaque has no gradient"):
        gradients(Opaque().one(x), [x])


def test_the_type_of_an_array_is_its_shape_and_dtype() -> None:
    assert tensor_type(np.zeros((2, 3), np.int64)) == TensorType((2, 3), DType.int64)
