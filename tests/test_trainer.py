"""Training ends in the same bits however often it is stopped, and says what stops it."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnspec.compiler import load, loads
from nnspec.data.batches import order
from nnspec.errors import DataError, NnspecError, NumbersError, ResourceError, SpecError
from nnspec.runtime import loop
from nnspec.runtime.callbacks import Callback, Drawing, EarlyStopping, State, Watch
from nnspec.runtime.checkpoint import Mark, peek, read
from nnspec.runtime.interrupt import Interrupted, Terminated
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.progress import Live, duration, progress
from nnspec.runtime.run_folder import RunFolder, open_run
from nnspec.runtime.session import Model, compile
from nnspec.runtime.trainer import Run, train

IRIS = """
nnspec: 1
name: flowers
data:
  iris: {}
  split: {train: 0.5, validation: 0.3, test: 0.2, stratify: species}
layers:
  - dense: {units: 6, activation: tanh}
  - batch_norm
  - dropout: 0.2
  - dense: 3
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: {learning_rate: 0.02}}
schedule: {cosine: {warmup: 1}}
epochs: 4
batch_size: 16
"""
STEPS = 20  # 75 rows: four batches of 16 and one of 11, for four epochs


def model(text: str = IRIS, **settings: Any) -> Model:
    return compile(loads(text, set={k.replace("__", "."): v for k, v in settings.items()}))


def run(folder: Path, *callbacks: Callback, resume: bool = False, text: str = IRIS, **settings: Any) -> Run:
    with open_run(folder, "x", resume) as opened:
        return train(model(text, **settings), None, opened, None, callbacks, resume)


class StopAt(Callback):
    """Interrupts as Ctrl-C does, after given steps."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_step(self, state: State) -> None:
        if state.step in self.steps:
            raise Interrupted("stop")


class StopAfterEpoch(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, state: State) -> None:
        if state.epoch == self.epoch:
            raise Interrupted("stop")


def files(folder: Path) -> dict[str, Any]:
    """What a run leaves, without the seconds it took."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    whole = ("last.safetensors", "best.safetensors", "result.json", "preparation.json", "spec.yaml")
    metrics = [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
    return {"metrics": metrics, **{name: (folder / name).read_bytes() for name in whole}}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    run(folder)
    return folder


# Resuming


@pytest.mark.parametrize("step", [1, 5, 7, STEPS])
def test_a_run_stopped_within_an_epoch_ends_in_the_same_bits(step: int, straight: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAt(step))
    assert peek(tmp_path / "run/last.safetensors").step == step
    run(tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == files(straight)


def test_a_run_stopped_again_and_again_ends_in_the_same_bits(straight: Path, tmp_path: Path) -> None:
    stops = StopAt(*range(0, STEPS, 3))
    for _ in stops.steps[1:]:
        with pytest.raises(Interrupted):
            run(tmp_path / "run", stops, resume=True)
    run(tmp_path / "run", stops, resume=True)
    assert files(tmp_path / "run") == files(straight)


@pytest.mark.parametrize("epoch", [1, 4])
def test_a_run_stopped_between_epochs_ends_in_the_same_bits(epoch: int, straight: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAfterEpoch(epoch))
    run(tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == files(straight)


@pytest.mark.parametrize("every", [1, 3])
def test_when_checkpoints_are_saved_does_not_change_what_is_learned(every: int, straight: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", checkpoint__every=every)
    assert {**files(tmp_path / "run"), "spec.yaml": 0} == {**files(straight), "spec.yaml": 0}


def test_checkpoints_come_every_so_many_steps_and_by_time_at_the_ends_of_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(Callback):
        def __init__(self) -> None:
            self.steps: set[int] = set()

        def on_step(self, state: State) -> None:
            last = tmp_path / "run/last.safetensors"
            self.steps |= {peek(last).step} if last.exists() else set()

    monkeypatch.setattr(loop, "SECONDS", 3600)
    run(tmp_path / "run", seen := Seen(), checkpoint__every=8)
    assert seen.steps == {8, 16}
    monkeypatch.setattr(loop, "SECONDS", 0)
    (tmp_path / "run").rename(tmp_path / "before")
    run(tmp_path / "run", seen := Seen())
    assert seen.steps == {5, 10, 15}


def test_a_run_that_is_done_can_be_resumed_and_stays_as_it_is(straight: Path, tmp_path: Path) -> None:
    done = run(tmp_path / "run")
    again = run(tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == files(straight)
    assert again.metrics == done.metrics and again.best == done.best


def test_epochs_may_grow(tmp_path: Path) -> None:
    text = IRIS.replace("schedule: {cosine: {warmup: 1}}", "schedule: {cosine: {length: 40 steps}}")
    run(tmp_path / "long", text=text, epochs=6)
    run(tmp_path / "run", text=text, epochs=2)
    run(tmp_path / "run", text=text, epochs=6, resume=True)
    assert files(tmp_path / "run") == files(tmp_path / "long")
    with pytest.raises(SpecError, match=r"longer(.|\n)*5 epochs, was 6"):
        run(tmp_path / "run", text=text, epochs=5, resume=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer.adam.learning_rate": 0.5}, "optimizer.adam.learning_rate: 0.5, was 0.02"),
        ({"layers.dense_1.units": 7}, "layers.0.dense.units: 7, was 6"),
        ({"batch_size": 8}, "batch_size: 8, was 16"),
        ({"seed": 3}, "seed: 3, was 0"),
        ({"precision": "float64"}, "precision: float64, was float32"),
        ({"metrics": []}, "metrics"),
    ],
)
def test_another_spec_cannot_resume_a_run(settings: dict[str, Any], said: str, straight: Path) -> None:
    before = files(straight)
    with pytest.raises(SpecError) as e:
        run(straight, resume=True, **{k.replace(".", "__"): v for k, v in settings.items()})
    assert said in str(e.value)
    assert files(straight) == before


def test_another_backend_cannot_resume_a_run(straight: Path) -> None:
    with open_run(straight, "x", True) as folder, pytest.raises(SpecError, match=r"backend: interpret, was numpy"):
        train(compile(loads(IRIS), backend="interpret"), None, folder, resume=True)


def test_changed_data_cannot_resume_a_run(tmp_path: Path) -> None:
    text = re.sub(
        r"(?s)data:.*?layers", "data: {inline: {columns: {x: [1, 2, 3, 4], y: [0, 1, 0, 1]}, target: y}}\nlayers", IRIS
    )
    text = (
        text.replace("dense: 3", "dense: 1")
        .replace("cross_entropy", "mse")
        .replace("metrics: [accuracy]", "metrics: [mae]")
    )
    splits = {"train": {"features": np.arange(4, dtype=np.float32)[:, None], "target": np.ones(4, np.float32)}}
    with open_run(tmp_path / "run", "x") as folder:
        train(model(text), splits, folder)
    splits["train"]["features"][2] += 1
    with open_run(tmp_path / "run", "x", True) as folder, pytest.raises(SpecError, match="data: other rows"):
        train(model(text), splits, folder, resume=True)


@pytest.mark.parametrize("text", [IRIS, IRIS.replace("epochs: 4\n", "")])
def test_a_run_that_was_called_with_more_epochs_goes_on_so(text: str, tmp_path: Path) -> None:
    for resume in (False, True):
        with open_run(tmp_path / "run", "x", resume) as folder, pytest.raises(Interrupted):
            train(model(text), None, folder, None if resume else 6, [StopAt(7, 22)], resume)
    with open_run(tmp_path / "run", "x", True) as folder:
        assert len(train(model(text), None, folder, resume=True).history) == 6


def test_a_damaged_spec_of_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAt(12))
    (tmp_path / "run/spec.yaml").write_text("a: [")
    with pytest.raises(DataError, match=f"{tmp_path}/run/spec.yaml:1"):
        run(tmp_path / "run", resume=True)


def test_the_hint_of_an_interrupted_run_is_a_command_that_continues_it(tmp_path: Path) -> None:
    spec = tmp_path / "my spec.yaml"
    spec.write_text(IRIS)
    for number, overrides in enumerate(({}, {"seed": 3})):
        with open_run(tmp_path / f"run {number}", "x") as folder, pytest.raises(Interrupted) as e:
            train(compile(load(spec, overrides)), None, folder, callbacks=[StopAt(3)])
        words = shlex.split(e.value.problems[0].hint)
        assert words[:2] == ["nnspec", "run"] and words[3:] == ["--out", str(tmp_path / f"run {number}"), "--resume"]
        assert words[2] == str(tmp_path / "run 1/spec.yaml" if overrides else spec)
        with open_run(Path(words[4]), "x", True) as folder:
            assert len(train(compile(load(words[2])), None, folder, resume=True).history) == 4


def test_resuming_where_nothing_was_saved_starts_anew(straight: Path, tmp_path: Path) -> None:
    run(tmp_path / "new", resume=True)
    assert files(tmp_path / "new") == files(straight)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAt(2))
    (tmp_path / "run/last.safetensors").unlink()
    run(tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == files(straight)


@pytest.mark.parametrize(
    "name", ["last.safetensors", "best.safetensors", "preparation.json", "run.json", "metrics.jsonl"]
)
def test_a_damaged_file_of_a_run_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAt(12))
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[:1])
    with pytest.raises(DataError) as e:
        run(tmp_path / "run", resume=True)
    assert str(path) in str(e.value)


def test_lines_of_metrics_that_the_checkpoint_does_not_know_are_cut_off(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAt(12))
    with open(tmp_path / "run/metrics.jsonl", "a") as file:
        file.write('{"epoch": 3}\n{"epo')
    run(tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == files(straight)


def test_what_killed_saves_left_behind_is_removed(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAt(12))
    for name in ("last.safetensors.tmp", "curves.svg.tmp"):
        (tmp_path / "run" / name).write_bytes(b"half")
    run(tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == files(straight)
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_a_best_checkpoint_from_beyond_the_last_one_is_made_again(straight: Path, tmp_path: Path) -> None:
    """As a kill between the two saves leaves them."""
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAt(7))
    (tmp_path / "run/best.safetensors").write_bytes((straight / "best.safetensors").read_bytes())
    assert peek(straight / "best.safetensors").epoch > 1
    run(tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == files(straight)


# Signals


class Send(Callback):
    """Sends this process a signal in the middle of a run."""

    def __init__(self, number: int, step: int, times: int = 1) -> None:
        self.number, self.step, self.times = number, step, times

    def on_step(self, state: State) -> None:
        if state.step == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("number", "kind", "status"), [(signal.SIGINT, Interrupted, 130), (signal.SIGTERM, Terminated, 143)]
)
def test_a_signal_ends_the_step_saves_and_says_how_to_resume(
    number: int, kind: type[NnspecError], status: int, straight: Path, tmp_path: Path
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(kind) as e:
        run(tmp_path / "run", Send(number, 7))
    assert e.type is kind and e.value.status == status
    assert f"--out {tmp_path / 'run'} --resume" in str(e.value) and "7 steps" in str(e.value)
    assert signal.getsignal(number) is before
    assert peek(tmp_path / "run/last.safetensors").step == 7
    run(tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == files(straight)


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Send(signal.SIGINT, 7, times=2))
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "run/last.safetensors").exists()


def test_callbacks_are_told_the_end_of_an_interrupted_run(tmp_path: Path) -> None:
    class Ends(StopAt):
        ended = 0

        def on_end(self, state: State) -> None:
            self.ended += 1

    with pytest.raises(Interrupted):
        run(tmp_path / "run", ends := Ends(3))
    assert ends.ended == 1


# Batches and metrics


def test_ragged_batches_train_as_exact_ones_do() -> None:
    """Rows padded at weight 0 against batches of exactly the rows: batch norm, its statistics and momentum too."""
    text = IRIS.replace(
        "{adam: {learning_rate: 0.02}}", "{sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true}}"
    ).replace("  - dropout: 0.2\n", "")
    padded, exact = model(text, precision="float64"), model(text, precision="float64")
    history = train(padded).history
    rows = assembled(exact, dataset(exact).splits["train"])
    for epoch in range(4):
        scores, sizes = [], []
        mixed = order(0, epoch, rows.size)
        for start in range(0, rows.size, 16):
            chosen = mixed[start : start + 16]
            arrays = {name: x[chosen] for name, x in rows.arrays.items()}
            scores.append(exact.train_step(arrays, exact.rate(exact.step, 5, 4), len(chosen)))
            sizes.append(len(chosen))
        assert sizes == [16, 16, 16, 16, 11]
        for name in ("loss", "accuracy"):
            mean = sum(s[name] * n for s, n in zip(scores, sizes, strict=True)) / 75
            assert history[epoch][f"train.{name}"] == pytest.approx(mean, rel=1e-12)
    for name, wanted in exact.state().items():
        np.testing.assert_allclose(padded.state()[name], wanted, rtol=1e-12, atol=1e-15, err_msg=name)


def test_metrics_count_rows_and_not_batches() -> None:
    """With weights that do not move, the epoch's means over ragged batches are those over all rows at once."""
    still = (
        IRIS.replace("{adam: {learning_rate: 0.02}}", "{sgd: 0.0}")
        .replace("  - dropout: 0.2\n  ", "  ")
        .replace("  - batch_norm\n", "")
    )
    m = model(still, precision="float64")
    done = train(m, epochs=1)
    wanted = m.score(assembled(m, dataset(m).splits["train"]).arrays, 75)
    assert done.history[0]["train.accuracy"] * 75 == pytest.approx(round(wanted["accuracy"] * 75), abs=1e-12)
    assert done.history[0]["train.loss"] == pytest.approx(wanted["loss"], rel=1e-14)


def test_the_history_says_epoch_step_rate_seconds_and_every_metric() -> None:
    m = model()
    done = train(m)
    assert [h["epoch"] for h in done.history] == [1, 2, 3, 4] and [h["step"] for h in done.history] == [5, 10, 15, 20]
    assert done.history[2]["rate"] == m.rate(14, 5, 4)
    assert list(done.history[0]) == [
        "epoch", "step", "rate", "seconds", "train.loss", "train.accuracy", "validation.loss", "validation.accuracy",
    ]  # fmt: skip
    assert list(done.metrics)[-2:] == ["test.loss", "test.accuracy"]
    assert done.metrics["test.loss"] == m.evaluate()["loss"]


def test_a_thousand_rows_in_batches_of_a_hundred_are_ten_steps() -> None:
    class Count(Callback):
        steps = 0

        def on_step(self, state: State) -> None:
            self.steps += 1

    rows: dict[str, NDArray[Any]] = {"features": np.ones((1000, 4), np.float32), "target": np.zeros(1000, np.int64)}
    text = "nnspec: 1\ninputs: {features: {shape: [4]}}\nlayers: [dense: 3]\nloss: cross_entropy\noptimizer: sgd\n"
    text += "batch_size: 100\n"
    train(model(text), {"train": rows}, epochs=1, callbacks=[count := Count()])
    assert count.steps == 10


def test_no_epochs_leave_the_weights_and_are_measured(tmp_path: Path) -> None:
    done = run(tmp_path / "run", epochs=0)
    assert done.history == () and set(done.metrics) == {"test.loss", "test.accuracy"}
    arrays, _ = read(tmp_path / "run/last.safetensors", model().state())
    np.testing.assert_equal(arrays, model().state())


def test_a_spec_without_epochs_says_so() -> None:
    with pytest.raises(SpecError, match="how long to train"):
        train(model(IRIS.replace("epochs: 4\n", "")))


# Best and early


def test_the_best_checkpoint_is_that_of_the_best_epoch(tmp_path: Path) -> None:
    done = run(
        tmp_path / "run",
        epochs=6,
        checkpoint__watch="validation.accuracy",
        optimizer__adam__learning_rate=0.3,
        schedule="constant",
    )
    values = [h["validation.accuracy"] for h in done.history]
    assert done.best == Mark(values.index(max(values)) + 1, max(values))
    assert done.best.epoch < 6, "this test wants a run that becomes worse"
    arrays, standing = read(tmp_path / "run/best.safetensors", model().state(), "parameters/")
    assert standing.best == done.best and standing.epoch == done.best.epoch
    run(
        tmp_path / "short",
        epochs=done.best.epoch,
        checkpoint__watch="validation.accuracy",
        optimizer__adam__learning_rate=0.3,
        schedule="constant",
    )
    np.testing.assert_equal(arrays, read(tmp_path / "short/last.safetensors", model().state(), "parameters/")[0])


def test_keeping_the_last_checkpoint_only_writes_no_best(tmp_path: Path) -> None:
    run(tmp_path / "run", checkpoint="last")
    assert not (tmp_path / "run/best.safetensors").exists()


def test_early_stopping_waits_its_patience_and_stays_stopped(tmp_path: Path) -> None:
    text = IRIS.replace("{adam: {learning_rate: 0.02}}", "{sgd: 0.0}").replace("  - batch_norm\n", "")
    done = run(tmp_path / "run", text=text, epochs=50, early_stopping=3)
    assert len(done.history) == 4 and "stopped early: validation.loss was best in epoch 1" in done.stop
    again = run(tmp_path / "run", text=text, epochs=50, early_stopping=3, resume=True)
    assert len(again.history) == 4 and again.stop == done.stop


def test_early_stopping_counts_on_over_an_interruption(tmp_path: Path) -> None:
    text = IRIS.replace("{adam: {learning_rate: 0.02}}", "{sgd: 0.0}").replace("  - batch_norm\n", "")
    with pytest.raises(Interrupted):
        run(tmp_path / "run", StopAt(13), text=text, epochs=50, early_stopping=3)
    assert len(run(tmp_path / "run", text=text, epochs=50, early_stopping=3, resume=True).history) == 4


@pytest.mark.parametrize(
    ("less", "values", "marked"), [(True, [3, 1, 2, 1], 2), (False, [1, 3, 2, 3], 2), (True, [2, 1.5, 1.2, 0.9], 4)]
)
def test_a_watch_marks_the_first_best_epoch(less: bool, values: list[float], marked: int) -> None:
    watch = Watch("m", less, change=1.0 if marked == 4 else 0.0)
    for epoch, value in enumerate(values, 1):
        watch.improved(epoch, {"m": value})
    assert watch.mark is not None and watch.mark.epoch == marked


def test_a_metric_that_is_never_a_number_stops_early() -> None:
    stopping = EarlyStopping(Watch("m", True), 2)
    state = State("x", None, 9, 1, 1, 1)
    for epoch in (1, 2):
        state.epoch = epoch
        state.history.append({"m": float("nan")})
        stopping.on_epoch(state)
    assert "never was a number" in state.stop


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"early_stopping": 2},
            ["'early_stopping' watches validation.loss, but no rows validate", "watch: train.loss"],
        ),
        ({"checkpoint": {"watch": "validation.accuracy"}}, ["'checkpoint' watches validation.accuracy"]),
        ({"checkpoint": {"watch": "train.loss"}}, []),
    ],
)
def test_a_watch_on_rows_that_were_not_given_is_refused_before_training(
    change: dict[str, Any], said: list[str]
) -> None:
    m = model(**change)
    rows = assembled(m, dataset(m).splits["train"]).arrays
    if not said:
        assert train(m, {"train": rows}).best is not None
        return
    with pytest.raises(SpecError) as e:
        train(m, {"train": rows})
    assert all(part in str(e.value) for part in said), str(e.value)
    assert e.value.problems[0].place is not None and m.step == 0


# Numbers


def test_a_step_that_would_ruin_the_weights_stops_the_run_and_is_located(tmp_path: Path) -> None:
    text = (
        IRIS.replace("{adam: {learning_rate: 0.02}}", "{sgd: 1e30}")
        .replace("cross_entropy", "mse")
        .replace("dense: 3", "dense: 1")
    )
    text = re.sub(
        r"(?s)data:.*?layers",
        "data: {inline: {columns: {x: [1.0, 2.0, 3.0], y: [0.0, 5.0, 1.0]}, target: y}}\nlayers",
        text,
    )
    text = (
        text.replace("metrics: [accuracy]", "metrics: [mae]")
        .replace("schedule: {cosine: {warmup: 1}}\n", "")
        .replace("16", "1")
    )
    text = text.replace("  - batch_norm\n", "").replace("tanh", "relu").replace("  - dropout: 0.2\n", "")
    with pytest.raises(NumbersError) as e:
        run(tmp_path / "run", text=text)
    assert e.value.status == 4
    assert re.search(r"epoch \d, batch \d of 3: step \d", str(e.value)) and "layer 'dense_" in str(e.value)
    arrays, standing = read(tmp_path / "run/last.safetensors", model(text).state())
    assert standing.step > 0 and all(np.isfinite(a).all() for a in arrays.values())


# The folder


def test_a_run_leaves_what_it_was_made_with(straight: Path) -> None:
    held = json.loads((straight / "run.json").read_text())
    assert held["seed"] == 0 and held["backend"] == "numpy" and held["numpy"] == np.__version__ and held["epochs"] == 4
    assert loads((straight / "spec.yaml").read_text()).text == (straight / "spec.yaml").read_text()
    result = json.loads((straight / "result.json").read_text())
    assert result["epochs"] == 4 and result["metrics"].keys() >= {"train.loss", "validation.accuracy", "test.accuracy"}
    assert len((straight / "metrics.jsonl").read_text().splitlines()) == 4


def test_runs_are_numbered_and_the_newest_is_resumed(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        with open_run(None, "a b/../c", root=tmp_path) as folder:
            names.append(folder.path.relative_to(tmp_path).as_posix())
    assert names == ["a_b_.._c/001", "a_b_.._c/002"]
    (tmp_path / "a_b_.._c/notes").mkdir()
    with open_run(None, "a b/../c", resume=True, root=tmp_path) as folder:
        assert folder.path.name == "002"
    with open_run(None, "..", resume=True, root=tmp_path) as folder:
        assert folder.path == tmp_path / "network/001"


def test_a_folder_that_holds_something_is_not_written_to(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"not empty(.|\n)*--resume"):
        open_run(straight, "x")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SpecError, match="not empty"):
        open_run(tmp_path, "x")
    with pytest.raises(SpecError, match="not the folder of a run"):
        open_run(tmp_path, "x", resume=True)
    assert os.listdir(tmp_path) == ["thesis.txt"]
    with pytest.raises(SpecError, match="is a file"):
        open_run(tmp_path / "thesis.txt", "x")


def test_two_processes_cannot_use_one_folder(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from nnspec.runtime.run_folder import open_run\n"
    code += "f = open_run(Path(sys.argv[1]), 'x'); print('locked', flush=True); sys.stdin.read()"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as other:
        assert other.stdout is not None and other.stdout.readline().strip() == b"locked"
        with pytest.raises(ResourceError, match=f"process {other.pid}") as e:
            open_run(tmp_path / "run", "x")
        assert e.value.status == 5
        other.kill()
        other.wait()
        open_run(tmp_path / "run", "x").close()  # the lock of a dead process does not block


def test_a_folder_that_cannot_be_made_is_a_matter_of_resources(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        open_run(Path("/proc/nnspec/run") if sys.platform == "linux" else tmp_path / ("x" * 300), "x")


def test_a_metric_that_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.start_metrics(0)
        folder.append({"train.loss": float("nan"), "epoch": 1})
        assert (tmp_path / "metrics.jsonl").read_text() == '{"train.loss": null, "epoch": 1}\n'
        folder.close()
    with RunFolder(tmp_path) as folder:
        assert np.isnan(folder.start_metrics(1)[0]["train.loss"])


# Progress


def test_a_drawing_follows_the_history_and_ends_with_all_of_it(tmp_path: Path) -> None:
    class Watcher(Callback):
        seen = ""

        def on_step(self, state: State) -> None:
            if state.step == 7:
                self.seen = (tmp_path / "run/curves.svg").read_text()

    with open_run(tmp_path / "run", "x") as folder:
        drawing = Drawing(
            lambda text: folder.write("curves.svg", text), lambda history: str([h["step"] for h in history])
        )
        train(model(), None, folder, callbacks=[drawing, watcher := Watcher()])
    assert watcher.seen == "[5]" and (tmp_path / "run/curves.svg").read_text() == "[5, 10, 15, 20]"


def test_without_a_terminal_there_are_plain_lines_and_the_last_epoch_is_shown() -> None:
    stream = io.StringIO()
    train(model(epochs=30), callbacks=[progress(stream)])
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("flowers: 75 rows, 5 batches of 16")
    assert lines[-1].startswith("epoch 30/30  loss ") and "validation accuracy" in lines[-1] and "rows/s" in lines[-1]
    assert len(lines) < 15 and "\x1b" not in stream.getvalue()


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    shown = progress(stream := Terminal())
    assert isinstance(shown, Live)
    train(model(epochs=30), callbacks=[shown])
    assert "\x1b[" in stream.getvalue() and "epoch 30/30  loss" in stream.getvalue()


def test_a_quiet_run_says_nothing() -> None:
    stream = io.StringIO()
    train(model(), callbacks=[progress(stream, quiet=True)])
    assert stream.getvalue() == ""


def test_durations_are_minutes_and_seconds() -> None:
    assert [duration(s) for s in (None, 0, 65, 3725)] == ["-:--", "0:00", "1:05", "1:02:05"]
