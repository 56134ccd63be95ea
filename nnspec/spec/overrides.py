"""``--set key=value``: a value put into a spec's tree before anything else looks at it."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Map
from typing import TypeAlias

from nnspec.errors import Place, Problem, Source, SpecError, nearest, one_of
from nnspec.spec.entries import copies, entry_names, split
from nnspec.spec.nodes import MOST_LEVELS, Mapping, Node, Scalar, Sequence, literal, spelled
from nnspec.spec.source import read

Primary: TypeAlias = Callable[[str], "str | None"]

CHOICES = ("optimizer", "schedule", "loss", "activation")  # keys whose value names one thing: ``adam``, or ``adam: {…}``
DATA_KEYS = ("columns", "split", "prepare", "augment", "balance", "workers", "cache", "shuffle", "pair", "order")  # all others are sources
SHORT = {"early_stopping": "patience", "checkpoint": "keep", "repeat": "times", "weight_decay": "rate"}  # ``key: 5`` is ``key: {field: 5}``
LISTS = ("loss", "metrics", "prepare", "augment", "schedule")  # keys whose lists hold something else than layers
STRUCTURES = {"residual": "layers", "branches": "paths"}  # what these are short for as ``residual: [...]``
FREE = ("vars",)  # below these a spec's own words stand


def no_primary(kind: str) -> str | None:
    """No kind has a primary field."""
    return None


def parse_setting(text: str) -> tuple[str, str]:
    """``KEY=VALUE`` as a key and a value; raises SpecError.

    >>> parse_setting("optimizer.adam.learning_rate=0.01")
    ('optimizer.adam.learning_rate', '0.01')
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SpecError(
            Problem(
                "--set wants a key and a value",
                Place(Source("--set", text)),
                found=text[:60],
                wanted="--set KEY=VALUE",
                hint="--set vars.width=12",
                rule="setting",
            )
        )
    return key.strip(), value.strip()


def apply(
    root: Mapping, settings: Map[str, object], primary: Primary = no_primary, families: Map[str, Primary] | None = None
) -> Mapping:
    """A new tree with every setting put in, in order; the given nodes stay as they are.

    Keys are dotted paths: ``vars.width``, ``layers.head.units`` (an entry of a list by its name, its default name
    such as ``dense_1``, or its number from 0). Values are texts that are read as YAML, or Python values. A missing
    mapping is made; another word in a one-choice mapping (``optimizer.sgd.momentum`` where the spec has adam)
    replaces the choice. ``primary`` gives the field that ``dense: 10`` sets, ``families`` the same for other keys
    (``{"optimizer": …, "schedule": …, "loss": …, "metrics": …, "activation": …, "data": …}``).
    Raises one SpecError with every problem.
    """
    problems: list[Problem] = []
    tree: Node = root
    for key, value in settings.items():
        try:
            setting = _Setting(key, value, primary, families or {})
            tree = setting.put(tree, 0)
        except SpecError as e:
            problems += e.problems
    if problems:
        raise SpecError(*problems)
    assert isinstance(tree, Mapping)
    return tree


def new_variables(root: Node, settings: Map[str, object]) -> list[Problem]:
    """``--set vars.widht=12``: nothing reads a variable that the spec does not have."""
    held = root.pairs.get("vars") if isinstance(root, Mapping) else None
    names = list(held.pairs) if isinstance(held, Mapping) else []
    wanted = one_of(f"vars.{n}" for n in names) if names else "a key of the spec: it has no vars"
    given = {key: key.split(".")[1] for key in settings if key.startswith("vars.")}
    return [
        Problem(f"the spec has no variable '{name}'", Place(Source(f"--set {key}", str(settings[key]))), wanted=wanted,
                hint=nearest(name, names), rule="unknown-name")
        for key, name in given.items()
        if name not in names
    ]  # fmt: skip


class _Setting:
    """One setting on its way down the tree; ``at`` counts the steps of its path that are done."""

    def __init__(self, key: str, value: object, primary: Primary, families: Map[str, Primary]) -> None:
        self.path = key.split(".")
        shown = value if isinstance(value, str) else _shown(value)
        self.source = Source("--set", f"{key}={shown}")
        self.primary, self.families = primary, families
        if not all(self.path):
            raise SpecError(
                Problem(
                    "a key has an empty part",
                    self.place(self.path.index("")),
                    found=key[:80],
                    wanted="words with dots between them",
                    rule="setting",
                )
            )
        if len(self.path) > MOST_LEVELS:
            raise SpecError(
                Problem(
                    "a key has too many parts",
                    self.place(0),
                    found=f"{len(self.path)}",
                    wanted=f"at most {MOST_LEVELS}",
                    rule="setting",
                )
            )
        name = f"--set {key}"
        self.value = read(value, name) if isinstance(value, str) else literal(value, Place(Source(name, shown)))

    def place(self, at: int) -> Place:
        """Where a step of the path stands in the setting."""
        return Place(self.source, 1, len(".".join(self.path[:at])) + (2 if at else 1))

    def before(self, at: int) -> str:
        return ".".join(self.path[:at])

    def put(self, node: Node | None, at: int) -> Node:
        """``node`` with the value put in at the rest of the path."""
        if at == len(self.path):
            return self.value
        if isinstance(node, Sequence):
            return self.into_list(node, at)
        return self.into_mapping(self.mapping(node, at), at)

    def mapping(self, node: Node | None, at: int) -> Mapping:
        """``node`` as the mapping that it is, or that it is short for."""
        if isinstance(node, Mapping):
            return node
        if node is None or isinstance(node, Scalar) and node.value is None:
            return Mapping(self.place(max(at - 1, 0)), {}, {}, False)
        key = self.path[at - 1] if at else ""
        if isinstance(node, Scalar) and isinstance(node.value, str) and (self.is_choice(at) or self.is_data(at)):
            return Mapping(
                node.place, {node.value: Scalar(node.place, None, "", False)}, {node.value: node.place}, False
            )
        if key in SHORT and self.path[0] not in FREE:
            return Mapping(node.place, {SHORT[key]: node}, {SHORT[key]: node.place}, False)
        raise SpecError(
            Problem(
                f"'{self.before(at)}' is a value: nothing can be set inside of it",
                self.place(at),
                found=f"{self.before(at)}: {_text(node)} on line {node.place.line}",
                hint=f"set it as a whole: --set {self.before(at)}={{{self.before_value(at)}}}",
                rule="setting",
            )
        )

    def before_value(self, at: int) -> str:
        return (
            "".join(f"{part}: {{" for part in self.path[at:-1])
            + f"{self.path[-1]}: …"
            + "}" * (len(self.path) - at - 1)
        )

    def is_choice(self, at: int) -> bool:
        """Whether the mapping reached names one thing of a family."""
        if not at or self.path[0] in FREE or self.path[0].startswith("x-"):
            return False
        return self.path[at - 1] in CHOICES or at > 1 and self.path[at - 2] == "init" or at == 3 and self.path[:2] == ["data", "columns"]

    def is_data(self, at: int) -> bool:
        return at == 1 and self.path[0] == "data"

    def into_mapping(self, node: Mapping, at: int) -> Mapping:
        """One key of a mapping set; in a one-choice mapping another choice goes."""
        pairs, keys = node.pairs, node.keys
        key, end = self.step(node, at)
        replaced: list[str] = []
        chooses = self.is_choice(at) or self.is_data(at) and key not in DATA_KEYS
        if chooses and key not in pairs:
            replaced = list(pairs) if self.is_choice(at) else [k for k in pairs if k not in DATA_KEYS]
        if len(replaced) > 1:  # several losses or sources stand beside each other
            replaced = []
        new = self.body(pairs.get(key), key, self.path[at - 1], end) if chooses else self.put(pairs.get(key), end)
        kept = {k: v for k, v in pairs.items() if k not in replaced}
        return Mapping(
            node.place,
            {**kept, key: new},
            {**{k: keys[k] for k in kept}, key: keys.get(key, self.place(at))},
            node.flow,
        )

    def step(self, node: Mapping, at: int) -> tuple[str, int]:
        """The key that comes next, and the steps done with it: a key of the spec may hold dots itself."""
        for end in range(len(self.path), at, -1):
            key = ".".join(self.path[at:end])
            if key in node.pairs:
                return key, end
        return self.path[at], at + 1

    def body(self, node: Node | None, kind: str, family: str, at: int) -> Node:
        """What stands behind the name of a layer, an optimizer, …: fields; a primary value becomes one of them."""
        if (
            at == len(self.path)
            or node is None
            or isinstance(node, Mapping)
            or isinstance(node, Scalar)
            and node.value is None
        ):
            return self.put(node, at)
        lookup = self.families.get(family, no_primary) if family else self.primary
        primary = lookup(kind) or (STRUCTURES.get(kind) if not family else None)
        if primary is None:
            whole = self.before(at - 1 if self.path[at - 1] == kind else at)
            raise SpecError(
                Problem(
                    f"'{self.path[at]}' cannot be added to the short form of '{kind}'",
                    self.place(at),
                    found=f"{kind}: {_text(node)} on line {node.place.line}",
                    wanted=f"{kind}: {{…}}",
                    hint=f"set it as a whole: --set {whole}={{{kind}: {{…}}}}",
                    rule="setting",
                )
            )
        return self.put(Mapping(node.place, {primary: node}, {primary: node.place}, False), at)

    def into_list(self, node: Sequence, at: int) -> Sequence:
        index = self.find(node, at)
        items = list(node.items)
        items[index] = self.entry(items[index], at + 1)
        return Sequence(node.place, items, node.flow)

    def entry(self, node: Node, at: int) -> Node:
        """An entry of a list: ``relu``, ``dense: 10``, ``dense: {…}``, or something else by its number."""
        kind, body = split(node)
        if at == len(self.path) or not kind:
            return self.put(node, at)
        keys = node.keys if isinstance(node, Mapping) else {kind: node.place}
        new = self.body(body, kind, self.family(at), at)
        return Mapping(node.place, {kind: new}, keys, node.flow if isinstance(node, Mapping) else False)

    def family(self, at: int) -> str:
        """``loss`` and the like where the list is one of those, else of layers."""
        return self.path[at - 2] if at > 1 and self.path[at - 2] in LISTS and self.path[0] not in FREE else ""

    def find(self, node: Sequence, at: int) -> int:
        """The number of the entry that the next step names."""
        step = self.path[at]
        names, repeated = entry_names(node)
        if step in names:
            return names[step]
        count = len(node.items)
        if self.family(at + 1) and (alike := [i for i, item in enumerate(node.items) if split(item)[0] == step]) and len(alike) == 1:
            return alike[0]  # the only one of its kind: ``metrics.f1``
        if re.fullmatch(r"-?[0-9]{1,9}", step) and -count <= int(step) < count:
            return int(step) % count
        where = f"'{self.before(at)}'"
        if step in repeated:
            first = ".".join((*self.path[:at], repeated[step], *self.path[at + 1 :]))
            raise SpecError(
                Problem(
                    f"'{step}' in {where} is one copy of a repeated entry",
                    self.place(at),
                    hint=f"all copies change together: --set {first}",
                    rule="setting",
                )
            )
        hint = nearest(step, names)
        unknown = any(copies(body) is None for _, body in map(split, node.items) if isinstance(body, Mapping))
        if unknown and re.search(r"_[0-9]+$", step):
            hint = "behind a repeat with a formula, default names cannot be told: give the entry a name"
        words = ", ".join(list(names)[:12]) + (", …" if len(names) > 12 else "")
        raise SpecError(
            Problem(
                f"no entry of {where} is called '{step}'",
                self.place(at),
                hint=hint,
                rule="unknown-name",
                wanted=f"one of {words}; or 0 to {count - 1}"
                if names
                else f"0 to {count - 1}"
                if count
                else "an entry; the list is empty",
            )
        )


def _shown(value: object) -> str:
    return (
        spelled(value)
        if value is None or isinstance(value, (bool, int, float)) and len(f"{value:g}") < 100
        else repr(value)[:200]
    )


def _text(node: Node) -> str:
    return node.text[:40] if isinstance(node, Scalar) else "[…]"
