"""Edits change what they name and nothing else: comments, layout and line ends stay, in blocks and within brackets."""

from __future__ import annotations

import re

import pytest

from nnspec.errors import Edit, Place, Source
from nnspec.spec import edits
from nnspec.spec.rewrite import rewrite
from nnspec.spec.source import plain, read
from nnspec.spec.tree import Tree


def place(text: str, word: str) -> Place:
    """Where ``word`` stands; ``word@2`` is the second one."""
    word, _, number = word.partition("@")
    at = [m.start() for m in re.finditer(re.escape(word), text)][int(number or 1) - 1]
    lines = (text[:at] + ".").splitlines()
    return Place(Source("spec.yaml", text), len(lines), len(lines[-1]))


def made(text: str, make: str, word: str, *values: str) -> str:
    """The text after one edit, in every way of ending lines; the text itself where it is refused."""
    found = []
    for line_end in ("\n", "\r\n", "\r"):
        here = text.replace("\n", line_end)
        edit: Edit = getattr(edits, make)(place(here, word), *values)
        found.append(rewrite(here, [(edit,)])[0].replace(line_end, "\n"))
    assert len(set(found)) == 1
    return found[0]


WORDS = [
    ("- Linear: 10  # ten", "Linear", "dense", "- dense: 10  # ten"),
    ("- 'Linear': 10", "'Linear'", "dense", "- dense: 10"),
    ('- {"Linear": 10}', '"Linear"', "dense", "- {dense: 10}"),
    ("a: &x ReLU # c", "ReLU", "relu", "a: &x relu # c"),
    ("a: [ReLU, é, 𝒳: ReLU]", "ReLU@2", "relu", "a: [ReLU, é, 𝒳: relu]"),
]


@pytest.mark.parametrize(("text", "at", "new", "after"), WORDS)
def test_a_word_is_replaced_with_its_quotes(text: str, at: str, new: str, after: str) -> None:
    assert made(text, "word", at, at.strip("'\"").split("@")[0], new) == after


SETS = [
    ("- flatten # c", "flatten", "- flatten: {bias: no} # c"),
    ("a: [flatten, relu]", "flatten", "a: [flatten: {bias: no}, relu]"),
    ("loss: mse # c", "mse", "loss: {mse: {bias: no}} # c"),
    ("{loss: mse}", "mse", "{loss: {mse: {bias: no}}}"),
    ("- conv: {a: 1, # one\n  b: 2 # two\n  }", "conv", "- conv: {a: 1, # one\n  b: 2, bias: no # two\n  }"),
    ("- conv: {a: 1,}", "conv", "- conv: {a: 1, bias: no,}"),
    ("- conv: {} # c", "conv", "- conv: {bias: no} # c"),
    ("- conv: # c\n- a", "conv", "- conv: {bias: no} # c\n- a"),
    ("- conv: null", "conv", "- conv: {bias: no}"),
    ("- conv: {a: 1, bias: yes, b: 2}", "conv", "- conv: {a: 1, bias: no, b: 2}"),
    ("- conv:\n    a: 1 # one\n\n  # end\n- b", "conv", "- conv:\n    a: 1 # one\n    bias: no\n\n  # end\n- b"),
    ("- conv:\n    a: |\n      text\n- b", "conv", "- conv:\n    bias: no\n    a: |\n      text\n- b"),
    ("- conv:\n    a: [1,\n     2] # c", "conv", "- conv:\n    a: [1,\n     2] # c\n    bias: no"),
    ("- conv:\n    a: {b:\n     c} # c\n    bias: # none\n", "conv", "- conv:\n    a: {b:\n     c} # c\n    bias: no # none\n"),
    ("- conv: 3 # c", "conv", "- conv: {units: 3, bias: no} # c"),
    ("- conv: $(max(8, w))", "conv", '- conv: {units: "$(max(8, w))", bias: no}'),
    ("- conv: [3, 3]", "conv", "- conv: {units: [3, 3], bias: no}"),
    ("- conv:\n  - a", "conv", "- conv:\n    units:\n    - a\n    bias: no"),
]


@pytest.mark.parametrize(("text", "at", "after"), SETS)
def test_a_key_is_set(text: str, at: str, after: str) -> None:
    new = made(text, "set_key", at, "bias", "no", "units")
    assert new == after
    read(new, "spec")


@pytest.mark.parametrize("text", ["- conv: *x", "- conv: |\n    a", "- 'conv': {a: 1}", "- conv: [a, b", "- conv: &size [3, 3]"])
def test_what_cannot_be_set_is_left_alone(text: str) -> None:
    if text.startswith("- 'conv'"):
        assert made(text, "set_key", "conv", "bias", "no", "units") == text  # the place of a quoted word is its quote
    else:
        assert made("- &x {}\n" + text, "set_key", "conv", "bias", "no", "units") == "- &x {}\n" + text


REMOVED = [
    ("- a: {lr: 1, b: 2, c: 3}", "lr", "- a: {b: 2, c: 3}"),
    ("- a: {b: 2, lr: 1}", "lr", "- a: {b: 2}"),
    ("- a: {b: 2, # two\n   lr: 1}", "lr", "- a: {b: 2, # two\n   }"),
    ("- a: {lr: 1, # one\n   b: 2}", "lr", "- a: { # one\n   b: 2}"),
    ("- a: {lr: 1}", "lr", "- a: {}"),
    ("a:\n  b: 1 # one\n  lr: 2\n  # c\n  c: 3", "lr", "a:\n  b: 1 # one\n  # c\n  c: 3"),
    ("a:\n  lr: 2 # two\n  c: 3", "lr", "a:\n  # two\n  c: 3"),
    ("a:\n  c: 3\n  lr: [1,\n  2]", "lr", "a:\n  c: 3"),
    ("- lr: 2\n  c: 3", "lr", "- \n  c: 3"),
    ("a:\n  lr: 2\nb: 1", "lr", "a:\n  {}\nb: 1"),
    ("a:\n  c: 1\n  lr:\n    d: 1\n    e: 2\nb: 1", "lr", "a:\n  c: 1\nb: 1"),
    ("a:\n  c: 1\n  lr:\n    d: 1 # kept\n    e: 2\nb: 1", "lr", "a:\n  c: 1\n  lr:\n    d: 1 # kept\n    e: 2\nb: 1"),
]


@pytest.mark.parametrize(("text", "at", "after"), REMOVED)
def test_a_key_is_removed(text: str, at: str, after: str) -> None:
    assert made(text, "remove_key", at, at) == after
    read(after, "spec")


ENTRIES = [
    ("insert_after", "layers:\n  - q # c\n  - b", "q", "new: {x: 1}", "layers:\n  - q # c\n  - new: {x: 1}\n  - b"),
    ("insert_after", "layers:\n- a:\n    b: 1 # c", "a:", "new", "layers:\n- a:\n    b: 1 # c\n- new"),
    ("insert_after", "layers: [q, b]", "q", "new: 1", "layers: [q, new: 1, b]"),
    ("insert_after", "layers: [q: {b: 1}]", "q", "new: 1", "layers: [q: {b: 1}, new: 1]"),
    ("insert_before", "layers:\n  # c\n  - q # d\n  - b", "q", "new", "layers:\n  # c\n  - new\n  - q # d\n  - b"),
    ("insert_before", "- - q\n  - b", "q", "new", "- - new\n  - q\n  - b"),
    ("insert_before", "layers: [q, b]", "q", "new: 1", "layers: [new: 1, q, b]"),
    ("remove_entry", "layers:\n  - q # c\n  - b", "q", "q", "layers:\n  # c\n  - b"),
    ("remove_entry", "layers: [q, b]", "q", "q", "layers: [b]"),
    ("remove_entry", "layers:\n  - q:\n      c: 1\n  - b\n", "q", "q", "layers:\n  - b\n"),
]


@pytest.mark.parametrize(("make", "text", "at", "value", "after"), ENTRIES)
def test_entries_come_and_go(make: str, text: str, at: str, value: str, after: str) -> None:
    assert made(text, make, at, value) == after
    read(after, "spec")


def test_a_key_at_the_top_comes_last_and_the_version_first() -> None:
    text = "# head\nname: x # c\nlast:\n  - 1\n# foot"
    assert made(text, "set_top", "name", "epochs", "3") == "# head\nname: x # c\nlast:\n  - 1\nepochs: 3\n# foot"
    assert made(text, "set_top", "name", "nnspec", "1") == "# head\nnnspec: 1\nname: x # c\nlast:\n  - 1\n# foot"
    assert made(text, "set_top", "last", "name", "y") == text.replace("name: x", "name: y")


def test_what_is_not_there_is_not_replaced() -> None:
    assert made("- dense: 3", "word", "dense", "Linear", "conv2d") == "- dense: 3"


def test_edits_of_one_place_are_made_one_after_another_and_equal_ones_once() -> None:
    text = "- a: {}\n- b"
    here = place(text, "a")
    new, done = rewrite(text, [(edits.set_key(here, "x", "1"),), (edits.set_key(here, "x", "1"),), (edits.set_key(here, "y", "2"),)])
    assert (new, done) == ("- a: {x: 1}\n- b", [0, 1])


def test_a_group_is_made_as_a_whole_or_not_at_all() -> None:
    text = "- a: {x: 1}\n- b"
    group = (edits.word(place(text, "b"), "b", "c"), edits.word(place(text, "x"), "y", "z"))
    assert rewrite(text, [group]) == (text, [])


def test_spans_are_those_of_the_reader() -> None:
    text = "a: &n [1, 'two']\nb:\n- {c: *n}\n- |\n  d\ne: é𝒳\n"
    tree = Tree(text)
    assert [(s.kind, text[s.start : s.end]) for s in tree.root.walk() if s.kind == "Scalar" and s.style not in ("|",)][:4] == [
        ("Scalar", "a"), ("Scalar", "1"), ("Scalar", "'two'"), ("Scalar", "b")]  # fmt: skip
    assert text[tree.root.get("e").start :] == "é𝒳\n"  # type: ignore[union-attr]
    node = read(text, "spec")
    assert plain(node)["e"] == tree.root.get("e").value  # type: ignore[union-attr,index]
    assert tree.comments() == []
