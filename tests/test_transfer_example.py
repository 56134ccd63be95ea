"""From a folder of photographs to a saved classifier: the commands at the top of transfer.yaml, one after the other."""

from __future__ import annotations

import io
import json
import shlex
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from nnspec.cli import status as status_of
from nnspec.runtime.saving import load_model
from tests.drawn import drawn, learned

pytest.importorskip("PIL", reason="install the extra 'images'")


def call(text: str) -> str:
    """What a command prints; it must succeed."""
    out, said = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(said):
        status = status_of(shlex.split(text))
    assert status == 0, said.getvalue()
    return out.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    learned()
    out = tmp_path_factory.mktemp("runs") / "signs"
    call(f"run {drawn()}/transfer.yaml --out {out} --epochs 40")
    return out


def test_the_commands_in_its_comment_are_those_that_are_tried() -> None:
    text = (drawn() / "transfer.yaml").read_text()
    for part in ("python specs/quickstart/draw.py", "nnspec run specs/quickstart/image_folder.yaml --out runs/shapes", "python specs/quickstart/photos.py",
                 "nnspec run specs/quickstart/transfer.yaml --out runs/signs", "nnspec predict runs/signs specs/quickstart/drawn/signs/star/000.jpg"):  # fmt: skip
        assert part in text


def test_a_photograph_is_told_by_its_name(run: Path) -> None:
    signs = ("arrow", "cross", "ring", "star")
    photos = [drawn() / "drawn" / "signs" / sign / f"{i:03}.jpg" for sign in signs for i in range(5)]
    lines = [json.loads(line) for line in call(f"predict {run} {' '.join(map(str, photos))} --json").splitlines()]
    assert [line["input"] for line in lines] == [str(p) for p in photos]
    assert all(list(line["probabilities"]) == list(signs) for line in lines)
    assert np.mean([line["class"] == p.parent.name for line, p in zip(lines, photos, strict=True)]) >= 0.8


def test_the_backbone_is_as_it_was_and_the_run_says_where_it_came_from(run: Path) -> None:
    base, model = load_model(learned()), load_model(run)
    inside = [path for path in model.parameters if path.startswith("backbone/")]
    assert inside
    for path in inside:
        np.testing.assert_array_equal(np.asarray(model.parameters[path]), np.asarray(base.parameters[path.removeprefix("backbone/")]))
    (record,) = json.loads((run / "run.json").read_text())["weights"]
    assert record["path"] == str((learned() / "last.safetensors").resolve()) and len(record["sha256"]) == 64


def test_a_later_stretch_moves_the_backbone_too(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "longer")
    call(f"run {drawn()}/transfer.yaml --out {tmp_path}/longer --epochs 51 --resume")
    before, after = load_model(run), load_model(tmp_path / "longer")
    moved = [path for path, p in after.parameters.items() if p.role == "kernel" and not np.array_equal(np.asarray(p), np.asarray(before.parameters[path]))]
    assert "head/kernel" in moved and "backbone/conv2d_1/kernel" in moved


def test_the_classifier_needs_neither_the_photographs_nor_the_other_run(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "elsewhere")
    photo = shutil.copy(drawn() / "drawn" / "signs" / "ring" / "001.jpg", tmp_path / "photo.jpg")
    spec = (tmp_path / "elsewhere" / "spec.yaml").read_text()
    (tmp_path / "elsewhere" / "spec.yaml").write_text(spec.replace(str(learned().resolve()), "/nowhere").replace(str(drawn().resolve()), "/nowhere"))
    assert call(f"predict {tmp_path}/elsewhere {photo}").split()[1] in ("arrow", "cross", "ring", "star")
    model = load_model(tmp_path / "elsewhere")
    model.save(tmp_path / "model")
    assert call(f"predict {tmp_path}/model {photo}") == call(f"predict {tmp_path}/elsewhere {photo}")
