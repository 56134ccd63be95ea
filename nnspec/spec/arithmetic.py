"""What the operators and functions of formulas do, and their limits: nothing here can run long or grow large."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

LARGEST = 2**63 - 1
LARGE = "a number has at most 64 bits, about 9.2e18; a fraction at most about 1.8e308"
MOST_VALUES = 10_000  # characters and entries in a text or list, those of lists inside included


class Wrong(ValueError):
    """An operation that cannot be done; the message says why, the hint what could be."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def binary(sign: str, a: Any, b: Any) -> Any:
    """``a + b`` and its kin; raises Wrong."""
    if sign == "+" and isinstance(a, str) and isinstance(b, str):
        return _sized(len(a) + len(b), lambda: a + b)
    if sign == "+" and isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return _sized(size(a) + size(b), lambda: (*a, *b))
    if sign == "*" and isinstance(a, (str, list, tuple)) and isinstance(b, int) and not isinstance(b, bool):
        return _sized(size(a) * b, lambda: (a if isinstance(a, str) else tuple(a)) * b)
    for x in (a, b):
        if x is None or isinstance(x, (bool, str, list, tuple, Mapping)):
            raise Wrong(
                f"'{sign}' cannot work on {kind(x)}",
                f"'{sign}' works on numbers" + (", and on two texts or lists" if sign == "+" else ""),
            )
    if not (_number(a) and _number(b)):
        return _symbolic(sign, a, b)
    if sign in ("/", "//", "%") and b == 0:
        raise Wrong("a division by zero", "ask first: a // b if b != 0 else 1")
    return number(_power(a, b) if sign == "**" else _BINARY[sign](a, b))


def unary(sign: str, a: Any) -> Any:
    """``-a``, ``+a`` and ``not a``; raises Wrong."""
    if sign == "not":
        return not truth(a, "'not'")
    if a is None or isinstance(a, (bool, str, list, tuple, Mapping)):
        raise Wrong(f"'{sign}' cannot work on {kind(a)}", f"'{sign}' works on numbers")
    return a if sign == "+" else number(-a) if _number(a) else -a


def compare(sign: str, a: Any, b: Any) -> bool:
    """``a < b`` and its kin; what depends on a symbolic length is refused. Raises Wrong."""
    if sign in ("==", "!="):
        equal = _same(a, b)
        return equal if sign == "==" else not equal
    if not (_number(a) and _number(b)) and not (isinstance(a, str) and isinstance(b, str)):
        _known(a, b)
        raise Wrong(f"'{sign}' cannot compare {kind(a)} with {kind(b)}", "compare two numbers or two texts")
    return bool(_ORDER[sign](a, b))


def truth(a: Any, where: str) -> bool:
    """A condition; only true and false are."""
    if not isinstance(a, bool):
        _known(a)
        raise Wrong(f"{where} wants true or false, not {kind(a)}", "compare it: x > 0")
    return a


def call(name: str, arguments: tuple[Any, ...]) -> Any:
    """A function of ``FUNCTIONS``; raises Wrong."""
    least, most, function = FUNCTIONS[name]
    if not least <= len(arguments) <= most:
        wanted = f"{least}" if least == most else f"at least {least}"
        raise Wrong(
            f"'{name}' wants {wanted} value{'s' if least > 1 else ''} and got {len(arguments)}",
            f"{name}(x)" if most == 1 else f"{name}(a, b), or {name} of a list",
        )
    return function(*arguments)


def size(value: Any) -> int:
    """Characters and entries, all levels together; counting stops soon behind the limit."""
    total, rest = 0, [value]
    while rest and total <= MOST_VALUES:
        item = rest.pop()
        if isinstance(item, (str, list, tuple, Mapping)):
            total += len(item)
        if isinstance(item, (list, tuple)):
            rest += [x for x in item[: MOST_VALUES + 1] if isinstance(x, (str, list, tuple, Mapping))]
        elif isinstance(item, Mapping):
            rest += item.values()
    return total


def number(value: Any) -> Any:
    """A result within 64 bits, or finite."""
    if isinstance(value, complex):
        raise Wrong("the result is no real number", "a negative number has whole powers only")
    if isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
        raise Wrong("the result is too large: it does not fit into 64 bits", LARGE)
    if isinstance(value, float) and not math.isfinite(value):
        raise Wrong("the result is no finite number", LARGE)
    return value


def kind(value: Any) -> str:
    """A value in words."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"a truth value ({'true' if value else 'false'})"
    if isinstance(value, (int, float)):
        return f"a number ({value})"
    if isinstance(value, str):
        return f"a text ({value[:30]!r})"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return "a group of names" if isinstance(value, Mapping) else f"the length '{value}' (not known yet)"


def _number(a: Any) -> bool:
    return isinstance(a, (int, float)) and not isinstance(a, bool)


def _simple(a: Any) -> bool:
    return (
        a is None
        or isinstance(a, (int, float, str, Mapping))
        or isinstance(a, (list, tuple))
        and all(_simple(x) for x in a)
    )


def _known(*values: Any) -> None:
    for a in values:
        if not _simple(a):
            what = "a list with a length that is not known yet" if isinstance(a, (list, tuple)) else kind(a)
            raise Wrong(
                f"{what} cannot be compared",
                "lengths that are not known yet can be added, multiplied and divided by //",
            )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    equal = bool(a == b)
    if not equal:
        _known(a, b)
    return equal


def _sized(result: int, make: Callable[[], Any]) -> Any:
    if result > MOST_VALUES:
        raise Wrong("the result is too long", f"at most {MOST_VALUES:,} values")
    return make()


def _power(a: Any, b: Any) -> Any:
    """``a ** b``, its size checked before it is computed."""
    if isinstance(a, int) and isinstance(b, int) and (abs(a).bit_length() - 1) * b > 64:
        raise Wrong("the result is too large: it does not fit into 64 bits", LARGE)
    if a == 0 and b < 0:
        raise Wrong("a division by zero", "ask first: a // b if b != 0 else 1")
    try:
        return a**b
    except OverflowError:
        raise Wrong("the result is too large", LARGE) from None


def _symbolic(sign: str, a: Any, b: Any) -> Any:
    """Arithmetic on a length that is not known yet."""
    try:
        result = _BINARY[sign](a, b)
    except (TypeError, ValueError, ArithmeticError, KeyError):
        what = kind(b if _number(a) else a)
        raise Wrong(f"'{sign}' cannot work on {what}", "lengths that are not known yet take + - * and //") from None
    if len(str(result)) > 1_000:
        raise Wrong("the result is too long", "name its parts under 'vars'")
    return result


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _real(name: str, a: Any) -> Any:
    if not _number(a):
        raise Wrong(f"'{name}' wants a number, not {kind(a)}", f"give '{name}' numbers only")
    return a


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def of(*values: Any) -> Any:
        items = list(values[0]) if len(values) == 1 and isinstance(values[0], (list, tuple)) else list(values)
        if not items:
            raise Wrong(f"'{name}' of an empty list", "give it at least one number")
        return choose([_real(name, x) for x in items])

    return of


def _to_whole(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def of(a: Any) -> Any:
        if not math.isfinite(_real(name, a)):
            raise Wrong(f"'{name}' of a number that is not finite", "give it a finite number")
        return number(function(a))

    return of


def _sqrt(a: Any) -> float:
    if _real("sqrt", a) < 0:
        raise Wrong("the square root of a negative number", "give it a number of at least 0")
    return math.sqrt(a)


def _log2(a: Any) -> float:
    if _real("log2", a) <= 0:
        raise Wrong("the logarithm of a number that is not positive", "give it a number above 0")
    return math.log2(a)


def _len(a: Any) -> int:
    if not isinstance(a, (str, list, tuple)):
        raise Wrong(f"'len' wants a list or a text, not {kind(a)}", "len(list)")
    return len(a)


FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "min": (1, 1_000, _extreme("min", min)),
    "max": (1, 1_000, _extreme("max", max)),
    "round": (1, 1, _to_whole("round", round)),
    "ceil": (1, 1, _to_whole("ceil", math.ceil)),
    "floor": (1, 1, _to_whole("floor", math.floor)),
    "abs": (1, 1, lambda a: number(abs(_real("abs", a)))),
    "len": (1, 1, _len),
    "sqrt": (1, 1, _sqrt),
    "log2": (1, 1, _log2),
}
