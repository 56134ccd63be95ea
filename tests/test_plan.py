"""The memory plan: nothing alive is overwritten, views cost nothing, and what can be made in its place is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnspec.codegen.allocate import FreeList
from nnspec.codegen.check_plan import check_plan
from nnspec.codegen.views import Layout, plain, reshaped, see
from nnspec.ir.graph import Graph, Value, abstract, constant
from nnspec.ir.op import Op
from nnspec.ir.program import Array, Copy, Program, Step
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import Exp, Tanh, exp, less, tanh, where
from nnspec.ops.movement import BroadcastTo, Concat, Pack, Slice, Transpose, Unpack, concat, reshape, swap, transpose
from nnspec.ops.reduce import all_finite, sum_
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from tests.program_graphs import adam, graphs, lenet, mlp, sgd

TRAINING = {"mlp_sgd": lambda: mlp(optimizer=sgd), "mlp_adam": lambda: mlp(optimizer=adam), "lenet_adam": lenet}


def planned(graph: Graph) -> Program:
    program = BACKEND.plan(graph, "test")
    check_plan(graph, program)
    return program


def value(*shape: int, label: str = "x", role: str = "data", dtype: DType = DType.float32) -> Value:
    return abstract(TensorType(shape, dtype), label, role)


def copies(program: Program) -> list[Step]:
    return [s for s in program.steps if isinstance(s.call.op, Copy)]


def made(program: Program, op: type[Op]) -> list[Array]:
    return [a for s in program.steps if isinstance(s.call.op, op) for a in s.outputs]


@given(graphs())
def test_every_read_sees_the_value_written_for_it_in_random_graphs(graph: Graph) -> None:
    planned(graph)


@given(graphs(DType.float32))
def test_every_read_sees_the_value_written_for_it_after_the_passes(graph: Graph) -> None:
    planned(run_pipeline(graph))


@pytest.mark.parametrize("name", TRAINING)
def test_every_read_sees_the_value_written_for_it_in_training_steps(name: str) -> None:
    planned(run_pipeline(TRAINING[name]()))


def test_the_checker_finds_a_value_overwritten_too_early() -> None:
    graph = run_pipeline(mlp())
    program = planned(graph)
    arrays = [a for a in program.arrays if a.arena == "work"]
    moved = {a: replace(a, offset=0) for a in arrays}

    def broken(side: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(moved.get(a, a) for a in side)

    steps = tuple(replace(s, inputs=broken(s.inputs), outputs=broken(s.outputs), workspace=broken(s.workspace))
                  for s in program.steps)
    with pytest.raises(AssertionError, match="does not hold its value|overlap"):
        check_plan(graph, replace(program, steps=steps))


def test_the_checker_finds_a_state_written_without_its_condition() -> None:
    graph = run_pipeline(mlp())
    program = planned(graph)
    with pytest.raises(AssertionError, match="condition"):
        check_plan(graph, replace(program, steps=tuple(replace(s, guard=None) for s in program.steps)))


def test_the_checker_finds_steps_in_the_wrong_order() -> None:
    graph = run_pipeline(mlp())
    program = planned(graph)
    with pytest.raises(AssertionError):
        check_plan(graph, replace(program, steps=program.steps[::-1]))


def test_views_take_no_step_and_no_memory() -> None:
    x = value(2, 3, 4)
    y = exp(x)
    seen = Slice((1, 0), (3, 6), (1, 2))(transpose(reshape(y, (6, 4)), (1, 0)))
    program = planned(Graph({"out": seen}))
    assert [s.call.op.name for s in program.steps] == ["Exp"]
    assert program.outputs["out"].strides == (1, 8)


def test_a_reshape_of_what_lies_otherwise_is_one_copy() -> None:
    y = exp(value(3, 4))
    flat = reshape(swap(y), (12,))
    program = planned(Graph({"a": tanh(flat), "b": exp(flat)}))
    assert [s.call.op.name for s in program.steps].count("Copy") == 1


def test_an_elementwise_chain_stays_in_one_place() -> None:
    y = value(64, 64) + 1.0
    for _ in range(10):
        y = tanh(exp(y))
    program = planned(Graph({"out": y + 2.0}))
    assert program.arenas["work"] == 64 * 64 * 4


def test_a_value_still_needed_is_not_written_over() -> None:
    y = exp(value(8, 8))
    z = tanh(y)
    program = planned(Graph({"out": z * y}))
    assert program.arenas["work"] == 2 * 8 * 8 * 4


def test_a_sum_with_its_own_transpose_is_not_made_in_place() -> None:
    y = exp(value(8, 8))
    program = planned(Graph({"out": tanh(y + swap(y))}))
    assert program.arenas["work"] == 2 * 8 * 8 * 4


def test_equal_tables_of_statements_are_kept_once() -> None:
    x, y = value(64, 4), value(64, 4, label="y")
    program = planned(Graph({"a": sum_(x, 0), "b": sum_(y, 0)}))
    assert program.arenas["constants"] == 64 * 4


def test_members_of_a_pack_are_made_in_their_slice() -> None:
    x = value(2, 3)
    a, b = exp(x), tanh(x)
    graph = Graph({"out": Pack((1, 8), 16)(a, reshape(b, (6,)))})
    program = planned(graph)
    assert copies(program) == []
    places = [(y.arena, y.offset) for y in (*made(program, Exp), *made(program, Tanh))]
    assert places == [("segments", 4), ("segments", 32)]


def test_a_member_packed_twice_and_an_input_are_copied() -> None:
    x = value(4)
    y = exp(x)
    program = planned(Graph({"out": Pack((0, 4, 8), 12)(y, y, x)}))
    assert len(copies(program)) == 2


def test_producers_write_into_a_join_along_any_axis() -> None:
    x = value(3, 4)
    for joined in (concat((exp(x), tanh(x)), 0), concat((exp(x), tanh(x), x @ swap(x)), 1)):
        assert copies(planned(Graph({"out": joined}))) == []


def test_a_join_inside_a_join_is_made_in_its_place() -> None:
    x = value(3, 4)
    inner = Concat(1)(exp(x), tanh(x))
    program = planned(Graph({"out": Pack((5,), 40)(inner)}))
    assert copies(program) == []


def test_an_output_that_is_a_state_is_copied_before_the_update() -> None:
    w = value(4, label="w", role="state")
    program = planned(Graph({"old": w, "update:w": w + 1.0}))
    assert program.outputs["old"].arena == "outputs"


def test_a_state_may_be_written_and_never_read() -> None:
    program = planned(Graph({"update:last": exp(value(4))}))
    assert program.state["last"].arena == "state:last"


def test_states_may_exchange_their_content() -> None:
    a, b = value(4, label="a", role="state"), value(4, label="b", role="state")
    planned(Graph({"update:a": b, "update:b": a}))


def test_an_update_whose_condition_is_known_is_made_in_the_state_itself() -> None:
    w, g = value(64, label="w", role="state"), value(64, label="g")
    ok = all_finite(g)
    program = planned(Graph({"finite": ok, "update:w": where(ok, w - g * 0.1, w)}))
    assert copies(program) == []
    assert [s.call.op.name for s in program.steps if s.guarded] == ["Multiply", "Subtract"]
    assert program.steps[-1].outputs[0] is program.state["w"]


def test_a_state_read_later_is_not_written_in_place() -> None:
    w, m = value(64, label="w", role="state"), value(64, label="m", role="state")
    ok = all_finite(m)
    program = planned(Graph({"update:w": where(ok, w + m, w), "update:m": where(ok, m * 0.5 + w, m)}))
    assert len(copies(program)) == 1


def test_everything_new_is_finite_before_any_state_is_written() -> None:
    program = planned(run_pipeline(mlp()))
    guarded = [s.guarded for s in program.steps]
    assert guarded == sorted(guarded) and guarded.count(True) == 3


def test_a_constant_condition_needs_no_guard() -> None:
    w = value(4, label="w", role="state")
    program = planned(Graph({"update:w": where(constant(True, DType.bool), w * 2.0, w)}))
    assert not any(s.guarded for s in program.steps)


def test_a_large_constant_is_placed_and_a_small_one_written_out() -> None:
    x = value(3)
    program = planned(Graph({"out": x * 2.0 + constant(np.arange(3), DType.float32)}))
    literals = [a for s in program.steps for a in s.inputs if a.literal]
    assert len(literals) == 1 and program.arenas["constants"] == 64


def test_memory_grows_with_what_lives_at_once_and_not_with_depth() -> None:
    def deep(n: int) -> int:
        x = value(32, 32)
        w = value(32, 32, label="w")
        for _ in range(n):
            x = tanh(x @ w)
        return planned(Graph({"out": x @ w})).arenas["work"]

    assert deep(3) == deep(30)


def test_the_same_graph_gives_the_same_plan() -> None:
    assert str(BACKEND.plan(run_pipeline(mlp()), "t")) == str(BACKEND.plan(run_pipeline(mlp()), "t"))


def test_a_program_of_thousands_of_steps_is_planned() -> None:
    x, y = value(4), value(4, label="y")
    for i in range(5000):
        x = where(less(x, y), x, tanh(y)) if i % 9 == 0 else x + y
    program = BACKEND.plan(Graph({"out": x}), "deep")
    assert len(program.steps) > 5000 and program.arenas["work"] <= 4 * 64


def test_an_unknown_op_is_named_when_it_is_planned() -> None:
    class Mystery(Op, abstract=True):
        def infer(self, *x: TensorType) -> TensorType:
            return x[0]

    with pytest.raises(NotImplementedError, match="Mystery"):
        BACKEND.plan(Graph({"out": Mystery()(value(2))}), "test")


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60))
def test_blocks_of_a_free_list_never_overlap(moves: list[tuple[bool, int]]) -> None:
    free, taken = FreeList(), []
    for take, n in moves:
        if take or not taken:
            start = free.take(n * 64)
            assert all(start + n * 64 <= s or s + m <= start for s, m in taken)
            assert start + n * 64 <= free.top
            taken.append((start, n * 64))
        else:
            free.give(*taken.pop(n % len(taken)))
    for block in taken:
        free.give(*block)
    assert free.take(free.top) == 0 or free.top == 0


SHAPES = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)


@given(st.data())
def test_a_view_lies_as_numpy_says(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    x, layout = np.arange(int(np.prod(shape))).reshape(shape), plain(shape)
    for _ in range(data.draw(st.integers(1, 3))):
        op: Op
        match data.draw(st.integers(0, 3)):
            case 0:
                op = Transpose(tuple(data.draw(st.permutations(range(x.ndim)))))
            case 1:
                op = BroadcastTo((2, *(3 if n == 1 else n for n in x.shape)))
            case 2:
                start = tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)
                op = Slice(start, x.shape, tuple(data.draw(st.integers(1, 2)) for _ in start))
            case _:
                if x.ndim != 1:
                    continue
                op = Unpack(0, (1, x.size))
        seen = see(op, layout)
        x = op.reference(x)
        assert seen is not None and seen.shape == x.shape
        layout = seen
        memory = np.arange(100)[layout.offset :]
        found = np.lib.stride_tricks.as_strided(memory, layout.shape, [8 * s for s in layout.strides])
        np.testing.assert_array_equal(found, x)


@given(st.data())
def test_a_reshape_is_a_view_exactly_where_numpy_makes_one(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple))
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    x = np.arange(int(np.prod(shape))).reshape(shape).transpose(order)
    n = x.size
    first = data.draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
    wanted = data.draw(st.sampled_from([(n,), (first, n // first), (first, 1, n // first)]))
    layout = reshaped(Layout(0, x.shape, tuple(s // 8 for s in x.strides)), wanted)
    assert (layout is not None) == np.shares_memory(x, x.reshape(wanted))
    if layout is not None:
        found = np.lib.stride_tricks.as_strided(x, wanted, [8 * s for s in layout.strides])
        np.testing.assert_array_equal(found, x.reshape(wanted))
