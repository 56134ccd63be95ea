"""The order of vertices within rows, so that few edges cross: median and barycentre sweeps, swaps of neighbours, then sifting.

Sugiyama, Tagawa and Toda (1981); Gansner et al., "A technique for drawing directed graphs" (1993); Matuszewski et al.,
"Using sifting for k-layer straightline crossing minimization" (1999). Rows that follow one another one to one are ordered as one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random
from statistics import median

from nnspec.view.containers import Vertex
from nnspec.view.rank import Segment

Ports = Callable[[Segment], tuple[float, float]]  # where a segment leaves and enters, as fractions of the widths
_Link = tuple[Vertex, Vertex, float, float]  # upper, lower, and where it leaves and enters them
_SWEEPS, _PATIENCE = 24, 6
_MANY = 8000  # segments from which on fewer sweeps are made
_SHUFFLED, _FEW = 8, 2000  # starts from a shuffled order, fewer where there are many segments
_LOOKED_AT = 150_000  # pairs of neighbours, after which nothing is sifted and no other start made
_WIDEST_SWAPPED = 60  # rows wider than this are left to the sweeps


def order(rows: Sequence[Sequence[Vertex]], segments: Sequence[Segment], ports: Ports) -> list[list[Vertex]]:
    """The rows with their vertices, and the passing edges, in the best order found; equal input gives equal output."""
    full, gaps = _filled(rows, segments, ports)
    head = dict[Vertex, Vertex]()  # the first of those that stand one below the other, with nothing else above or below them
    firsts = []
    for index, row in enumerate(full):
        if index and _one_to_one(full[index - 1], row, gaps[index - 1]):
            head.update({lower: head[upper] for upper, lower, _, _ in gaps[index - 1]})
        else:
            head.update({vertex: vertex for vertex in row})
            firsts.append(index)
    between = [[(head[u], v, out, into) for u, v, out, into in gaps[after - 1]] for after in firsts[1:]]
    best, fewest = _best(_Search([full[index] for index in firsts], [*between, []]))
    place = {vertex: at for row in best for at, vertex in enumerate(row)}
    found = [sorted(row, key=lambda vertex: place[head[vertex]]) for row in full]
    if not fewest or len(firsts) == len(full):
        return found
    search = _Search(found, gaps)
    search.swap_neighbours(ties=False)  # two lines may cross best where nothing else ends
    return search.rows


def _filled(rows: Sequence[Sequence[Vertex]], segments: Sequence[Segment], ports: Ports) -> tuple[list[list[Vertex]], list[list[_Link]]]:
    """The rows with the stretches of long edges at their ends, and what leads from each row to the next."""
    full: list[list[Vertex]] = [list(row) for row in rows]
    gaps: list[list[_Link]] = [[] for _ in rows]
    row_of = {vertex: index for index, row in enumerate(rows) for vertex in row}
    for segment in segments:
        if segment.lower.thin:
            row_of[segment.lower] = segment.lower.rank
            full[segment.lower.rank].append(segment.lower)
        gaps[row_of[segment.upper]].append((segment.upper, segment.lower, *ports(segment)))
    return full, gaps


def _one_to_one(upper: Sequence[Vertex], lower: Sequence[Vertex], links: Sequence[_Link]) -> bool:
    if not len(upper) == len(lower) == len(links):
        return False
    return len({link[0] for link in links}) == len({link[1] for link in links}) == len(links)


def _best(search: _Search) -> tuple[list[list[Vertex]], int]:
    best, fewest = search.snapshot(), search.crossings()
    count = max(1, sum(map(len, search.gaps)))
    starts: list[Callable[[], None]] = [lambda: None, lambda: _backwards(search), lambda: _depth_first(search)]
    if count > _MANY:
        starts = starts[:1]
    random = Random(count)
    starts += [lambda: _shuffled(search, random)] * min(_SHUFFLED, _FEW // count)
    for start in starts:
        if not fewest or search.left <= 0:
            break
        start()
        found, crossings = _improved(search, max(4, _SWEEPS * _MANY // count) if count > _MANY else _SWEEPS)
        if crossings < fewest:
            best, fewest = found, crossings
    return best, fewest


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
    search.arrange(best)
    while fewest and search.sift():
        search.swap_neighbours(ties=False)
        best, fewest = search.snapshot(), search.crossings()
    return best, fewest


def _backwards(search: _Search) -> None:
    search.arrange([row[::-1] for row in search.given])


def _shuffled(search: _Search, random: Random) -> None:
    search.arrange([random.sample(row, len(row)) for row in search.given])


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
    def __init__(self, rows: Sequence[Sequence[Vertex]], gaps: Sequence[Sequence[_Link]]) -> None:
        self.rows, self.gaps = [list(row) for row in rows], gaps
        self.up: dict[Vertex, list[tuple[Vertex, float, float]]] = defaultdict(list)
        self.down: dict[Vertex, list[tuple[Vertex, float, float]]] = defaultdict(list)
        for gap in gaps:
            for upper, lower, out, into in gap:
                self.up[lower].append((upper, out, into))
                self.down[upper].append((lower, into, out))
        self.given = self.snapshot()
        self.left = _LOOKED_AT
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
            for row in self.rows if ties and not turn else self.crossed():
                if len(row) <= _WIDEST_SWAPPED:
                    improved |= self._swap_in(row, ties and not turn)
            if not improved:
                return

    def crossed(self) -> list[list[Vertex]]:
        """The rows above or below which something crosses."""
        counts = [0, *map(self._crossings, self.gaps)]
        return [row for index, row in enumerate(self.rows) if counts[index] or counts[index + 1]]

    def _near(self, row: Sequence[Vertex]) -> list[list[list[float]]]:
        """For each vertex of a row where what leads to it is, above and below, from left to right."""
        return [[sorted([self.place[other] + port for other, port, _ in side[vertex]]) for side in (self.up, self.down)] for vertex in row]

    def _swap_in(self, row: list[Vertex], ties: bool) -> bool:
        improved, near = False, self._near(row)
        self.left -= len(row)
        for i in range(len(row) - 1):
            left, right = near[i], near[i + 1]
            gain = _gain(left, right)
            if gain > 0 or (ties and not gain):
                row[i], row[i + 1], near[i], near[i + 1] = row[i + 1], row[i], right, left
                self.place[row[i]], self.place[row[i + 1]] = i, i + 1
                improved = True
        return improved

    def sift(self) -> bool:
        """Move each vertex of the rows that something crosses to where in its row the fewest do."""
        improved = False
        for row in self.crossed():
            if len(row) > _WIDEST_SWAPPED or self.left < len(row) ** 2:
                continue
            self.left -= len(row) ** 2
            near = dict(zip(row, self._near(row), strict=True))
            for vertex in list(row):
                at, best, to = row.index(vertex), 0, -1
                for way in (range(at - 1, -1, -1), range(at + 1, len(row))):
                    gain = 0
                    for other in way:
                        gain += _gain(near[row[other]], near[vertex]) if other < at else _gain(near[vertex], near[row[other]])
                        if gain > best:
                            best, to = gain, other
                if best:
                    row.insert(to, row.pop(at))
                    improved = True
            self.number(row)
        return improved

    def crossings(self) -> int:
        return sum(map(self._crossings, self.gaps))

    def _crossings(self, gap: Sequence[_Link]) -> int:
        total, seen = 0, list[float]()
        for _, end in sorted((self.place[u] + out, self.place[v] + into) for u, v, out, into in gap):
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
        return total


def _gain(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> int:
    """How many crossings fewer there are when neighbours change places."""
    return _over(left[0], right[0]) + _over(left[1], right[1]) - _over(right[0], left[0]) - _over(right[1], left[1])


def _over(left: Sequence[float], right: Sequence[float]) -> int:
    """Crossings of edges with these ends on one side when the vertex of the first stands left of that of the second."""
    if len(left) == len(right) == 1:
        return int(left[0] > right[0])
    return sum([bisect_left(right, end) for end in left])
