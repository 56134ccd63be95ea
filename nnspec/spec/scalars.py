"""What an unquoted word means in YAML 1.2's core schema: nothing, a truth value, a number, or else a text."""

from __future__ import annotations

import math
import re

LARGEST_INTEGER = 2**63 - 1
MOST_DIGITS = 20  # of an integer as written
MOST_CHARACTERS = 100  # of any other number as written

WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"0o([0-7]+)|0x([0-9a-fA-F]+)|([-+]?[0-9]+)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_ENDLESS = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def resolve(text: str) -> None | bool | int | float | str:
    """The value of an unquoted scalar; raises ValueError for a number that is too long or too large.

    >>> resolve("1e-3"), resolve("0x1F"), resolve("no"), resolve("12:30:00")
    (0.001, 31, 'no', '12:30:00')
    """
    if text in WORDS:
        return WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if match := _INTEGER.fullmatch(text):
        return _integer(*match.groups())
    if _FLOAT.fullmatch(text):
        return _float(text)
    if match := _ENDLESS.fullmatch(text):
        return math.nan if text.lower() == ".nan" else -math.inf if match[1] == "-" else math.inf
    return text


def _integer(octal: str | None, hexadecimal: str | None, decimal: str | None) -> int:
    digits = octal or hexadecimal or decimal or ""
    if len(digits.lstrip("+-")) > MOST_DIGITS:
        raise ValueError(f"a whole number of more than {MOST_DIGITS} digits")
    value = int(digits, 8 if octal else 16 if hexadecimal else 10)
    if not -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER:
        raise ValueError("a whole number that does not fit into 64 bits")
    return value


def _float(text: str) -> float:
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"a number of more than {MOST_CHARACTERS} characters")
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number that is too large")
    return value
