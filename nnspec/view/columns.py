"""Long chains folded into columns, read from left to right, so that a deep network is a page and not a ribbon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from nnspec.records import dataclass
from nnspec.view.containers import Value, Vertex
from nnspec.view.rank import Segment

GUTTER = 26.0  # beside the lanes between columns
_MOST_VALUES = 8  # a fold that would carry more values than this from column to column is not made


@dataclass
class Column:
    """Consecutive rows; ``enters`` and ``leaves`` are the values carried over from and to the columns beside it."""

    rows: list[list[Vertex]]
    segments: list[Segment]
    enters: list[Value]
    leaves: list[Value]


def fold(
    rows: Sequence[Sequence[Vertex]],
    segments: Sequence[Segment],
    sizes: Sequence[tuple[float, float]],
    out: Callable[[Segment], float],
    tallest: float,
    aspect: float | None = None,
) -> list[Column]:
    """The rows, with their widths and heights, in columns not much above ``tallest`` where the network can be cut.

    ``out`` says how far from the left side of its upper vertex a segment leaves it: what is carried over keeps that order.
    With ``aspect``, so many columns that the whole is largest on a page that many times as wide as it is high.
    """
    gaps: list[list[Segment]] = [[] for _ in rows]
    row_of = {vertex: index for index, row in enumerate(rows) for vertex in row}
    for segment in segments:
        gaps[row_of[segment.upper]].append(segment)
    carried = [len({segment.value for segment in gap}) for gap in gaps]
    total = sum(high for _, high in sizes)
    number = round(total / tallest + 0.3)
    numbers = [number] if aspect is None or total <= tallest else range(max(1, number - 4), number + 5)
    choices = [_cuts(rows, [high for _, high in sizes], carried, number) for number in numbers]
    return _cut(rows, gaps, out, min(choices, key=lambda cuts: _extent(cuts, sizes, carried, aspect or 1.0)))


def _extent(cuts: Sequence[int], sizes: Sequence[tuple[float, float]], carried: Sequence[int], aspect: float) -> float:
    """The height of the page that the columns fill, a seventh more for every second value that is carried, a tenth for a short one."""
    stops = [0, *(cut + 1 for cut in cuts), len(sizes)]
    columns = [sizes[start:end] for start, end in pairwise(stops)]
    small = sum(2 * GUTTER + sum(h for _, h in column) < 0.3 * max(sum(h for _, h in c) for c in columns) for column in columns)
    wide = sum(max((w for w, _ in column), default=0.0) + 2 * GUTTER for column in columns)
    high = max(sum(h for _, h in column) for column in columns)
    return max(wide / aspect, high) * (1 + 0.15 * sum(carried[cut] - 1 for cut in cuts) + 0.1 * small)


def _cut(
    rows: Sequence[Sequence[Vertex]], gaps: Sequence[Sequence[Segment]], out: Callable[[Segment], float], cuts: Sequence[int]
) -> list[Column]:
    starts, ends = [0, *(cut + 1 for cut in cuts)], [*cuts, len(rows) - 1]
    columns, enters = [], list[Value]()
    for start, end in zip(starts, ends, strict=True):
        column = Column([list(row) for row in rows[start : end + 1]], [], enters, [])
        for gap in gaps[start:end]:
            column.segments += gap
        if enters:
            column.rows.insert(0, [Vertex("enter", value, start) for value in enters])
            column.segments += [s._replace(upper=Vertex("enter", s.value, start)) for s in gaps[start - 1]]
        if end < len(rows) - 1:
            enters = _in_order(rows[end], gaps[end], out)
            column.leaves = enters
            column.rows.append([Vertex("leave", value, end) for value in enters])
            uppers = dict.fromkeys((s.upper, s.value) for s in gaps[end])
            column.segments += [Segment(upper, Vertex("leave", value, end), value, -1) for upper, value in uppers]
        columns.append(column)
    return columns


def _in_order(row: Iterable[Vertex], gap: Iterable[Segment], out: Callable[[Segment], float]) -> list[Value]:
    place = {vertex: index for index, vertex in enumerate(row)}
    return list(dict.fromkeys(s.value for s in sorted(gap, key=lambda s: (place[s.upper], out(s)))))


def _cuts(rows: Sequence[Sequence[Vertex]], heights: Sequence[float], carried: Sequence[int], wanted: int) -> list[int]:
    """The rows after which to cut: least sum over columns of (height / aim - 1)^2 and a little for what is carried."""
    if wanted < 2:
        return []
    aim = sum(heights) / wanted
    ports = {index for index, row in enumerate(rows) if row and row[0].kind in ("in", "out")}
    free = [index for index in range(len(rows) - 1) if 0 < carried[index] <= _MOST_VALUES and index not in ports and index + 1 not in ports]
    before = [0.0]
    for height in heights:
        before.append(before[-1] + height)
    stops = [-1, *free, len(rows) - 1]
    best = [0.0] + [float("inf")] * (len(stops) - 1)
    back = [0] * len(stops)
    for j in range(1, len(stops)):
        for i in range(j - 1, -1, -1):
            height = before[stops[j] + 1] - before[stops[i] + 1]
            score = best[i] + (height / aim - 1) ** 2 + (0.1 * carried[stops[j]] if j < len(stops) - 1 else 0)
            if score < best[j]:
                best[j], back[j] = score, i
            if height > 3 * aim:
                break
    cuts, at = list[int](), back[-1]
    while at:
        cuts.append(stops[at])
        at = back[at]
    return cuts[::-1]
