"""Learning rates beside PyTorch's schedulers, step by step; stretches and what depends on what is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.runtime.session import Model, compile

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
