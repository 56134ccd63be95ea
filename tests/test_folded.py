"""An answer is a program of its own: batch normalisation is part of the kernels before it, and what weights alone decide is made when they change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.codegen.check_plan import check_plan
from nnspec.codegen.standing import MADE, folded
from nnspec.compiler import loads, pass_graph
from nnspec.ir.graph import Graph, abstract, constant
from nnspec.ir.interpret import interpret
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import exp
from nnspec.ops.movement import Unpack, transpose
from nnspec.runtime.following import Following
from nnspec.runtime.session import Model, compile
from tests.moved import moved

WORDS = {
    "convolution": "[{conv2d: {filters: 6, kernel: 3, bias: false}}, batch_norm, relu]",
    "convolution with a bias, nothing behind": "[{conv2d: {filters: 6, kernel: 3, padding: same}}, batch_norm]",
    "padded and strided": "[{conv2d: {filters: 20, kernel: 3, padding: same, stride: 2}}, {batch_norm: {scale: false}}, silu]",
    "many channels, so by tiles": "[{conv2d: {filters: 64, kernel: 3, padding: same}}, relu, {conv2d: {filters: 64, kernel: 3, padding: same}}, batch_norm, relu]",
    "groups": "[{conv2d: {filters: 6, kernel: 3, groups: 3}}, batch_norm, relu]",
    "depthwise": "[{depthwise_conv2d: {kernel: 3}}, batch_norm, relu6, {conv2d: {filters: 9, kernel: 1, bias: false}}, {batch_norm: {center: false}}]",
    "transposed": "[{conv_transpose2d: {filters: 5, kernel: 4, stride: 2}}, batch_norm, relu]",
    "dense": "[flatten, {dense: 7}, batch_norm, tanh, {dense: {units: 3, bias: false}}, batch_norm]",
    "dense over places": "[{dense: 7}, batch_norm, relu]",
    "twice": "[{conv2d: {filters: 6, kernel: 3}}, batch_norm, batch_norm]",
    "a factor": "[{conv2d: {filters: 6, kernel: 3, bias: false}}, {math: 0.25 * x}, batch_norm]",
    "before a convolution": "[batch_norm, relu, {conv2d: {filters: 6, kernel: 3}}]",
    "a branch that reads the convolution too": "[{conv2d: {filters: 6, kernel: 3, name: c}}, {batch_norm: {name: n}}, {add: {from: [c, n]}}]",
}  # fmt: skip
LEFT = {"before a convolution", "a branch that reads the convolution too"}


def text(layers: str, more: str = "") -> str:
    return f"nnspec: 1\ninputs: {{image: {{shape: [8, 8, 3]}}}}\nlayers: {layers}\n{more}"


def image(rows: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal((rows, 8, 8, 3)).astype(np.float32)


def ready(model: Model) -> Any:
    return next(reversed(model.programs._kept.values()))


def wanted(model: Model, x: Any) -> Any:
    """The same answer of the graph as it was before anything was folded, in double precision."""
    states = {name: model.memory.read(name).astype(np.float64) for name in model.memory.types}
    graph = compile(model.spec.with_(precision="float64"), seed=0).programs.graph("predict", {"image": TensorType(x.shape, DType.float64)}, False, 0)
    return interpret(graph, {**states, "image": x.astype(np.float64)})["output:output"]


def ops(graph: Graph) -> set[str]:
    return {c.op.name for c in graph.calls}


@pytest.mark.parametrize("backend", ["numpy", "cupy"])
@pytest.mark.parametrize("what", WORDS)
def test_an_answer_is_what_the_network_says(what: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backend == "cupy" and os.environ.get("NNSPEC_GPU") != "test":
        monkeypatch.setenv("NNSPEC_GPU", "emulated")
    model = moved(compile(loads(text(WORDS[what])), backend=backend))
    x = image(3)
    y = model.predict({"image": x})
    right = wanted(model, x)
    assert np.abs(y - right).max() <= 2e-6 * np.abs(right).max() + 1e-6
    run = ready(model)
    assert isinstance(run.run, Following)
    left = ops(run.main)
    assert not left & {"Sqrt", "Divide"}, left
    if what not in LEFT:
        assert "Multiply" not in left or "silu" in WORDS[what]
    passed = pass_graph(run.main, model.backend)
    check_plan(passed, model.backend.plan(passed, "again"))


def test_what_is_made_of_weights_is_made_again_when_they_change() -> None:
    more = "loss: mse\noptimizer: {sgd: {learning_rate: 0.05}}\n"
    model = moved(compile(loads(text("[{conv2d: {filters: 4, kernel: 3}}, batch_norm, relu, flatten, {dense: 2}]", more))))
    x, y = image(5), np.random.default_rng(2).standard_normal((5, 2)).astype(np.float32)
    for _ in range(3):
        answer, right = model.predict({"image": x}), wanted(model, x)
        np.testing.assert_allclose(answer, right, rtol=1e-5, atol=1e-6)
        model.train_batch({"image": x, "target": y})
        assert np.abs(model.predict({"image": x}) - answer).max() > 1e-4
    path = next(p for p in model.parameters if p.endswith("gamma"))
    before = model.predict({"image": x})
    model.parameters[path].assign(2 * model.read(path))
    assert np.abs(model.predict({"image": x}) - before).max() > 1e-3
    np.testing.assert_allclose(model.predict({"image": x}), wanted(model, x), rtol=1e-5, atol=1e-6)


def test_programs_for_other_numbers_of_rows_share_what_is_made() -> None:
    model = moved(compile(loads(text(WORDS["many channels, so by tiles"]))))
    made = []
    for rows in (4, 1, 4, 1, 4):
        model.predict({"image": image(rows)})
        made.append(model.memory.written)
    assert len(set(made)) == 1, "made once for all"
    assert len(model.memory.follows) == 2, "a kernel and a bias"
    assert not any(name.startswith(MADE) for name in model.memory.types), "no part of what is saved"


def test_an_answer_that_is_to_be_strict_is_computed_as_the_network_says() -> None:
    model = moved(compile(loads(text(WORDS["convolution"], "math: strict\n"))))
    model.predict({"image": image(2)})
    run = ready(model)
    assert not isinstance(run.run, Following) and run.main is run.graph


def test_what_is_rounded_to_16_bits_is_rounded_where_it_is_read() -> None:
    model = moved(compile(loads(text(WORDS["convolution"], "precision: mixed_bfloat16\n"))))
    x = image(2)
    y = model.predict({"image": x})
    graph = ready(model).graph
    states = {name: model.memory.read(name) for name in model.memory.types}
    np.testing.assert_allclose(y, interpret(graph, {**states, "image": x})["output:output"], rtol=1e-6, atol=1e-6)
    assert "Rounded" in ops(ready(model).main)


def test_only_what_follows_from_states_and_is_no_larger_is_kept() -> None:
    state = abstract(TensorType((1 << 15,), DType.float32), "$parameters", "state")
    x = abstract(TensorType((2, 64), DType.float32), "x")
    w = Unpack(0, (64, 64)).one(state)
    wide = exp(Unpack(4096, (64, 1)).one(state)) * constant(np.ones((1, 4096)), DType.float32)  # 1 MB of 256 bytes
    parted = folded(Graph({"turned": x @ transpose(w, (1, 0)), "grown": x @ wide, "made": x @ exp(w), "plain": exp(w)}))
    assert parted.first is not None and len(parted.made) == 2
    assert {tuple(t.shape) for t in parted.made.values()} == {(64, 64), (64, 1)}
    feed = {"x": np.ones((2, 64), np.float32), "$parameters": np.linspace(-1, 1, 1 << 15, dtype=np.float32)}
    made = {name.removeprefix("update:"): a for name, a in interpret(parted.first, feed).items()}
    for name, y in interpret(parted.rest, {**feed, **made}).items():
        assert np.isfinite(y).all(), name


def test_a_model_with_what_it_made_is_saved_and_read_again(tmp_path: Path) -> None:
    model = moved(compile(loads(text(WORDS["convolution"]))))
    x = image(2)
    y = model.predict({"image": x})
    model.save(tmp_path / "m")
    assert np.array_equal(nnspec.load_model(tmp_path / "m").predict({"image": x}), y)
