"""``nnspec tune``: every way computes the same, the fastest is written, a run goes by it and resumes to the bit, and wrong files are one error."""

from __future__ import annotations

import json
import re
import shutil
from collections import namedtuple
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec as public
from nnspec.cli import status
from nnspec.codegen.tuning import Timed, Tuning, parse_tuning, read_tuning
from nnspec.compiler import compile_graph, loads, pass_graph
from nnspec.errors import DataError, SpecError
from nnspec.ir.graph import Graph, Value
from nnspec.ir.interpret import interpret
from nnspec.ir.op import Input
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.passes.take_ways import spelled
from nnspec.runtime.session import compile
from nnspec_numpy import BACKEND

Result = namedtuple("Result", "code out err")
SPEC = """nnspec: 1
name: small
data: digits
layers:
  - conv2d: {filters: 16, kernel: 3, padding: same, activation: relu}
  - conv2d: {filters: 16, kernel: 3, padding: same, activation: relu}
  - max_pool2d: 2
  - flatten
  - dense: 10
loss: cross_entropy
metrics: [accuracy]
optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}
epochs: 2
batch_size: 32
"""


@pytest.fixture
def nnspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls the command in a folder with a small spec."""
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SPEC)

    def call(*args: str) -> Result:
        code = status(args)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def tuning(ways: dict[str, str] | None = None, spec: str = SPEC, rows: int = 32) -> Tuning:
    """A file for the spec's programs in which every call goes the last of its ways, or those of ``ways`` by their ops."""
    model, calls = compile(loads(spec), weights=False), {}
    for kind, n in (("train", rows), ("score", 256), ("predict", 256)):
        for c in passed(model, kind, n).calls:
            if names := model.backend.ways(c):
                way = (ways or {}).get(c.op.name, names[-1])
                calls[spelled(c)] = Timed(spelled(c), way, dict.fromkeys((*names, way), 1.0), (c.origin.layer,))
    return Tuning("small", model.backend.machine(), 1, calls, "0.1.0")


def passed(model: Any, kind: str, n: int) -> Graph:
    return pass_graph(model.graph_of(kind, n), model.backend)


# Ways

SHAPES = (
    ((2, 17, 16, 8), (3, 3, 8, 4), {"stride": (1, 1), "padding": "same", "dilation": (1, 1)}),
    ((2, 9, 8, 5), (3, 3, 5, 7), {"stride": (1, 1), "padding": "same", "dilation": (1, 1)}),
    ((3, 8, 7, 16), (3, 3, 16, 33), {"stride": (1, 1), "padding": ((0, 1), (2, 0)), "dilation": (1, 1)}),
    ((2, 9, 9, 4), (3, 3, 4, 20), {"stride": (2, 2), "padding": "same", "dilation": (1, 1)}),
    ((2, 6, 5, 12), (1, 1, 12, 18), {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}),
    ((2, 8, 8, 32), (3, 3, 16, 32), {"stride": (1, 1), "padding": "same", "dilation": (1, 1), "groups": 2}),
    ((2, 8, 8, 6), (3, 3, 1, 6), {"stride": (1, 1), "padding": "same", "dilation": (1, 1), "groups": 6}),
    ((2, 6, 6, 6), (1, 1, 1, 6), {"stride": (1, 1), "padding": "same", "dilation": (1, 1), "groups": 6}),
    ((2, 5, 6, 16, 8), (3, 3, 3, 8, 32), {"stride": (1, 1, 1), "padding": "same", "dilation": (1, 1, 1)}),
    ((2, 11, 10), (4, 10, 9), {"stride": (3,), "padding": ((2, 1),), "dilation": (1,)}),
    ((1, 12, 12, 3), (5, 5, 3, 8), {"stride": (1, 1), "padding": "same", "dilation": (2, 2)}),
)


def calls(x: tuple[int, ...], w: tuple[int, ...], fields: dict[str, Any]) -> Iterator[tuple[Any, tuple[TensorType, ...]]]:
    """A convolution and its gradients, in what a program without gradients may do and in one that learns."""
    a, k = TensorType(x, DType.float32), TensorType(w, DType.float32)
    forward = Conv(**fields)
    g = forward.types(a, k)[0]
    yield forward, (a, k)
    yield forward.but(tiles=4), (a, k)
    yield forward.input_grad(x), (g, k)
    yield forward.kernel_grad(w), (a, g)


@pytest.mark.parametrize(("x", "w", "fields"), SHAPES, ids=str)
def test_every_way_computes_the_convolution(x: tuple[int, ...], w: tuple[int, ...], fields: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    for op, types in calls(x, w, fields):
        inputs = [Input(f"x{i}", t).one() for i, t in enumerate(types)]
        given = {f"x{i}": rng.standard_normal(t.shape).astype(np.float32) for i, t in enumerate(types)}
        y: Value = op.one(*inputs)
        exact = interpret(Graph({"y": double(op, types)}), {name: a.astype(np.float64) for name, a in given.items()})["y"]
        names = BACKEND.ways(y.call)
        assert not names or names[0] == BACKEND.choice(step_of(Graph({"y": y}))).partition(":")[0]
        for way in names:
            program = compile_graph(Graph({"y": op.but(way=way).one(*inputs)}), BACKEND, "one")
            assert [BACKEND.choice(s).partition(";")[0] for s in program.steps if s.call.op.name == op.name] == [f"{way}: tuned"]
            run = BACKEND.bind(program, BACKEND.memory({}))
            for name, a in given.items():
                run.inputs[name][...] = a
            for _ in range(2):
                run.run()
                assert np.abs(run.outputs["y"] - exact).max() <= 1e-5 * np.abs(exact).max() * (3 if way == "Winograd 4x4" else 1), way


def double(op: Any, types: tuple[TensorType, ...]) -> Value:
    value: Value = op.one(*(Input(f"x{i}", TensorType(t.shape, DType.float64)).one() for i, t in enumerate(types)))
    return value


def step_of(graph: Graph) -> Any:
    return compile_graph(graph, BACKEND, "one").steps[-1]


def test_strict_arithmetic_has_no_tiles_to_choose() -> None:
    model = compile(loads(SPEC + "math: strict\n"), weights=False)
    graph = pass_graph(model.graph_of("train", 32), model.backend, strict=True)
    names = {name for c in graph.calls for name in model.backend.ways(c)}
    assert names <= {"direct", "columns", "lines", "scattered taps"}
    untold = tuning().applied(graph, model.backend)
    assert all(not c.op.way for c in untold.calls)  # what was timed with tiles says nothing of calls without


def test_a_call_is_spelled_by_what_decides_its_time() -> None:
    a, w = (Input(n, TensorType(s, DType.float32)).one() for n, s in (("x", (2, 8, 8, 3)), ("w", (3, 3, 3, 4))))
    op = Conv((1, 1), "same", (1, 1))
    text = "Conv(stride=(1, 1), padding='same', dilation=(1, 1)) of float32[2 x 8 x 8 x 3], float32[3 x 3 x 3 x 4]"
    assert spelled(op.one(a, w).call) == spelled(op.but(way="direct").one(a, w).call) == text
    assert spelled(op.but(kept=True).one(a, w).call) != text
    assert op.but(way="direct") != op and op.but(way="direct").but(way="") == op and "way='direct'" in repr(op.but(way="direct"))
    assert op.but(way="direct").but(tiles=0).way == "direct"
    assert isinstance(op.input_grad((2, 8, 8, 3)), ConvInputGrad) and isinstance(op.kernel_grad((3, 3, 3, 4)), ConvKernelGrad)


# The file


@pytest.mark.wide
def test_a_file_says_what_it_was_made_from() -> None:
    made = tuning()
    again = parse_tuning(made.text(), "small.tune.yaml")
    assert again.ways == made.ways and again.machine == made.machine and len(made.ways) == 5  # a convolution with an epilogue goes ways that have one
    assert [t.milliseconds for t in again.calls.values()] == [t.milliseconds for t in made.calls.values()]
    assert parse_tuning(Tuning("n: {", {"cpu": '"'}, 2, {}).text(), "none.yaml").calls == {}


GOOD = """tune: 1
nnspec: "0.1.0"
spec: s
machine: {cpu: x}
threads: 2
calls:
- {call: "Conv of a", way: direct, milliseconds: {columns: 2, direct: 1.5}, layers: [a]}
"""
BAD = {
    "nothing": ("", "this is not a file of nnspec tune", "1:1"),
    "no YAML": ("tune: [1", "", "1:"),
    "a spec": (SPEC, "is no key of this file", "2:1"),
    "another form": (GOOD.replace("tune: 1", "tune: 2"), "another form of this file", "1:7"),
    "a key is missing": (GOOD.replace("threads: 2\n", ""), "'threads' is missing", "1:1"),
    "a key too many": (GOOD + "thread: 2\n", "'thread' is no key", "8:1"),
    "no threads": (GOOD.replace("threads: 2", "threads: 0.5"), "no number of threads", "5:10"),
    "calls are no list": (GOOD.split("calls:")[0] + "calls: {}\n", "'calls' is a list", "6:8"),
    "a call is a text": (GOOD + "- Conv\n", "this is no timed call", "8:3"),
    "a way that was not timed": (GOOD.replace("way: direct", "way: columnar"), "'columnar' was not timed", "7:"),
    "a time that is none": (GOOD.replace("1.5", ".nan"), "takes no such time", "7:"),
    "a time below zero": (GOOD.replace("1.5", "-1"), "takes no such time", "7:"),
    "a time that is endless": (GOOD.replace("1.5", "1e999"), "a number that is too large", "7:"),
    "a time that is text": (GOOD.replace("1.5", "fast"), "'direct' is a number", "7:"),
    "a call twice": (GOOD + GOOD.splitlines()[-1] + "\n", "stands here twice", "8:3"),
    "a machine of lists": (GOOD.replace("{cpu: x}", "{cpu: [x]}"), "'cpu' is a text", "4:16"),
    "a tag": (GOOD.replace("spec: s", "spec: !!python/object:os.system s"), "tag", "3:7"),
    "a control character": (GOOD.replace("spec: s", 'spec: "\x07"'), "not text", "3:8"),
    "a key twice": (GOOD + "threads: 3\n", "threads", "8:1"),
    "too large": ("#" * (1 << 20) + GOOD, "too large", ""),
    "aliases of aliases": ("a: &a [x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 20)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)), "", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_file_is_one_error_with_its_place(name: str, tmp_path: Path) -> None:
    text, message, place = BAD[name]
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(DataError) as e:
        read_tuning(path)
    assert message in e.value.render() and (f"bad.yaml:{place}" in e.value.render()), e.value.render()
    assert e.value.problems[0].hint or e.value.problems[0].wanted


def test_a_file_that_is_no_text_or_not_there_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    for path, message in ((tmp_path / "none", "there is no such file"), (tmp_path, "cannot be read"), (tmp_path / "bytes", "not UTF-8")):
        with pytest.raises(DataError, match=message) as e:
            read_tuning(path)
        assert len(e.value.problems) == 1


def test_a_file_of_another_machine_or_with_an_unknown_way_is_refused(tmp_path: Path) -> None:
    path, spec = tmp_path / "t.yaml", loads(SPEC)
    good = tuning().text()
    path.write_text(good.replace('vectors: "', 'vectors: "1'))
    with pytest.raises(DataError, match=r"(?s)t.yaml:5:\d+: the ways were timed on another machine.*vectors.*nnspec tune"):
        compile(spec, tune=path)
    path.write_text(re.sub(r'way: "[^"]*"\n  milliseconds: {', 'way: "by hand"\n  milliseconds: {"by hand": 1, ', good, count=1))
    model = compile(spec, tune=path)
    with pytest.raises(DataError, match=r"(?s)t.yaml:\d+:8: there is no way 'by hand' for Conv.*wanted"):
        model.fit(epochs=1)
    path.write_text(good)
    with pytest.raises(SpecError, match="interpreter"):
        compile(spec, backend="interpret", tune=path)


def test_the_table_shows_what_another_way_would_gain_and_whether_it_is_taken() -> None:
    from collections import Counter

    from rich.console import Console

    from nnspec.cli.tune import closing, faster, said, table
    from nnspec.runtime.tune import Gain, Tuned

    times = {
        "Conv of float32[1 x 2]": ("direct", {"columns": 3.0, "direct": 1.0}),
        "Conv of float32[3 x 4]": ("direct", {"direct": 0.99, "columns": 0.98}),
        "Conv of float32[5 x 6]": ("direct", {"direct": 0.5, "columns": 0.6}),
    }
    calls = {text: Timed(text, way, ms, ("[b]a[/b]\x1b[2J", "b")) for text, (way, ms) in times.items()}
    found = Tuned(Tuning("s", {}, 1, calls), Counter(dict.fromkeys(calls, 2)), (Gain("answer", 4, 2.0, 1.5), Gain("answer", 4, 2.0, 2.1)))
    assert faster(found) == list(calls)[:2]
    console = Console(width=140, record=True, file=StringIO())
    console.print(table(found, faster(found)))
    lines = [line for line in console.export_text().splitlines() if "Conv" in line]
    assert len(lines) == 2 and re.search(r"2 . columns +.    3 . direct +.    1 .       4", lines[0]) and "columns, not taken" in lines[1]
    assert "[b]a[/b]" in lines[0] and "\x1b" not in lines[0]
    assert "(25.0 % less)" in said(found.gains[0]) and "(5.0 % more): left to the cost model" in said(found.gains[1])
    assert next(closing(found, Path("x"))).startswith("1 of 3 calls go another way than the cost model's; for 1 another")


# Runs


def test_a_tuned_model_answers_as_one_that_is_not(tmp_path: Path) -> None:
    spec, x = loads(SPEC), np.random.default_rng(1).standard_normal((256, 8, 8, 1)).astype(np.float32)
    (tmp_path / "t.yaml").write_text(tuning().text())
    tuned = public.compile(spec, tune=str(tmp_path / "t.yaml"))
    one, other = compile(spec).predict(x), tuned.predict(x)
    assert np.abs(one - other).max() < 1e-5 and tuned.programs.tuned[0] == tuned.programs.tuned[1] > 0
    ops = {s.call.op.way for r in tuned.programs._kept.values() for s in r.program.steps if isinstance(s.call.op, Conv)}
    assert ops and "" not in ops


def test_a_run_keeps_the_file_and_resumes_by_it_to_the_bit(nnspec: Any) -> None:
    Path("t.yaml").write_text(tuning().text())
    assert nnspec("run", "small.yaml", "--tune", "t.yaml", "--out", "whole", "--threads", "1").code == 0
    assert nnspec("run", "small.yaml", "--tune", "t.yaml", "--out", "parts", "--epochs", "1").code == 0
    Path("t.yaml").unlink()
    assert read_tuning("parts/tune.yaml").ways == tuning().ways
    done = nnspec("run", "small.yaml", "--out", "parts", "--resume", "--epochs", "2")
    assert done.code == 0, done.err
    whole, parts = (Path(f, "last.safetensors").read_bytes() for f in ("whole", "parts"))
    assert whole[-2000:] == parts[-2000:] and len(whole) == len(parts)
    record = json.loads(Path("parts/run.json").read_text())
    assert len(record["choices"]["tune"]) == 64
    scores = [json.loads(nnspec("evaluate", f, "--json").out)["metrics"] for f in ("whole", "parts")]
    assert scores[0] == scores[1]


def test_resuming_by_other_choices_is_refused(nnspec: Any) -> None:
    Path("t.yaml").write_text(tuning().text())
    Path("other.yaml").write_text(tuning({"Conv": "columns"}).text())
    assert nnspec("run", "small.yaml", "--tune", "t.yaml", "--out", "tuned", "--epochs", "1").code == 0
    assert nnspec("run", "small.yaml", "--out", "plain", "--epochs", "1").code == 0
    for folder, file, words in (("tuned", "other.yaml", "says otherwise"), ("plain", "t.yaml", "as when it was started")):
        done = nnspec("run", "small.yaml", "--out", folder, "--resume", "--tune", file)
        assert done.code == 2 and words in done.err and "leave --tune out" in done.err
    assert nnspec("run", "small.yaml", "--out", "tuned", "--resume", "--tune", "t.yaml", "--epochs", "1").code == 0
    shutil.copy("other.yaml", "tuned/tune.yaml")
    done = nnspec("run", "small.yaml", "--out", "tuned", "--resume")
    assert done.code == 3 and "not what the run was started with" in done.err
    Path("tuned/tune.yaml").unlink()
    assert nnspec("run", "small.yaml", "--out", "tuned", "--resume").code == 3


def test_a_run_from_another_machine_goes_on_and_says_so(nnspec: Any) -> None:
    Path("t.yaml").write_text(tuning().text())
    assert nnspec("run", "small.yaml", "--tune", "t.yaml", "--out", "r", "--epochs", "1").code == 0
    there = Path("r/tune.yaml")
    there.write_text(re.sub('cpu: "[^"]*"', 'cpu: "z80"', there.read_text()))
    done = nnspec("evaluate", "r")
    assert done.code == 0 and done.err.count("another machine") == 1 and "z80" in done.err
    done = nnspec("run", "small.yaml", "--out", "r", "--resume")
    assert done.code == 0 and "timed on another machine" in done.err and "z80" in done.err


@pytest.mark.wide
def test_what_a_file_does_not_know_goes_by_the_cost_model_and_is_said(nnspec: Any) -> None:
    Path("t.yaml").write_text(tuning().text())
    done = nnspec("run", "small.yaml", "--tune", "t.yaml", "--set", "batch_size=16", "--epochs", "1")
    assert done.code == 0 and re.search(r"the tune file knew \d+ of \d+ calls", done.err), done.err
    assert "the tune file knows 0 of the 4 different calls" in nnspec("plan", "small.yaml", "--batch", "16", "--tune", "t.yaml").out


@pytest.mark.wide
def test_the_command_times_and_writes_what_a_run_takes(nnspec: Any) -> None:
    done = nnspec("tune", "small.yaml", "--seconds", "0", "--threads", "1")
    assert done.code == 0, done.err
    assert "written to small.tune.yaml" in done.out and re.search(r"\d of \d+ calls go another way", done.out) and "timing: training step" in done.err
    found = read_tuning("small.tune.yaml")
    assert {t.partition("(")[0] for t in found.calls} == {"Conv", "ConvInputGrad", "ConvKernelGrad"}
    assert all(ms > 0 for t in found.calls.values() for ms in t.milliseconds.values()) and found.threads == 1
    assert all(t.way in (t.model, min(t.milliseconds, key=t.milliseconds.__getitem__)) for t in found.calls.values())
    plan = nnspec("plan", "small.yaml", "--tune", "small.tune.yaml").out
    assert len(re.findall(r": tuned, [0-9.e-]+ ms \(", plan)) == 4 and "knows 4 of the 4" in plan and "take_ways" in plan
    done = nnspec("run", "small.yaml", "--tune", "small.tune.yaml", "--epochs", "1")
    assert done.code == 0 and "the tune file knew" not in done.err  # it knows the evaluation, too


def test_only_what_is_asked_for_is_timed_and_said_as_json(nnspec: Any) -> None:
    done = nnspec("tune", "small.yaml", "--only", "infer", "--batch", "8", "--seconds", "0", "-o", "x.yaml", "--json")
    found = json.loads(done.out)
    assert found["file"] == "x.yaml" and all(c["call"].startswith("Conv(") and "8 x 8" in c["call"] for c in found["calls"])
    assert not Path("small.tune.yaml").exists()


def test_no_other_file_is_lost_and_none_is_left_half(nnspec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for out, words in (("small.yaml", "holds something else"), ("no/where.yaml", "no folder"), (".", "this is a folder")):
        done = nnspec("tune", "small.yaml", "-o", out)
        assert done.code == 2 and words in done.err
    assert Path("small.yaml").read_text() == SPEC

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nnspec.runtime.tune._Timing.turn", stopped)
    assert nnspec("tune", "small.yaml", "--seconds", "0").code == 130
    assert sorted(p.name for p in Path().iterdir()) == ["small.yaml"]


def test_a_spec_without_choices_says_so(nnspec: Any) -> None:
    Path("dense.yaml").write_text("nnspec: 1\ninputs: {x: {shape: [4]}}\nlayers: [layer_norm]\n")
    done = nnspec("tune", "dense.yaml", "--seconds", "0")
    assert done.code == 0 and "nothing to choose" in done.out and read_tuning("dense.tune.yaml").calls == {}
