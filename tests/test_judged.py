"""Everything that computes, on generated cases through the public interface, equals PyTorch in float64 and scikit-learn.

CI takes a few cases of each kind by a seed; ``NNSPEC_FULL=1`` takes many, by other seeds each (``NNSPEC_SEED``).
"""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest

from nnspec.layers.layer import Layer

pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")

from tests.judged import joined, learned, moved, places, windows  # noqa: F401  # each fills MAKERS
from tests.judged.cases import MAKERS
from tests.judged.judge import judge

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
    for seed in seeds(kind, 60):
        rng = np.random.default_rng(seed)
        case = MAKERS[kind](rng, kind)
        assert not judge(case, int(rng.integers(1 << 30))), case


@pytest.mark.skipif(not FULL, reason="a long form")
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_layers_equal_pytorch_in_single_precision_and_interpreted(kind: str) -> None:
    for seed in seeds(kind, 6):
        rng = np.random.default_rng(seed)
        case = MAKERS[kind](rng, kind)
        assert not judge(case, 1, backend="interpret"), case
