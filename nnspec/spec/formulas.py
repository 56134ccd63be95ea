"""Formulas in a spec: ``$name`` and ``$(expression)``, as whole scalars or inside a text, become values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from nnspec.errors import Place, Problem, SpecError, nearest, one_of
from nnspec.spec import expressions, grammar
from nnspec.spec.arithmetic import FUNCTIONS, MOST_VALUES, Wrong, binary, call, compare, kind, size, truth, unary
from nnspec.spec.expressions import Expression
from nnspec.spec.grammar import closing, parse, within
from nnspec.spec.nodes import MOST_NODES, Node, Scalar, Sequence, literal, spelled
from nnspec.spec.nodes import Mapping as MappingNode

MOST_PROBLEMS = 100

__all__ = ["Expression", "Watched", "evaluate", "is_formula", "parse", "substitute"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BROKEN = object()  # the value of a name whose own formula is wrong: what reads it says no more
Names = Mapping[str, object]
Spots = Callable[[int], Place]


class Watched(dict[str, object]):
    """Names for formulas that note which of them are ``read``."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> object:
        self.read.add(name)
        return super().__getitem__(name)


def is_formula(node: Node) -> bool:
    """Whether a node is a text with a dollar in it."""
    return isinstance(node, Scalar) and isinstance(node.value, str) and "$" in node.value


def evaluate(text: str, place: Place, names: Names) -> Any:
    """The value of a formula without its dollar: ``3 * width``.

    ``place`` is where its first character stands; ``names`` hold numbers, truth values, texts, None, lists, symbolic
    lengths, and mappings for dotted names. Whole numbers stay within 64 bits, texts and lists within 10,000 values,
    formulas within 1,000 characters and 32 levels. Raises SpecError.
    """
    return _Evaluator(text, place, names).value(parse(text, place))


def substitute(node: Node, names: Names) -> Node:
    """The tree with every formula worked out, places kept; nodes without one stay the same objects.

    A scalar that is one formula becomes its value, lists and mappings too; in a longer text the value is written out;
    ``$$`` is a dollar. Raises one SpecError with every problem.
    """
    work = _Substitution(names)
    result = work.node(node)
    if work.problems or work.broken:
        raise SpecError(*work.problems)
    return result


class _Substitution:
    """One walk over a tree. What formulas make is counted: many small ones could make one very large tree."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.problems: list[Problem] = []
        self.done: dict[int, Node] = {}  # nodes that aliases share are worked out once
        self.made = 0
        self.broken = False  # a formula failed, for a reason that has been told

    def node(self, node: Node) -> Node:
        if id(node) not in self.done:
            self.done[id(node)] = self._node(node)
        return self.done[id(node)]

    def _node(self, node: Node) -> Node:
        if isinstance(node, Sequence):
            items = [self.node(item) for item in node.items]
            same = all(a is b for a, b in zip(items, node.items, strict=True))
            return node if same else Sequence(node.place, items, node.flow)
        if isinstance(node, MappingNode):
            pairs = {key: self.node(value) for key, value in node.pairs.items()}
            same = all(value is node.pairs[key] for key, value in pairs.items())
            return node if same else MappingNode(node.place, pairs, node.keys, node.flow)
        if (
            not isinstance(node, Scalar)
            or not isinstance(node.value, str)
            or "$" not in node.value
            or len(self.problems) >= MOST_PROBLEMS
        ):
            return node
        try:
            return self.scalar(node, node.value)
        except SpecError as e:
            self.problems += e.problems
            self.broken = True
            return node

    def scalar(self, node: Scalar, text: str) -> Node:
        place = start(node)
        parts = _parts(text, place, self.names)
        values = [p for p in parts if not (isinstance(p, str) and not p.strip())]
        if len(values) == 1 and isinstance(values[0], _Value):
            value = values[0].value
            self.count(size(value), node.place)
            return literal(value, node.place)
        written = "".join(p if isinstance(p, str) else p.written() for p in parts)
        self.count(len(written) // 10, node.place)
        return Scalar(node.place, written, written, node.quoted)

    def count(self, size: int, place: Place) -> None:
        self.made += 1 + size
        if self.made > MOST_NODES:
            raise SpecError(
                Problem(
                    "the formulas of this spec make too many values",
                    place,
                    wanted=f"at most {MOST_NODES:,}",
                    rule="too-large",
                )
            )


def inline(node: Scalar, names: Names) -> Scalar:
    """A text of another language with the formulas inside it worked out: what binds less than a name does stands in parentheses."""
    text = str(node.value)
    if "$" not in text:
        return node
    place = start(node)
    parts = [p for p in _parts(text, place, names) if not isinstance(p, str) or p]
    alone = len(parts) == 1
    written = "".join(p if isinstance(p, str) else _inlined(p, alone) for p in parts)
    return Scalar(node.place, written, written, node.quoted)


def _inlined(part: _Value, alone: bool) -> str:
    value = part.value
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inlined(_Value(v, part.place), True) for v in value) + "]"
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise SpecError(Problem(f"{kind(value)} cannot stand inside this text", part.place, wanted="a number or a text", rule="formula"))
    text = part.written()
    return text if alone or text.isidentifier() or (isinstance(value, (int, float)) and value >= 0) else f"({text})"


def start(node: Scalar) -> Place:
    """Where a scalar's first character stands: behind its quote, if it has one."""
    place = node.place
    quote = place.source.line(place.line)[place.column - 1 : place.column]
    return Place(place.source, place.line, place.column + 1) if node.quoted and quote in ("'", '"') else place


class _Value:
    """What a formula inside a text stands for."""

    def __init__(self, value: Any, place: Place) -> None:
        self.value, self.place = value, place

    def written(self) -> str:
        if isinstance(self.value, (list, tuple, Mapping)):
            raise SpecError(
                Problem(
                    f"{kind(self.value)} cannot stand inside a text",
                    self.place,
                    hint="let the formula be the whole value",
                    rule="formula",
                )
            )
        return spelled(self.value)


def _spots(text: str, place: Place) -> Spots:
    """Where the characters of a scalar stand; they are compared with the source once, for a scalar may be long."""
    written = place.source.line(place.line).startswith(text, place.column - 1)
    return lambda offset: Place(place.source, place.line, place.column + offset) if written else place


def _parts(text: str, place: Place, names: Names) -> list[str | _Value]:
    """The texts and values that a scalar consists of."""
    parts: list[str | _Value] = []
    spots = _spots(text, place)
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        here = spots(dollar)
        match = _NAME.match(text, dollar + 1)
        if text.startswith("$$", dollar):
            parts.append("$")
            at = dollar + 2
        elif text.startswith("$(", dollar):
            end = closing(text, dollar + 1)
            if end < 0:
                raise SpecError(_unclosed(text[dollar:], here))
            inside = text[dollar + 2 : end]
            parts.append(_Value(evaluate(inside, spots(dollar + 2), names), here))
            at = end + 1
        elif match:
            value, at = _path(text, match.end(), match[0], place, spots, names)
            parts.append(_Value(value, here))
        else:
            raise SpecError(
                Problem(
                    "'$' begins a formula",
                    here,
                    found=text[dollar : dollar + 20],
                    wanted="$name or $(expression)",
                    hint="write $$ for a dollar",
                    rule="formula",
                )
            )
    return [*parts, text[at:]]


def _unclosed(text: str, place: Place) -> Problem:
    if len(text) > grammar.MOST_CHARACTERS + 3:
        return Problem(
            "a formula is too long, or its parenthesis is not closed",
            place,
            wanted=f"at most {grammar.MOST_CHARACTERS:,} characters",
            rule="formula",
        )
    return Problem("a formula's parenthesis is not closed", place, found=text[:60], wanted="')'", rule="formula")


def _path(text: str, at: int, name: str, place: Place, spots: Spots, names: Names) -> tuple[Any, int]:
    """The value of ``$name.part[0]`` and where it ends.

    A dot or bracket belongs to it while there is something to enter.
    """
    work = _Evaluator(text, place, names)
    value = work.value(expressions.Name(name, at=at - len(name)))
    while at < len(text):
        match = _NAME.match(text, at + 1)
        if isinstance(value, Mapping) and text[at] == "." and match:
            value = work.member(value, match[0], at + 1)
            at = match.end()
        elif isinstance(value, (Mapping, list, tuple)) and text[at] == "[" and (end := text.find("]", at)) > 0:
            value = work.entry(value, evaluate(text[at + 1 : end], spots(at + 1), names), at)
            at = end + 1
        else:
            break
    return value, at


class _Evaluator:
    """Works out one formula. A formula has no more parts than characters, so this always ends soon."""

    def __init__(self, text: str, place: Place, names: Names) -> None:
        self.text, self.place, self.names = text, place, names

    def value(self, e: Expression) -> Any:
        match e:
            case expressions.Number() | expressions.String() | expressions.Constant():
                return e.value
            case expressions.Name():
                return self.name(e)
            case expressions.ListLiteral():
                return self.attempt(e.at, _limited, tuple(self.value(item) for item in e.items))
            case expressions.Attribute():
                return self.member(self.value(e.of), e.name, e.at)
            case expressions.Index():
                return self.entry(self.value(e.of), self.value(e.index), e.at)
            case expressions.Call():
                return self.call(e)
            case expressions.Unary():
                return self.attempt(e.at, unary, e.operator, self.value(e.operand))
            case expressions.Binary(operator="and" | "or"):
                left = self.attempt(e.at, truth, self.value(e.left), f"'{e.operator}'")
                if left == (e.operator == "or"):
                    return left
                return self.attempt(e.at, truth, self.value(e.right), f"'{e.operator}'")
            case expressions.Binary():
                return self.attempt(e.at, binary, e.operator, self.value(e.left), self.value(e.right))
            case expressions.Compare():
                return self.compare(e)
            case expressions.Conditional():
                chosen = self.attempt(e.condition.at, truth, self.value(e.condition), "'if'")
                return self.value(e.value if chosen else e.other)
        raise TypeError(type(e).__name__)

    def error(
        self, message: str, at: int, found: str = "", wanted: str = "", hint: str = "", rule: str = "formula"
    ) -> SpecError:
        return SpecError(
            Problem(message, within(self.place, self.text, at), found=found, wanted=wanted, hint=hint, rule=rule)
        )

    def attempt(self, at: int, work: Callable[..., Any], *values: Any) -> Any:
        try:
            return work(*values)
        except Wrong as e:
            found = self.text.strip()
            raise self.error(str(e), at, found=found if len(found) <= 80 else found[:77] + "…", hint=e.hint) from None

    def name(self, e: expressions.Name) -> Any:
        if e.name in self.names:
            value = self.names[e.name]
            if value is BROKEN:
                raise SpecError()
            return value
        if e.name in FUNCTIONS:
            raise self.error(f"'{e.name}' is a function", e.at, wanted=f"{e.name}(…)")
        raise self.unknown(f"nothing is called '{e.name}' here", e.name, list(self.names), e.at)

    def unknown(self, message: str, word: str, known: list[str], at: int) -> SpecError:
        joined = max((k for k in known if word.startswith(k)), key=len, default="")
        hint = nearest(word, [*grammar.CONSTANTS, *known[:500]])
        if not hint and joined and self.text[at - 1 : at] == "$":
            hint = f"if text follows a name, write $({joined}){word[len(joined) :]}"
        return self.error(
            message, at, wanted=one_of(known) if known else "no names are known here", hint=hint, rule="unknown-name"
        )

    def member(self, value: Any, name: str, at: int) -> Any:
        if not isinstance(value, Mapping):
            raise self.error(
                f"'.{name}' of {kind(value)}", at, hint="only groups such as 'input' and 'data' have parts"
            )
        if name not in value:
            raise self.unknown(f"there is no '{name}' here", name, [str(k) for k in value], at)
        return value[name]

    def entry(self, value: Any, index: Any, at: int) -> Any:
        if isinstance(value, Mapping) and isinstance(index, str):
            return self.member(value, index, at)
        if not isinstance(value, (list, tuple, str)):
            raise self.error(f"'[…]' of {kind(value)}", at, wanted="a list")
        if isinstance(index, bool) or not isinstance(index, int):
            raise self.error(f"{kind(index)} as an index", at, wanted="a whole number")
        if not -len(value) <= index < len(value):
            raise self.error(
                f"index {index} is outside of {kind(value)}",
                at,
                wanted=f"0 to {len(value) - 1}, or -{len(value)} to -1" if value else "a list that is not empty",
            )
        return value[index]

    def call(self, e: expressions.Call) -> Any:
        if e.function not in FUNCTIONS:
            raise self.error(
                f"there is no function '{e.function}' in formulas",
                e.at,
                wanted=f"one of {', '.join(FUNCTIONS)}",
                hint=nearest(e.function, FUNCTIONS),
                rule="unknown-name",
            )
        if e.keywords:
            raise self.error(
                f"'{e.function}' takes no '{e.keywords[0][0]}='",
                e.keywords[0][1].at,
                wanted=f"{e.function}(…) of numbers",
            )
        return self.attempt(e.at, call, e.function, tuple(self.value(a) for a in e.arguments))

    def compare(self, e: expressions.Compare) -> bool:
        left = self.value(e.first)
        for sign, right_part in zip(e.operators, e.rest, strict=True):
            right = self.value(right_part)
            if not self.attempt(e.at, compare, sign, left, right):
                return False
            left = right
        return True


def _limited(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if size(items) > MOST_VALUES:
        raise Wrong("a list is too long", f"at most {MOST_VALUES:,} values")
    return items
