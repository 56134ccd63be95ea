"""What the interactive picture is made from, as plain data: layers, frames, the order of their rows, and the spec's text.

Everything here follows from the graph alone and no size: how wide a box is and which frames are open is the page's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import networkx

from nnspec.errors import Place
from nnspec.view import describe, excerpt
from nnspec.view.containers import Edge, Frame, Vertex
from nnspec.view.layout import Item, arranged
from nnspec.view.text import clean, width

Graph: TypeAlias = "networkx.MultiDiGraph[Any]"
_OUTPUT = "\0output "  # no path begins like this
_LONG = 400  # letters of a text that is shown on one line


def data(*graphs: Graph, texts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What ``picture(element, data)`` of ``page/picture.js`` draws, ready for JSON; several networks stand side by side, a frame each.

    ``texts`` are the files whose lines are shown, by name; left out, they are those that the layers' places name. Keys:

    - ``name``, ``heading`` of all networks; ``legend``: what their numbers are.
    - ``nodes``: ``path, name, kind, family, says, cost, notes, shape, dtype, parameters, trainable, flops, memory, fields, weights``,
      the index of its ``frame`` (-1: none) and its ``source``: file, first and last line, or null.
    - ``frames``: ``path, label, kind, frame, layers, many, parameters, trainable, flops, memory, cost, source``.
    - ``values``: node, name of the output, label, shape, dtype, bytes of one row (0: not known).
    - ``edges``: value, reading node, position of the input.
    - ``containers``, one for the picture and then one a frame: ``vertices`` (kind and reference), ``rows`` and ``segments`` of them.
    - ``files``: ``name`` and ``text``.
    """
    work = _Work(dict(texts or {}), texts is None)
    for graph in graphs:
        work.add(graph, str(graph.graph.get("name") or "network") if len(graphs) > 1 else "")
    return work.data(graphs)


class _Work:
    def __init__(self, texts: dict[str, str], gather: bool) -> None:
        self.texts, self.gather, self.unit = texts, gather, "layer"
        self.nodes: dict[str, dict[str, Any]] = {}
        self.homes: dict[str, Frame] = {}
        self.edges: list[tuple[Edge, Mapping[str, Any]]] = []
        self.inside: dict[str, list[Mapping[str, Any]]] = {}
        self.calls: dict[str, tuple[str, Place | None]] = {}

    def add(self, graph: Graph, around: str) -> None:
        """The layers and outputs of a graph, within a frame of that name if there is one."""
        while around in self.calls:
            around += "'"
        prefix = f"{around}/" if around else ""
        if around:
            self.calls[around] = "network", None
        for path, node in graph.nodes(data=True):
            self.unit = "step" if "step" in node else self.unit
            self.nodes[prefix + path] = _node(prefix + path, node) | {"source": self.source(node.get("place"))}
            self.homes[prefix + path] = self.frames(around, prefix, node)
            for frame in self.homes[prefix + path]:
                self.inside.setdefault(frame, []).append(node)
        self.calls |= {prefix + path: call for path, call in (graph.graph.get("calls") or {}).items()}
        for source, target, key, edge in graph.edges(keys=True, data=True):
            self.edges.append(((prefix + source, prefix + target, int(key), str(edge.get("output") or "")), edge))
        outputs = describe.outputs(graph)
        for path in outputs:
            node, key = graph.nodes[path], _OUTPUT + prefix + path
            self.nodes[key] = _output(prefix + path, node, len(outputs) > 1)
            self.homes[key] = (around,) if around else ()
            self.edges.append(((prefix + path, key, 0, ""), node))

    @staticmethod
    def frames(around: str, prefix: str, node: Mapping[str, Any]) -> Frame:
        inner = tuple(prefix + str(frame) for frame in node.get("frames") or ())
        return (around, *inner) if around else inner

    def source(self, place: Place | None) -> list[Any] | None:
        if place is None:
            return None
        if self.gather:
            self.texts.setdefault(place.file, place.source.text)
        text = self.texts.get(place.file)
        if text is None:
            return None
        return [list(self.texts).index(place.file), place.line, excerpt.last_line(place.source.lines, place.line, place.column)]

    def data(self, graphs: Sequence[Graph]) -> dict[str, Any]:
        uses = [edge for edge, _ in self.edges]
        tree = arranged([_item(key, node, self.homes[key]) for key, node in self.nodes.items()], uses)
        index = {key: number for number, key in enumerate(self.nodes)}
        frames = {frame: number for number, frame in enumerate(frame for frame in tree if frame)}
        values: dict[tuple[str, str], list[Any]] = {}
        for (source, _, _, output), carried in self.edges:
            values.setdefault((source, output), _value(output, carried))
        numbers = {value: number for number, value in enumerate(values)}
        for frame, (held, _, _) in tree.items():
            for vertex in held.children:
                if vertex.kind == "node":
                    self.nodes[vertex.key[0]]["frame"] = frames.get(frame, -1)
        return {
            "version": 1,
            "name": clean(" and ".join(str(graph.graph.get("name") or "network") for graph in graphs), 300),
            "heading": clean(_heading(graphs), 2000),
            "legend": clean(describe.legend(graphs), 2000),
            "nodes": list(self.nodes.values()),
            "frames": [self.frame(frame, frames) for frame in frames],
            "values": [[index[source], *said] for (source, _), said in values.items()],
            "edges": [[numbers[source, output], index[target], slot] for source, target, slot, output in uses],
            "containers": [container(rows, segments, index, frames, numbers) for _, rows, segments in tree.values()],
            "files": [{"name": clean(name, 1000), "text": text} for name, text in self.texts.items()],
        }

    def frame(self, frame: Frame, frames: Mapping[Frame, int]) -> dict[str, Any]:
        sums = describe.totals(self.inside[frame[-1]])
        kind, place = self.calls.get(frame[-1], ("", None))
        return {
            "path": clean(frame[-1], 2000),
            "label": clean(frame[-1].removeprefix(f"{frame[-2]}/" if len(frame) > 1 else ""), _LONG),
            "kind": clean(kind, _LONG),
            "frame": frames.get(frame[:-1], -1),
            "layers": sums.layers,
            "many": f"{sums.layers} {self.unit}{'' if sums.layers == 1 else 's'}",
            "parameters": sums.parameters,
            "trainable": sums.trainable,
            "flops": sums.flops,
            "memory": sums.memory,
            "cost": clean(describe.cost_of(sums), _LONG),
            "source": self.source(place),
        }


def _heading(graphs: Sequence[Graph]) -> str:
    if len(graphs) == 1:
        return describe.heading(graphs[0])
    sums = ((graph.graph.get("name") or "network", describe.totals(node for _, node in graph.nodes(data=True))) for graph in graphs)
    return "; ".join(f"{name}: {describe.cost_of(total)}" for name, total in sums)


def _node(path: str, node: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": clean(path, 2000),
        "name": clean(node.get("name") or path, _LONG),
        "kind": clean(node.get("kind") or "", _LONG),
        "family": describe.family_of(node),
        "says": clean(describe.says(node), _LONG),
        "cost": clean(describe.cost(node), _LONG),
        "notes": [clean(note, _LONG) for note in describe.notes(node)],
        "shape": describe.tensor(node.get("shape"), node.get("dtype")),
        "dtype": clean(node.get("dtype") or "", 60),
        "parameters": node.get("parameters") or 0,
        "trainable": node.get("trainable") or 0,
        "flops": node.get("flops") or 0,
        "memory": describe.output_bytes(node),
        "fields": [[clean(key, 200), clean(_said(value), _LONG)] for key, value in (node.get("fields") or {}).items()],
        "weights": [
            [clean(name, 200), describe.shape(shape), clean(dtype, 60), clean(role, 60), bool(trains)]
            for name, shape, dtype, role, trains in node.get("params") or ()
        ],
        "frame": -1,
    }


def _output(path: str, node: Mapping[str, Any], named: bool) -> dict[str, Any]:
    """What the network gives; where that is several things, each under the name of its layer."""
    shape = describe.tensor(node.get("shape"), node.get("dtype"))
    empty = {"cost": "", "notes": [], "parameters": 0, "trainable": 0, "flops": 0, "memory": 0, "fields": [], "weights": []}
    about = {"path": clean(f"output of {path}", 2000), "kind": "output", "family": "output"}
    about |= {"name": clean(node.get("name") or path, _LONG), "says": f"output  {shape}"} if named else {"name": "output", "says": shape}
    return {**about, **empty, "shape": shape, "dtype": clean(node.get("dtype") or "", 60), "frame": -1, "source": None}


def _value(output: str, carried: Mapping[str, Any]) -> list[Any]:
    name, shape = clean(output, 60), describe.shape(carried.get("shape"))
    said = describe.tensor(carried.get("shape"), carried.get("dtype"))
    return [name, clean(f"{name}: {said}" if name else said, _LONG), shape, clean(carried.get("dtype") or "", 60), describe.output_bytes(carried)]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_said(inner)}" for key, inner in list(value.items())[:20]) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_said(inner) for inner in value[:20]) + (", …" if len(value) > 20 else "") + "]"
    return "null" if value is None else str(value)


def _item(key: str, node: Mapping[str, Any], frames: Frame) -> Item:
    wide = min(216.0, max(width(node["name"][:60], 13, bold=True), width(node["says"][:60], 11), width(node["cost"], 10), 74.0)) + 30
    return Item(key, wide, 60.0, 20.0, 17.0, frames)


def container(
    rows: Sequence[Sequence[Vertex]],
    segments: Sequence[Any],
    index: Mapping[str, int],
    frames: Mapping[Frame, int],
    values: Mapping[tuple[str, str], int],
) -> dict[str, Any]:
    """The vertices as ``[kind, node or frame or value]``, and rows and segments by the vertices' numbers."""
    number = {vertex: at for at, vertex in enumerate(vertex for row in rows for vertex in row)}

    def reference(vertex: Vertex) -> int:
        if vertex.kind == "node":
            return index[vertex.key[0]]
        return frames[vertex.key] if vertex.kind == "frame" else values[vertex.key[0], vertex.key[1]]

    return {
        "vertices": [[vertex.kind, reference(vertex)] for vertex in number],
        "rows": [[number[vertex] for vertex in row] for row in rows],
        "segments": [[number[s.upper], number[s.lower], values[s.value], s.slot] for s in segments],
    }
