"""What is written on a network's picture, and how large it makes each box: a card a layer, shapes at the outputs, labels of frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import networkx

from nnspec.records import dataclass
from nnspec.view import describe
from nnspec.view.containers import Edge, Frame
from nnspec.view.layout import Item, Picture, layout
from nnspec.view.text import clean, shorten, width

NAME, KIND, COST, SHAPE, FRAME, MARK = 13.0, 11.0, 10.0, 10.5, 11.0, 8.5  # sizes of letters
LEFT = 17.0  # where a card's text begins
OUTPUT = "\0output "  # no path begins like this
_WIDEST = 216.0  # of a card's text


@dataclass(frozen=True, slots=True)
class Card:
    """What is written in the box of a layer."""

    family: str
    lines: tuple[tuple[str, float, bool], ...]  # text, size, whether it is bold
    title: str
    frozen: bool = False
    shared: bool = False
    frames: Frame = ()

    @property
    def marks(self) -> tuple[str, ...]:
        """The words in the upper right corner."""
        return ("shared",) * self.shared + ("frozen",) * self.frozen

    @property
    def height(self) -> float:
        return 14.0 + sum(size + 4.0 for _, size, _ in self.lines)

    @property
    def width(self) -> float:
        """What its text and marks need."""
        first, *rest = (width(text, size, bold) for text, size, bold in self.lines)
        return max(first + sum(mark_width(mark) + 5 for mark in self.marks), *rest, 74.0) + 30


@dataclass(frozen=True, slots=True)
class Label:
    """What is written on a frame: its name, the totals where there is room, and the whole for its title."""

    name: str
    cost: str
    title: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A network's picture: the cards and where their boxes are, the frames' labels, the shapes at each used output."""

    cards: dict[str, Card]
    items: tuple[Item, ...]
    values: dict[str, dict[str, str]]  # layer -> its used outputs -> the shape as text
    labels: dict[Frame, Label]
    picture: Picture


def drawn(graph: networkx.MultiDiGraph[Any]) -> Drawn:
    """A graph with everything written and placed; one box more, its key ``OUTPUT`` and the layer's path, for each output."""
    written, uses = cards(graph), edges(graph)
    values = _values(graph, uses)
    items = tuple(_item(path, card, values.get(path, {"": ""})) for path, card in written.items())
    labels = frame_labels(graph)
    wide = {frame: width(label.name, FRAME, bold=True) for frame, label in labels.items()}
    return Drawn(written, items, values, labels, layout(items, uses, wide))


def mark_width(mark: str) -> float:
    """The width of a mark's pill."""
    return width(mark, MARK, bold=True) + 10


def cards(graph: networkx.MultiDiGraph[Any]) -> dict[str, Card]:
    """The card of every layer and of every output, which has its layer's name where there are several."""
    lent = {str(data["shares"]) for _, data in graph.nodes(data=True) if data.get("shares")}
    found = {path: _card(path, data, path in lent) for path, data in graph.nodes(data=True)}
    outputs = describe.outputs(graph)
    for path in outputs:
        data = graph.nodes[path]
        shape = describe.tensor(data.get("shape"), data.get("dtype"))
        name, says = (clean(data.get("name") or path, 10000), f"output  {shape}") if len(outputs) > 1 else ("output", shape)
        lines = ((shorten(name, _WIDEST, NAME, True), NAME, True), (shorten(says, _WIDEST, KIND, False), KIND, False))
        found[OUTPUT + path] = Card("output", lines, f"output of {path}: {shape}")
    return found


def _card(path: str, data: Mapping[str, Any], lends: bool) -> Card:
    name, second, cost = str(data.get("name") or path), clean(describe.says(data), 400), describe.cost(data)
    notes = " · ".join(note for note in describe.notes(data) if note != "frozen")
    lines = [(clean(name, 10000), NAME, True), *((line, KIND, False) for line in _wrapped(second)), (cost, COST, False), (notes, COST, False)]
    about = (
        path,
        second,
        f"output {describe.tensor(data.get('shape'), data.get('dtype'))}",
        cost,
        *describe.notes(data),
        f"line {data['line']}" if data.get("line") else "",
    )
    return Card(
        family=describe.family_of(data),
        lines=tuple((shorten(text, _WIDEST, size, bold), size, bold) for text, size, bold in lines if text),
        title=" | ".join(clean(part, 10000) for part in about if part),
        frozen=describe.frozen(data),
        shared=lends or bool(data.get("shares")),
        frames=tuple(data.get("frames") or ()),
    )


def _wrapped(text: str) -> list[str]:
    """The text in one line or two, broken where there is a space and the first is not short by it."""
    if width(text, KIND) <= _WIDEST:
        return [text]
    words, first = text.split(" "), ""
    while words and width(f"{first} {words[0]}", KIND) <= _WIDEST:
        first = f"{first} {words.pop(0)}" if first else words.pop(0)
    return [first, " ".join(words)] if width(first, KIND) > _WIDEST / 3 else [text]


def edges(graph: networkx.MultiDiGraph[Any]) -> list[Edge]:
    """Every use of a value, those of the network's outputs last."""
    found = [(source, target, int(key), str(data.get("output") or "")) for source, target, key, data in graph.edges(keys=True, data=True)]
    return found + [(path, OUTPUT + path, 0, "") for path in describe.outputs(graph)]


def _values(graph: networkx.MultiDiGraph[Any], uses: Iterable[Edge]) -> dict[str, dict[str, str]]:
    values: dict[str, dict[str, str]] = {}
    for source, target, key, output in uses:
        data = graph.nodes[source] if target.startswith(OUTPUT) else graph.edges[source, target, key]
        shape = describe.tensor(data.get("shape"), data.get("dtype"))
        text = f"{clean(output, 60)}: {shape}" if output else shape
        values.setdefault(source, {}).setdefault(output, shorten(text, _WIDEST / 2, SHAPE))
    return {path: dict(sorted(outputs.items())) for path, outputs in values.items()}


def _item(path: str, card: Card, outputs: Mapping[str, str]) -> Item:
    label = max(width(shape, SHAPE) for shape in outputs.values()) + 10
    box = max(card.width, (label + 8) * len(outputs) if len(outputs) > 1 else 0.0)
    ports = {output: box * (index + 0.5) / len(outputs) for index, output in enumerate(outputs)}
    beside = max(0.0, label - box / (2 * len(outputs)))
    return Item(path, box, card.height, beside, 17.0 if any(outputs.values()) else 4.0, card.frames, ports)


def frame_labels(graph: networkx.MultiDiGraph[Any]) -> dict[Frame, Label]:
    """The label of every frame, outer ones first."""
    inside: dict[Frame, list[Mapping[str, Any]]] = {}
    for _, data in graph.nodes(data=True):
        frames = tuple(data.get("frames") or ())
        for depth in range(len(frames)):
            inside.setdefault(frames[: depth + 1], []).append(data)
    labels = {}
    for frame, rows in inside.items():
        around = f"{frame[-2]}/" if len(frame) > 1 else ""
        name = clean(str(frame[-1]).removeprefix(around), 10000)
        cost = describe.cost_of(describe.totals(rows))
        labels[frame] = Label(shorten(name, 150, FRAME, bold=True), cost, clean(f"{frame[-1]} | {cost}", 10000))
    return labels
