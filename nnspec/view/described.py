"""Every value that a spec settles, stated or default, in words that are equal where the values are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nnspec.spec.model import Config, Kind
from nnspec.spec.scalars import resolve
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Scalar, plain
from nnspec.spec.source import Sequence as SequenceNode
from nnspec.spec.write import flow

UNSAID = {"name", "place", "places"}


class Settled(NamedTuple):
    """A value as text, and whether the spec states it; ``as_written`` is another spelling that counts as equal."""

    text: str
    stated: bool = True
    as_written: str = ""

    def equals(self, other: Settled) -> bool:
        return self.text == other.text or bool(self.as_written) and self.as_written == other.as_written


def entry_of(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """All fields of a layer's node by name, defaults included."""
    leaf = data.get("leaf")
    return () if leaf is None else tuple((name, value.text) for name, value in fields(leaf.entry).items())


def fields(model: Config) -> dict[str, Settled]:
    """The fields of one model by name; those of a choice within it stand behind its own: ``activation``, ``activation.slope``."""
    out: dict[str, Settled] = {}
    for name in type(model).model_fields:
        if name not in UNSAID:
            value, stated = getattr(model, name), name in model.model_fields_set
            out[name] = Settled(value_text(value), stated)
    return out


def value_text(value: Any) -> str:
    """A value on one line, as YAML has it; a choice by its kind and the fields that are not the defaults."""
    return flow(_tree(value))


def _tree(value: Any) -> Any:
    if isinstance(value, MappingNode | SequenceNode | Scalar):
        return _tree(plain(value))
    if isinstance(value, Kind):
        inner = {k: _tree(getattr(value, k)) for k, f in type(value).model_fields.items() if getattr(value, k) != f.default}
        return {value.kind: inner} if inner else value.kind
    if isinstance(value, Config):
        return {k: _tree(getattr(value, k)) for k in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(k): _tree(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_tree(v) for v in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    return value if value is None or isinstance(value, bool | int | str) else resolve(str(value))  # a span: 5, or 500 steps


def flattened(tree: Any, path: str) -> Iterator[tuple[str, Settled]]:
    """A canonical tree's values by key."""
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from flattened(value, f"{path}.{key}")
    else:
        yield path, Settled(flow(_tree(tree)))
