"""Patterns over the names of weights: ``features.*.`` is ``features.3.``, and ``stage_*/`` makes ``stage_3/`` of it.

Names are segments between ``/`` and ``.``. A star stands for one or more characters within one segment, as few as will do. A
pattern begins where the name begins and ends where a segment ends; what comes behind it stays. In what a name becomes, the
first star is what the first star stood for, and so on; ``*+1`` is that number plus one (PyTorch counts from 0, default names
from 1).
"""

from __future__ import annotations

import re
from functools import cached_property

from nnspec.records import dataclass

SEPARATORS = "/."
MOST_STARS, MOST_IN_A_SEGMENT = 8, 2  # so that no name takes long
_STAR = re.compile(r"\*(?:\+(\d{1,9}))?")


@dataclass(frozen=True)
class Pattern:
    """A pattern over names."""

    text: str

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        body = "([^/.]+?)".join(re.escape(part) for part in self.text.split("*"))
        return re.compile(body if self.text[-1:] in SEPARATORS or not self.text else rf"{body}(?=[/.]|\Z)")

    @property
    def stars(self) -> int:
        return self.text.count("*")

    def problem(self) -> str:
        """What is wrong with the pattern, or nothing."""
        if self.stars > MOST_STARS or any(part.count("*") > MOST_IN_A_SEGMENT for part in re.split("[/.]", self.text)):
            return f"more than {MOST_STARS} stars, or {MOST_IN_A_SEGMENT} in a segment"
        return ""

    def match(self, name: str) -> re.Match[str] | None:
        return self.compiled.match(name)


class NoNumberError(ValueError):
    """``*+1`` stands for something that is no number."""

    def __init__(self, rule: Rule, found: str) -> None:
        super().__init__(found)
        self.rule, self.found = rule, found


@dataclass(frozen=True)
class Rule:
    """``pattern -> becomes``; what becomes nothing is left out."""

    pattern: Pattern
    becomes: str | None

    def problem(self) -> str:
        """What is wrong with the rule as it stands, or nothing."""
        stars = (self.becomes or "").count("*")
        few = f"{stars} stars, where the pattern has {self.pattern.stars}" if stars > self.pattern.stars else ""
        return self.pattern.problem() or few

    def apply(self, name: str) -> str | None:
        """The new name, or None where the pattern does not match, or leaves it out. Raises NoNumberError where ``*+1`` is no number."""
        found = self.pattern.match(name)
        if found is None or self.becomes is None:
            return None
        parts = iter(found.groups())

        def star(m: re.Match[str]) -> str:
            part = next(parts)
            if m[1] is None:
                return part
            if not (part.isdecimal() and part.isascii() and len(part) < 10):
                raise NoNumberError(self, f"'{part[:40]}' of '{name[:100]}'")
            return str(int(part) + int(m[1]))

        return _STAR.sub(star, self.becomes) + name[found.end() :]


def rename(name: str, rules: tuple[Rule, ...], used: set[Rule]) -> str | None:
    """A name after every rule in order, each over what those before it made, or None: left out; ``used`` collects those that matched."""
    for rule in rules:
        if rule.pattern.match(name):
            used.add(rule)
            if rule.becomes is None:
                return None
            name = rule.apply(name) or ""
    return name
