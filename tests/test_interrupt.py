"""Ctrl-C and a model: a step, or a restored state, is whole or not there."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.runtime.interrupt import Interrupted, Signals, Whole
from nnspec.runtime.session import Model, compile

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
SPEC = """nnspec: 1
inputs: {x: {shape: [4]}}
layers: [{dense: {units: 8, activation: tanh}}, batch_norm, {dense: {units: 3, learning_rate: 0.5x}}]
loss: cross_entropy
optimizer: {adam: {learning_rate: 0.1}}
"""
BATCH = {"x": np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32), "target": np.array([0, 1, 2, 0, 1, 2])}


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def bits(model: Model) -> dict[str, bytes]:
    return {key: x.tobytes() for key, x in model.state().items()} | {"step": bytes([model.step])}


def lines(model: Model, press_at: int = -1) -> list[int]:
    """Counts the lines that run in the program of a step, and presses before one of them."""
    taken, passed = model.programs.ready("train", model.feeds(BATCH)[0], 6, False).run, [0]
    run = taken.run

    def at_every_line(frame: Any, event: str, arg: Any) -> Any:
        if event == "line":
            if passed[0] == press_at:
                press()
            passed[0] += 1
        return at_every_line

    def traced() -> None:
        sys.settrace(at_every_line)
        try:
            run()
        finally:
            sys.settrace(None)

    object.__setattr__(taken, "run", traced)
    return passed


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 1.0])
def test_a_step_from_python_is_whole_when_ctrl_c_is_heard(share: float) -> None:
    model, same = (compile(loads(SPEC)) for _ in range(2))
    for m in (model, same):
        m.train_batch(BATCH)
    passed = lines(same)
    same.train_batch(BATCH)
    lines(model, round(share * (passed[0] - 1)))
    with pytest.raises(KeyboardInterrupt):
        model.train_batch(BATCH)
    assert bits(model) == bits(same)


def test_a_restored_state_is_whole_when_ctrl_c_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = (compile(loads(SPEC), seed=n) for n in (1, 2))
    put = type(model.memory).put

    def pressing(*given: Any) -> None:
        if not heard.is_set():
            heard.set()
            press()
        put(*given)

    heard = threading.Event()
    monkeypatch.setattr(type(model.memory), "put", pressing)
    with pytest.raises(KeyboardInterrupt):
        model.restore(other.state())
    assert bits(model) == bits(other)


def test_a_second_ctrl_c_is_heard_at_once() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), Whole():
        press()
        reached.append(1)
        press()
        reached.append(2)
    assert reached == [1]


def test_a_loop_that_notes_ctrl_c_itself_goes_on_noting() -> None:
    with Signals() as signals:
        with Whole():
            press()
        assert signals.noted is Interrupted


def test_who_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Whole():
        press()
    assert signal.signal(signal.SIGINT, before) is signal.SIG_IGN


def test_a_step_in_another_thread_touches_no_handler() -> None:
    model, found = compile(loads(SPEC)), []
    thread = threading.Thread(target=lambda: found.append(model.train_batch(BATCH)["loss"]))
    thread.start()
    thread.join()
    assert np.isfinite(found[0])
