"""From drawn photographs to a run that is evaluated and asked about single files."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnspec.cli import rows
from nnspec.cli import status as status_of
from nnspec.data.images import Images
from nnspec.runtime.saving import load_model
from tests.drawn import drawn


def call(*arguments: object) -> tuple[int, str]:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = status_of([str(a) for a in arguments])
    return code, out.getvalue()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("runs")
    for name, epochs in (("image_folder", 3), ("segmentation", 1)):
        status, said = call("run", drawn() / f"{name}.yaml", "--set", f"epochs={epochs}", "--out", top / name)
        assert status == 0, said
    return {"image_folder": top / "image_folder", "segmentation": top / "segmentation"}


def test_a_photograph_is_answered_as_in_training(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the run knows where its photographs are
    files = [drawn() / "drawn" / "shapes" / name for name in ("circle/001.jpg", "square/003.png")]
    status, said = call("predict", runs["image_folder"], *files, "--json")
    assert status == 0, said
    answers = [json.loads(line) for line in said.splitlines()]
    model = load_model(runs["image_folder"])
    for file, found in zip(files, answers, strict=True):
        with Image.open(file) as image:
            x = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)) / 255
        expected = np.asarray(model.predict(x[None]))[0]
        assert found["input"] == str(file) and list(found["probabilities"]) == ["circle", "square", "triangle"]
        np.testing.assert_allclose(list(found["probabilities"].values()), expected, rtol=1e-4)


def test_a_run_is_evaluated_on_its_folder_again(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in runs.values():
        record = json.loads((run / "run.json").read_text())
        status, said = call("evaluate", run, "--json")
        assert status == 0 and record, said
        assert "validation.accuracy" in json.loads(said)["metrics"] and "changed" not in said


def test_a_segmentation_answers_with_a_class_for_every_pixel(runs: dict[str, Path]) -> None:
    status, said = call("predict", runs["segmentation"], drawn() / "drawn" / "scenes" / "image" / "001.jpg", "--json")
    found = json.loads(said)
    assert status == 0 and np.shape(found["labels"]) == (32, 32)
    assert sum(found["shares"].values()) == pytest.approx(1) and list(found["shares"]) == ["background", "circle", "square", "triangle"]
    assert "background 0." in call("predict", runs["segmentation"], drawn() / "drawn" / "scenes" / "image" / "001.jpg")[1]


def test_a_csv_names_photographs(runs: dict[str, Path], tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "rows.csv").write_text("image\na.png\na.png\n")
    status, said = call("predict", runs["image_folder"], tmp_path / "rows.csv")
    assert status == 0 and said.count("rows.csv:") == 2, said


def test_photographs_of_a_csv_are_decoded_a_part_at_a_time_and_answered_the_same(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(7):
        Image.new("RGB", (9, 9), (30 * i, 9, 200 - 20 * i)).save(tmp_path / f"{i}.png")
    (tmp_path / "rows.csv").write_text("image\n" + "".join(f"{i}.png\n" for i in range(7)))
    whole = call("predict", runs["image_folder"], tmp_path / "rows.csv")
    taken = []
    take = Images.take
    monkeypatch.setattr(rows, "PICTURES", 3)
    monkeypatch.setattr(Images, "take", lambda self, numbers: taken.append(len(numbers)) or take(self, numbers))
    assert call("predict", runs["image_folder"], tmp_path / "rows.csv") == whole
    assert taken == [3, 3, 1] and whole[1].count("rows.csv:") == 7


@pytest.mark.parametrize(("content", "found"), [(b"no image", "it begins with"), (b"\x89PNG\r\n\x1a\n", "ends in its header"), (None, "nothing there")])
def test_what_is_no_photograph_is_one_error(runs: dict[str, Path], tmp_path: Path, content: bytes | None, found: str) -> None:
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    status, said = call("predict", runs["image_folder"], tmp_path / "a.jpg")
    assert status == 3 and found in said and "Traceback" not in said, said


def test_a_photograph_for_a_table_is_one_error(tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text("nnspec: 1\ndata: iris\nlayers: [dense: 3]\nloss: cross_entropy\noptimizer: sgd\nepochs: 1\n")
    assert call("run", spec, "--out", tmp_path / "run")[0] == 0
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    status, said = call("predict", tmp_path / "run", tmp_path / "a.png")
    assert status == 2 and "is an image, and the model takes more or something else" in said, said


def test_pictures_that_are_not_drawn_yet_are_one_error_that_tells_the_way(tmp_path: Path) -> None:
    for name in ("image_folder", "segmentation"):
        (tmp_path / f"{name}.yaml").write_text((drawn() / f"{name}.yaml").read_text())
        status, said = call("run", tmp_path / f"{name}.yaml")
        assert status == 3 and f"the comment at the top of {name}.yaml says how" in said, said
        assert "specs/quickstart/draw.py" in (tmp_path / f"{name}.yaml").read_text().split("\n")[0]
