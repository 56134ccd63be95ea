"""Formulas: a closed language whose values, types, limits and places are exact."""

from __future__ import annotations

import ast
import operator
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.errors import Place, Problem, Source, SpecError
from nnspec.ir.types import symbol
from nnspec.spec import formulas
from nnspec.spec.expressions import (
    Attribute,
    Binary,
    Call,
    Compare,
    Conditional,
    Expression,
    Index,
    ListLiteral,
    Name,
    Number,
    String,
    Unary,
)
from nnspec.spec.formulas import evaluate, is_formula, parse, substitute
from nnspec.spec.source import Mapping, Node, Scalar, plain, read

TIME = symbol("time")
NAMES: dict[str, object] = {
    "width": 6,
    "rate": 2.5,
    "on": True,
    "off": False,
    "act": "relu",
    "sizes": (1, 2, 3),
    "none": None,
    "i": 0,
    "input": {"shape": (TIME, 64)},
    "data": {"species": {"classes": 3}, "my-column": {"classes": 2}},
    "leaky": {"leaky_relu": 0.2},
}


def at(text: str) -> Place:
    return Place(Source("s.yaml", f"a: $({text})"), 1, 6)


def value(text: str) -> object:
    return evaluate(text, at(text), NAMES)


def problem(text: str) -> Problem:
    with pytest.raises(SpecError) as caught:
        value(text)
    (p,) = caught.value.problems
    assert p.wanted or p.hint, p.message
    return p


def put(text: str) -> object:
    return plain(substitute(read(text, "s.yaml"), NAMES))


def problems(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(SpecError) as caught:
        substitute(read(text, "s.yaml"), NAMES)
    return [(p.place.line, p.place.column, p.message) for p in caught.value.problems if p.place]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3 * width", 18),
        ("8/2", 4.0),
        ("7//2", 3),
        ("-7//2", -4),
        ("7 % 4", 3),
        ("-7 % 4", 1),
        ("2**10", 1024),
        ("2**-1", 0.5),
        ("-2**2", -4),
        ("2**3**2", 512),
        ("(2**3)**2", 64),
        ("2**62 - 1 + 2**62", 2**63 - 1),
        ("1 + 2 * 3 - 4", 3),
        ("10 - 3 - 2", 5),
        ("100 // 7 // 2", 7),
        ("+width", 6),
        ("--width", 6),
        ("1e-3", 1e-3),
        (".5 + 1.", 1.5),
        ("1 < width <= 6 < 9", True),
        ("1 < width < 6", False),
        ("width == 6.0", True),
        ("on == 1", False),
        ("act == 'relu'", True),
        ('act != "relu"', False),
        ("'a' < 'b'", True),
        ("not on or width == 6", True),
        ("on and not off", True),
        ("off and 1/0 > 0", False),
        ("on or 1/0 > 0", True),
        ("1 if width > 3 else 1/0", 1),
        ("1/0 if off else 2", 2),
        ("1 if off else 2 if off else 3", 3),
        ("sizes[0]", 1),
        ("sizes[-1]", 3),
        ("[4, 5][1]", 5),
        ("act[0]", "r"),
        ("[[1, 2], [3]][0][1]", 2),
        ("[]", ()),
        ("[1, 'x', true, null]", (1, "x", True, None)),
        ("sizes + [4]", (1, 2, 3, 4)),
        ("[8] * 3", (8, 8, 8)),
        ("'conv' + '_' + act", "conv_relu"),
        ("'ab' * 2", "abab"),
        ("data.species.classes", 3),
        ("data['my-column'].classes", 2),
        ("max(8, width)", 8),
        ("min(sizes)", 1),
        ("max(1, 2.5)", 2.5),
        ("round(2.5)", 2),
        ("round(3.7)", 4),
        ("ceil(2.1)", 3),
        ("floor(-2.1)", -3),
        ("ceil(4)", 4),
        ("abs(-3)", 3),
        ("len(sizes)", 3),
        ("len(act)", 4),
        ("sqrt(16)", 4.0),
        ("log2(8)", 3.0),
        ("none == null", True),
        ("input.shape[1]", 64),
        ("round(log2(64))", 6),
        ("4 * (width + 1) // 2", 14),
        ('"it\'s"', "it's"),
    ],
)
def test_formulas_have_the_values_and_types_of_the_language(text: str, wanted: object) -> None:
    found = value(text)
    assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("9**9**9", 7, "too large"),
        ("2**63", 7, "too large"),
        ("10.0**400", 10, "too large"),
        ("1e308 * 10", 12, "no finite number"),
        ("9223372036854775807 + 1", 26, "too large"),
        ("99999999999999999999", 6, "too large"),
        ("1e999", 6, "too large"),
        ("1/0", 7, "division by zero"),
        ("1//0", 7, "division by zero"),
        ("1 % 0", 8, "division by zero"),
        ("0**-1", 7, "division by zero"),
        ("(-8)**0.5", 10, "no real number"),
        ("on + 1", 9, "'+' cannot work on a truth value"),
        ("'a' - 'b'", 10, "'-' cannot work on a text"),
        ("none * 2", 11, "'*' cannot work on nothing"),
        ("-act", 6, "'-' cannot work on a text"),
        ("'a' < 1", 10, "cannot compare a text"),
        ("width and on", 12, "'and' wants true or false"),
        ("not 1", 6, "'not' wants true or false"),
        ("1 if 1 else 2", 11, "'if' wants true or false"),
        ("sizes[3]", 11, "index 3 is outside of a list of 3"),
        ("sizes[-4]", 11, "index -4"),
        ("sizes['a']", 11, "a text ('a') as an index"),
        ("sizes[true]", 11, "as an index"),
        ("width[0]", 11, "'[…]' of a number"),
        ("width.x", 12, "'.x' of a number"),
        ("widht", 6, "nothing is called 'widht'"),
        ("1 + widht", 10, "nothing is called"),
        ("data.specis", 11, "there is no 'specis' here"),
        ("maxx(1)", 6, "no function 'maxx'"),
        ("max", 6, "'max' is a function"),
        ("max()", 6, "'max' wants at least 1"),
        ("abs(1, 2)", 6, "'abs' wants 1"),
        ("max([])", 6, "'max' of an empty list"),
        ("max(1, axis=2)", 18, "'max' takes no 'axis='"),
        ("sqrt(-1)", 6, "square root"),
        ("log2(0)", 6, "logarithm"),
        ("len(3)", 6, "'len' wants a list"),
        ("min('a', 1)", 6, "'min' wants a number"),
        ("'a' * 10001", 10, "too long"),
        ("[1] * 10001", 10, "too long"),
        ("[[0] * 5000] * 3", 19, "too long"),
        ("", 6, "a formula is empty"),
        ("1 +", 9, "ends too early"),
        ("1)", 7, "unexpected ')'"),
        ("[1, 2", 11, "ends too early"),
        ("[1, 2,]", 12, "unexpected ']'"),
        ("1 = 2", 8, "unexpected '='"),
        ("10abc", 6, "'10abc' is not a number"),
        ("1.5.2", 6, "is not a number"),
        ("1 + not on", 10, "unexpected 'not'"),
        ("on && off", 9, "cannot be read at '&'"),
        ("$width", 6, "cannot be read at '$'"),
        ("'abc", 6, "cannot be read at"),
        ("a; b", 7, "cannot be read at ';'"),
        ("lambda: 1", 12, "cannot be read at ':'"),
        ("width.__class__", 12, "'.__class__' of a number"),
        ("[x for x in sizes]", 9, "unexpected 'for'"),
        ("__import__('os')", 6, "no function '__import__'"),
        ("input.shape[0] < 3", 21, "cannot be compared"),
        ("input.shape[0] == 3", 21, "cannot be compared"),
        ("input.shape[0] / 2", 21, "'/' cannot work on the length 'time'"),
        ("max(input.shape)", 6, "wants a number"),
    ],
)
def test_what_cannot_be_worked_out_is_refused_at_its_column(text: str, column: int, message: str) -> None:
    p = problem(text)
    assert message in p.message
    assert p.place is not None and (p.place.line, p.place.column) == (1, column)


def test_nearest_words_are_suggested() -> None:
    assert problem("widht").hint == "did you mean 'width'?"
    assert problem("data.specis").hint == "did you mean 'species'?"
    assert problem("maxx(1)").hint == "did you mean 'max'?"
    assert problem("True").hint == "did you mean 'true'?"
    assert problem("on && off").hint == "write 'and'"
    assert problem("1 = 2").hint == "write '==' to compare"


def test_symbolic_lengths_are_calculated_with() -> None:
    assert value("input.shape[0]") == TIME
    assert str(value("(input.shape[0] + 1) // 2 * 3")) == "3*((time + 1)//2)" or "time" in str(
        value("input.shape[0] // 2")
    )
    assert value("input.shape[0] == input.shape[0]") is True
    assert value("input.shape[0] - input.shape[0] + 2") == 2
    assert plain(substitute(read("a: $input.shape", "s"), NAMES)) == {"a": (TIME, 64)}


def test_the_tree_is_made_of_our_own_parts() -> None:
    assert parse("a.b[0] + -f(1, x, axis=2) if not c < 3 <= d else ['s']", at("")) == Conditional(
        Binary(
            "+",
            Index(Attribute(Name("a"), "b"), Number(0)),
            Unary("-", Call("f", (Number(1), Name("x")), (("axis", Number(2)),))),
        ),
        Unary("not", Compare(Name("c"), ("<", "<="), (Number(3), Name("d")))),
        ListLiteral((String("s"),)),
    )


def test_every_part_knows_its_offset() -> None:
    tree = parse("ab + c[1]", at("ab + c[1]"))
    assert isinstance(tree, Binary) and isinstance(tree.right, Index)
    assert (tree.at, tree.left.at, tree.right.at, tree.right.of.at, tree.right.index.at) == (3, 0, 6, 5, 7)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 40 + "1" + ")" * 40,
        "-" * 40 + "1",
        "+".join("1" * 40),
        "2**" * 40 + "1",
        "[" * 40 + "]" * 40,
        "x" + "[0]" * 40,
        "1 if on else " * 40 + "2",
        "not " * 40 + "on",
        "abs(" * 40 + "1" + ")" * 40,
    ],
)
def test_formulas_of_more_than_32_levels_are_refused(text: str) -> None:
    assert problem(text).message == "a formula is nested too deeply"


@pytest.mark.parametrize("text", ["(" * 30 + "1" + ")" * 30, "+".join("1" * 32), "abs(" * 31 + "1" + ")" * 31])
def test_formulas_of_32_levels_are_worked_out(text: str) -> None:
    assert value(text) in (1, 32)


def test_formulas_of_more_than_1000_characters_are_refused() -> None:
    assert value("1" + " " * 999) == 1
    assert problem("1" + " " * 1000).message == "a formula is too long"


@pytest.mark.parametrize(
    "text", ["9**9**9", "'a' * 9 * 10**17", "[0] * 10**17", "(-9)**(9**9)", "9**9**9**9**9", "[[0]*9999]*9999"]
)
def test_bombs_are_refused_before_they_are_computed(text: str) -> None:
    tracemalloc.start()
    try:
        problem(text)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_many_formulas_cannot_make_an_endless_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formulas, "MOST_NODES", 10_000)
    substitute(read("[" + ",".join(["'$([0] * 900)'"] * 11) + "]", "s"), NAMES)
    found = problems("[" + ",".join(["'$([0] * 900)'"] * 13) + "]")
    assert {p[2] for p in found} == {"the formulas of this spec make too many values"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: $width", 6),
        ("a: $(2 * width)", 12),
        ("a: $rate", 2.5),
        ("a: $on", True),
        ("a: $act", "relu"),
        ("a: $none", None),
        ("a: $sizes", (1, 2, 3)),
        ("a: $sizes[-1]", 3),
        ("a: '$(max(8, width))'", 8),
        ('a: "$width"', 6),
        ("a: $data.species.classes", 3),
        ("a: $leaky", {"leaky_relu": 0.2}),
        ("a: x_$i.png", "x_0.png"),
        ("a: $act.state", "relu.state"),
        ("a: conv_$(i + 1)", "conv_1"),
        ("a: $i$width", "06"),
        ("a: $rate and $on", "2.5 and true"),
        ("a: $$5", "$5"),
        ("a: $$width", "$width"),
        ("a: $$(1)", "$(1)"),
        ("a: $$$width", "$6"),
        ("a: $(8/2) x", "4.0 x"),
        ("a: no dollar", "no dollar"),
        ("a: |\n  $(width + 1)\n", 7),
        ("a: $('$' + ')')", "$)"),
        ("a: $(1e-3)", 1e-3),
        ("a: [$width, {b: $rate}]", (6, {"b": 2.5})),
        ("a: $act[0]", "relu[0]"),
        ("a: $(act[0])", "r"),
    ],
)
def test_formulas_in_a_tree_become_values(text: str, wanted: object) -> None:
    found = put(text)
    assert found == {"a": wanted}
    assert isinstance(found, dict) and type(found["a"]) is type(wanted)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: $foo", 1, 5),
        ("a: $(1 + foo)", 1, 10),
        ("a: 'x $(foo) y'", 1, 9),
        ('a: "é$foo"', 1, 7),
        ("a: $data.foo", 1, 10),
        ("a: &x $foo", 1, 8),
        ("b: 1\na:\n  - x\n  - $(foo)\n", 4, 7),
        ("a: cost $", 1, 9),
        ("a: 5$ x", 1, 5),
        ("a: x$(1", 1, 5),
        ("a: $sizes[7]", 1, 10),
        ("a: l_$sizes", 1, 6),
        ("a: |\n  x\n  $(foo)\n", 1, 4),
        ("a: 'it''s $foo'", 1, 5),
        ("a: $(9**9**9)", 1, 7),
    ],
)
def test_a_wrong_formula_is_shown_at_its_column_where_the_text_stands_as_written(
    text: str, line: int, column: int
) -> None:
    ((found_line, found_column, _),) = problems(text)
    assert (found_line, found_column) == (line, column)


def test_every_wrong_formula_is_told_at_once() -> None:
    assert [p[:2] for p in problems("a: $x\nb: [$width, $y]\nc: $(1/0)\n")] == [(1, 5), (2, 14), (3, 7)]


def test_shared_nodes_are_told_once_and_stay_shared() -> None:
    assert len(problems("a: &x $foo\nb: *x\n")) == 1
    root = substitute(read("a: &x [$width]\nb: *x\n", "s"), NAMES)
    assert isinstance(root, Mapping) and root.pairs["a"] is root.pairs["b"]


def test_values_keep_the_place_of_their_formula() -> None:
    root = substitute(read("a: $sizes\nb: [1]\n", "s.yaml"), NAMES)
    assert (
        isinstance(root, Mapping) and str(root.pairs["a"].place) == "s.yaml:1:4" and str(root.keys["a"]) == "s.yaml:1:1"
    )


def test_a_tree_without_formulas_is_returned_as_it_is_and_one_with_them_is_not_changed() -> None:
    still = read("a: [1, {b: x}]", "s")
    assert substitute(still, NAMES) is still
    moving = read("a: [1, {b: $width}]\nc: [2]", "s")
    result = substitute(moving, NAMES)
    assert plain(moving) == {"a": (1, {"b": "$width"}), "c": (2,)}
    assert isinstance(moving, Mapping) and isinstance(result, Mapping) and result.pairs["c"] is moving.pairs["c"]


def test_only_texts_with_a_dollar_are_formulas() -> None:
    def node(text: str) -> Node:
        root = read(text, "s")
        assert isinstance(root, Mapping)
        return root.pairs["a"]

    assert is_formula(node("a: $x")) and is_formula(node("a: 'x $(y)'")) and is_formula(node("a: $$"))
    assert not is_formula(node("a: x")) and not is_formula(node("a: 3")) and not is_formula(node("a: [$x]"))
    assert not is_formula(Scalar(at(""), 3, "$3", False))


OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.And: "and",
    ast.Or: "or",
    ast.Not: "not",
    ast.USub: "-",
    ast.UAdd: "+",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


def as_python_reads(node: ast.expr) -> Expression:
    """Python's own tree of an expression, in our parts."""
    match node:
        case ast.Constant(int() | float() as number):
            return Number(number)
        case ast.Name(name):
            return Name(name)
        case ast.BinOp(left, operator, right):
            return Binary(OPERATORS[type(operator)], as_python_reads(left), as_python_reads(right))
        case ast.BoolOp(operator, values):
            first, *others = map(as_python_reads, values)
            for other in others:
                first = Binary(OPERATORS[type(operator)], first, other)
            return first
        case ast.UnaryOp(operator, operand):
            return Unary(OPERATORS[type(operator)], as_python_reads(operand))
        case ast.Compare(left, operators, rest):
            signs = tuple(OPERATORS[type(o)] for o in operators)
            return Compare(as_python_reads(left), signs, tuple(map(as_python_reads, rest)))
        case ast.IfExp(condition, value, other):
            return Conditional(as_python_reads(value), as_python_reads(condition), as_python_reads(other))
        case ast.Subscript(of, index):
            return Index(as_python_reads(of), as_python_reads(index))
        case ast.Attribute(of, name):
            return Attribute(as_python_reads(of), name)
        case ast.List(items):
            return ListLiteral(tuple(map(as_python_reads, items)))
        case ast.Call(ast.Name(name), arguments):
            return Call(name, tuple(map(as_python_reads, arguments)))
    raise SyntaxError("not of this language: an empty pair of parentheses, a call of what is no name")


words = st.lists(
    st.sampled_from(
        [
            "1",
            "2.5",
            "a",
            "b",
            "+",
            "-",
            "*",
            "/",
            "//",
            "%",
            "**",
            "<",
            "<=",
            "==",
            "!=",
            "and",
            "or",
            "not",
            "if",
            "else",
        ]
        + ["(", ")", "[0]", ".c"]
    ),
    max_size=12,
).map(" ".join)
parts = st.recursive(
    st.sampled_from(["1", "2.5", "a", "b"]),
    lambda inner: (
        st.tuples(
            inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "!=", "and", "or"]), inner
        ).map(" ".join)
        | inner.map(lambda x: f"({x})")
        | inner.map(lambda x: f"- {x}")
        | inner.map(lambda x: f"not {x}")
        | st.tuples(inner, inner, inner).map(lambda x: f"{x[0]} if {x[1]} else {x[2]}")
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(words | parts)
def test_the_grammar_is_pythons_as_far_as_it_goes(text: str) -> None:
    try:
        wanted = as_python_reads(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        wanted = None
    try:
        found = parse(text, at(text))
    except SpecError as e:
        assert wanted is None or e.problems[0].message == "a formula is nested too deeply"
    else:
        assert found == wanted


Pair = tuple[str, Any]


def joined(x: tuple[Pair, str, Pair]) -> Pair:
    """An operation as text, and its value by Python, or None where it has none."""
    (a, left), sign, (b, right) = x
    try:
        known = left is not None and right is not None and (sign != "**" or abs(right) < 100)
        result = PYTHON[sign](left, right) if known else None
    except ArithmeticError:
        result = None
    too_large = isinstance(result, complex) or result is not None and not -(2**63) <= result < 2**63
    return f"({a} {sign} {b})", None if too_large else result


PYTHON = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
          "%": operator.mod, "**": operator.pow}  # fmt: skip
numbers = st.sampled_from([("0", 0), ("1", 1), ("7", 7), ("0.5", 0.5), ("2.25", 2.25), ("width", 6), ("rate", 2.5)])
arithmetic = st.recursive(numbers, lambda x: st.tuples(x, st.sampled_from(list(PYTHON)), x).map(joined), max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(arithmetic)
def test_arithmetic_agrees_with_python(pair: Pair) -> None:
    text, wanted = pair
    if wanted is not None:
        found = value(text)
        assert found == wanted and type(found) is type(wanted)


pieces = st.sampled_from(
    [*"ab1.$()[]+-*/%<>=!,'\" ", "width", "sizes", "max(", "if ", "else ", "not ", "and ", "$width"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, max_size=40).map("".join))
def test_any_formula_is_worked_out_or_refused_at_a_place_inside_of_it(text: str) -> None:
    for inside in (False, True):
        try:
            substitute(Scalar(at(text), text, text, False), NAMES) if inside else value(text)
        except SpecError as e:
            for p in e.problems:
                assert p.place is not None and 6 <= p.place.column <= 6 + len(text) + 1
                assert p.wanted or p.hint
