"""Overrides: where a setting lands, what it replaces, what it is called in errors, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.compiler import loads
from nnspec.data.section import SECTION
from nnspec.errors import Problem, SpecError
from nnspec.spec.overrides import DATA_KEYS, apply, parse_setting
from nnspec.spec.source import Mapping, Node, Sequence, plain, read

SPEC = """\
nnspec: 1
vars: {width: 6}
data: {csv: {path: a.csv, target: y}, split: {train: 0.8}}
layers:
  - conv2d: {filters: 3, name: first}
  - relu
  - dense: 10
  - dense: {units: 5, name: head, activation: relu}
  - dense: {units: 5, repeat: 3}
  - dense: 4
  - reshape: [2, 2]
  - residual: [dense: 3, relu]
  - branches: {merge: add, paths: [[], [dense: 1]]}
loss: cross_entropy
metrics: [accuracy, top_k: 3]
optimizer: {adam: {learning_rate: 1e-3}}
early_stopping: 5
expect: {validation.accuracy: 1}
"""
PRIMARY = {"dense": "units", "conv2d": "filters", "reshape": "shape"}.get
FAMILIES = {"optimizer": {"adam": "learning_rate"}.get, "metrics": {"top_k": "k"}.get, "data": {"csv": "path"}.get}


def tree(node: object) -> Any:
    if isinstance(node, tuple):
        return [tree(x) for x in node]
    return {k: tree(v) for k, v in node.items()} if isinstance(node, dict) else node


def root(text: str = SPEC) -> Mapping:
    node = read(text, "s.yaml")
    assert isinstance(node, Mapping)
    return node


def put(key: str, value: object, text: str = SPEC) -> Any:
    return tree(plain(apply(root(text), {key: value}, PRIMARY, FAMILIES)))


def problem(key: str, value: object, text: str = SPEC) -> Problem:
    with pytest.raises(SpecError) as caught:
        put(key, value, text)
    (p,) = caught.value.problems
    assert p.wanted or p.hint
    return p


def at(found: Any, path: str) -> Any:
    for step in path.split("/"):
        found = found[int(step) if isinstance(found, list) else step]
    return found


@pytest.mark.parametrize(
    ("key", "value", "path", "wanted"),
    [
        ("vars.width", "12", "vars/width", 12),
        ("vars.width", 12, "vars/width", 12),
        ("vars.rate", "1e-3", "vars/rate", 1e-3),
        ("vars.word", "no", "vars/word", "no"),
        ("vars.formula", "$(2 * width)", "vars/formula", "$(2 * width)"),
        ("vars.list", [1, {"a": (2,)}], "vars/list", [1, {"a": [2]}]),
        ("vars.path", Path("a/b"), "vars/path", "a/b"),
        ("seed", np.int64(3), "seed", 3),
        ("epochs", "", "epochs", None),
        ("schedule.cosine.warmup", "5", "schedule", {"cosine": {"warmup": 5}}),
        ("expect.validation.accuracy", "2", "expect", {"validation.accuracy": 2}),
        ("early_stopping.watch", "train.loss", "early_stopping", {"patience": 5, "watch": "train.loss"}),
        ("layers.head.units", "7", "layers/3/dense", {"units": 7, "name": "head", "activation": "relu"}),
        ("layers.first.filters", "7", "layers/0/conv2d", {"filters": 7, "name": "first"}),
        ("layers.dense_1.activation", "relu", "layers/2", {"dense": {"units": 10, "activation": "relu"}}),
        ("layers.dense_1.units", "8", "layers/2", {"dense": {"units": 8}}),
        ("layers.dense_3.units", "8", "layers/4", {"dense": {"units": 8, "repeat": 3}}),
        ("layers.dense_6.units", "8", "layers/5", {"dense": {"units": 8}}),
        ("layers.relu_1.name", "r", "layers/1", {"relu": {"name": "r"}}),
        ("layers.relu_1", "gelu", "layers/1", "gelu"),
        ("layers.reshape_1.name", "x", "layers/6", {"reshape": {"shape": [2, 2], "name": "x"}}),
        ("layers.0.filters", "7", "layers/0/conv2d/filters", 7),
        ("layers.-4.units", "7", "layers/5/dense", {"units": 7}),
        ("layers.residual_1.layers.dense_1.units", "7", "layers/7/residual/layers/0/dense", {"units": 7}),
        ("layers.branches_1.paths.1.dense_1.units", "7", "layers/8/branches/paths/1/0", {"dense": {"units": 7}}),
        ("layers.head.activation.leaky_relu", "0.2", "layers/3/dense/activation", {"leaky_relu": 0.2}),
        ("layers.head.init.kernel.normal.stddev", "1", "layers/3/dense/init", {"kernel": {"normal": {"stddev": 1}}}),
        ("layers.dense_3.repeat.share", "true", "layers/4/dense/repeat", {"times": 3, "share": True}),
        ("metrics.top_k_1.from", "head", "metrics/1", {"top_k": {"k": 3, "from": "head"}}),
        ("metrics.top_k.from", "head", "metrics/1", {"top_k": {"k": 3, "from": "head"}}),
    ],
)
def test_a_setting_lands_where_its_key_says_and_nowhere_else(
    key: str, value: object, path: str, wanted: object
) -> None:
    found, before = put(key, value), tree(plain(root()))
    assert at(found, path) == wanted
    top = key.split(".")[0]
    assert {k: v for k, v in found.items() if k != top} == {k: v for k, v in before.items() if k != top}
    if top == "layers":
        index = int(path.split("/")[1])
        assert [x for n, x in enumerate(found["layers"]) if n != index] == [
            x for n, x in enumerate(before["layers"]) if n != index
        ]


@pytest.mark.parametrize(
    ("before", "key", "value", "after"),
    [
        ("optimizer: {adam: {learning_rate: 1}}", "optimizer", "sgd", {"optimizer": "sgd"}),
        (
            "optimizer: {adam: {learning_rate: 1}}",
            "optimizer.sgd.momentum",
            "1",
            {"optimizer": {"sgd": {"momentum": 1}}},
        ),
        ("optimizer: {adam: {learning_rate: 1}}", "optimizer.sgd", "1", {"optimizer": {"sgd": 1}}),
        ("optimizer: adam", "optimizer.adam.beta1", "0.5", {"optimizer": {"adam": {"beta1": 0.5}}}),
        ("optimizer: adam", "optimizer.sgd.momentum", "0.5", {"optimizer": {"sgd": {"momentum": 0.5}}}),
        (
            "optimizer: {adam: 1}",
            "optimizer.adam.beta1",
            "2",
            {"optimizer": {"adam": {"learning_rate": 1, "beta1": 2}}},
        ),
        ("optimizer: {adam: }", "optimizer.adam.beta1", "2", {"optimizer": {"adam": {"beta1": 2}}}),
        ("schedule: {step: {every: 5}}", "schedule.cosine.warmup", "1", {"schedule": {"cosine": {"warmup": 1}}}),
        ("loss: mse", "loss.mse.weight", "2", {"loss": {"mse": {"weight": 2}}}),
        (
            "loss: {mse: {}, huber: {}}",
            "loss.mae.weight",
            "2",
            {"loss": {"mse": {}, "huber": {}, "mae": {"weight": 2}}},
        ),
        ("data: digits", "data.split.train", "1", {"data": {"digits": None, "split": {"train": 1}}}),
        ("data: digits", "data.csv.path", "a", {"data": {"csv": {"path": "a"}}}),
        ("data: {csv: a, split: {train: 1}}", "data.iris", None, {"data": {"split": {"train": 1}, "iris": None}}),
        ("data: {csv: a}", "data.csv.target", "y", {"data": {"csv": {"path": "a", "target": "y"}}}),
        ("vars: {optimizer: {a: 1}}", "vars.optimizer.b", "2", {"vars": {"optimizer": {"a": 1, "b": 2}}}),
        ("x-mine: {loss: {a: 1}}", "x-mine.loss.b", "2", {"x-mine": {"loss": {"a": 1, "b": 2}}}),
    ],
)
def test_a_one_choice_mapping_takes_another_choice(before: str, key: str, value: object, after: object) -> None:
    assert put(key, value, before) == after


def test_settings_apply_in_order() -> None:
    node = apply(root(), {"optimizer": "sgd", "optimizer.sgd.momentum": "0.9", "vars.width": 1}, PRIMARY)
    found = tree(plain(node))
    assert found["optimizer"] == {"sgd": {"momentum": 0.9}} and found["vars"] == {"width": 1}


def test_the_given_tree_stays_as_it_was() -> None:
    given_tree = root()
    before = plain(given_tree)
    apply(given_tree, {"layers.head.units": 7, "data.iris": None, "vars.new": 1}, PRIMARY)
    assert plain(given_tree) == before


def test_a_setting_into_a_shared_node_changes_one_of_its_places() -> None:
    assert put("b.x", 2, "a: &n {x: 1}\nb: *n\n") == {"a": {"x": 1}, "b": {"x": 2}}


def test_a_value_is_named_after_its_setting_and_keys_keep_their_places() -> None:
    node = apply(root(), {"vars.width": "12", "optimizer.adam.lr": 0.1}, PRIMARY)
    variables, optimizer = node.pairs["vars"], node.pairs["optimizer"]
    assert isinstance(variables, Mapping) and isinstance(optimizer, Mapping)
    assert str(variables.pairs["width"].place) == "--set vars.width:1:1"
    assert str(variables.keys["width"]) == "s.yaml:2:8"
    adam = optimizer.pairs["adam"]
    assert isinstance(adam, Mapping)
    assert str(adam.pairs["lr"].place) == "--set optimizer.adam.lr:1:1"
    assert str(adam.keys["lr"]) == "--set:1:16"
    assert adam.keys["lr"].source.text == "optimizer.adam.lr=0.1"


def test_a_value_that_is_not_yaml_is_refused_by_its_name() -> None:
    assert str(problem("vars.width", "[1").place) == "--set vars.width:1:1"
    assert str(problem("name", "a: b: c").place) == "--set name:1:5"
    assert str(problem("vars.x", object()).place) == "--set vars.x:1:1"


@pytest.mark.parametrize(
    ("key", "column", "message", "hint"),
    [
        ("layers.haed.units", 8, "no entry of 'layers' is called 'haed'", "did you mean 'head'?"),
        ("layers.99", 8, "no entry of 'layers' is called '99'", ""),
        ("layers.-10", 8, "no entry of 'layers' is called '-10'", ""),
        ("layers.conv2d_1.filters", 8, "no entry of 'layers' is called 'conv2d_1'", ""),
        ("layers.dense_4.units", 8, "'dense_4' in 'layers' is one copy", "--set layers.dense_3.units"),
        ("layers.residual_1.layers.nothing.x", 26, "no entry of 'layers.residual_1.layers'", ""),
        ("vars.width.x", 12, "'vars.width' is a value", "--set vars.width={x: …}"),
        ("vars.width.x.y", 12, "'vars.width' is a value", "--set vars.width={x: {y: …}}"),
        ("nnspec.x", 8, "'nnspec' is a value", ""),
        ("a..b", 3, "a key has an empty part", ""),
        (".a", 1, "a key has an empty part", ""),
        ("", 1, "a key has an empty part", ""),
        (".".join("a" * 65), 1, "a key has too many parts", ""),
    ],
)
def test_a_key_that_leads_nowhere_is_shown_with_a_caret(key: str, column: int, message: str, hint: str) -> None:
    p = problem(key, 1)
    assert message in p.message and hint in p.hint
    assert p.place is not None and (p.place.file, p.place.line) == ("--set", 1)
    assert p.place.column == column and p.place.source.text == f"{key}=1"


def test_a_short_form_without_a_known_field_is_refused() -> None:
    p = problem("layers.thing_1.size", 2, "layers: [thing: 3]")
    assert p.message == "'size' cannot be added to the short form of 'thing'"
    assert p.found == "thing: 3 on line 1" and p.hint == "set it as a whole: --set layers.thing_1={thing: {…}}"


def test_default_names_behind_a_repeat_with_a_formula_are_unknown() -> None:
    text = "layers: [dense: {units: 1, repeat: $n}, dense: 2, relu]"
    assert put("layers.dense_1.units", 3, text)["layers"][0] == {"dense": {"units": 3, "repeat": "$n"}}
    assert "give the entry a name" in problem("layers.dense_2.units", 3, text).hint
    assert put("layers.relu_1.name", "r", text)["layers"][2] == {"relu": {"name": "r"}}


def test_repeats_by_lists_and_times_count_their_copies() -> None:
    text = "layers: [dense: {repeat: {units: [1, 2]}}, dense: {repeat: {times: 3}}, dense: {repeat: 0}, dense: 4]"
    assert put("layers.dense_3.units", 9, text)["layers"][1] == {"dense": {"repeat": {"times": 3}, "units": 9}}
    assert put("layers.dense_6.units", 9, text)["layers"][3] == {"dense": {"units": 9}}


def test_entries_that_are_no_layers_are_found_by_their_name_too() -> None:
    text = "phases: [{name: one, epochs: 1}, {name: two, epochs: 1}]"
    assert put("phases.two.epochs", 5, text)["phases"][1] == {"name": "two", "epochs": 5}


def test_every_wrong_setting_is_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        apply(root(), {"layers.x": 1, "a..b": 1, "vars.width": "[", "seed": "1"}, PRIMARY)
    assert len(caught.value.problems) == 3


def test_a_setting_is_a_key_and_a_value() -> None:
    assert parse_setting("vars.width=12") == ("vars.width", "12")
    assert parse_setting(" name = a=b ") == ("name", "a=b")
    assert parse_setting("name=") == ("name", "")
    for text in ("name", "=3", " =3", ""):
        with pytest.raises(SpecError, match="--set wants a key and a value"):
            parse_setting(text)


keys = st.lists(
    st.sampled_from(
        [
            "vars",
            "layers",
            "optimizer",
            "adam",
            "head",
            "dense_1",
            "dense_4",
            "0",
            "-1",
            "9",
            "data",
            "csv",
            "loss",
            "x",
            "",
        ]
        + [
            "residual_1",
            "paths",
            "branches_1",
            "name",
            "repeat",
            "init",
            "activation",
            "metrics",
            "expect",
            "validation",
        ]
    ),
    min_size=1,
    max_size=6,
).map(".".join)
values = (
    st.sampled_from(["1", "", "[1, {a: b}]", "{sgd: {x: 1}}", "relu", "[", "$x", "a: b: c"]) | st.integers() | st.none()
)


def get(node: Node, path: list[str]) -> Node:
    for step in path:
        assert isinstance(node, Mapping)
        node = node.pairs[step]
    return node


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, values, max_size=3))
def test_any_setting_is_put_in_or_refused(found: dict[str, object]) -> None:
    given_tree = root()
    before = plain(given_tree)
    try:
        apply(given_tree, found, PRIMARY, FAMILIES)
    except SpecError as e:
        assert all(p.place is not None and p.place.file.startswith("--set") for p in e.problems)
    assert plain(given_tree) == before


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), st.integers(-5, 5))
def test_what_was_set_stands_there(path: list[str], value: int) -> None:
    node = apply(root("a: {b: {c: 1}}"), {"vars." + ".".join(path): value})
    assert plain(get(node, ["vars", *path])) == value
    assert not isinstance(node, Sequence)


def test_a_variable_that_the_spec_does_not_have_is_an_error() -> None:
    spec = "nnspec: 1\nvars: {width: 3}\ninputs: {x: {shape: [2]}}\nlayers: [dense: $width]\n"
    with pytest.raises(SpecError) as e:
        loads(spec, set={"vars.widht": 4})
    assert "the spec has no variable 'widht'" in str(e.value) and "did you mean 'width'?" in str(e.value) and len(e.value.problems) == 1
    assert loads(spec, set={"vars.width": 4}).built.network.parameters["dense_1/kernel"].param.shape == (2, 4)


def test_every_key_of_a_data_section_is_known_to_overrides() -> None:
    assert {*SECTION} <= {*DATA_KEYS}


def test_the_only_one_of_its_kind_in_a_list_goes_by_its_kind_and_a_column_by_its_type() -> None:
    spec = "nnspec: 1\ndata: {digits: , augment: [flip: horizontal, noise: 0.1, noise: 0.2], columns: {digit: category}}\nlayers: [flatten, dense: 10]\n"
    text = loads(spec, set={"data.augment.flip.direction": "vertical", "data.augment.noise_2.deviation": 0.3, "data.columns.digit.category.classes": 10}).text
    assert "{flip: {direction: vertical}}" in text and "{noise: {deviation: 0.3}}" in text and "{category: {classes: 10}}" in text
    with pytest.raises(SpecError, match="no entry of 'data.augment' is called 'noise'"):
        loads(spec, set={"data.augment.noise.deviation": 0.3})
    with pytest.raises(SpecError, match="no entry of 'layers' is called 'dense'"):
        loads(spec, set={"layers.dense.units": 10})
