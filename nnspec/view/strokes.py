"""The pieces that edges are drawn with: straight lines and cubic curves whose ends are vertical."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

Point = tuple[float, float]
Stroke = tuple[Point, ...]  # two points are a line, four a cubic Bézier curve
_RADIUS = 9.0
_CIRCLE = 0.5523  # the control points of a quarter circle


def bend(start: Point, leave: float, end: Point, arrive: float) -> list[Stroke]:
    """From ``start`` straight down to height ``leave``, sideways until height ``arrive``, straight down to ``end``."""
    (x, top), to = start, end[0]
    if abs(x - to) < 0.05:  # less than can be seen
        return [(start, end)]
    middle = (leave + arrive) / 2
    curve: Stroke = ((x, leave), (x, middle), (to, middle), (to, arrive))
    lines: list[Stroke] = [((x, top), (x, leave)), curve, ((to, arrive), end)]
    return [stroke for stroke in lines if len(stroke) == 4 or stroke[0] != stroke[1]]


def corner_path(points: Sequence[Point]) -> list[Stroke]:
    """Horizontal and vertical lines through the points, with rounded corners."""
    pieces, here = list[Stroke](), points[0]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_RADIUS, _length(before, corner) / 2, _length(corner, after) / 2)
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        control = _towards(start, corner, radius * _CIRCLE), _towards(end, corner, radius * _CIRCLE)
        pieces += [(here, start), (start, *control, end)]
        here = end
    return [*pieces, (here, points[-1])]


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(a: Point, b: Point, far: float) -> Point:
    length = _length(a, b)
    if not length:
        return a
    return a[0] + (b[0] - a[0]) * far / length, a[1] + (b[1] - a[1]) * far / length


def moved(stroke: Stroke, by: Point) -> Stroke:
    """The stroke shifted by a vector."""
    return tuple((x + by[0], y + by[1]) for x, y in stroke)


def joined(strokes: Iterable[Stroke]) -> Iterator[Stroke]:
    """The strokes with vertical lines that follow one another made one."""
    waiting: Stroke | None = None
    for stroke in strokes:
        if waiting and len(stroke) == 2 and waiting[1] == stroke[0] and waiting[0][0] == stroke[1][0]:
            waiting = (waiting[0], stroke[1])
            continue
        if waiting:
            yield waiting
        waiting = stroke if len(stroke) == 2 else None
        if waiting is None:
            yield stroke
    if waiting:
        yield waiting
