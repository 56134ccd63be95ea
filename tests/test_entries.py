"""The keys that every entry has: shared weights, layers for one mode alone, rates and penalties of their own, blocks as activations."""

from __future__ import annotations

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.network.graph import Penalty, Rate

HEAD = "nnspec: 1\nprecision: float64\n"


def spec(layers: str, rest: str = "inputs: {x: {shape: [4]}}\n", tail: str = "") -> nnspec.compiler.Spec:
    return loads(HEAD + rest + "layers:\n" + "".join(f"  - {line}\n" for line in layers.strip().split("\n")) + tail)


def problems(layers: str, rest: str = "inputs: {x: {shape: [4]}}\n", tail: str = "") -> list[str]:
    with pytest.raises(nnspec.SpecError) as e:
        spec(layers, rest, tail)
    return [p.message for p in e.value.problems]


TWO = "inputs: {a: {shape: [4]}, b: {shape: [4]}}\n"
TRAIN = "loss: mse\noptimizer: {sgd: 0.1}\n"


def test_two_layers_that_share_have_one_kernel_and_give_equal_answers() -> None:
    s = spec("dense: {units: 3, name: left, from: a}\ndense: {units: 3, name: right, from: b, share: left}\nsubtract: {from: [left, right]}", TWO)
    model = nnspec.compile(s)
    assert list(model.parameters) == ["left/kernel", "left/bias"]
    x = np.random.default_rng(0).normal(size=(5, 4))
    assert np.abs(model.predict({"a": x, "b": x})).max() == 0.0


def test_the_gradient_of_a_shared_kernel_is_the_sum_over_its_uses() -> None:
    s = spec("dense: {units: 3, name: l, from: a}\ndense: {units: 3, name: r, from: b, share: l}\nadd: {from: [l, r]}", TWO, TRAIN)
    rng = np.random.default_rng(1)
    a, b, t = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    model = nnspec.compile(s)
    w, c = np.asarray(model.parameters["l/kernel"]), np.asarray(model.parameters["l/bias"])
    g = 2 * ((a + b) @ w + 2 * c - t) / t.size
    found = model.gradients({"a": a, "b": b, "target": t})
    np.testing.assert_allclose(found["l/kernel"], (a + b).T @ g, rtol=1e-12)
    np.testing.assert_allclose(found["l/bias"], 2 * g.sum(0), rtol=1e-12)


def test_a_block_shares_its_whole_tree_and_a_repeat_one_set_of_weights() -> None:
    blocks = "blocks: {tower: {args: {units: required}, layers: [dense: {units: $units, activation: prelu}, batch_norm, residual: [dense: $units]]}}\n"
    s = spec("tower: {units: 4, name: one, from: a}\ntower: {units: 4, name: two, from: b, share: one}\nadd: {from: [one, two]}", blocks + TWO)
    assert {p.split("/")[0] for p in s.built.network.parameters} == {"one"}
    times = spec("dense: {units: 4, repeat: {times: 3, share: true}}")
    assert list(times.built.network.parameters) == ["dense_1/kernel", "dense_1/bias"]
    assert times.graph.nodes["dense_3"]["shares"] == "dense_1" and times.graph.nodes["dense_3"]["parameters"] == 0
    model = nnspec.compile(times)
    x = np.random.default_rng(2).normal(size=(2, 4))
    w, y = np.asarray(model.parameters["dense_1/kernel"]), x
    for _ in range(3):
        y = y @ w
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-12)


@pytest.mark.parametrize("entry", ["residual: {WITH, layers: [dense: 4]}", "branches: {WITH, merge: add, paths: [[dense: 4], []]}"])
def test_a_structure_shares_its_whole_tree(entry: str) -> None:
    s = spec(entry.replace("WITH", "name: l") + "\n" + entry.replace("WITH", "share: l, repeat: 2"))
    model = nnspec.compile(s)
    assert len(model.parameters) == 2
    x, w = np.random.default_rng(3).normal(size=(5, 4)), np.asarray(next(iter(model.parameters.values())))
    np.testing.assert_allclose(model.predict(x), x @ np.linalg.matrix_power(w + np.eye(4), 3), rtol=1e-12)


def test_copies_of_one_set_of_weights_may_have_a_rate_and_batch_norm_of_shared_statistics_may_be_frozen() -> None:
    s = spec("dense: {units: 4, repeat: {times: 3, share: true}, learning_rate: 0.1x}\nbatch_norm: {name: l}\nbatch_norm: {share: l, trainable: false}")
    assert s.built.network.parameters["dense_1/kernel"].rate == Rate(0.1) and s.graph.nodes["batch_norm_2"]["frozen"]


def test_shared_batch_statistics_are_moved_by_each_use_in_turn() -> None:
    s = spec("batch_norm: {name: l, from: a, momentum: 0.5}\nbatch_norm: {name: r, from: b, momentum: 0.5, share: l}\nadd: {from: [l, r]}\ndense: 1", TWO, TRAIN)
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(6, 4)), rng.normal(1, 2, size=(6, 4))
    model = nnspec.compile(s)
    model.train_batch({"a": a, "b": b, "target": np.zeros((6, 1))})
    np.testing.assert_allclose(np.asarray(model.parameters["l/moving_mean"]), (0.5 * a.mean(0)) * 0.5 + 0.5 * b.mean(0), rtol=1e-12)


@pytest.mark.parametrize(("layers", "message"), [
    ("dense: {units: 3, name: l}\ndense: {units: 4, share: l}", "layer 'dense_2' cannot share the weights of 'l'"),
    ("dense: {units: 3, name: l}\ndense: {units: 3, share: l}", "layer 'dense_2' cannot share the weights of 'l'"),
    ("dense: {units: 4, name: l}\nlayer_norm: {share: l}", "layer 'layer_norm_1' cannot share the weights of 'l'"),
    ("relu: {name: l}\nrelu: {share: l}", "'relu_2' has no weights to share"),
    ("dense: {units: 4, share: x}", "'x' has no weights to share"),
    ("dense: {units: 4, name: first}\ndense: {units: 4, share: frist}", "no layer or input in sight is called 'frist'"),
    ("dense: {units: 4, name: l}\ndense: {units: 4, share: l, init: {bias: 1}}", "'init' beside 'share'"),
    ("dense: {units: 4, share: 3}", "'share' does not fit"),
    ("residual: {name: l, layers: [relu]}\nresidual: {share: l, layers: [relu]}", "'residual_2' has no weights to share"),
    ("dense: {units: 4, name: l}\ndense: {units: 4, share: l, trainable: false}", "'trainable' beside 'share'"),
    ("residual: {name: l, layers: [dense: 4]}\nresidual: {share: l, layers: [dense: 4, dense: 4]}",
     "layer 'residual_2/layers/dense_2' finds no layer 'l/layers/dense_2' whose weights it could share"),
])
def test_what_cannot_be_shared_is_told(layers: str, message: str) -> None:
    assert message in problems(layers)


def test_a_layer_for_training_alone_is_passed_by_in_inference() -> None:
    s = spec("dense: {units: 4, name: extra, only: training}\ndense: 2", tail=TRAIN)
    model = nnspec.compile(s)
    x = np.random.default_rng(4).normal(size=(3, 4))
    w = np.asarray(model.parameters["dense_2/kernel"])
    np.testing.assert_allclose(model.predict(x), x @ w, rtol=1e-12)
    loss = model.train_batch({"x": x, "target": np.zeros((3, 2))})["loss"]
    assert loss != pytest.approx(np.mean((x @ w) ** 2))


def test_a_block_for_inference_alone_is_passed_by_in_training() -> None:
    s = spec("residual: {only: inference, layers: [dense: 4, batch_norm]}\ndense: 2", tail=TRAIN)
    model = nnspec.compile(s)
    x = np.random.default_rng(5).normal(size=(3, 4))
    w, before = np.asarray(model.parameters["dense_1/kernel"]), {k: np.asarray(p) for k, p in model.parameters.items()}
    assert model.train_batch({"x": x, "target": np.zeros((3, 2))})["loss"] == pytest.approx(np.mean((x @ w) ** 2), rel=1e-12)
    for path, values in before.items():
        assert (np.asarray(model.parameters[path]) == values).all() == path.startswith("residual_1")


def test_a_head_for_training_alone_adds_to_the_training_loss_and_not_to_the_evaluation() -> None:
    s = spec("dense: {units: 3, name: body}\ndense: {units: 2, name: aux, only: training}\ndense: {units: 2, from: body, name: main}",
             tail="loss: [mse: {from: main}, mse: {from: aux, weight: 0.3}]\noptimizer: {sgd: 0.1}\n")
    model = nnspec.compile(s)
    rng = np.random.default_rng(6)
    feeds = {"x": rng.normal(size=(3, 4)), "target": rng.normal(size=(3, 2))}
    p = {k: np.asarray(v) for k, v in model.parameters.items()}
    h = feeds["x"] @ p["body/kernel"]
    main, aux = (np.mean((h @ p[f"{k}/kernel"] - feeds["target"]) ** 2) for k in ("main", "aux"))
    assert model.evaluate(feeds)["loss"] == pytest.approx(main, rel=1e-12)
    assert model.train_batch(feeds)["loss"] == pytest.approx(main + 0.3 * aux, rel=1e-12)


@pytest.mark.parametrize(("layers", "message"), [
    ("dense: {units: 3, name: a, only: training}\ndense: 2", "layer 'dense_2' reads 'a', which is there in training only"),
    ("dense: {units: 3, only: training}", "the output 'dense_1' is for training only"),
    ("dense: {units: 3, only: test}", "'only' does not fit"),
    ("residual: {only: training, layers: [dense: {units: 4, only: inference}]}", "'dense_1' is never there"),
])
def test_what_is_left_out_cannot_be_read(layers: str, message: str) -> None:
    assert message in problems(layers)


def test_rates_and_penalties_reach_their_parameters() -> None:
    s = spec("dense: {units: 3, learning_rate: 0.1x, regularize: {kernel: {l1: 1e-4, l2: 0.1}}}\n"
             "residual: {learning_rate: 0.5x, layers: [dense: {units: 3, learning_rate: 0.1x}, dense: {units: 3, learning_rate: 0.02}]}")
    p = s.built.network.parameters
    assert p["dense_1/kernel"].rate == Rate(0.1) and p["dense_1/kernel"].regularize == Penalty(1e-4, 0.1) and p["dense_1/bias"].regularize is None
    assert p["residual_1/layers/dense_1/kernel"].rate == Rate(0.05) and p["residual_1/layers/dense_2/bias"].rate == Rate(0.02, False)


@pytest.mark.parametrize(("layers", "message"), [
    ("dense: {units: 3, learning_rate: 0.1y}", "'learning_rate' of an entry does not fit"),
    ("dense: {units: 3, learning_rate: -1}", "'learning_rate' of an entry does not fit"),
    ("dense: {units: 3, regularize: {kernel: 0.1}}", "a penalty does not fit"),
    ("dense: {units: 3, regularize: {kernel: {l3: 0.1}}}", "no penalty is called 'l3'"),
    ("dense: {units: 3, regularize: {kernle: {l2: 0.1}}}", "no parameter of layer 'dense_1' is called 'kernle'"),
    ("relu: {regularize: {kernel: {l2: 0.1}}}", "layer 'relu_1' has no parameters"),
    ("residual: {regularize: {kernel: {l2: 0.1}}, layers: [dense: 4]}", "'regularize' on 'residual'"),
    ("dense: {units: 3, from: {query: x}}", "'from' does not fit"),
    ("dense: 3\nrelu: {learning_rate: 0.1x}", "'relu_1' has no parameters of its own"),
    ("dense: {units: 4, name: l}\nresidual: {layers: [dense: {units: 4, share: l}], learning_rate: 0.1x}", "'residual_1' has no parameters of its own"),
])
def test_wrong_rates_penalties_and_roles_are_told(layers: str, message: str) -> None:
    assert message in problems(layers)


BLOCK = "blocks: {twice: {args: {slope: 0.1}, layers: [leaky_relu: $slope, leaky_relu: $slope]}}\n"


def test_a_block_is_an_activation() -> None:
    s = spec("dense: {units: 3, activation: {twice: 0.5}, name: d}\nactivation: twice", BLOCK + "inputs: {x: {shape: [4]}}\n")
    model = nnspec.compile(s)
    x = np.random.default_rng(7).normal(size=(5, 4))
    z = x @ np.asarray(model.parameters["d/kernel"])
    y = np.where(z > 0, z, z * 0.25)
    np.testing.assert_allclose(model.predict(x), np.where(y > 0, y, y * 0.01), rtol=1e-12)
    assert "d/twice/leaky_relu_1" in s.graph and "activation_1/leaky_relu_2" in s.graph


def test_a_block_that_changes_the_shape_is_no_activation() -> None:
    wide = "blocks: {wide: {layers: [dense: 7]}}\ninputs: {x: {shape: [4]}}\n"
    assert "block 'wide' cannot be an activation: it changes the shape" in problems("dense: {units: 3, activation: wide}", wide)


def test_what_reads_parameters_alone_has_no_rows() -> None:
    s = spec("dense: {units: 3, name: d}\ndense: {units: 2, from: d.kernel, name: mixed, bias: false}\nmatmul: {from: [x, mixed]}")
    model = nnspec.compile(s)
    assert s.graph.nodes["mixed"]["shape"] == (4, 2)
    x = np.random.default_rng(8).normal(size=(5, 4))
    np.testing.assert_allclose(model.predict(x), x @ (np.asarray(model.parameters["d/kernel"]) @ np.asarray(model.parameters["mixed/kernel"])), rtol=1e-12)
