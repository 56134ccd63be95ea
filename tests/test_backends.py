"""What every backend does: programs give what the interpreter gives, memory is theirs, and a step that would ruin the weights leaves them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from nnspec.autodiff import tensor_type
from nnspec.ir.graph import Graph, abstract, constant
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Op, Sample
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import Conv
from nnspec.ops.elementwise import exp, where
from nnspec.ops.index import gather
from nnspec.ops.matmul import matmul
from nnspec.ops.movement import reshape, transpose
from nnspec.passes import run_pipeline
from nnspec_cupy import CupyBackend
from nnspec_cupy.emulated import EmulatedDevice
from nnspec_numpy import BACKEND as NUMPY
from nnspec_numpy.statements import STATEMENTS
from tests.program_graphs import fed, graphs, mlp
from tests.test_numpy_backend import CASES, CLOSE, STEPS, arrays_of, bound, check_equal

BACKENDS = [pytest.param(NUMPY, id="numpy"), pytest.param(CupyBackend(EmulatedDevice()), id="emulated"),
            *([pytest.param(CupyBackend(), id="gpu")] if os.environ.get("NNSPEC_GPU") == "test" else [])]  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [DType.float64, DType.float32])
@pytest.mark.parametrize(("cls", "sample"), CASES)
def test_an_op_gives_what_its_reference_gives(backend: Any, cls: type[Op], sample: Sample, dtype: DType) -> None:
    feed = arrays_of(cls, sample, dtype)
    made = cls(**sample.attributes)(*(abstract(tensor_type(a), label) for label, a in feed.items()))
    outputs = made if isinstance(made, tuple) else (made,)
    graph = Graph({f"out_{i}": v for i, v in enumerate(outputs)})
    check_equal(run_pipeline(graph, backend.claims), feed, CLOSE[dtype], backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [DType.float64, DType.float32])
@pytest.mark.parametrize(("cls", "sample"), [p for p in CASES if p.values[0] in STATEMENTS])
def test_an_op_reads_operands_that_lie_anyhow(backend: Any, cls: type[Op], sample: Sample, dtype: DType) -> None:
    feed = arrays_of(cls, sample, dtype)
    turned = {label: np.ascontiguousarray(a.T) for label, a in feed.items()}
    inputs = [abstract(tensor_type(a), label) for label, a in turned.items()]
    made = cls(**sample.attributes)(*(transpose(v, tuple(reversed(range(v.rank)))) for v in inputs))
    check_equal(Graph({"out": made}), turned, CLOSE[dtype], backend)


@pytest.mark.parametrize("backend", BACKENDS)
@given(graphs())
def test_a_program_gives_what_the_interpreter_gives(backend: Any, graph: Graph) -> None:
    check_equal(graph, fed(graph), 1e-12, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@given(graphs(DType.float32))
def test_a_program_after_the_passes_gives_what_the_interpreter_gives(backend: Any, graph: Graph) -> None:
    check_equal(run_pipeline(graph), fed(graph, 1), 2e-5, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_constant_may_be_seen_in_another_shape_only(backend: Any) -> None:
    table = constant(np.arange(6.0).reshape(3, 2), DType.float64)
    check_equal(Graph({"flat": reshape(table, (6,)), "part": transpose(table, (1, 0)) + 1.0}), {}, 0, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", STEPS)
def test_a_training_step_gives_what_the_interpreter_gives(backend: Any, name: str) -> None:
    graph = run_pipeline(STEPS[name](), backend.claims)
    feed = fed(graph)
    feed.update({"square": np.abs(feed["square"])} if "square" in feed else {})
    check_equal(graph, feed, 1e-5, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_that_would_ruin_the_weights_leaves_them(backend: Any) -> None:
    graph = run_pipeline(mlp())
    feed = fed(graph)
    run, memory = bound(graph, feed, backend)
    run.inputs["image"][0, 0] = np.nan
    run.run()
    assert not run.outputs["finite"]
    for label in ("parameters", "mean", "square"):
        np.testing.assert_array_equal(memory.read(label), feed[label])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("fine", [True, False])
def test_what_a_library_multiplies_is_no_state_unless_its_condition_holds(backend: Any, fine: bool) -> None:
    x, w, ok = abstract(TensorType((4, 6)), "x"), abstract(TensorType((6, 5)), "w"), abstract(TensorType((), DType.bool), "ok")
    old, filters, image = abstract(TensorType((4, 5)), "old", "state"), abstract(TensorType((3, 2, 4)), "filters", "state"), abstract(TensorType((2, 7, 2)), "image")
    made = Conv((1,), "same", (1,)).one(image, abstract(TensorType((3, 2, 4)), "k"))
    seen = abstract(made.type, "seen", "state")
    graph = Graph({"ok": ok, "update:old": where(ok, matmul(x, w), old), "update:seen": where(ok, made, seen), "update:filters": where(ok, filters + 1.0, filters)})
    feed = fed(Graph({**graph.outputs}))
    feed["ok"] = np.array(fine)
    check_equal(graph, feed, 1e-5, backend)
    run, memory = bound(graph, feed, backend)
    run.run()
    for label in ("old", "seen", "filters"):
        assert np.array_equal(memory.read(label), feed[label]) is not fine


@pytest.mark.parametrize("backend", BACKENDS)
def test_programs_share_state_and_nothing_else(backend: Any) -> None:
    w = abstract(TensorType((3,)), "w", "state")
    add_one, double = Graph({"update:w": w + 1.0}), Graph({"now": w * 2.0})
    memory = backend.memory({"w": w.type})
    first, second = (backend.bind(backend.plan(g, "t"), memory) for g in (add_one, double))
    first.run()
    second.run()
    np.testing.assert_array_equal(second.outputs["now"], [2.0, 2.0, 2.0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_copies_what_it_is_asked_for(backend: Any) -> None:
    memory = backend.memory({"w": TensorType((2,))})
    memory.read("w")[:] = 5
    np.testing.assert_array_equal(memory.read("w"), [0, 0])
    with pytest.raises(ValueError, match="float32"):
        memory.write("w", np.zeros(2))


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_of_another_shape_is_refused(backend: Any) -> None:
    w = abstract(TensorType((3,)), "w", "state")
    with pytest.raises(ValueError, match="expects"):
        backend.bind(backend.plan(Graph({"out": exp(w)}), "t"), backend.memory({"w": TensorType((4,))}))


@pytest.mark.parametrize("backend", BACKENDS)
def test_running_twice_gives_the_same_outputs(backend: Any) -> None:
    graph = Graph({"out": exp(abstract(TensorType((3,)), "x"))})
    run, _ = bound(graph, {"x": np.ones(3, np.float32)}, backend)
    run.run()
    first = run.outputs["out"].copy()
    run.run()
    np.testing.assert_array_equal(run.outputs["out"], first)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gaps_of_a_segment_stay_zero(backend: Any) -> None:
    graph = run_pipeline(mlp())
    run, _ = bound(graph, fed(graph), backend)
    pack = next(a for a in run.program.arrays if a.arena == "segments" and a.base is None)
    assert pack.bytes > sum(a.bytes for a in run.program.arrays if a.base is pack)
    for _ in range(2):
        run.run()
    check_equal(graph, fed(graph), 1e-5, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [DType.uint8, DType.int32, DType.int64])
def test_numbers_of_rows_may_be_of_any_whole_type(backend: Any, dtype: DType) -> None:
    ids = abstract(TensorType((4,), dtype), "ids")
    table = abstract(TensorType((3, 2)), "table")
    feed = {"ids": np.array([2, 0, 1, 2], dtype.numpy), "table": np.arange(6, dtype=np.float32).reshape(3, 2)}
    check_equal(Graph({"out": gather(table, ids)}), feed, 0, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [DType.bool, DType.uint8, DType.int32, DType.int64, DType.float32, DType.float64])
def test_a_choice_is_exact_for_every_type_and_special_number(backend: Any, dtype: DType) -> None:
    c = abstract(TensorType((2, 4), DType.bool), "c")
    a, b = abstract(TensorType((2, 4), dtype), "a"), abstract(TensorType((4,), dtype), "b")
    floats, whole = [[np.nan, np.inf, -0.0, 1e30], [0.0, -np.inf, 3.0, -1.0]], [[0, 1, 1, 0], [7, 5, 1, 0]]
    special = np.array(floats if dtype.is_float else whole)
    feed = {"c": np.array([[True, False, True, False], [False, True, True, True]]), "a": special.astype(dtype.numpy),
            "b": special[1].astype(dtype.numpy)}
    graph = Graph({"both": where(c, a, b), "zero": where(c, a, 0), "else": where(c, 0, b), "one": where(c, 1, b),
                   "last": where(c, a, 1)})
    run, _ = bound(graph, feed, backend)
    run.run()
    for name, y in interpret(graph, feed).items():
        assert run.outputs[name].tobytes() == np.ascontiguousarray(y).tobytes(), name
