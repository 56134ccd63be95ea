"""``vars``: names for formulas, each of which may use those above it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nnspec.errors import Place, Problem, SpecError
from nnspec.spec.explain import describe
from nnspec.spec.formulas import BROKEN, substitute
from nnspec.spec.grammar import RESERVED as WORDS
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, plain

RESERVED = ("input", "data", "i")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def formula_name(name: str, place: Place, what: str, reserved: tuple[str, ...] = RESERVED) -> list[Problem]:
    """A problem where no formula can read ``name``, or where it means something else there."""
    if name in reserved or name in WORDS:
        return [Problem(f"'{name}' means something else in formulas", place, wanted="another name", rule="bad-name")]
    if NAME.fullmatch(name) and len(name) <= 100:
        return []
    hint = f"in a formula '-' is minus: {name.replace('-', '_')[:60]}" if "-" in name else ""
    return [Problem(f"'{name[:60]}' cannot be the name of a{'n' * (what[0] in 'aeiou')} {what}", place,
                    wanted="a letter or _, then letters, digits and _; at most 100", hint=hint, rule="bad-name")]  # fmt: skip


def variables(node: Node | None, names: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The values of ``vars``; problems are added to the list."""
    values: dict[str, Any] = {}
    if node is None:
        return values
    if not isinstance(node, MappingNode):
        problems.append(Problem("'vars' does not fit", node.place, found=describe(node), wanted="{width: 6}", rule="bad-value"))
        return values
    for name, value in node.pairs.items():
        problems += formula_name(name, node.keys[name], "variable")
        try:
            values[name] = plain(substitute(value, {**names, **values}))
        except SpecError as e:
            problems += [_below(p, name, node) for p in e.problems]
            values[name] = BROKEN
    return values


def _below(problem: Problem, name: str, node: MappingNode) -> Problem:
    """A formula that reads what stands further down, or itself."""
    later = list(node.pairs)[list(node.pairs).index(name) :]
    word = next((k for k in later if problem.message == f"nothing is called '{k}' here"), None)
    if word is None:
        return problem
    return replace(problem, wanted="variables above it", hint="this would be a cycle" if word == name else f"move '{word}' above '{name}'")
