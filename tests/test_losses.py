"""Losses and their gradients equal PyTorch's in float64; softmax and sigmoid before them are read through."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.runtime.session import compile

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
F = torch.nn.functional
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 5))
CLASSES = np.array([0, 2, 1, 1, 0, 2])
SOFT = np.abs(RNG.standard_normal((6, 3)))
SOFT /= SOFT.sum(1, keepdims=True)
BITS = RNG.integers(0, 2, (6, 3))


def model(loss: str, activation: str = "identity", backend: str = "numpy") -> Any:
    spec = loads(f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [5]}}}}\nlayers: [dense: {{units: 3, activation: {activation}}}]\n"
                 f"loss: {loss}\noptimizer: sgd\n")
    m = compile(spec, backend=backend)
    m.parameters["dense_1/bias"].assign([0.1, -0.2, 0.3])
    return m


CASES = [
    ("cross_entropy", "identity", CLASSES, lambda y: F.cross_entropy(y, torch.tensor(CLASSES))),
    ("cross_entropy", "softmax", CLASSES, lambda y: F.cross_entropy(y, torch.tensor(CLASSES))),
    ("cross_entropy", "identity", SOFT, lambda y: F.cross_entropy(y, torch.tensor(SOFT))),
    ("cross_entropy", "softmax", np.eye(3)[CLASSES], lambda y: F.cross_entropy(y, torch.tensor(CLASSES))),
    ("binary_cross_entropy", "identity", BITS, lambda y: F.binary_cross_entropy_with_logits(y, torch.tensor(BITS).double())),
    ("binary_cross_entropy", "sigmoid", BITS, lambda y: F.binary_cross_entropy_with_logits(y, torch.tensor(BITS).double())),
    ("mse", "tanh", SOFT, lambda y: F.mse_loss(torch.tanh(y), torch.tensor(SOFT))),
]


@pytest.mark.parametrize("backend", ["numpy", "interpret"])
@pytest.mark.parametrize(("loss", "activation", "target", "theirs"), CASES)
def test_loss_and_gradients_equal_pytorch(loss: str, activation: str, target: Any, theirs: Any, backend: str) -> None:
    m = model(loss, activation, backend)
    w = torch.tensor(np.asarray(m.parameters["dense_1/kernel"]), requires_grad=True)
    b = torch.tensor(np.asarray(m.parameters["dense_1/bias"]), requires_grad=True)
    value = theirs(torch.tensor(X) @ w + b)
    value.backward()
    gradients = m.gradients({"x": X, "target": target})
    np.testing.assert_allclose(gradients["dense_1/kernel"], w.grad.numpy(), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(gradients["dense_1/bias"], b.grad.numpy(), rtol=1e-10, atol=1e-13)
    assert m.evaluate({"x": X, "target": target})["loss"] == pytest.approx(value.item(), rel=1e-12)


@pytest.mark.parametrize("activation", ["identity", "softmax"])
def test_predict_gives_probabilities_either_way_and_raw_the_output(activation: str) -> None:
    m = model("cross_entropy", activation)
    z = X @ np.asarray(m.parameters["dense_1/kernel"]) + np.asarray(m.parameters["dense_1/bias"])
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(m.predict(X), p, rtol=1e-12)
    np.testing.assert_allclose(m.predict(X, raw=True), z if activation == "identity" else p, rtol=1e-12)


def test_extreme_logits_neither_overflow_nor_lose_the_gradient() -> None:
    m = model("cross_entropy", "softmax")
    m.parameters["dense_1/bias"].assign([1000.0, 0.0, -1000.0])
    gradients = m.gradients({"x": X, "target": CLASSES})
    assert np.isfinite(gradients["dense_1/bias"]).all()
    np.testing.assert_allclose(gradients["dense_1/bias"], [4 / 6, -2 / 6, -2 / 6], atol=1e-12)


def test_the_perceptron_moves_by_rosenblatts_rule() -> None:
    spec = loads("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [2]}}\nlayers: [dense: {units: 1, activation: step}]\n"
                 "loss: perceptron\noptimizer: {sgd: {learning_rate: 0.5}}\n")
    m = compile(spec)
    kernel, bias = m.parameters["dense_1/kernel"], m.parameters["dense_1/bias"]
    kernel.assign([[0.4], [-0.3]])
    for x, t in (((1.0, 2.0), 1.0), ((1.0, 0.5), 0.0), ((-1.0, 0.0), 0.0)):
        w, b = np.asarray(kernel).copy(), np.asarray(bias).copy()
        y = float(np.dot(x, w[:, 0]) + b[0] > 0)
        m.train_batch({"x": [x], "target": [t]})
        np.testing.assert_allclose(np.asarray(kernel)[:, 0], w[:, 0] + 0.5 * (t - y) * np.array(x), atol=1e-15)
        np.testing.assert_allclose(np.asarray(bias), b + 0.5 * (t - y), atol=1e-15)


def test_sample_weights_weigh_the_mean() -> None:
    m = model("mse")
    weights = np.array([1.0, 0, 2, 0, 0.5, 0])
    y = m.predict(X)
    rows = ((y - SOFT) ** 2).mean(1)
    wanted = (weights * rows).sum() / weights.sum()
    assert m.evaluate({"x": X, "target": SOFT, "sample_weight": weights})["loss"] == pytest.approx(wanted, rel=1e-12)


def test_losses_add_up_with_their_weights() -> None:
    spec = loads("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [5]}}\nlayers:\n  - dense: {units: 3, name: a}\n  - dense: {units: 2, from: x, name: b}\n"
                 "outputs: [a, b]\nloss:\n  - mse: {from: a, target: left}\n  - cross_entropy: {from: b, target: right, weight: 0.25}\noptimizer: sgd\n")
    m = compile(spec)
    feeds = {"x": X, "left": SOFT, "right": np.array([0, 1, 1, 0, 1, 0])}
    out = m.predict({"x": X}, raw=True)
    a, b = torch.tensor(out["a"]), torch.tensor(out["b"])
    wanted = F.mse_loss(a, torch.tensor(SOFT)) + 0.25 * F.cross_entropy(b, torch.tensor(feeds["right"]))
    assert m.evaluate(feeds)["loss"] == pytest.approx(wanted.item(), rel=1e-12)


# Every loss over generated shapes, rows weighted and padded, against PyTorch in float64

WEIGHTS = [0.3, 2.5, 1.0, 0.7]


def t64(a: Any) -> Any:
    return torch.tensor(np.asarray(a, np.float64))


def rows_of(x: Any) -> Any:
    return x.reshape(len(x), -1).mean(1)


def given_labels(y: Any, t: Any) -> Any:
    """PyTorch has classes second."""
    return torch.movedim(y, -1, 1), torch.tensor(t)


def smooth_dice(p: Any, t: Any, smooth: float) -> Any:
    places = tuple(range(1, p.ndim - 1))
    return 1 - (2 * (p * t).sum(places) + smooth) / (p.sum(places) + t.sum(places) + smooth)


def focal_of_classes(y: Any, t: Any, gamma: float, alpha: Any = None) -> Any:
    logs = F.log_softmax(y, -1).gather(-1, torch.tensor(t)[..., None])[..., 0]
    return -((1 - logs.exp()) ** gamma) * logs * (1 if alpha is None else t64(alpha)[torch.tensor(t)])


def sigmoid_focal(y: Any, t: Any, gamma: float, alpha: float) -> Any:
    """As torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(y)
    ce = F.binary_cross_entropy_with_logits(y, t, reduction="none")
    return ce * (1 - (p * t + (1 - p) * (1 - t))) ** gamma * (alpha * t + (1 - alpha) * (1 - t))


def sides(t: Any) -> Any:
    return t64(np.where(t > 0, 1.0, -1.0))


# loss, its fields, activation, how a target is drawn, and PyTorch's loss of each element (or pair of it and what each counts)
ALL: dict[str, tuple[str, str, str, str, Any]] = {
    "mse": ("mse", "", "tanh", "number", lambda y, t: F.mse_loss(torch.tanh(y), t64(t), reduction="none")),
    "mae": ("mae", "", "identity", "number", lambda y, t: F.l1_loss(y, t64(t), reduction="none")),
    "huber": ("huber", "", "identity", "number", lambda y, t: F.huber_loss(y, t64(t), reduction="none")),
    "huber_delta": ("huber", "delta: 0.3", "identity", "number", lambda y, t: F.huber_loss(y, t64(t), reduction="none", delta=0.3)),
    "hinge": ("hinge", "", "identity", "bit", lambda y, t: F.relu(1 - sides(t) * y)),
    "hinge_of_sides": ("hinge", "", "identity", "side", lambda y, t: F.relu(1 - t64(t) * y)),
    "kl_divergence": ("kl_divergence", "", "softmax", "share", lambda y, t: F.kl_div(F.log_softmax(y, -1), t64(t), reduction="none").sum(-1)),
    "kl_of_logs": ("kl_divergence", "", "log_softmax", "share", lambda y, t: F.kl_div(F.log_softmax(y, -1), t64(t), reduction="none").sum(-1)),
    "kl_of_sigmoid": ("kl_divergence", "", "sigmoid", "share", lambda y, t: F.kl_div(torch.sigmoid(y).log(), t64(t), reduction="none").sum(-1)),
    "cross_entropy": ("cross_entropy", "", "identity", "class", lambda y, t: F.cross_entropy(*given_labels(y, t), reduction="none")),
    "smoothing": ("cross_entropy", "smoothing: 0.2", "softmax", "class",
                  lambda y, t: F.cross_entropy(*given_labels(y, t), reduction="none", label_smoothing=0.2)),
    "smoothed_shares": ("cross_entropy", "smoothing: 0.2", "softmax", "share",
                        lambda y, t: F.cross_entropy(torch.movedim(y, -1, 1), torch.movedim(t64(t), -1, 1), reduction="none", label_smoothing=0.2)),
    "class_weights": ("cross_entropy", "class_weights: [0.5, 2, 1]", "identity", "class",
                      lambda y, t: (F.cross_entropy(*given_labels(y, t), reduction="none", weight=t64([0.5, 2, 1])), t64([0.5, 2, 1])[torch.tensor(t)])),
    "class_weights_by_name": ("cross_entropy", "class_weights: {'1': 4}", "softmax", "class",
                              lambda y, t: (F.cross_entropy(*given_labels(y, t), reduction="none", weight=t64([1, 4, 1])), t64([1, 4, 1])[torch.tensor(t)])),
    "class_weights_and_smoothing": (
        "cross_entropy", "class_weights: [0.5, 2, 1], smoothing: 0.1", "identity", "class",
        lambda y, t: (F.cross_entropy(*given_labels(y, t), reduction="none", weight=t64([0.5, 2, 1]), label_smoothing=0.1), t64([0.5, 2, 1])[torch.tensor(t)])),
    "class_weights_one_hot": (
        "cross_entropy", "class_weights: [0.5, 2, 1]", "identity", "hot",
        lambda y, t: (F.cross_entropy(*given_labels(y, t.argmax(-1)), reduction="none", weight=t64([0.5, 2, 1])), t64([0.5, 2, 1])[torch.tensor(t.argmax(-1))])),
    "binary": ("binary_cross_entropy", "", "sigmoid", "bit", lambda y, t: F.binary_cross_entropy_with_logits(y, t64(t), reduction="none")),
    "binary_smoothing": ("binary_cross_entropy", "smoothing: 0.2", "identity", "bit",
                         lambda y, t: F.binary_cross_entropy_with_logits(y, t64(t) * 0.8 + 0.1, reduction="none")),
    "binary_class_weights": ("binary_cross_entropy", "class_weights: [0.5, 3]", "sigmoid", "bit",
                             lambda y, t: (F.binary_cross_entropy_with_logits(y, t64(t), reduction="none", weight=t64(t) * 2.5 + 0.5), t64(t) * 2.5 + 0.5)),
    "focal": ("focal", "", "softmax", "class", lambda y, t: focal_of_classes(y, t, 2.0)),
    "focal_alpha": ("focal", "gamma: 1.5, alpha: [0.2, 0.5, 0.9]", "identity", "class", lambda y, t: focal_of_classes(y, t, 1.5, [0.2, 0.5, 0.9])),
    "focal_one_hot": ("focal", "gamma: 3.0", "identity", "hot", lambda y, t: focal_of_classes(y, t.argmax(-1), 3.0)),
    "focal_of_none": ("focal", "gamma: 0.0", "identity", "class", lambda y, t: F.cross_entropy(*given_labels(y, t), reduction="none")),
    "focal_yes_or_no": ("focal", "gamma: 2.0, alpha: 0.25", "sigmoid", "bit", lambda y, t: sigmoid_focal(y, t64(t), 2.0, 0.25)),
    "dice": ("dice", "", "softmax", "pixel", lambda y, t: smooth_dice(F.softmax(y, -1), F.one_hot(torch.tensor(t), 3), 1.0)),
    "dice_of_masks": ("dice", "smooth: 0.1", "sigmoid", "mask", lambda y, t: smooth_dice(torch.sigmoid(y), t64(t), 0.1)),
}


def drawn(how: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if how in ("class", "pixel"):
        return rng.integers(0, 3, shape[:-1])
    if how in ("bit", "mask"):
        return rng.integers(0, 2, shape)
    if how == "side":
        return rng.choice([-1.0, 1.0], shape)
    if how == "hot":
        return np.eye(3)[rng.integers(0, 3, shape[:-1])]
    t = rng.standard_normal(shape)
    return np.exp(t) / np.exp(t).sum(-1, keepdims=True) if how == "share" else t


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=100 if os.environ.get("NNSPEC_FULL") else 6)
@given(st.data())
def test_a_loss_and_its_gradient_equal_pytorch_over_shapes_and_weights(name: str, data: st.DataObject) -> None:
    kind, fields, activation, how, theirs = ALL[name]
    least = 1 if how in ("pixel", "mask") else 0
    places = data.draw(st.lists(st.integers(1, 3), min_size=least, max_size=2), label="places")
    units = 3 if how in ("class", "pixel", "hot") else data.draw(st.integers(2 if how == "share" else 1, 4), label="units")
    reduce = data.draw(st.sampled_from(["mean", "sum", "none"]), label="reduce")
    rows, padded = data.draw(st.integers(1, 4), label="rows"), data.draw(st.integers(0, 2), label="padded")
    rng = np.random.default_rng(data.draw(st.integers(0, 99), label="seed"))
    spec = loads(f"nnspec: 1\nprecision: float64\nbatch_size: {rows + padded}\ninputs: {{x: {{shape: {[*places, 2]}}}}}\n"
                 f"layers: [dense: {{units: {units}, activation: {activation}}}]\n"
                 f"loss: {{{kind}: {{{fields}{', ' if fields else ''}reduce: {reduce}}}}}\noptimizer: {{sgd: {{learning_rate: 1.0}}}}\n")
    m = compile(spec, backend="interpret")
    kernel = m.parameters["dense_1/kernel"]
    x, w = rng.standard_normal((rows, *places, 2)), np.array(WEIGHTS[:rows])
    t = drawn(how, (rows, *places, units), rng)
    k = torch.tensor(np.asarray(kernel), requires_grad=True)
    found = theirs(torch.tensor(x) @ k, t)
    elements, counts = found if isinstance(found, tuple) else (found, torch.ones_like(found))
    weight = t64(w)
    if reduce == "mean":
        value = (weight * rows_of(elements)).sum() / (weight * rows_of(counts)).sum()
    else:
        value = (weight * (rows_of(elements) if reduce == "none" else elements.reshape(rows, -1).sum(1))).sum()
    value.backward()
    feeds = {"x": x, "target": t, "sample_weight": w}
    scale = max(1.0, float(k.grad.abs().max()))
    assert m.evaluate(feeds)["loss"] == pytest.approx(value.item(), rel=1e-10, abs=1e-13)
    np.testing.assert_allclose(m.gradients(feeds)["dense_1/kernel"] / scale, k.grad.numpy() / scale, rtol=1e-10, atol=1e-12)
    before = np.asarray(kernel).copy()
    assert m.train_batch(feeds)["loss"] == pytest.approx(value.item(), rel=1e-10, abs=1e-13)  # padded to batch_size
    np.testing.assert_allclose((before - np.asarray(kernel)) / scale, k.grad.numpy() / scale, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_loss_and_its_gradient_are_the_same_compiled_and_interpreted(name: str) -> None:
    kind, fields, activation, how, _ = ALL[name]
    text = (f"nnspec: 1\ninputs: {{x: {{shape: [2, 3, 4]}}}}\nlayers: [dense: {{units: 3, activation: {activation}}}]\nloss: {{{kind}: {{{fields}}}}}\noptimizer: sgd\n")
    rng = np.random.default_rng(1)
    feeds = {"x": rng.standard_normal((5, 2, 3, 4)), "target": drawn(how, (5, 2, 3, 3), rng), "sample_weight": [1.0, 0.5, 0.0, 2.0, 1.0]}
    one, other = (compile(loads(text), backend=b) for b in ("numpy", "interpret"))
    assert one.evaluate(feeds) == pytest.approx(other.evaluate(feeds), rel=1e-5)
    for path, g in one.gradients(feeds).items():
        np.testing.assert_allclose(g, other.gradients(feeds)[path], rtol=1e-4, atol=1e-6)


def test_the_mean_of_weighted_classes_and_the_sum_equal_pytorchs_own() -> None:
    y, t = RNG.standard_normal((6, 3)), CLASSES
    weights = [0.5, 2.0, 1.0]
    for reduce in ("mean", "sum"):
        spec = loads("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [3]}}\nlayers: [identity]\n"
                     f"loss: {{cross_entropy: {{class_weights: {weights}, reduce: {reduce}, smoothing: 0.1}}}}\n")
        wanted = F.cross_entropy(t64(y), torch.tensor(t), weight=t64(weights), reduction=reduce, label_smoothing=0.1)
        assert compile(spec).evaluate({"x": y, "target": t})["loss"] == pytest.approx(wanted.item(), rel=1e-12)


def test_a_batch_of_classes_that_weigh_nothing_adds_nothing() -> None:
    spec = loads("nnspec: 1\ninputs: {x: {shape: [2]}}\nlayers: [dense: 2]\nloss: {cross_entropy: {class_weights: [0, 1]}}\noptimizer: sgd\n")
    m = compile(spec)
    before = m.state()
    assert m.train_batch({"x": np.ones((3, 2)), "target": [0, 0, 0]})["loss"] == 0.0
    assert all((before[k] == v).all() for k, v in m.state().items())


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
def test_focal_keeps_finite_gradients_where_it_is_sure(gamma: float) -> None:
    spec = loads("nnspec: 1\ninputs: {x: {shape: [2]}}\nlayers: [dense: {units: 2, init: {kernel: [[90, 0], [0, 90]]}}]\n"
                 f"loss: {{focal: {gamma}}}\noptimizer: sgd\n".replace(f"{gamma}}}", f"{float(gamma)}}}"))
    assert np.isfinite(compile(spec).gradients({"x": np.eye(2), "target": [0, 1]})["dense_1/kernel"]).all()


# Targets

TWO = ("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [5]}}\nlayers:\n  - dense: {units: 3, name: a}\n  - dense: {units: 1, from: x, name: b}\n"
       "outputs: [a, b]\noptimizer: sgd\nloss:\n")


def test_columns_are_stacked_to_one_target() -> None:
    m = compile(loads(TWO + "  - huber: {from: a, target: [l, t, r]}\n  - mae: {from: b, target: y}\n"))
    feeds = {"l": SOFT[:, 0], "t": SOFT[:, 1], "r": SOFT[:, 2], "y": X[:, 0]}
    out = m.predict(X, raw=True)
    wanted = F.huber_loss(t64(out["a"]), t64(SOFT)) + F.l1_loss(t64(out["b"][:, 0]), t64(X[:, 0]))
    assert m.evaluate({"x": X, **feeds})["loss"] == pytest.approx(wanted.item(), rel=1e-12)


def test_an_input_is_a_target() -> None:
    m = compile(loads("nnspec: 1\nprecision: float64\ninputs: {x: {shape: [5]}}\nlayers: [dense: 2, dense: 5]\nloss: {mse: {target: x}}\noptimizer: sgd\n"))
    assert m.evaluate({"x": X})["loss"] == pytest.approx(float(((m.predict(X) - X) ** 2).mean()), rel=1e-12)


def test_a_number_is_the_target_of_every_row() -> None:
    m = compile(loads(TWO + "  - binary_cross_entropy: {from: b, target: 1}\n  - cross_entropy: {from: a, target: 2}\n"))
    out = m.predict(X, raw=True)
    wanted = F.binary_cross_entropy_with_logits(t64(out["b"]), torch.ones(6, 1).double()) + F.cross_entropy(t64(out["a"]), torch.full((6,), 2))
    assert m.evaluate({"x": X})["loss"] == pytest.approx(wanted.item(), rel=1e-12)
    assert m.train_batch({"x": X})["loss"] == pytest.approx(wanted.item(), rel=1e-12)


def test_a_value_is_added_as_it_stands() -> None:
    m = compile(loads(TWO + "  - mse: {from: a, target: x0}\n  - value: {from: b, weight: -0.5}\n"))
    out = m.predict(X, raw=True)
    wanted = ((out["a"] - SOFT) ** 2).mean() - 0.5 * out["b"].mean()
    assert m.evaluate({"x": X, "x0": SOFT})["loss"] == pytest.approx(wanted, rel=1e-12)


def test_the_weight_of_a_loss_may_be_a_schedule() -> None:
    m = compile(loads(TWO + "  - mse: {from: a, target: t}\n  - mse: {from: b, target: u, weight: {step: {every: 2 steps, factor: 0.5}}}\n"))
    for factor in (1.0, 1.0, 0.5, 0.5, 0.25):
        out = m.predict(X, raw=True)
        wanted = ((out["a"] - SOFT) ** 2).mean() + factor * ((out["b"] - X[:, :1]) ** 2).mean()
        assert m.train_batch({"x": X, "t": SOFT, "u": X[:, 0]})["loss"] == pytest.approx(wanted, rel=1e-12)


# Balanced classes

RARE = ("nnspec: 1\ndata: {inline: {columns: {x: [1, 2, 3, 4, 5, 6, 7, 8], y: [no, no, yes, no, no, no, no, yes]}, target: y}}\n"
        "layers: [dense: 2]\nloss: {cross_entropy: {class_weights: balanced}}\noptimizer: sgd\nepochs: 2\nbatch_size: 3\n")


def test_balanced_weighs_classes_by_the_training_rows() -> None:
    m = compile(loads(RARE))
    m.fit()
    assert m.balance == {"cross_entropy.loss": (8 / (2 * 6), 8 / (2 * 2))}  # scikit-learn's compute_class_weight
    by_hand = compile(loads(RARE.replace("balanced", "{no: 0.6666666666666666, yes: 2}")))
    by_hand.fit()
    assert all((m.state()[k] == v).all() for k, v in by_hand.state().items())


def test_balanced_weights_are_kept_with_a_run_and_a_saved_model(tmp_path: Any) -> None:
    from nnspec.runtime.saving import load_model

    m = compile(loads(RARE))
    m.fit(out=tmp_path / "run")
    m.save(tmp_path / "model")
    for folder in ("run", "model"):
        again = load_model(tmp_path / folder)
        assert again.balance == m.balance
        assert again.evaluate({"features": [[1.0], [2.0]], "y": [0, 1]}) == m.evaluate({"features": [[1.0], [2.0]], "y": [0, 1]})


def test_balanced_without_rows_to_count_says_so() -> None:
    m = compile(loads("nnspec: 1\ninputs: {x: {shape: [2]}}\nlayers: [dense: 2]\nloss: {cross_entropy: {class_weights: balanced}}\noptimizer: sgd\n"))
    with pytest.raises(SpecError, match="counted over the training rows"):
        m.train_batch({"x": np.ones((3, 2)), "target": [0, 1, 0]})
    m.fit(np.ones((3, 2)), [0, 1, 0], epochs=1)
    assert m.balance == {"cross_entropy.loss": (0.75, 1.5)}


@pytest.mark.parametrize("loss", [
    "{cross_entropy: {class_weights: [0.2, 3, 1]}}", "{cross_entropy: {class_weights: balanced}}", "{cross_entropy: {reduce: sum}}", "{focal: {reduce: none}}",
    "[cross_entropy: {class_weights: [0.2, 3, 1]}, cross_entropy: {reduce: sum, weight: 0.3}]",
])  # fmt: skip
def test_micro_batches_make_the_step_of_their_whole_batch(loss: str) -> None:
    text = ("nnspec: 1\nprecision: float64\ndata: {inline: {columns: {x: [[1, 2], [3, 1], [2, 2], [0, 1], [1, 1], [2, 0], [3, 3]], y: [a, b, a, c, a, a, b]}, target: y}}\n"
            f"layers: [dense: {{units: 3, regularize: {{kernel: {{l2: 0.1}}}}}}]\nloss: {loss}\noptimizer: {{sgd: {{learning_rate: 0.1, accumulate: 1}}}}\nepochs: 1\n")
    x, t, w = RNG.standard_normal((7, 2)), [0, 1, 0, 2, 0, 0, 1], [1.0, 2, 0.5, 1, 1, 3, 0.1]
    models = [compile(loads(text.replace("accumulate: 1", f"accumulate: {n}"))) for n in (1, 3)]
    scores = [m.train_batch({"features": x, "target": t, "sample_weight": w}) for m in models]
    assert scores[0] == pytest.approx(scores[1], rel=1e-12)
    for key, a in models[0].state().items():
        np.testing.assert_allclose(a, models[1].state()[key], rtol=1e-11, atol=1e-14)


def test_a_run_is_evaluated_with_the_weights_that_its_losses_ended_with(tmp_path: Any) -> None:
    from nnspec.runtime.saving import load_model

    text = RARE.replace("{cross_entropy: {class_weights: balanced}}", "[cross_entropy, value: {weight: {linear: {to: 0, length: 4}}}]")
    m = compile(loads(text))
    m.fit(out=tmp_path / "run")  # 2 epochs of 4
    feeds = {"features": [[1.0], [2.0]], "y": [0, 1]}
    s = load_model(tmp_path / "run").evaluate(feeds)
    assert s["loss"] == pytest.approx(s["cross_entropy.loss"] + 0.5 * s["value.loss"])
    assert s == m.evaluate(feeds)


@pytest.mark.parametrize(("loss", "units", "target", "bad", "ends"), [
    ("binary_cross_entropy", 1, [0, 1, 2, 1], "2", "0 to 1"), ("binary_cross_entropy", 2, [[0, 1], [1, -1], [0, 0], [1, 1]], "-1", "0 to 1"),
    ("hinge", 1, [1.0, 2.0, 1.0, 2.0], "2", "-1 to 1"), ("focal", 1, [1, 2, 1, 2], "2", "0 to 1"),
    ("kl_divergence", 2, [[0.5, 0.5], [1.5, -0.5], [0, 1], [1, 0]], "1.5", "0 to 1"), ("cross_entropy", 2, [[0.0, 3.0]] * 4, "3", "0 to 1"),
])  # fmt: skip
def test_a_target_that_a_loss_compares_with_nothing_is_refused(loss: str, units: int, target: Any, bad: str, ends: str) -> None:
    spec = loads(f"nnspec: 1\ninputs: {{x: {{shape: [5]}}}}\nlayers: [dense: {units}]\nloss: {loss}\noptimizer: sgd\n")
    m = compile(spec)
    feeds = {"x": X[:4], "target": np.array(target)}
    for ask in (m.train_batch, m.evaluate, m.gradients):
        with pytest.raises(SpecError, match=f"'target' holds a number that {loss} does not compare with anything") as e:
            ask(feeds)
        assert f"found   {bad}\n" in str(e.value)
        assert f"wanted  {ends}\n" in str(e.value)
    assert m.predict(X[:4]).shape == (4, units)


def test_shares_that_are_rounded_are_compared() -> None:
    m = model("binary_cross_entropy")
    assert np.isfinite(m.evaluate({"x": X, "target": np.full((6, 3), 1 + 1e-7)})["loss"])
