"""Axis lengths in normal form, types, graphs, their text, and what verify refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnspec.ir.graph import Call, Graph, Value, abstract, call, calls_of, constant, now, origin, recall
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Constant, Input, ShapeError
from nnspec.ir.text import show
from nnspec.ir.types import BATCH, Dim, DType, Symbol, TensorType, bind, count, known, size, symbol
from nnspec.ir.types import show as show_shape
from nnspec.ir.verify import verify
from nnspec.ops.elementwise import Add, Exp, exp
from nnspec.ops.pool import MaxPool

NAMES = ("time", "height", "width")
LENGTHS = st.fixed_dictionaries({n: st.integers(0, 50) for n in NAMES})


def lengths() -> st.SearchStrategy[Any]:
    """Formulas over axes, as nested tuples of an operator and operands."""
    leaves = st.one_of(st.integers(-9, 9), st.sampled_from(NAMES))
    return st.recursive(leaves, lambda inner: st.one_of(
        st.tuples(st.sampled_from("+-*"), inner, inner),
        st.tuples(st.just("//"), inner, st.integers(1, 7)),
    ), max_leaves=8)


def value(formula: Any, names: dict[str, Any]) -> Any:
    match formula:
        case str():
            return names[formula]
        case int():
            return formula
        case ("+", a, b):
            return value(a, names) + value(b, names)
        case ("-", a, b):
            return value(a, names) - value(b, names)
        case ("*", a, b):
            return value(a, names) * value(b, names)
        case (_, a, b):
            return value(a, names) // b
    raise AssertionError(formula)


AXES: dict[str, Dim] = {n: symbol(n) for n in NAMES}


@given(lengths(), LENGTHS)
def test_a_length_bound_is_the_length_computed(formula: Any, sizes: dict[str, int]) -> None:
    assert bind(value(formula, AXES), sizes) == value(formula, dict(sizes))


@given(lengths(), st.integers(0, 50), st.integers(0, 50))
def test_binding_in_two_steps_is_binding_at_once(formula: Any, a: int, b: int) -> None:
    dim = value(formula, AXES)
    assert bind(bind(dim, {"time": a}), {"height": b, "width": 3}) == bind(dim, {"time": a, "height": b, "width": 3})


@given(lengths(), lengths(), lengths())
def test_lengths_that_arithmetic_makes_equal_are_equal(a: Any, b: Any, c: Any) -> None:
    x, y, z = (value(f, AXES) for f in (a, b, c))
    assert x + y == y + x
    assert x * y == y * x
    assert (x + y) + z == x + (y + z)
    assert x * (y + z) == x * y + x * z
    assert x - x == 0
    assert hash(x * y) == hash(y * x)


@given(lengths(), st.integers(-5, 5), st.integers(1, 6))
def test_whole_multiples_come_out_of_a_floor_division(formula: Any, a: int, n: int) -> None:
    x = value(formula, AXES)
    assert (x + n * a) // n == x // n + a
    assert (x * n) // n == x


def test_lengths_read_as_people_write_them() -> None:
    time = symbol("time")
    assert str((time - 3) // 2 + 1) == "(time + 1)//2 - 1"
    assert str(2 * BATCH * time) == "2*batch*time"
    assert show_shape((BATCH, 28, time // 2)) == "(batch, 28, time//2)"
    assert show_shape((4,)) == "(4,)"


def test_a_length_is_not_divided_by_nothing_or_by_the_unknown() -> None:
    time = symbol("time")
    assert isinstance(time, Symbol)
    with pytest.raises(ZeroDivisionError):
        _ = time // 0
    with pytest.raises(ValueError, match="unknown length batch"):
        _ = time // BATCH
    assert time // time == 1


def test_shapes_are_counted_bound_and_refused_while_symbolic() -> None:
    assert count((BATCH, 3, 4)) == 12
    assert size((BATCH, 3)) == BATCH * 3
    assert known((2, 3)) == (2, 3)
    with pytest.raises(ValueError, match=r"\(batch, 3\)"):
        known((BATCH, 3))


def test_a_type_reads_as_dtype_and_axes() -> None:
    assert str(TensorType((BATCH, 8))) == "float32[batch x 8]"
    assert str(TensorType((), DType.bool)) == "bool[]"
    assert TensorType((2, 3)) == TensorType((2, 3), DType.float32)
    assert TensorType((2, 3)) != TensorType((2, 3), DType.float64)


def small() -> Graph:
    x = abstract(TensorType((2, 3)), "x")
    w = abstract(TensorType((3,)), "w", "state")
    with origin("dense_1"):
        y = exp(x + w) * 2.0
    return Graph({"y": y, "update:w": w})


def test_a_graph_reads_line_by_line() -> None:
    assert show(small()) == (
        "%x : float32[2 x 3] (data)\n"
        "%w : float32[3] (state)\n"
        "%2 = Add(%x, %w) : float32[2 x 3]   # dense_1 forward\n"
        "%3 = Exp(%2) : float32[2 x 3]   # dense_1 forward\n"
        "%5 = Multiply(%3, 2.0) : float32[2 x 3]   # dense_1 forward\n"
        "return y = %5\n"
        "return update:w = %w\n"
    )


def test_an_op_of_several_outputs_names_them_all() -> None:
    op = MaxPool((2,), (2,), ((0, 0),))
    y, _ = op(abstract(TensorType((1, 4, 1)), "x"))
    assert "%1, %2 = MaxPool(size=(2,), stride=(2,), padding=((0, 0),))(%x) : float32[1 x 2 x 1], int32[1 x 2 x 1]" \
        in show(Graph({"y": y}))


def test_outputs_count_as_uses() -> None:
    g = small()
    assert g.uses[g.inputs["w"]] == 2
    assert g.uses[g.outputs["y"]] == 1


def test_calls_come_in_the_order_of_their_making() -> None:
    x = abstract(TensorType((2,)), "x")
    first, second = exp(x), exp(x)
    ordered = calls_of([(second + first), second])
    assert [c.serial for c in ordered] == sorted(c.serial for c in ordered)
    assert ordered.index(first.call) < ordered.index(second.call)


def test_calls_since_a_moment_leave_out_what_came_before() -> None:
    x = exp(abstract(TensorType((2,)), "x"))
    start = now()
    y = exp(x)
    assert calls_of([y], start) == [y.call]
    assert calls_of([x], start) == []


def test_a_call_made_again_keeps_its_origin() -> None:
    x, y = abstract(TensorType((2,)), "x"), abstract(TensorType((2,)), "y")
    with origin("dense_1", "update"):
        c = exp(x).call
    assert recall(c, (x,)) is c
    assert recall(c, (y,)).origin == ("dense_1", "update")


def test_a_constant_is_equal_by_its_bytes() -> None:
    assert constant(1.0, DType.float32).op == constant(1.0, DType.float32).op
    assert constant(1.0, DType.float32).op != constant(1.0, DType.float64).op
    assert constant(0.0, DType.float32).op != constant(-0.0, DType.float32).op
    assert constant([np.nan], DType.float32).op == constant([np.nan], DType.float32).op
    assert len({constant(i % 2, DType.int32).op for i in range(9)}) == 2


def test_ops_are_equal_by_kind_and_attributes() -> None:
    assert Add() == Add() and Add() != Exp()
    assert MaxPool((2,), (2,), "same") != MaxPool((2,), (1,), "same")


def test_numbers_take_the_dtype_of_the_value_beside_them() -> None:
    x = abstract(TensorType((2,), DType.float64), "x")
    assert (1 - x).dtype == (x / 3).dtype == DType.float64


def test_shapes_that_do_not_fit_are_told_with_both_sides() -> None:
    with pytest.raises(ShapeError) as caught:
        abstract(TensorType((2, 3))) + abstract(TensorType((2, 4)))
    assert caught.value.found == "(2, 3)  and  (2, 4)"


def test_the_interpreter_asks_for_every_input() -> None:
    g = small()
    with pytest.raises(KeyError, match="w"):
        interpret(g, {"x": np.zeros((2, 3), np.float32)})
    y = interpret(g, {"x": np.zeros((2, 3), np.float32), "w": np.ones(3, np.float32)})["y"]
    np.testing.assert_allclose(y, 2 * np.e, rtol=1e-6)


def test_the_interpreter_shows_every_call_as_it_runs() -> None:
    seen: list[str] = []
    g = small()
    interpret(g, {"x": np.zeros((2, 3), np.float32), "w": np.ones(3, np.float32)}, lambda c, _: seen.append(c.op.name))
    assert seen == ["Add", "Exp", "Constant", "Multiply"]


def test_verify_accepts_what_calling_ops_makes() -> None:
    verify(small())


def test_verify_refuses_a_stale_type() -> None:
    x = abstract(TensorType((2, 3)), "x")
    stale = Call(Exp(), (x,), (TensorType((2, 4)),), x.call.origin)
    with pytest.raises(AssertionError, match="stale type"):
        verify(Graph({"y": stale.outputs[0]}))


def test_verify_refuses_two_inputs_of_one_name() -> None:
    x, y = abstract(TensorType((2,)), "x"), abstract(TensorType((2,)), "x")
    with pytest.raises(AssertionError, match="two inputs are called x"):
        verify(Graph({"y": x + y}))


def test_verify_refuses_a_value_its_call_does_not_own() -> None:
    x = abstract(TensorType((2,)), "x")
    stranger = Value(x.call, 0, x.type)
    with pytest.raises(AssertionError, match="does not own"):
        verify(Graph({"y": exp(stranger)}))


def test_verify_refuses_a_call_before_what_it_reads() -> None:
    x = abstract(TensorType((2,)), "x")
    y = exp(x)
    x.call.serial = now()
    with pytest.raises(AssertionError, match="before it is made"):
        verify(Graph({"y": y}))


def test_inputs_keep_the_order_in_which_they_were_asked_for() -> None:
    made = [call(Input(n, TensorType((2,))), ()).outputs[0] for n in "cab"]
    assert list(Graph({"y": (made[2] + made[0]) + made[1]}).inputs) == ["c", "a", "b"]


def test_a_constant_holds_its_array() -> None:
    op = constant([1, 2], DType.int32).op
    assert isinstance(op, Constant)
    assert op.reference().tolist() == [1, 2] and op.flops() == 0
