"""An entry of a list as it is written: its kind, the keys that every entry has, and its own fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nnspec.errors import Place, Problem, SpecError
from nnspec.layers.layer import Entry
from nnspec.records import dataclass, replace
from nnspec.spec import edits, meant
from nnspec.spec.blocks import COMMON
from nnspec.spec.explain import describe, split, unknown
from nnspec.spec.formulas import is_formula
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence
from nnspec.spec.words import name_problem

STRUCTURES: Mapping[str, tuple[str, ...]] = {"residual": ("layers", "shortcut"), "branches": ("paths", "merge")}


@dataclass(frozen=True)
class Written:
    """One entry before any formula is worked out."""

    kind: str
    place: Place
    common: Mapping[str, Node]
    fields: Node | None  # a mapping of fields, a primary value, or nothing
    keys: Mapping[str, Place]

    def copy(self, fields: Mapping[str, Node]) -> tuple[Written, dict[str, Node]]:
        """The entry with the common keys that one copy of a repeat sets, and the fields of its own that are left."""
        given = {*self.common, *getattr(self.fields, "pairs", ())}
        problems = [
            Problem(f"'{k}' is given twice", v.place, found="beside 'repeat', and as one of its lists", wanted="one of them", rule="repeated-key")
            for k, v in fields.items()
            if k in given
        ]
        if problems:
            raise SpecError(*problems)
        common = {k: v for k, v in fields.items() if k in COMMON}
        own = {k: v for k, v in fields.items() if k not in COMMON}
        return (replace(self, common={**self.common, **common}) if common else self), own


def parse(node: Node, taken: Iterable[str] = (), blocks: Iterable[str] = ()) -> Written:
    """Reads an entry. ``taken`` are field names that the kind itself uses although they are common keys."""
    kind, place, body = split(node, "layer", known_kinds(blocks))
    if not isinstance(body, MappingNode):
        _names_alone(kind, place, body)
        return Written(kind, place, {}, body, {})
    own = {k: v for k, v in body.pairs.items() if k not in COMMON or k in taken}
    common = {k: v for k, v in body.pairs.items() if k in COMMON and k not in taken}
    return Written(kind, place, common, MappingNode(body.place, own, {k: body.keys[k] for k in own}, body.flow), body.keys)


def _names_alone(kind: str, place: Place, body: Node | None) -> None:
    """Refuses ``add: [a, b]``: what an entry reads is told by ``from``."""
    member = Entry.registry.get(kind)
    items = body.items if isinstance(body, Sequence) else []
    names = [item.value for item in items if isinstance(item, Scalar) and isinstance(item.value, str) and not is_formula(item)]
    if body is None or member is None or member.inputs[1] < 2 or not names or len(names) < len(items):
        return
    wanted = f"{kind}: {{from: [{', '.join(names)}]}}"
    what = f"what '{kind}' reads is named by 'from'"
    raise SpecError(Problem(what, body.place, found=describe(body), wanted=wanted, rule="bad-value", edits=(edits.wrapped(place, "from"),)))


def peek(node: Node) -> tuple[str, str, Place]:
    """Kind, explicit name and place of an entry, as far as they can be told; for names that stand below."""
    if isinstance(node, Scalar):
        return str(node.value), "", node.place
    if isinstance(node, MappingNode) and len(node.pairs) == 1:
        ((kind, body),) = node.pairs.items()
        named = body.pairs.get("name") if isinstance(body, MappingNode) else None
        name = named.value if isinstance(named, Scalar) and isinstance(named.value, str) else ""
        return kind, name, node.place
    return "", "", node.place


def name_of(node: Node | None) -> str:
    """An explicit name, or nothing; raises SpecError where it cannot be one."""
    if node is None:
        return ""
    value: Any = node.value if isinstance(node, Scalar) else None
    if not isinstance(value, str):
        raise SpecError(Problem("'name' does not fit", node.place, found=describe(node), wanted="a letter or _, then letters, digits, _ and -",
                                rule="bad-name"))
    if problems := name_problem(value, node.place, "layer"):
        raise SpecError(*problems)
    return value


def truth(node: Node | None, default: bool, key: str) -> bool:
    """A truth value of a common key."""
    if node is None:
        return default
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    raise SpecError(Problem(f"'{key}' does not fit", node.place, found=describe(node), wanted="true or false", rule="bad-value"))


def known_kinds(blocks: Iterable[str]) -> list[str]:
    """Every word that may stand as an entry's kind."""
    return [*Entry.registry, *STRUCTURES, *blocks]


def no_such_kind(written: Written, known: list[str]) -> Problem:
    """The problem of an entry whose kind is not known."""
    problem = unknown(written.kind, known, written.place, "layer")
    return replace(problem, edits=meant.of_kind(written.kind, known, written.place, written.fields, problem.hint))


def no_parameters(written: Written) -> None:
    """Refuses what names parameters where an entry has none of its own."""
    problems = [
        Problem(f"'{key}' on '{written.kind}'", written.common[key].place, wanted=f"{key} on a layer that has parameters", rule="bad-value")
        for key in ("init", "regularize")
        if key in written.common
    ]
    if problems:
        raise SpecError(*problems)


def by_role(node: MappingNode, kind: str) -> list[Node]:
    """``{query: a, key: b}`` in the order that the layer takes."""
    member = Entry.registry.get(kind)
    roles = member.roles if member else ()
    if member is not None and member.own_roles:
        return list(node.pairs.values())
    if member is None or not roles:
        raise SpecError(Problem("'from' does not fit", node.place, found=describe(node), wanted="a name, or a list of names",
                                hint=f"the inputs of '{kind}' have no roles", rule="bad-value"))
    problems = [unknown(k, roles, node.keys[k], f"role of '{kind}'") for k in node.pairs if k not in roles]
    given = [r for r in roles if r in node.pairs]
    missing = [r for r in roles[: max(member.inputs[0], len(given))] if r not in node.pairs]
    wanted = "{" + ", ".join(f"{r}: …" for r in roles) + "}"
    if missing and not problems:
        problems = [Problem(f"'from' of '{kind}' needs '{r}'", node.place, wanted=wanted, rule="missing-key") for r in missing]
    if problems:
        raise SpecError(*problems)
    return [node.pairs[r] for r in given]


def reads_input(node: Node) -> bool:
    """Whether a formula in it may read the shape of the entry's input."""
    if isinstance(node, Scalar):
        return is_formula(node) and "input" in node.text
    children = node.items if isinstance(node, Sequence) else list(getattr(node, "pairs", {}).values())
    return any(reads_input(child) for child in children)
