"""Learning rates beside PyTorch's schedulers, step by step; stretches and what depends on what is measured."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.codegen.check_plan import check_plan
from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.passes import run_pipeline
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.plateaus import Plateaus, Seen
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import Model, compile
from nnspec.runtime.trainer import train
from nnspec.training.schedules import Plateau

torch = pytest.importorskip("torch", reason="install the extra 'test'")
from torch.optim import lr_scheduler as theirs  # noqa: E402

NETWORK = """
nnspec: 1
precision: float64
inputs: {x: {shape: [5]}}
layers: [dense: {units: 4, activation: tanh}, dense: {units: 3, name: head}]
loss: mse
optimizer: {sgd: {learning_rate: 0.4}}
"""
BASE, PER_EPOCH, EPOCHS = 0.4, 5, 8


def made(schedule: str, more: str = "") -> Model:
    return compile(loads(f"{NETWORK}schedule: {schedule}\n{more}"))


def rates(schedule: str) -> list[float]:
    model = made(schedule)
    return [model.rate(step, PER_EPOCH, EPOCHS) for step in range(PER_EPOCH * EPOCHS)]


def pytorchs(make: Callable[[Any], Any]) -> list[float]:
    rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], BASE)
    scheduler = make(rule)
    out = []
    for _ in range(PER_EPOCH * EPOCHS):
        out.append(rule.param_groups[0]["lr"])
        rule.step()
        scheduler.step()
    return out


ALIKE: dict[str, Callable[[Any], Any]] = {
    "{constant: {}}": lambda o: theirs.LambdaLR(o, lambda t: 1.0),
    "{constant: {warmup: 2}}": lambda o: theirs.LambdaLR(o, lambda t: min(1.0, (t + 1) / 10)),
    "{step: {every: 7 steps, factor: 0.3}}": lambda o: theirs.StepLR(o, 7, 0.3),
    "{step: {every: 2}}": lambda o: theirs.StepLR(o, 10, 0.1),
    "{multistep: {at: [3 steps, 2, 4], factor: 0.5}}": lambda o: theirs.MultiStepLR(o, [3, 10, 20], 0.5),
    "{exponential: {factor: 0.9, every: 1 steps}}": lambda o: theirs.ExponentialLR(o, 0.9),
    "{exponential: {factor: 0.5}}": lambda o: theirs.ExponentialLR(o, 0.5 ** (1 / 5)),
    "{polynomial: {power: 2, length: 4}}": lambda o: theirs.PolynomialLR(o, 20, 2.0),
    "{polynomial: {power: 0.5}}": lambda o: theirs.PolynomialLR(o, 40, 0.5),
    "{linear: {length: 4}}": lambda o: theirs.PolynomialLR(o, 20, 1.0),
    "{linear: {to: 0.1, length: 20 steps}}": lambda o: theirs.LinearLR(o, 1.0, 0.25, 20),
    "{linear: {to: 0.8, length: 3}}": lambda o: theirs.LambdaLR(o, lambda t: 1.0 + min(t, 15) / 15),
    "{cosine: {minimum: 0.05}}": lambda o: theirs.CosineAnnealingLR(o, 40, 0.05),
    "{cosine: {warmup: 1}}": lambda o: theirs.SequentialLR(
        o, [theirs.LinearLR(o, 1 / 5, 1.0, 4), theirs.CosineAnnealingLR(o, 35)], [5]),
    "{multistep: {at: [2], factor: 0.5, warmup: 4 steps}}": lambda o: theirs.LambdaLR(
        o, lambda t: (t + 1) / 4 if t < 4 else 0.5 ** (t - 4 >= 10)),
    "{linear: {to: 0, warmup: 1}}": lambda o: theirs.LambdaLR(o, lambda t: (t + 1) / 5 if t < 5 else 1 - (t - 5) / 35),
}  # fmt: skip


@pytest.mark.parametrize("schedule", ALIKE)
def test_rates_are_pytorchs(schedule: str) -> None:
    assert rates(schedule) == pytest.approx(pytorchs(ALIKE[schedule]), rel=1e-12, abs=1e-15)


def test_past_its_length_a_schedule_stays_where_it_ended() -> None:
    for kind, end in (("linear", 0.1), ("polynomial", 0.1), ("cosine", 0.1)):
        to = "minimum" if kind == "cosine" else "to"
        assert rates(f"{{{kind}: {{{to}: 0.1, length: 2}}}}")[10:] == pytest.approx([end] * 30, rel=1e-15)


def test_a_rate_that_grows_beyond_every_number_is_infinite_and_no_traceback() -> None:
    assert rates("{exponential: {factor: 1e300, every: 1 steps}}")[-1] == float("inf")


# What is measured decides


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("cooldown", [0, 2])
def test_a_plateau_cuts_as_pytorchs_with_one_epoch_less_of_patience(mode: str, cooldown: int) -> None:
    """Keras counts ``patience`` epochs without a better one, PyTorch allows so many and cuts at the next."""
    watch = Plateau(watch="validation.loss", factor=0.5, patience=3, change=0.05, minimum=0.02, cooldown=cooldown)
    rng = np.random.default_rng(0)
    for _ in range(20):
        rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], BASE)
        other = theirs.ReduceLROnPlateau(rule, mode, 0.5, 2, 0.05, "abs", cooldown, 0.02, 0.0)
        mine = Plateaus()
        for value in [*np.cumsum(rng.normal(-0.02, 0.1, 25)), float("nan"), *np.cumsum(rng.normal(0, 0.1, 10))]:
            mine.observe((watch,), 0, {"validation.loss": float(value)}, mode == "min")
            other.step(float(value))
            assert mine.cut((watch,), 0, BASE) == pytest.approx(rule.param_groups[0]["lr"], rel=1e-12)


def test_what_a_plateau_has_seen_ends_with_its_stretch() -> None:
    watch = Plateau(watch="train.loss", factor=0.5, patience=1, change=0.0)
    mine = Plateaus()
    for stretch, value in ((0, 1.0), (0, 1.0), (1, 1.0), (1, 0.5)):
        mine.observe((watch, watch), stretch, {"train.loss": value}, True)
        assert mine.cut((watch, watch), 1 - stretch, BASE) == BASE
    assert mine.seen == Seen(1, 0.5)


IRIS = """
nnspec: 1
data: {iris: {}, split: {train: 0.5, validation: 0.5, stratify: species}}
layers:
  - dense: {units: 6, activation: tanh, name: first}
  - residual: {name: body, layers: [dense: {units: 6, activation: tanh}, batch_norm]}
  - dropout: 0.2
  - dense: {units: 3, name: head}
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: {learning_rate: 0.02OPT}}
batch_size: 16
schedule: SCHEDULE
"""
PER = 5  # 75 rows


def iris(schedule: str, more: str = "", optimizer: str = "") -> str:
    return IRIS.replace("SCHEDULE", schedule).replace("OPT", optimizer) + more


def test_a_plateau_cuts_the_rate_of_a_run() -> None:
    run = compile(loads(iris("{plateau: {watch: validation.accuracy, patience: 2, factor: 0.5, change: 2, minimum: 0.004}}", "epochs: 8"))).fit()
    assert [e["rate"] for e in run.history] == pytest.approx([0.02] * 3 + [0.01] * 2 + [0.005] * 2 + [0.004])


# Stretches


LISTS: dict[str, Callable[[Any], Any]] = {
    "[{constant: 3}, {linear: {to: 0, length: 5}}]": lambda o: theirs.LambdaLR(o, lambda t: 1.0 if t < 15 else 1 - (t - 15) / 25),
    "[{constant: {length: 2, warmup: 1}}, {cosine: {minimum: 0.1}}]": lambda o: theirs.LambdaLR(
        o, lambda t: min(1.0, (t + 1) / 5) if t < 15 else 0.25 + 0.75 * (1 + math.cos(math.pi * (t - 15) / 25)) / 2),
    "[{exponential: {factor: 0.9, every: 1 steps}, length: 7 steps}, {epochs: 2, learning_rate: 0.1}, constant]":
        lambda o: theirs.LambdaLR(o, lambda t: 0.9**t if t < 7 else 0.25 if t < 17 else 1.0),
    "[{polynomial: {length: 1}}, {step: {every: 1}, epochs: 2, learning_rate: 0.04}]":
        lambda o: theirs.LambdaLR(o, lambda t: 1 - t / 5 if t < 5 else 0.1 * 0.1 ** ((t - 5) // 5)),
}  # fmt: skip


@pytest.mark.parametrize("schedule", LISTS)
def test_stretches_follow_one_another(schedule: str) -> None:
    assert rates(schedule) == pytest.approx(pytorchs(LISTS[schedule]), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("schedule", "epochs"), [("[{constant: 2}, {linear: {length: 3}}]", 5), ("[{constant: 7 steps}, {epochs: 1}]", 3),
                                                  ("[{constant: {length: 1, warmup: 1}}, {epochs: 0.5}]", 3)])  # fmt: skip
def test_a_run_is_as_long_as_its_stretches(schedule: str, epochs: int) -> None:
    assert len(compile(loads(iris(schedule))).fit().history) == epochs


def test_a_run_goes_on_past_its_stretches_or_ends_within_the_last() -> None:
    for epochs in (4, 8):
        history = compile(loads(iris("[{constant: 2}, {linear: {to: 0.01, length: 4}}]", f"epochs: {epochs}"))).fit().history
        assert len(history) == epochs
    assert history[-1]["rate"] == pytest.approx(0.01)


def test_a_run_that_was_called_with_more_epochs_than_its_stretches_goes_on_so(tmp_path: Path) -> None:
    text = iris("[{constant: 1}, {linear: {length: 1}}]")
    with open_run(tmp_path / "run", "x") as folder:
        assert len(train(compile(loads(text)), None, folder, 4).history) == 4
    with open_run(tmp_path / "run", "x", True) as folder:
        assert len(train(compile(loads(text)), None, folder, resume=True).history) == 4


@pytest.mark.parametrize("weight", ["{plateau: {}}", "{constant: 3}"])
def test_the_weight_of_a_loss_cannot_wait_for_a_measure_nor_have_a_length_for_nothing(weight: str) -> None:
    with pytest.raises(SpecError, match="cannot wait for a measure|does nothing"):
        loads(NETWORK.replace("loss: mse", f"loss: {{mse: {{weight: {weight}}}}}"))


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_only_what_a_stretch_names_moves_in_it(backend: str, accumulate: int) -> None:
    """As in PyTorch where what is frozen has no gradient: its moments stay, and Adam counts its steps apart."""
    text = NETWORK.replace("units: 4", "units: 4, trainable: false").replace("sgd: {learning_rate: 0.4}", f"adam: {{learning_rate: 0.1, accumulate: {accumulate}}}")
    schedule = "[{length: 3 steps}, {length: 4 steps, trainable: 'dense*', learning_rate: 0.05}, {length: 3 steps, trainable: [dense_1, head]}, {epochs: 1}]"
    model = compile(loads(f"{text}schedule: {schedule}"), backend)
    p = {name: torch.tensor(np.array(v), requires_grad=True) for name, v in model.parameters.items()}
    rule = torch.optim.Adam(p.values(), 0.1, eps=1e-7)
    rng = np.random.default_rng(1)
    for step in range(12):
        feeds = {"x": rng.normal(size=(6, 5)), "target": rng.normal(size=(6, 3))}
        y = torch.tanh(torch.tensor(feeds["x"]) @ p["dense_1/kernel"] + p["dense_1/bias"]) @ p["head/kernel"] + p["head/bias"]
        rule.zero_grad()
        ((y - torch.tensor(feeds["target"])) ** 2).mean().backward()
        still = "dense_1" if step < 3 or step >= 10 else "head" if step < 7 else "nothing"
        for name, v in p.items():
            if name.startswith(still):
                v.grad = None
        rule.param_groups[0]["lr"] = 0.05 if 3 <= step < 7 else 0.1
        rule.step()
        model.train_batch(feeds)
        for name, v in p.items():
            np.testing.assert_allclose(np.array(model.parameters[name]), v.detach().numpy(), rtol=1e-10, atol=1e-13, err_msg=f"{step} {name}")


def test_a_frozen_batch_norm_of_a_stretch_uses_its_moving_statistics() -> None:
    model = compile(loads(iris("[{epochs: 1}, {epochs: 1, trainable: head}]").replace("dropout: 0.2", "relu"), "numpy"))
    rng = np.random.default_rng(0)
    feeds = {"features": rng.normal(size=(16, 4)), "target": rng.integers(0, 3, 16)}
    model.train_batch(feeds)
    model.train_batch(feeds)
    before = np.array(model.parameters["body/layers/batch_norm_1/moving_mean"])
    inference = model.evaluate(feeds)["loss"]
    assert model.train_batch(feeds)["loss"] == pytest.approx(inference, rel=1e-5)
    np.testing.assert_array_equal(np.array(model.parameters["body/layers/batch_norm_1/moving_mean"]), before)


STOPPED = {
    "[{constant: 7 steps}, {length: 6 steps, trainable: [head], learning_rate: 0.01}, {linear: {length: 2}, trainable: 'bod*'}]": "",
    "[{epochs: 1, trainable: [first, head]}, {plateau: {patience: 1, change: 0.5}, epochs: 3}]": ", average: 0.9, accumulate: 2",
    "{plateau: {patience: 1, change: 0.05, factor: 0.7, cooldown: 1}}": "",
    "{plateau: {patience: 1, change: 5, factor: 0.5}}": "",
}


@pytest.mark.parametrize("schedule", STOPPED)
def test_a_run_stopped_anywhere_ends_in_the_same_bits(schedule: str, tmp_path: Path) -> None:
    text = iris(schedule, "" if schedule[0] == "[" else "epochs: 4", STOPPED[schedule])

    class Stop(Callback):
        def on_step(self, state: State) -> None:
            if state.step in (1, 6, 7, 9, 13, 3 * state.batches):  # the last is at the end of an epoch that is not measured yet
                raise Interrupted("stop")

    def run(name: str, *callbacks: Callback, resume: bool = False) -> None:
        with open_run(tmp_path / name, "x", resume) as folder:
            train(compile(loads(text)), None, folder, None, callbacks, resume)

    run("straight")
    stops = 0
    while True:
        try:
            run("stopped", Stop(), resume=stops > 0)
            break
        except Interrupted:
            stops += 1
    assert stops >= 3
    for name in ("last.safetensors", "best.safetensors", "result.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    stopped, straight = ([json.loads(line)["rate"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()] for name in ("stopped", "straight"))
    assert stopped == straight


def test_the_third_step_of_a_stretch_allocates_at_most_64_kb() -> None:
    model = compile(loads(iris("[{epochs: 1}, {epochs: 9, trainable: [head, 'body/*']}]", optimizer=", accumulate: 2, average: 0.9")))
    rng = np.random.default_rng(0)
    feeds, _ = model.feeds({"features": rng.normal(size=(32, 4)), "target": rng.integers(0, 3, 32)})
    for stretch in (0, 1, 0, 1):
        model.train_step(feeds, 0.01, 32, stretch=stretch)
    tracemalloc.start()
    model.train_step(feeds, 0.01, 32, stretch=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 64 * 1024


@pytest.mark.parametrize("stretch", [0, 1])
@pytest.mark.parametrize("kind", ["train", "take"])
def test_no_two_live_buffers_of_a_stretch_overlap(kind: str, stretch: int) -> None:
    model = compile(loads(iris("[{epochs: 1}, {epochs: 9, trainable: [head, 'body/*']}]", optimizer=", accumulate: 2, average: 0.9")))
    graph = run_pipeline(model.graph_of(kind, 4, stretch=stretch), model.backend.claims)
    check_plan(graph, model.backend.plan(graph, kind))


NOT_IRIS = {
    "[]": ("list of stretches is empty",),
    "[{epochs: 2}, {trainable: [haed], epochs: 1}]": ("no entry is called 'haed'", "did you mean 'head'"),
    "[{trainable: [body/layer*], epochs: 1}, {trainable: [boody/*], epochs: 1}]": ("no entry is called 'boody/*'",),
    "[{trainable: dropout_1, epochs: 1}]": ("stretch 1 trains nothing", "dropout_1"),
    "[{trainable: [], epochs: 1}]": ("'trainable' of stretch 1", "at least 1"),
    "[{cosine: {}}, {epochs: 2}]": ("stretch 1 does not say how long it is", "epochs: 10"),
    "[{constant: 1, linear: {length: 2}}]": ("stretch 1 has 2 schedules",),
    "[{epochs: 1, length: 3 steps}]": ("says its length twice",),
    "[{epochs: 0}]": ("'epochs' of stretch 1", "more than 0"),
    "[{epoch: 1}]": ("'epoch'", "'epochs'"),
    "[{epochs: 1, lr: 1}]": ("'lr'", "'learning_rate'"),
    "[{epochs: 1, learning_rate: -1}]": ("'learning_rate' of stretch 1", "at least 0"),
    "[5]": ("stretch 1 does not fit",),
    "{plateau: {watch: validation.mae}}": ("watches 'validation.mae', which is not measured", "validation.loss"),
    "{plateau: {factor: 1}}": ("factor", "less than 1"),
    "{plateau: {patience: 0}}": ("patience", "at least 1"),
    "{ReduceLROnPlateau: {}}": ("'plateau'",),
    "{constant: 100}": ("stands alone does nothing", "epochs: 100"),
}


@pytest.mark.parametrize("schedule", NOT_IRIS)
def test_a_wrong_stretch_is_one_error(schedule: str) -> None:
    with pytest.raises(SpecError) as e:
        loads(iris(schedule))
    text = str(e.value)
    assert text.count("spec.yaml:") == 1 and ":13:" in text
    assert all(word in text for word in NOT_IRIS[schedule]), text


def test_a_stretch_that_is_never_reached_is_an_error() -> None:
    with pytest.raises(SpecError, match="stretch 2 is never reached"):
        loads(iris("[{constant: 3}, {epochs: 2}]", "epochs: 3"))


WRONG = {
    "{multistep: {}}": ("needs 'at'",),
    "{multistep: {at: []}}": ("'at'", "at least 1"),
    "{multistep: {at: [3, 2]}}": ("do not grow", "2 after 3"),
    "{multistep: {at: [2, 3 days]}}": ("a length does not fit", "'500 steps'"),
    "{exponential: {}}": ("needs 'factor'",),
    "{exponential: {factor: 0}}": ("factor", "more than 0"),
    "{exponential: {factor: 0.5, every: 0}}": ("a length does not fit", "more than 0"),
    "{linear: {to: -1}}": ("'to'", "at least 0"),
    "{linear: {length: 0}}": ("more than 0",),
    "{polynomial: {power: 0}}": ("power", "more than 0"),
    "{ExponentialLR: {gamma: 0.9}}": ("ExponentialLR", "'exponential'"),
    "{exponential: {gamma: 0.9}}": ("gamma", "'factor'"),
    "{PolynomialDecay: {}}": ("PolynomialDecay", "'polynomial'"),
}


@pytest.mark.parametrize("schedule", WRONG)
def test_a_wrong_value_is_one_error(schedule: str) -> None:
    with pytest.raises(SpecError) as e:
        loads(f"{NETWORK}schedule: {schedule}\n")
    text = str(e.value)
    assert text.count("spec.yaml:") == 1 and ":8:" in text
    assert all(word in text for word in WRONG[schedule]), text


@pytest.mark.parametrize("schedule", ["schedule: {cosine: {warmup: 2}}", "schedule: [{constant: 3}, {cosine: {}}]",
                                      "loss: {mse: {weight: {linear: {to: 0}}}}"])
def test_fed_from_python_a_schedule_as_long_as_the_run_says_that_nothing_says_how_long_that_is(schedule: str) -> None:
    text = NETWORK.replace("loss: mse\n", "") if schedule.startswith("loss") else NETWORK
    model = compile(loads(text + schedule + "\n"))
    feeds = {"x": np.ones((2, 5)), "target": np.ones((2, 3))}
    with pytest.raises(SpecError) as e:
        model.train_batch(feeds)
    assert "nothing says how long that is" in str(e.value) and e.value.problems[0].place is not None
    compile(loads(text + schedule + "\nepochs: 10\n")).train_batch(feeds)
