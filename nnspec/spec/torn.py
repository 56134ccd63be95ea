"""Formulas that YAML tore apart: ``$(max(8, width))`` without quotes, in a list in brackets."""

from __future__ import annotations

import re

from nnspec.errors import Place, Problem, Source
from nnspec.records import dataclass
from nnspec.spec import edits
from nnspec.spec.grammar import MOST_CHARACTERS, closing

_PATH = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*|\[[^\[\]\n]*\])*")
START = re.compile(r"(?<!\$)(?:\$\$)*(\$)[A-Za-z_(]")


@dataclass(frozen=True)
class Torn:
    """A formula that YAML reads as several things, and the offset at which it ends."""

    problem: Problem
    end: int


def torn(source: Source, place: Place, start: int, end: int, flow: bool) -> Torn | None:
    """The formula in the unquoted scalar at ``start:end`` that goes on behind its end, if there is one."""
    text = source.text
    stop = len(text) if flow else (text.find("\n", end) + 1 or len(text))
    at = start
    while match := START.search(text, at, end):
        begin = match.start(1)
        finish = formula_end(text, begin, stop)
        if finish > end or (finish < 0 and flow):
            return whole(source, place, start, begin, finish)
        if finish < 0:
            return None
        at = max(finish, begin + 1)
    return None


def whole(source: Source, place: Place, start: int, begin: int, finish: int) -> Torn:
    """The formula that begins at ``begin``, within the text that begins at ``start``; -1 where it has no end."""
    text = source.text
    if finish < 0:
        shown = text[begin : begin + 40].split("\n")[0]
        hint = 'a formula with a comma or a bracket wants quotes: "$(max(8, width))"'
        return Torn(Problem("a formula's parenthesis is not closed", place, found=shown, wanted="')'", hint=hint, rule="torn-formula"), begin + 1)
    finish = next(
        i for i in range(finish, len(text) + 1) if i == len(text) or not (text[i].isalnum() or text[i] in "_-./")
    )
    start = start if finish - start <= MOST_CHARACTERS else begin
    flat = " ".join(text[start:finish].split())
    quoted = f'"{flat}"' if '"' not in flat else "'" + flat.replace("'", "''") + "'"
    found = text[start:finish].split("\n")[0]
    lines = (text[:start] + ".").splitlines()
    mend = edits.text(Place(source, len(lines), len(lines[-1])), text[start:finish], quoted)
    hint = f"quote the formula: {quoted}"
    return Torn(Problem("YAML has torn a formula apart", place, found=found, hint=hint, rule="torn-formula", edits=(mend,)), finish)


def formula_end(text: str, begin: int, stop: int) -> int:
    """The offset behind the formula whose dollar is at ``begin``, or -1 where its parenthesis is not closed."""
    if text.startswith("$(", begin):
        return closing(text, begin + 1, stop) + 1 or -1
    match = _PATH.match(text, begin)
    return match.end() if match else begin
