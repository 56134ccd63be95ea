"""The command line: what it prints where, its exit statuses, and that nothing but NnspecError reaches a user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli import commands, status

ROOT = Path(__file__).resolve().parent.parent
SPEC = """\
nnspec: 1
name: small
data:
  inline:
    columns:
      length: [1.0, 1.2, 0.9, 3.0, 3.2, 2.9, 1.1, 3.1]
      colour: [red, red, blue, blue, red, blue, blue, red]
      kind: [short, short, short, long, long, long, short, long]
    target: kind
  split: {train: 0.75, test: 0.25, stratify: kind}
  prepare:
    - standardize: [length]
inputs:
  length: {columns: length}
  colour: {columns: colour}
layers:
  - embedding: {vocabulary: $data.colour.classes, units: 2, from: colour, name: shade}
  - concat: {from: [length, shade]}
  - dense: {units: 4, activation: tanh}
  - dense: 2
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: {learning_rate: 0.1}}
epochs: 20
batch_size: 4
"""
IMAGE = ",".join(["0", "0.5"] * 32)
BAD = SPEC.replace("units: 4", "unit: 4").replace("- dense: 2", "- dens: 2")


class Result:
    """What a call of the command left."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def nnspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls the command in an empty folder that holds two specs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SPEC)
    (tmp_path / "bad.yaml").write_text(BAD)

    def call(*args: object) -> Result:
        code = status([str(a) for a in args])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small spec."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(SPEC)
    assert status(["run", str(folder / "small.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def shell(*args: str, **more: Any) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]), **more.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "nnspec", *args], capture_output=True, text=True, env=env, timeout=60, **more)


# The group


def test_help_names_every_command_in_one_line_each() -> None:
    done = shell("--help")
    assert done.returncode == 0
    assert [name for name in commands.COMMANDS if f"  {name} " not in done.stdout] == []


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from nnspec.cli import status; status(['--help']); print(sorted(sys.modules))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)
    loaded = set(eval(done.stdout.splitlines()[-1]))
    assert loaded & {"numpy", "pydantic", "networkx", "yaml", "rich", "safetensors", "nnspec.compiler"} == set()


@pytest.mark.skipif(not os.environ.get("NNSPEC_FULL"), reason="a timing: run with NNSPEC_FULL=1")
def test_help_is_quick() -> None:
    best = min(timed(lambda: shell("--help")) for _ in range(5))
    assert best < 0.3


def timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_line_in_the_table_is_that_of_a_command_with_help(name: str, nnspec: Any) -> None:
    done = nnspec(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: nnspec {name}")


def test_the_version_is_the_package_s(nnspec: Any) -> None:
    from importlib.metadata import version

    assert nnspec("--version").out == f"nnspec {version('nnspec')}\n"


def test_a_misspelt_command_is_told_the_nearest(nnspec: Any) -> None:
    done = nnspec("sumary", "x")
    assert done.code == 2 and "did you mean 'summary'?" in done.err


def test_a_spec_instead_of_a_command_is_told_to_run_it(nnspec: Any) -> None:
    assert "nnspec run small.yaml" in nnspec("small.yaml").err


def test_a_wrong_option_is_a_wrong_call(nnspec: Any) -> None:
    done = nnspec("run", "small.yaml", "--epoch", "3")
    assert done.code == 2 and "--epochs" in done.err


@pytest.mark.parametrize("text", ["vars.width", "=3", "a=1"])
def test_a_broken_setting_is_a_wrong_call(text: str, nnspec: Any) -> None:
    assert nnspec("check", "small.yaml", "--set", text).code == 2


# What goes wrong


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (MemoryError(), 5, "out of memory"),
        (OSError(28, "No space left on device", "x"), 5, "No space left"),
        (PermissionError(13, "Permission denied", "x"), 2, "x: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 70, "internal error: ZeroDivisionError: division by zero"),
    ],
)
def test_every_error_has_its_status_and_no_traceback(
    error: BaseException, code: int, says: str, nnspec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("nnspec.cli.check.read", fail)
    done = nnspec("check", "small.yaml")
    assert done.code == code and says in done.err and "Traceback" not in done.err


def test_a_bug_is_shown_to_who_asks_for_it(nnspec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("nnspec.cli.check.read", fail)
    monkeypatch.setenv("NNSPEC_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        nnspec("check", "small.yaml")


@pytest.mark.skipif(os.name != "posix", reason="pipes as on POSIX")
def test_a_reader_that_stops_reading_is_no_error() -> None:
    line = f'"{sys.executable}" -m nnspec schema | head -c 10'
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, timeout=60)
    assert done.stderr == "" and len(done.stdout) == 10


def test_a_terminal_without_unicode_is_no_error(nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD.replace("small", "größe"), "utf-8")
    done = shell("check", "bad.yaml", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2 and "Traceback" not in done.stderr and "internal" not in done.stderr


# check


def test_a_good_spec_is_told_so_with_its_size(nnspec: Any) -> None:
    done = nnspec("check", "small.yaml")
    assert (done.code, done.out, done.err) == (0, "small.yaml: ok (4 layers, 30 parameters)\n", "")


def test_every_problem_of_every_spec_is_reported(nnspec: Any) -> None:
    done = nnspec("check", "small.yaml", "bad.yaml", "none.yaml")
    assert done.code == 2
    assert done.out == "small.yaml: ok (4 layers, 30 parameters)\n"
    assert "bad.yaml:19:" in done.err and "bad.yaml:20:" in done.err and "none.yaml" in done.err


def test_problems_as_json_have_the_agreed_keys_and_edits_where_they_can_be_mended(nnspec: Any) -> None:
    done = nnspec("check", "bad.yaml", "small.yaml", "--format", "json")
    assert done.code == 2 and done.err == ""
    assert {tuple(p)[:6] for p in done.json} == {("file", "line", "column", "rule", "message", "hint")}
    assert {tuple(p)[6:] for p in done.json} <= {(), ("edits",)}
    assert {(p["file"], p["line"]) for p in done.json} == {("bad.yaml", 19), ("bad.yaml", 20)}


def test_a_good_spec_has_an_empty_list_of_problems(nnspec: Any) -> None:
    done = nnspec("check", "small.yaml", "--format", "json")
    assert (done.code, done.json) == (0, [])


def test_annotations_escape_what_a_workflow_would_read(nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "a,b.yaml").write_text(BAD)
    first = nnspec("check", "a,b.yaml", "--format", "github").out.splitlines()[0]
    assert first.startswith("::error file=a%2Cb.yaml,line=19,col=")
    assert first.count("::") == 2


def test_an_expanded_spec_is_a_spec_of_the_same_network(nnspec: Any, tmp_path: Path) -> None:
    done = nnspec("check", "small.yaml", "--expand", "--set", "epochs=7")
    assert done.code == 0 and "epochs: 7" in done.out
    (tmp_path / "again.yaml").write_text(done.out)
    assert nnspec("check", "again.yaml").out == "again.yaml: ok (4 layers, 30 parameters)\n"


def test_a_setting_from_the_command_line_is_named_in_its_error(nnspec: Any) -> None:
    done = nnspec("check", "small.yaml", "--set", "batch_size=many")
    assert done.code == 2 and "--set" in done.err


# summary, graph, plan


def test_the_summary_shows_every_layer(nnspec: Any) -> None:
    done = nnspec("summary", "small.yaml")
    assert done.code == 0 and done.err == ""
    assert all(word in done.out for word in ("shade", "concat_1", "dense_1", "dense_2", "30")) and "\x1b" not in done.out


def test_the_summary_as_json_has_the_agreed_keys(nnspec: Any) -> None:
    found = nnspec("summary", "small.yaml", "--json").json
    assert {"parameters", "flops", "memory", "layers"} <= found.keys()
    assert found["parameters"] == {"total": 30, "trainable": 30}
    assert found["memory"] > 30 * 4
    assert [layer["name"] for layer in found["layers"]] == ["shade", "concat_1", "dense_1", "dense_2"]


@pytest.mark.parametrize(("name", "start"), [("n.svg", "<svg"), ("n.mmd", "---"), ("n.dot", "digraph"), ("n.json", "{"), ("n.txt", "small")])
def test_a_drawing_has_the_form_of_its_name(name: str, start: str, nnspec: Any, tmp_path: Path) -> None:
    done = nnspec("graph", "small.yaml", "-o", name)
    assert done.code == 0 and done.out == ""
    assert (tmp_path / name).read_text("utf-8").startswith(start)


def test_a_drawing_into_a_pipe_is_utf8_whatever_the_terminal_writes(nnspec: Any, tmp_path: Path) -> None:
    done = shell("graph", "small.yaml", "--format", "svg", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"}, encoding="utf-8")
    assert done.returncode == 0 and "\u00b7" in done.stdout


@pytest.mark.parametrize("args", [("-o", "n.pdf"), ("-o", "n.ps")])
def test_a_drawing_for_later_is_refused_by_name(args: tuple[str, ...], nnspec: Any, tmp_path: Path) -> None:
    done = nnspec("graph", "small.yaml", *args)
    assert done.code == 2 and "not in this version" in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.yaml", "small.yaml"]


def test_a_drawing_without_a_form_names_the_forms(nnspec: Any) -> None:
    done = nnspec("graph", "small.yaml", "-o", "net")
    assert done.code == 2 and ".svg" in done.err


def test_the_plan_names_passes_memory_and_buffers(nnspec: Any) -> None:
    done = nnspec("plan", "small.yaml")
    assert done.code == 0 and done.err == ""
    assert all(word in done.out for word in ("passes", "fuse_l", "kernels", "memory", "largest buffers", "FLOP"))


def test_the_plan_of_an_answer_knows_no_update(nnspec: Any) -> None:
    out = nnspec("plan", "small.yaml", "--predict", "--batch", "1").out
    assert out.startswith("prediction of small") and "folded" in out and "update" not in out


def test_the_plan_s_source_is_python(nnspec: Any) -> None:
    import ast

    done = nnspec("plan", "small.yaml", "--source")
    assert done.code == 0
    assert ast.get_docstring(ast.parse(done.out)) and "dense_1" in done.out


def test_an_open_axis_is_asked_for_by_name(nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "open.yaml").write_text("nnspec: 1\ninputs: {x: {shape: [time, 3]}}\nlayers: [dense: 2]\n")
    assert "--axis time=64" in nnspec("plan", "open.yaml").err
    assert nnspec("plan", "open.yaml", "--axis", "time=5").code == 0
    assert nnspec("summary", "open.yaml", "--json").json["memory"] is None


# run, evaluate, predict


def test_a_run_ends_with_one_line_of_json(nnspec: Any) -> None:
    done = nnspec("run", "small.yaml", "--json", "--epochs", "2")
    assert done.code == 0 and len(done.out.splitlines()) == 1
    assert Path(done.json["run"]) == Path("runs/small/001")
    assert {"train.loss", "train.accuracy", "test.loss", "test.accuracy"} <= done.json["metrics"].keys()


def test_progress_goes_to_standard_error_and_metrics_to_standard_output(nnspec: Any) -> None:
    done = nnspec("run", "small.yaml", "--out", "here")
    assert done.code == 0 and "epoch 20/20" in done.err and "epoch" not in done.out
    assert "test.accuracy" in done.out and "here" in done.out


def test_a_folder_that_holds_a_run_is_not_overwritten(nnspec: Any) -> None:
    assert nnspec("run", "small.yaml", "--out", "here", "--epochs", "1").code == 0
    done = nnspec("run", "small.yaml", "--out", "here", "--epochs", "1")
    assert done.code == 2 and "--resume" in done.err
    assert nnspec("run", "small.yaml", "--out", "here", "--epochs", "2", "--resume").code == 0


def test_the_interpreter_trains_to_the_same_numbers(nnspec: Any) -> None:
    one = nnspec("run", "small.yaml", "--out", "a", "--epochs", "2", "--json", "--set", "precision=float64").json["metrics"]
    two = nnspec("run", "small.yaml", "--out", "b", "--epochs", "2", "--json", "--set", "precision=float64", "--interpret").json
    assert one == pytest.approx(two["metrics"], rel=1e-9)


@pytest.mark.parametrize("name", ["numpy", "cpu", "auto"])
def test_the_cpu_has_three_names(name: str, nnspec: Any) -> None:
    assert nnspec("run", "small.yaml", "--out", name, "--epochs", "1", "--backend", name).code == 0


@pytest.mark.parametrize("name", ["cupy", "gpu"])
def test_a_backend_that_is_not_installed_names_the_install(name: str, nnspec: Any, tmp_path: Path) -> None:
    from importlib.metadata import entry_points, metadata

    if "cupy" in {e.name for e in entry_points(group="nnspec.backends")}:
        pytest.skip("cupy is installed")
    done = nnspec("run", "small.yaml", "--backend", name)
    known = "pip install 'nnspec[cupy]'" if "cupy" in (metadata("nnspec").get_all("Provides-Extra") or []) else "backend 'cupy' is not in this version\n"
    assert done.code == 2 and known in done.err and not (tmp_path / "runs").exists()


def test_a_spec_that_cannot_be_trained_leaves_no_run(nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text("nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: 2]\n")
    done = nnspec("run", "plain.yaml")
    assert done.code == 2 and "loss" in done.err and not (tmp_path / "runs").exists()


def test_a_damaged_run_is_a_wrong_file(nnspec: Any, tmp_path: Path) -> None:
    assert nnspec("run", "small.yaml", "--out", "here", "--epochs", "1").code == 0
    (tmp_path / "here" / "last.safetensors").write_bytes(b"nothing")
    assert nnspec("evaluate", "here").code == 3
    assert nnspec("evaluate", "nowhere").code == 3


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_is_saved_and_says_how_to_resume(number: int, code: int, tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(SPEC.replace("epochs: 20", "epochs: 1000000"))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    args = [sys.executable, "-m", "nnspec", "run", "long.yaml", "--out", "here"]
    with subprocess.Popen(args, cwd=tmp_path, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        while "epoch 1/" not in run.stderr.readline():
            assert run.poll() is None
        run.send_signal(number)
        _, err = run.communicate(timeout=60)
    assert run.returncode == code
    assert "--out here --resume" in err and "Traceback" not in err
    assert (tmp_path / "here" / "last.safetensors").exists()


MOMENTS = {
    "while modules are imported": "sys.meta_path.insert(0, Presses())",
    "in code made from text": "import nnspec.cli.call as call\ncall.status = lambda args: caught(lambda: exec(PRESS))",
    "while it is said": "import nnspec.cli.call as call\ncall._called = lambda args: exec(PRESS)",
    "while it is drained": "import nnspec.cli.call as call\ncall.status = lambda args: 130\ncli._drain = lambda stream: exec(PRESS)",
}
PRESSING = """
import os, signal, sys
from nnspec import cli
PRESS = "import os, signal, time\\nos.kill(os.getpid(), signal.SIGINT)\\ntime.sleep(10)"

class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == "nnspec.cli.call":
            exec(PRESS)

def caught(f):
    try:
        f()
    except KeyboardInterrupt:
        return 130

"""


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_with_status_130_at_any_moment(moment: str, tmp_path: Path) -> None:
    """``python -m`` would end by the signal, with -2, where a KeyboardInterrupt has left what ``exec`` made of text."""
    (tmp_path / "pressed.py").write_text(f"{PRESSING}{MOMENTS[moment]}\ncli.main(['check', 'none.yaml'])")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    done = subprocess.run([sys.executable, "-m", "pressed"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_would_ruin_its_weights_stops_with_status_4(nnspec: Any) -> None:
    done = nnspec("run", "small.yaml", "--set", "optimizer.adam.learning_rate=3e38", "--out", "here")
    assert done.code == 4 and "NaN or infinite" in done.err


def test_a_network_that_does_not_fit_into_memory_is_refused_with_status_5(nnspec: Any, tmp_path: Path) -> None:
    done = nnspec("run", "small.yaml", "--set", "layers.shade.vocabulary=1000000", "--set", "layers.shade.units=1000000")
    assert done.code == 5 and "memory" in done.err and "shade" in done.err
    assert not (tmp_path / "runs").exists()


def test_evaluating_again_gives_the_run_s_own_numbers(nnspec: Any, trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())["metrics"]
    found = nnspec("evaluate", trained, "--json")
    assert found.code == 0 and found.err == ""
    assert found.json["metrics"] == pytest.approx({k: v for k, v in result.items() if k.startswith("test.")})
    assert set(nnspec("evaluate", trained, "--json", "--split", "train").json["metrics"]) == {
        "train.loss",
        "train.accuracy",
    }


def test_evaluating_a_split_that_is_not_there_names_those_that_are(nnspec: Any, trained: Path) -> None:
    done = nnspec("evaluate", trained, "--split", "validation")
    assert done.code == 2 and "test, train" in done.err


def test_rows_that_changed_since_the_run_are_told(nnspec: Any, tmp_path: Path) -> None:
    rows = "".join(f"{i},{2 * i}\n" for i in range(20))
    (tmp_path / "rows.csv").write_text("x,y\n" + rows)
    (tmp_path / "line.yaml").write_text(
        "nnspec: 1\ndata: {csv: {path: rows.csv, target: y}, split: {train: 0.5, test: 0.5}}\n"
        "layers: [dense: 1]\nloss: mse\noptimizer: {sgd: 1e-4}\nepochs: 1\n"
    )
    assert nnspec("run", "line.yaml", "--out", "r").code == 0
    assert nnspec("evaluate", "r").err == ""
    (tmp_path / "rows.csv").write_text("x,y\n" + rows.replace(",", ",1").replace("18,36", "18,37"))
    assert "changed since the run" in nnspec("evaluate", "r").err


@pytest.mark.parametrize("form", ["typed", "csv", "npz"])
def test_the_three_forms_of_an_input_get_the_same_answer(form: str, nnspec: Any, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("note,colour,length\nx,blue,0.95\ny,red,3.05\n")
    np.savez(tmp_path / "rows.npz", length=np.array([0.95, 3.05]), colour=np.array(["blue", "red"]))
    args = {"typed": ["0.95,blue", "3.05,red"], "csv": ["rows.csv"], "npz": ["rows.npz"]}[form]
    done = nnspec("predict", trained, *args, "--json")
    assert done.code == 0 and done.err == ""
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["class"] for row in rows] == ["short", "long"]
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in rows)
    typed = [json.loads(line) for line in nnspec("predict", trained, "0.95,blue", "3.05,red", "--json").out.splitlines()]
    for row, same in zip(rows, typed, strict=True):
        assert row["probabilities"] == pytest.approx(same["probabilities"])


def test_a_prediction_is_one_line_an_input_with_class_names(nnspec: Any, trained: Path) -> None:
    lines = nnspec("predict", trained, "0.95,blue", "3.05,red").out.splitlines()
    assert lines[0].startswith("0.95,blue  short ") and lines[1].startswith("3.05,red  long ")


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("1.0", 2, "length,colour"),
        ("1.0,blu", 2, "did you mean 'blue'?"),
        ("one,blue", 2, "a number for 'length'"),
        ("none.csv", 3, "nothing there"),
        ("broken.npz", 3, "no npz of arrays"),
        ("other.npz", 3, "no array 'length'"),
        ("short.csv", 3, "no column 'colour'"),
        ("strange.csv", 3, "none of its classes"),
        ("empty.csv", 3, "no value"),
    ],
)  # fmt: skip
def test_an_input_that_does_not_fit_says_what_is_wanted(text: str, code: int, says: str, nnspec: Any, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("length\n1\n")
    (tmp_path / "strange.csv").write_text("length,colour\n1,green\n")
    (tmp_path / "empty.csv").write_text("length,colour\n,red\n")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(tmp_path / "other.npz", lenght=np.ones(2), colour=np.array(["red", "blue"]))
    done = nnspec("predict", trained, text)
    assert done.code == code and says in done.err and done.out == ""


def test_a_row_may_begin_with_a_minus(nnspec: Any, trained: Path) -> None:
    assert nnspec("predict", trained, "-1.5,blue").out.startswith("-1.5,blue  ")


def test_numbers_come_back_in_their_own_unit(nnspec: Any, tmp_path: Path) -> None:
    rows = "".join(f"{i},{1000 + 2 * i}\n" for i in range(40))
    (tmp_path / "rows.csv").write_text("x,y\n" + rows)
    (tmp_path / "line.yaml").write_text(
        "nnspec: 1\ndata: {csv: {path: rows.csv, target: y}, prepare: [standardize: [x, y]]}\n"
        "layers: [dense: 1]\nloss: mse\noptimizer: {adam: 0.1}\nepochs: 60\nbatch_size: 8\n"
    )
    assert nnspec("run", "line.yaml", "--out", "r").code == 0
    (found,) = json.loads(nnspec("predict", "r", "10", "--json").out)["output"]
    assert found == pytest.approx(1020, abs=2)
    raw = json.loads(nnspec("predict", "r", "10", "--json", "--raw").out)["output"]
    assert abs(raw[0]) < 3


def test_an_image_is_predicted_from_an_npz(nnspec: Any, tmp_path: Path) -> None:
    spec = "nnspec: 1\ndata: digits\nlayers: [flatten, dense: 10]\nloss: cross_entropy\n"
    spec += "optimizer: {adam: 0.01}\nepochs: 2\n"
    (tmp_path / "d.yaml").write_text(spec)
    assert nnspec("run", "d.yaml", "--out", "r").code == 0
    np.savez(tmp_path / "two.npz", image=np.zeros((2, 8, 8, 1)))
    lines = nnspec("predict", "r", "two.npz", "--json").out.splitlines()
    assert [len(json.loads(line)["probabilities"]) for line in lines] == [10, 10]
    assert nnspec("predict", "r", ",".join(["0"] * 64)).code == 0
    assert nnspec("predict", "r", "0,1,2").code == 2


@pytest.mark.parametrize(("cpu", "way"), [("none", "columns"), ("", "direct")])
def test_plan_says_which_way_each_convolution_takes_and_why(
    cpu: str, way: str, nnspec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not cpu:
        pytest.importorskip("llvmlite", reason="kernels are compiled with it")
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    text = "inputs: {x: {shape: [16, 16, 64]}}\nbatch_size: 8\nlayers:\n  - conv2d: {filters: 64, kernel: 3, padding: same}\n  - conv2d: {filters: 64, kernel: 5}\n"
    (tmp_path / "conv.yaml").write_text(f"nnspec: 1\n{text}")
    lines = nnspec("plan", str(tmp_path / "conv.yaml")).out.splitlines()
    first = lines[lines.index("ways") + 1].removesuffix("; then a + b")  # the bias, computed by the kernel itself
    assert "Winograd" in first and first.endswith("times fewer products; its kernel is kept")
    ends = (f"{way}: windows of 5x5", "direct: windows of 5x5; its kernel is kept")
    assert any(line.removesuffix("; then a + b").endswith(ends) for line in lines)
    strict = nnspec("plan", str(tmp_path / "conv.yaml"), "--set", "math=strict").out
    assert f"{way}: math: strict" in strict and "Winograd" not in strict


# new, schema, doctor


TEMPLATES = {"perceptron": "0,1", "mlp": IMAGE, "cnn": IMAGE, "residual": IMAGE, "tabular": "60,,12,hills"}


def test_the_templates_are_listed(nnspec: Any) -> None:
    assert [line.split()[0] for line in nnspec("new").out.splitlines()] == list(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_checks_trains_and_answers(name: str, nnspec: Any, tmp_path: Path) -> None:
    assert nnspec("new", name).code == 0
    assert nnspec("check", f"{name}.yaml").out.startswith(f"{name}.yaml: ok")
    few = ["--set", "data.split.train=0.1"] if TEMPLATES[name] is IMAGE else []
    done = nnspec("run", f"{name}.yaml", "--epochs", "1", "--out", "r", *few)
    assert done.code == 0, done.err
    for call in (("evaluate", "r", "--split", "train"), ("predict", "r", TEMPLATES[name])):
        done = nnspec(*call)
        assert done.code == 0, done.err


@pytest.mark.skipif(not os.environ.get("NNSPEC_FULL"), reason="whole trainings: run with NNSPEC_FULL=1")
@pytest.mark.parametrize("name", [name for name in TEMPLATES if TEMPLATES[name] is IMAGE])
def test_a_template_of_digits_reads_them(name: str, nnspec: Any) -> None:
    assert nnspec("new", name).code == 0
    assert nnspec("run", f"{name}.yaml", "--json").json["metrics"]["test.accuracy"] > 0.95


def test_the_perceptron_learns_and(nnspec: Any) -> None:
    assert nnspec("new", "perceptron").code == 0
    assert nnspec("run", "perceptron.yaml", "--json").json["metrics"]["train.accuracy"] == 1.0


def test_a_template_never_overwrites(nnspec: Any, tmp_path: Path) -> None:
    assert nnspec("new", "mlp", "mine").code == 0
    (tmp_path / "mine.yaml").write_text("mine")
    done = nnspec("new", "mlp", "mine")
    assert done.code == 2 and "exists" in done.err and (tmp_path / "mine.yaml").read_text() == "mine"


def test_a_misspelt_template_is_told_the_nearest(nnspec: Any) -> None:
    assert "did you mean 'residual'?" in nnspec("new", "residul").err


def test_the_doctor_names_backends_and_machine(nnspec: Any) -> None:
    done = nnspec("doctor")
    assert done.code == 0
    assert all(f"{word} " in done.out for word in ("nnspec", "python", "numpy", "backends", "loop nests", "cpu", "cores", "memory"))
    assert json.loads(nnspec("doctor", "--json").out)["backends"]["numpy"] == "ready"


def test_the_doctor_names_the_extras_and_what_installs_them(nnspec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(nnspec("doctor", "--json").out)["extras"]["images"].startswith("Pillow ")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "parquet: not installed — pip install 'nnspec[parquet]'" in nnspec("doctor").out


def test_the_schema_goes_to_a_file_or_to_standard_output(nnspec: Any, tmp_path: Path) -> None:
    assert nnspec("schema", "-o", "s.json").code == 0
    assert json.loads((tmp_path / "s.json").read_text()) == json.loads(nnspec("schema").out)


def test_a_drawing_in_dots_is_a_png_and_says_where_it_is_smaller(nnspec: Any, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs Pillow, the extra images")
    done = nnspec("graph", "small.yaml", "-o", "n.png", "--scale", "1")
    assert done.code == 0 and (tmp_path / "n.png").read_bytes().startswith(b"\x89PNG")
    assert nnspec("graph", "small.yaml", "-o", "m.png", "--scale", "900").code == 5
    assert nnspec("graph", "small.yaml", "-o", "m.svg", "--scale", "2").code == 2
    assert not (tmp_path / "m.png").exists() and not (tmp_path / "m.svg").exists()


def test_a_pipe_gets_mermaid_and_the_form_can_be_said(nnspec: Any) -> None:
    assert nnspec("graph", "small.yaml").out.startswith("---\ntitle")
    text = nnspec("graph", "small.yaml", "--format", "text").out
    assert text.splitlines()[0] == "small" and "├ concat_1" in text.replace("┼", "├")
    assert json.loads(nnspec("graph", "small.yaml", "--format", "json", "-o", "-").out)["name"] == "small"


@pytest.mark.parametrize("name", ["n.svg", "n.mmd", "n.dot", "n.json", "n.txt"])
def test_several_specs_are_drawn_side_by_side(name: str, nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text((tmp_path / "small.yaml").read_text("utf-8").replace("shade", "light"), "utf-8")
    assert nnspec("graph", "small.yaml", "other.yaml", "-o", name).code == 0
    text = (tmp_path / name).read_text("utf-8")
    assert "shade" in text and "light" in text


@pytest.mark.parametrize("name", ["net", "net.xyz", ".", "folder", "no/such/net.svg"])
def test_a_drawing_that_cannot_be_written_is_one_error(name: str, nnspec: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = nnspec("graph", "small.yaml", "-o", name)
    assert done.code == 2 and done.out == "" and "Traceback" not in done.err and name in done.err


def test_the_program_is_drawn_as_the_plan_has_it(nnspec: Any) -> None:
    text = nnspec("graph", "small.yaml", "--level", "ops", "--format", "text", "--predict", "--batch", "2").out
    assert text.startswith("prediction of small\n") and "forward" in text and "at the peak" in text
    assert nnspec("graph", "small.yaml", "--predict").code == 2
    assert "no axis is called 'n'" in nnspec("graph", "small.yaml", "--level", "ops", "--axis", "n=3").err
