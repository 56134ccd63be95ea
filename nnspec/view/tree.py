"""A network as text for a terminal: layers in their order and their frames, with lines at the left for what skips some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from unicodedata import combining, east_asian_width

import networkx

from nnspec.records import dataclass
from nnspec.view import amounts, describe
from nnspec.view.containers import Frame
from nnspec.view.rails import Rail, beside, glyph, rails
from nnspec.view.text import clean

_PLAIN = str.maketrans(
    {**dict.fromkeys("╭╮╰╯├┤┬┴┼", "+"), **dict.fromkeys("│╵╷", "|"), **dict.fromkeys("─╴╶", "-"), "▶": ">", "·": "-", "…": "~", "×": "x"}
)
_BESIDE = 72  # columns that a network needs to stand beside another
_LEAST = 44  # columns for names and kinds before amounts are left out
_NAMES = 34  # columns of names with their frames at most
_HEADS = ("shape", "params", "FLOP", "memory")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line: of a layer, of a frame that begins, or (no text) of a value that sets out."""

    path: str = ""
    frames: tuple[str, ...] = ()
    name: str = ""
    says: str = ""
    amounts: tuple[str, ...] = ("", "", "", "")
    layer: bool = False
    above: bool = False  # whether the line before leads into it
    below: bool = False
    output: str = ""  # which of several results of the layer sets out


def draw(*graphs: networkx.MultiDiGraph[Any], columns: int = 120, plain: bool = False) -> str:
    """Networks beside one another where ``columns`` are enough, else one below the other; ``plain`` in ASCII alone."""
    room = (columns - 3 * (len(graphs) - 1)) // len(graphs)
    together = len(graphs) > 1 and room >= _BESIDE
    parts = [_lines(graph, room if together else max(columns, 40)) for graph in graphs]
    if together:
        tall = max(map(len, parts))
        rows = [[part[i] if i < len(part) else "" for part in parts] for i in range(tall)]
        lines = ["   ".join([*(_filled(text, room) for text in row[:-1]), row[-1]]).rstrip() for row in rows]
    else:
        lines = [line for index, part in enumerate(parts) for line in ([""] * (2 * bool(index)) + part)]
    text = "\n".join(lines) + "\n"
    return text.translate(_PLAIN).encode("ascii", "replace").decode() if plain else text


def _lines(graph: networkx.MultiDiGraph[Any], columns: int) -> list[str]:
    rows = _rows(graph)
    uses = _uses(graph, rows)
    found, without = rails(uses, max(4, columns // 10))
    lanes = max((rail.lane + 1 for rail in found), default=0)
    names = {index: row.path for index, row in enumerate(rows)}
    left = [_left(index, row, found, lanes) for index, row in enumerate(rows)]
    trees = list(_trees(rows))
    extra = {row: "reads " + ", ".join(clean(names[source], 60) for source in sources) for row, sources in without.items()}
    table = graph.graph.get("heads") or _HEADS
    title = clean(graph.graph.get("name") or "network", 200)
    heads = [_cut(title, columns), *_wrapped(describe.heading(graph), columns), ""]
    foot = ["", *_wrapped(str(graph.graph.get("legend") or _FOOT), columns)] if rows else []
    return [*heads, *_table(rows, left, trees, extra, table, columns), *foot]


_FOOT = "shape without the batch · FLOP of one row forward · memory of one row of the output"


def _rows(graph: networkx.MultiDiGraph[Any]) -> list[_Row]:
    """Frames as they begin, layers, and what the network gives; after a layer that reads and is read from afar a line more, or one a result."""
    nodes = list(graph.nodes(data=True))
    order = {path: index for index, (path, _) in enumerate(nodes)}
    last = len(nodes) - 1
    outputs, several = describe.outputs(graph), _several(graph)
    far = [(source, target) for source, target in graph.edges() if order[target] != order[source] + 1 or source in several]
    reads, afar = {target for _, target in far}, {source for source, _ in far}
    afar |= {path for path in outputs if order[path] != last or path != outputs[0]}
    lent = {str(data["shares"]) for _, data in nodes if data.get("shares")}
    inside: dict[Frame, list[Mapping[str, Any]]] = {}
    for _, data in nodes:
        for depth in range(len(data.get("frames") or ())):
            inside.setdefault(tuple(data["frames"][: depth + 1]), []).append(data)
    rows, before = list[_Row](), tuple[str, ...]()
    for index, (path, data) in enumerate(nodes):
        frames = tuple(data.get("frames") or ())
        above = bool(index) and nodes[index - 1][0] not in several and graph.has_edge(nodes[index - 1][0], path)
        below = index < last and graph.has_edge(path, nodes[index + 1][0]) or index == last and outputs[:1] == (path,)
        rows += _opened(inside, before, frames, above)
        results = several.get(path, {})
        both = path in reads and path in afar and not results
        rows.append(_layer(path, data, frames, above, below or both or bool(results), path in lent))
        if both:
            rows.append(_Row(path, frames, above=True, below=below))
        for number, (output, shape) in enumerate(results.items(), 1):
            rows.append(_Row(path, frames, says=output, amounts=(shape, "", "", ""), above=True, below=number < len(results), output=output))
        before = frames
    for index, path in enumerate(outputs):
        data = graph.nodes[path]
        shape = describe.tensor(data.get("shape"), data.get("dtype"))
        says = clean(data.get("name") or path, 200) if len(outputs) > 1 else ""
        follows = not index and order[path] == last and path not in several
        rows.append(_Row(f"\0{path}", (), "output", says, amounts=(shape, "", "", ""), layer=True, above=follows))
    return rows


def _several(graph: networkx.MultiDiGraph[Any]) -> dict[str, dict[str, str]]:
    """The layers of which more than one result is used, and the shapes of these by name."""
    found: dict[str, dict[str, str]] = {}
    for source, _, data in graph.edges(data=True):
        shape = describe.tensor(data.get("shape"), data.get("dtype"))
        found.setdefault(source, {}).setdefault(clean(data.get("output") or "", 60), shape)
    for path in describe.outputs(graph):
        data = graph.nodes[path]
        if any(found.get(path, ())):
            found[path].setdefault("", describe.tensor(data.get("shape"), data.get("dtype")))
    return {path: outputs for path, outputs in found.items() if len(outputs) > 1}


def _opened(inside: Mapping[Frame, Sequence[Mapping[str, Any]]], before: Frame, frames: Frame, flows: bool) -> Iterator[_Row]:
    shared = next((i for i, (a, b) in enumerate(zip(before, frames, strict=False)) if a != b), min(len(before), len(frames)))
    for depth in range(shared, len(frames)):
        inner = frames[: depth + 1]
        sums = describe.totals(inside[inner])
        name = clean(str(inner[-1]).removeprefix(f"{inner[-2]}/" if depth else ""), 200)
        yield _Row(inner[-1], inner, name, amounts=("", *_amounts(sums.parameters, sums.flops, sums.memory)), above=flows, below=flows)


def _layer(path: str, data: Mapping[str, Any], frames: tuple[str, ...], above: bool, below: bool, lends: bool) -> _Row:
    notes = [*describe.notes(data), *(["shared"] if lends else [])]
    says = " · ".join(part for part in (_says(data), *notes) if part)
    held = describe.output_bytes(data) if data.get("kind") != "input" else 0
    shape = describe.tensor(data.get("shape"), data.get("dtype"))
    known = tuple(data["amounts"]) if "amounts" in data else (shape, *_amounts(data.get("parameters"), data.get("flops"), held))
    return _Row(path, frames, clean(data.get("name") or path, 200), clean(says, 400), known, True, above, below)


def _says(data: Mapping[str, Any]) -> str:
    """The kind and its fields; the fields alone where the name tells the kind, as ``conv2d_1`` does."""
    kind, says = str(data.get("kind") or ""), describe.says(data).replace("  ", " ")
    return says.removeprefix(kind).strip() if kind and str(data.get("name") or "").rstrip("0123456789").removesuffix("_") == kind else says


def _amounts(parameters: Any, flops: Any, memory: int) -> tuple[str, str, str]:
    work = amounts.flops(flops).removesuffix("FLOP").strip() if flops else ""
    return amounts.count(parameters) if parameters else "", work, amounts.memory(memory) if memory else ""


def _uses(graph: networkx.MultiDiGraph[Any], rows: Sequence[_Row]) -> dict[int, list[int]]:
    """For the row at which a value sets out those that it goes to, where the next line is not meant."""
    last = {row.path: index for index, row in enumerate(rows) if row.path and (row.layer or not row.name)}
    results = {(row.path, row.output): index for index, row in enumerate(rows) if row.path and not row.layer and not row.name}
    first = {row.path: index for index, row in reversed(list(enumerate(rows))) if row.layer}
    order = {path: index for index, path in enumerate(graph)}
    ends = [
        (source, clean(data.get("output") or "", 60), target)
        for source, target, data in graph.edges(data=True)
        if not rows[first[target]].above or order[target] != order[source] + 1
    ]
    ends += [(path, "", f"\0{path}") for path in describe.outputs(graph) if not rows[first[f"\0{path}"]].above]
    uses: dict[int, list[int]] = {}
    for source, output, target in ends:
        uses.setdefault(results.get((source, output), last[source]), []).append(first[target])
    return uses


def _left(index: int, row: _Row, found: Iterable[Rail], lanes: int) -> str:
    text, arrives, touches = beside(index, found, lanes)
    if not row.layer and row.name:  # a frame: its line stands further right
        return f"{text} {'│' if row.above else ' '} "
    arrow = "▶" if arrives else "─" if touches else " "
    return f"{text}{arrow}{glyph(row.above, row.below, touches, row.layer)} "


def _trees(rows: Sequence[_Row]) -> Iterator[str]:
    """The lines of the frames around each row: they end beside the last layer inside."""
    ends: dict[tuple[str, ...], int] = {}
    for index, row in enumerate(rows):
        for depth in range(1, len(row.frames) + 1):
            if row.name:
                ends[row.frames[:depth]] = index
    for index, row in enumerate(rows):
        text = ""
        for depth in range(1, len(row.frames) + 1):
            last = ends[row.frames[:depth]]
            opens = not row.layer and row.name and depth == len(row.frames)
            text += "╭ " if opens else "│ " if index < last else "╰ " if index == last else "  "
        yield text


def _table(
    rows: Sequence[_Row], left: Sequence[str], trees: Sequence[str], extra: Mapping[int, str], titles: Sequence[str], columns: int
) -> Iterator[str]:
    """The rows in columns; amounts that would leave too little room for names are left out, the last ones first."""
    wide = [max([_width(row.amounts[i]) for row in rows] + [len(head)], default=0) for i, head in enumerate(titles)]
    shown = [i for i in range(4) if any(row.amounts[i] for row in rows)]
    start = max(map(len, left), default=0)
    while shown and columns - start - sum(wide[i] + 2 for i in shown) < _LEAST:
        shown.pop()
    room = max(12, columns - start - sum(wide[i] + 2 for i in shown))
    named = min(max((_width(tree + row.name) for tree, row in zip(trees, rows, strict=True)), default=0) + 1, max(_NAMES, room // 2), room)
    heads = [_filled(titles[i], wide[i]) if i == 0 else titles[i].rjust(wide[i]) for i in shown]
    yield "  ".join([_filled(" " * start + "layer", start + room), *heads]).rstrip()
    for index, (row, lines, tree) in enumerate(zip(rows, left, trees, strict=True)):
        name = _cut(tree + row.name, named)
        says = " · ".join(part for part in (row.says, extra.get(index, "")) if part)
        middle = f"{_filled(name, named)} {_ended(says, room - named - 1)}" if says and room > named + 4 else name
        cells = [_filled(row.amounts[i], wide[i]) if i == 0 else " " * (wide[i] - _width(row.amounts[i])) + row.amounts[i] for i in shown]
        yield "  ".join([lines + _filled(middle, room), *cells]).rstrip()


def _wrapped(text: str, columns: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and _width(lines[-1]) + 1 + _width(word) > columns:
            lines.append(word)
        else:
            lines[-1] += f"{' ' * bool(lines[-1])}{word}"
    return lines


def _width(text: str) -> int:
    """How many columns a terminal takes for it."""
    return len(text) if text.isascii() else sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _filled(text: str, columns: int) -> str:
    return text + " " * (columns - _width(text))


def _ended(text: str, columns: int) -> str:
    """At most so many columns, the end replaced by one letter where it is longer."""
    if _width(text) <= columns:
        return text
    while _width(text) > columns - 1:
        text = text[:-1]
    return f"{text}…"


def _cut(text: str, columns: int) -> str:
    """At most so many columns, the middle replaced by one letter where it is longer."""
    if _width(text) <= columns:
        return text
    head, tail = text[: (columns + 1) // 2], text[len(text) - columns // 2 + 1 :] if columns > 3 else ""
    while head and _width(head) + 1 + _width(tail) > columns:
        head = head[:-1]
    return f"{head}…{tail}"
