"""The networks that ``tests.bench.others`` times: as many parameters as their twins, and answers of the same shapes."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.bench.others import channels_first, compiled, fed, step  # noqa: E402
from tests.bench.strangers import STRANGERS  # noqa: E402

SMALL = ("xor", "regression", "l2_clipped", "tabular", "two_and_two", "text_mean", "digits", "mixer")


@pytest.mark.parametrize("name", STRANGERS if os.environ.get("NNSPEC_FULL") else SMALL)
def test_a_stranger_and_its_twin_have_as_many_parameters_and_answer_in_the_same_shape(name: str) -> None:
    stranger = STRANGERS[name]
    model, net = compiled(stranger), stranger.twin()
    assert sum(math.prod(p.shape) for p in model.parameters.values() if p.trainable) == sum(p.numel() for p in net.parameters())
    arrays = fed(model, stranger, stranger.batch)
    given = {n: channels_first(torch.from_numpy(np.ascontiguousarray(x)), False) for n, x in arrays.items()}
    inputs = list(model.spec.inputs)
    with torch.no_grad():
        theirs = net(*(given[n] for n in inputs))
    ours: Any = model.predict({n: arrays[n] for n in inputs}, raw=True)
    pairs = zip(ours.values(), theirs, strict=True) if isinstance(ours, dict) else [(ours, theirs)]
    for a, b in pairs:
        assert a.shape == tuple(b.movedim(1, -1).shape if b.ndim > 2 else b.shape)
    step(net, stranger, True)([given[n] for n in inputs], [given[t.feed] for t in model.spec.built.losses])
    assert np.isfinite(model.train_batch(arrays)["loss"])
