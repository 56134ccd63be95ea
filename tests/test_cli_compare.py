"""``nnspec compare``: what runs differ in is named by the keys that --set takes, and what is no run is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nnspec.cli import status
from nnspec.cli.compare import report
from nnspec.errors import DataError
from nnspec.runtime.comparison import Side, compared, look, settings
from nnspec.spec.source import read
from nnspec.view import spark

SPEC = """\
nnspec: 1
name: small
data:
  inline:
    columns: {x: [0, 1, 2, 3, 4, 5, 6, 7], y: [1, 3, 5, 7, 9, 11, 13, 15]}
    target: y
  split: {train: 0.75, validation: 0.25}
layers:
  - dense: {units: 4, activation: tanh}
  - dense: {units: 1, name: head}
loss: mse
metrics: [mae]
optimizer: {sgd: {learning_rate: 0.01}}
epochs: 5
batch_size: 4
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs a, b (another rate, width and seed) and again (as a)."""
    folder = tmp_path_factory.mktemp("runs")
    spec = folder / "small.yaml"
    spec.write_text(SPEC)
    for name, sets in (("a", []), ("again", []), ("b", ["optimizer.sgd.learning_rate=0.02", "layers.dense_1.units=8", "seed=1"])):
        assert status(["run", str(spec), "--out", str(folder / name), *(part for s in sets for part in ("--set", s))]) == 0
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    def nnspec(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = status([str(a) for a in args])
        out, err = capsys.readouterr()
        return code, out, err

    return nnspec


def test_what_differs_is_named_with_both_values(runs: Path, call: Any) -> None:
    code, out, _ = call("compare", runs / "a", runs / "b", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["spec"] == {"optimizer.sgd.learning_rate": ["0.01", "0.02"], "layers.dense_1.units": ["4", "8"], "seed": [None, "1"]}
    assert found["parameters"] == {"dense_1/bias": [[4], [8]], "dense_1/kernel": [[1, 4], [1, 8]], "head/kernel": [[4, 1], [8, 1]]}
    assert set(found["data"]) == {"train", "validation"}, "the seed draws other rows"
    assert found["environment"] == {"seed": [0, 1]}
    assert [r["parameters"] for r in found["runs"]] == [13, 25]


def test_metrics_are_those_of_the_runs_with_the_best_epoch(runs: Path, call: Any) -> None:
    found = json.loads(call("compare", runs / "a", runs / "b", "--json")[1])["metrics"]
    for i, name in enumerate("ab"):
        result = json.loads((runs / name / "result.json").read_text())["metrics"]
        history = [json.loads(line) for line in (runs / name / "metrics.jsonl").read_text().splitlines()]
        assert {metric: cells[i]["last"] for metric, cells in found.items()} == result
        for metric in result:
            best = min(history, key=lambda row: row[metric])
            assert (found[metric][i]["best"], found[metric][i]["epoch"]) == (best[metric], best["epoch"])


def test_equal_runs_differ_in_nothing(runs: Path, call: Any) -> None:
    code, out, _ = call("compare", runs / "a", runs / "again")
    assert code == 0
    assert [line for line in out.splitlines() if line.endswith(": no difference")] == [
        "spec: no difference", "parameters: no difference", "rows (digests): no difference", "environment: no difference"]  # fmt: skip
    assert "*" not in out


def test_the_table_marks_the_best_of_three(runs: Path, call: Any) -> None:
    code, out, _ = call("compare", runs / "a", runs / "b", runs / "again", "--curve", "train.mae")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("A  ") and "5 epochs, 13 parameters" in lines[0]
    assert next(line for line in lines if "learning_rate" in line).split() == ["optimizer.sgd.learning_rate", "0.01", "0.02", "0.01"]
    assert sum(line.count("*") for line in lines if line.startswith("  validation.loss")) in (1, 2)
    assert lines[-4] == "train.mae over the epochs" and all(set(line.split()[1]) <= set(spark.BLOCKS) for line in lines[-3:])


def test_entries_are_named_as_set_names_them() -> None:
    text = "layers: [flatten, {dense: 3}, {dense: {units: 4, name: head}}, {residual: {layers: [relu, relu]}}]\nx: [1, 2]\ny: [a, b]\nz: {}\n"
    assert dict(settings(read(text, "spec"))) == {
        "layers.flatten_1": "flatten", "layers.dense_1": "dense", "layers.dense_1.dense": "3", "layers.head": "dense", "layers.head.units": "4",
        "layers.head.name": "head", "layers.residual_1": "residual", "layers.residual_1.layers.relu_1": "relu",
        "layers.residual_1.layers.relu_2": "relu", "x": "[1, 2]", "y": "[a, b]", "z": "{}"}  # fmt: skip


def test_a_run_that_is_under_way_is_compared_as_far_as_it_is(runs: Path, call: Any, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(runs / "b", half)
    (half / "result.json").unlink()
    text = (half / "metrics.jsonl").read_text().splitlines(keepends=True)
    (half / "metrics.jsonl").write_text("".join(text[:2]) + text[2][:20])
    code, out, _ = call("compare", runs / "a", half)
    assert code == 0 and "2 epochs, 25 parameters, not at its end" in out
    (half / "last.safetensors").unlink()
    (half / "metrics.jsonl").unlink()
    code, out, _ = call("compare", runs / "a", half)
    assert code == 0 and "half  no weights yet, not at its end" in out and "parameters: no difference" in out


@pytest.mark.parametrize("file,content,told", [
    ("metrics.jsonl", "{\n{}\n", "metrics.jsonl:1: this is no epoch's metrics"), ("run.json", "[", "run.json: this is not JSON"),
    ("run.json", "[]", "a JSON object is wanted"), ("spec.yaml", "a: [", "spec.yaml:1"), ("last.safetensors", "x" * 50, "last.safetensors: "),
    ("result.json", "\xff", "result.json: the file cannot be read"), ("run.json", None, "is not the folder of a run"),
    ("spec.yaml", None, "no spec.yaml"),
])  # fmt: skip
def test_a_damaged_file_is_told(file: str, content: str | None, told: str, runs: Path, call: Any, tmp_path: Path) -> None:
    shutil.copytree(runs / "a", tmp_path / "bad")
    path = tmp_path / "bad" / file
    path.unlink() if content is None else path.write_bytes(content.encode("latin1"))
    code, out, err = call("compare", runs / "a", tmp_path / "bad")
    assert code == 3 and out == "" and told in err and "internal error" not in err


def test_what_is_no_run_is_told(runs: Path, call: Any, tmp_path: Path) -> None:
    for path, told in ((tmp_path / "nowhere", "there is no such folder"), (tmp_path, "no spec.yaml"), (runs / "small.yaml", "this is a file")):
        code, _, err = call("compare", runs / "a", path)
        assert code == 3 and f"{path} is not the folder of a run" in err and told in err
    assert "two to 26" in call("compare", runs / "a")[2]
    code, _, err = call("compare", runs / "a", runs / "b", "--curve", "train.mea")
    assert code == 2 and "did you mean 'train.mae'?" in err


def test_runs_with_folds_are_compared_by_their_means(call: Any, tmp_path: Path) -> None:
    spec = tmp_path / "small.yaml"
    spec.write_text(SPEC.replace("{train: 0.75, validation: 0.25}", "{folds: 2}"))
    for name, seed in (("one", 0), ("two", 1)):
        assert call("run", spec, "--out", tmp_path / name, "--set", f"seed={seed}")[0] == 0
    code, out, _ = call("compare", tmp_path / "one", tmp_path / "two", "--json")
    cells = json.loads(out)["metrics"]["validation.mae"]
    stored = json.loads((tmp_path / "one" / "folds.json").read_text())
    assert code == 0 and cells[0]["last"] == stored["metrics"]["validation.mae"] and cells[0]["deviation"] == stored["deviation"]["validation.mae"]
    assert " ± " in call("compare", tmp_path / "one", tmp_path / "two")[1]


def test_a_metric_of_which_nobody_knows_what_is_better_has_no_best() -> None:
    sides = [Side(Path(n), {}, {}, {}, [{"train.mine": 1.0}, {"train.mine": v}], {"train.mine": v}, {}, "") for n, v in (("a", 2.0), ("b", 3.0))]
    content = compared(sides)
    assert content["metrics"]["train.mine"] == [{"last": 2.0, "best": None, "epoch": None}, {"last": 3.0, "best": None, "epoch": None}]
    assert not any("*" in line for line in report(sides, content, ()))


@pytest.mark.parametrize("metric,less", [
    ("train.loss", True), ("validation.mae", True), ("test.mse_2", True), ("train.accuracy", False), ("test.auc", False), ("train.huber", True),
    ("train.swishy", None), ("discriminator/loss", True),
])  # fmt: skip
def test_what_is_better_is_known_by_the_metric(metric: str, less: bool | None) -> None:
    history = [{metric: 2.0}, {metric: 1.0}, {metric: 3.0}]
    best = Side(Path("a"), {}, {}, {}, history, {}, {}, "").best(metric)
    assert best == (None if less is None else (1.0, 2) if less else (3.0, 3))


def test_curves_have_one_scale_and_gaps() -> None:
    assert spark.lines([[0, 1], [0.5, float("nan")]]) == ["▁█", "▅ "]
    assert spark.lines([[1, 10, 100, 1000]]) == ["▁▃▆█"], "over three powers of ten it is a logarithm"
    assert [len(line) for line in spark.lines([[1.0] * 400, [2.0] * 100])] == [40, 10]
    assert spark.lines([[], [float("nan")] * 3]) == ["", "   "]


def test_look_reads_a_run(runs: Path) -> None:
    side = look(runs / "a")
    assert side.parameters == 13 and len(side.history) == 5 and side.stop == ""
    with pytest.raises(DataError):
        look(runs)
