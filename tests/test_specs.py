"""Every quickstart spec trains to what it promises, on seeds that CI draws; all seeds with NNSPEC_FULL."""

from __future__ import annotations

import os
import tracemalloc
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import nnspec
from nnspec.cli.test import expecting, held, metrics, static
from nnspec.codegen.check_plan import check_plan
from nnspec.network.demands import measures
from nnspec.passes import run_pipeline
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.session import Model, compile
from tests.drawn import shipped

SPECS = Path(__file__).parent.parent / "specs" / "quickstart"
FULL = bool(os.environ.get("NNSPEC_FULL"))
SHIPPED = sorted(p.stem for p in SPECS.glob("*.yaml"))
SEEDS = {"digits_cnn": 5 if FULL else 2, "residual": 3 if FULL else 1, "segmentation": 3 if FULL else 1}  # how many seeds a mean is over; by default:
USUAL = 5 if FULL else 2


def trained(name: str, seed: int = 0) -> tuple[Model, dict[str, float]]:
    model = compile(nnspec.load(shipped(name), set={"seed": seed}))
    return model, dict(model.fit().metrics)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_mean_over_seeds_keeps_to_what_a_spec_expects(name: str) -> None:
    spec = expecting(nnspec.load(shipped(name)))
    assert metrics(spec), f"{name} expects nothing of its training: expect: {{test.accuracy: ...}}"
    runs = [trained(name, seed)[1] for seed in range(SEEDS.get(name, USUAL))]
    assert {name for run in runs for name in run} == set(measures(spec.document)), "what may be expected is what is measured"
    found = {**dict(static(spec)), **{metric: float(np.mean([run[metric] for run in runs])) for metric in runs[0]}}
    for result in held(spec, found):
        assert result.held, result


def test_a_perceptron_cannot_learn_xor_and_two_layers_can() -> None:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    single, _ = trained("perceptron_xor")
    assert (single.predict(x)[:, 0] == [0, 1, 1, 0]).sum() < 4
    double, _ = trained("xor")
    assert ((double.predict(x)[:, 0] > 0.5) == [0, 1, 1, 0]).all()


@pytest.mark.parametrize("name", ["perceptron_and", "perceptron_or"])
def test_a_perceptron_learns_what_a_line_parts(name: str) -> None:
    model, _ = trained(name)
    wanted = [0, 0, 0, 1] if name.endswith("and") else [0, 1, 1, 1]
    assert model.predict([[0, 0], [0, 1], [1, 0], [1, 1]])[:, 0].tolist() == wanted


@pytest.mark.parametrize("name", SHIPPED)
def test_no_two_live_buffers_of_a_shipped_spec_overlap(name: str) -> None:
    model = compile(nnspec.load(shipped(name)))
    for kind in ("train", "score", "predict"):
        for loops in (None, model.backend.loops()):
            graph = run_pipeline(model.graph_of(kind, 4), model.backend.claims, loops)
            check_plan(graph, model.backend.plan(graph, name))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", SHIPPED)
def test_the_third_step_of_a_shipped_spec_allocates_at_most_64_kb(name: str, precision: str) -> None:
    model = compile(nnspec.load(shipped(name), set={"precision": precision}))
    size = min(model.spec.settings.batch_size, 64)
    batch = {k: v[:size] for k, v in assembled(model, dataset(model).splits["train"]).arrays.items()}
    for _ in range(2):
        model.train_step(batch, 1e-3, len(next(iter(batch.values()))))
    tracemalloc.start()
    model.train_step(batch, 1e-3, len(next(iter(batch.values()))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 64 * 1024


@pytest.mark.parametrize("name", SHIPPED)
def test_the_compiled_step_of_a_shipped_spec_equals_the_interpreted_one(name: str) -> None:
    spec = nnspec.load(shipped(name), set={"precision": "float64"})
    rng = np.random.default_rng(0)
    models = [compile(spec, backend=b) for b in ("numpy", "interpret")]
    feeds = {n: rng.uniform(0, 1, (3, *t.shape)) if t.dtype.is_float else rng.integers(0, 2, (3, *t.shape)) for n, t in spec.inputs.items()}
    for t in spec.built.losses:
        assert t.type is not None
        shape = (3, *(d for d in t.type.shape[1:] if isinstance(d, int)))
        feeds[t.feed] = rng.integers(0, 2, shape) if t.classes or t.term.of.kind == "perceptron" else rng.uniform(0, 1, shape)
    for _ in range(2):
        a, b = (m.train_batch(feeds) for m in models)
        assert a == pytest.approx(b, rel=1e-10)
    first, second = (m.state() for m in models)
    for key, array in first.items():
        np.testing.assert_allclose(array, second[key], rtol=1e-8, atol=1e-11)


def test_the_pairs_of_the_siamese_network_are_what_its_script_draws_and_the_test_shows_other_digits() -> None:
    module = spec_from_file_location("digit_pairs", SPECS / "digit_pairs.py")
    assert module is not None and module.loader is not None
    script = module_from_spec(module)
    module.loader.exec_module(script)
    with np.load(SPECS / "digit_pairs.npz") as held:
        for name, array in script.draw().items():
            np.testing.assert_array_equal(held[name], array)
        shown = [{image.tobytes() for side in ("left", "right") for image in held[side][rows]} for rows in (slice(2400), slice(2400, None))]
    assert len(shown[0] & shown[1]) <= 2, "but for digits that are equal to the pixel"


def test_the_siamese_network_does_not_mind_the_order_of_a_pair() -> None:
    model = compile(nnspec.load(SPECS / "siamese.yaml"))
    x = np.random.default_rng(0).uniform(0, 16, (2, 5, 8, 8, 1))
    np.testing.assert_allclose(model.predict({"left": x[0], "right": x[1]}), model.predict({"left": x[1], "right": x[0]}), rtol=1e-5)


def test_the_denoising_autoencoder_takes_most_of_the_noise_away() -> None:
    model, _ = trained("denoising_autoencoder")
    images = assembled(model, dataset(model).splits["test"]).arrays["image"]
    noise = np.random.default_rng(0).normal(0.0, 0.2, images.shape)  # what it was trained on, drawn by another hand
    left = model.predict((images + noise).astype(np.float32), raw=True) - images
    assert np.mean(left**2) < 0.6 * np.mean(noise**2)
