"""A network in the DOT language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import networkx

from nnspec.view import describe
from nnspec.view.nesting import Nest, nest, together
from nnspec.view.palette import FILLS, WIRE
from nnspec.view.text import clean

_LONGEST = 120


def draw(*graphs: networkx.MultiDiGraph[Any]) -> str:
    """DOT text: a node a layer with kind, fields and cost, shapes on the edges, a cluster a frame, and one around each of several networks."""
    graph = together(graphs)
    numbers = {path: f"n{index}" for index, path in enumerate(graph)}
    title = f"{clean(graph.graph.get('name') or 'network', _LONGEST)}\n{describe.heading(graph)}"
    lines = [
        "digraph network {",
        f"  graph [label={_quoted(title)}, labelloc=t, fontname=Helvetica, bgcolor=white, compound=true]",
        '  node [shape=box, style="rounded,filled", fontname=Helvetica, fontsize=11]',
        f'  edge [fontname=Helvetica, fontsize=9, color="{WIRE}", fontcolor="#475569"]',
        *_inside(graph, nest(graph), numbers, "  "),
    ]
    for index, path in enumerate(describe.outputs(graph)):
        fill, line = FILLS["output"]
        data = graph.nodes[path]
        shape = _quoted(describe.tensor(data.get("shape"), data.get("dtype")))
        lines.append(f'  out{index} [label="output", fillcolor="{fill}", color="{line}", fontcolor=white]')
        lines.append(f"  {numbers[path]} -> out{index} [label={shape}]")
    for source, target, data in graph.edges(data=True):
        shape = _quoted(describe.tensor(data.get("shape"), data.get("dtype")))
        lines.append(f"  {numbers[source]} -> {numbers[target]} [label={shape}]")
    return "\n".join([*lines, "}"]) + "\n"


def _inside(graph: networkx.MultiDiGraph[Any], part: Nest, numbers: dict[str, str], indent: str) -> Iterable[str]:
    for inner in part.inside:
        if isinstance(inner, Nest):
            yield f"{indent}subgraph cluster_{inner.id} {{"
            look = 'labeljust=l, style="rounded,filled", fillcolor="#64748b12"'
            yield f"{indent}  graph [label={_quoted(inner.label)}, {look}]"
            yield from _inside(graph, inner, numbers, indent + "  ")
            yield f"{indent}}}"
            continue
        data = graph.nodes[inner]
        says, cost = describe.says(data).replace("  ", " "), describe.priced(data)
        rows = (clean(data.get("name") or inner, _LONGEST), clean(says, _LONGEST), cost)
        fill, line = FILLS[describe.family_of(data)]
        style = ', style="rounded,filled,dashed"' if describe.frozen(data) else ""
        label = _quoted("\n".join(row for row in rows if row))
        look = f'fillcolor="{fill}", color="{line}"{style}'
        yield f"{indent}{numbers[inner]} [label={label}, tooltip={_quoted(clean(inner))}, {look}]"


def _quoted(text: str) -> str:
    """A DOT string: quotes and backslashes escaped, so that ``\\N`` and its kin stay text, and entities too."""
    for letter, escaped in (("\\", "\\\\"), ('"', '\\"'), ("&", "&amp;"), ("\n", "\\n")):
        text = text.replace(letter, escaped)
    return f'"{text}"'
