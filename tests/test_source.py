"""The strict reader: values of YAML 1.2, places, refusals with line and column, and limits that hold."""

from __future__ import annotations

import json
import math
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.errors import Place, Problem, Source, SpecError
from nnspec.spec import reader
from nnspec.spec.source import Mapping, Node, Scalar, Sequence, literal, plain, read, read_file

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]
REALISTIC = """\
nnspec: 1                        # a language version
name: "residual"
vars: {width: 16, act: relu}
data: {digits: {}, split: {train: 0.8, test: 0.2}}
inputs:
  image: {shape: [8, 8, 1]}
blocks:
  conv_bn:
    args: {filters: required, kernel: 3, stride: 1}
    layers:
      - conv2d: {filters: $filters, kernel: $kernel, stride: $stride, padding: same, bias: false}
      - batch_norm
      - activation: $act
  stage: &stage
    args: {filters: required}
    layers:
      - residual:
          layers:
            - conv_bn: {filters: $filters}
            - conv_bn: {filters: "$(max(8, filters))"}
          shortcut:
            - conv2d: {filters: $(1 * filters), kernel: 1}
      - relu
layers:
  - conv_bn: {filters: $width}
  - stage: {repeat: {filters: [16, 32]}, name: stages}
  - global_avg_pool2d
  - dropout: 0.5
  - dense: {units: 10, init: {kernel: [[1, -1], [0, 2]]}}
loss: cross_entropy
metrics: [accuracy, top_k: 3]
optimizer:
  adam: {learning_rate: 1e-3}
schedule: {cosine: {warmup: 5 steps}}
description: >
  A text of
  two lines: with a colon.
epochs: 10
batch_size: 64
seed: 3
"""


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        read(text, "s.yaml")
    assert all(p.wanted or p.hint for p in caught.value.problems)
    return caught.value.problems


def problem(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, [p.message for p in found]
    return found[0]


def where(p: Problem) -> tuple[int, int]:
    assert p.place is not None
    return p.place.line, p.place.column


def value(text: str) -> object:
    return plain(read(text, "s.yaml"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("nUll", "nUll"),
        ("true", True),
        ("FALSE", False),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("tRUE", "tRUE"),
        ("0", 0),
        ("-17", -17),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x1F", "-0x1F"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2024-01-31", "2024-01-31"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5e1", -5.0),
        ("1e", "1e"),
        (".", "."),
        ("-", [None]),
        ("+", "+"),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
        ("1.2.3", "1.2.3"),
        ("0x", "0x"),
        ("0o8", "0o8"),
        ("٣", "٣"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("|\n  1\n", "1\n"),
        ("a b", "a b"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, wanted: object) -> None:
    found = value(text)
    wanted = tuple(wanted) if isinstance(wanted, list) else wanted
    assert found == wanted and type(found) is type(wanted)


def test_not_a_number_is_a_number() -> None:
    found = value(".NaN")
    assert isinstance(found, float) and math.isnan(found)


def test_a_mapping_keeps_order_keys_and_places() -> None:
    root = read("é: 'ü😀'\nb:\n  - x\n  -   {c: [1, 2]}\n", "s.yaml")
    assert isinstance(root, Mapping) and not root.flow and list(root.pairs) == ["é", "b"]
    assert [str(p) for p in root.keys.values()] == ["s.yaml:1:1", "s.yaml:2:1"]
    text, items = root.pairs.values()
    assert isinstance(text, Scalar) and text.quoted and (text.place.line, text.place.column) == (1, 4)
    assert isinstance(items, Sequence) and not items.flow and (items.place.line, items.place.column) == (3, 3)
    inner = items.items[1]
    assert isinstance(inner, Mapping) and inner.flow and (inner.place.line, inner.place.column) == (4, 7)
    numbers = inner.pairs["c"]
    assert isinstance(numbers, Sequence) and numbers.flow
    assert [(i.place.line, i.place.column) for i in numbers.items] == [(4, 12), (4, 15)]


def test_places_count_characters_behind_emoji_and_a_byte_order_mark() -> None:
    root = read("\ufeff{a: 😀😀, b: 1}\n", "s.yaml")
    assert isinstance(root, Mapping)
    assert root.keys["b"].column == 9 and root.pairs["b"].place.column == 12


def test_a_place_stands_behind_an_anchor() -> None:
    root = read("a: &x  [1]\nb: &y\n  c: 1\n", "s.yaml")
    assert isinstance(root, Mapping)
    assert (root.pairs["a"].place.line, root.pairs["a"].place.column) == (1, 8)


@pytest.mark.parametrize("text", ["a: 1\r\nb: 2\r\nc: 3", "a: 1\rb: 2\rc: 3", "a: 1\nb: 2\nc: 3"])
def test_every_kind_of_line_end_counts_once(text: str) -> None:
    root = read(text, "s.yaml")
    assert isinstance(root, Mapping) and root.keys["c"].line == 3


def test_a_mapping_in_a_flow_list_is_a_mapping() -> None:
    assert value("[dense: 10, relu]") == ({"dense": 10}, "relu")


def test_keys_stay_texts() -> None:
    assert value("{1: a, true: b, 0.5: c, '': d, 'x y': e}") == {"1": "a", "true": "b", "0.5": "c", "": "d", "x y": "e"}


def test_aliases_share_their_node() -> None:
    root = read("a: &x {b: 1}\nc: *x\n", "s.yaml")
    assert isinstance(root, Mapping) and root.pairs["a"] is root.pairs["c"]


REFUSED: list[tuple[str, tuple[int, int], str, str]] = [
    ("a: 1\nb: 2\na: 3\n", (3, 1), "the key 'a' stands here twice", "first on line 1, column 1"),
    ("a: !!str 3", (1, 4), "tags are not used", "!!str"),
    ("a: &x !t\n", (1, 7), "tags are not used", "!t"),
    ("!a\n- 1", (1, 1), "tags are not used", "!a"),
    ("<<: {a: 1}", (1, 1), "'<<' is not used", ""),
    ("[a]: b", (1, 1), "a key is a word, not a list or mapping", ""),
    ("? {a: 1}\n: b", (1, 3), "a key is a word, not a list or mapping", ""),
    ("{a: &b 1, *b : 2}", (1, 11), "a key is a word, not an alias", "*b"),
    (": 1", (1, 1), "a key is missing before ':'", ""),
    ("$x: y", (1, 1), "a formula cannot be a key", "$x"),
    ("a: *x", (1, 4), "no anchor '&x' stands above", ""),
    ("a: &x [*x]", (1, 8), "stands inside of what it repeats", ""),
    ("--- a\n--- b\n", (2, 1), "a second document begins", ""),
    ("%YAML 1.1\n---\na: 1", (1, 1), "specs are YAML 1.2", "%YAML 1.1"),
    ("%TAG ! x\n---\na", (1, 1), "tags are not used", "%TAG"),
    ("a: b\x00c", (1, 5), "a character that is not text", "U+0000"),
    ("x: 1\na: \x1b[31m", (2, 4), "a character that is not text", "U+001B"),
    ("a: b\u2028c", (1, 5), "a line separator", "U+2028"),
    ("a: \ud800", (1, 4), "a character that is not text", "U+D800"),
    ("a: 1" + "0" * 20, (1, 4), "a whole number of more than 20 digits", ""),
    ("a: 9223372036854775808", (1, 4), "does not fit into 64 bits", ""),
    ("a: 0xFFFFFFFFFFFFFFFF", (1, 4), "does not fit into 64 bits", ""),
    ("a: 1e999", (1, 4), "a number that is too large", "1e999"),
    ("a: 0." + "1" * 200, (1, 4), "a number of more than 100 characters", ""),
    ("a:\n\tb: 1\n", (2, 1), "a tab indents this line", ""),
    ("a:\n  - b\n \t- c\n", (3, 2), "a tab indents this line", ""),
    ("a: [1, 2\nb: 3", (1, 4), "'[' is never closed", ""),
    ("a: {b: 1\n", (1, 4), "'{' is never closed", ""),
    ("layers:\n- conv: {a: 1\n- dense: 3\n", (2, 9), "'{' is never closed", ""),
    ("a: {b: [1, 2}, c: 3}", (1, 13), "'}' closes nothing here", ""),
    ("a: {b}}", (1, 7), "'}' closes nothing", ""),
    ("a: ]", (1, 4), "']' closes nothing", ""),
    ("a: [1, , 2]", (1, 8), "nothing stands before this ','", ""),
    ("a: ['x' 'y']", (1, 9), "a ',' is missing", ""),
    ("a b\nc: d\n", (1, 1), "this line is no 'key: value'", "a b"),
    ("a: 1\nb:2\nc: 3", (2, 1), "a space is missing after ':'", ""),
    ("{a:1}", (1, 2), "a space is missing after ':'", "a:1"),
    ("a: b: c", (1, 5), "a second ':' on one line", ""),
    ("x: {a: b: c}", (1, 9), "a second ':'", ""),
    ("a: 1\n  b: 2", (2, 3), "this line is indented below a line that already has a value", ""),
    ("a:\n  b: 1\n c: 2", (3, 2), "this line's indentation fits no line above", ""),
    ("- a\nb: 1", (2, 1), "a list entry is wanted here", "b: 1"),
    ("a: 1\n- b", (2, 1), "a list entry stands among keys", ""),
    ("a: 'x\nb: 1\n", (1, 4), "a quote is never closed", ""),
    ("a: 'it's'\n", (1, 8), "the value is finished before this text", "s'"),
    ("a: `b`", (1, 4), "a text cannot begin with '`'", ""),
    ("a: @b", (1, 4), "a text cannot begin with '@'", ""),
    ("a: [*.jpg]", (1, 5), "'*' begins an alias", ""),
    ('a: "\\e[31m"', (1, 4), "a character that is not text", "U+001B"),
    ("a: 1\n...\nb", (3, 1), "the document is finished before this line", ""),
]


@pytest.mark.parametrize(("text", "position", "message", "found"), REFUSED, ids=[repr(r[0])[:40] for r in REFUSED])
def test_what_is_not_a_spec_is_refused_with_its_place(
    text: str, position: tuple[int, int], message: str, found: str
) -> None:
    p = problem(text)
    assert message in p.message
    assert where(p) == position
    assert found in p.found


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("text", [r[0] for r in REFUSED])
def test_both_of_pyyamls_parsers_lead_to_refusals_with_a_place(
    text: str, loader: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LOADER", loader)
    assert all(p.place is not None for p in problems(text))


def test_the_parser_of_libyaml_is_used_where_it_is_there() -> None:
    assert reader.LOADER is LOADERS[-1]


TORN: list[tuple[str, tuple[int, int], str]] = [
    ("{filters: $(max(8, w))}", (1, 11), '"$(max(8, w))"'),
    ("a:\n  - conv: {filters: $(max(8, w)), kernel: 3}\n", (2, 21), '"$(max(8, w))"'),
    ("[$(a[0])]", (1, 2), '"$(a[0])"'),
    ("- {a: [$(a[0]), 3]}", (1, 8), '"$(a[0])"'),
    ("- {a: $(max([1,2]))}", (1, 7), '"$(max([1,2]))"'),
    ("{a: $input.shape[0]}", (1, 5), '"$input.shape[0]"'),
    ("{f: conv_$(max(1, 2))_x}", (1, 5), '"conv_$(max(1, 2))_x"'),
    ('{f: $(d["a"], 3)}', (1, 5), "'$(d[\"a\"], 3)'"),
    ("a: $(x #1)", (1, 4), '"$(x #1)"'),
    ("a: $(x ? 1: 2)", (1, 4), '"$(x ? 1: 2)"'),
    ("[$(a[@])]", (1, 2), '"$(a[@])"'),
    ("{a: $(max(8, @x)), b: 1}", (1, 5), '"$(max(8, @x))"'),
    ("{a: $(f({b: 1}))}", (1, 5), '"$(f({b: 1}))"'),
    ("{a: $(max(w, w)), a1: $(min(w, w))}", (1, 5), '"$(max(w, w))"'),
]


@pytest.mark.parametrize(("text", "position", "quoted"), TORN)
@pytest.mark.parametrize("loader", LOADERS)
def test_a_torn_formula_is_told_to_be_quoted(
    text: str, position: tuple[int, int], quoted: str, loader: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LOADER", loader)
    first, *others = problems(text)
    assert first.rule == "torn-formula" and where(first) == position
    assert first.hint == f"quote the formula: {quoted}"
    assert all(p.rule == "torn-formula" for p in others)


def test_a_formula_that_lacks_its_parenthesis_in_a_flow_mapping_says_so() -> None:
    p = problem("{f: $(a, kernel: 3}")
    assert p.message == "a formula's parenthesis is not closed" and where(p) == (1, 5)


@pytest.mark.parametrize(
    "text", ["{a: $(w), b: $(2 * w)}", "a: $(max(8, w))", "['$(max(8, w))']", "[$$(a, b)]", "[a$, b]"]
)
def test_whole_formulas_are_left_alone(text: str) -> None:
    read(text, "s.yaml")


def test_all_problems_are_told_at_once() -> None:
    found = problems("a: 1\na: 2\nb: !t 3\nc: 1e999\nd: *no\ne: [1\n")
    assert [where(p)[0] for p in found] == [2, 3, 4, 5, 6]


def test_very_many_problems_are_cut_short() -> None:
    assert len(problems("".join("a: !t 1\n" for _ in range(5_000)))) == reader.MOST_PROBLEMS


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_64_levels_are_read_and_65_are_not() -> None:
    read(nested(64), "s.yaml")
    p = problem(nested(65))
    assert p.message == "lists and mappings are nested too deeply" and where(p) == (1, 65)


def test_levels_are_counted_through_aliases() -> None:
    text = f"a: &a {nested(40)}\nb: {'[' * 30}*a{']' * 30}\n"
    assert where(problem(text)) == (2, 34)


def peak(text: str) -> int:
    tracemalloc.start()
    try:
        problems(text)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize("text", ["[" * 1_000_000, "{" * 1_000_000, "- " * 500_000, "? " * 500_000, BOMB])
def test_bombs_are_refused_in_little_memory(text: str) -> None:
    assert peak(text) < 20_000_000


def test_an_alias_bomb_names_the_limit() -> None:
    p = problem(BOMB)
    assert p.message == "too many values" and p.wanted.startswith("at most 100,000") and where(p)[0] == 4


def test_values_are_counted_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_NODES", 1_000)
    assert value("[" + "1," * 999 + "]") == (1,) * 999
    assert problem("[" + "1," * 1_000 + "]").message == "too many values"


def test_a_text_of_more_than_a_mebibyte_is_refused() -> None:
    assert problem("a" * (2**20 + 1)).message == "the file is too large for a spec"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_file_is_read_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        node = read_file(write(tmp_path / "a.yaml", mark + "ä: 1".encode()), "a.yaml")
        assert plain(node) == {"ä": 1} and str(node.place) == "a.yaml:1:1"


def test_a_large_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = write(tmp_path / "large.yaml", b"a: 1\n" * 2_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(SpecError, match="too large for a spec"):
            read_file(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_bytes_that_are_not_utf_8_have_a_place(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_file(write(tmp_path / "a.yaml", b"a: 1\nb: caf\xe9\n"), "a.yaml")
    (p,) = caught.value.problems
    assert str(p.place) == "a.yaml:2:7" and p.found == "byte 0xe9"


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "digits_cnn.yaml", b"")
    with pytest.raises(SpecError, match=r"no such file\n.*\n.*did you mean 'digits_cnn.yaml'"):
        read_file(tmp_path / "digit_cnn.yaml")


def test_a_folder_and_an_impossible_path_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a\x00b", write(tmp_path / "f", b"") / "g"):
        with pytest.raises(SpecError):
            read_file(path)


PLACE = Place(Source("here", ""))


def test_a_python_value_becomes_nodes_and_comes_back() -> None:
    given_value = {"a": [1, 2.5, None, True, "x"], "b": {"c": ()}}
    assert plain(literal(given_value, PLACE)) == {"a": (1, 2.5, None, True, "x"), "b": {"c": ()}}


def test_numpy_numbers_arrays_and_paths_are_values() -> None:
    assert plain(literal([np.int64(3), np.float32(0.5), np.eye(2), Path("a/b")], PLACE)) == (
        3,
        0.5,
        ((1.0, 0.0), (0.0, 1.0)),
        "a/b",
    )
    assert type(plain(literal(np.bool_(True), PLACE))) is bool


def test_what_no_spec_can_hold_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    for bad in (object(), {1: 2}, {1, 2}, 2**63, endless, [0] * 100_001, b"x", 1j):
        with pytest.raises(SpecError):
            literal(bad, PLACE)


texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x85\u2028\u2029\ufeff\ufffe\uffff"))
data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


def tuples(found: object) -> object:
    if isinstance(found, list):
        return tuple(tuples(x) for x in found)
    return {k: tuples(v) for k, v in found.items()} if isinstance(found, dict) else found


@settings(max_examples=120, deadline=None)
@given(data, st.sampled_from([None, 1, 4]))
def test_json_is_read_as_json(found: object, indent: int | None) -> None:
    text = json.dumps(found, indent=indent, ensure_ascii=False)
    assert repr(value(text)) == repr(tuples(json.loads(text)))


@settings(max_examples=60, deadline=None)
@given(data)
def test_what_pyyaml_writes_is_read_back_where_the_versions_agree(found: object) -> None:
    text = yaml.dump(found, default_style='"', Dumper=yaml.SafeDumper)
    if "!!" not in text:
        assert value(text) == tuples(found)


def inside(p: Problem, text: str) -> bool:
    if p.place is None:
        return False
    lines = text.removeprefix("\ufeff").splitlines() or [""]
    return 1 <= p.place.line <= len(lines) and 1 <= p.place.column <= len(lines[p.place.line - 1]) + 1


def check(text: str) -> None:
    """Either it is read, and every node stands inside of the text, or every problem does."""
    try:
        root = read(text, "s.yaml")
    except SpecError as e:
        assert e.problems and all(inside(p, text) and (p.wanted or p.hint) for p in e.problems), text
        return
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        assert inside(Problem("", node.place), text), text
        if isinstance(node, Sequence):
            stack += node.items
        elif isinstance(node, Mapping):
            stack += node.pairs.values()
            assert all(inside(Problem("", place), text) for place in node.keys.values())


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from(list("ab1 \n\t:-,[]{}&*!|>'\"%@`#?$().<~\\\r=\u00e9\ufeff\x00")), max_size=60))
def test_any_text_is_read_or_refused_with_places_inside_of_it(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_unicode_is_read_or_refused(text: str) -> None:
    check(text)


def mutate(text: str, rng: random.Random) -> str:
    """One to three small accidents: characters lost, doubled, swapped, replaced; lines lost, moved or shifted."""
    for _ in range(rng.randint(1, 3)):
        at, lines = rng.randrange(len(text)), text.split("\n")
        line = rng.randrange(len(lines))
        match rng.randrange(7):
            case 0:
                text = text[:at] + text[at + rng.randint(1, 4) :]
            case 1:
                text = text[:at] + rng.choice("[]{}:,-'\"$()#&*!\t\n %@|>?~1\u00e9\x00") + text[at:]
            case 2:
                text = text[:at] + rng.choice("[]{}:,-'\"$()#&*!\t\n %@|>?~1") + text[at + 1 :]
            case 3:
                text = "\n".join(lines[:line] + lines[line + 1 :])
            case 4:
                text = "\n".join([*lines[:line], lines[line], *lines[line:]])
            case 5:
                text = "\n".join([*lines[:line], rng.choice([" ", "  ", "\t"]) + lines[line], *lines[line + 1 :]])
            case _:
                text = "\n".join([*lines[:line], lines[line].strip(), *lines[line + 1 :]])
        text = text or "a"
    return text


def test_the_realistic_spec_is_right() -> None:
    assert len(REALISTIC.splitlines()) == 40 and isinstance(read(REALISTIC, "s.yaml"), Mapping)


def test_mutated_specs_are_read_or_refused_with_places_inside_of_them() -> None:
    rng = random.Random(0)
    for _ in range(400):
        check(mutate(REALISTIC, rng))
