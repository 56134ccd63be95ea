"""Runs with folds: a model each, the mean and deviation of their metrics, and what can be done with such a folder."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.cli import status
from nnspec.errors import SpecError
from nnspec.runtime.folds import summed
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.loading import dataset
from nnspec.runtime.loop import Loop

SPEC = """\
nnspec: 1
name: small
data:
  inline:
    columns:
      x: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
      y: [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]
    target: y
  split: {folds: 3, test: 0.1}
  prepare:
    - standardize: [x, y]
layers:
  - dense: 1
loss: mse
metrics: [mae]
optimizer: {sgd: {learning_rate: 0.1}}
epochs: 4
batch_size: 4
expect: {validation.mae: "< 10"}
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SPEC)

    def nnspec(*args: object) -> tuple[int, str, str]:
        code = status([str(a) for a in args])
        out, err = capsys.readouterr()
        return code, out, err

    return nnspec


def test_each_fold_is_a_run_like_any_other_and_the_mean_is_of_all(call: Any) -> None:
    code, out, _ = call("run", "small.yaml", "--out", "r", "--json")
    assert code == 0
    result = json.loads(out)
    assert [f["run"] for f in result["folds"]] == ["r/fold_1", "r/fold_2", "r/fold_3"]
    for metric in ("train.loss", "validation.mae", "test.mae"):
        values = [f["metrics"][metric] for f in result["folds"]]
        assert len(set(values)) == 3
        assert result["metrics"][metric] == pytest.approx(np.mean(values), rel=1e-12)
        assert result["deviation"][metric] == pytest.approx(np.std(values, ddof=1), rel=1e-12)
    stored = json.loads(Path("r/folds.json").read_text())
    assert stored["metrics"] == result["metrics"] and stored["deviation"] == result["deviation"]
    code, out, _ = call("run", "small.yaml", "--set", "data.split.fold=2", "--out", "alone", "--json")
    assert code == 0 and json.loads(out)["metrics"] == result["folds"][1]["metrics"]
    for name in ("last.safetensors", "spec.yaml", "metrics.jsonl"):
        same = [Path(folder, name).read_text("latin1").split("seconds")[0] for folder in ("alone", "r/fold_2")]
        assert same[0] == same[1]


def test_a_fold_is_evaluated_on_its_own_rows(call: Any) -> None:
    assert call("run", "small.yaml", "--out", "r")[0] == 0
    for number in (1, 2, 3):
        metrics = json.loads(Path(f"r/fold_{number}/result.json").read_text())["metrics"]
        code, out, err = call("evaluate", f"r/fold_{number}", "--split", "validation", "--json")
        assert code == 0 and "changed" not in err
        assert json.loads(out)["metrics"]["validation.mae"] == pytest.approx(metrics["validation.mae"], rel=1e-6)
    assert call("predict", "r/fold_3", "4")[0] == 0


@pytest.mark.parametrize("command", [("evaluate", "r"), ("predict", "r", "4")])
def test_the_folder_of_all_names_its_folds(command: tuple[str, ...], call: Any) -> None:
    assert call("run", "small.yaml", "--out", "r")[0] == 0
    code, out, err = call(*command)
    assert code == 3 and out == "" and "r holds a run with folds" in err and "r/fold_1, r/fold_2, r/fold_3" in err


def test_the_table_has_mean_deviation_and_every_fold(call: Any) -> None:
    code, out, err = call("run", "small.yaml", "--out", "r")
    lines = out.splitlines()
    assert code == 0 and lines[0].endswith("fold 3") and lines[0].split()[:2] == ["mean", "deviation"]
    assert [line.split()[0] for line in lines[1:]] == ["train.loss", "train.mae", "validation.loss", "validation.mae", "test.loss", "test.mae", "run"]
    assert err.count("epoch 4/4") == 3


def test_an_interrupted_run_goes_on_with_the_fold_it_was_in(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("run", "small.yaml", "--out", "whole")[0] == 0
    steps = [0]
    step = Loop._step

    def stopping(self: Loop, *args: Any) -> None:
        step(self, *args)
        steps[0] += 1
        if steps[0] == 12:  # 8 of a fold
            raise Interrupted("now")

    monkeypatch.setattr(Loop, "_step", stopping)
    code, out, err = call("run", "small.yaml", "--out", "r", "--set", "seed=0")
    assert code == 130 and out == "" and "fold 2 of 3: interrupted after 4 steps" in err
    assert "hint    nnspec run r/spec.yaml --out r --resume" in err
    code, out, err = call("run", "r/spec.yaml", "--out", "r", "--resume")
    assert code == 0 and "nothing is left to do: 4 epochs done before" in err and "resumed at epoch" in err
    assert json.loads(Path("r/folds.json").read_text())["metrics"] == json.loads(Path("whole/folds.json").read_text())["metrics"]
    assert Path("r/fold_3/last.safetensors").read_bytes() == Path("whole/fold_3/last.safetensors").read_bytes()


def test_a_signal_that_comes_when_a_fold_is_over_ends_them_all(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Loop._finish

    def late(self: Loop) -> Any:
        done = finish(self)
        signal.raise_signal(signal.SIGTERM)
        return done

    monkeypatch.setattr(Loop, "_finish", late)
    code, out, err = call("run", "small.yaml", "--out", "r")
    assert code == 143 and out == "" and "fold 2 of 3: interrupted" in err and "nnspec run small.yaml --out r --resume" in err
    assert Path("r/fold_1/result.json").exists() and not Path("r/fold_2/result.json").exists()


def test_a_signal_that_comes_when_a_spec_is_tested_ends_the_others(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Loop._finish
    Path("one.yaml").write_text(SPEC.replace("folds: 3, test: 0.1", "validation: 0.2"))

    def late(self: Loop) -> Any:
        done = finish(self)
        signal.raise_signal(signal.SIGINT)
        return done

    monkeypatch.setattr(Loop, "_finish", late)
    code, out, _ = call("test", "one.yaml", "small.yaml")
    assert code == 130 and "one.yaml: ok" in out and "small.yaml" not in out


def test_other_folds_are_another_run_and_one_run_is_none_of_folds(call: Any) -> None:
    assert call("run", "small.yaml", "--out", "r")[0] == 0
    code, _, err = call("run", "small.yaml", "--out", "r", "--resume", "--set", "data.split.folds=2")
    assert code == 2 and "data.split.folds: 2, was 3" in err
    code, _, err = call("run", "small.yaml", "--out", "r", "--resume", "--set", "data.split.fold=1")
    assert code == 3 and "r holds a run with folds" in err
    code, _, err = call("run", "small.yaml", "--out", "r/fold_1", "--resume")
    assert code == 2 and "r/fold_1 is the folder of one run" in err


def test_numbers_that_end_a_fold_are_told_with_it(call: Any) -> None:
    code, _, err = call("run", "small.yaml", "--out", "r", "--set", "optimizer.sgd.learning_rate=1e38")
    assert code == 4 and "\nfold 1 of 3: epoch 1, batch " in err


def test_expectations_hold_for_the_mean(call: Any) -> None:
    code, out, _ = call("test", "small.yaml", "--json")
    mean = json.loads(out)[0]["expectations"][0]["found"]
    _, out, _ = call("run", "small.yaml", "--json")
    assert code == 0 and mean == json.loads(out)["metrics"]["validation.mae"]


@pytest.mark.parametrize("split,told", [("folds: 3, fold: 4", "wanted  1 to 3"), ("fold: 1", "folds: 5 beside it"), ("folds: 3, fold: 0", "at least 1")])
def test_a_fold_that_is_not_there_is_told(split: str, told: str, call: Any) -> None:
    Path("small.yaml").write_text(SPEC.replace("folds: 3", split))
    code, _, err = call("check", "small.yaml")
    assert code == 2 and told in err


def test_from_python_a_fold_is_chosen(call: Any) -> None:
    spec = nnspec.load("small.yaml")
    assert spec.folds == 3 and spec.fold(1).folds == 0
    rows = [set(dataset(nnspec.compile(spec.fold(n))).splits["validation"].rows.tolist()) for n in (1, 2, 3)]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 9
    with pytest.raises(SpecError, match=r"the data have 3 folds(.|\n)*compile\(spec.fold\(1\)\)"):
        nnspec.compile(spec).fit()
    assert nnspec.compile(spec.fold(2)).fit().metrics["validation.mae"] > 0
    for number in (0, 4):
        with pytest.raises(SpecError, match="1 to 3"):
            spec.fold(number)


def test_a_mean_with_a_nan_in_it_is_none() -> None:
    means, deviations = summed([{"a": 1.0, "b": float("nan"), "c": 1.0}, {"a": 3.0, "b": 1.0}])
    assert means["a"] == 2 and deviations["a"] == pytest.approx(2**0.5) and np.isnan(means["b"]) and "c" not in means
