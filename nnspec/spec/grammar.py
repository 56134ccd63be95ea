"""The grammar of formulas: text becomes a tree of expressions; nothing is evaluated here."""

from __future__ import annotations

import re

from nnspec.errors import Place, Problem, SpecError
from nnspec.records import dataclass
from nnspec.spec.expressions import (
    Attribute,
    Binary,
    Call,
    Compare,
    Conditional,
    Constant,
    Expression,
    Index,
    ListLiteral,
    Name,
    Number,
    String,
    Unary,
    children,
)

MOST_CHARACTERS = 1_000  # of one formula; so it has at most as many parts
MOST_LEVELS = 32  # of a formula's tree
LARGEST_INTEGER = 2**63 - 1


COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_NOT, _COMPARE, _SIGN, _POWER = 3, 4, 7, 8
STRENGTH = {
    "or": 1,
    "and": 2,
    **dict.fromkeys(COMPARISONS, _COMPARE),
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "//": 6,
    "%": 6,
    "**": _POWER,
}
CONSTANTS = {"true": True, "false": False, "null": None}
RESERVED = ("and", "or", "not", "if", "else", *CONSTANTS)

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<string>'[^']*'|"[^"]*")|(?P<mark>\*\*|//|[<>=!]=|[-+*/%()<>\[\],.=])""",
    re.VERBOSE,
)
PARTS = "formulas have numbers, names, + - * / // % **, comparisons, 'and or not', 'a if c else b', lists and functions"
_FOREIGN = {
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not'",
    "?": "write 'a if condition else b'",
    "^": "write '**' for a power",
    "$": "names stand without '$' here",
    "'": "the quote is not closed",
    '"': "the quote is not closed",
    "×": "write '*'",
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, name, word (reserved), string, mark or end
    text: str
    at: int


def parse(text: str, place: Place) -> Expression:
    """The tree of a formula without its dollar. ``place`` is where its first character stands; raises SpecError."""
    if len(text) > MOST_CHARACTERS:
        raise SpecError(
            Problem(
                "a formula is too long",
                place,
                found=f"{len(text):,} characters",
                wanted=f"at most {MOST_CHARACTERS:,}",
                hint="name its parts under 'vars'",
                rule="formula",
            )
        )
    parser = _Parser(text, place)
    tree = parser.whole()
    _check_depth(tree, text, place)
    return tree


def within(place: Place, text: str, offset: int) -> Place:
    """Where a character of ``text`` stands; ``place`` itself where the source spells the text in another way."""
    written = place.source.line(place.line).startswith(text, place.column - 1)
    return Place(place.source, place.line, place.column + offset) if written else place


def closing(text: str, opening: int, stop: int | None = None) -> int:
    """The index (before ``stop``) of the parenthesis that closes the one at ``opening``, or -1; quotes are skipped."""
    depth, quote = 0, ""
    for i in range(opening, min(len(text) if stop is None else stop, opening + MOST_CHARACTERS + 2)):
        c = text[i]
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "()":
            depth += 1 if c == "(" else -1
            if depth == 0:
                return i
    return -1


def _check_depth(tree: Expression, text: str, place: Place) -> None:
    level = [tree]
    for _ in range(MOST_LEVELS):
        level = [part for e in level for part in children(e)]
    if level:
        raise _too_deep(place, text, level[0].at)


def _too_deep(place: Place, text: str, at: int) -> SpecError:
    return SpecError(
        Problem(
            "a formula is nested too deeply",
            within(place, text, at),
            wanted=f"at most {MOST_LEVELS} levels",
            hint="name its parts under 'vars'",
            rule="formula",
        )
    )


class _Parser:
    """Pratt's method: each operator has a strength, and an operand takes what binds stronger than its left side."""

    def __init__(self, text: str, place: Place) -> None:
        self.text, self.place, self.depth, self.position = text, place, 0, 0
        self.tokens = self._tokens()

    def _tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                c = self.text[at]
                raise self.error(f"a formula cannot be read at {c!r}", at, hint=_FOREIGN.get(c, PARTS))
            kind = match.lastgroup or ""
            if kind != "space":
                tokens.append(_Token("word" if kind == "name" and match[0] in RESERVED else kind, match[0], at))
            at = match.end()
        return [*tokens, _Token("end", "", len(self.text))]

    def error(self, message: str, at: int, wanted: str = "", hint: str = "") -> SpecError:
        return SpecError(
            Problem(
                message,
                within(self.place, self.text, at),
                found=self.text if len(self.text) <= 80 else self.text[:77] + "…",
                wanted=wanted,
                hint=hint,
                rule="formula",
            )
        )

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def next(self) -> _Token:
        token = self.token
        self.position = min(self.position + 1, len(self.tokens) - 1)
        return token

    def take(self, text: str) -> bool:
        if self.token.text != text or self.token.kind not in ("mark", "word"):
            return False
        self.next()
        return True

    def want(self, text: str, for_what: str) -> None:
        if not self.take(text):
            raise self.unexpected(f"'{text}' {for_what}")

    def unexpected(self, wanted: str) -> SpecError:
        token = self.token
        if token.kind == "end":
            return self.error(
                "a formula ends too early" if self.text.strip() else "a formula is empty", token.at, wanted
            )
        hint = "write '==' to compare" if token.text == "=" else ""
        return self.error(f"unexpected '{token.text}' in a formula", token.at, wanted, hint)

    def whole(self) -> Expression:
        tree = self.expression()
        if self.token.kind != "end":
            raise self.unexpected("an operator, or the end")
        return tree

    def expression(self) -> Expression:
        value = self.operation(0)
        if self.take("if"):
            condition = self.operation(0)
            self.want("else", "and what holds otherwise")
            value = Conditional(value, condition, self.expression(), at=value.at)
        return value

    def operation(self, least: int) -> Expression:
        """An operand and every operator after it that binds stronger than ``least``."""
        self.depth += 1
        if self.depth > MOST_LEVELS + 1:
            raise _too_deep(self.place, self.text, self.token.at)
        left = self.operand(least)
        while (strength := STRENGTH.get(self.token.text, 0)) > least and self.token.kind in ("mark", "word"):
            if strength == _COMPARE:
                left = self.comparison(left)
                continue
            operator = self.next()
            right = self.operation(_SIGN if strength == _POWER else strength)
            left = Binary(operator.text, left, right, at=operator.at)
        self.depth -= 1
        return left

    def comparison(self, first: Expression) -> Expression:
        operators: list[str] = []
        rest: list[Expression] = []
        at = self.token.at
        while self.token.text in COMPARISONS and self.token.kind == "mark":
            operators.append(self.next().text)
            rest.append(self.operation(_COMPARE))
        return Compare(first, tuple(operators), tuple(rest), at=at)

    def operand(self, least: int) -> Expression:
        at = self.token.at
        if least < _NOT and self.take("not"):
            return Unary("not", self.operation(_NOT - 1), at=at)
        if self.token.kind == "mark" and self.token.text in "+-":
            return Unary(self.next().text, self.operation(_SIGN - 1), at=at)
        return self.postfix(self.atom())

    def postfix(self, e: Expression) -> Expression:
        """``.name`` and ``[index]`` after an atom, as often as they come."""
        while True:
            at = self.token.at
            if self.take("."):
                if self.token.kind not in ("name", "word"):
                    raise self.unexpected("a name after '.'")
                e = Attribute(e, self.next().text, at=at + 1)
            elif self.take("["):
                index = self.expression()
                self.want("]", "after the index")
                e = Index(e, index, at=at)
            else:
                return e

    def atom(self) -> Expression:
        token = self.token
        if token.kind == "number":
            return Number(self.number(self.next()), at=token.at)
        if token.kind == "string":
            return String(self.next().text[1:-1], at=token.at)
        if token.kind == "word" and token.text in CONSTANTS:
            return Constant(CONSTANTS[self.next().text], at=token.at)
        if token.kind == "name":
            name = self.next().text
            return self.call(name, token.at) if self.take("(") else Name(name, at=token.at)
        if self.take("("):
            e = self.expression()
            self.want(")", "to close the parenthesis")
            return e
        if self.take("["):
            items: list[Expression] = []
            while not self.take("]"):
                items.append(self.item(bool(items), "]"))
            return ListLiteral(tuple(items), at=token.at)
        raise self.unexpected("a number, a name or a parenthesis")

    def item(self, further: bool, end: str) -> Expression:
        if further and not self.take(","):
            raise self.unexpected(f"',' or '{end}'")
        return self.expression()

    def call(self, name: str, at: int) -> Expression:
        arguments: list[Expression] = []
        keywords: list[tuple[str, Expression]] = []
        while not self.take(")"):
            if (arguments or keywords) and not self.take(","):
                raise self.unexpected("',' or ')'")
            key, after = self.token, self.tokens[min(self.position + 1, len(self.tokens) - 1)]
            if key.kind == "name" and after.text == "=" and after.kind == "mark":
                self.position += 2
                keywords.append((key.text, self.expression()))
            elif keywords:
                raise self.unexpected("key=value, as the one before")
            else:
                arguments.append(self.expression())
        return Call(name, tuple(arguments), tuple(keywords), at=at)

    def number(self, token: _Token) -> int | float:
        if self.token.kind in ("name", "number", "word") and self.token.at == token.at + len(token.text):
            raise self.error(
                f"'{token.text}{self.token.text}' is not a number",
                token.at,
                "a number, or a name that begins with a letter",
            )
        if token.text.isdigit():
            value = int(token.text) if len(token.text) <= 20 else LARGEST_INTEGER + 1
            if value > LARGEST_INTEGER:
                raise self.error("a number in a formula is too large", token.at, "at most 64 bits")
            return value
        number = float(token.text)
        if number == float("inf"):
            raise self.error("a number in a formula is too large", token.at, "at most about 1.8e308")
        return number
