"""A network as one still picture in SVG: boxes of layers in frames, shapes on the edges, costs, a legend and totals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import networkx

from nnspec.view.markup import number, rectangle, writing
from nnspec.view.markup import sheet as document
from nnspec.view.paper import Group, Paper, Part, Rectangle, Wire, Words
from nnspec.view.sheet import sheet
from nnspec.view.strokes import Stroke
from nnspec.view.text import escape


def draw(*graphs: networkx.MultiDiGraph[Any]) -> str:
    """The SVG text of networks' graphs, side by side.

    Nodes carry ``kind, name, shape, dtype, parameters, trainable, flops, fields, frames, line``; edges ``output``,
    ``shape`` and ``dtype``; ``graph.graph`` the ``name`` and ``outputs``. The picture is its own light sheet of paper,
    needs no font, script or file, and is the same for the same graph.
    """
    return written(sheet(graphs))


def written(paper: Paper) -> str:
    """A sheet of paper as an SVG document."""
    return document(paper.title, paper.width, paper.height, map(_part, paper.parts))


def _part(part: Part) -> str:
    if isinstance(part, Rectangle):
        return _rectangle(part)
    if isinstance(part, Words):
        return writing(part.x, part.y, part.text, part.size, part.ink, part.bold)
    return _wire(part) if isinstance(part, Wire) else _group(part)


def _rectangle(box: Rectangle) -> str:
    look: dict[str, object] = {"rx": number(box.radius), "fill": box.fill}
    if box.line:
        look.update(stroke=box.line, stroke_width=number(box.thick))
    if box.dashed:
        look.update(stroke_dasharray="5 3")
    return rectangle(box.x, box.y, box.width, box.height, **look)


def _wire(wire: Wire) -> str:
    arrows = "".join(f"M{number(x)} {number(y)}l-3.6 -7.5 3.6 1.8 3.6 -1.8z" for x, y in wire.tips)
    way = f'<path d="{path_data(wire.strokes)}" fill="none" stroke="{wire.ink}" stroke-width="{number(wire.thick)}" stroke-linecap="round"/>'
    return f'{way}<path d="{arrows}" fill="{wire.ink}"/>'


def _group(group: Group) -> str:
    if not group.kind:
        x, y = group.shift
        return "\n".join((f'<g transform="translate({number(x)} {number(y)})">', *map(_part, group.parts), "</g>"))
    title = f"<title>{escape(group.title, 20000)}</title>"
    return f'<g class="{group.kind}">{title}{"".join(map(_part, group.parts))}</g>'


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
