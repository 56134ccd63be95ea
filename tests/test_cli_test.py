"""``nnspec test``: what a spec expects of itself, found and held against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nnspec
from nnspec.cli import status
from nnspec.spec.expect import STATIC, parse_bounds

SPEC = """\
nnspec: 1
name: line
data:
  inline:
    columns: {x: [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], y: [1, 3, 5, 7, 9, 11]}
    target: y
  split: {train: 0.7, validation: 0.3}
layers:
  - dense: 1
loss: mse
metrics: [mae]
optimizer: {sgd: {learning_rate: 0.05}}
epochs: 300
batch_size: 6
expect: EXPECT
"""


@pytest.fixture
def test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls ``nnspec test`` on specs that expect what is given."""
    monkeypatch.chdir(tmp_path)

    def call(*expected: str, args: tuple[str, ...] = ()) -> tuple[int, str, str]:
        files = []
        for n, text in enumerate(expected):
            files.append(f"spec{n}.yaml")
            Path(files[-1]).write_text(SPEC.replace("expect: EXPECT\n", f"expect: {text}\n" if text else ""))
        code = status(["test", *files, *args])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.mark.parametrize("text,value,holds", [
    ("<= 3", 3, True), ("< 3", 3, False), (">= 3", 3, True), ("> 3", 3, False), ("== 3", 3, True), ("== 3", 3.5, False), (3, 3, True),
    ("<=.5", 0.5, True), ("  >=  1e-3 ", 1e-3, True), ("<= -1", -2, True), (">= 0", float("nan"), False), ("<= 95%", 0.95, True),
])  # fmt: skip
def test_a_bound_compares(text: object, value: float, holds: bool) -> None:
    (bound,) = parse_bounds(text)
    assert bound.holds("test.accuracy", value) is holds


@pytest.mark.parametrize("text,name,limit", [
    ("<= 256MB", "memory", 256_000_000), ("<= 256 MiB", "memory", 268_435_456), ("<= 2kB", "memory", 2000), ("<= 100", "memory", 100),
    ("<= 1.5M", "parameters", 1_500_000), ("<= 2G", "flops", 2_000_000_000), (">= 98%", "test.accuracy", 0.98),
])  # fmt: skip
def test_a_bound_has_units(text: str, name: str, limit: float) -> None:
    assert parse_bounds(text)[0].of(name) == limit


def test_what_is_known_without_training_is_found_without_it(test: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnspec.cli.test.trained", lambda *_: pytest.fail("it trains"))
    code, out, err = test('{parameters: 2, trainable: "<= 2", flops: [">= 1", "< 10"], memory: "<= 1MB"}', args=("--json",))
    assert code == 0 and err == ""
    (report,) = json.loads(out)
    assert report["held"] and report["run"] is None
    assert {e["name"]: e["expected"] for e in report["expectations"]} == {"parameters": "== 2", "trainable": "<= 2", "flops": "< 10", "memory": "<= 1MB"}
    assert len(report["expectations"]) == 5 and report["expectations"][0]["found"] == 2


def test_static_values_are_those_of_summary(test: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = test("{" + ", ".join(f'{name}: ">= 0"' for name in STATIC) + "}", args=("--json",))
    found = {e["name"]: e["found"] for e in json.loads(out)[0]["expectations"]}
    assert status(["summary", "spec0.yaml", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    totals = summary["parameters"]
    assert found == {"parameters": totals["total"], "trainable": totals["trainable"], "flops": summary["flops"], "memory": summary["memory"]}


def test_metrics_are_those_that_a_run_ends_with(test: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = test('{validation.mae: "<= 0.2", train.loss: ">= 0"}', args=("--json",))
    assert code == 0
    assert status(["run", "spec0.yaml", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert {e["name"]: e["found"] for e in json.loads(out)[0]["expectations"]} == {k: metrics[k] for k in ("validation.mae", "train.loss")}
    assert {p.name for p in Path.cwd().iterdir()} == {"spec0.yaml", "runs"}, "the test itself leaves nothing"


def test_one_that_fails_is_told_and_exits_with_1(test: Any) -> None:
    code, out, _ = test('{parameters: "<= 1", validation.mae: "<= 0.2"}')
    assert code == 1
    assert out.splitlines()[0] == "spec0.yaml: FAILED"
    assert out.splitlines()[2].split() == ["parameters", "<=", "1", "2", "NOT", "held"]
    assert out.splitlines()[3].endswith("  held")


def test_every_spec_is_tested_and_the_worst_decides(test: Any) -> None:
    code, out, err = test("{parameters: 3}", "", "{parameters: 2}", args=("--json",))
    assert code == 2
    assert [t["held"] for t in json.loads(out)] == [False, False, True]
    assert "spec1.yaml:1:1: the spec expects nothing" in err and "wanted  expect:" in err
    assert test("{parameters: 3}", "{parameters: 2}")[0] == 1


def test_a_run_that_stops_on_numbers_is_not_held(test: Any) -> None:
    code, out, err = test('{validation.mae: "<= 1"}', args=("--set", "optimizer.sgd.learning_rate=1e30", "--json"))
    assert code == 4
    assert json.loads(out)[0]["held"] is False and "NaN or infinite" in err


def test_out_keeps_the_run_and_several_stand_beside_each_other(test: Any) -> None:
    assert test('{train.loss: ">= 0"}', args=("--out", "kept"))[0] == 0
    assert (Path("kept") / "last.safetensors").is_file()
    assert nnspec.load_model("kept").predict([[6.0]]).shape == (1, 1)
    code, _, err = test('{train.loss: ">= 0"}', args=("--out", "kept"))
    assert code == 2 and "kept is not empty" in err
    assert test('{train.loss: ">= 0"}', "{parameters: 2}", args=("--out", "two", "--set", "name=same"))[0] == 0
    assert (Path("two") / "same" / "run.json").is_file()


def test_metrics_need_data_to_train_on(test: Any) -> None:
    Path("fed.yaml").write_text('nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: 1]\nloss: mse\nexpect: {train.loss: "<= 1", parameters: 4}\n')
    assert status(["test", "fed.yaml"]) == 2
    Path("fed.yaml").write_text("nnspec: 1\ninputs: {x: {shape: [time, 3]}}\nlayers: [dense: 1]\nexpect: {parameters: 4, memory: 5}\n")
    assert status(["test", "fed.yaml"]) == 1


def test_a_changed_expectation_does_not_make_another_run(test: Any) -> None:
    assert test('{train.loss: ">= 0"}', args=("--out", "kept"))[0] == 0
    text = Path("spec0.yaml").read_text()
    Path("spec0.yaml").write_text(text.replace(">= 0", ">= 1"))
    assert status(["run", "spec0.yaml", "--out", "kept", "--resume"]) == 0
