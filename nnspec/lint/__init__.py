"""What is no error and yet a mistake: numbered rules over a spec that has been read and built."""

from __future__ import annotations

from nnspec.compiler import Spec
from nnspec.errors import Problem
from nnspec.lint.rule import Rule
from nnspec.lint.rules import RULES
from nnspec.lint.silences import Silences
from nnspec.lint.view import View

__all__ = ["RULES", "Rule", "lint"]


def lint(spec: Spec) -> list[Problem]:
    """Every warning about a spec, in the order of its lines; those that the spec silences are left out.

    Raises SpecError where a silence names no rule or gives no reason.
    """
    silences = Silences.of(spec, {rule.number for rule in RULES.values()})
    view = View(spec)
    found: dict[tuple[object, ...], Problem] = {}
    for rule in RULES.values():
        for problem in rule().find(view):
            place = problem.place
            key = (rule.number, place.file, place.line, place.column) if place else (rule.number, problem.message)
            found.setdefault(key, problem)  # once for each place, however often its block is called
    heard = [p for p in found.values() if not silences.covers(p)]
    return sorted([*heard, *silences.idle()], key=_order)


def _order(problem: Problem) -> tuple[str, int, int, str]:
    place = problem.place
    return (place.file, place.line, place.column, problem.rule) if place else ("", 0, 0, problem.rule)
