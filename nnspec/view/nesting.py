"""The layers of a graph nested as their frames are, for text formats that write one inside another."""

from __future__ import annotations

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
