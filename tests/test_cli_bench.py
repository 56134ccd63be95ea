"""``nnspec bench``: every step of the plan is under the clock, amounts are those of the sums by hand, and wrong calls are one clear error."""

from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli import status
from nnspec.compiler import loads
from nnspec.runtime import bench
from nnspec.runtime.session import compile
from nnspec_numpy.llvm.cpu import chosen

Result = namedtuple("Result", "code out err")
DENSE = """nnspec: 1
inputs: {x: {shape: [6]}}
layers: [dense: {units: 5, activation: relu}, dense: 3]
loss: cross_entropy
optimizer: {sgd: 0.1}
batch_size: 4
"""
TOKENS = """nnspec: 1
inputs: {ids: {shape: [time], dtype: int64}}
layers: [embedding: {vocabulary: 7, units: 4}, dense: 7]
loss: cross_entropy
optimizer: {adam: 0.1}
batch_size: 4
"""
PRODUCTS = ("Linear", "MatMul")
QUICK = ("--repeats", "1", "--seconds", "0")


@pytest.fixture
def nnspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls the command in a folder of small specs, on a machine that is measured quickly."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nnspec.runtime.machine.SIDE", 32)
    monkeypatch.setattr("nnspec.runtime.machine.ELEMENTS", 1 << 12)
    for name, text in (("dense", DENSE), ("tokens", TOKENS)):
        Path(f"{name}.yaml").write_text(text)

    def call(*args: str) -> Result:
        code = status(["bench", *args])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def test_the_amounts_of_layers_are_those_by_hand(nnspec: Any) -> None:
    done = nnspec("dense.yaml", "--json", *QUICK)
    assert done.code == 0
    found = json.loads(done.out)
    assert found["threads"] >= 1 and found["machine"]["flops_per_second"] > 0 and found["machine"]["bytes_per_second"] > 0
    train, infer = found["train"], found["infer"]
    assert train["rows"] == infer["rows"] == 4 and train["rows_per_second"] == pytest.approx(4 / train["seconds"])
    (product,) = (s for s in train["steps"] if (s["layer"], s["stage"]) == ("dense_2", "forward") and s["op"] in PRODUCTS)
    assert product["flops"] == 2 * 4 * 5 * 3
    assert product["bytes"] - 4 * (4 * 5 + 5 * 3 + 4 * 3) in (0, 4 * 3)  # what goes in, kernel, what comes out; and the bias, where that is added at once
    for part in (train, infer):
        for key in ("seconds", "flops", "bytes"):
            assert sum(x[key] for x in part["layers"]) == pytest.approx(sum(x[key] for x in part["steps"]))
        assert [x["seconds"] for x in part["layers"]] == sorted((x["seconds"] for x in part["layers"]), reverse=True)
    assert train["memory"]["parameters"] == 4 * (6 * 5 + 5 + 5 * 3 + 3)
    assert train["memory"]["all"] == sum(size for name, size in train["memory"].items() if name != "all")


def test_the_tables_name_layers_or_steps(nnspec: Any) -> None:
    layers, steps = nnspec("dense.yaml", *QUICK).out, nnspec("dense.yaml", "--steps", "--only", "train", *QUICK).out
    for word in ("machine:", "training step of 4 rows", "answer of 4 rows", "dense_1", "(update)", "GFLOP/s", "memory:"):
        assert word in layers
    assert any(op in steps for op in PRODUCTS) and "answer of" not in steps


def test_a_step_says_in_which_of_several_ways_it_is_computed(nnspec: Any) -> None:
    Path("conv.yaml").write_text("nnspec: 1\ninputs: {x: {shape: [12, 12, 8]}}\nlayers: [conv2d: {filters: 8, kernel: 1}, flatten, dense: 2]\n")
    assert "Conv, " in nnspec("conv.yaml", "--steps", *QUICK).out
    steps = json.loads(nnspec("conv.yaml", "--json", *QUICK).out)["infer"]["steps"]
    assert [bool(s["way"]) for s in steps if s["op"] in ("Conv", *PRODUCTS)] == [True, chosen() is not None]  # NumPy alone has one


def test_rows_are_drawn_from_the_seed_within_what_the_network_can_look_up() -> None:
    model = compile(loads(TOKENS))
    a, b, c = (bench.rows(m, {"time": 5}) for m in (model, compile(loads(TOKENS)), compile(loads(TOKENS, set={"seed": 1}))))
    assert a.keys() == {"ids", "target"}
    for name, x in a.items():
        assert x.shape == (4, 5) and x.min() >= 0 and x.max() <= 6
        np.testing.assert_array_equal(x, b[name])
    assert (a["ids"] != c["ids"]).any()


def test_the_rows_of_a_spec_with_data_are_its_first_batch() -> None:
    text = "nnspec: 1\ndata:\n  inline: {columns: {x: [[1, 2], [3, 4], [5, 6]], y: [7, 8, 9]}, target: y}\nlayers: [dense: 1]\nloss: mse\noptimizer: {sgd: 0}\nbatch_size: 3\n"
    given = bench.rows(compile(loads(text)), {})
    assert sorted(given["features"].tolist()) == [[1, 2], [3, 4], [5, 6]] and sorted(given["target"].ravel().tolist()) == [7, 8, 9]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_program_under_the_clock_computes_the_same_bits_and_times_every_step(precision: str) -> None:
    model = compile(loads(DENSE, set={"precision": precision}))
    arrays = bench.rows(model, {})
    ready = model.programs.ready("train", arrays, 4, False)
    model.programs.fill(ready, arrays, 4, 4, None)
    model.programs.set(ready, 0.0, 0, model.factors(0))
    assert ready.program is not None
    seconds = np.full(len(ready.program.steps), -1.0)
    clocked = model.backend.bind(ready.program, model.memory, seconds)  # type: ignore[arg-type]  # the backend's own memory
    for name, held in ready.run.inputs.items():
        clocked.inputs[name][...] = held
    clocked.run()
    ready.run.run()
    assert (seconds >= 0).all() and seconds.sum() > 0
    for name, y in ready.run.outputs.items():
        np.testing.assert_array_equal(y, clocked.outputs[name])


def test_measuring_a_step_leaves_the_weights_where_they_are() -> None:
    model = compile(loads(DENSE))
    before = model.state()
    bench.measure(model, "train", bench.rows(model, {}), 2, 0.0)
    for key, x in model.state().items():
        np.testing.assert_array_equal(x, before[key], err_msg=key)


def test_a_step_over_micro_batches_counts_each_of_them_and_the_update_once() -> None:
    whole, parts = (compile(loads(DENSE, set={"optimizer": {"sgd": {"learning_rate": 0.1, "accumulate": n}}})) for n in (1, 3))
    one, three = (bench.measure(m, "train", bench.rows(m, {}), 1, 0.0) for m in (whole, parts))
    assert (one.rows, three.rows) == (4, 12)
    product = [sum(c.flops for c in t.costs if c.op in PRODUCTS) for t in (one, three)]
    assert product[1] == 3 * product[0] > 0


@pytest.mark.parametrize(("args", "said"), [
    (("tokens.yaml",), "the axis 'time' has no length here"),
    (("tokens.yaml", "--axis", "tme=4"), "did you mean 'time'?"),
    (("dense.yaml", "--axis", "time=4"), "no axis is called 'time'"),
    (("plain.yaml", "--only", "train"), "plain is not trained"),
    (("dense.yaml", "--batch", "0"), "0 is not in the range"),
    (("missing.yaml",), "missing.yaml"),
])  # fmt: skip
def test_a_wrong_call_is_one_clear_error(args: tuple[str, ...], said: str, nnspec: Any) -> None:
    Path("plain.yaml").write_text("nnspec: 1\nname: plain\ninputs: {x: {shape: [3]}}\nlayers: [dense: 2]\n")
    done = nnspec(*args, *QUICK)
    assert done.code == 2 and done.out == ""
    assert said in done.err and "Traceback" not in done.err


def test_rows_that_do_not_fit_into_memory_are_refused_before_they_are_drawn(nnspec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnspec.runtime.memory.available", lambda: 1 << 20)
    done = nnspec("dense.yaml", "--batch", "1000000", *QUICK)
    assert done.code == 5 and "the rows alone do not fit into memory" in done.err


def test_a_spec_that_is_not_trained_has_its_answers_timed(nnspec: Any) -> None:
    Path("plain.yaml").write_text("nnspec: 1\ninputs: {x: {shape: [n, 3]}}\nlayers: [dense: 2]\n")
    done = nnspec("plain.yaml", "--axis", "n=4", "--batch", "600", "--json", *QUICK)
    assert done.code == 0
    found = json.loads(done.out)
    assert "train" not in found and found["infer"]["rows"] == 600
    assert sum(s["flops"] for s in found["infer"]["steps"] if s["op"] in PRODUCTS) >= 600 * 4 * 2 * 3 * 2  # in three pieces
