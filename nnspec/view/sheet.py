"""One or several networks on a sheet of paper, each with its name and totals above it, and one legend for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import networkx

from nnspec.view import describe
from nnspec.view.cards import COST, FRAME, LEFT, MARK, SHAPE, Card, Drawn, Label, drawn, mark_width
from nnspec.view.containers import Frame
from nnspec.view.layout import HEADER, Box, Picture
from nnspec.view.palette import FAINT, FILLS, INK, MARKS, MUTED, PAPER, SHADES, WIRE
from nnspec.view.paper import Group, Paper, Part, Rectangle, Wire, Words
from nnspec.view.strokes import Point, Stroke, joined
from nnspec.view.text import clean, shorten, width

_MARGIN, _BETWEEN = 28.0, 48.0
_TITLE, _TOTALS, _LEGEND = 20.0, 12.0, 11.0
Graph: TypeAlias = "networkx.MultiDiGraph[Any]"


def sheet(graphs: Sequence[Graph]) -> Paper:
    """The networks beside one another. Equal graphs give equal sheets."""
    pictures = [drawn(graph) for graph in graphs]
    titles = [_title(graph, picture.picture.width) for graph, picture in zip(graphs, pictures, strict=True)]
    rooms = [max(picture.picture.width, least) for picture, (_, least) in zip(pictures, titles, strict=True)]
    inner = sum(rooms) + _BETWEEN * (len(graphs) - 1)
    below = 90.0 if len(graphs) == 1 else 44.0  # of several the titles stand below the legend
    legend, top = _legend(graphs, [card for picture in pictures for card in picture.cards.values()], inner, below)
    lower, top = (0.0, top) if len(graphs) == 1 else (top - 36, top + 58)
    parts, x = list[Part](), _MARGIN
    for picture, (title, _), room in zip(pictures, titles, rooms, strict=True):
        parts += [_moved(words, x, lower) for words in title]
        shift = (x + (room - picture.picture.width) / 2, top)
        parts.append(Group("", "", _canvas(picture), shift))
        x += room + _BETWEEN
    high = max((picture.picture.height for picture in pictures), default=0.0)
    name = clean(" and ".join(str(graph.graph.get("name") or "network") for graph in graphs), 300)
    return Paper(name, inner + 2 * _MARGIN, top + high + _MARGIN, (*legend, *parts))


def _moved(words: Words, x: float, y: float) -> Words:
    return Words(words.x + x, words.y + y, words.text, words.size, words.ink, words.bold)


def _title(graph: Graph, room: float) -> tuple[list[Words], float]:
    """The name and the totals, and how wide they are."""
    name = shorten(clean(graph.graph.get("name") or "network", 10000), max(room, 420.0), _TITLE, bold=True)
    sums = describe.heading(graph)
    parts = [Words(0.0, 46.0, name, _TITLE, INK, bold=True), Words(0.0, 66.0, sums, _TOTALS, MUTED)]
    return parts, max(width(name, _TITLE, bold=True), width(sums, _TOTALS))


def _legend(graphs: Sequence[Graph], cards: Sequence[Card], room: float, y: float) -> tuple[list[Part], float]:
    """What colours, marks and numbers mean, in lines of at most ``room`` from ``y`` on; and where the networks begin below it."""
    families = {card.family for card in cards}
    swatches = [(Rectangle(0, -9, 11, 11, 3, *FILLS[family]), family) for family in FILLS if family in families]
    for mark, means in (("frozen", "frozen: training leaves it"), ("shared", "shared: weights used in several places")):
        if any(mark in card.marks for card in cards):
            dashed = mark == "frozen"
            swatches.append((Rectangle(0, -9, 11, 11, 3, MARKS[mark][0] if not dashed else PAPER, MARKS[mark][1], 1.2, dashed), means))
    parts, x = list[Part](), 0.0
    for box, words in swatches:
        size = width(words, _LEGEND) + 34
        if x + size - 18 > room and x > 0:
            x, y = 0.0, y + 18
        at = _MARGIN + x
        parts.append(Rectangle(at, y + box.y, box.width, box.height, box.radius, box.fill, box.line, box.thick, box.dashed))
        parts.append(Words(at + 16, y, words, _LEGEND, MUTED))
        x += size
    for line in _wrapped(describe.legend(graphs), room):
        y += 18
        parts.append(Words(_MARGIN, y, line, _LEGEND, MUTED))
    return parts, y + 26


def _wrapped(text: str, room: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and width(f"{lines[-1]} {word}", _LEGEND) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _canvas(d: Drawn) -> list[Part]:
    return [
        *(_frame(d.picture, frame, label) for frame, label in d.labels.items() if frame in d.picture.frames),
        *_wires(d.picture, d.values),
        *(_box(d.picture.boxes[path], card) for path, card in d.cards.items()),
        *_shapes(d),
    ]


def _box(box: Box, card: Card) -> Group:
    fill, edge = FILLS[card.family]
    inks = (PAPER, "#cbd5e1", "#cbd5e1") if card.family == "output" else (INK, *[MUTED] * 4)
    parts: list[Part] = [
        Rectangle(box.x, box.y, box.width, box.height, 7, fill, edge, 1.2, card.frozen),
        Rectangle(box.x + 6, box.y + 8, 3.5, box.height - 16, 1.75, edge),
    ]
    y = box.y + 7.0
    for (text, size, bold), ink in zip(card.lines, inks, strict=False):
        y += size + 4.0
        parts.append(Words(box.x + LEFT, y - 2.5, text, size, ink, bold))
    right = box.x + box.width - 7
    for mark in card.marks:
        wide, (shade, ink) = mark_width(mark), MARKS[mark]
        right -= wide
        parts.append(Rectangle(right, box.y + 8, wide, 13, 6.5, shade, ink, 0.8))
        parts.append(Words(right + 5, box.y + 17.5, mark, MARK, ink, bold=True))
        right -= 5
    return Group("layer", card.title, parts)


def _frame(picture: Picture, frame: Frame, label: Label) -> Group:
    box = picture.frames[frame]
    parts: list[Part] = [Rectangle(box.x, box.y, box.width, box.height, 11, SHADES[len(frame) % 2], FAINT)]
    stops = [box.x, *picture.gates[frame], box.x + box.width]
    gaps = [(left + 9, right - 9) for left, right in zip(stops, stops[1:], strict=False)]
    y = box.y + HEADER / 2 + FRAME * 0.36
    for text, size, ink, bold in ((label.name, FRAME, "#475569", True), (label.cost, COST, "#7b8794", False)):
        size_of = width(text, size, bold)
        at = next((i for i, (left, right) in enumerate(gaps) if right - left >= size_of), None)
        if at is not None:
            left, right = gaps[at]
            parts.append(Words(left, y, text, size, ink, bold))
            gaps[at] = (left + size_of + 8, right)
    return Group("frame", label.title, parts)


def _wires(picture: Picture, values: Mapping[str, Mapping[str, str]]) -> Iterable[Group]:
    """One wire for every value, with each stretch that several edges share drawn once, and an arrow at every reader."""
    shared: dict[tuple[str, str], dict[Stroke, None]] = {}
    tips: dict[tuple[str, str], dict[Point, None]] = {}
    for (source, _, _, output), strokes in picture.routes.items():
        shared.setdefault((source, output), {}).update(dict.fromkeys(strokes))
        tips.setdefault((source, output), {})[strokes[-1][-1]] = None
    for (source, output), strokes_of in shared.items():
        yield Group("edge", f"{source}: {values[source][output]}", [Wire(tuple(joined(strokes_of)), tuple(tips[source, output]), WIRE)])


def _shapes(d: Drawn) -> Iterable[Words]:
    for item in d.items:
        box = d.picture.boxes[item.key]
        for output, text in d.values.get(item.key, {}).items():
            yield Words(box.x + item.ports[output] + 6, box.y + box.height + 12.5, text, SHAPE, "#475569")
