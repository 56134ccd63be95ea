"""Where everything of a network's picture stands: layers in rows from top to bottom, frames around what they hold.

Every container is laid out by itself, innermost first, after Sugiyama: rows (``rank``), order in the rows (``order``),
places from left to right (``place``); a finished frame is then one vertex, with ports, of the container around it.
Edges move sideways only between rows, so none passes through a box. Equal graphs give equal pictures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt

from nnspec.records import dataclass, field
from nnspec.view.columns import GUTTER, Column, fold
from nnspec.view.containers import Container, Edge, Frame, Value, Vertex, containers
from nnspec.view.order import order
from nnspec.view.place import Wire, main_way, place
from nnspec.view.rank import Segment, rank
from nnspec.view.strokes import Point, Stroke, bend, corner_path, moved

HEADER = 26.0  # height of the line with a frame's label
_PADDING = 14.0
_ROW_GAP, _PORT_GAP = 24.0, 12.0
_LANE = 14.0
_SHORTEST_COLUMN = 1000.0
_ASPECT = 1.6  # of a page: width over height


@dataclass(frozen=True, slots=True)
class Item:
    """A layer to be placed: its box, the room kept free beside it and below it for labels, and where outputs leave."""

    key: str
    width: float
    height: float
    beside: float = 0.0
    below: float = 0.0
    frames: Frame = ()
    ports: Mapping[str, float] = field(default_factory=dict)  # name of an output -> distance from the box's left side

    @property
    def span(self) -> float:
        return self.width + 2 * self.beside


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; y grows downwards."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes of layers and frames, and the way of every edge from the bottom of its source to the top of its target.

    ``gates`` are the places, from left to right, where edges run through a frame's header line.
    """

    width: float
    height: float
    boxes: dict[str, Box]
    frames: dict[Frame, Box]
    routes: dict[Edge, tuple[Stroke, ...]]
    gates: dict[Frame, tuple[float, ...]]


@dataclass
class _Laid:
    """A container with everything placed relative to its upper left corner."""

    width: float = 0.0
    height: float = 0.0
    at: dict[Vertex, Point] = field(default_factory=dict)
    enters: dict[Value, float] = field(default_factory=dict)
    leaves: dict[Value, float] = field(default_factory=dict)
    ways: dict[tuple[Vertex, Value, int], tuple[Vertex, list[Stroke]]] = field(default_factory=dict)


def layout(items: Sequence[Item], edges: Sequence[Edge], labels: Mapping[Frame, float] | None = None) -> Picture:
    """Lay the items out; ``labels`` are the widths of the frames' labels, which stay clear of edges."""
    if not items:
        return Picture(0.0, 0.0, {}, {}, {}, {})
    tree = containers({item.key: item.frames for item in items}, edges)
    work = _Layout({item.key: item for item in items}, dict(labels or {}), _column_height(items))
    for frame in reversed(list(tree)):
        work.lay(tree[frame])
    return work.picture(tree, edges)


def arranged(items: Sequence[Item], edges: Sequence[Edge]) -> dict[Frame, tuple[Container, list[list[Vertex]], list[Segment]]]:
    """Every container, outer ones first, with its rows in their order and the segments between: all of a layout that no size changes."""
    if not items:
        return {}
    tree = containers({item.key: item.frames for item in items}, edges)
    work = _Layout({item.key: item for item in items}, {}, _column_height(items))
    for frame in reversed(list(tree)):
        work.lay(tree[frame])
    return {frame: (container, *work.ordered[frame]) for frame, container in tree.items()}


def _column_height(items: Sequence[Item]) -> float:
    area = sum((item.span + 40) * (item.height + item.below + _ROW_GAP + 10) for item in items)
    return max(_SHORTEST_COLUMN, 1.0 * sqrt(area))


class _Layout:
    def __init__(self, items: Mapping[str, Item], labels: Mapping[Frame, float], tallest: float) -> None:
        self.items, self.labels, self.tallest = items, labels, tallest
        self.laid: dict[Frame, _Laid] = {}
        self.ordered: dict[Frame, tuple[list[list[Vertex]], list[Segment]]] = {}

    # What a vertex takes up, and where values leave and enter it.

    def width(self, vertex: Vertex) -> float:
        if vertex.kind == "node":
            return self.items[vertex.key[0]].span
        return self.laid[vertex.key].width if vertex.kind == "frame" else 0.0

    def height(self, vertex: Vertex) -> float:
        if vertex.kind == "node":
            return self.items[vertex.key[0]].height + self.items[vertex.key[0]].below
        return self.laid[vertex.key].height if vertex.kind == "frame" else 0.0

    def apart(self, left: Vertex, right: Vertex) -> float:
        boxes = sum(vertex.kind in ("node", "frame") for vertex in (left, right))
        return (14.0, 18.0, 24.0)[boxes]

    def out(self, segment: Segment) -> float:
        upper = segment.upper
        if upper.kind == "frame":
            return self.laid[upper.key].leaves[segment.value]
        if upper.kind == "node":
            item = self.items[upper.key[0]]
            return item.beside + item.ports.get(segment.value[1], item.width / 2)
        return 0.0

    def fractions(self, segment: Segment) -> tuple[float, float]:
        lower = segment.lower
        into = 0.5
        if lower.kind == "frame":
            into = self.laid[lower.key].enters[segment.value] / self.laid[lower.key].width
        width = self.width(segment.upper)
        return (self.out(segment) / width if width else 0.5), into

    def wires(self, column: Column) -> list[Wire]:
        position = {vertex: index for row in column.rows for index, vertex in enumerate(row)}
        arriving: dict[Vertex, list[Segment]] = defaultdict(list)
        for segment in column.segments:
            arriving[segment.lower].append(segment)
        wires = []
        for lower, segments in arriving.items():
            segments.sort(key=lambda s: (position[s.upper], self.out(s), s.slot))
            wires += [Wire(s, self.out(s), self._into(lower, s, i, segments)) for i, s in enumerate(segments)]
        return wires

    def _into(self, lower: Vertex, segment: Segment, index: int, segments: Sequence[Segment]) -> float:
        if lower.kind == "frame":
            return self.laid[lower.key].enters[segment.value]
        if lower.kind != "node":
            return 0.0
        item, last = self.items[lower.key[0]], len(segments) - 1
        main = main_way([s.upper for s in segments])
        middle = last / 2 if main is None else float(main)
        step = min(20.0, (item.width / 2 - 12) / max(middle, last - middle, 1))
        return item.span / 2 + (index - middle) * step

    # One container.

    def lay(self, container: Container) -> None:
        rows, segments = rank(container)
        rows = order(rows, segments, self.fractions)
        self.ordered[container.frame] = rows, segments
        sizes = [(sum(self.width(v) + 24.0 for v in row), max(map(self.height, row)) + 34.0) for row in rows]
        columns = fold(rows, segments, sizes, self.out, self.tallest, None if container.frame else _ASPECT)
        lanes = max((len(column.leaves) for column in columns[:-1]), default=0)
        header = HEADER if container.frame else 0.0
        top = header + (lanes + 1) * _LANE if lanes else header
        side = _PADDING if container.frame else 0.0
        laid, x, ends = _Laid(), side, []
        for index, column in enumerate(columns):
            wires = self.wires(column)
            places = place(column.rows, wires, self.width, self.apart)
            x = self._room_for_label(container.frame, column, places, x) if not index else x
            places = {vertex: at + x for vertex, at in places.items()}
            bottom = self._draw(laid, column, wires, places, top)
            right = max(places[vertex] + self.width(vertex) for vertex in places)
            ends.append((column, places, bottom, right))
            x = right + 2 * GUTTER + max(lanes - 1, 0) * _LANE
        foot = max(bottom + (len(column.leaves) + 1) * _LANE * (column is not columns[-1]) for column, _, bottom, _ in ends)
        laid.height = foot + (_PADDING if container.frame else 0.0)
        laid.width = max(max(right for *_, right in ends) + side, self.labels.get(container.frame, 0.0) + 18)
        self._carry(laid, ends, top)
        self._leave(laid, columns[-1], ends[-1][2])
        self.laid[container.frame] = laid

    def _room_for_label(self, frame: Frame, column: Column, places: Mapping[Vertex, float], x: float) -> float:
        """How far right a frame's content begins so that its label fits beside the edges in the header."""
        label = self.labels.get(frame, 0.0) + 18
        gates = [places[vertex] for vertex in column.rows[0] if vertex.kind == "in"]
        right = max(places[vertex] + self.width(vertex) for vertex in places)
        if not gates or x + min(gates) >= label or right - max(gates) + _PADDING >= label:
            return x
        return label - min(gates)

    def _draw(self, laid: _Laid, column: Column, wires: Sequence[Wire], places: Mapping[Vertex, float], top: float) -> float:
        """Give the rows of a column their heights, and its segments their ways; returns where the column ends."""
        row_of = {vertex: index for index, row in enumerate(column.rows) for vertex in row}
        sideways = [0.0] * len(column.rows)
        for wire in wires:
            u, v = wire.segment.upper, wire.segment.lower
            shift = abs(places[u] + wire.out - places[v] - wire.into)
            sideways[row_of[u]] = max(sideways[row_of[u]], shift)
        y, spans = top, []
        for index, row in enumerate(column.rows):
            tall = max(map(self.height, row), default=0.0)
            spans.append((y, y + tall))
            for vertex in row:
                laid.at[vertex] = (places[vertex], y + (tall if vertex.thin else (tall - self.height(vertex)) / 2))
                if vertex.kind == "in":
                    laid.at[vertex] = (places[vertex], 0.0)
                    laid.enters[vertex.key[0], vertex.key[1]] = places[vertex]
            port = not tall or (index + 1 < len(column.rows) and not any(map(self.height, column.rows[index + 1])))
            gap = (_PORT_GAP if port else _ROW_GAP) + min(90.0, 0.16 * sideways[index])
            y += tall + (gap if index + 1 < len(column.rows) else 0.0)
        for wire in wires:
            segment = wire.segment
            start = (places[segment.upper] + wire.out, self._bottom(laid, segment.upper))
            end = (places[segment.lower] + wire.into, laid.at[segment.lower][1])
            way = bend(start, spans[row_of[segment.upper]][1], end, spans[row_of[segment.lower]][0])
            laid.ways[segment.lower, segment.value, segment.slot] = segment.upper, way
        return y

    def _bottom(self, laid: _Laid, vertex: Vertex) -> float:
        y = laid.at[vertex][1]
        if vertex.kind == "node":
            return y + self.items[vertex.key[0]].height
        return y + self.height(vertex)

    def _carry(self, laid: _Laid, ends: Sequence[tuple[Column, dict[Vertex, float], float, float]], top: float) -> None:
        """Lead values from the foot of each column through the gutter to the head of the next, without crossings."""
        for (column, places, bottom, right), (following, onward, _, _) in zip(ends, ends[1:], strict=False):
            count = len(column.leaves)
            for index, value in enumerate(column.leaves):
                leaving, entering = column.rows[-1][index], following.rows[0][index]
                lane = (count - 1 - index) * _LANE
                gutter = right + GUTTER + lane
                x, to = places[leaving], onward[entering]
                low, high = bottom + _LANE + lane, top - _LANE * (index + 1)
                points = [(x, bottom), (x, low), (gutter, low), (gutter, high), (to, high), (to, top)]
                laid.ways[entering, value, -1] = leaving, corner_path(points)

    def _leave(self, laid: _Laid, column: Column, bottom: float) -> None:
        for vertex in column.rows[-1]:
            if vertex.kind == "out":
                x, value = laid.at[vertex][0], (vertex.key[0], vertex.key[1])
                laid.leaves[value] = x
                laid.ways[vertex, value, -1][1].append(((x, bottom), (x, laid.height)))

    # All of it.

    def picture(self, tree: Mapping[Frame, Container], edges: Sequence[Edge]) -> Picture:
        corner: dict[Frame, Point] = {(): (0.0, 0.0)}
        boxes, frames, gates = {}, {}, {}
        for frame in tree:
            laid, (x, y) = self.laid[frame], corner[frame]
            gates[frame] = tuple(sorted(x + at for at in laid.enters.values()))
            for vertex, (dx, dy) in laid.at.items():
                if vertex.kind == "frame":
                    corner[vertex.key] = (x + dx, y + dy)
                elif vertex.kind == "node":
                    item = self.items[vertex.key[0]]
                    boxes[item.key] = Box(x + dx + item.beside, y + dy, item.width, item.height)
            if frame:
                frames[frame] = Box(x, y, laid.width, laid.height)
        homes = {vertex.key[0]: frame for frame in tree for vertex in tree[frame].children if vertex.kind == "node"}
        routes = {edge: self._route(edge, homes, corner) for edge in edges}
        whole = self.laid[()]
        boxes = {key: boxes[key] for key in self.items}
        return Picture(whole.width, whole.height, boxes, frames, routes, gates)

    def _route(self, edge: Edge, homes: Mapping[str, Frame], corner: Mapping[Frame, Point]) -> tuple[Stroke, ...]:
        """Follow an edge back from its target, out of frames by their entries and into frames by their exits."""
        source, target, slot, output = edge
        value, frame, pieces = (source, output), homes[target], list[Stroke]()
        vertex = last = Vertex("node", (target,))
        while vertex != Vertex("node", (source,)):
            found = self.laid[frame].ways.get((vertex, value, slot if vertex == last else -1))
            if found is not None:
                vertex, way = found
                pieces += [moved(stroke, corner[frame]) for stroke in reversed(way)]
            elif vertex.kind == "in":
                vertex, frame = Vertex("frame", frame), frame[:-1]
            else:
                vertex, frame = Vertex("out", value), vertex.key
        return tuple(reversed(pieces))
