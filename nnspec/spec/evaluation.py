"""The value of one formula, worked out over names; it holds no Python and always ends soon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nnspec.errors import Place, Problem, SpecError, nearest, one_of
from nnspec.spec import expressions, grammar
from nnspec.spec.arithmetic import FUNCTIONS, MOST_VALUES, Wrong, binary, call, compare, kind, size, truth, unary
from nnspec.spec.expressions import Expression
from nnspec.spec.grammar import parse, within

BROKEN = object()  # the value of a name whose own formula is wrong: what reads it says no more
Names = Mapping[str, object]


def evaluate(text: str, place: Place, names: Names) -> Any:
    """The value of a formula without its dollar: ``3 * width``.

    ``place`` is where its first character stands; ``names`` hold numbers, truth values, texts, None, lists, symbolic
    lengths, and mappings for dotted names. Whole numbers stay within 64 bits, texts and lists within 10,000 values,
    formulas within 1,000 characters and 32 levels. Raises SpecError.
    """
    return Evaluator(text, place, names).value(parse(text, place))


class Evaluator:
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
