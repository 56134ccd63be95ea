"""The NumPy backend asks for no memory while it runs, and its source is one that people can read; what it shares with others is in test_backends."""

from __future__ import annotations

import traceback
import tracemalloc
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnspec.ops  # noqa: F401  # registers the ops
from nnspec.codegen.backend import Executable, Memory
from nnspec.codegen.emit import literal
from nnspec.codegen.names import Names, identifier
from nnspec.ir.graph import Graph, abstract, origin
from nnspec.ir.interpret import interpret
from nnspec.ir.op import REGISTRY, Array, Op, Sample
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import cast, exp
from nnspec.ops.movement import concat, swap
from nnspec.ops.reduce import argmax, sum_
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from nnspec_numpy.functions import all_finite
from tests.program_graphs import adam, fed, lenet, mlp, sgd

OPS = {name: cls for name, cls in sorted(REGISTRY.items()) if cls.__module__.startswith("nnspec.ops.")}
CASES = [pytest.param(cls, s, id=f"{name}-{i}") for name, cls in OPS.items() for i, s in enumerate(cls.samples)]
CLOSE = {DType.float64: 1e-12, DType.float32: 1e-5}
STEPS = {"mlp_sgd": lambda: mlp(optimizer=sgd), "mlp_adam": lambda: mlp(optimizer=adam), "lenet_adam": lambda: lenet()}


def bound(graph: Graph, feed: Mapping[str, Array], backend: Any = BACKEND) -> tuple[Executable, Memory]:
    """The graph's program over fresh memory of a backend, with its inputs and states written."""
    program = backend.plan(graph, "test")
    memory = backend.memory({label: a.type for label, a in program.state.items()})
    run = backend.bind(program, memory)
    for label, x in feed.items():
        if label in run.inputs:
            run.inputs[label][...] = x
        else:
            memory.write(label, x)
    return run, memory


def check_equal(graph: Graph, feed: Mapping[str, Array], tolerance: float, backend: Any = BACKEND) -> None:
    """The program's outputs and states against the interpreter's."""
    wanted = interpret(graph, feed)
    run, memory = bound(graph, feed, backend)
    run.run()
    for name, y in wanted.items():
        found = memory.read(name.removeprefix("update:")) if name.startswith("update:") else run.outputs[name]
        assert (found.shape, found.dtype) == (y.shape, y.dtype), name
        if y.dtype.kind != "f":
            np.testing.assert_array_equal(found, y, name)
            continue
        largest = np.abs(y[np.isfinite(y)]).max(initial=1.0)
        np.testing.assert_allclose(found, y, rtol=tolerance, atol=tolerance * largest, err_msg=name)


def arrays_of(cls: type[Op], sample: Sample, dtype: DType) -> dict[str, Array]:
    found = {}
    for i, x in enumerate(sample.inputs):
        r = np.random.default_rng(crc32(f"{cls.__name__}{i}".encode()))
        a = r.uniform(sample.least, sample.most, x) if isinstance(x, tuple) else np.asarray(x)
        found[f"x{i}"] = a.astype(dtype.numpy) if a.dtype.kind == "f" else a
    return found


@pytest.mark.parametrize("name", STEPS)
def test_the_third_step_allocates_next_to_nothing(name: str) -> None:
    large = {"mlp_sgd": lambda: mlp(batch=64, sizes=(784, 256, 128, 10), optimizer=sgd),
             "mlp_adam": lambda: mlp(batch=64, sizes=(784, 256, 128, 10), optimizer=adam),
             "lenet_adam": lambda: lenet(batch=32, side=28)}
    graph = run_pipeline(large[name](), BACKEND.claims)
    run, _ = bound(graph, fed(graph))
    run.run()
    run.run()
    tracemalloc.start()
    try:
        run.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 64 * 1024, peak


@given(st.lists(st.floats(width=32), max_size=8), st.lists(st.floats(-10, 10, width=32), max_size=3))
def test_all_finite_is_true_where_numpy_says_so(a: list[float], b: list[float]) -> None:
    out = np.zeros((), bool)
    x, y = np.array(a, np.float32), np.array(b, np.float32)
    with np.errstate(all="ignore"):
        all_finite(x, y, out=out)
    assert out == (np.isfinite(x).all() and np.isfinite(y).all())


def test_large_finite_numbers_are_finite() -> None:
    out = np.zeros((), bool)
    with np.errstate(all="ignore"):
        all_finite(np.full(3, 3e38, np.float32), out=out)
    assert out


@given(st.floats(width=32))
def test_a_literal_rounds_to_the_constant(x: float) -> None:
    data = np.array(x, np.float32)
    assert np.float32(float(literal(data))).tobytes() == data.tobytes() or np.isnan(x)


def test_literals_are_short() -> None:
    numbers = ((0.1, "f4"), (0.1, "f8"), (3, "i8"), (True, "?"), (-np.inf, "f4"))
    assert [literal(np.array(x, d)) for x, d in numbers] == ["0.1", "0.1", "3", "True", "-inf"]


# The source

def source_of(graph: Graph, title: str = "training step of net") -> str:
    return BACKEND.source(BACKEND.plan(graph, title))


def test_the_source_speaks_the_words_of_the_spec() -> None:
    text = source_of(run_pipeline(mlp()))
    assert "    # dense_1\n    " in text and "[image, dense_1_kernel]" in text or "matmul(image, dense_1_kernel, out=" in text
    assert "    # dense_2, backward\n" in text
    assert "out=dense_1_kernel_grad)" in text or "[dense_1_kernel_grad]" in text
    assert "    if finite:\n        copyto(parameters," in text
    assert text.startswith('"""Training step of net.\n')


def test_the_same_graph_gives_the_same_source() -> None:
    assert source_of(run_pipeline(lenet())) == source_of(run_pipeline(lenet()))


def test_every_name_is_given_once() -> None:
    arrays = [a.name for a in BACKEND.plan(run_pipeline(lenet()), "t").arrays if not a.literal]
    assert len(arrays) == len(set(arrays))


@given(st.text(max_size=12), st.text(max_size=12))
def test_no_name_or_title_can_leave_its_place(layer: str, title: str) -> None:
    x = abstract(TensorType((2,)), layer)
    with origin(layer, "forward"):
        y = exp(x) + 1.0
    run, _ = bound(Graph({layer: y}), {layer: np.zeros(2, np.float32)})
    run.run()
    np.testing.assert_array_equal(run.outputs[layer], [2.0, 2.0])
    compile(source_of(Graph({layer: y}), title), "test", "exec")


@given(st.text())
def test_an_identifier_is_one(text: str) -> None:
    assert identifier(text).isidentifier() and identifier(text).isascii()


def test_names_avoid_each_other_and_what_python_and_numpy_own() -> None:
    names = Names(["add"])
    wanted = ["add", "a/b", "a_b", "class", "1", "a_b_2", "a_b"]
    assert [names.take(n) for n in wanted] == ["add_2", "a_b", "a_b_2", "_class", "_1", "a_b_2_2", "a_b_3"]


def test_every_function_that_statements_write_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", "none")
    x = abstract(TensorType((2, 3)), "x")
    text = source_of(Graph({"out": sum_(cast(argmax(x @ swap(x)), DType.float32)) + concat((x, x), 0)}))
    assert "from numpy import add, argmax, copyto, matmul\n" in text


def test_a_failing_line_is_seen_in_the_traceback() -> None:
    x = abstract(TensorType((2,)), "x")
    run, _ = bound(Graph({"out": exp(x)}), {"x": np.zeros(2)})
    step = run._step  # type: ignore[attr-defined]  # the emitted function
    step.__globals__["x"] = "not an array"
    with pytest.raises(TypeError) as error:
        run.run()
    shown = "".join(traceback.format_exception(error.value))
    assert 'File "<nnspec test>"' in shown and "exp(x, out=out)" in shown


def test_a_claim_needs_a_kernel() -> None:
    from nnspec.ops.softmax import Softmax

    assert not BACKEND.claims(Softmax())

