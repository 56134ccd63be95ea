"""``nnspec tune`` for a GPU: candidates of cublasLt are timed by the device's events, written with device and library, replayed by a run, refused elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnspec.cli import status
from nnspec.codegen.tuning import read_tuning
from nnspec.compiler import loads
from nnspec.errors import DataError
from nnspec.ir.graph import abstract
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import Conv
from nnspec.ops.elementwise import exp
from nnspec.ops.matmul import matmul
from nnspec.runtime.session import compile
from nnspec_cupy import BACKEND, convolution
from nnspec_cupy.commands import ALGORITHMS, named, numbered
from nnspec_cupy.emulated import EmulatedDevice
from tests.cuda.fake_cupy import Machine, installed
from tests.cuda.shim import COMPILER

SPEC = """nnspec: 1
name: small
data: iris
layers: [dense: {units: 24, activation: relu}, dense: 3]
loss: cross_entropy
metrics: [accuracy]
optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}
epochs: 1
batch_size: 32
"""
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")


@pytest.fixture
def lt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """What stands for cublasLt, under the class that drives a GPU; the first candidate is slow."""
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SPEC)
    monkeypatch.setattr(convolution, "library", lambda: False)
    gpu, found, _ = installed(Machine(), monkeypatch)
    found.slow = {0: 8e-3, 2: 4e-3}
    monkeypatch.setattr(BACKEND, "_given", gpu)
    monkeypatch.delitem(BACKEND.__dict__, "device", raising=False)
    yield found
    BACKEND.__dict__.pop("device", None)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SPEC)
    monkeypatch.setattr(BACKEND, "_given", EmulatedDevice())
    monkeypatch.delitem(BACKEND.__dict__, "device", raising=False)
    yield
    BACKEND.__dict__.pop("device", None)


def test_ways_have_names_that_say_which_candidate_they_are() -> None:
    assert [numbered(named(n)) for n in range(ALGORITHMS)] == list(range(ALGORITHMS))
    assert [numbered(w) for w in ("", "candidate 1", "candidate 9", "candidate -2", "direct", "candidate ²")] == [0] * 6


@needs_compiler
def test_the_fastest_candidates_are_written_and_replayed(lt: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["tune", "small.yaml", "--backend", "gpu", "--seconds", "0", "--only", "train", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["machine"] == {"gpu": "made-up GPU", "arch": "sm_90", "processors": "132", "cublasLt": "130100", "math": "float32"}
    found = read_tuning("small.tune.yaml")
    assert {t.way for t in found.calls.values()} == {"candidate 2"} and all(len(t.milliseconds) == 3 for t in found.calls.values())
    for t in found.calls.values():
        assert t.milliseconds["heuristic"] > t.milliseconds["candidate 3"] > t.milliseconds["candidate 2"]
    assert lt.used and set(lt.used) == {0, 1, 2}
    lt.used.clear()
    assert status(["run", "small.yaml", "--backend", "gpu", "--tune", "small.tune.yaml", "--out", "a"]) == 0
    assert set(lt.used) == {1}


@needs_compiler
@pytest.mark.parametrize(("word", "other"), [("arch: \"sm_90\"", "arch: \"sm_80\""), ("cublasLt: \"130100\"", "cublasLt: \"120900\""), ("made-up GPU", "NVIDIA A100")])
def test_a_file_of_another_device_or_library_is_one_error(lt: Any, word: str, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    lt.slow = {}
    assert status(["tune", "small.yaml", "--backend", "gpu", "--seconds", "0", "--only", "infer"]) == 0
    path = Path("small.tune.yaml")
    assert word in path.read_text()
    path.write_text(path.read_text().replace(word, other))
    capsys.readouterr()
    for command in ("run", "plan"):
        assert status([command, "small.yaml", "--backend", "gpu", "--tune", "small.tune.yaml"]) == 3
        err = capsys.readouterr().err
        assert "small.tune.yaml:5:" in err and "the ways were timed on another machine" in err and "Traceback" not in err
        assert err.count("found") == 1 and "nnspec tune" in err


def test_a_file_timed_with_rounded_products_is_for_those(emulated: None) -> None:
    assert status(["tune", "small.yaml", "--backend", "gpu", "--seconds", "0", "--only", "infer", "--set", "math=tf32"]) == 0
    with pytest.raises(DataError, match="math float32, was tf32"):
        compile(loads(SPEC), backend="cupy", tune="small.tune.yaml", weights=False)
    compile(loads(SPEC + "math: tf32\n"), backend="cupy", tune="small.tune.yaml", weights=False)


def test_a_run_replays_its_candidates_to_the_bit_and_resumes(emulated: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["tune", "small.yaml", "--backend", "gpu", "--seconds", "0"]) == 0
    path = Path("small.tune.yaml")
    path.write_text(re.sub(r"  way: .*", '  way: "candidate 2"', path.read_text()))
    assert path.read_text().count("candidate 2") > 4
    assert status(["run", "small.yaml", "--backend", "gpu", "--out", "plain", "--set", "epochs=2"]) == 0
    for out in ("a", "b"):
        assert status(["run", "small.yaml", "--backend", "gpu", "--tune", str(path), "--out", out, "--set", "epochs=2"]) == 0
    last = [loss(out) for out in ("plain", "a", "b")]
    assert last[1] == last[2] != last[0] and last[1] == pytest.approx(last[0], rel=1e-4)
    capsys.readouterr()
    assert status(["plan", "small.yaml", "--backend", "gpu", "--tune", str(path)]) == 0
    assert "candidate 2: tuned" in capsys.readouterr().out


def loss(folder: str) -> float:
    lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    return next(v["train.loss"] for v in reversed(lines) if "train.loss" in v)


def test_what_is_no_product_has_one_way(emulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: False)
    x, w = abstract(TensorType((4, 6)), "x"), abstract(TensorType((6, 5)), "w")
    assert BACKEND.ways(exp(x).call) == ()
    assert BACKEND.ways(matmul(x, w).call) == ("heuristic", "candidate 2")
    image, kernel = abstract(TensorType((2, 8, 8, 3)), "i"), abstract(TensorType((3, 3, 3, 4)), "k")
    one = Conv((1, 1), "same", (1, 1)).one(image, kernel)
    assert BACKEND.ways(one.call) == ("heuristic", "candidate 2")
    monkeypatch.setattr(convolution, "library", lambda: True)
    assert BACKEND.ways(one.call) == (), "cuDNN's own choice"


@needs_compiler
def test_a_list_that_is_shorter_than_a_file_says_ends_with_its_last(lt: Any) -> None:
    from dataclasses import replace

    from nnspec_cupy.products import products
    from tests.test_cuda_products import placed

    (one,) = products(*(placed(n, s, DType.float32) for n, s in (("a", (3, 4)), ("b", (4, 5)), ("y", (3, 5)))))
    gpu = BACKEND.device
    blocks = {n: gpu.allocate(256) for n in "aby"}
    for candidates, wanted in ((3, 2), (1, 0)):
        lt.candidates = candidates
        assert gpu.algorithms(one) == candidates
        gpu.bind(replace(one, algorithm=7), lambda a: blocks[a.arena])()
        gpu.synchronize()
        assert lt.used[-1] == wanted


@needs_compiler
def test_descriptors_last_as_long_as_what_was_bound(lt: Any) -> None:
    from nnspec_cupy.products import products
    from tests.test_cuda_products import placed

    (one,) = products(*(placed(n, s, DType.float32) for n, s in (("a", (3, 4)), ("b", (4, 5)), ("y", (3, 5)))))
    gpu = BACKEND.device
    blocks = {n: gpu.allocate(256) for n in "aby"}
    before = len(lt.made)
    run = gpu.bind(one, lambda a: blocks[a.arena])
    assert len(lt.made) == before + 4
    run()
    gpu.synchronize()
    del run
    assert len(lt.made) == before
