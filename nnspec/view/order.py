"""The order of vertices within rows, so that few edges cross: median and barycentre sweeps, then swaps of neighbours.

Sugiyama, Tagawa and Toda (1981); Gansner et al., "A technique for drawing directed graphs" (1993).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median

from nnspec.view.containers import Vertex
from nnspec.view.rank import Segment

Ports = Callable[[Segment], tuple[float, float]]  # where a segment leaves and enters, as fractions of the widths
_SWEEPS, _PATIENCE = 24, 6
_MANY = 8000  # segments from which on fewer sweeps are made
_WIDEST_SWAPPED = 60  # rows wider than this are left to the sweeps


def order(rows: Sequence[Sequence[Vertex]], segments: Sequence[Segment], ports: Ports) -> list[list[Vertex]]:
    """The rows with their vertices, and the passing edges, in the best order found; equal input gives equal output."""
    search = _Search(rows, segments, ports)
    best, fewest = search.snapshot(), search.crossings()
    large = len(segments) > _MANY
    for start in (_as_given,) if large else (_as_given, _backwards, _depth_first):
        if not fewest:
            break
        start(search)
        found, crossings = _improved(search, max(4, _SWEEPS * _MANY // len(segments)) if large else _SWEEPS)
        if crossings < fewest:
            best, fewest = found, crossings
    return best


def _improved(search: _Search, sweeps: int) -> tuple[list[list[Vertex]], int]:
    best, fewest, waited = search.snapshot(), search.crossings(), 0
    for sweep in range(sweeps):
        if not fewest or waited == _PATIENCE:
            break
        search.sweep(down=sweep % 2 == 0, centre=median if sweep % 4 < 2 else _mean)
        search.swap_neighbours(ties=sweep % 4 in (1, 2))
        crossings, waited = search.crossings(), waited + 1
        if crossings < fewest:
            best, fewest, waited = search.snapshot(), crossings, 0
    return best, fewest


def _as_given(search: _Search) -> None:
    """Real vertices as they stand in the graph, passing edges to their right."""


def _backwards(search: _Search) -> None:
    search.arrange([row[::-1] for row in search.given])


def _depth_first(search: _Search) -> None:
    """Every vertex as far left as the first way to it from above, followed to its end, found it."""
    seen: dict[Vertex, None] = {}
    waiting = [vertex for row in reversed(search.given) for vertex in reversed(row) if not search.up[vertex]]
    while waiting:
        vertex = waiting.pop()
        if vertex not in seen:
            seen[vertex] = None
            waiting += [lower for lower, _, _ in reversed(search.down[vertex])]
    number = {vertex: index for index, vertex in enumerate(seen)}
    search.arrange([sorted(row, key=lambda vertex: number[vertex]) for row in search.given])


def _mean(places: Sequence[float]) -> float:
    return sum(places) / len(places)


class _Search:
    def __init__(self, rows: Sequence[Sequence[Vertex]], segments: Sequence[Segment], ports: Ports) -> None:
        self.rows = [list(row) for row in rows]
        self.gaps: list[list[tuple[Vertex, Vertex, float, float]]] = [[] for _ in rows]
        self.up: dict[Vertex, list[tuple[Vertex, float, float]]] = defaultdict(list)
        self.down: dict[Vertex, list[tuple[Vertex, float, float]]] = defaultdict(list)
        row_of = {vertex: index for index, row in enumerate(rows) for vertex in row}
        for segment in segments:
            if segment.lower.thin:
                row_of[segment.lower] = segment.lower.rank
                self.rows[segment.lower.rank].append(segment.lower)
            out, into = ports(segment)
            self.gaps[row_of[segment.upper]].append((segment.upper, segment.lower, out, into))
            self.up[segment.lower].append((segment.upper, out, into))
            self.down[segment.upper].append((segment.lower, into, out))
        self.given = self.snapshot()
        self.place: dict[Vertex, int] = {}
        self.arrange(self.given)

    def arrange(self, rows: Sequence[Sequence[Vertex]]) -> None:
        self.rows = [list(row) for row in rows]
        for row in self.rows:
            self.number(row)

    def number(self, row: list[Vertex]) -> None:
        self.place.update({vertex: index for index, vertex in enumerate(row)})

    def snapshot(self) -> list[list[Vertex]]:
        return [list(row) for row in self.rows]

    def sweep(self, down: bool, centre: Callable[[Sequence[float]], float]) -> None:
        near = self.up if down else self.down
        for row in self.rows if down else reversed(self.rows):
            goal = {vertex: centre([self.place[other] + port for other, port, _ in near[vertex]]) for vertex in row if near[vertex]}
            movable = iter(sorted(goal, key=lambda vertex: (goal[vertex], self.place[vertex])))
            row[:] = [next(movable) if vertex in goal else vertex for vertex in row]
            self.number(row)

    def swap_neighbours(self, ties: bool) -> None:
        """Swap neighbours that cross less the other way round; with ``ties`` also, once, those that cross as much."""
        for turn in range(6):
            improved = False
            for row in self.rows:
                if len(row) <= _WIDEST_SWAPPED:
                    improved |= self._swap_in(row, ties and not turn)
            if not improved:
                return

    def _swap_in(self, row: list[Vertex], ties: bool) -> bool:
        improved = False
        near = [[sorted([self.place[other] + port for other, port, _ in side[vertex]]) for side in (self.up, self.down)] for vertex in row]
        for i in range(len(row) - 1):
            left, right = near[i], near[i + 1]
            gain = _over(left[0], right[0]) + _over(left[1], right[1]) - _over(right[0], left[0]) - _over(right[1], left[1])
            if gain > 0 or (ties and not gain):
                row[i], row[i + 1], near[i], near[i + 1] = row[i + 1], row[i], right, left
                self.place[row[i]], self.place[row[i + 1]] = i, i + 1
                improved = True
        return improved

    def crossings(self) -> int:
        total = 0
        for gap in self.gaps:
            ends = sorted((self.place[u] + out, self.place[v] + into) for u, v, out, into in gap)
            seen: list[float] = []
            for _, end in ends:
                total += len(seen) - bisect_right(seen, end)
                insort(seen, end)
        return total


def _over(left: Sequence[float], right: Sequence[float]) -> int:
    """Crossings of edges with these ends on one side when the vertex of the first stands left of that of the second."""
    if len(left) == len(right) == 1:
        return int(left[0] > right[0])
    return sum([bisect_left(right, end) for end in left])
