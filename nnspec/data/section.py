"""Reads the words of a spec's data section, before any data is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nnspec.data import config
from nnspec.data.augment import Augmentation
from nnspec.data.config import ColumnKind, Prepare
from nnspec.data.source_kinds import Source
from nnspec.data.words import not_ours, only
from nnspec.errors import DataError, Place, Problem, SpecError, one_of
from nnspec.spec.explain import build, choose, describe, inward, split, validate
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence

T = TypeVar("T")
K = TypeVar("K", ColumnKind, Prepare, Augmentation)
SECTION = ("columns", "split", "prepare", "augment", *config.Loading.model_fields)


class Section:
    """What a data section says. Problems are collected: ``wrong`` in the spec, ``bad`` in a data file.

    Raises SpecError at once where no source is named.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.wrong: list[Problem] = []
        self.bad: list[Problem] = []
        self.kinds: dict[str, ColumnKind] = {}
        self.places: dict[str, Place] = {}
        self.name, self.place, self.body = self._source()
        pairs = node.pairs if isinstance(node, MappingNode) else {}
        self.split_node = pairs.get("split")
        self._kinds(pairs.get("columns"))
        self.fields = self.attempt(self._fields)
        self.split = self._split(self.split_node)
        self.steps = self._steps(pairs.get("prepare"))
        self.augment = self._augment(pairs.get("augment"))
        own = {key: value for key, value in pairs.items() if key in config.Loading.model_fields}
        keys = node.keys if isinstance(node, MappingNode) else {}
        loading = MappingNode(node.place, own, {key: keys[key] for key in own}, False)
        self.loading = self.attempt(lambda: validate(config.Loading, loading, node.place, "data")) or config.Loading()

    def attempt(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except DataError as e:
            self.bad += e.problems
        except SpecError as e:
            self.wrong += e.problems
        return None

    def _source(self) -> tuple[str, Place, Node | None]:
        """The source's name, its place and its fields."""
        known = tuple(Source.registry)
        node = self.node
        if isinstance(node, Scalar) and isinstance(node.value, str):
            if node.value in known:
                return node.value, node.place, None
            problem = not_ours(node.value, known, node.place, "source of data")
            suffix = Path(node.value).suffix.removeprefix(".")
            hint = f"data: {{{suffix}: {node.value}}}" if suffix in ("csv", "npz", "parquet") else problem.hint
            raise SpecError(Problem(problem.message, node.place, wanted=problem.wanted, hint=hint, rule=problem.rule))
        if not isinstance(node, MappingNode):
            raise SpecError(
                Problem(
                    "data names a source", node.place, found=describe(node), wanted=one_of(known), rule="one-choice"
                )
            )
        section = only(node, (*known, *SECTION), "key of data", self.wrong)
        sources = [key for key in section.pairs if key in known]
        if len(sources) > 1:
            raise SpecError(
                *self.wrong,
                Problem(
                    "one source is read in this version",
                    node.keys[sources[1]],
                    found=", ".join(sources),
                    rule="not-in-this-version",
                ),
            )
        if not sources:
            raise SpecError(
                *(
                    self.wrong
                    or [
                        Problem(
                            "data names no source",
                            node.place,
                            found=describe(node),
                            wanted=one_of(known),
                            hint="data: {csv: {path: rows.csv, target: y}, split: …}",
                            rule="missing-key",
                        )
                    ]
                )
            )
        return sources[0], node.keys[sources[0]], section.pairs[sources[0]]

    def _fields(self) -> Source:
        """The source's own fields."""
        name, body = self.name, self.body
        member = Source.registry[name]
        if member.model_config.get("extra") == "allow":  # its keys are the columns' names
            _check_open(name, member.example, self.place, body)
        elif isinstance(body, MappingNode):
            body = only(body, tuple(member.model_fields), f"key of data source '{name}'", self.wrong)
        fields: Source = build(Source, name, self.place, body, "data source")
        return fields

    def _kinds(self, node: Node | None) -> None:
        if node is None:
            return
        if not isinstance(node, MappingNode):
            self.wrong.append(
                Problem(
                    "columns is a mapping of names to types",
                    node.place,
                    found=describe(node),
                    wanted="{area: number, street: category, id: drop}",
                    rule="bad-value",
                )
            )
            return
        for name, kind in node.pairs.items():
            self.places[name] = node.keys[name]
            chosen = self._choice(ColumnKind, kind, "type of column")
            if chosen is not None:
                self.kinds[name] = chosen

    def _choice(self, family: type[K], node: Node, what: str) -> K | None:
        """A member of a family, its words checked against those of the data section."""
        try:
            name, place, body = split(node, what)
            if name not in family.registry:
                raise SpecError(not_ours(name, tuple(family.registry), place, what))
            if isinstance(body, MappingNode):
                body = only(body, tuple(family.registry[name].model_fields), f"key of {what} '{name}'", self.wrong)
                node = MappingNode(node.place, {name: body}, {name: place}, False)
            return choose(node, family, what)
        except SpecError as e:
            self.wrong += e.problems
        return None

    def _split(self, node: Node | None) -> config.Split | None:
        if node is None:
            return None
        if isinstance(node, MappingNode):
            known = only(node, tuple(config.Split.model_fields), "key of split", self.wrong)
            return self.attempt(lambda: validate(config.Split, known, node.place, "split"))
        self.wrong.append(
            Problem(
                "split is a mapping",
                node.place,
                found=describe(node),
                wanted="{train: 0.8, validation: 0.2}",
                rule="bad-value",
            )
        )
        return None

    def _steps(self, node: Node | None) -> list[tuple[Prepare, Node]]:
        if node is None:
            return []
        if not isinstance(node, Sequence):
            self.wrong.append(
                Problem(
                    "prepare is a list of steps",
                    node.place,
                    found=describe(node),
                    wanted="[standardize: [area, price]]",
                    rule="bad-value",
                )
            )
            return []
        chosen = [(self._choice(Prepare, item, "preparation"), item) for item in node.items]
        return [(step, item) for step, item in chosen if step is not None]

    def _augment(self, node: Node | None) -> list[tuple[Augmentation, Node]]:
        if node is None:
            return []
        if not isinstance(node, Sequence):
            wanted = "[flip: horizontal, crop: {padding: 2}]"
            self.wrong.append(Problem("augment is a list of steps", node.place, found=describe(node), wanted=wanted, rule="bad-value"))
            return []
        chosen = [(self._choice(Augmentation, item, "augmentation"), item) for item in node.items]  # type: ignore[type-abstract]  # a family
        return [(step, item) for step, item in chosen if step is not None]


def _check_open(name: str, example: str, place: Place, body: Node | None) -> None:
    """A source of columns by name has at least one, and is no single path."""
    if isinstance(body, MappingNode) and set(body.pairs) - {"target", "path", "columns"} and "path" not in body.pairs:
        return
    where = body.keys["path"] if isinstance(body, MappingNode) and "path" in body.pairs else body.place if body else place
    message = f"{name} names a column for each of its files"
    raise SpecError(Problem(message, where, found=describe(body) if body else "nothing", wanted=f"{name}: {example}", rule="missing-key"))


def at(node: Node | None, *path: str | int) -> Place | None:
    """The place of what lies at a path of keys and indices; of the last part that is there. None for no node."""
    reached = [node, *inward(node, path)]
    return reached[-1].place if reached[-1] else None


def find(node: Node, word: str) -> Place:
    """The place of the first scalar below a node with that text, else the node's own."""
    waiting = [node]
    while waiting:
        at = waiting.pop()
        if isinstance(at, Scalar) and at.text == word:
            return at.place
        waiting += reversed(
            [*at.pairs.values()] if isinstance(at, MappingNode) else at.items if isinstance(at, Sequence) else []
        )
    return node.place
