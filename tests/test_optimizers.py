"""What moves parameters: each rule beside PyTorch's over changing batches; Lion beside its paper; and all that goes with a rule."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.runtime.session import Model, compile
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


# Memory


@pytest.mark.parametrize("rule", [*RULES, "lion: {}"])
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
    "adam: {learning_rate: -0.1}": ("learning_rate", "at least 0"),
}


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_value_is_one_error(rule: str) -> None:
    with pytest.raises(SpecError) as e:
        loads(f"{NETWORK}optimizer: {{{rule}}}\n")
    text = str(e.value)
    assert text.count("spec.yaml:") == 1 and ":7:" in text
    assert all(word in text for word in WRONG[rule]), text
