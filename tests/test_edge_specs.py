"""Specs whose sizes lie at the edges come out of compiled code as out of the interpreter: answers, gradients, a step, in both precisions."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.errors import NnspecError, NumbersError
from tests.edge_specs import Edge, draw
from tests.processors import processor

FULL = bool(os.environ.get("NNSPEC_FULL"))
SEEDS = range(400) if FULL else (0, 13, 17, 28, 31, 57)


def fed(edge: Edge, seed: int) -> dict[str, np.ndarray]:
    """Rows, some of whose numbers are -0.0."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((edge.rows, *edge.shape)).astype(np.float32).astype(np.float64)
    x[rng.random(x.shape) < 0.1] = -0.0
    shape = (edge.rows, edge.units)
    if edge.loss in ("cross_entropy", "focal"):
        return {"x": x, "target": rng.integers(0, edge.units, edge.rows)}
    if edge.loss in ("binary_cross_entropy", "hinge"):
        return {"x": x, "target": rng.integers(0, 2, shape) * (2 if edge.loss == "hinge" else 1) - (edge.loss == "hinge")}
    t = rng.random(shape) + 0.1
    return {"x": x, "target": t / t.sum(-1, keepdims=True)}


def told(edge: Edge, feeds: dict[str, np.ndarray], backend: str, precision: str, math: str) -> dict[str, Any]:
    """Everything that a model says of a batch, before and behind a step."""
    model = nnspec.compile(loads(f"{edge.text}math: {math}\n"), backend=backend, precision=precision, seed=3)
    before = {name: np.array(p, np.float64) for name, p in model.parameters.items()}
    found: dict[str, Any] = {"predict": model.predict(feeds["x"], raw=True), **model.gradients(feeds)}
    try:
        found["loss"] = model.train_batch(feeds)["loss"]
    except NumbersError:
        return {**found, "stopped": 1.0}
    found.update({f"moved {name}": np.array(p, np.float64) - before[name] for name, p in model.parameters.items()})
    return found


def agree(seed: int, precision: str, math: str) -> None:
    """Not further from float64 than its interpreter by rounding: 1e-10 of the largest number, or 2e-5 and a few times the interpreter's own error.

    Adam and its like divide a gradient by its size, and its rounding with it: of a step they hold a hundredth, and nothing where the gradient is zero but for rounding.
    """
    edge = draw(seed)
    try:
        loads(edge.text)
    except NnspecError:
        return  # a window wider than what it walks over, an output of one class
    feeds = fed(edge, seed)
    found, usual, exact = (told(edge, feeds, backend, p, math) for backend, p in (("numpy", precision), ("interpret", precision), ("interpret", "float64")))
    assert set(found) == set(usual), edge.text
    tolerance = 1e-10 if precision == "float64" else 2e-5
    for name, a in found.items():
        x, y, z = (np.asarray(v, np.float64) for v in (a, usual[name], exact[name]))
        assert x.shape == y.shape and np.array_equal(np.isfinite(x), np.isfinite(y)), (name, edge.text)
        x, y, z = (np.nan_to_num(v) for v in (x, y, z))
        of = exact.get(name.removeprefix("moved "))
        if name.startswith("moved ") and precision == "float32" and of is not None and np.abs(of).max(initial=0) < 1e-3 * tolerance:
            continue
        share = max(tolerance, 1e-2 if precision == "float32" else 1e-6) if name.startswith("moved") else tolerance
        most = share * max(np.abs(z).max(initial=0), 1e-3) + 8 * np.abs(y - z).max(initial=0)
        assert np.abs(x - z).max(initial=0) <= most, (name, edge.text)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_spec_at_the_edges_is_computed_as_it_is_interpreted(seed: int) -> None:
    for precision in ("float32", "float64"):
        agree(seed, precision, ("fast", "strict")[seed % 2])


@pytest.mark.parametrize("cpu", ["avx2", "none"])
def test_and_on_lesser_processors(cpu: str) -> None:
    with processor(cpu, skip=False):
        for seed in range(400, 480) if FULL else (401, 402):
            agree(seed, "float32", "fast")
