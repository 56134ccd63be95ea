"""From nodes to models: every problem found, each with its place, what was wanted and the nearest known word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from nnspec.errors import Edit, Place, Problem, Source, SpecError, nearest, one_of
from nnspec.records import replace
from nnspec.spec import meant
from nnspec.spec.model import Config, Kind
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, plain
from nnspec.spec.words import LATER, LATER_VALUES, ours

C = TypeVar("C", bound=Config)
K = TypeVar("K", bound=Kind)


def choose(node: Node, family: type[K], what: str) -> K:
    """``name``, ``name: primary`` or ``name: {fields}`` as a member of ``family``; raises SpecError."""
    name, place, body = split(node, what, family.registry)
    return build(family, name, place, body, what)


def build(family: type[K], name: str, place: Place, body: Node | None, what: str) -> K:
    """A member of ``family`` by name from its fields, or from its primary value."""
    member = find(family.registry, name, place, what)
    return validate(member, fields_of(member, body, f"{what} '{name}'"), place, f"{what} '{name}'")  # type: ignore[no-any-return]  # find's registry


def split(node: Node, what: str, known: Iterable[str] = ()) -> tuple[str, Place, Node | None]:
    """The name, its place and the body of a one-choice node; ``known`` are the names it may have."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value, node.place, None
    if isinstance(node, MappingNode) and len(node.pairs) == 1:
        ((name, body),) = node.pairs.items()
        return name, node.keys[name], body
    if isinstance(node, MappingNode) and node.pairs:
        first, second, *_ = node.pairs
        hint = f"indent '{second}' under '{first}', or write {first}: {{{second}: …}}"
        if second in known:
            hint = f"begin a new entry: '- {second}: …'" if what == "layer" else f"keep '{first}' or '{second}'"
        raise SpecError(Problem(
            f"{what}: one name is wanted here, with its fields inside", node.keys[second],
            found=f"{len(node.pairs)} keys: {', '.join(list(node.pairs)[:6])}", wanted=f"{first}: {{…}}", hint=hint, rule="one-choice"))
    raise SpecError(Problem(f"{what}: a name is wanted here", node.place, found=describe(node), wanted="name, or name: {fields}",
                            rule="one-choice"))


def find(registry: Mapping[str, type[Any]], name: str, place: Place, what: str, also: Iterable[str] = ()) -> type[Any]:
    """The registry's class of that name, or an error that names the nearest."""
    if name in registry:
        return registry[name]
    raise SpecError(unknown(name, [*registry, *also], place, what))


def unknown(name: str, known: Iterable[str], place: Place, what: str, rule: str = "unknown-name") -> Problem:
    """The problem of a word that is not known: foreign, for later, or misspelt."""
    known = list(known)
    hint = ours(name, known)
    if name in LATER and not hint:
        return Problem(f"{name}: not in this version", place, hint=LATER[name], rule="not-in-this-version")
    near = "" if hint else meant.meant(name, known)
    hint = hint or (f"did you mean '{near}'?" if near else nearest(name, known)) or ("" if known else "leave it out: there is none")
    return Problem(f"no {what} is called '{name}'", place, wanted="" if hint else one_of(known), hint=hint, rule=rule,
                   edits=meant.of_word(name, known, place, hint))


def unknown_key(name: str, node: MappingNode, known: Iterable[str], what: str) -> Problem:
    """The problem of a key that a mapping may not have."""
    known = list(known)
    problem = unknown(name, known, node.keys[name], what, "unknown-key")
    return replace(problem, edits=meant.of_key(name, node, known, problem.hint))


def fields_of(member: type[Kind], body: Node | None, what: str) -> MappingNode:
    """The body as a mapping of fields: a primary value under its field's name."""
    if body is None or (isinstance(body, Scalar) and body.value is None):
        place = body.place if body else Place(_nowhere)
        return MappingNode(place, {}, {}, False)
    if isinstance(body, MappingNode) and not (member.primary in member.model_fields and _takes_mapping(member, body)):
        return body
    if member.primary is None:
        raise SpecError(Problem(f"{what} takes no value of its own", body.place, found=describe(body),
                                wanted=f"{{{', '.join(member.model_fields)}}}" if member.model_fields else f"{member.kind} alone",
                                rule="no-primary"))
    return MappingNode(body.place, {member.primary: body}, {member.primary: body.place}, False)


def _takes_mapping(member: type[Kind], body: MappingNode) -> bool:
    return bool(getattr(member, "mapping_primary", False)) and not set(body.pairs) & set(member.model_fields)


def validate(cls: type[C], node: MappingNode, place: Place, what: str, known: Iterable[str] = ()) -> C:
    """The model of a mapping node; ``place`` is where to point when something is missing."""
    names = [f.alias or n for n, f in cls.model_fields.items()]
    if cls.model_config.get("extra") == "allow":  # keys of any name
        names += [key for key in node.pairs if key not in names]
    problems = [
        unknown_key(key, node, [*names, *known], f"key of {what}") for key in node.pairs if key not in names
    ]
    data = {k: plain(v) for k, v in node.pairs.items() if k in names}
    try:
        model = cls.model_validate(data)
    except ValidationError as e:
        # what is said of all fields together may be due to a field under a wrong name
        told = [error for error in e.errors(include_url=False) if error["loc"] or not problems]
        errors = sorted(told, key=lambda error: error["type"] == "missing")
        for error in errors:
            meant = " ".join(p.hint for p in problems)  # a field under a wrong name is not missing as well
            if error["type"] != "missing" or f"'{error['loc'][-1]}'" not in meant:
                problems.append(_problem(error, node, place, what, cls))
    if problems:
        raise SpecError(*problems)
    return model


def inward(node: Node | None, path: Iterable[Any]) -> Iterator[Node]:
    """What lies at the keys and indices of a path, one behind the other, as far as they are there."""
    for part in path:
        if isinstance(node, MappingNode) and part in node.pairs:
            node = node.pairs[str(part)]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return
        yield node


def _problem(error: Any, node: MappingNode, place: Place, what: str, cls: type[Config]) -> Problem:
    """One pydantic error in our words."""
    loc = [part for part in error["loc"] if not (isinstance(part, str) and "[" in part)]
    within = list(inward(node, loc[:-1] if error["type"] == "extra_forbidden" else loc))
    path = [str(part) for part in loc[: len(within)]]
    at, where = (within[-1], within[-1].place) if within else (node, place)
    kind, ctx = error["type"], error.get("ctx", {})
    field = ".".join(path) or (str(loc[0]) if loc else "")
    if kind == "missing":
        inside = f"'{'.'.join(path)}'" if path else what
        return Problem(f"{inside} needs '{loc[-1]}'", where, wanted=f"{loc[-1]}: …", rule="missing-key")
    if kind == "extra_forbidden":
        inner = f"'{'.'.join(map(str, loc[:-1]))}'"
        if isinstance(at, MappingNode) and str(loc[-1]) in at.keys:
            return unknown_key(str(loc[-1]), at, _fields_at(cls, loc[:-1]), f"key of {inner}")
        return unknown(str(loc[-1]), _fields_at(cls, loc[:-1]), at.place, f"key of {inner}", "unknown-key")
    if kind == "nnspec":
        return Problem(ctx["message"], where, found=ctx["found"], wanted=ctx["wanted"], hint=ctx["hint"], rule="bad-value",
                       edits=_words_of(at, ctx.get("words", ()), ctx["hint"]))
    wanted = _WANTED.get(kind, error["msg"].removeprefix("Input should be ").removeprefix("Value error, "))
    wanted = wanted.format(**{k: f"{v:,}" if isinstance(v, int) else f"{v:g}" if isinstance(v, float) else v for k, v in ctx.items()})
    wanted = f"a mapping of {', '.join(_fields_at(cls, loc))}" if kind == "model_type" else wanted.replace(" 1 values", " 1 value")
    hint = ""
    edits: tuple[Edit, ...] = ()
    if isinstance(at, Scalar) and kind in ("int_type", "float_type"):
        edits = meant.of_number(at, kind == "int_type")
    elif isinstance(at, Scalar) and kind == "bool_type":
        edits = meant.of_truth(at)
    if isinstance(at, Scalar) and at.quoted and kind in ("int_type", "float_type", "bool_type"):
        hint = "leave the quotes out"
    if kind == "int_type" and isinstance(at, Scalar) and isinstance(at.value, float) and at.value.is_integer():
        hint = f"write {int(at.value)}; in a formula use // for whole numbers"
    elif kind == "int_type" and isinstance(at, Scalar) and isinstance(at.value, float) and not _stands(at):
        hint = "the formula gives a fraction: use // for whole numbers"
    if kind == "literal_error" and isinstance(at, Scalar) and at.value in LATER_VALUES:
        return Problem(f"{field}: {at.value}: not in this version", where, wanted=wanted, rule="not-in-this-version")
    if kind == "literal_error" and isinstance(at, Scalar):
        words = ctx["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        hint = nearest(str(at.value), words)
        edits = meant.of_value(at, words)
    return Problem(f"'{field}' of {what} does not fit", where, found=describe(at), wanted=wanted, hint=hint, rule="bad-value", edits=edits)


def _words_of(at: Node, words: Iterable[str], hint: str) -> tuple[Edit, ...]:
    """The edits for a word that a validator does not know, as a value or as the key of a mapping, where it says which it knows."""
    words = list(words)
    if isinstance(at, Scalar):
        return meant.of_value(at, words)
    if isinstance(at, MappingNode) and len(at.pairs) == 1:
        ((name, place),) = at.keys.items()
        return meant.of_word(name, words, place, hint)
    return ()


def _fields_at(cls: type[Config], path: Iterable[Any]) -> list[str]:
    """The keys of the model inside of a model that a path of fields leads to."""
    for part in path:
        field = cls.model_fields.get(str(part))
        annotation = field.annotation if field else None
        inside = [a for a in _parts_of(annotation) if isinstance(a, type) and issubclass(a, Config)]
        if not inside:
            return []
        cls = inside[0]
    return [f.alias or n for n, f in cls.model_fields.items()]


def _parts_of(annotation: Any) -> list[Any]:
    """The types that a type is put together from."""
    return [annotation, *(part for a in get_args(annotation) for part in _parts_of(a))]


def _stands(node: Scalar) -> bool:
    """Whether the scalar's text is what the source has at its place: it did not come out of a formula."""
    return node.place.source.line(node.place.line)[node.place.column - 1 :].startswith(node.text)


_WANTED = {
    "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false", "string_type": "a text",
    "tuple_type": "a list", "dict_type": "a mapping", "greater_than": "more than {gt}", "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}", "less_than_equal": "at most {le}", "finite_number": "a finite number",
    "literal_error": "{expected}", "too_long": "at most {max_length} values", "too_short": "at least {min_length} values",
}


def describe(node: Node) -> str:
    """What stands at a node, short."""
    if isinstance(node, Scalar):
        kinds = {type(None): "nothing", bool: "a truth value", int: "a whole number", float: "a number", str: "a text"}
        text = node.text if len(node.text) <= 60 else node.text[:57] + "…"
        return f"{text!r} ({kinds.get(type(node.value), 'a length that is not known yet')})" if node.value is not None else "nothing"
    if isinstance(node, Sequence):
        return f"a list of {len(node.items)}"
    return f"a mapping with {', '.join(list(getattr(node, 'pairs', {}))[:5]) or 'no keys'}"


def collect(problems: list[Problem], error: SpecError) -> None:
    """Adds an error's problems to a list, so that the walk can go on."""
    problems.extend(error.problems)



_nowhere = Source("", "")
