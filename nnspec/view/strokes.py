"""The pieces that edges are drawn with: straight lines and cubic curves whose ends are vertical."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import cos, hypot, pi, sin

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


def joined(strokes: Iterable[Stroke]) -> list[Stroke]:
    """The strokes, each stretch once: vertical lines that touch or overlap are one."""
    ways = dict.fromkeys(strokes)
    stretches: dict[float, list[tuple[float, float]]] = {}
    for stroke in ways:
        if _upright(stroke):
            stretches.setdefault(round(stroke[0][0], 2), []).append((stroke[0][1], stroke[1][1]))
    found: dict[Stroke, None] = {}
    for stroke in ways:
        x = round(stroke[0][0], 2)
        if not _upright(stroke):
            found[stroke] = None
        elif x in stretches:
            found.update(dict.fromkeys(((x, a), (x, b)) for a, b in _united(stretches.pop(x))))
    return list(found)


def _upright(stroke: Stroke) -> bool:
    return len(stroke) == 2 and abs(stroke[0][0] - stroke[1][0]) < 0.01


def _united(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for low, high in sorted((min(ends), max(ends)) for ends in stretches):
        if found and low <= found[-1][1] + 0.01:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found


def flat(stroke: Stroke, count: int = 16) -> list[Point]:
    """The stroke as points with straight lines between them."""
    if len(stroke) == 2:
        return list(stroke)
    (a, b), (c, d), (e, f), (g, h) = stroke
    points = []
    for step in range(count + 1):
        t = step / count
        s = 1 - t
        w = (s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t)
        points.append((a * w[0] + c * w[1] + e * w[2] + g * w[3], b * w[0] + d * w[1] + f * w[2] + h * w[3]))
    return points


def outline(x: float, y: float, wide: float, high: float, radius: float) -> list[Point]:
    """The way around a rectangle with round corners, back to where it began."""
    r = min(radius, wide / 2, high / 2)
    left, up, right, down = x + r, y + r, x + wide - r, y + high - r
    corners = ((right, up, -pi / 2), (right, down, 0.0), (left, down, pi / 2), (left, up, pi))
    points = [(at + r * cos(turn + step * pi / 12), to + r * sin(turn + step * pi / 12)) for at, to, turn in corners for step in range(7)]
    return [*points, points[0]]


def dashes(points: Sequence[Point], on: float, off: float) -> Iterator[list[Point]]:
    """The pieces of a polyline that are drawn where it is dashed."""
    piece, left, drawing = [points[0]], on, True
    for a, b in pairwise(points):
        length, gone = hypot(b[0] - a[0], b[1] - a[1]), 0.0
        while length - gone > left:
            gone += left
            corner = (a[0] + (b[0] - a[0]) * gone / length, a[1] + (b[1] - a[1]) * gone / length)
            if drawing:
                yield [*piece, corner]
            piece, drawing, left = [corner], not drawing, off if drawing else on
        left -= length - gone
        piece.append(b)
    if drawing:
        yield piece
