"""``vars``: names for formulas, each of which may use those above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnspec.errors import Problem, SpecError
from nnspec.spec.explain import describe
from nnspec.spec.formulas import substitute
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, plain
from nnspec.spec.words import name_problem

RESERVED = ("input", "data", "i")


def variables(node: Node | None, names: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The values of ``vars``; problems are added to the list."""
    values: dict[str, Any] = {}
    if node is None:
        return values
    if not isinstance(node, MappingNode):
        problems.append(Problem("'vars' does not fit", node.place, found=describe(node), wanted="{width: 6}", rule="bad-value"))
        return values
    for name, value in node.pairs.items():
        problems += name_problem(name, node.keys[name], "variable")
        if name in RESERVED:
            problems.append(Problem(f"'{name}' means something else in formulas", node.keys[name], wanted="another name", rule="bad-name"))
        try:
            values[name] = plain(substitute(value, {**names, **values}))
        except SpecError as e:
            problems += e.problems
    return values
