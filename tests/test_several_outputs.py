"""Two inputs and two outputs from columns to predictions, through training, saving, resuming and the command line."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import nnspec
from nnspec.cli import status
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.saving import load_model
from nnspec.runtime.session import compile
from nnspec.runtime.trainer import train

SPECS = Path(__file__).parent.parent / "specs" / "quickstart"
SPEC = SPECS / "two_inputs_two_outputs.yaml"


def called(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    assert status([str(a) for a in args]) == 0
    return capsys.readouterr().out


def test_the_shipped_tables_are_those_that_their_script_draws() -> None:
    found = spec_from_file_location("tables", SPECS / "tables.py")
    assert found is not None and found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    for name in ("bearings", "wines"):
        assert getattr(module, name)() == (SPECS / f"{name}.csv").read_text().splitlines()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "r"
    with open_run(folder, "x") as f:
        train(compile(nnspec.load(SPEC, set={"epochs": 12})), folder=f)
    return folder


def test_predictions_are_a_class_by_name_and_a_number_in_its_own_unit(run: Path) -> None:
    model = load_model(run)
    assert model.classes("served") == ("dessert", "fish", "meat") and model.classes("price") is None
    rows = [line.split(",") for line in (SPECS / "wines.csv").read_text().splitlines()[1:101]]
    regions = sorted({r[0] for r in rows})
    out = model.predict({"region": [regions.index(r[0]) for r in rows], "measured": [[float(v) for v in r[1:4]] for r in rows]})
    np.testing.assert_allclose(out["served"].sum(1), 1, rtol=1e-5)
    said = [model.classes("served")[i] for i in out["served"].argmax(1)]  # type: ignore[index]
    assert np.mean([s == r[4] for s, r in zip(said, rows, strict=True)]) > 0.7
    assert np.abs(out["price"][:, 0] - [float(r[5]) for r in rows]).mean() < 4


def test_the_command_line_tells_both(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(called(capsys, "predict", run, "coast,10,4,3", "--json"))["outputs"]
    assert set(answer) == {"served", "price"} and set(answer["served"]["probabilities"]) == {"fish", "meat", "dessert"}
    assert 5 < answer["price"]["output"][0] < 40
    (tmp_path / "w.csv").write_text("age,region,sugar,acid\n3,coast,10,4\n")
    line = called(capsys, "predict", run, tmp_path / "w.csv")
    assert "served: " in line and "; price: " in line
    metrics = json.loads(called(capsys, "evaluate", run, "--json"))["metrics"]
    assert {"test.served.accuracy", "test.price.mae", "test.served.loss", "test.loss"} <= set(metrics)
    recorded = json.loads((run / "result.json").read_text())["metrics"]
    assert metrics == pytest.approx({name: recorded[name] for name in metrics}, rel=1e-9)


def test_a_run_of_two_outputs_resumes_to_the_bit(tmp_path: Path) -> None:
    class StopAt(Callback):
        def on_step(self, state: State) -> None:
            if state.step == 25:
                raise Interrupted

    settings = {"epochs": 3}
    with open_run(tmp_path / "whole", "x") as folder:
        train(whole := compile(nnspec.load(SPEC, set=settings)), folder=folder)
    with open_run(tmp_path / "parts", "x") as folder, pytest.raises(Interrupted):
        train(compile(nnspec.load(SPEC, set=settings)), folder=folder, callbacks=[StopAt()])
    with open_run(tmp_path / "parts", "x", resume=True) as folder:
        train(again := compile(nnspec.load(SPEC, set=settings)), folder=folder, resume=True)
    assert all((a == again.state()[k]).all() for k, a in whole.state().items())
    histories = [[{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (tmp_path / f / "metrics.jsonl").read_text().splitlines()]
                 for f in ("whole", "parts")]
    assert histories[0] == histories[1]


def test_the_class_weights_spec_prints_its_table_by_class_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_run(tmp_path / "r", "x") as folder:
        train(compile(nnspec.load(SPECS / "class_weights.yaml", set={"epochs": 5})), folder=folder)
    weights = json.loads((tmp_path / "r" / "class_weights.json").read_text())
    assert weights == {"cross_entropy.loss": [10.0, pytest.approx(10 / 19)]}  # 960 rows, 48 of them faulty
    text = called(capsys, "evaluate", tmp_path / "r")
    assert "test.confusion" in text and "faulty" in text.splitlines()[-2] and "good" in text.splitlines()[-1]
