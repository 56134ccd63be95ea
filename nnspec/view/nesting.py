"""The layers of a graph nested as their frames are, for text formats that write one inside another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx

from nnspec.records import dataclass, field
from nnspec.view.text import clean

_LONGEST = 120


@dataclass
class Nest:
    """A frame, or the whole network: paths of layers, and nests, in the order of the graph."""

    id: str
    label: str
    inside: list[str | Nest] = field(default_factory=list)


def together(graphs: Sequence[networkx.MultiDiGraph[Any]]) -> networkx.MultiDiGraph[Any]:
    """One graph of several, each in a frame with its name; one alone as it is."""
    if len(graphs) == 1:
        return graphs[0]
    names = [clean(graph.graph.get("name") or "network", _LONGEST) for graph in graphs]
    whole: networkx.MultiDiGraph[Any] = networkx.MultiDiGraph(name=" and ".join(names))
    for index, (graph, name) in enumerate(zip(graphs, names, strict=True), 1):
        around = name if names.count(name) == 1 else f"{name} ({index})"
        for path, data in graph.nodes(data=True):
            frames = (around, *(f"{around}/{frame}" for frame in data.get("frames") or ()))
            whole.add_node(f"{around}/{path}", **{**data, "frames": frames, "name": data.get("name") or path})
        for source, target, key, data in graph.edges(keys=True, data=True):
            whole.add_edge(f"{around}/{source}", f"{around}/{target}", key=key, **data)
        outputs = tuple(f"{around}/{path}" for path in graph.graph.get("outputs") or ())
        whole.graph["outputs"] = (*whole.graph.get("outputs", ()), *outputs)
    return whole


def nest(graph: networkx.MultiDiGraph[Any]) -> Nest:
    """The graph as one nest; ids ``f0``, ``f1``, … number the frames as they first appear."""
    whole = Nest("", "")
    known: dict[tuple[str, ...], Nest] = {(): whole}
    for path, data in graph.nodes(data=True):
        frames = tuple(data.get("frames") or ())
        for depth in range(1, len(frames) + 1):
            if frames[:depth] not in known:
                around = f"{frames[depth - 2]}/" if depth > 1 else ""
                made = Nest(f"f{len(known) - 1}", clean(str(frames[depth - 1]).removeprefix(around), _LONGEST))
                known[frames[:depth]] = made
                known[frames[: depth - 1]].inside.append(made)
        known[frames].inside.append(path)
    return whole
