"""A network as one still picture in SVG: boxes of layers in frames, shapes on the edges, costs, a legend and totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import networkx

from nnspec.records import dataclass
from nnspec.view import amounts, describe
from nnspec.view.containers import Edge, Frame
from nnspec.view.layout import HEADER, Box, Item, Picture, layout
from nnspec.view.markup import number, rectangle, sheet, writing
from nnspec.view.palette import FAINT, FILLS, INK, MUTED, PAPER, WIRE
from nnspec.view.strokes import Stroke, joined
from nnspec.view.text import clean, escape, shorten, width

_NAME, _KIND, _COST, _SHAPE, _FRAME = 13.0, 11.0, 10.0, 10.5, 11.0
_WIDEST_TEXT = 216.0
_MARGIN = 28.0
_OUTPUT = "\0output "  # no path begins like this


@dataclass(frozen=True, slots=True)
class _Card:
    """What is written in the box of a layer."""

    family: str
    lines: tuple[tuple[str, float, bool], ...]  # text, size, whether it is bold
    title: str
    frozen: bool = False
    frames: Frame = ()


def draw(graph: networkx.MultiDiGraph[Any]) -> str:
    """The SVG text of a network's graph.

    Nodes carry ``kind, name, shape, dtype, parameters, trainable, flops, fields, frames, line``; edges ``output``,
    ``shape`` and ``dtype``; ``graph.graph`` the ``name`` and ``outputs``. The picture is its own light sheet of paper,
    needs no font, script or file, and is the same for the same graph.
    """
    cards = _cards(graph)
    edges = _edges(graph)
    values = _values(graph, edges)
    items = [_item(path, card, values.get(path, {"": ""})) for path, card in cards.items()]
    labels = _frame_labels(graph)
    picture = layout(items, edges, {frame: width(name, _FRAME, bold=True) for frame, (name, _, _) in labels.items()})
    families = list(dict.fromkeys(card.family for card in cards.values()))
    head, top, least = _head(graph, families, picture.width)
    inner = max(picture.width, least)
    parts = [
        f'<g transform="translate({number(_MARGIN + (inner - picture.width) / 2)} {number(top)})">',
        *(_frame(picture, frame, label) for frame, label in labels.items() if frame in picture.frames),
        *_wires(picture, values),
        *(_box(picture.boxes[path], card) for path, card in cards.items()),
        *_shapes(picture, items, values),
        "</g>",
    ]
    name = clean(graph.graph.get("name") or "network", 300)
    return sheet(name, inner + 2 * _MARGIN, top + picture.height + _MARGIN, [*head, *parts])


def _cards(graph: networkx.MultiDiGraph[Any]) -> dict[str, _Card]:
    cards = {path: _card(path, data) for path, data in graph.nodes(data=True)}
    for path in describe.outputs(graph):
        data = graph.nodes[path]
        shape = describe.tensor(data.get("shape"), data.get("dtype"))
        cards[_OUTPUT + path] = _Card("output", (("output", _NAME, True), (shape, _KIND, False)), f"output of {path}: {shape}")
    return cards


def _card(path: str, data: Mapping[str, Any]) -> _Card:
    kind, stated = str(data.get("kind", "")), data.get("fields")
    name, says, cost = str(data.get("name") or path), describe.fields(kind, stated), describe.cost(data)
    if kind == "input":
        says = describe.tensor(data.get("shape"), data.get("dtype"))
    second = clean(f"{kind}  {says}" if says else kind, 400)
    lines = [(clean(name, 10000), _NAME, True), (second, _KIND, False), *([(cost, _COST, False)] if cost else [])]
    about = (
        path,
        second,
        f"output {describe.tensor(data.get('shape'), data.get('dtype'))}",
        cost,
        f"line {data['line']}" if data.get("line") else "",
    )
    return _Card(
        family=describe.family(kind),
        lines=tuple((shorten(text, _WIDEST_TEXT, size, bold), size, bold) for text, size, bold in lines),
        title=" | ".join(clean(part, 10000) for part in about if part),
        frozen=describe.frozen(data),
        frames=tuple(data.get("frames") or ()),
    )


def _edges(graph: networkx.MultiDiGraph[Any]) -> list[Edge]:
    edges = [(source, target, int(key), str(data.get("output") or "")) for source, target, key, data in graph.edges(keys=True, data=True)]
    return edges + [(path, _OUTPUT + path, 0, "") for path in describe.outputs(graph)]


def _values(graph: networkx.MultiDiGraph[Any], edges: Iterable[Edge]) -> dict[str, dict[str, str]]:
    """The used outputs of every layer, with their shapes as text."""
    values: dict[str, dict[str, str]] = {}
    for source, target, key, output in edges:
        data = graph.nodes[source] if target.startswith(_OUTPUT) else graph.edges[source, target, key]
        shape = describe.tensor(data.get("shape"), data.get("dtype"))
        text = f"{clean(output, 60)}: {shape}" if output else shape
        values.setdefault(source, {}).setdefault(output, shorten(text, _WIDEST_TEXT / 2, _SHAPE))
    return {path: dict(sorted(outputs.items())) for path, outputs in values.items()}


def _item(path: str, card: _Card, outputs: Mapping[str, str]) -> Item:
    text = max(width(line, size, bold) for line, size, bold in card.lines)
    label = max(width(shape, _SHAPE) for shape in outputs.values()) + 10
    box = max(text + 30, 104.0, (label + 8) * len(outputs) if len(outputs) > 1 else 0.0)
    ports = {output: box * (index + 0.5) / len(outputs) for index, output in enumerate(outputs)}
    beside = max(0.0, label - box / (2 * len(outputs)))
    return Item(path, box, _height(card), beside, 17.0 if any(outputs.values()) else 4.0, card.frames, ports)


def _height(card: _Card) -> float:
    return 16.0 + sum(size + 4.0 for _, size, _ in card.lines) - 2.0


def _frame_labels(graph: networkx.MultiDiGraph[Any]) -> dict[Frame, tuple[str, str, str]]:
    """For every frame the name written on it, the totals written where there is room, and the whole for its title."""
    inside: dict[Frame, list[Mapping[str, Any]]] = {}
    for _, data in graph.nodes(data=True):
        frames = tuple(data.get("frames") or ())
        for depth in range(len(frames)):
            inside.setdefault(frames[: depth + 1], []).append(data)
    labels = {}
    for frame, rows in inside.items():
        around = f"{frame[-2]}/" if len(frame) > 1 else ""
        name = clean(str(frame[-1]).removeprefix(around), 10000)
        sums = describe.totals(rows)
        costs = [amounts.count(sums.parameters) + " params"] if sums.parameters else []
        costs += [amounts.flops(sums.flops)] if sums.flops else []
        cost = " · ".join(costs)
        labels[frame] = (shorten(name, 150, _FRAME, bold=True), cost, clean(f"{frame[-1]} | {cost}", 10000))
    return labels


def _box(box: Box, card: _Card) -> str:
    fill, edge = FILLS[card.family]
    dashes = {"stroke_dasharray": "5 3"} if card.frozen else {}
    inks = (PAPER, "#cbd5e1", "#cbd5e1") if card.family == "output" else (INK, MUTED, MUTED)
    parts = [
        f'<g class="layer"><title>{escape(card.title, 20000)}</title>',
        rectangle(box.x, box.y, box.width, box.height, rx=7, fill=fill, stroke=edge, stroke_width=1.2, **dashes),
        rectangle(box.x + 6, box.y + 8, 3.5, box.height - 16, rx=1.75, fill=edge),
    ]
    y = box.y + 7.0
    for (text, size, bold), ink in zip(card.lines, inks, strict=False):
        y += size + 4.0
        parts.append(writing(box.x + 17, y - 2.5, text, size, ink, bold))
    return "".join(parts) + "</g>"


def _frame(picture: Picture, frame: Frame, label: tuple[str, str, str]) -> str:
    box, (name, cost, title) = picture.frames[frame], label
    shade = ("#f8fafc", "#f1f5f9")[len(frame) % 2]
    parts = [
        f'<g class="frame"><title>{escape(title, 20000)}</title>',
        rectangle(box.x, box.y, box.width, box.height, rx=11, fill=shade, stroke=FAINT, stroke_width=1.2),
    ]
    stops = [box.x, *picture.gates[frame], box.x + box.width]
    gaps = [(left + 9, right - 9) for left, right in zip(stops, stops[1:], strict=False)]
    y = box.y + HEADER / 2 + _FRAME * 0.36
    for text, size, ink, bold in ((name, _FRAME, "#475569", True), (cost, _COST, "#7b8794", False)):
        size_of = width(text, size, bold)
        at = next((i for i, (left, right) in enumerate(gaps) if right - left >= size_of), None)
        if at is not None:
            left, right = gaps[at]
            parts.append(writing(left, y, text, size, ink, bold))
            gaps[at] = (left + size_of + 8, right)
    return "".join(parts) + "</g>"


def _wires(picture: Picture, values: Mapping[str, Mapping[str, str]]) -> list[str]:
    """One path for every value, with each stretch that several edges share drawn once, and an arrow at every reader."""
    shared: dict[tuple[str, str], dict[Stroke, None]] = {}
    tips: dict[tuple[str, str], dict[tuple[float, float], None]] = {}
    for (source, _, _, output), strokes in picture.routes.items():
        shared.setdefault((source, output), {}).update(dict.fromkeys(joined(strokes)))
        tips.setdefault((source, output), {})[strokes[-1][-1]] = None
    drawn = []
    for value, strokes_of in shared.items():
        title = f"{value[0]}: {values[value[0]][value[1]]}"
        arrows = "".join(f"M{number(x)} {number(y)}l-3.6 -7.5 3.6 1.8 3.6 -1.8z" for x, y in tips[value])
        way = f'<path d="{path_data(strokes_of)}" fill="none" stroke="{WIRE}" stroke-width="1.5" stroke-linecap="round"/>'
        head = f'<path d="{arrows}" fill="{WIRE}"/>'
        drawn.append(f'<g class="edge"><title>{escape(title, 20000)}</title>{way}{head}</g>')
    return drawn


def path_data(strokes: Iterable[Stroke]) -> str:
    """The strokes as the ``d`` of an SVG path: M, L and C with absolute coordinates."""
    parts, here = list[str](), None
    for stroke in strokes:
        if stroke[0] != here:
            parts.append(f"M{number(stroke[0][0])} {number(stroke[0][1])}")
        letter = "L" if len(stroke) == 2 else "C"
        parts.append(letter + " ".join(f"{number(x)} {number(y)}" for x, y in stroke[1:]))
        here = stroke[-1]
    return "".join(parts)


def _shapes(picture: Picture, items: Iterable[Item], values: Mapping[str, Mapping[str, str]]) -> list[str]:
    parts = []
    for item in items:
        box = picture.boxes[item.key]
        for output, text in values.get(item.key, {}).items():
            x = box.x + item.ports[output] + 6
            parts.append(writing(x, box.y + box.height + 12.5, text, _SHAPE, "#475569"))
    return parts


def _head(graph: networkx.MultiDiGraph[Any], families: list[str], room: float) -> tuple[list[str], float, float]:
    """The name, the totals and the legend; how tall they are, and how wide at least."""
    name = shorten(clean(graph.graph.get("name") or "network", 10000), max(room, 420.0), 20, bold=True)
    sums = describe.heading(graph)
    parts = [writing(_MARGIN, 46, name, 20, INK, bold=True), writing(_MARGIN, 66, sums, 12, MUTED)]
    least = max(width(name, 20, bold=True), width(sums, 12))
    x, y, limit = _MARGIN, 90.0, _MARGIN + max(room, least)
    for family in (name for name in FILLS if name in families):
        size = width(family, 11) + 34
        if x + size - 18 > limit and x > _MARGIN:
            x, y = _MARGIN, y + 18
        fill, stroke = FILLS[family]
        parts.append(rectangle(x, y - 9, 11, 11, rx=3, fill=fill, stroke=stroke))
        parts.append(writing(x + 16, y, family, 11, MUTED))
        x += size
    return parts, y + 26, least
