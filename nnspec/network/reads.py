"""Which ports the names in a formula over tensors stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnspec.errors import Place, Problem, SpecError, nearest, one_of
from nnspec.network.graph import Port
from nnspec.network.scope import Scope
from nnspec.spec.formulas import inline, start
from nnspec.spec.grammar import within
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence
from nnspec.spec.tensor_formulas import FUNCTIONS, names_of, read

ENTRY = "x"  # the entry's own input


Read = tuple[MappingNode, tuple[Port, ...]]


def reads(fields: MappingNode, source: Node | None, current: tuple[Port, ...], scope: Scope, env: Mapping[str, Any]) -> Read:
    """The fields with their formula worked out, and the port of each name in the order in which the names stand.

    ``source`` is the entry's ``from`` and ``current`` what it gave. Raises SpecError.
    """
    written = fields.pairs.get("formula")
    if not isinstance(written, Scalar) or not isinstance(written.value, str):
        return fields, current  # refused where fields are checked
    formula = inline(written, env)
    text, place = str(formula.value), start(written)
    names = names_of(read(text, place))
    given = _given(source, current, scope)
    problems: list[Problem] = []
    ports: list[Port] = []
    for name, at in names.items():
        try:
            ports.append(_port(name, given, source, current, scope, within(place, text, at)))
        except SpecError as e:
            problems += e.problems
    unread = [name for name in given if name not in names and not (name == next(iter(given)) and ENTRY in names)]
    if unread and source is not None and not problems:
        hint = "" if unread[0].isidentifier() else f"give it a name of its own: from: {{a: {unread[0]}}}"
        problems.append(Problem(f"the formula does not read '{unread[0]}'", source.place, found=text[:80],
                                wanted="a formula that reads what 'from' names", hint=hint, rule="inputs"))
    if problems:
        raise SpecError(*problems)
    return MappingNode(fields.place, {**fields.pairs, "formula": formula}, fields.keys, fields.flow), tuple(ports)


def _given(source: Node | None, current: tuple[Port, ...], scope: Scope) -> dict[str, Port]:
    """The names that ``from`` gives, as written or by their keys. Of a repeat's later copies the first is the copy before."""
    if source is None:
        return {}
    pairs = source.pairs if isinstance(source, MappingNode) else {str(i.value): i for i in _items(source) if isinstance(i, Scalar)}
    found: dict[str, Port] = {}
    for i, (name, node) in enumerate(pairs.items()):
        ports = scope.find(str(node.value), node.place) if isinstance(node, Scalar) else ()
        if len(ports) != 1:
            raise _several(str(getattr(node, "value", "")), len(ports), node.place)
        found[name] = current[0] if i == 0 and current else ports[0]
    return found


def _items(source: Node) -> list[Node]:
    return list(source.items) if isinstance(source, Sequence) else [source]


def _port(name: str, given: Mapping[str, Port], source: Node | None, current: tuple[Port, ...], scope: Scope, place: Place) -> Port:
    if name in given:
        return given[name]
    if name == ENTRY and current:
        _certain(current[0], source, scope, place)
        return current[0]
    try:
        ports = scope.find(name, place)
    except SpecError as e:
        raise SpecError(*(_unknown(name, given, scope, p) for p in e.problems)) from None
    if len(ports) != 1:
        raise _several(name, len(ports), place)
    return ports[0]


def _certain(port: Port, source: Node | None, scope: Scope, place: Place) -> None:
    """``x`` is the entry's input; where another value in sight was called ``x`` it could be meant as well."""
    ref = next((s.names[ENTRY] for s in scope.chain() if ENTRY in s.names), None)
    if source is None and ref is not None and ref.explicit and len(ref.ports) == 1 and ref.ports[0] != port:
        raise SpecError(Problem(f"'{ENTRY}' could be two things", place,
                                found=f"the output of '{port.node}' above, and '{ENTRY}' of line {ref.place.line}", wanted="one of them",
                                hint=f"say which: from: {ENTRY}, or from: {{{ENTRY}: {port.node.rsplit('/', 1)[-1]}}}", rule="inputs"))


def _unknown(name: str, given: Mapping[str, Port], scope: Scope, problem: Problem) -> Problem:
    if problem.rule != "unknown-name":
        return problem
    if name in FUNCTIONS:
        return Problem(f"'{name}' is a function", problem.place, wanted=FUNCTIONS[name].example, rule="formula")
    known = list(dict.fromkeys([ENTRY, *given, *(n for s in scope.chain() for n in s.names)]))
    hint = nearest(name, [*known, *FUNCTIONS]) or problem.hint
    return Problem(f"nothing is called '{name}' here", problem.place, wanted=one_of(known), hint=hint, rule="unknown-name")


def _several(name: str, found: int, place: Place) -> SpecError:
    return SpecError(Problem(f"'{name}' has {found} outputs", place, wanted=f"from: {{a: {name}.0}}, or merge them", rule="several-outputs"))
