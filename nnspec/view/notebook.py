"""Specs, models, graphs and runs as a notebook shows them: self-contained HTML in the colours of the page around it, bounded in size.

Names are escaped; pictures are images of their own, so that nothing in them reaches the page. Colours are the page's, or translucent.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnspec.view import amounts, describe
from nnspec.view.summary import Layers, Row, rows
from nnspec.view.text import clean, escape

if TYPE_CHECKING:
    import networkx

MOST_ROWS, MOST_DRAWN, MOST_BYTES = 60, 80, 400_000  # rows of a table, layers of a picture, and its size
_BOX = "font:13px/1.45 system-ui,sans-serif;max-width:1100px;color:inherit"
_LINE = "border-bottom:1px solid rgba(128,128,128,.25)"
_SHEET = "border-collapse:collapse;margin-top:6px;font:inherit"
_CELL = "padding:2px 14px 2px 0;text-align:left;vertical-align:top;background:none"
_RIGHT = "padding:2px 14px 2px 0;text-align:right;white-space:nowrap;background:none;font-variant-numeric:tabular-nums"
_BARS = {"parameters": "rgba(47,111,214,.75)", "flops": "rgba(204,58,107,.75)"}


def graph_svg(graph: networkx.MultiDiGraph[Any]) -> str | None:
    """The picture, where it is of a size that a notebook holds."""
    if len(graph) > MOST_DRAWN:
        return None
    from nnspec.view import svg

    drawn = svg.draw(graph)
    return drawn if len(drawn) <= MOST_BYTES else None


def network_html(graph: networkx.MultiDiGraph[Any], note: str = "") -> str:
    """The network's name and totals, its layers as a table, and its picture in a box that scrolls."""
    name = escape(clean(graph.graph.get("name") or "network", 200))
    head = f'<div style="font-size:15px;font-weight:600">{name}</div><div style="opacity:.7">{escape(describe.heading(graph))}{escape(note)}</div>'
    picture = graph_svg(graph)
    if picture is None:
        shown = '<div style="opacity:.7;margin-top:6px">too large to be drawn here: nnspec graph SPEC -o net.html</div>'
    else:
        shown = f'<div style="max-height:520px;overflow:auto;margin-top:8px">{_image(picture, name)}</div>'
    return f'<div style="{_BOX}">{head}{_folding("layers", _table(graph))}{_folding("picture", shown)}</div>'


def run_html(history: Sequence[Mapping[str, float]], metrics: Mapping[str, float], name: str, stop: str = "") -> str:
    """A run's metrics as a table, with the best of its epochs, and its curves."""
    from nnspec.view import overlay

    count = f"{len(history)} epoch{'' if len(history) == 1 else 's'}{f', {stop}' if stop else ''}"
    head = f'<div style="font-size:15px;font-weight:600">{escape(clean(name, 200))}</div><div style="opacity:.7">{escape(count)}</div>'
    body = "".join(f'<tr style="{_LINE}"><td style="{_CELL}">{escape(clean(key, 100))}</td><td style="{_RIGHT}">{escape(_number(value))}</td></tr>'
                   for key, value in list(metrics.items())[:MOST_ROWS])  # fmt: skip
    table = f'<table style="{_SHEET}">{body}</table>' if body else ""
    panels = overlay.panels({clean(name, 100): history}) if history else []
    curves = _image(overlay.draw(panels), "curves") if panels else ""
    return f'<div style="{_BOX}">{head}{table}<div style="margin-top:8px">{curves}</div></div>'


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def _folding(title: str, inner: str) -> str:
    return f'<details open style="margin-top:8px"><summary style="cursor:pointer;font-weight:600">{title}</summary>{inner}</details>'


def _image(svg: str, name: str) -> str:
    """A picture in a page of its own: no style or name of it reaches the notebook's."""
    return f'<img alt="{name}" style="max-width:none" src="data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}">'


def _table(graph: networkx.MultiDiGraph[Any]) -> str:
    """The layers, folded as deep as leaves few enough rows."""
    held = Layers(str(graph.graph.get("name") or ""), dict(graph.nodes(data=True)))
    sums = describe.totals(held.layers.values())
    shown = rows(held)
    for depth in range(8, -1, -1) if len(shown) > MOST_ROWS else ():
        shown = rows(held, depth)
        if len(shown) <= MOST_ROWS:
            break
    titles = "".join(f'<th style="{_RIGHT if right else _CELL};font-weight:600">{title}</th>'
                     for title, right in (("layer", False), ("kind", False), ("output", False), ("parameters", True), ("FLOPs", True)))  # fmt: skip
    body = "".join(_row(row, sums) for row in shown[:MOST_ROWS])
    rest = f'<div style="opacity:.7">… {len(shown) - MOST_ROWS} more</div>' if len(shown) > MOST_ROWS else ""
    table = f'<table style="{_SHEET}"><tr style="{_LINE}">{titles}</tr>{body}</table>'
    return f'<div style="overflow-x:auto">{table}{rest}</div>'


def _row(row: Row, sums: describe.Totals) -> str:
    faint = "opacity:.6;" if row.frame and not row.folded else ""
    notes = f" · {', '.join(row.notes)}" if row.notes else ""
    cells = [
        f'<td style="{_CELL};padding-left:{14 * row.depth}px">{escape(clean(row.name, 200))}</td>',
        f'<td style="{_CELL}">{escape(clean(row.kind + notes, 200))}</td>',
        f'<td style="{_CELL};white-space:nowrap">{escape(row.shape)}</td>',
        f'<td style="{_RIGHT}">{_amount(row.parameters, sums.parameters, amounts.count, "parameters", row)}</td>',
        f'<td style="{_RIGHT}">{_amount(row.flops, sums.flops, amounts.flops, "flops", row)}</td>',
    ]
    return f'<tr style="{faint}{_LINE}">{"".join(cells)}</tr>'


def _amount(part: Any, whole: Any, said: Any, kind: str, row: Row) -> str:
    """The number, and below it a bar as long as its share."""
    if not part:
        return ""
    share = part / whole if isinstance(part, int | float) and isinstance(whole, int | float) and whole else 0.0
    long = max(1, round(72 * min(share, 1.0)))
    bar = f'<div style="height:3px;margin-left:auto;border-radius:2px;background:{_BARS[kind]};width:{long}px"></div>'
    bar = "" if row.frame and not row.folded else bar
    return f"{escape(said(part))}{bar}"
