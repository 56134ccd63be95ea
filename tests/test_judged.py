"""Everything that computes, on generated cases through the public interface, equals PyTorch in float64 and scikit-learn.

CI takes a few cases of each kind by a seed; ``NNSPEC_FULL=1`` takes many, by other seeds each (``NNSPEC_SEED``).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.layers.layer import Layer

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
pytest.importorskip("sklearn", reason="scikit-learn is the reference; install the extra 'test'")

from tests.judged import batch_norm, boxes, graphs, joined, learned, losses, metrics, moved, networks, places, training, windows  # noqa: E402, F401  # layers fill MAKERS
from tests.judged.cases import MAKERS, Case  # noqa: E402
from tests.judged.judge import judge  # noqa: E402

FULL = bool(os.environ.get("NNSPEC_FULL"))
FIRST = int(os.environ.get("NNSPEC_SEED", "0"))
DRAWN = {"bernoulli", "drop_path", "dropout", "gaussian_noise", "normal", "sample_normal", "spatial_dropout", "uniform"}  # test_random


def seeds(kind: str, full: int, few: int = 1) -> list[np.random.SeedSequence]:
    """Of each case of a kind."""
    return [np.random.SeedSequence([FIRST + i, zlib.crc32(kind.encode())]) for i in range(full if FULL else few)]


def test_every_layer_is_judged() -> None:
    import nnspec.compiler  # noqa: F401  # knows every layer

    assert set(MAKERS) | DRAWN == set(Layer.registry)


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_layers_equal_pytorch_forward_and_backward(kind: str) -> None:
    for seed in seeds(kind, 6):
        rng = np.random.default_rng(seed)
        case = MAKERS[kind](rng, kind)
        assert not judge(case, int(rng.integers(1 << 30))), case


@pytest.mark.skipif(not FULL, reason="a long form")
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_interpreted_layers_equal_pytorch(kind: str) -> None:
    for seed in seeds(kind, 3):
        rng = np.random.default_rng(seed)
        case = MAKERS[kind](rng, kind)
        assert not judge(case, 1, backend="interpret"), case


@pytest.mark.parametrize("kind", sorted(learned.ACTIVATIONS))
def test_activations_have_pytorchs_gradient_where_they_bend(kind: str) -> None:
    if not FULL and kind not in ("relu6", "hard_tanh", "hard_silu"):
        pytest.skip("a long form")
    for step in (1.0, 0.5, 0.0, 3e-9):
        fields, f = learned.ACTIVATIONS[kind](np.random.default_rng(0))
        case = Case(kind, fields, [(13,)], lambda x, p, f=f: f(x), make=lambda rng, shape, step=step: step * (np.arange(13.0) - 6) + np.zeros(shape))
        assert not judge(case, 1), (case, step)


def test_batch_norm_trains_as_pytorchs() -> None:
    for seed in seeds("batch_norm", 20, 4):
        text, wrong = batch_norm.judge(np.random.default_rng(seed))
        assert not wrong, text


def test_every_loss_is_judged() -> None:
    from nnspec.training.losses import Loss

    assert set(losses.MAKERS) | {"perceptron"} == set(Loss.registry)


@pytest.mark.parametrize("kind", sorted(losses.MAKERS))
def test_losses_equal_pytorch_with_their_gradients(kind: str) -> None:
    for seed in seeds(kind, 8, 2):
        rng = np.random.default_rng(seed)
        more = [str(rng.choice(sorted(losses.MAKERS)))] if rng.random() < 0.3 else []
        text, wrong = losses.judge([kind, *more], rng)
        assert not wrong, text


@pytest.mark.parametrize("kind", metrics.KINDS)
def test_metrics_equal_scikit_learn(kind: str) -> None:
    for seed in seeds(kind, 20, 3):
        text, wrong = metrics.judge(kind, np.random.default_rng(seed))
        assert not wrong, text


@pytest.fixture
def double() -> Iterator[None]:
    """PyTorch keeps NAdam's product of momenta in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("kind", training.RULES)
@pytest.mark.usefixtures("double")
def test_optimizers_and_schedules_move_as_pytorchs(kind: str) -> None:
    for i, seed in enumerate(seeds(kind, 8, 2)):
        rng = np.random.default_rng(seed)
        plan = training.SCHEDULES[(i + training.RULES.index(kind)) % len(training.SCHEDULES)]
        text, wrong = training.judge(kind, plan, rng)
        assert not wrong, text


@pytest.mark.parametrize("name", ["mlp", "autoencoder", "lenet5"] if FULL else ["mlp"])
def test_recorded_trajectories_read_anew(name: str) -> None:
    whole = json.loads((training.FOLDER / f"{name}.json").read_text())
    for i, run in enumerate(whole["runs"]):
        for fitted in (False, True) if FULL else (bool(i % 2),):
            assert not training.trajectory(name, run, whole, fitted), (run, fitted)


def test_whole_networks_compile_to_what_they_are_interpreted_as_and_go_on_from_where_they_were_saved(tmp_path: Path) -> None:
    for i, seed in enumerate(seeds("networks", 80, 5)):
        text, wrong = networks.judge(np.random.default_rng(seed), tmp_path / str(i))
        assert not wrong, text


@pytest.mark.parametrize("kind", ["dropout", "spatial_dropout", "drop_path"])
@pytest.mark.parametrize("rate", [0.5, 0.3, 1 / 3, 0.9, 0.999999])
def test_what_dropout_keeps_is_divided_by_what_pytorchs_is(kind: str, rate: float) -> None:
    layers = ["{embedding: {vocabulary: 40, units: 60}}", "{reshape: [6, 10]}", f"{{{kind}: {rate}}}"]
    model = nnspec.compile(loads(f"nnspec: 1\ninputs: {{row: {{shape: [], dtype: int64}}}}\nlayers: [{', '.join(layers)}]\nloss: {{value: {{reduce: sum}}}}\n"
                                 "optimizer: {sgd: 0.0}\n"), precision="float64")
    x, feeds, dropped = np.asarray(model.parameters["embedding_1/embedding"]), {"row": np.arange(40)}, []
    for _ in range(10):
        g = model.gradients(feeds)["embedding_1/embedding"]
        np.testing.assert_allclose(g[g != 0], 1 / (1 - rate), rtol=1e-12)
        assert model.train_batch(feeds)["loss"] == pytest.approx((g * x).sum(), rel=1e-9, abs=1e-9)
        parts = g.reshape(40, 6, 10)
        dropped.append({"dropout": parts, "spatial_dropout": parts[:, 0], "drop_path": parts[:, 0, 0]}[kind] == 0)
        assert np.array_equal(parts, np.broadcast_to({"dropout": parts, "spatial_dropout": parts[:, :1], "drop_path": parts[:, :1, :1]}[kind], parts.shape))
    share = np.stack(dropped)
    assert abs(share.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / share.size) + 2e-4
    np.testing.assert_array_equal(model.predict(np.arange(40)).reshape(40, 60), x)
