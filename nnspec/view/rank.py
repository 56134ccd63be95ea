"""Which row each child of a container stands in: as high as its inputs allow, lowered where that shortens edges."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from nnspec.view.containers import Container, Value, Vertex

_LOOKED_AT = 100_000  # vertices, in search of shorter ways


class Segment(NamedTuple):
    """A piece of a value's way from one row to the next; ``slot`` as in ``Link``."""

    upper: Vertex
    lower: Vertex
    value: Value
    slot: int


def rank(container: Container) -> tuple[list[list[Vertex]], list[Segment]]:
    """Rows of vertices, long edges cut into ``pass`` vertices (one chain a value), and the segments between rows.

    Entering ports make the first row, leaving ports the last.
    """
    above: dict[Vertex, dict[Vertex, None]] = defaultdict(dict)
    below: dict[Vertex, dict[Vertex, None]] = defaultdict(dict)
    for link in container.links:
        above[link.target][link.origin] = None
        below[link.origin][link.target] = None
    ports = [end for link in container.links for end in (link.origin, link.target) if end.kind in ("in", "out")]
    everything = dict.fromkeys([*(p for p in ports if p.kind == "in"), *container.children, *ports])
    order = _topological(everything, above, below)
    rows = _longest_path(order, above)
    _lower(order, rows, above, below)
    _shorten(order, rows, above, below)
    last = max(rows.values()) + 1 if any(p.kind == "out" for p in ports) else max(rows.values(), default=0)
    rows.update({port: last for port in ports if port.kind == "out"})
    return _rows(order, rows), _segments(container, rows, order)


def _topological(
    vertices: Mapping[Vertex, None],
    above: Mapping[Vertex, Mapping[Vertex, None]],
    below: Mapping[Vertex, Mapping[Vertex, None]],
) -> list[Vertex]:
    number = {vertex: index for index, vertex in enumerate(vertices)}
    names = list(vertices)
    waiting = {vertex: len(above.get(vertex, ())) for vertex in vertices}
    ready = [number[vertex] for vertex in vertices if not waiting[vertex]]
    heapq.heapify(ready)
    order = []
    while ready:
        vertex = names[heapq.heappop(ready)]
        order.append(vertex)
        for reader in below.get(vertex, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, number[reader])
    return order


def _longest_path(order: list[Vertex], above: Mapping[Vertex, Mapping[Vertex, None]]) -> dict[Vertex, int]:
    first = 1 if any(vertex.kind == "in" for vertex in order) else 0
    rows: dict[Vertex, int] = {}
    for vertex in order:
        if vertex.kind == "in":
            rows[vertex] = 0
        elif vertex.kind == "node" or vertex.kind == "frame":
            rows[vertex] = max((rows[source] + 1 for source in above.get(vertex, ())), default=first)
    return rows


def _lower(
    order: list[Vertex],
    rows: dict[Vertex, int],
    above: Mapping[Vertex, Mapping[Vertex, None]],
    below: Mapping[Vertex, Mapping[Vertex, None]],
) -> None:
    for vertex in reversed(order):
        readers = [rows[reader] for reader in below.get(vertex, ()) if reader in rows]
        if vertex.kind in ("node", "frame") and readers and len(below[vertex]) > len(above.get(vertex, ())):
            rows[vertex] = max(rows[vertex], min(readers) - 1)


def _shorten(
    order: list[Vertex], rows: dict[Vertex, int], above: Mapping[Vertex, Mapping[Vertex, None]], below: Mapping[Vertex, Mapping[Vertex, None]]
) -> None:
    """Lower a vertex and all that must go down with it where more edges are shorter then than longer: a quick branch follows a slow one."""
    budget = _LOOKED_AT
    for vertex in order:
        while budget > 0 and vertex.kind in ("node", "frame"):
            moved = _with_it(vertex, rows, below)
            budget -= len(moved)
            longer = sum(upper not in moved for each in moved for upper in above.get(each, ()))
            free = [rows[lower] - rows[each] - 1 for each in moved for lower in below.get(each, ()) if lower in rows and lower not in moved]
            if len(free) <= longer:
                break
            rows.update({each: rows[each] + min(free) for each in moved})


def _with_it(vertex: Vertex, rows: Mapping[Vertex, int], below: Mapping[Vertex, Mapping[Vertex, None]]) -> dict[Vertex, None]:
    """A vertex, what stands right below it and reads it, and so on."""
    moved, waiting = {vertex: None}, [vertex]
    for upper in waiting:
        onward = [lower for lower in below.get(upper, ()) if rows.get(lower) == rows[upper] + 1 and lower not in moved]
        moved.update(dict.fromkeys(onward))
        waiting += onward
    return moved


def _rows(order: list[Vertex], rows: Mapping[Vertex, int]) -> list[list[Vertex]]:
    grouped: list[list[Vertex]] = [[] for _ in range(max(rows.values(), default=-1) + 1)]
    for vertex in order:
        grouped[rows[vertex]].append(vertex)
    return grouped


def _segments(container: Container, rows: Mapping[Vertex, int], order: list[Vertex]) -> list[Segment]:
    uses: dict[tuple[Vertex, Value], list[tuple[Vertex, int]]] = defaultdict(list)
    for link in container.links:
        uses[link.origin, link.value].append((link.target, link.slot))
    place = {vertex: index for index, vertex in enumerate(order)}
    segments = []
    for (origin, value), targets in sorted(uses.items(), key=lambda use: (place[use[0][0]], use[0][1])):
        last = max(rows[target] for target, _ in targets)
        carrier = origin
        for row in range(rows[origin] + 1, last + 1):
            segments += [Segment(carrier, target, value, slot) for target, slot in targets if rows[target] == row]
            if row < last:
                onward = Vertex("pass", value, row)
                segments.append(Segment(carrier, onward, value, -1))
                carrier = onward
    return segments
