"""What the language page promises, one sentence a test: repeat, names, outputs, parameters as inputs, blocks, and what is for later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnspec.compiler import Spec, load, loads
from nnspec.errors import SpecError
from nnspec.runtime.session import Model, compile
from nnspec.spec.words import LATER
from tests.drawn import SPECS, drawn, shipped, specs

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")


def spec(layers: str, inputs: str = "{x: {shape: [4]}}", blocks: str = "", more: str = "") -> Spec:
    declared = f"blocks:\n{blocks}\n" if blocks else ""
    return loads(f"nnspec: 1\ninputs: {inputs}\n{declared}layers:\n{layers}\n{more}\n")


def model(layers: str, **more: str) -> Model:
    return compile(spec(layers, **more), precision="float64")


def problem(layers: str, **more: str) -> str:
    with pytest.raises(SpecError) as e:
        spec(layers, **more)
    return str(e.value)


def nodes(s: Spec) -> dict[str, str]:
    return {n: " x ".join(map(str, d["shape"])) for n, d in s.graph.nodes(data=True) if d["kind"] != "input"}


# repeat


def test_when_is_read_for_each_copy_of_a_repeat() -> None:
    assert list(nodes(spec("  - dense: {units: $(i + 2), repeat: 3, when: $(i != 1)}"))) == ["dense_1", "dense_3"]
    assert list(nodes(spec("  - dense: {units: 3, repeat: {times: 3, as: j}, when: $(j > 0)}"))) == ["dense_2", "dense_3"]


def test_a_from_feeds_the_first_copy_that_is_there() -> None:
    s = spec("  - dense: {units: 4, name: a}\n  - dense: {units: 4, from: x, repeat: 3, when: $(i > 0)}\n  - add: {from: [a, dense_4]}")
    assert list(s.graph.predecessors("dense_3")) == ["x"]
    assert list(s.graph.predecessors("dense_4")) == ["dense_3"]


def test_the_lists_of_a_repeat_may_walk_the_keys_that_every_entry_has() -> None:
    s = spec("  - dense: {units: 4, repeat: {when: [true, false, true], trainable: [true, true, false], init: [{}, {}, {bias: 2}]}}")
    assert {p.path: p.trainable for p in s.built.network.parameters.values() if p.param.role == "bias"} == {"dense_1/bias": True, "dense_3/bias": False}
    assert np.asarray(compile(s).parameters["dense_3/bias"]).tolist() == [2.0] * 4


def test_a_name_is_no_list_of_a_repeat() -> None:
    assert "'name' cannot be a list of 'repeat'" in problem("  - dense: {repeat: {units: [3, 4], name: [a, b]}}")


def test_a_field_beside_a_repeat_and_in_its_lists_is_given_twice() -> None:
    assert "'units' is given twice" in problem("  - dense: {units: 4, repeat: {units: [3, 4]}}")


@pytest.mark.parametrize(("formula", "repeat"), [("$(3 - i)", "2"), ("$(3 - j)", "{times: 2, as: j}"), ("$( i + 2)", "2")])
def test_a_from_with_the_counter_anywhere_in_it_is_read_for_each_copy(formula: str, repeat: str) -> None:
    s = spec(f"  - dense: {{units: 4, repeat: 3, name: a}}\n  - add: {{from: [a_1, 'a_{formula}'], repeat: {repeat}, name: b}}\n"
             "  - add: {from: [a, b_1, b_2]}")  # fmt: skip
    assert {tuple(sorted(s.graph.predecessors(b))) for b in ("b_1", "b_2")} == {("a_1", "a_2"), ("a_1", "a_3")}


def test_a_name_that_only_begins_like_the_counter_is_not_the_counter() -> None:
    s = spec("  - dense: {units: 4, name: q}\n  - dense: {units: 4, from: $item, repeat: 2}", more="vars: {item: q}")
    assert list(s.graph.predecessors("dense_3")) == ["dense_2"]


def test_input_shape_in_when_is_that_of_what_from_names() -> None:
    layers = "  - dense: {units: 9, name: a}\n  - dense: {units: 2, from: x, when: '$(input.shape[0] == 4)'}\n  - concat: {from: [a, dense_2]}"
    assert nodes(spec(layers))["concat_1"] == "11"


def test_what_follows_a_layer_that_failed_says_no_more() -> None:
    text = problem("  - dense: {unit: 9}\n  - dense: {units: 2, when: '$(input.shape[0] == 4)'}\n  - b: '$input.shape[0]'",
                   blocks="  b: {args: {n: required}, layers: [dense: $n]}")  # fmt: skip
    assert text.count("spec.yaml:") == 1 and "'unit'" in text


# outputs and names

CALL = "  b: {outputs: {deep: p, wide: q}, layers: [dense: {units: 3, name: p}, dense: {units: 2, name: q}]}"


def test_from_outside_a_block_is_seen_by_its_outputs_alone() -> None:
    y = model("  - b: {name: c}", blocks=CALL).predict(np.ones((5, 4)))
    assert {name: a.shape for name, a in y.items()} == {"c.deep": (5, 3), "c.wide": (5, 2)}


@pytest.mark.parametrize("more", ["outputs: [c]", "loss: {mse: {from: c}}\noptimizer: sgd"])
def test_a_call_of_several_outputs_is_no_single_output(more: str) -> None:
    text = problem("  - b: {name: c}", blocks=CALL, more=more)
    assert "'c' has 2 outputs" in text and "c.deep or c.wide" in text and "nothing reads" not in text


def test_outputs_of_equal_last_names_go_by_their_paths() -> None:
    y = model("  - branches: {merge: none, paths: [[dense: 3], [dense: 2]]}").predict(np.ones((5, 4)))
    assert {name: a.shape for name, a in y.items()} == {"branches_1/0/dense_1": (5, 3), "branches_1/1/dense_1": (5, 2)}


@pytest.mark.parametrize(("more", "message"), [
    ("outputs: [c, c]", "'c' stands twice in 'outputs'"), ("outputs: []", "'outputs' names nothing"),
    ("outputs: [c.kernel]", "'c.kernel' is a parameter"), ("loss: {mse: {from: c.bias}}\noptimizer: sgd", "'c.bias' is a parameter"),
])  # fmt: skip
def test_outputs_are_layers_each_named_once(more: str, message: str) -> None:
    assert message in problem("  - dense: {units: 3, name: c}", more=more)


def test_a_wrong_output_is_one_problem() -> None:
    assert problem("  - dense: 3", more="outputs: [denze_1]").count("spec.yaml:") == 1


def test_a_block_of_one_input_refuses_two() -> None:
    layers = "  - dense: {units: 4, name: a}\n  - one: {from: [a, x]}\n  - add: {from: [a, one_1]}"
    assert "block 'one' takes one input" in problem(layers, blocks="  one: [relu]")


# parameters as inputs


def test_a_parameter_has_no_batch_and_broadcasts_over_it() -> None:
    m = model("  - dense: {units: 4, name: d, bias: false}\n  - add: {from: [d, d.kernel]}")
    x = np.random.default_rng(0).normal(size=(4, 4))
    kernel = np.asarray(m.parameters["d/kernel"])
    np.testing.assert_allclose(m.predict(x), (x @ kernel)[:, None, :] + kernel, rtol=1e-12)


def test_a_parameter_may_be_joined_to_every_row() -> None:
    m = model("  - dense: {units: 3, name: d, init: {bias: [1, 2, 3]}}\n  - concat: {from: [x, d.bias]}\n  - concat: {from: [d, concat_1]}")
    np.testing.assert_array_equal(m.predict(np.zeros((2, 4)))[:, 3:], [[0, 0, 0, 0, 1, 2, 3]] * 2)


def test_a_parameter_may_be_the_first_of_a_matmul() -> None:
    m = model("  - dense: {units: 3, name: d, bias: false}\n  - matmul: {from: [d.kernel, d]}", inputs="{x: {shape: [3, 4]}}")
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    kernel = np.asarray(m.parameters["d/kernel"])
    np.testing.assert_allclose(m.predict(x), kernel @ (x @ kernel), rtol=1e-12)


def test_matmul_broadcasts_the_axes_before_its_matrices_the_batch_apart() -> None:
    m = model("  - matmul: {from: [a, b]}", inputs="{a: {shape: [7, 3, 5]}, b: {shape: [5, 2]}}")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 7, 3, 5)), rng.normal(size=(7, 5, 2))  # a batch as long as an axis shows what is aligned with what
    np.testing.assert_allclose(m.predict({"a": a, "b": b}), a @ b[:, None], rtol=1e-12)


def test_tied_weights_train_over_sequences_of_any_length() -> None:
    m = model("  - embedding: {vocabulary: 11, units: 5, name: tokens}\n  - dense: {units: 5, activation: tanh, name: h}\n"
              "  - matmul: {from: [h, tokens.embedding], transpose: true}",
              inputs="{ids: {shape: [time], dtype: int32}}", more="loss: cross_entropy\noptimizer: {sgd: 0.1}")  # fmt: skip
    ids = np.random.default_rng(0).integers(0, 11, (2, 7))
    assert m.predict(ids).shape == (2, 7, 11) and m.predict(ids[:, :3]).shape == (2, 3, 11)
    losses = [m.train_batch({"ids": ids[:, :n], "target": ids[:, :n]})["loss"] for n in (7, 4, 7)]
    assert losses[2] < losses[0]


# named axes


def test_a_residual_halves_images_of_any_size() -> None:
    m = model("  - residual: {layers: [conv2d: {filters: 4, stride: 2, padding: same}], shortcut: [conv2d: {filters: 4, kernel: 1, stride: 2}]}",
              inputs="{x: {shape: [height, width, 3]}}")  # fmt: skip
    assert nodes(m.spec)["residual_1/add"] == "(height + 1)//2 x (width + 1)//2 x 4"
    assert [m.predict(np.ones((1, n, 7, 3))).shape for n in (8, 9)] == [(1, 4, 4, 4), (1, 5, 4, 4)]


# blocks and includes


def test_an_include_cannot_redefine_a_layer_or_a_block(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("blocks: {dense: [relu], one: [relu]}\n")
    (tmp_path / "b.yaml").write_text("blocks: {one: [tanh]}\n")
    (tmp_path / "s.yaml").write_text("nnspec: 1\ninclude: [a.yaml, b.yaml]\ninputs: {x: {shape: [4]}}\nlayers: [one, dense: 3]\n")
    with pytest.raises(SpecError) as e:
        load(tmp_path / "s.yaml")
    assert [p.message for p in e.value.problems] == ["'dense' is a layer already", "the block 'one' is declared twice"]


def test_a_file_that_two_includes_reach_is_no_repetition(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("blocks: {one: [relu]}\n")
    (tmp_path / "b.yaml").write_text("include: a.yaml\nblocks: {two: [one]}\n")
    (tmp_path / "s.yaml").write_text("nnspec: 1\ninclude: [a.yaml, b.yaml]\ninputs: {x: {shape: [4]}}\nlayers: [one, two]\n")
    s = load(tmp_path / "s.yaml")
    assert nodes(loads(s.text)) == nodes(s) == {"one_1/relu_1": "4", "two_1/one_1/relu_1": "4"}


def test_the_blocks_of_an_include_are_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("blocks: [relu]\n")
    (tmp_path / "s.yaml").write_text("nnspec: 1\ninclude: [a.yaml]\ninputs: {x: {shape: [4]}}\nlayers: [relu]\n")
    with pytest.raises(SpecError, match="'blocks' does not fit"):
        load(tmp_path / "s.yaml")


def test_folders_for_includes_may_be_texts(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "spec").mkdir()
    (tmp_path / "lib" / "a.yaml").write_text("blocks: {one: [relu]}\n")
    (tmp_path / "spec" / "s.yaml").write_text("nnspec: 1\ninclude: [../lib/a.yaml]\ninputs: {x: {shape: [4]}}\nlayers: [one]\n")
    with pytest.raises(SpecError, match="outside of the spec's folder"):
        load(tmp_path / "spec" / "s.yaml")
    assert nodes(load(tmp_path / "spec" / "s.yaml", allow_include=(str(tmp_path / "lib"),)))


def test_an_argument_that_nothing_reads_is_an_error() -> None:
    text = problem("  - own: {width: 3}", blocks="  own: {args: {width: 2, depth: $(width + 1), gone: 1}, layers: [dense: $depth]}")
    assert text.count("spec.yaml:") == 1 and "argument 'gone' of block 'own' is never used" in text


# what a later version brings

TOP = [w for w in ("networks", "phases", "memory", "determinism", "weights", "generate", "sweep", "expect", "predict") if w in LATER]
LAYERS = [
    w for w in ("lstm", "gru", "rnn", "bidirectional", "multi_head_attention", "gradient", "across_batch", "scan", "math", "parameter", "conv1d", "einsum")
    if w in LATER
]  # fmt: skip
OTHERS = {
    "loss": ("perceptual",),
    "schedule": ("plateau",),
}
BASE = {"loss": "mse", "optimizer": "sgd"}


@pytest.mark.parametrize("key", TOP)
def test_keys_of_a_later_version_are_refused_by_name(key: str) -> None:
    assert f":5:1: {key}: not in this version" in problem("  - dense: 3", more=f"{key}: 1")


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_of_a_later_version_are_refused_by_name(kind: str) -> None:
    assert f":4:5: {kind}: not in this version" in problem(f"  - {kind}: {{a: 1}}")


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in OTHERS.items() for value in values if value in LATER])
def test_what_else_a_later_version_brings_is_refused_by_name(key: str, value: str) -> None:
    text = problem("  - dense: 3", more="\n".join(f"{k}: {v}" for k, v in {**BASE, key: value}.items()))
    assert text.count("spec.yaml:") == 1 and "not in this version" in text


@pytest.mark.parametrize("entry", ["dense: {units: 3, masked: false}"])
def test_keys_of_entries_of_a_later_version_are_refused_by_name(entry: str) -> None:
    assert "not in this version" in problem(f"  - {entry}\n  - own", blocks="  own: [relu]")


def test_a_foreign_word_names_ours_before_anything_later() -> None:
    assert "in nnspec this is 'dense'" in problem("  - linear: 3")
    assert "in nnspec this is 'glorot_uniform'" in problem("  - dense: {units: 3, init: {kernel: xavier_uniform}}")


# numbers


def test_an_initial_number_is_finite() -> None:
    assert "spec.yaml:4:36: 'value' of initialiser 'constant' does not fit" in problem("  - dense: {units: 1, init: {bias: .inf}}")


def test_a_weight_of_a_loss_is_finite() -> None:
    assert "'weight' of loss 'mse' does not fit" in problem("  - dense: 1", more="loss: {mse: {weight: .inf}}\noptimizer: sgd")


def test_nesterov_without_momentum_is_not_ignored() -> None:
    assert "'nesterov' does nothing without momentum" in problem("  - dense: 1", more="loss: mse\noptimizer: {sgd: {nesterov: true}}")
    assert spec("  - dense: 1", more="loss: mse\noptimizer: {sgd: {nesterov: true, momentum: 0.9}}")


def test_cross_entropy_asks_for_two_classes() -> None:
    assert "binary_cross_entropy takes one unit" in problem("  - dense: 1", more="loss: cross_entropy\noptimizer: sgd")


def test_rows_of_different_lengths_are_refused() -> None:
    m = model("  - dense: 1", more="loss: mse\noptimizer: sgd")
    with pytest.raises(SpecError, match="the rows of 'x' differ in shape"):
        m.predict([[1, 2, 3, 4], [1, 2]])
    with pytest.raises(SpecError, match="the rows of 'target' differ in shape"):
        m.train_batch({"x": np.ones((2, 4)), "target": [[1], [1, 2]]})


@pytest.mark.parametrize("rows", [8, 5])
def test_the_unbiased_moving_variance_is_that_of_pytorch_padded_batches_included(rows: int) -> None:
    m = model("  - batch_norm: {variance: unbiased, momentum: 0.9, epsilon: 1e-5}\n  - flatten\n  - dense: 2", inputs="{x: {shape: [3, 2, 3]}}",
              more="loss: cross_entropy\noptimizer: {sgd: 0.1}\nbatch_size: 8")  # fmt: skip
    theirs = torch.nn.BatchNorm2d(3, momentum=0.1, eps=1e-5).double()
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.normal(1, 2, (rows, 3, 2, 3))
        theirs(torch.tensor(x).permute(0, 3, 1, 2))
        m.train_batch({"x": x, "target": np.zeros(rows, int)})
    assert theirs.running_var is not None
    np.testing.assert_allclose(np.asarray(m.parameters["batch_norm_1/moving_variance"]), theirs.running_var.numpy(), rtol=1e-12)


def test_a_frozen_block_moves_nothing_and_its_dropout_still_drops() -> None:
    m = model("  - own: {trainable: false}\n  - dense: 2", blocks="  own: [dense: 6, batch_norm, dropout: 0.5]",
              more="loss: cross_entropy\noptimizer: {sgd: 0.0}")  # fmt: skip
    before = {name: np.array(p) for name, p in m.parameters.items()}
    batch = {"x": np.random.default_rng(0).normal(3, 2, (8, 4)), "target": np.zeros(8, int)}
    assert len({m.train_batch(batch)["loss"] for _ in range(3)}) == 3
    assert all((before[name] == np.asarray(p)).all() for name, p in m.parameters.items())
    assert list(m.gradients(batch)) == ["dense_1/kernel", "dense_1/bias"]


@pytest.mark.parametrize("path", [p.relative_to(SPECS) for p in specs()], ids=lambda p: p.stem)
def test_the_canonical_text_of_a_shipped_spec_is_the_same_network(path: Path) -> None:
    path = shipped(path.stem) if path.parent.name == "quickstart" else drawn().parent / path
    s = load(path)
    again = loads(s.text, str(path))
    assert again.text == s.text
    if path.parent.name == "zoo":  # a hundred megabytes of random numbers say no more
        mine, theirs = (sorted((p, d.param.shape, repr(d.init)) for p, d in n.built.network.parameters.items()) for n in (s, again))
        assert mine == theirs
        return
    mine, theirs = compile(s).parameters, compile(again).parameters
    assert list(mine) == list(theirs) and all((np.asarray(mine[k]) == np.asarray(theirs[k])).all() for k in mine)


@pytest.mark.parametrize("layer", ["dense: 3", "conv2d: 3"])
def test_whole_numbers_where_numbers_are_wanted_are_sent_to_an_embedding(layer: str) -> None:
    with pytest.raises(SpecError, match="whole numbers go through an embedding"):
        loads(f"nnspec: 1\ninputs: {{x: {{shape: [8, 8, 2], dtype: int64}}}}\nlayers: [{layer}]\n")


@pytest.mark.parametrize(("written", "name"), [("{shape: [8, 8, 1]}", "image"), ("[8, 8, 1]", "image"), ("{shape: [4]}", "features"), ("{shape: [5, 4], dtype: float32}", "features")])
def test_an_unnamed_input_is_image_for_three_axes_else_features(written: str, name: str) -> None:
    spec = loads(f"nnspec: 1\ninputs: {written}\nlayers: [flatten, dense: 2]\n")
    assert list(spec.inputs) == [name]
    assert list(loads(spec.text).inputs) == [name]


@pytest.mark.parametrize("entry", ["b: {when: $deep}", "dense: {units: 4, activation: b, when: $deep}", "residual: {when: $deep, layers: [c: {}]}", "b: {repeat: $(1 if deep else 0)}"])
def test_a_block_that_is_called_where_an_entry_is_left_out_is_used(entry: str) -> None:
    head = "nnspec: 1\nvars: {deep: false}\ninputs: {x: {shape: [4]}}\nblocks: {b: [relu], c: [b]}\n"
    tail = "" if "c:" in entry else "  - c: {when: $deep}\n"
    s = loads(f"{head}layers:\n  - {entry}\n{tail}  - dense: 2\n")
    assert list(s.graph.nodes)[1:] == ["dense_2" if "dense" in entry else "dense_1"] and len(loads(s.text, set={"vars.deep": True}).graph) > 3


def test_a_variable_that_is_wrong_is_one_problem() -> None:
    text = problem("  - dense: $b\n  - dense: $(b + 1)", more="vars: {b: $(a * 2), a: 3}\nepochs: $b")
    assert text.count("spec.yaml:") == 1 and "move 'a' above 'b'" in text


def test_a_column_that_a_loss_names_is_a_target() -> None:
    s = loads("nnspec: 1\ndata: {inline: {columns: {a: [1, 2], b: [3, 4], c: [5, 6]}, target: c}}\ninputs: {x: {columns: a}}\nlayers: [dense: 1]\n"
              "loss: [mse, mae: {target: b}]\noptimizer: sgd\nepochs: 1\n")  # fmt: skip
    assert [t.columns for t in s.built.losses] == [("c",), ("b",)] and compile(s).fit().metrics["train.loss"] > 0
