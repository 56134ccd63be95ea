"""Probabilities whose places moved since their softmax or sigmoid are still read from what went into it, or it is an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.runtime.session import Model, compile

torch = pytest.importorskip("torch", reason="the losses are compared with PyTorch's")

RNG = np.random.default_rng(0)


def model(layers: str, loss: str, more: str = "") -> Model:
    moves = "optimizer: sgd\n" if "dense" in layers else ""
    return compile(loads(f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [12]}}}}\nlayers: {layers}\nloss: {loss}\n{moves}{more}"))


def score(m: Model, x: Any, t: Any) -> float:
    return float(m.evaluate({"x": x, "target": t})["loss"])


@pytest.mark.parametrize(
    ("layers", "move"),
    [
        ("[sigmoid, reshape: [3, 4]]", lambda z: z.reshape(-1, 3, 4)),
        ("[reshape: [3, 4], sigmoid, permute: [1, 0]]", lambda z: z.reshape(-1, 3, 4).transpose(1, 2)),
        ("[sigmoid, reshape: [3, 4, 1], crop2d: 1, flatten]", lambda z: z.reshape(-1, 3, 4)[:, 1:-1, 1:-1].reshape(len(z), -1)),
        ("[sigmoid: {name: a}, sigmoid: {from: x, name: b}, concat: {from: [a, b]}]", lambda z: torch.cat([z, z], 1)),
        ("[reshape: [12, 1], sigmoid, squeeze]", lambda z: z),
    ],
)
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "focal"])
def test_units_of_a_sigmoid_are_read_from_their_logits_wherever_they_went(layers: str, move: Any, loss: str) -> None:
    x = RNG.standard_normal((6, 12)) * 30  # probabilities that round to 1
    z = move(torch.tensor(x))
    t = RNG.integers(0, 2, tuple(z.shape)).astype(float)
    m = model(layers, loss)
    each = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(t), reduction="none")
    if loss == "focal":
        each = each * (1 - torch.exp(-each)) ** 2
    assert score(m, x, t) == pytest.approx(each.mean().item(), rel=1e-10)
    assert m.predict(x) == pytest.approx(torch.sigmoid(z).numpy(), abs=1e-12)


@pytest.mark.parametrize(
    ("layers", "move"),
    [
        ("[reshape: [6, 2], softmax, reshape: [2, 3, 2]]", lambda z: z.reshape(-1, 2, 3, 2)),
        ("[reshape: [2, 3, 2], softmax, permute: [1, 0, 2]]", lambda z: z.reshape(-1, 2, 3, 2).transpose(1, 2)),
        ("[reshape: [1, 12], softmax, flatten]", lambda z: z),
    ],
)
def test_classes_of_a_softmax_too_where_its_axis_stays_last(layers: str, move: Any) -> None:
    x = RNG.standard_normal((6, 12)) * 30
    z = move(torch.tensor(x))
    t = RNG.integers(0, z.shape[-1], tuple(z.shape[:-1]))
    m = model(layers, "cross_entropy", more="metrics: [accuracy]\n")
    scores = m.evaluate({"x": x, "target": t})
    wanted = torch.nn.functional.cross_entropy(z.reshape(-1, z.shape[-1]), torch.tensor(t).reshape(-1))
    assert scores["loss"] == pytest.approx(wanted.item(), rel=1e-10)
    assert scores["accuracy"] == pytest.approx((z.argmax(-1).numpy() == t).mean(), rel=1e-12)
    assert m.predict(x).reshape(z.shape) == pytest.approx(torch.softmax(z, -1).numpy(), abs=1e-12)


@pytest.mark.parametrize(
    ("layers", "loss", "said"),
    [
        ("[reshape: [3, 4], softmax, permute: [1, 0]]", "cross_entropy", "cross_entropy cannot see what went into softmax"),
        ("[reshape: [3, 4], softmax, flatten]", "cross_entropy", "cross_entropy cannot see what went into softmax"),
        ("[sigmoid: {name: a}, concat: {from: [a, x]}]", "binary_cross_entropy", "binary_cross_entropy cannot see what went into sigmoid"),
        ("[reshape: [3, 4, 1], sigmoid, pad2d: 1]", "binary_cross_entropy", "binary_cross_entropy cannot see what went into sigmoid"),
        ("[softmax, dropout: 0.5]", "cross_entropy", "dropout stands between probabilities and the loss"),
        ("[sigmoid, gaussian_noise: 0.1, reshape: [3, 4]]", "binary_cross_entropy", "gaussian_noise stands between probabilities and the loss"),
        ("[sigmoid, reshape: [12, 1]]", "hinge", "hinge reads a score"),
    ],
)
def test_what_would_be_taken_for_logits_is_an_error(layers: str, loss: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        model(layers, loss)


def test_noise_before_the_last_layer_is_none_of_it() -> None:
    model("[dropout: 0.5, dense: 3, softmax]", "cross_entropy")
    model("[sigmoid, dropout: 0.5, dense: 3]", "cross_entropy")
    model("[sigmoid, dropout: 0.5]", "mse")


def test_the_gradient_is_that_of_the_logits() -> None:
    m = model("[dense: {units: 12, activation: sigmoid}, reshape: [3, 4]]", "binary_cross_entropy")
    x, t = RNG.standard_normal((5, 12)) * 40, RNG.integers(0, 2, (5, 3, 4)).astype(float)
    k = torch.tensor(np.array(m.parameters["dense_1/kernel"]), requires_grad=True)
    torch.nn.functional.binary_cross_entropy_with_logits((torch.tensor(x) @ k).reshape(5, 3, 4), torch.tensor(t)).backward()
    m.train_batch({"x": x, "target": t})
    assert m.parameters["dense_1/kernel"] == pytest.approx((k - 0.01 * k.grad).detach().numpy(), rel=1e-10)
