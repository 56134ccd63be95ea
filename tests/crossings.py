"""How many crossings a reader sees in a picture, counted alike in ours and in what Graphviz ``dot`` draws of the same graph."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from nnspec.view.containers import Edge
from nnspec.view.layout import Item, Picture
from nnspec.view.strokes import Point, Stroke

CELL = 60.0  # of the grid that finds near segments
TIP = 4.0  # what meets this near to an end is a meeting, not a crossing
Line = tuple[tuple[str, str], Point, Point]  # the value, and a straight piece of what is drawn for it


def flat(stroke: Stroke, count: int = 12) -> list[Point]:
    """A stroke as a polyline."""
    if len(stroke) == 2:
        return list(stroke)
    points = []
    for step in range(count + 1):
        curve, t = list(stroke), step / count
        while len(curve) > 1:
            curve = [(p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t) for p, q in pairwise(curve)]
        points.append(curve[0])
    return points


def ours(picture: Picture) -> int:
    """Crossings of what we draw: the pieces of each value once, as they are on the paper."""
    drawn: dict[tuple[str, str], dict[Stroke, None]] = defaultdict(dict)
    for (source, _, _, output), strokes in picture.routes.items():
        drawn[source, output].update(dict.fromkeys(strokes))
    ends = [end for strokes in picture.routes.values() for end in (strokes[0][0], strokes[-1][-1])]
    lines = [(value, a, b) for value, strokes in drawn.items() for stroke in strokes for a, b in pairwise(flat(stroke))]
    return crossings(lines, ends)


def by_edges(picture: Picture) -> int:
    """Crossings of ours where every edge counts by itself, also along stretches that several edges share."""
    lines, ends = [], []
    for (source, _, _, output), strokes in picture.routes.items():
        ends += [strokes[0][0], strokes[-1][-1]]
        lines += [((source, output), a, b) for stroke in strokes for a, b in pairwise(flat(stroke))]
    return crossings(lines, ends)


def dots(items: Sequence[Item], edges: Sequence[Edge], seconds: float = 120.0) -> int:
    """Crossings of what ``dot`` draws of boxes of the same sizes in the same frames, without labels, which would stand in its way."""
    done = subprocess.run(["dot", "-Tjson"], input=_dot(items, edges).encode(), capture_output=True, timeout=seconds, check=True)
    lines, ends = list[Line](), list[Point]()
    for drawn in json.loads(done.stdout).get("edges", ()):
        source, _, _, output = edges[int(drawn["comment"])]
        points = [tuple(map(float, p.split(","))) for p in re.findall(r"-?[\d.e+]+,-?[\d.e+]+", drawn["pos"].replace("e,", ""))]
        tip = points.pop(0)  # where the arrow ends
        curves = [tuple((x, y) for x, y in points[i : i + 4]) for i in range(0, len(points) - 1, 3)]
        way = [a for curve in curves for a in flat(curve)] + [(tip[0], tip[1])]
        ends += [way[0], way[-1]]
        lines += [((source, output), a, b) for a, b in pairwise(way) if a != b]
    return crossings(lines, ends)


def _dot(items: Sequence[Item], edges: Sequence[Edge]) -> str:
    number = {item.key: f"n{index}" for index, item in enumerate(items)}
    lines = ["digraph g {", "node [shape=box, fixedsize=true, label=\"\"]"]
    frames: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for item in items:
        for depth in range(len(item.frames)):
            frames.setdefault(item.frames[: depth + 1], [])
        frames[item.frames].append(f"{number[item.key]} [width={item.width / 72:.3f}, height={item.height / 72:.3f}]")
    names = {frame: f"cluster_{index}" for index, frame in enumerate(frames)}

    def nested(frame: tuple[str, ...]) -> Iterable[str]:
        yield from frames[frame]
        for inner in frames:
            if len(inner) == len(frame) + 1 and inner[: len(frame)] == frame:
                yield f"subgraph {names[inner]} {{"
                yield from nested(inner)
                yield "}"

    frames.setdefault((), [])
    names.setdefault((), "all")
    lines += nested(())
    lines += [f'{number[source]} -> {number[target]} [comment="{index}"]' for index, (source, target, _, _) in enumerate(edges)]
    return "\n".join([*lines, "}"])


def crossings(lines: Iterable[Line], ends: Iterable[Point]) -> int:
    """Points at which pieces of different values cross, those near where an edge begins or ends left out."""
    cells: dict[tuple[int, int], list[Line]] = defaultdict(list)
    for line in lines:
        (ax, ay), (bx, by) = line[1:]
        for i in range(int(min(ax, bx) // CELL), int(max(ax, bx) // CELL) + 1):
            for j in range(int(min(ay, by) // CELL), int(max(ay, by) // CELL) + 1):
                cells[i, j].append(line)
    tips: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for x, y in ends:
        tips[int(x // CELL), int(y // CELL)].append((x, y))
    found: dict[tuple[Line, Line], Point] = {}
    for near in cells.values():
        for index, one in enumerate(near):
            for other in near[:index]:
                if one[0] != other[0] and (at := _meet(one, other)) is not None:
                    found[min(one, other), max(one, other)] = at
    return sum(not _near(at, tips) for at in found.values())


def _meet(one: Line, other: Line) -> Point | None:
    (_, p, q), (_, r, s) = one, other
    dx, dy, ex, ey = q[0] - p[0], q[1] - p[1], s[0] - r[0], s[1] - r[1]
    det = dx * ey - dy * ex
    if abs(det) < 1e-9:
        return None
    t = ((r[0] - p[0]) * ey - (r[1] - p[1]) * ex) / det
    u = ((r[0] - p[0]) * dy - (r[1] - p[1]) * dx) / det
    return (p[0] + t * dx, p[1] + t * dy) if 0 <= t < 1 and 0 <= u < 1 else None


def _near(at: Point, tips: dict[tuple[int, int], list[Point]]) -> bool:
    i, j = int(at[0] // CELL), int(at[1] // CELL)
    around = (point for a in (i - 1, i, i + 1) for b in (j - 1, j, j + 1) for point in tips.get((a, b), ()))
    return any(abs(x - at[0]) <= TIP and abs(y - at[1]) <= TIP for x, y in around)
