"""A network as a Mermaid flowchart, which Markdown pages draw by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import networkx

from nnspec.view import describe
from nnspec.view.nesting import Nest, nest, together
from nnspec.view.palette import FILLS
from nnspec.view.text import clean

_LONGEST = 120


def draw(*graphs: networkx.MultiDiGraph[Any]) -> str:
    """Mermaid text: a node a layer with kind, fields and cost, shapes on the edges, a subgraph a frame, and one around each of several networks."""
    graph = together(graphs)
    numbers = {path: f"n{index}" for index, path in enumerate(graph)}
    lines = ["---", f"title: {_title(graph)}", "---", "flowchart TB", *_inside(graph, nest(graph), numbers, "  ")]
    outputs = describe.outputs(graph)
    for index, path in enumerate(outputs):
        data = graph.nodes[path]
        shape = _text(describe.tensor(data.get("shape"), data.get("dtype")))
        lines.append(f'  out{index}(["output"])')
        lines.append(f'  {numbers[path]} -- "{shape}" --> out{index}')
    for source, target, data in graph.edges(data=True):
        shape = _text(describe.tensor(data.get("shape"), data.get("dtype")))
        lines.append(f'  {numbers[source]} -- "{shape}" --> {numbers[target]}')
    return "\n".join([*lines, *_classes(graph, numbers, len(outputs))]) + "\n"


def _title(graph: networkx.MultiDiGraph[Any]) -> str:
    words = f"{clean(graph.graph.get('name') or 'network', _LONGEST)} ({describe.heading(graph)})"
    escaped = words.replace("\\", "\\\\").replace('"', '\\"').replace("<", "‹").replace(">", "›")
    return f'"{escaped}"'


def _inside(graph: networkx.MultiDiGraph[Any], part: Nest, numbers: dict[str, str], indent: str) -> Iterable[str]:
    for inner in part.inside:
        if isinstance(inner, Nest):
            yield f'{indent}subgraph {inner.id}["{_text(inner.label)}"]'
            yield from _inside(graph, inner, numbers, indent + "  ")
            yield f"{indent}end"
            continue
        data = graph.nodes[inner]
        says, cost = describe.says(data).replace("  ", " "), describe.priced(data)
        rows = [f"<b>{_text(data.get('name') or inner)}</b>", _text(says), _text(cost)]
        yield f'{indent}{numbers[inner]}["{"<br/>".join(row for row in rows if row)}"]'


def _text(text: object) -> str:
    """Inside double quotes: what Mermaid, Markdown or HTML might read as more than text becomes entity codes."""
    return "".join(letter if letter.isalnum() or letter in " _-./,·…:+" else f"#{ord(letter)};" for letter in clean(text, _LONGEST))


def _classes(graph: networkx.MultiDiGraph[Any], numbers: dict[str, str], outputs: int) -> Iterable[str]:
    members: dict[str, list[str]] = {}
    for path, data in graph.nodes(data=True):
        members.setdefault(describe.family_of(data), []).append(numbers[path])
    if outputs:
        members["output"] = [f"out{index}" for index in range(outputs)]
    for family, names in members.items():
        fill, line = FILLS[family]
        ink = "#ffffff" if family == "output" else "#111827"
        yield f"  classDef {family}Layer fill:{fill},stroke:{line},color:{ink}"
        yield f"  class {','.join(names)} {family}Layer"
    frozen = [numbers[path] for path, data in graph.nodes(data=True) if describe.frozen(data)]
    if frozen:
        yield "  classDef frozenLayer stroke-dasharray:5 3"
        yield f"  class {','.join(frozen)} frozenLayer"
