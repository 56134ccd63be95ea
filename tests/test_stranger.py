"""What somebody new runs into: damaged and unreadable run folders, paths that are none, rows that do not fit, closed pipes."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli import status
from nnspec.errors import nearest
from nnspec.runtime.callbacks import State
from nnspec.runtime.progress import Plain
from tests.test_cli import ROOT, SPEC

HOUSES = """\
nnspec: 1
name: houses
data:
  csv: {path: houses.csv, target: price}
  columns: {area: number, street: category, rooms: {number: {missing: median}}}
  split: {train: 0.75, test: 0.25}
  prepare:
    - standardize: [area, price]
inputs:
  numbers: {columns: [area, rooms]}
  street: {columns: street}
layers:
  - embedding: {from: street, vocabulary: $data.street.classes, units: 2, name: where}
  - concat: {from: [numbers, where]}
  - dense: 1
loss: mse
optimizer: sgd
epochs: 2
"""
STREETS = ("Elm", "Öak")
ROWS = "".join(f"{50 + i},{STREETS[i % 2]},{i % 5 if i % 7 else ''},{1000 * i}\n" for i in range(1, 33))


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a csv file."""
    folder = tmp_path_factory.mktemp("häuser")
    (folder / "houses.csv").write_text("area,street,rooms,price\n" + ROWS, encoding="utf-8")
    (folder / "houses.yaml").write_text(HOUSES)
    assert status(["run", str(folder / "houses.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], houses: Path) -> Any:
    """Calls the command in a folder with a spec and a copy of a run, ``out``; gives its status and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SPEC)
    shutil.copytree(houses, tmp_path / "out")

    def call(*args: object) -> tuple[int, str]:
        capsys.readouterr()
        return status([str(a) for a in args]), capsys.readouterr().err

    return call


def test_answers_are_refused_where_what_was_fitted_is_lost(call: Any, tmp_path: Path) -> None:
    assert call("predict", "out", "60,3,Elm")[0] == 0
    (tmp_path / "out/preparation.json").write_text("{}")
    assert call("predict", "out", "60,3,Elm") == (
        3,
        "out/preparation.json: nothing says how 'area' was prepared\n   wanted  a run's folder with all its files\n",
    )
    (tmp_path / "out/preparation.json").unlink()
    assert call("evaluate", "out")[0] == 3


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"a": 1}', "layers: [{"])
def test_a_damaged_spec_in_a_run_is_a_damaged_file(call: Any, houses: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "out/spec.yaml").write_text(content)
    for args in (("evaluate", "out"), ("run", houses.parent / "houses.yaml", "--out", "out", "--resume")):
        code, err = call(*args)
        assert (code, err[err.index("out/spec") :][:16]) == (3, "out/spec.yaml:1:"), err


def test_a_record_without_its_keys_is_a_damaged_file(call: Any, houses: Path, tmp_path: Path) -> None:
    (tmp_path / "out/run.json").write_text("{}")
    code, err = call("run", houses.parent / "houses.yaml", "--out", "out", "--resume")
    assert code == 3
    assert "out/run.json: 'backend' is not there" in err


def test_bytes_that_are_no_text_are_told_in_words(call: Any, tmp_path: Path) -> None:
    (tmp_path / "out/spec.yaml").write_bytes(b"\xff\xfe")
    assert call("evaluate", "out") == (3, "out/spec.yaml: the file cannot be read\n   found   not UTF-8\n")


def test_a_checkpoint_that_is_a_folder_is_called_one(call: Any, tmp_path: Path) -> None:
    (tmp_path / "out/last.safetensors").unlink()
    (tmp_path / "out/last.safetensors").mkdir()
    code, err = call("evaluate", "out")
    assert code == 3
    assert "found   this is a folder" in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read_are_files_that_are_wrong(call: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("area,street,rooms\n1,Elm,2\n")
    (tmp_path / "rows.csv").chmod(0)
    assert call("predict", "out", "rows.csv")[0] == 3
    for name in ("last.safetensors", "spec.yaml", "."):
        (tmp_path / "out" / name).chmod(0)
        code, err = call("evaluate", "out")
        (tmp_path / "out" / name).chmod(0o755)
        assert code == 3
        assert "Permission denied" in err


def test_an_axis_that_nothing_has_is_not_ignored(call: Any) -> None:
    code, err = call("plan", "small.yaml", "--axis", "time=3")
    assert code == 2
    assert "no axis is called 'time'" in err


def test_the_next_command_of_a_new_spec_can_be_pasted(call: Any) -> None:
    assert call("new", "mlp", "my net")[1].endswith("next: nnspec run 'my net.yaml'\n")


# Rows


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("60,Elm,3", "'60,Elm,3' is neither a file nor a row\n   found   'Elm'\n   wanted  a number for 'rooms', in the order area,rooms,street"),
        ("60,3", "found   2 values\n   wanted  area,rooms,street"),
        ("60", "found   1 value\n"),
        (",3,Elm", "row 1 of 'area' has no value, or one that does not fit float32\n   found   ',3,Elm'"),
        ("60,3,", "row 1 of 'street' has no value\n   found   '60,3,'"),
        ("1e39,3,Elm", "row 1 of 'area' has no value, or one that does not fit float32"),
    ],
)
def test_a_typed_row_that_does_not_fit_is_shown_whole(call: Any, row: str, expected: str, recwarn: pytest.WarningsRecorder) -> None:
    code, err = call("predict", "out", row)
    assert (code, expected in err) == (2, True), err
    assert not recwarn.list


def test_what_is_missing_in_a_file_has_its_place(call: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("area,street,rooms\n60,Elm,\n70,,2\n")
    code, err = call("predict", "out", "rows.csv")
    assert code == 3
    assert err.startswith("rows.csv:3:4: row 2 of 'street' has no value\n")


def test_a_folder_and_bytes_are_no_rows(call: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").mkdir()
    (tmp_path / "rows.npz").write_bytes(b"\x80\x04 no archive")
    (tmp_path / "rows").mkdir()
    assert "found   this is a folder" in call("predict", "out", "rows.csv")[1]
    assert "found   this is a folder" in call("predict", "out", "rows")[1]
    code, err = call("predict", "out", "rows.npz")
    assert code == 3
    assert "found   no zip archive" in err
    assert "pickle" not in err


def test_arrays_of_another_shape_are_a_wrong_file(call: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", numbers=np.zeros((2, 3)), street=np.array(["Elm", "Elm"]))
    assert call("predict", "out", "rows.npz") == (
        3,
        "rows.npz: the rows of 'numbers' do not fit\n   found   3\n   wanted  2\n",
    )


# Files that are written


@pytest.mark.parametrize(
    "args", [("graph", "small.yaml", "-o", "none/x.svg"), ("schema", "-o", "none/x.svg"), ("new", "mlp", "none/x")]
)
def test_a_folder_that_is_not_there_is_named(call: Any, args: tuple[str, ...]) -> None:
    code, err = call(*args)
    assert code == 2
    assert "found   there is no folder 'none'" in err


def test_a_file_that_cannot_be_written_is_not_left_half(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(tmp_path.iterdir())
    for args in (("graph", "small.yaml", "-o", "x.svg"), ("schema", "-o", "x.json"), ("new", "mlp", "x")):
        code, err = call(*args)
        assert code == 5
        assert err.startswith("x.")
    assert sorted(tmp_path.iterdir()) == before


# Progress and pipes


def test_a_run_that_is_over_says_so(call: Any, houses: Path) -> None:
    code, err = call("run", houses.parent / "houses.yaml", "--out", "out", "--resume")
    assert code == 0
    assert "nothing is left to do: 2 epochs done before" in err
    assert "resumed" not in err


def test_one_is_not_many() -> None:
    text = io.StringIO()
    Plain(text).on_start(State("x", None, epochs=1, batches=1, rows=1, batch_size=1))
    assert text.getvalue() == "x: 1 row, 1 batch of 1 an epoch, 1 epoch\n"


def closed(*args: str, stream: str, cwd: Path) -> subprocess.Popen[bytes]:
    """A call whose standard output or error nobody reads."""
    read, write = os.pipe()
    os.close(read)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: write}
    process = subprocess.Popen([sys.executable, "-m", "nnspec", *args], env=env, cwd=cwd, **pipes)
    os.close(write)
    return process


def test_a_run_goes_on_where_nobody_reads_its_progress(call: Any, tmp_path: Path) -> None:
    process = closed("run", "small.yaml", "--out", "quiet", "--backend", "numpy", stream="stderr", cwd=tmp_path)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"test.accuracy" in out
    assert (tmp_path / "quiet/result.json").exists()


def test_an_error_that_nobody_reads_has_the_status_of_a_closed_pipe(call: Any, tmp_path: Path) -> None:
    process = closed("check", "nothing.yaml", stream="stderr", cwd=tmp_path)
    process.communicate(timeout=60)
    assert process.returncode == 141


def test_a_path_that_a_shell_or_a_browser_would_follow_is_told_how_to_write_it(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    spec = "nnspec: 1\ndata: {csv: {path: %s, target: y}}\nlayers: [dense: 1]\nloss: mse\n"
    for written, hint in (("~/a.csv", "~ is a shell's word: /home/ada/a.csv"), ("https://x.org/a.csv", "nothing is fetched: download it")):
        (tmp_path / "p.yaml").write_text(spec % written)
        assert hint in call("check", "p.yaml")[1]


def test_a_path_typed_in_another_folder_than_the_spec_s_is_found_there(call: Any, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs/p.yaml").write_text("nnspec: 1\ndata: {csv: {path: none.csv, target: y}}\nlayers: [dense: 1]\nloss: mse\n")
    (tmp_path / "own.csv").write_text("x,y\n1,2\n")
    said = call("check", "specs/p.yaml", "--set", "data.csv.path=own.csv")[1]
    assert f"in the current folder there is one: {tmp_path / 'own.csv'}" in said
    assert call("check", "specs/p.yaml", "--set", f"data.csv.path={tmp_path / 'own.csv'}")[0] == 0


def test_what_is_there_and_no_file_is_not_said_to_be_misspelt(call: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "p.yaml").write_text("nnspec: 1\ndata: {csv: {path: pipe.csv, target: y}}\nlayers: [dense: 1]\nloss: mse\n")
    said = call("check", "p.yaml")[1]
    assert "no regular file" in said and "did you mean" not in said


def test_the_one_thing_that_every_row_of_another_separator_says_is_said_once(call: Any, tmp_path: Path) -> None:
    rows = "".join(f"{i};b;{i}\n" for i in range(50))
    (tmp_path / "t.csv").write_text('size, m;kind;y\n' + rows)
    (tmp_path / "p.yaml").write_text("nnspec: 1\ndata: {csv: {path: t.csv, target: y}}\nlayers: [dense: 1]\nloss: mse\n")
    said = call("check", "p.yaml")[1]
    assert said.count("does not fit the header") == 1 and 'separator: ";"' in said


def test_a_forgotten_target_is_asked_for(call: Any, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,kind\n1,x\n2,z\n")
    (tmp_path / "p.yaml").write_text("nnspec: 1\ndata: {csv: t.csv}\nlayers: [dense: 2]\nloss: cross_entropy\n")
    assert "say which column is to be predicted, beside the data's path: target: kind" in call("check", "p.yaml")[1]


def test_drawing_without_pillow_names_the_install(tmp_path: Path) -> None:
    (tmp_path / "PIL.py").write_text("raise ImportError")
    for script in ("draw.py", "photos.py"):
        command = [sys.executable, str(ROOT / "specs/quickstart" / script), str(tmp_path)]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (1, "drawing needs Pillow: pip install 'nnspec[images]'\n")


PHOTOS = """\
nnspec: 1
data:
  image_folder: {path: p, size: [4, 4]}
  split: {validation: 0.5, stratify: label}
layers: [flatten, dense: 2]
loss: cross_entropy
metrics: [auc]
optimizer: sgd
epochs: 1
"""


def photos(folder: Path, *names: bytes) -> None:
    """A few photographs for each class, under names that are no UTF-8."""
    image = pytest.importorskip("PIL.Image")
    for k, name in enumerate(names):
        under = os.fsencode(folder) + b"/p/" + name
        try:
            os.makedirs(under)
        except OSError:
            pytest.skip("this system takes no such name")
        for i in range(4):
            with open(under + b"/%d\xff.png" % i, "wb") as file:
                image.new("RGB", (4, 4), (100 * k, 50, 20 * i)).save(file, "PNG")


def test_names_that_are_not_utf8_are_names(call: Any, tmp_path: Path) -> None:
    photos(tmp_path, b"caf\xe9", b"ok")
    (tmp_path / "p.yaml").write_text(PHOTOS)
    assert call("run", "p.yaml", "--out", "r")[0] == 0
    assert call("evaluate", "r")[0] == 0
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "nnspec", "predict", "r", "p/ok/0\udcff.png", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=120)
    assert set(json.loads(done.stdout)["probabilities"]) == {"caf\udce9", "ok"}, done.stderr


def test_classes_are_called_the_same_whatever_the_locale_makes_of_folders(tmp_path: Path) -> None:
    photos(tmp_path, "hünd".encode(), b"ok")
    (tmp_path / "p.yaml").write_text(PHOTOS)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    for args in (["run", "p.yaml", "--out", "r"], ["predict", "r", "p/ok/0\udcff.png", "--json"]):
        command = [sys.executable, "-m", "nnspec", *args]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **plain}, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.decode())["probabilities"]) == {"hünd", "ok"}


def test_what_is_not_finite_is_null_in_every_file_of_a_run(call: Any, tmp_path: Path) -> None:
    def refuse(word: str) -> float:
        raise ValueError(word)

    inline = "{columns: {x: [1, 2, 3, 4], y: [0, 0, 0, 1]}, target: y}"
    (tmp_path / "p.yaml").write_text(
        f"nnspec: 1\ndata: {{inline: {inline}, split: {{train: 0.5, validation: 0.5, order: x}}}}\n"
        "inputs: {x: {columns: x}}\nlayers: [dense: 1]\nloss: binary_cross_entropy\nmetrics: [auc]\noptimizer: sgd\nepochs: 1\n"
    )
    assert call("run", "p.yaml", "--out", "r")[0] == 0
    assert json.loads((tmp_path / "r/result.json").read_text(), parse_constant=refuse)["metrics"]["train.auc"] is None
    assert call("compare", "r", "r")[0] == 0


def test_a_command_goes_on_without_standard_streams(call: Any, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for args, code in ((["run", "small.yaml", "--out", "r"], 0), (["summary", "small.yaml"], 0), (["check", "none.yaml"], 2)):
        command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-m", "nnspec", *args]
        assert subprocess.run(command, cwd=tmp_path, env=env, timeout=120).returncode == code
    assert (tmp_path / "r/result.json").exists()


def test_a_typed_value_with_a_comma_stands_in_quotes(call: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text('city,y\n"York, NY",1\nElm,2\n"York, NY",1\nElm,2\n')
    (tmp_path / "p.yaml").write_text(
        "nnspec: 1\ndata: {csv: {path: t.csv, target: y}, prepare: [one_hot: city]}\nlayers: [dense: 1]\nloss: mse\noptimizer: sgd\nepochs: 1\n"
    )
    assert call("run", "p.yaml", "--out", "r")[0] == 0
    assert call("predict", "r", '"York, NY"') == (0, "")
    assert "'York' is no class" in call("predict", "r", "York")[1]
    assert "found   2 values" in call("predict", "r", "York, NY")[1]
    (tmp_path / "new.csv").write_text("city;z;q\nElm;1;2\n")
    said = call("predict", "r", "new.csv")[1]
    assert said.count("the file has no column") == 1 and "give it the separator of the data" in said
    assert status(["predict", "r", "t.csv", "--json"]) == 0
    assert [json.loads(line)["input"] for line in capsys.readouterr().out.splitlines()] == [f"t.csv:{n}" for n in (1, 2, 3, 4)]


def test_a_misspelt_path_among_very_many_files_is_told_at_once() -> None:
    looked = 0

    def names() -> Any:
        nonlocal looked
        for looked in range(1_000_000):
            yield f"photo_{looked}.png"

    assert nearest("photo_7.pgn", names()) == "did you mean 'photo_7.png'?" and looked < 10_000


def test_a_file_without_a_partner_is_not_told_of_one_that_has_its_own(call: Any, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("a/scene_001.png", "a/scene_002.png", "a/scene_003.png", "b/scene_001.png", "b/scene_03.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.new("L", (2, 2)).save(tmp_path / name)
    (tmp_path / "p.yaml").write_text(
        'nnspec: 1\ndata: {files: {image: "a/*", mask: {path: "b/*", as: labels}, target: mask}}\nlayers: [conv2d: {filters: 2, kernel: 1}]\nloss: cross_entropy\n'
    )
    said = call("check", "p.yaml")[1]
    assert said.count("did you mean") == 3 and "'scene_001'?" not in said and "did you mean 'scene_03'?" in said
