"""What moves parameters: each rule beside PyTorch's over changing batches; Lion beside its paper; and all that goes with a rule."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnspec.codegen.check_plan import check_plan
from nnspec.compiler import loads
from nnspec.errors import NumbersError, SpecError
from nnspec.passes import run_pipeline
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.saving import load_model
from nnspec.runtime.session import Model, compile
from nnspec.runtime.trainer import train
from nnspec.training.optimizer import Optimizer

torch = pytest.importorskip("torch", reason="install the extra 'test'")

@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    """PyTorch keeps NAdam's product of momenta in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


Arrays = dict[str, NDArray[np.float64]]
NETWORK = """
nnspec: 1
precision: float64
inputs: {x: {shape: [5]}}
layers: [dense: {units: 7, activation: tanh}, dense: 3]
loss: mse
"""
STEPS = 12


def made(optimizer: str, backend: str = "numpy", more: str = "") -> Model:
    return compile(loads(f"{NETWORK}optimizer: {{{optimizer}}}\n{more}"), backend=backend)


def batches(n: int = STEPS, rows: int = 6) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(3)
    for _ in range(n):
        yield {"x": rng.normal(size=(rows, 5)), "target": rng.normal(size=(rows, 3))}


class Twin:
    """The same network in PyTorch."""

    def __init__(self, model: Model) -> None:
        self.p = {name: torch.tensor(np.array(p), requires_grad=True) for name, p in model.parameters.items()}

    def loss(self, feeds: dict[str, Any]) -> Any:
        x, p = torch.tensor(feeds["x"]), self.p
        y = torch.tanh(x @ p["dense_1/kernel"] + p["dense_1/bias"]) @ p["dense_2/kernel"] + p["dense_2/bias"]
        return ((y - torch.tensor(feeds["target"])) ** 2).mean()

    def compare(self, model: Model) -> None:
        for name, p in self.p.items():
            np.testing.assert_allclose(np.array(model.parameters[name]), p.detach().numpy(), rtol=1e-11, atol=1e-14, err_msg=name)


def beside(model: Model, make: Callable[[list[Any]], Any], clip: Callable[[list[Any]], Any] = lambda ps: None) -> None:
    """Twelve steps of both, compared after each."""
    twin = Twin(model)
    rule = make(list(twin.p.values()))
    for feeds in batches():
        rule.zero_grad()
        loss = twin.loss(feeds)
        loss.backward()
        clip(list(twin.p.values()))
        assert model.train_batch(feeds)["loss"] == pytest.approx(loss.item(), rel=1e-12)
        rule.step()
        twin.compare(model)


RULES: dict[str, Callable[[Any], Any]] = {
    "sgd: {learning_rate: 0.1}": lambda p: torch.optim.SGD(p, 0.1),
    "sgd: {learning_rate: 0.1, momentum: 0.8, nesterov: true, weight_decay: 0.03}":
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, nesterov=True, weight_decay=0.03),
    "adam: {learning_rate: 0.02, beta1: 0.8, beta2: 0.95, epsilon: 1e-5, weight_decay: 0.03}":
        lambda p: torch.optim.Adam(p, 0.02, (0.8, 0.95), 1e-5, 0.03),
    "adam: {learning_rate: 0.02, beta2: 0.5, amsgrad: true}": lambda p: torch.optim.Adam(p, 0.02, (0.9, 0.5), 1e-7, amsgrad=True),
    "adamw: {learning_rate: 0.02, amsgrad: true}": lambda p: torch.optim.AdamW(p, 0.02, eps=1e-7, weight_decay=0.004, amsgrad=True),
    "adamax: {learning_rate: 0.02, beta2: 0.8, epsilon: 1e-3, weight_decay: 0.03}":
        lambda p: torch.optim.Adamax(p, 0.02, (0.9, 0.8), 1e-3, 0.03),
    "nadam: {learning_rate: 0.02, beta2: 0.9, weight_decay: 0.03}":
        lambda p: torch.optim.NAdam(p, 0.02, (0.9, 0.9), 1e-7, 0.03),
    "nadam: {learning_rate: 0.02, momentum_decay: 0.5}": lambda p: torch.optim.NAdam(p, 0.02, eps=1e-7, momentum_decay=0.5),
    "nadam: {learning_rate: 0.02, momentum_decay: 0}": lambda p: torch.optim.NAdam(p, 0.02, eps=1e-7, momentum_decay=0),
    "rmsprop: {learning_rate: 0.02}": lambda p: torch.optim.RMSprop(p, 0.02, 0.9, 1e-7),
    "rmsprop: {learning_rate: 0.02, rho: 0.7, momentum: 0.5, weight_decay: 0.03}":
        lambda p: torch.optim.RMSprop(p, 0.02, 0.7, 1e-7, 0.03, 0.5),
    "rmsprop: {learning_rate: 0.02, rho: 0.8, epsilon: 1e-4, centered: true}":
        lambda p: torch.optim.RMSprop(p, 0.02, 0.8, 1e-4, centered=True),
    "adagrad: {learning_rate: 0.1, weight_decay: 0.03}": lambda p: torch.optim.Adagrad(p, 0.1, eps=1e-7, weight_decay=0.03),
    "adadelta: {learning_rate: 1.0, weight_decay: 0.03}": lambda p: torch.optim.Adadelta(p, 1.0, 0.95, 1e-7, 0.03),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_parameters_move_as_pytorchs_do(rule: str, backend: str) -> None:
    beside(made(rule, backend), RULES[rule])


def test_every_optimizer_is_compared_with_another_source() -> None:
    assert {rule.partition(":")[0] for rule in RULES} | {"lion"} == set(Optimizer.registry)


DEFAULTS = {  # Keras 3's, where it has the field
    "sgd": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False},
    "rmsprop": {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False},
    "adam": {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7, "amsgrad": False},
    "adamax": {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7},
    "nadam": {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7, "momentum_decay": 0.004},
    "adagrad": {"learning_rate": 0.001, "epsilon": 1e-7},
    "adadelta": {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7},
    "lion": {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.99},
}  # fmt: skip


@pytest.mark.parametrize("kind", DEFAULTS)
def test_defaults_are_kerass(kind: str) -> None:
    made_ = Optimizer.make(kind)
    assert {name: getattr(made_, name) for name in DEFAULTS[kind]} == DEFAULTS[kind]


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_lion_is_the_papers_algorithm_2(backend: str) -> None:
    model = made("lion: {learning_rate: 0.01, beta1: 0.8, beta2: 0.9, weight_decay: 0.2}", backend)
    theta = {name: np.array(p) for name, p in model.parameters.items()}
    m = {name: np.zeros_like(p) for name, p in theta.items()}
    for feeds in batches():
        g = model.gradients(feeds)
        model.train_batch(feeds)
        for name in theta:
            c = 0.8 * m[name] + (1 - 0.8) * g[name]
            theta[name] = theta[name] - 0.01 * (np.sign(c) + 0.2 * theta[name])
            m[name] = 0.9 * m[name] + (1 - 0.9) * g[name]
            np.testing.assert_allclose(np.array(model.parameters[name]), theta[name], rtol=1e-12, atol=1e-15)


def test_centered_rmsprop_stays_finite_where_the_gradient_never_changes() -> None:
    """There the variance is 0 up to rounding, and its root would be NaN half of the time."""
    model = made("rmsprop: {learning_rate: 1e-9, rho: 0.3, centered: true, epsilon: 1e-3}")
    feeds = next(batches())
    for _ in range(60):
        assert np.isfinite(model.train_batch(feeds)["loss"])


def test_the_product_of_nadams_momenta_holds_for_long_runs() -> None:
    from nnspec.ir.graph import Graph, abstract
    from nnspec.ir.interpret import interpret
    from nnspec.ir.types import DType, TensorType
    from nnspec.training.optimizers import Nadam

    t = abstract(TensorType((), DType.float64), "t", "scalar")
    graph = Graph({"product": Nadam(beta1=0.999)._product(t)})
    product = 1.0
    for n in range(1, 3001):
        product *= 0.999 * (1 - 0.5 * 0.96 ** (n * 0.004))
        if n in (1, 2, 10, 100, 1000, 3000):
            found = float(interpret(graph, {"t": np.array(float(n))})["product"])
            assert found == pytest.approx(product, rel=1e-12, abs=1e-300)


# Decay and clipping


def test_the_weight_decay_of_kernels_leaves_biases() -> None:
    model = made("adamw: {learning_rate: 0.02, weight_decay: {rate: 0.3, only: kernels}}")

    def groups(ps: list[Any]) -> Any:
        kernels, biases = [p for p in ps if p.ndim == 2], [p for p in ps if p.ndim == 1]
        return torch.optim.AdamW([{"params": kernels, "weight_decay": 0.3}, {"params": biases, "weight_decay": 0.0}], 0.02, eps=1e-7)

    beside(model, groups)


@pytest.mark.parametrize("norm", [0.05, 1e6])
def test_clip_norm_is_pytorchs_over_all_segments(norm: float) -> None:
    model = made(f"sgd: {{learning_rate: 0.1, momentum: 0.9, clip_norm: {norm}, weight_decay: {{rate: 0.1, only: kernels}}}}")

    def groups(ps: list[Any]) -> Any:
        kernels, biases = [p for p in ps if p.ndim == 2], [p for p in ps if p.ndim == 1]
        return torch.optim.SGD([{"params": kernels, "weight_decay": 0.1}, {"params": biases}], 0.1, momentum=0.9)

    beside(model, groups, lambda ps: torch.nn.utils.clip_grad_norm_(ps, norm))


@pytest.mark.parametrize("value", [0.01, 1e6])
def test_clip_value_is_pytorchs(value: float) -> None:
    beside(made(f"sgd: {{learning_rate: 0.1, clip_value: {value}}}"), lambda p: torch.optim.SGD(p, 0.1),
           lambda ps: torch.nn.utils.clip_grad_value_(ps, value))  # fmt: skip


# Rates and penalties of a layer's own

RATED = NETWORK.replace("dense: 3]", "dense: {units: 3, learning_rate: RATE}]")


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
@pytest.mark.parametrize(("rate", "factor"), [("0.1x", 0.1), ("0.004", 0.2), ("0x", 0.0)])
def test_a_rate_of_its_own_is_a_factor_of_the_optimizers_and_goes_along_with_the_schedule(rate: str, factor: float, backend: str) -> None:
    rule = "adamw: {learning_rate: 0.02, weight_decay: {rate: 0.3, only: kernels}, clip_norm: 0.5}"
    model = compile(loads(f"{RATED.replace('RATE', rate)}optimizer: {{{rule}}}\nschedule: {{step: {{every: 4 steps, factor: 0.5}}}}"), backend)
    twin = Twin(model)
    groups = [{"params": [p], "lr": 0.02 * (factor if "dense_2" in n else 1.0), "weight_decay": 0.3 * (p.ndim == 2)} for n, p in twin.p.items()]
    rule_ = torch.optim.AdamW(groups, eps=1e-7)
    scheduler = torch.optim.lr_scheduler.StepLR(rule_, 4, 0.5)
    for feeds in batches():
        rule_.zero_grad()
        twin.loss(feeds).backward()
        torch.nn.utils.clip_grad_norm_(list(twin.p.values()), 0.5)
        rule_.step()
        scheduler.step()
        model.train_batch(feeds)
        twin.compare(model)
    assert len(model.segments.learned) == 4  # kernels and others, of both rates


PENALISED = NETWORK.replace("activation: tanh}", "activation: tanh, regularize: {kernel: {l1: 0.01, l2: 0.02}, bias: {l2: 0.5}}}")


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_penalties_are_part_of_the_loss_in_training_and_evaluation(backend: str, accumulate: int) -> None:
    model = compile(loads(f"{PENALISED}optimizer: {{sgd: {{learning_rate: 0.3, accumulate: {accumulate}}}}}"), backend)
    twin = Twin(model)

    def loss(feeds: dict[str, Any]) -> Any:
        k, b = twin.p["dense_1/kernel"], twin.p["dense_1/bias"]
        return twin.loss(feeds) + 0.01 * k.abs().sum() + 0.02 * (k**2).sum() + 0.5 * (b**2).sum()

    rule = torch.optim.SGD(list(twin.p.values()), 0.3)
    for feeds in batches():
        rule.zero_grad()
        made_small = loss(feeds)
        made_small.backward()
        assert model.evaluate(feeds)["loss"] == pytest.approx(made_small.item(), rel=1e-12)
        assert model.train_batch(feeds)["loss"] == pytest.approx(made_small.item(), rel=1e-12)
        rule.step()
        twin.compare(model)


def test_a_penalty_counts_once_for_a_shared_parameter_and_not_for_a_frozen_one() -> None:
    layers = "[dense: {units: 5, name: a, regularize: {kernel: {l2: 1.0}}}, dense: {units: 5, share: a}, dense: 3]"
    text = NETWORK.replace("[dense: {units: 7, activation: tanh}, dense: 3]", layers)
    plain = compile(loads(f"{text.replace('1.0', '0')}optimizer: sgd"))
    feeds = next(batches())
    penalty = (np.array(plain.parameters["a/kernel"]) ** 2).sum()
    assert compile(loads(f"{text}optimizer: sgd")).evaluate(feeds)["loss"] == pytest.approx(plain.evaluate(feeds)["loss"] + penalty, rel=1e-12)
    frozen = compile(loads(f"{text.replace('name: a', 'name: a, trainable: false')}optimizer: sgd"))
    assert frozen.evaluate(feeds) == pytest.approx(plain.evaluate(feeds))


# Several batches a step


@pytest.mark.parametrize("rows", [12, 10, 9, 1])
@pytest.mark.parametrize("rule", ["adam: {learning_rate: 0.05", "sgd: {momentum: 0.9, clip_norm: 0.1, learning_rate: 0.5", "lion: {weight_decay: 0.1"])
@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_several_micro_batches_are_one_batch(rule: str, rows: int, backend: str) -> None:
    """Three of four rows; fewer rows fill fewer of them, and the last one not at all."""
    whole, parts = made(f"{rule}}}"), made(f"{rule}, accumulate: 3}}", backend, "batch_size: 4\nmetrics: [mae]")
    rng = np.random.default_rng(0)
    for feeds in batches(6, rows):
        feeds["sample_weight"] = rng.uniform(0.1, 2, rows)
        assert parts.train_batch(feeds)["loss"] == pytest.approx(whole.train_batch(feeds)["loss"], rel=1e-12)
        for path, p in whole.parameters.items():
            np.testing.assert_allclose(np.array(parts.parameters[path]), np.array(p), rtol=1e-10, atol=1e-13)
    assert parts.step == 6


CLASSES = NETWORK.replace("loss: mse", "loss: LOSS")


@pytest.mark.parametrize("loss", [
    "{mse: {reduce: sum}}", "{cross_entropy: {class_weights: [1, 5, 0]}}", "[{cross_entropy: {class_weights: [1, 5, 0.2]}}, {mse: {target: 1, weight: 0.3}}]",
    "[{focal: {class_weights: [1, 5, 0.2]}}, {cross_entropy: {reduce: sum, weight: 0.1}}]", "{cross_entropy: {smoothing: 0.1}}"])  # fmt: skip
@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_whatever_a_loss_is_divided_by_is_that_of_the_whole_step(loss: str, backend: str) -> None:
    whole, parts = (compile(loads(f"{CLASSES.replace('LOSS', loss)}optimizer: {{adam: {{{own}learning_rate: 0.05}}}}"), backend)
                    for own in ("", "accumulate: 3, "))
    rng = np.random.default_rng(0)
    for feeds in batches(4, 10):
        if "cross" in loss or "focal" in loss:
            feeds["target"] = rng.integers(0, 3, 10)
            feeds["target"][:4] = 2  # a micro-batch whose classes may weigh nothing
        feeds["sample_weight"] = rng.uniform(0.1, 2, 10)
        assert parts.train_batch(feeds)["loss"] == pytest.approx(whole.train_batch(feeds)["loss"], rel=1e-12)
        for path, p in whole.parameters.items():
            np.testing.assert_allclose(np.array(parts.parameters[path]), np.array(p), rtol=1e-9, atol=1e-12)


def test_a_micro_batch_of_no_weight_is_left_out() -> None:
    whole, parts = made("sgd: {}"), made("sgd: {accumulate: 3}", more="batch_size: 2")
    feeds = {**next(batches()), "sample_weight": np.array([1, 2, 0, 0, 1, 0.5])}
    assert parts.train_batch(feeds) == pytest.approx(whole.train_batch(feeds), rel=1e-12)
    np.testing.assert_allclose(np.array(parts.parameters["dense_1/kernel"]), np.array(whole.parameters["dense_1/kernel"]), rtol=1e-12)


NOISY = NETWORK.replace("dense: 3]", "batch_norm, dropout: 0.5, dense: 3]")


def test_statistics_move_with_every_micro_batch_and_draws_differ() -> None:
    parts = compile(loads(f"{NOISY}optimizer: {{sgd: {{learning_rate: 0.0, accumulate: 2}}}}\nbatch_size: 3"))
    plain = compile(loads(f"{NOISY}optimizer: {{sgd: {{learning_rate: 0.0}}}}"))
    feeds = next(batches())
    one = {name: np.tile(x[:3], (2, 1)) for name, x in feeds.items()}
    halves = [{name: x[half] for name, x in feeds.items()} for half in (slice(0, 3), slice(3, 6))]
    first = parts.train_batch(feeds)
    wanted = [plain.train_batch(h) for h in halves]
    for name in ("moving_mean", "moving_variance"):
        a, b = (np.array(m.parameters[f"batch_norm_1/{name}"]) for m in (parts, plain))
        np.testing.assert_allclose(a, b, rtol=1e-13)
    assert first["loss"] != pytest.approx(np.mean([w["loss"] for w in wanted]))  # other draws than those of two steps
    assert parts.train_batch(one)["loss"] != pytest.approx(plain.train_batch({n: x[:3] for n, x in one.items()})["loss"])


def test_a_step_over_micro_batches_that_is_not_taken_moves_nothing() -> None:
    model = compile(loads(f"{NOISY}optimizer: {{sgd: {{accumulate: 2, average: 0.9}}}}\nbatch_size: 3"))
    good, bad = next(batches()), next(batches())
    model.train_batch(good)
    before = model.state()
    bad["x"] = bad["x"] + np.where(np.arange(6) > 3, 1e300, 0)[:, None]
    bad["target"] = bad["target"] + np.where(np.arange(6) > 3, 1e300, 0)[:, None]
    with pytest.raises(NumbersError):
        model.train_batch(bad)
    assert {k: v.tobytes() for k, v in model.state().items()} == {k: v.tobytes() for k, v in before.items()}
    other = compile(loads(f"{NOISY}optimizer: {{sgd: {{accumulate: 2, average: 0.9}}}}\nbatch_size: 3"))
    other.train_batch(good)
    assert model.train_batch(good) == other.train_batch(good)
    assert {k: v.tobytes() for k, v in model.state().items()} == {k: v.tobytes() for k, v in other.state().items()}


# Averages


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_averages_are_pytorchs(backend: str, accumulate: int) -> None:
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    model = made(f"adam: {{learning_rate: 0.05, average: 0.8, accumulate: {accumulate}}}", backend)
    twin = Twin(model)
    net = torch.nn.ParameterList(twin.p.values())
    twin.p = dict(zip(twin.p, net, strict=True))
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    rule = torch.optim.Adam(net, 0.05, eps=1e-7)
    for feeds in batches():
        rule.zero_grad()
        twin.loss(feeds).backward()
        rule.step()
        ema.update_parameters(net)
        model.train_batch(feeds)
        state = model.state()
        for (name, p), a in zip(twin.p.items(), ema.module, strict=True):
            np.testing.assert_allclose(state[f"optimizer/weights/{name}"], p.detach().numpy(), rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(state[f"parameters/{name}"], a.detach().numpy(), rtol=1e-10, atol=1e-13)
            np.testing.assert_array_equal(np.array(model.parameters[name]), state[f"parameters/{name}"])
    averaged = Twin(model)
    assert model.evaluate(feeds)["loss"] == pytest.approx(averaged.loss(feeds).item(), rel=1e-11)
    x, p = torch.tensor(feeds["x"]), averaged.p
    y = torch.tanh(x @ p["dense_1/kernel"] + p["dense_1/bias"]) @ p["dense_2/kernel"] + p["dense_2/bias"]
    np.testing.assert_allclose(model.predict(feeds["x"]), y.detach().numpy(), rtol=1e-11)


def test_averages_follow_what_is_assigned_and_saved(tmp_path: Any) -> None:
    model = made("sgd: {learning_rate: 0.5, average: 0.5}")
    model.parameters["dense_2/bias"].assign([1.0, 2.0, 3.0])
    assert model.state()["optimizer/weights/dense_2/bias"].tolist() == [1, 2, 3]
    for feeds in batches(3):
        model.train_batch(feeds)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    feeds = next(batches())
    assert again.evaluate(feeds) == model.evaluate(feeds)
    assert again.train_batch(feeds) == model.train_batch(feeds)
    assert {k: v.tobytes() for k, v in again.state().items()} == {k: v.tobytes() for k, v in model.state().items()}


IRIS = """
nnspec: 1
name: flowers
data: {iris: {}, split: {train: 0.5, validation: 0.5, stratify: species}}
layers: [dense: {units: 6, activation: tanh}, batch_norm, dropout: 0.2, dense: 3]
loss: cross_entropy
optimizer: {adam: {learning_rate: 0.02, accumulate: 2, average: 0.9, clip_norm: 1}}
epochs: 3
batch_size: 16
"""


def test_the_last_group_of_an_epoch_is_a_step_of_its_own_weight(tmp_path: Any) -> None:
    run = compile(loads(IRIS)).fit(out=tmp_path / "run")
    assert [entry["step"] for entry in run.history] == [3, 6, 9]


def test_the_best_checkpoint_and_the_measures_are_those_of_the_averages(tmp_path: Any) -> None:
    run = compile(loads(IRIS)).fit(out=tmp_path / "run")
    best = load_model(tmp_path / "run", "best")
    assert run.best is not None
    rows = assembled(best, dataset(best).splits["validation"]).arrays
    assert best.score(rows)["loss"] == pytest.approx(run.best.value, rel=1e-6)
    last = load_model(tmp_path / "run")
    assert last.score(rows)["loss"] == pytest.approx(run.metrics["validation.loss"], rel=1e-6)


@pytest.mark.parametrize("rule", ["adam: {learning_rate: 0.02, accumulate: 2, average: 0.9, clip_norm: 1}", "nadam: {}", "adam: {amsgrad: true}",
                                  "rmsprop: {momentum: 0.5, centered: true}", "lion: {average: 0.5}", "adadelta: {accumulate: 3}"])  # fmt: skip
def test_a_run_that_was_stopped_ends_in_the_same_bits(rule: str, tmp_path: Any) -> None:
    text = IRIS.replace("adam: {learning_rate: 0.02, accumulate: 2, average: 0.9, clip_norm: 1}", rule)

    class Stop(Callback):
        def on_step(self, state: State) -> None:
            if state.step in (1, 3, 5):
                raise Interrupted("stop")

    def run(name: str, *callbacks: Callback, resume: bool = False) -> None:
        with open_run(tmp_path / name, "x", resume) as folder:
            train(compile(loads(text)), None, folder, None, callbacks, resume)

    run("straight")
    for resume in (False, True, True):
        with pytest.raises(Interrupted):
            run("stopped", Stop(), resume=resume)
    run("stopped", resume=True)
    for name in ("last.safetensors", "best.safetensors", "result.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


# Memory


@pytest.mark.parametrize("kind", ["train", "take", "score", "predict"])
def test_no_two_live_buffers_overlap(kind: str) -> None:
    model = compile(loads(f"{NOISY}optimizer: {{adam: {{accumulate: 2, average: 0.9, clip_norm: 1.0, weight_decay: {{rate: 0.1, only: kernels}}}}}}"))
    graph = run_pipeline(model.graph_of(kind, 4), model.backend.claims)
    check_plan(graph, model.backend.plan(graph, kind))


@pytest.mark.parametrize("rule", [*RULES, "lion: {}", "sgd: {average: 0.9}", "adam: {accumulate: 3, average: 0.9, clip_norm: 1.0}"])
def test_the_third_step_allocates_at_most_64_kb(rule: str) -> None:
    model = made(rule)
    feeds = [(model.feeds(f)[0]) for f in batches(3)]
    for f in feeds[:2]:
        model.train_step(f, 1e-3, 6)
    tracemalloc.start()
    model.train_step(feeds[2], 1e-3, 6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 64 * 1024


# What is wrong


WRONG = {
    "sgd: {momentum: 1}": ("momentum", "less than 1"),
    "sgd: {nesterov: true}": ("nesterov", "momentum: 0.9"),
    "adam: {beta1: 1.0}": ("beta1", "less than 1"),
    "rmsprop: {epsilon: 0}": ("epsilon", "more than 0"),
    "rmsprop: {alpha: 0.9}": ("alpha", "'rho'"),
    "nadam: {momentum_decay: -1}": ("momentum_decay", "at least 0"),
    "adagrad: {initial_accumulator_value: 0.1}": ("initial_accumulator_value", "it starts at 0"),
    "RMSprop: {}": ("RMSprop", "'rmsprop'"),
    "NAdam: {}": ("NAdam", "'nadam'"),
    "lion: {epsilon: 1}": ("epsilon", "no key of optimizer 'lion'"),
    "sgd: {clip_norm: 0}": ("clip_norm", "more than 0"),
    "sgd: {weight_decay: {rate: 0.1, only: biases}}": ("only", "'kernels'"),
    "adam: {accumulate: 0}": ("accumulate", "at least 1"),
    "adam: {accumulate: 2.5}": ("accumulate", "a whole number"),
    "adam: {gradient_accumulation_steps: 2}": ("gradient_accumulation_steps", "'accumulate'"),
    "adam: {average: 1.0}": ("average", "less than 1"),
    "adam: {average: 0}": ("average", "more than 0"),
    "adam: {ema: 0.9}": ("ema", "'average'"),
    "adam: {learning_rate: -0.1}": ("learning_rate", "at least 0"),
}


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_value_is_one_error(rule: str) -> None:
    with pytest.raises(SpecError) as e:
        loads(f"{NETWORK}optimizer: {{{rule}}}\n")
    text = str(e.value)
    assert text.count("spec.yaml:") == 1 and ":7:" in text
    assert all(word in text for word in WRONG[rule]), text
