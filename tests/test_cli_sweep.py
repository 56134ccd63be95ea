"""``nnspec sweep``: trials that are drawn and checked before they run, in processes that end with it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli import status
from nnspec.runtime.children import Ended
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.loop import Loop
from nnspec.spec.sweep import Sweep, trials

ROOT = Path(__file__).resolve().parent.parent
SPEC = """\
nnspec: 1
name: small
vars: {width: 3}
data:
  inline:
    columns: {x: [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], y: [1, 3, 5, 7, 9, 11]}
    target: y
  split: {train: 0.7, validation: 0.3}
layers:
  - dense: {units: $width, activation: tanh}
  - dense: 1
loss: mse
metrics: [mae]
optimizer: {sgd: {learning_rate: 0.05}}
epochs: 5
batch_size: 6
sweep: SWEEP
"""
GRID = "{over: {optimizer.sgd.learning_rate: [1e-2, 1e38], vars.width: [2, 4]}, minimize: validation.mae}"


@pytest.fixture
def nnspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls the command in an empty folder that holds the spec with a sweep."""
    monkeypatch.chdir(tmp_path)
    write(GRID)

    def call(*args: object) -> tuple[int, str, str]:
        code = status([str(a) for a in args])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def write(sweep: str, epochs: int = 5) -> None:
    text = SPEC.replace("epochs: 5", f"epochs: {epochs}")
    Path("small.yaml").write_text(text.replace("sweep: SWEEP\n", f"sweep: {sweep}\n" if sweep else ""))


def drawn(n: int, seed: int = 0, **over: Any) -> list[Any]:
    return [dict(t) for t in trials(Sweep.model_validate({"over": over, "trials": n}), seed)]


def test_a_grid_is_run_sorted_and_the_best_can_be_repeated(nnspec: Any) -> None:
    code, out, err = nnspec("sweep", "small.yaml", "--jobs", 2, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["sweep"] == "runs/small-sweep/001" and result["minimize"] == "validation.mae"
    assert len(result["trials"]) == 4 and "4 trials, 4 to run" in err
    good, bad = result["trials"][:2], result["trials"][2:]
    maes = [t["metrics"]["validation.mae"] for t in good]
    assert maes == sorted(maes) and result["best"] == good[0]["trial"]
    assert all(t["status"] == 4 and "NaN or infinite" in t["error"] and t["settings"]["optimizer.sgd.learning_rate"] == 1e38 for t in bad)
    assert {(Path(t["run"]) / "run.json").is_file() for t in result["trials"]} == {True}
    code, out, _ = nnspec(*result["command"].split()[1:], "--json", "--out", "again")
    assert json.loads(out)["metrics"] == good[0]["metrics"]

    (Path(good[1]["run"]) / "result.json").unlink()  # as if it had never ended
    code, out, err = nnspec("sweep", "small.yaml", "--resume")
    assert code == 0 and "4 trials, 1 to run, into runs/small-sweep/001" in err
    lines = out.splitlines()
    assert lines[0].split() == ["trial", "learning_rate", "width", "validation.mae", "seconds"]
    assert lines[1].startswith(f"*  {result['best']} ") and f"{maes[0]:.6g}" in lines[1] and f"{maes[1]:.6g}" in lines[2]
    assert "NaN (epoch 1, batch 1 of 1)" in lines[3] and lines[-2] == f"best: {result['command']}" and lines[-1] == "sweep: runs/small-sweep/001"

    for args, told in (("--over", "vars.width=2,5"), "trial 2"), (("--set", "batch_size=3"), "batch_size"), (("--epochs", "6"), "6, was None"):
        code, _, err = nnspec("sweep", "small.yaml", "--resume", *args)
        assert code == 2 and "the sweep in runs/small-sweep/001 is another one" in err and told in err
    code, _, err = nnspec("run", "small.yaml", "--out", "runs/small-sweep/001", "--resume")
    assert code == 3 and "runs/small-sweep/001 holds a sweep" in err
    code, _, err = nnspec("predict", "runs/small-sweep/001", "1.0")
    assert code == 3 and "runs/small-sweep/001 holds a sweep" in err
    code, _, err = nnspec("sweep", "small.yaml", "--resume", "--out", "again")
    assert code == 2 and "again is the folder of a run" in err
    Path("runs/small-sweep/001/sweep.json").write_text('{"trials": [3]}')
    code, _, err = nnspec("sweep", "small.yaml", "--resume")
    assert code == 3 and "this is no record of a sweep" in err


def test_ctrl_c_ends_the_children_once_they_have_saved(nnspec: Any, tmp_path: Path) -> None:
    write("{over: {vars.width: [2, 3, 4]}}")
    slow = ["--set", "epochs=10000000"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    command = [sys.executable, "-m", "nnspec", "sweep", "small.yaml", "--jobs", "2", "--out", "s"]
    process = subprocess.Popen([*command, *slow], env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.PIPE, text=True)
    lines = [Path("s") / name / "metrics.jsonl" for name in ("001", "002")]
    until = time.monotonic() + 60
    while not all(f.is_file() and f.stat().st_size for f in lines) and time.monotonic() < until:
        time.sleep(0.02)
    children = [int((f.parent / ".lock").read_text()) for f in lines]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted after 0 of 3 trials; saved in s" in err and "--out s --resume" in err and "Traceback" not in err
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert all((f.parent / "last.safetensors").is_file() for f in lines) and not (tmp_path / "s" / "003").exists()
    record = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert [t["status"] for t in record["trials"]] == [None] * 3, "all of them are still to be run"


def test_an_interrupted_trial_goes_on_and_ends_as_one_that_was_not(nnspec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("{over: {vars.width: [2]}}", epochs=9)
    monkeypatch.setattr("nnspec.runtime.children.run_all", lambda *_: None)
    assert nnspec("sweep", "small.yaml", "--out", "s", "--backend", "cpu")[0] == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    stopped = Loop._measure

    def stop(self: Loop) -> None:
        stopped(self)
        if self.state.epoch == 4:
            raise Interrupted("now")

    monkeypatch.setattr(Loop, "_measure", stop)
    assert nnspec("run", "small.yaml", "--set", "vars.width=2", "--out", "s/001")[0] == 130
    monkeypatch.setattr(Loop, "_measure", stopped)
    code, out, err = nnspec("sweep", "small.yaml", "--out", "s", "--resume", "--json", "--backend", "cpu")
    assert code == 0 and "1 trial, 1 to run" in err
    assert json.loads(out)["command"] == "nnspec run small.yaml --backend cpu --set vars.width=2"
    assert nnspec("run", "small.yaml", "--set", "vars.width=2", "--out", "whole")[0] == 0
    assert Path("s/001/last.safetensors").read_bytes() == Path("whole/last.safetensors").read_bytes()
    assert len(Path("s/001/metrics.jsonl").read_text().splitlines()) == 9


WRONG = {
    "{over: {optimizer.sgd.learning_rat: [1, 2]}}": "did you mean 'learning_rate'?",
    "{over: {layers.dense_3.units: [1, 2]}}": "no entry of 'layers' is called 'dense_3'",
    "{over: {vars.widht: [1, 2]}}": "did you mean 'width'?",
    "{over: {vars.width: [2, 0]}}": "trial 2 of 2: 'units' of layer 'dense' does not fit",
    "{over: {name: [a, b]}}": "'name' changes nothing that a trial learns",
    "{over: {vars.width: [2, 2]}}": "a value stands twice",
    "{over: {vars.width: 2}}": "a list, or {log: [1e-4, 1e-1]}",
    "{over: {vars.width: {uniform: [2, 3]}}, trials: 3}": "'linear' draws evenly",
    "{over: {vars.width: {log: [0, 3]}}, trials: 3}": "'log' of a sweep begins at 0 or below",
    "{over: {vars.width: {linear: [3, 2]}}, trials: 3}": "two numbers, the lesser first",
    "{over: {vars.width: {linear: [2, 3]}}}": "trials: 20",
    "{over: {vars.width: [2, 3]}, maximize: mae}": "of which rows? train.mae or validation.mae",
    "{over: {vars.width: [2, 3]}, maximize: test.mae}": "'test.mae' is not measured",
    "{over: {vars.width: [2, 3]}, maximize: train.mae, minimize: train.mae}": "a sweep has two objectives",
    "{over: {}}": "wanted  at least 1",
    "{trials: 3}": "needs 'over'",
    "{over: {vars.width: [2]}, trial: 3}": "did you mean 'trials'?",
    "": "the spec has no sweep",
}


@pytest.mark.parametrize("sweep", WRONG)
def test_what_is_wrong_in_a_sweep_is_told_before_anything_is_trained(sweep: str, nnspec: Any, tmp_path: Path) -> None:
    write(sweep)
    code, out, err = nnspec("sweep", "small.yaml")
    assert code == 2 and out == "" and WRONG[sweep] in err
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize("args,told", [
    (("--over", "vars.width"), "'vars.width' is not KEY=A,B,C"),
    (("--over", "vars.width=[1"), "--over vars.width:1"),
    (("--over", "vars.width={log: [1, 9]}"), "trials: 20"),
    (("--over", "optimizer=sgd,adm"), "did you mean 'adam'?"),
    (("--maximize", "accuracy"), "'accuracy' is not measured"),
    (("--maximize", "train.mae", "--minimize", "train.mae"), "two objectives"),
    (("--trials", "100000"), "at most 1,000"),
    (("--set", "vars.width=7"), "'vars.width' is swept and set as well"),
    (("--over", "epochs=1,2", "--epochs", "3"), "'epochs' is swept and set as well"),
])  # fmt: skip
def test_what_is_wrong_in_the_call_is_told_as_well(args: tuple[str, ...], told: str, nnspec: Any, tmp_path: Path) -> None:
    code, _, err = nnspec("sweep", "small.yaml", *args)
    assert code == 2 and told in err
    assert not (tmp_path / "runs").exists()


def test_over_of_the_call_stands_beside_the_specs(nnspec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("nnspec.runtime.children.run_all", lambda given, *_: calls.extend(given))
    code, out, _ = nnspec("sweep", "small.yaml", "--over", "vars.width=5", "--over", "optimizer=sgd,{adam: {beta1: 0.5}}", "--set", "epochs=1", "--json")
    assert code == 0 and json.loads(out)["best"] is None
    settings = [dict(pair.split("=", 1) for flag, pair in zip(c.arguments, c.arguments[1:], strict=False) if flag == "--set") for c in calls]
    assert [s["optimizer"] for s in settings] == ["sgd", "{adam: {beta1: 0.5}}"] * 2
    assert {s["vars.width"] for s in settings} == {"5"} and {s["epochs"] for s in settings} == {"1"}


def test_a_trial_with_folds_counts_by_its_mean_and_one_that_dies_does_not_end_the_others(nnspec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("small.yaml").write_text(Path("small.yaml").read_text().replace("{train: 0.7, validation: 0.3}", "{folds: 2}"))
    code, out, _ = nnspec("sweep", "small.yaml", "--over", "optimizer.sgd.learning_rate=0.01,1e38", "--over", "vars.width=2", "--json")
    first, second = json.loads(out)["trials"]
    assert code == 0 and first["metrics"] == json.loads((Path(first["run"]) / "folds.json").read_text())["metrics"]
    assert second["status"] == 4 and "fold 1 of 2" in second["error"]
    monkeypatch.setattr("nnspec.runtime.children._Child.ended", lambda self: Ended(self.call, -9, "", "", 1.0) if self.close() is None else None)
    code, out, err = nnspec("sweep", "small.yaml", "--over", "optimizer.sgd.learning_rate=0.01", "--over", "vars.width=2", "--json")
    assert code == 5 and json.loads(out)["best"] is None and "ended by signal 9" in err


def test_draws_are_counted_keep_to_their_ranges_and_none_comes_twice() -> None:
    few, many = drawn(5, rate={"log": (1e-4, 1e-1)}, width={"linear": (2, 9)}), drawn(400, rate={"log": (1e-4, 1e-1)}, width={"linear": (2, 9)})
    assert many[:5] == few and drawn(5, 1, rate={"log": (1e-4, 1e-1)}, width={"linear": (2, 9)}) != few
    assert [t["width"] for t in drawn(5, width={"linear": (2, 9)}, depth=(1, 2, 3, 4, 5))] == [t["width"] for t in few], "other keys change nothing"
    rates, widths = np.array([t["rate"] for t in many]), [t["width"] for t in many]
    assert rates.min() >= 1e-4 and rates.max() <= 1e-1 and abs(np.log10(rates).mean() + 2.5) < 0.15
    assert set(widths) == set(range(2, 10)) and all(isinstance(w, int) for w in widths)
    assert max(widths.count(w) for w in range(2, 10)) < 80
    assert len({repr(t) for t in many}) == 400
    assert sorted(t["k"] for t in drawn(50, k={"log": (1, 20)})) == list(range(1, 21)), "a small space is tried as a whole"
    halves = [t["x"] for t in drawn(100, x={"linear": (0.0, 1)})]
    assert all(0 <= x <= 1 for x in halves) and not any(map(float.is_integer, halves))


def test_a_grid_has_every_combination_in_order() -> None:
    sweep = Sweep.model_validate({"over": {"a": (1, 2), "b": ("x", "y", "z")}})
    assert [tuple(t.values()) for t in trials(sweep, 0)] == [(a, b) for a in (1, 2) for b in "xyz"]
    assert sweep.size == 6 and sweep.objective == (None, True)
    assert math.isinf(Sweep.model_validate({"over": {"a": {"log": (0.1, 1.0)}}, "trials": 1}).size)
