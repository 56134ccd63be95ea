"""Formulas in a spec: ``$name`` and ``$(expression)``, as whole scalars or inside a text, become values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from nnspec.errors import Place, Problem, SpecError
from nnspec.spec import expressions, grammar
from nnspec.spec.arithmetic import kind, size
from nnspec.spec.evaluation import BROKEN, Evaluator, Names, evaluate
from nnspec.spec.expressions import Expression
from nnspec.spec.grammar import closing, parse
from nnspec.spec.nodes import MOST_NODES, Node, Scalar, Sequence, literal, spelled
from nnspec.spec.nodes import Mapping as MappingNode

MOST_PROBLEMS = 100

__all__ = ["BROKEN", "Expression", "Watched", "evaluate", "is_formula", "parse", "substitute"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Spots = Callable[[int], Place]


class Watched(dict[str, object]):
    """Names for formulas that note which of them are ``read``."""

    def __init__(self, names: Names) -> None:
        super().__init__(names)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> object:
        self.read.add(name)
        return super().__getitem__(name)


def is_formula(node: Node) -> bool:
    """Whether a node is a text with a dollar in it."""
    return isinstance(node, Scalar) and isinstance(node.value, str) and "$" in node.value


def substitute(node: Node, names: Names) -> Node:
    """The tree with every formula worked out, places kept; nodes without one stay the same objects.

    A scalar that is one formula becomes its value, lists and mappings too; in a longer text the value is written out;
    ``$$`` is a dollar. Raises one SpecError with every problem.
    """
    work = _Substitution(names)
    result = work.node(node)
    if work.problems or work.broken:
        raise SpecError(*work.problems)
    return result


class _Substitution:
    """One walk over a tree. What formulas make is counted: many small ones could make one very large tree."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.problems: list[Problem] = []
        self.done: dict[int, Node] = {}  # nodes that aliases share are worked out once
        self.made = 0
        self.broken = False  # a formula failed, for a reason that has been told

    def node(self, node: Node) -> Node:
        if id(node) not in self.done:
            self.done[id(node)] = self._node(node)
        return self.done[id(node)]

    def _node(self, node: Node) -> Node:
        if isinstance(node, Sequence):
            items = [self.node(item) for item in node.items]
            same = all(a is b for a, b in zip(items, node.items, strict=True))
            return node if same else Sequence(node.place, items, node.flow)
        if isinstance(node, MappingNode):
            pairs = {key: self.node(value) for key, value in node.pairs.items()}
            same = all(value is node.pairs[key] for key, value in pairs.items())
            return node if same else MappingNode(node.place, pairs, node.keys, node.flow)
        if (
            not isinstance(node, Scalar)
            or not isinstance(node.value, str)
            or "$" not in node.value
            or len(self.problems) >= MOST_PROBLEMS
        ):
            return node
        try:
            return self.scalar(node, node.value)
        except SpecError as e:
            self.problems += e.problems
            self.broken = True
            return node

    def scalar(self, node: Scalar, text: str) -> Node:
        place = start(node)
        parts = _parts(text, place, self.names)
        values = [p for p in parts if not (isinstance(p, str) and not p.strip())]
        if len(values) == 1 and isinstance(values[0], _Value):
            value = values[0].value
            self.count(size(value), node.place)
            return literal(value, node.place)
        written = "".join(p if isinstance(p, str) else p.written() for p in parts)
        self.count(len(written) // 10, node.place)
        return Scalar(node.place, written, written, node.quoted)

    def count(self, size: int, place: Place) -> None:
        self.made += 1 + size
        if self.made > MOST_NODES:
            raise SpecError(
                Problem(
                    "the formulas of this spec make too many values",
                    place,
                    wanted=f"at most {MOST_NODES:,}",
                    rule="too-large",
                )
            )


def inline(node: Scalar, names: Names) -> Scalar:
    """A text of another language with the formulas inside it worked out: what binds less than a name does stands in parentheses."""
    text = str(node.value)
    if "$" not in text:
        return node
    place = start(node)
    parts = [p for p in _parts(text, place, names) if not isinstance(p, str) or p]
    alone = len(parts) == 1
    written = "".join(p if isinstance(p, str) else _inlined(p, alone) for p in parts)
    return Scalar(node.place, written, written, node.quoted)


def _inlined(part: _Value, alone: bool) -> str:
    value = part.value
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inlined(_Value(v, part.place), True) for v in value) + "]"
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise SpecError(Problem(f"{kind(value)} cannot stand inside this text", part.place, wanted="a number or a text", rule="formula"))
    text = part.written()
    return text if alone or text.isidentifier() or (isinstance(value, (int, float)) and value >= 0) else f"({text})"


def start(node: Scalar) -> Place:
    """Where a scalar's first character stands: behind its quote, if it has one."""
    place = node.place
    quote = place.source.line(place.line)[place.column - 1 : place.column]
    return Place(place.source, place.line, place.column + 1) if node.quoted and quote in ("'", '"') else place


class _Value:
    """What a formula inside a text stands for."""

    def __init__(self, value: Any, place: Place) -> None:
        self.value, self.place = value, place

    def written(self) -> str:
        if isinstance(self.value, (list, tuple, Mapping)):
            raise SpecError(
                Problem(
                    f"{kind(self.value)} cannot stand inside a text",
                    self.place,
                    hint="let the formula be the whole value",
                    rule="formula",
                )
            )
        return spelled(self.value)


def _spots(text: str, place: Place) -> Spots:
    """Where the characters of a scalar stand; they are compared with the source once, for a scalar may be long."""
    written = place.source.line(place.line).startswith(text, place.column - 1)
    return lambda offset: Place(place.source, place.line, place.column + offset) if written else place


def _parts(text: str, place: Place, names: Names) -> list[str | _Value]:
    """The texts and values that a scalar consists of."""
    parts: list[str | _Value] = []
    spots = _spots(text, place)
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        here = spots(dollar)
        match = _NAME.match(text, dollar + 1)
        if text.startswith("$$", dollar):
            parts.append("$")
            at = dollar + 2
        elif text.startswith("$(", dollar):
            end = closing(text, dollar + 1)
            if end < 0:
                raise SpecError(_unclosed(text[dollar:], here))
            inside = text[dollar + 2 : end]
            parts.append(_Value(evaluate(inside, spots(dollar + 2), names), here))
            at = end + 1
        elif match:
            value, at = _path(text, match.end(), match[0], place, spots, names)
            parts.append(_Value(value, here))
        else:
            raise SpecError(
                Problem(
                    "'$' begins a formula",
                    here,
                    found=text[dollar : dollar + 20],
                    wanted="$name or $(expression)",
                    hint="write $$ for a dollar",
                    rule="formula",
                )
            )
    return [*parts, text[at:]]


def _unclosed(text: str, place: Place) -> Problem:
    if len(text) > grammar.MOST_CHARACTERS + 3:
        return Problem(
            "a formula is too long, or its parenthesis is not closed",
            place,
            wanted=f"at most {grammar.MOST_CHARACTERS:,} characters",
            rule="formula",
        )
    return Problem("a formula's parenthesis is not closed", place, found=text[:60], wanted="')'", rule="formula")


def _path(text: str, at: int, name: str, place: Place, spots: Spots, names: Names) -> tuple[Any, int]:
    """The value of ``$name.part[0]`` and where it ends.

    A dot or bracket belongs to it while there is something to enter.
    """
    work = Evaluator(text, place, names)
    value = work.value(expressions.Name(name, at=at - len(name)))
    while at < len(text):
        match = _NAME.match(text, at + 1)
        if isinstance(value, Mapping) and text[at] == "." and match:
            value = work.member(value, match[0], at + 1)
            at = match.end()
        elif isinstance(value, (Mapping, list, tuple)) and text[at] == "[" and (end := text.find("]", at)) > 0:
            value = work.entry(value, evaluate(text[at + 1 : end], spots(at + 1), names), at)
            at = end + 1
        else:
            break
    return value, at
