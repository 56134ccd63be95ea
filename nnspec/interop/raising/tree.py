"""Lists of layers as a spec has them: items one behind the other, structures of several lists side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from nnspec.interop.raising.draft import Entry
from nnspec.records import dataclass, field


@dataclass(eq=False)
class Layer:
    """One layer. ``reads`` are the names of what it reads where that is not the item above it; ``entry`` holds its weights."""

    kind: str
    fields: dict[str, Any]
    entry: Entry
    name: str = ""
    reads: tuple[str, ...] = ()


@dataclass(eq=False)
class Branches:
    """Lists side by side over one input; ``residual`` has the layers first, then the shortcut."""

    kind: str  # residual or branches
    paths: list[list[Item]]
    merge: str = ""
    name: str = ""


@dataclass(eq=False)
class Call:
    """A block in place of its copies, one behind the other; ``fields`` are its arguments, ``copies`` what each stands for."""

    kind: str
    fields: dict[str, Any]
    copies: list[list[Item]]
    lists: dict[str, list[Any]] = field(default_factory=dict)  # arguments that differ from copy to copy
    name: str = ""
    times: Any = None  # how many copies, where a block's argument says it
    usual: dict[str, Any] = field(default_factory=dict)  # what arguments are where they are left out


Item: TypeAlias = "Layer | Branches | Call"


def inner(item: Item) -> list[list[Item]]:
    """The lists in an item."""
    return [] if isinstance(item, Layer) else item.paths if isinstance(item, Branches) else item.copies


def layers(items: list[Item]) -> Iterator[Layer]:
    """Every layer in the order in which a network has them."""
    for item in items:
        if isinstance(item, Layer):
            yield item
        for part in inner(item):
            yield from layers(part)


def size(items: list[Item]) -> int:
    """How many lines they take: a call is one, whatever it stands for."""
    return sum(1 if not isinstance(i, Branches) else 1 + sum(map(size, i.paths)) for i in items)
