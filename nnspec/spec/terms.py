"""Losses, metrics and schedules as they are written: what each is, where it reads, and what it compares with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

from nnspec.errors import Place, Problem, SpecError
from nnspec.records import dataclass, field
from nnspec.spec.blocks import Block
from nnspec.spec.explain import choose, describe, split
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence
from nnspec.spec.words import name_problem
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.own import Called, OwnLoss, OwnMeasure, OwnMetric, OwnValue
from nnspec.training.schedules import Constant, Plateau, Schedule
from nnspec.training.stretches import Stretches, stretches

TERM = ("name", "from", "target", "weight")


@dataclass(frozen=True)
class Term:
    """A loss or a metric with where it reads: ``source`` an output by name, ``target`` columns or an input by name; both may be left open.

    ``number`` is a target that every row has. ``weight`` may be a schedule, which begins at 1.
    """

    of: Any
    kind: str
    place: Place
    source: tuple[str, Place] | None = None
    target: tuple[tuple[str, Place], ...] = ()
    number: float | None = None
    weight: float | Schedule = 1.0
    name: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)  # of its own fields


@dataclass(frozen=True)
class Own:
    """The blocks that may stand for a loss or a metric; those that do are added to ``called``."""

    blocks: Mapping[str, Block]
    broken: Collection[str]
    called: set[str]


def terms(node: Node | None, key: str, family: type[Any], own: Own, problems: list[Problem]) -> tuple[Term, ...]:
    """Losses or metrics: one, or a list. What is wrong is added to ``problems``."""
    found: list[Term] = []
    for item in _list(node):
        try:
            found.append(_term(item, family, "loss" if key == "loss" else "metric", own))
        except SpecError as e:
            problems += e.problems
    if key == "loss" and node is not None and not _list(node):
        problems.append(Problem(f"'{key}' names nothing", node.place, found=describe(node), wanted="at least one", hint="or leave it out",
                                rule="bad-value"))  # fmt: skip
    named = [t for t in found if t.name]
    problems += [Problem(f"'{t.name}' stands twice in '{key}'", t.place, wanted="a name of its own", rule="repeated-name")
                     for n, t in enumerate(named) if t.name in [other.name for other in named[:n]]]
    return tuple(found)


def _list(node: Node | None) -> list[Node]:
    """One thing or a list of them; a mapping of several is several."""
    if node is None:
        return []
    if isinstance(node, MappingNode) and len(node.pairs) > 1:
        return [MappingNode(node.keys[k], {k: v}, {k: node.keys[k]}, node.flow) for k, v in node.pairs.items()]
    return list(node.items) if isinstance(node, Sequence) else [node]


def _term(node: Node, family: type[Any], what: str, own: Own) -> Term:
    common: dict[str, Node] = {}
    places: dict[str, Place] = {}
    if isinstance(node, MappingNode) and len(node.pairs) == 1:
        ((kind, body),) = node.pairs.items()
        if isinstance(body, MappingNode):
            common = {k: v for k, v in body.pairs.items() if k in TERM}
            left = {k: v for k, v in body.pairs.items() if k not in TERM}
            places = {k: v.place for k, v in left.items()}
            node = MappingNode(node.place, {kind: MappingNode(body.place, left, body.keys, body.flow)}, node.keys, node.flow)
    kind, place, fields = split(node, what, [*family.registry, *own.blocks])
    if kind in own.broken:
        raise SpecError()  # the block says what is wrong
    of = _own(own.blocks[kind], fields, place, what, own) if kind in own.blocks else choose(node, family, what)
    if what == "metric" and "weight" in common:
        hint = "leave it out: only losses are added up"
        raise SpecError(Problem("a metric has no 'weight'", common["weight"].place, hint=hint, rule="unknown-key"))
    names, number = _ends(common.get("target"))
    return Term(of, kind, node.place, _word(common.get("from"), "from"), names, number, _factor(common.get("weight"), kind),
                _name(common.get("name"), what), places)


def _own(b: Block, fields: Node | None, place: Place, what: str, own: Own) -> Loss | Metric:
    """A block as a loss or a metric; ``reduce`` of a loss is its own."""
    own.called.add(b.name)
    many = len(b.inputs) or 1
    taken = [name for name in b.args if name in (*TERM, "reduce")]
    if many > 2 or taken:
        found = f"an argument called '{taken[0]}', which every {what} has" if taken else f"{many} inputs"
        wanted = "another name for it" if taken else "inputs: [prediction, target], or one input"
        raise SpecError(Problem(f"block '{b.name}' cannot be a {what}", place, found=found, wanted=wanted, rule="inputs"))
    reduce: dict[str, Any] = {}
    if what == "loss" and isinstance(fields, MappingNode) and "reduce" in fields.pairs:
        node = fields.pairs["reduce"]
        value = node.value if isinstance(node, Scalar) else None
        if value not in ("mean", "sum", "none"):
            raise SpecError(Problem(f"'reduce' of loss '{b.name}' does not fit", node.place, found=describe(node), wanted="mean, sum or none",
                                    rule="bad-value"))
        reduce = {"reduce": value}
        fields = MappingNode(fields.place, {k: v for k, v in fields.pairs.items() if k != "reduce"}, fields.keys, fields.flow)
    called = Called(b.name, fields)
    if what == "metric":
        return (OwnMetric if many == 2 else OwnMeasure)(called=called)
    return (OwnLoss if many == 2 else OwnValue)(called=called, **reduce)


def _name(node: Node | None, what: str) -> str:
    name = _word(node, "name")
    if name is None:
        return ""
    problems = name_problem(*name, what)
    if what == "metric" and name[0] == "loss":
        problems.append(Problem("'loss' is the name of what is made small", name[1], wanted="another name for the metric", rule="repeated-name"))
    if problems:
        raise SpecError(*problems)
    return name[0]


def _factor(node: Node | None, kind: str) -> float | Schedule:
    """``weight`` of a loss: a number, or a schedule that begins at 1."""
    if node is None:
        return 1.0
    if isinstance(node, MappingNode) or (isinstance(node, Scalar) and isinstance(node.value, str)):
        factor = schedule(node)
        if isinstance(factor, Schedule) and not isinstance(factor, Plateau):
            return factor
        raise SpecError(Problem(f"'weight' of loss '{kind}' cannot wait for a measure", node.place, found="plateau",
                                wanted="a schedule of the step alone: {linear: {to: 0, length: 10}}", rule="bad-value"))  # fmt: skip
    return _number(node, f"'weight' of loss '{kind}'", "a finite number, or a schedule: {linear: {to: 0, length: 10}}")


def _ends(node: Node | None) -> tuple[tuple[tuple[str, Place], ...], float | None]:
    """``target``: names, or a number that every row has."""
    if node is None:
        return (), None
    if isinstance(node, Scalar) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return (), _number(node, "'target'")
    items = node.items if isinstance(node, Sequence) else [node]
    names = tuple((item.value, item.place) for item in items if isinstance(item, Scalar) and isinstance(item.value, str))
    if not names or len(names) != len(items):
        wanted = "a column, a list of columns, an input, or a number"
        raise SpecError(Problem("'target' does not fit", node.place, found=describe(node), wanted=wanted, rule="bad-value"))
    if twice := [name for n, (name, _) in enumerate(names) if name in [other for other, _ in names[:n]]]:
        raise SpecError(Problem(f"'target' names '{twice[0]}' twice", node.place, wanted="each column once", rule="repeated-name"))
    return names, None


def _number(node: Node, what: str, wanted: str = "a finite number") -> float:
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise SpecError(Problem(f"{what} does not fit", node.place, found=describe(node), wanted=wanted, rule="bad-value"))
    return float(value)


def _word(node: Node | None, key: str) -> tuple[str, Place] | None:
    if node is None:
        return None
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value, node.place
    hint = "a loss for each: loss: [{mse: {from: a}}, {mse: {from: b}}]" if isinstance(node, Sequence) else ""
    raise SpecError(Problem(f"'{key}' does not fit", node.place, found=describe(node), wanted="one name", hint=hint, rule="bad-value"))


def schedule(node: Node) -> Schedule | Stretches:
    if isinstance(node, Sequence):
        return stretches(node)
    found: Schedule = choose(node, Schedule, "schedule")  # type: ignore[type-abstract]  # the family, not an instance
    if isinstance(found, Constant) and found.length is not None:
        raise SpecError(Problem("the length of a constant that stands alone does nothing", node.place, found=f"{found.length}",
                                wanted="epochs: 100 at the top, or a list of stretches: [{constant: 100}, …]", rule="bad-value"))  # fmt: skip
    return found
