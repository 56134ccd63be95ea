"""A device that is given a step before the last one is looked at: the same history, files, errors and moments as one that is waited for."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.errors import NumbersError, SpecError
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.loop import Loop
from nnspec.runtime.run_folder import RunFolder
from nnspec.runtime.session import Model
from nnspec.runtime.trainer import train
from nnspec_cupy import BACKEND
from nnspec_cupy.emulated import EmulatedDevice

NET = """
nnspec: 1
name: late
inputs: {x: {shape: [4]}}
layers: [dense: 6, batch_norm, relu, {dropout: 0.2}, dense: 1]
loss: mse
metrics: [mae]
optimizer: {adam: {learning_rate: 0.01}}
batch_size: 8
epochs: 3
seed: 1
"""


@pytest.fixture(params=[False, True], ids=["copies late", "copies early"], autouse=True)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> EmulatedDevice:
    found = EmulatedDevice(eager=request.param)
    monkeypatch.setattr(BACKEND, "_given", found)
    monkeypatch.delitem(BACKEND.__dict__, "device", raising=False)
    monkeypatch.setattr("nnspec_cupy.executable.STAGED", 1)
    return found


def rows(n: int = 44) -> dict[str, Any]:
    r = np.random.default_rng(0)
    x = r.normal(size=(n, 4)).astype(np.float32)
    return {"x": x, "target": x[:, :1] * 2 + 1}


def model(tmp_path: Path, extra: str = "") -> Model:
    (tmp_path / "net.yaml").write_text(NET + extra)
    return nnspec.compile(nnspec.load(tmp_path / "net.yaml"), backend="cupy")


class Moments(Callback):
    """What each step's moment shows."""

    passive = True

    def __init__(self, at: int = 0, raised: Any = None) -> None:
        self.seen: list[Any] = []
        self.at, self.raised = at, raised

    def on_step(self, state: State) -> None:
        self.seen.append((state.epoch, state.batch, state.step, state.taken, state.rate, dict(state.metrics)))
        if state.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def trained(path: Path, late: bool, monkeypatch: pytest.MonkeyPatch, extra: str = "", data: Any = None, **options: Any) -> tuple[Any, Any, dict[str, Any], Model]:
    (path / "run").mkdir(parents=True)
    seen, m = Moments(**options), model(path, extra)
    assert m.late
    ended: Any = None
    with monkeypatch.context() as c:
        if not late:
            c.setattr(Model, "late", False)
        try:
            with RunFolder(path / "run") as folder:
                train(m, {"train": rows() if data is None else data}, folder, callbacks=[seen])
        except (NumbersError, Interrupted, SpecError) as e:
            ended = type(e), str(e).replace(str(path), "")
    files = {f.name: f.read_bytes() for f in sorted((path / "run").glob("*.safetensors"))}
    history = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (path / "run" / "metrics.jsonl").read_text().splitlines()] \
        if (path / "run" / "metrics.jsonl").exists() else []  # fmt: skip
    return seen.seen, ended, {**files, "history": history}, m


def same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    one, other = (trained(tmp_path / name, late, monkeypatch, **options) for name, late in (("late", True), ("waited", False)))
    assert one[0] == other[0] and one[1] == other[1]
    assert one[2].keys() == other[2].keys() and one[2]["history"] == other[2]["history"]
    for name in one[2]:
        assert one[2][name] == other[2][name], name
    assert (one[3].step, one[3].updates) == (other[3].step, other[3].updates)
    return one


def test_a_run_leaves_the_same_history_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, ended, files, m = same(tmp_path, monkeypatch, extra="checkpoint: {every: 4}\nschedule: {cosine: {length: 10 steps}}\n")
    assert ended is None and m.step == 18 and len(seen) == 18 and len(files["history"]) == 3


def test_steps_are_given_before_the_last_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    begin, end = Model.begin_step, Model.end_step
    monkeypatch.setattr(Model, "begin_step", lambda self, *a: (order.append("begin"), begin(self, *a))[1])
    monkeypatch.setattr(Model, "end_step", lambda self, *a: (order.append("end"), end(self, *a))[1])
    train(model(tmp_path), {"train": rows(32)}, epochs=1)
    assert order == ["begin", "begin", "end", "begin", "end", "begin", "end", "end"]


def test_ctrl_c_leaves_a_run_that_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as c:
        seen, ended, _, m = trained(tmp_path / "stopped", True, c, at=7)
        assert ended[0] is Interrupted and m.step in (7, 8) and f"after {m.step} steps" in ended[1]
        again = model(tmp_path / "stopped")
        with RunFolder(tmp_path / "stopped" / "run") as folder:
            train(again, {"train": rows()}, folder, resume=True)
    straight = trained(tmp_path / "straight", False, monkeypatch)[3]
    found, wanted = again.state(), straight.state()
    assert found.keys() == wanted.keys()
    for name, a in wanted.items():
        assert a.tobytes() == found[name].tobytes(), name


@pytest.mark.parametrize("row", [3, 12, 40, 43])
def test_a_step_that_is_not_finite_is_told_and_nothing_after_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    data = rows()
    data["target"][row] = 3e38
    _, (kind, text), _, m = same(tmp_path, monkeypatch, data=data)
    assert kind is NumbersError and "batch" in text and "layer" in text or "loss" in text
    before = m.state()
    m.train_batch({k: a[:3] for k, a in rows().items()})  # it goes on when the host has seen it
    assert any(a.tobytes() != before[k].tobytes() for k, a in m.state().items() if k.startswith("parameters/"))


def test_the_steps_behind_one_that_is_not_finite_do_nothing(tmp_path: Path) -> None:
    m, data = model(tmp_path), rows(8)
    bad = {**data, "target": np.full((8, 1), 3e38, np.float32)}
    counts = m.tally()
    m.end_step(m.begin_step(data, 0.01, 8, m.factors(0), 0), counts)
    before = {k: a.tobytes() for k, a in m.state().items()}
    first = m.begin_step(bad, 0.01, 8, m.factors(1), 0)
    second = m.begin_step(data, 0.01, 8, m.factors(2), 0)
    assert m.step == 3
    with pytest.raises(NumbersError, match="step 2 would"):
        m.end_step(first, counts)
    assert m.step == 1 and before == {k: a.tobytes() for k, a in m.state().items()}
    assert second.results is not None and not second.results.outputs["finite"]
    assert m.train_step(data, 0.01, 8)["loss"] > 0 and m.step == 2


def test_a_batch_that_does_not_fit_ends_the_run_after_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    begin = Model.begin_step

    def refusing(self: Model, *given: Any) -> Any:
        if self.step == 3:
            raise SpecError(nnspec.errors.Problem("a row does not fit"))
        return begin(self, *given)

    monkeypatch.setattr(Model, "begin_step", refusing)
    callback = Moments()
    with pytest.raises(SpecError):
        train(model(tmp_path), {"train": rows()}, callbacks=[callback])
    seen = [s[2] for s in callback.seen]
    assert seen == [1, 2, 3]


def test_a_callback_that_may_ask_the_model_is_called_before_the_next_step(tmp_path: Path) -> None:
    class Asking(Callback):
        def __init__(self, m: Model) -> None:
            self.model, self.steps = m, list[tuple[int, int]]()

        def on_step(self, state: State) -> None:
            self.steps.append((state.step, self.model.step))

    m = model(tmp_path)
    asking = Asking(m)
    train(m, {"train": rows()}, epochs=1, callbacks=[asking])
    assert asking.steps == [(n, n) for n in range(1, 7)]


def test_numpy_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    m = nnspec.compile(nnspec.load(tmp_path / "net.yaml"))
    assert not m.late and Loop.__init__ is not None


MEMORY = """
nnspec: 1
name: small
inputs: {x: {shape: [1000]}}
layers: [dense: 500, relu, dense: 1]
loss: mse
optimizer: {sgd: {learning_rate: 0.01}}
batch_size: 4096
epochs: 1
"""


def test_too_little_memory_is_told_before_anything_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnspec.errors import ResourceError

    (tmp_path / "net.yaml").write_text(MEMORY)
    spec = nnspec.load(tmp_path / "net.yaml")
    little = EmulatedDevice(total=1 << 20)
    monkeypatch.setattr(BACKEND, "_given", little)
    monkeypatch.delitem(BACKEND.__dict__, "device", raising=False)
    with pytest.raises(ResourceError, match="parameters do not fit into memory on emulated") as told:
        nnspec.compile(spec, backend="cupy")
    assert "dense_1/kernel" in str(told.value) and little.taken == 0
    some = EmulatedDevice(total=24 << 20)
    monkeypatch.setattr(BACKEND, "_given", some)
    monkeypatch.delitem(BACKEND.__dict__, "device", raising=False)
    m = nnspec.compile(spec, backend="cupy")
    held = some.taken
    r = np.random.default_rng(0)
    with pytest.raises(ResourceError, match="training step of small, batch 4096, float32 does not fit into memory on emulated") as told:
        m.train_step({"x": r.normal(size=(4096, 1000)).astype(np.float32), "target": np.zeros((4096, 1), np.float32)}, 0.1, 4096)
    assert some.taken == held and "largest: " in str(told.value) and "[4096 x " in str(told.value)
    fits = int(str(told.value).split("batch_size: ")[1].split()[0])
    m.train_step({"x": r.normal(size=(fits, 1000)).astype(np.float32), "target": np.zeros((fits, 1), np.float32)}, 0.1, fits)
    assert held < some.taken <= some.total
