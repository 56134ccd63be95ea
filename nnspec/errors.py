"""What a user is told when something is wrong: where, found, wanted, hint, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import ClassVar

from nnspec.records import dataclass, field

LIMIT = 20  # problems shown at once
COMPARED = 2000  # known words that are compared with one that is not: of a million files it would take minutes


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A text that places point into: a file, or a value given by ``--set``."""

    name: str
    text: str
    lines: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", tuple(self.text.splitlines()))

    def line(self, number: int) -> str:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a source; line and column count from 1."""

    source: Source
    line: int = 1
    column: int = 1

    @property
    def file(self) -> str:
        return self.source.name

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a spec's text that mends a problem, told by the place of a word; ``nnspec.spec.edits`` makes them, and ``rewrite`` applies them.

    ``kind`` is a key of ``patches.WAYS``, or ``text``; ``old`` is what must stand there, else nothing is changed.
    """

    place: Place
    kind: str
    text: str = ""
    key: str = ""
    old: str = ""
    primary: str = ""
    says: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    ``message`` says what, ``found`` and ``wanted`` show both sides, ``hint`` is what to do; ``rule`` is a
    short stable word (``unknown-key``) for tools. ``edits`` together mend it, where it is beyond doubt what was meant.
    """

    message: str
    place: Place | None = None
    found: str = ""
    wanted: str = ""
    hint: str = ""
    rule: str = "spec"
    edits: tuple[Edit, ...] = ()

    @property
    def numbered(self) -> bool:
        """Whether its rule is a number, which ``nnspec rule`` explains."""
        return len(self.rule) == 5 and self.rule[:2] == "NN" and self.rule[2:].isdigit()

    def render(self, kind: str = "") -> str:
        """The problem as a person reads it, with its rule's number, the line it is about and a caret; ``kind`` says what it is, if no error."""
        head = " ".join(part for part in (f"{self.place}:" if self.place else "", kind, self.rule if self.numbered else "", self.message) if part)
        parts = [head, *self._excerpt()]
        for label, text in (("found", self.found), ("wanted", self.wanted), ("hint", self.hint)):
            if text:
                parts.append(f"   {label:<6}  {text}")
        return "\n".join(printable(part) for part in parts)

    def _excerpt(self) -> list[str]:
        if self.place is None:
            return []
        line = self.place.source.line(self.place.line)
        if not line.strip():
            return []
        start = max(0, self.place.column - 61)
        shown = line[start : start + 100]
        return [f"   | {shown}", f"   | {' ' * (self.place.column - 1 - start)}^"]


def printable(text: str) -> str:
    """Control characters escaped, so that a stranger's file cannot drive a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


class NnspecError(Exception):
    """The only exception a user sees; ``status`` is the command's exit status."""

    status: ClassVar[int] = 2

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(p if isinstance(p, Problem) else Problem(p) for p in problems)
        super().__init__(self.render())

    def render(self) -> str:
        shown = [p.render() for p in self.problems[:LIMIT]]
        if len(self.problems) > LIMIT:
            shown.append(f"… and {len(self.problems) - LIMIT} more")
        return "\n".join(shown)


class SpecError(NnspecError):
    """The spec, or a call, is wrong."""


class DataError(NnspecError):
    """A data or model file is wrong."""

    status = 3


class NumbersError(NnspecError):
    """A step would have made the weights NaN or infinite; it was not taken."""

    status = 4


class ResourceError(NnspecError):
    """Memory, disk or a run folder cannot be had."""

    status = 5


class MissingExtraError(NnspecError):
    """Something optional is not installed; the hint names the line that installs it."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'kernel'?`` for the closest known word, or nothing."""
    close = _closest(word[:100], tuple(islice(known, COMPARED)))
    return f"did you mean '{close}'?" if close else ""


@lru_cache(maxsize=512)  # one wrong word may stand in hundreds of entries
def _closest(word: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, known, n=1, cutoff=0.6)), "")


def one_of(known: Iterable[str], limit: int = 12) -> str:
    """``one of a, b, c`` shortened to something a person will read."""
    words = sorted(known)
    return f"one of {', '.join(words[:limit])}{', …' if len(words) > limit else ''}"
