"""What is no error and yet a mistake: numbered rules over a spec that has been read and built."""

from __future__ import annotations

from nnspec.compiler import Spec
from nnspec.errors import Problem, SpecError
from nnspec.lint.rule import Rule
from nnspec.lint.rules import RULES
from nnspec.lint.silences import Silences, comments, sources
from nnspec.lint.view import View

__all__ = ["RULES", "Rule", "lint", "silenced"]


def lint(spec: Spec) -> list[Problem]:
    """Every warning about a spec, in the order of its lines; those that the spec silences are left out.

    Raises SpecError where a silence names no rule or gives no reason.
    """
    heard, silences = _heard(spec)
    return sorted([*heard, *silences.idle()], key=_order)


def silenced(spec: Spec) -> str:
    """The silences that a spec needs, of its own file and of those it includes, as comments above the first key of its canonical spelling."""
    try:
        if not any(comments(source.text) for source in sources(spec)):
            return ""
        _, silences = _heard(spec)
    except SpecError:
        return ""  # a silence without a reason is told by check
    return "".join(f"# nnspec: {rule} {reason}\n" for rule, reason in silences.needed())


def _heard(spec: Spec) -> tuple[list[Problem], Silences]:
    """What is not silenced, and the silences, which know by then what they were needed for."""
    silences = Silences.of(spec, {rule.number for rule in RULES.values()})
    view = View(spec)
    found: dict[tuple[object, ...], Problem] = {}
    for rule in RULES.values():
        for problem in rule().find(view):
            place = problem.place
            key = (rule.number, place.file, place.line, place.column) if place else (rule.number, problem.message)
            found.setdefault(key, problem)  # once for each place, however often its block is called
    return [p for p in found.values() if not silences.covers(p)], silences


def _order(problem: Problem) -> tuple[str, int, int, str]:
    place = problem.place
    return (place.file, place.line, place.column, problem.rule) if place else ("", 0, 0, problem.rule)
