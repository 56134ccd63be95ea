"""Which layer of one network is which of another, by what they are and how they stand, whatever they are called.

Lists are aligned within the frames (blocks, structures, copies) that are aligned themselves, as a longest common sequence is, but by likeness:
kind, fields, shape and name. What is left over is matched by its neighbours, so that layers which were put into a block, or branches that
were written in another order, are still themselves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

from nnspec.network.graph import Network
from nnspec.records import dataclass, field
from nnspec.view import describe
from nnspec.view.described import entry_of

MOST_CELLS = 40_000  # of a table of likenesses; longer lists are parted at what is equal first
LEAST = 0.2  # likeness below which two are no pair


@dataclass(frozen=True, eq=False)
class Node:
    """A layer, or a frame with what is inside it, of the tree that paths make."""

    path: str
    data: Mapping[str, Any] | None = None
    children: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @cached_property
    def leaves(self) -> list[Node]:
        return [self] if self.data is not None else [leaf for child in self.children for leaf in child.leaves]

    @cached_property
    def looks(self) -> Counter[tuple[object, ...]]:
        """What likeness counts: of each layer its kind, its kind with fields, and these with its shape."""
        if self.data is None:
            return sum((child.looks for child in self.children), Counter[tuple[object, ...]]())
        kind, entry = self.data["kind"], entry_of(self.data)
        return Counter([(kind,), (kind, entry), (kind, entry, tuple(map(str, self.data["shape"])))])

    @cached_property
    def sign(self) -> object:
        """Equal for what is equal with all inside it, names apart."""
        if self.data is not None:
            return self.data["kind"], entry_of(self.data), tuple(map(str, self.data["shape"])), self.name if self.data["kind"] == "input" else ""
        return tuple(child.sign for child in self.children)


def tree(network: Network) -> Node:
    """A network's layers below the frames that their paths name."""
    root = Node("")
    frames: dict[str, Node] = {"": root}
    for path, data in network.nodes.items():
        parts, above = path.split("/"), root
        for depth in range(1, len(parts)):
            inner = "/".join(parts[:depth])
            if inner not in frames:
                frames[inner] = Node(inner)
                above.children.append(frames[inner])
            above = frames[inner]
        above.children.append(Node(path, data))
    return root


@dataclass(frozen=True)
class Alignment:
    """The layers and frames of two networks that are each other's, by path."""

    layers: Mapping[str, str]
    frames: Mapping[str, str]


def align(a: Network, b: Network) -> Alignment:
    """Aligns ``b`` with ``a``; every path stands in one pair at most."""
    layers: dict[str, str] = {}
    frames: dict[str, str] = {"": ""}
    one, other = tree(a), tree(b)
    _descend(one, other, layers, frames)
    _neighbours(a, b, layers)
    return Alignment({path: layers[path] for path in a.nodes if path in layers}, frames)


def _descend(a: Node, b: Node, layers: dict[str, str], frames: dict[str, str]) -> None:
    for x, y in _pairs(a.children, b.children):
        if x.data is None:
            frames[x.path] = y.path
            _descend(x, y, layers, frames)
        else:
            layers[x.path] = y.path


def _pairs(a: Sequence[Node], b: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Two lists aligned: equal beginnings and ends first, the rest by likeness; long ones are parted at what is equal in both."""
    start = 0
    while start < min(len(a), len(b)) and a[start].sign == b[start].sign:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end].sign == b[-1 - end].sign:
        end += 1
    found = [*zip(a[:start], b[:start], strict=True), *(zip(a[len(a) - end :], b[len(b) - end :], strict=True))]
    a, b = a[start : len(a) - end], b[start : len(b) - end]
    if not a or not b:
        return found
    if len(a) * len(b) <= MOST_CELLS:
        return found + _likest(a, b)
    numbers: dict[object, int] = {}
    one, other = ([numbers.setdefault(node.sign, len(numbers)) for node in side] for side in (a, b))
    at = (0, 0)
    for i, j, size in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
        gap = a[at[0] : i], b[at[1] : j]
        found += _likest(*gap) if len(gap[0]) * len(gap[1]) <= MOST_CELLS else _in_order(*gap)
        found += zip(a[i : i + size], b[j : j + size], strict=True)
        at = (i + size, j + size)
    return found


def _in_order(a: Sequence[Node], b: Sequence[Node]) -> list[tuple[Node, Node]]:
    """Lists that are too long to be compared each with each: what is of one kind, one after another."""
    found, left = [], 0
    for x in a:
        for j in range(left, min(left + 64, len(b))):
            if likeness(x, b[j]) >= LEAST:
                found.append((x, b[j]))
                left = j + 1
                break
    return found


def _likest(a: Sequence[Node], b: Sequence[Node]) -> list[tuple[Node, Node]]:
    """The pairs, in the order of both lists, whose likenesses have the largest sum."""
    like = [[likeness(x, y) for y in b] for x in a]
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            pair = like[i][j] + best[i + 1][j + 1] if like[i][j] >= LEAST else 0.0
            best[i][j] = max(pair, best[i + 1][j], best[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if like[i][j] >= LEAST and best[i][j] == like[i][j] + best[i + 1][j + 1]:
            found.append((a[i], b[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def likeness(a: Node, b: Node) -> float:
    """From 0 to 1: frames by the layers inside them, layers by kind, fields, shape and name; another kind may stand in its place."""
    if (a.data is None) != (b.data is None):
        return 0.0
    same_name = a.name == b.name
    if a.data is None or b.data is None:
        both, total = sum((a.looks & b.looks).values()), sum(a.looks.values()) + sum(b.looks.values())
        kin = same_name or base(a.name) == base(b.name)
        return (0.8 * 2 * both / total + 0.1 * kin + 0.1 * same_name) if both and total else 0.0
    if "input" in (a.data["kind"], b.data["kind"]):
        return 0.0 if a.data["kind"] != b.data["kind"] else 1.0 if same_name else 0.3
    shapes = tuple(map(str, a.data["shape"])) == tuple(map(str, b.data["shape"]))
    if a.data["kind"] != b.data["kind"]:
        family = describe.family(str(a.data["kind"])) == describe.family(str(b.data["kind"]))
        named = same_name and not re.search(r"_\d+$", a.name)
        return 0.25 * (family and shapes) + 0.3 * named
    one, other = entry_of(a.data), entry_of(b.data)
    equal = 1.0 if one == other else 0.5 * sum(x == y for x, y in zip(one, other, strict=False)) / max(len(one), len(other), 1)
    return 0.4 + 0.3 * equal + 0.2 * shapes + 0.1 * same_name


def base(name: str) -> str:
    """``unit_3`` is a ``unit``."""
    return re.sub(r"_\d+$", "", name)


def _neighbours(a: Network, b: Network, layers: dict[str, str]) -> None:
    """Pairs among what is left: equal in kind, fields and shape, and beside layers that are pairs already."""
    rest: dict[object, list[str]] = {}
    taken = set(layers.values())
    for path, data in b.nodes.items():
        if path not in taken:
            rest.setdefault(_look(data), []).append(path)
    left = [path for path in a.nodes if path not in layers and _look(a.nodes[path]) in rest]
    if not left:
        return
    near_a, near_b = _around(a), _around(b)
    grown = True
    while grown and left:
        grown, still = False, []
        for path in left:
            wanted = {(way, layers[other]) for way, other in near_a.get(path, ()) if other in layers}
            scored = ((len(wanted & near_b.get(other, frozenset())), other) for other in rest[_look(a.nodes[path])])
            best = max(scored, default=(0, ""), key=lambda pair: pair[0])
            if best[0] == 0:
                still.append(path)
                continue
            layers[path], grown = best[1], True
            rest[_look(a.nodes[path])].remove(best[1])
        left = still


def _look(data: Mapping[str, Any]) -> object:
    return data["kind"], entry_of(data), tuple(map(str, data["shape"]))


def _around(network: Network) -> dict[str, frozenset[tuple[str, str]]]:
    """For each layer what it reads, and what reads it."""
    near: dict[str, set[tuple[str, str]]] = {}
    for source, target, _, _ in network.edges:
        near.setdefault(target, set()).add(("reads", source))
        near.setdefault(source, set()).add(("read by", target))
    return {path: frozenset(found) for path, found in near.items()}


def counted(nodes: Iterable[Node]) -> Counter[str]:
    """How many frames of each base name stand in a list."""
    return Counter(base(node.name) for node in nodes if node.data is None)
