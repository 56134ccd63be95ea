"""Models whose statistics, biases and scales say something: fresh ones are 0 and 1, which hide what is left out."""

from __future__ import annotations

import numpy as np

from nnspec.runtime.session import Model


def moved(model: Model, seed: int = 0, most: float = 0.3) -> Model:
    """Every vector of parameters moved upwards by up to ``most``."""
    rng = np.random.default_rng(seed)
    held = {p: model.read(p) for p in model.parameters}
    model.restore({f"parameters/{p}": (v + rng.uniform(0.05, most, v.shape)).astype(v.dtype) for p, v in held.items() if v.ndim == 1})
    return model
