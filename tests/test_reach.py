"""What a gradient shows of a step: where the proof holds everything new is finite, and what is not shown leaves the state as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.errors import NumbersError
from nnspec.ir.graph import Graph, abstract
from nnspec.ir.interpret import interpret
from nnspec.ir.types import DType, TensorType
from nnspec.ops.reduce import all_finite
from nnspec.runtime.session import Model, compile
from nnspec.training.optimizer import Optimizer
from nnspec.training.reach import GRADIENT, small

RULES = [("sgd", {}), ("sgd", {"weight_decay": 0.01}), ("sgd", {"momentum": 0.9}), ("sgd", {"momentum": 0.99, "nesterov": True, "weight_decay": 0.1}),
         ("adam", {}), ("adam", {"amsgrad": True, "weight_decay": 0.1}), ("adam", {"beta1": 0.0, "beta2": 0.0}), ("adamw", {}), ("adamax", {}), ("nadam", {}),
         ("rmsprop", {}), ("rmsprop", {"centered": True, "momentum": 0.9}), ("adagrad", {}), ("lion", {}), ("lion", {"weight_decay": 0.5})]  # fmt: skip


@pytest.mark.parametrize("dtype", [DType.float32, DType.float64])
@pytest.mark.parametrize(("kind", "fields"), RULES)
def test_steps_that_a_gradient_allows_keep_every_number_finite_and_what_is_kept_as_small(kind: str, fields: dict[str, Any], dtype: DType) -> None:
    rule: Any = Optimizer.registry[kind](**fields)
    n, top = 64, 1e10 if "weight_decay" in fields and not rule.decoupled else float(np.finfo(dtype.numpy).max)
    x = {name: abstract(TensorType((n,), dtype), name) for name in ("p", "g", *rule.state)}
    rate, t = (abstract(TensorType((), DType.float64), name) for name in ("rate", "t"))
    slots = {name: x[name] for name in rule.state}
    p, new = rule.move(x["p"], x["g"], slots, rate, t, "parameters")
    proof = rule.proof(x["p"], x["g"], rate, t, "parameters")
    assert proof is not None
    graph = Graph({"ok": all_finite(*proof), "p": p, **new})
    rng, taken = np.random.default_rng(0), 0
    edge = 2.0 ** GRADIENT[dtype]
    for lr in (1e-3, 1.0, 1e3, 1e12):
        held = {"p": rng.choice([top, -top, 1.0, 0.0], n).astype(dtype.numpy), **{name: np.zeros(n, dtype.numpy) for name in rule.state}}
        for step in range(1, 60):
            size = rng.choice([edge, edge / 2, 2.0 ** (GRADIENT[dtype] * 5 // 6), 1.0, 1e-30, 0.0], n) * (rng.choice([1, 1, 1, -1], n) if step > 20 else 1.0)
            g = (size * rng.choice([1.0, 0.999])).astype(dtype.numpy) if step % 2 else rng.normal(size=n).astype(dtype.numpy)
            with np.errstate(all="ignore"):
                found = interpret(graph, {**held, "g": g, "rate": np.float64(lr), "t": np.float64(step)})
            if not found.pop("ok"):
                continue
            taken += 1
            assert all(np.isfinite(a).all() for a in found.values()), (lr, step)
            held = found
    assert taken > 20


def trained(optimizer: str) -> Model:
    return compile(loads(f"nnspec: 1\ninputs: {{x: {{shape: [3]}}}}\nlayers: [dense: {{units: 5, bias: false}}]\nloss: mse\noptimizer: {{{optimizer}}}\n"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("optimizer", ["sgd: 0.1", "sgd: {momentum: 0.9}", "adam: 0.1", "adamw: 0.1", "adagrad: 0.1", "lion: 0.1", "adadelta: 0.1"])
def test_a_step_that_would_ruin_one_number_changes_no_bit(optimizer: str, bad: float) -> None:
    model, good = trained(optimizer), {"x": np.ones((4, 3), np.float32), "target": np.ones((4, 5), np.float32)}
    model.train_batch(good)
    before = {k: v.tobytes() for k, v in model.state().items()}
    spoiled = {**good, "x": np.ones((4, 3), np.float32)}
    spoiled["x"][2, 1] = bad
    with pytest.raises(NumbersError, match="was not taken"):
        model.train_batch(spoiled)
    assert {k: v.tobytes() for k, v in model.state().items()} == before
    model.train_batch(good)


LARGE = 2.0**61  # of a gradient: not shown to stay finite, yet it does


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("optimizer", ["sgd: {learning_rate: 1e-3", "sgd: {learning_rate: 1e-3, momentum: 0.9", "adam: {learning_rate: 0.1"])
def test_a_step_with_a_larger_gradient_is_taken_where_all_that_it_makes_is_finite(optimizer: str, accumulate: int) -> None:
    text = ("nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: {units: 1, bias: false}]\nloss: {value: {}}\nbatch_size: 4\n"
            f"optimizer: {{{optimizer}, accumulate: {accumulate}}}}}\n")
    model, plain = (compile(loads(text), backend=b) for b in ("numpy", "interpret"))
    plain.sound = False
    small, large = ({"x": np.full((4 * accumulate, 3), size, np.float32)} for size in (1.0, LARGE))
    for batch in (small, large, small):
        for m in (model, plain):
            m.train_batch(batch)
        assert model.step == plain.step
        for path in model.parameters:
            np.testing.assert_allclose(model.read(path), plain.read(path), rtol=1e-5)
    assert model.sound == (optimizer == "sgd: {learning_rate: 1e-3")  # which keeps nothing, and is shown further


def test_a_step_that_overflows_does_not_cost_the_proof_and_the_error_names_where_it_did() -> None:
    model, good = trained("sgd: 0.1"), {"x": np.ones((4, 3), np.float32), "target": np.ones((4, 5), np.float32)}
    model.train_batch(good)
    with pytest.raises(NumbersError, match="layer 'dense_1'|the loss") as e:
        model.train_batch({**good, "x": np.full((4, 3), 1e38, np.float32)})
    assert "was not taken" in str(e.value) and model.sound


def test_a_state_that_no_step_made_is_looked_at_in_every_step() -> None:
    model, good = trained("adam: 0.1"), {"x": np.ones((4, 3), np.float32), "target": np.ones((4, 5), np.float32)}
    model.train_batch(good)
    model.restore({name: np.full_like(a, -1.0 if "second" in name else 1.0) for name, a in model.state().items()})
    before = {k: v.tobytes() for k, v in model.state().items()}
    with pytest.raises(NumbersError, match="was not taken"):
        model.train_batch(good)  # the root of a negative mean of squares
    assert {k: v.tobytes() for k, v in model.state().items()} == before
    model.restore({name: np.ones_like(a) for name, a in model.state().items()})
    model.train_batch(good)


def test_what_steps_make_counts_as_small_and_what_is_not_finite_does_not() -> None:
    x = np.array([0.0, 1e10, 3.0], np.float32)
    assert small("first", -x, DType.float32) and small("second", x, DType.float32)
    assert not small("second", -x, DType.float32)
    for bad in (np.nan, np.inf, -np.inf, 1e30):
        assert not small("first", np.array([1.0, bad], np.float32), DType.float32)
