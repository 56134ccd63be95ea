"""The frames of a graph as a tree of containers, each with its own small graph of what lies directly in it.

An edge that crosses frames becomes one link in every container on its way: from the source out to the container
that holds both ends, and from there in to the target. A value enters or leaves a frame through one port, however
many readers it has on the other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import networkx

from nnspec.records import dataclass, field

Value = tuple[str, str]  # the path of the layer it comes from, the name of the output
Frame = tuple[str, ...]  # the enclosing frames, outermost first; () is the picture itself
Edge = tuple[str, str, int, str]  # source, target, position of the input, output of the source


class Vertex(NamedTuple):
    """Something with a place in a container: a ``node``, a ``frame``, a port of the container (``in``, ``out``) or of
    one of its columns (``enter``, ``leave``), or a stretch of a long edge (``pass``)."""

    kind: str
    key: tuple[str, ...]
    rank: int = 0

    @property
    def thin(self) -> bool:
        return self.kind == "pass"


class Link(NamedTuple):
    """A use of a value inside one container; ``slot`` is the input's position where the target is a node, else -1."""

    origin: Vertex
    value: Value
    target: Vertex
    slot: int


@dataclass
class Container:
    """What lies directly inside a frame, in the order of the graph, and the links between."""

    frame: Frame
    children: dict[Vertex, None] = field(default_factory=dict)
    links: dict[Link, None] = field(default_factory=dict)


def containers(frames: Mapping[str, Frame], edges: Sequence[Edge]) -> dict[Frame, Container]:
    """The container of every frame, parents before children.

    A frame that something both leaves and enters again by way of the outside cannot be drawn as a box in a picture
    that flows downwards; it is left out, and what it held belongs to the frame around it.
    """
    homes = dict(frames)
    while True:
        tree = _build(homes, edges)
        tangled = {vertex.key for container in tree.values() for vertex in _tangled(container)}
        if not tangled:
            return tree
        homes = {node: _without(frame, tangled) for node, frame in homes.items()}


def _build(homes: Mapping[str, Frame], edges: Iterable[Edge]) -> dict[Frame, Container]:
    tree: dict[Frame, Container] = {(): Container(())}
    for node, home in homes.items():
        for depth in range(len(home)):
            tree.setdefault(home[: depth + 1], Container(home[: depth + 1]))
            tree[home[:depth]].children.setdefault(Vertex("frame", home[: depth + 1]))
        tree[home].children[Vertex("node", (node,))] = None
    for source, target, slot, output in edges:
        value, out, into = (source, output), homes[source], homes[target]
        shared = _shared(out, into)
        for depth in range(len(out), shared, -1):
            link = Link(_child(source, out, depth), value, Vertex("out", value), -1)
            tree[out[:depth]].links[link] = None
        for depth in range(shared, len(into) + 1):
            origin = _child(source, out, depth) if depth == shared else Vertex("in", value)
            end = _child(target, into, depth)
            tree[into[:depth]].links[Link(origin, value, end, slot if end.kind == "node" else -1)] = None
    return tree


def _shared(one: Frame, other: Frame) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _child(node: str, home: Frame, depth: int) -> Vertex:
    return Vertex("node", (node,)) if depth == len(home) else Vertex("frame", home[: depth + 1])


def _tangled(container: Container) -> list[Vertex]:
    graph: networkx.DiGraph[Vertex] = networkx.DiGraph()
    graph.add_edges_from((link.origin, link.target) for link in container.links)
    if networkx.is_directed_acyclic_graph(graph):
        return []
    rings = (ring for ring in networkx.strongly_connected_components(graph) if len(ring) > 1)
    found = [vertex for ring in rings for vertex in ring if vertex.kind == "frame"]
    if not found:
        raise ValueError("a network with a cycle cannot be drawn from top to bottom")
    return found


def _without(home: Frame, tangled: set[tuple[str, ...]]) -> Frame:
    return tuple(part for depth, part in enumerate(home) if home[: depth + 1] not in tangled)
