"""Loss and metrics over epochs as a still picture in SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

from nnspec.view.axis import Axis, thinned
from nnspec.view.markup import number, sheet, writing
from nnspec.view.palette import INK, MUTED, SERIES
from nnspec.view.text import clean, escape, shorten, width

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _GAP = 760.0, 220.0, 70.0, 24.0, 34.0, 72.0
_MOST_LINES = 24
_NO_METRICS = ("epoch", "step", "rate", "seconds")
_LOG_RANGE = 30.0  # a loss whose largest value is this many times its smallest has a logarithmic axis
_DASHES = {"train": "", "validation": "6 3", "test": "2 3"}

Line = tuple[str, list[tuple[float, float]]]


def draw(history: Sequence[Mapping[str, float]], title: str = "") -> str:
    """The SVG text of a chart: one panel for losses, one for all else; split by colour and dashes, metric by metric.

    ``history`` holds one mapping an epoch, such as ``{"train.loss": 0.3, "validation.accuracy": 0.9}``; an ``epoch``
    in it is the place on the axis, else epochs count from 1; ``step``, ``rate`` and
    ``seconds`` are not drawn. Values missing, NaN or infinite leave a gap.
    """
    lines = _lines(history)
    panels = [
        ("loss", [line for line in lines if _is_loss(line[0])]),
        ("metrics", [line for line in lines if not _is_loss(line[0])]),
    ]
    ends = [at for _, points in lines for at, _ in points if isfinite(at)] or [1.0]
    x = Axis(min(ends), max(ends), _LEFT, _WIDTH - _RIGHT)
    parts, y = list[str](), 20.0
    if title:
        heading = shorten(clean(title, 300), _WIDTH - _LEFT - _RIGHT, 15, bold=True)
        parts.append(writing(_LEFT, 32, heading, 15, INK, bold=True))
        y += 20
    for name, members in [panel for panel in panels if panel[1]] or panels[:1]:
        drawn, y = _panel(name, members, x, y + _TOP)
        parts += drawn
    return sheet(title or "training curves", _WIDTH, y + 8, parts)


def _is_loss(key: str) -> bool:
    return key.replace("/", ".").split(".")[-1] == "loss"


def _lines(history: Sequence[Mapping[str, float]]) -> list[Line]:
    keys = list(dict.fromkeys(key for row in history for key in row if key not in _NO_METRICS))[:_MOST_LINES]
    lines = []
    for key in keys:
        points = [(_value(row.get("epoch", index)), _value(row.get(key))) for index, row in enumerate(history, 1)]
        lines.append((key, thinned([point for point in points if isfinite(point[0])])))
    return lines


def _value(value: object) -> float:
    if not isinstance(value, int | float):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("nan")


def _value_axis(name: str, lines: Iterable[Line], top: float) -> Axis:
    values = [value for _, points in lines for _, value in points if isfinite(value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    start, end = top + _PANEL, top
    if name == "loss" and low > 0 and high / low >= _LOG_RANGE:
        return Axis(low / 1.15, min(high * 1.15, 1.7e308), start, end, log=True)
    room = (high / 20 - low / 20) or abs(high) / 10 or 0.5
    return Axis(max(low - room, -1.7e308), min(high + room, 1.7e308), start, end)


def _panel(name: str, lines: Sequence[Line], x: Axis, top: float) -> tuple[list[str], float]:
    y = _value_axis(name, lines, top)
    parts = [writing(_LEFT, top - 12, f"{name} (log scale)" if y.log else name, 12, INK, bold=True)]
    for tick in y.ticks(5):
        at = y.at(tick)
        parts.append(f'<path d="M{number(_LEFT)} {number(at)}H{number(_WIDTH - _RIGHT)}" stroke="#e8ecf1"/>')
        label = f"{tick:.4g}"
        parts.append(writing(_LEFT - 8 - width(label, 10.5), at + 3.5, label, 10.5, MUTED))
    for tick in x.ticks(10, whole=True):
        label = f"{tick:g}" if abs(tick) < 1e6 else f"{tick:.4g}"
        parts.append(f'<path d="M{number(x.at(tick))} {number(top + _PANEL)}v4" stroke="#9aa5b4"/>')
        parts.append(writing(x.at(tick) - width(label, 10.5) / 2, top + _PANEL + 17, label, 10.5, MUTED))
    frame = f"M{number(_LEFT)} {number(top)}V{number(top + _PANEL)}H{number(_WIDTH - _RIGHT)}"
    parts.append(f'<path d="{frame}" fill="none" stroke="#9aa5b4"/>')
    parts.append(writing(_WIDTH - _RIGHT - width("epoch", 10.5), top + _PANEL + 31, "epoch", 10.5, MUTED))
    colours = {metric: SERIES[i % len(SERIES)] for i, metric in enumerate(dict.fromkeys(_metric(key) for key, _ in lines))}
    at_x, at_y = _LEFT, top + _PANEL + 48
    for index, (key, points) in enumerate(lines):
        alone = len(colours) == 1 and _split(key) not in _DASHES
        colour = SERIES[index % len(SERIES)] if len(colours) == 1 or alone else colours[_metric(key)]
        dashes = _DASHES.get(_split(key), "")
        parts.append(_curve(key, points, x, y, colour, dashes))
        label = shorten(clean(key, 300), 260, 11)
        size = width(label, 11) + 44
        if at_x + size > _WIDTH - _RIGHT - 50 and at_x > _LEFT:
            at_x, at_y = _LEFT, at_y + 18
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(f'<path d="M{number(at_x)} {number(at_y - 4)}h20" stroke="{colour}" stroke-width="2.2"{dash}/>')
        parts.append(writing(at_x + 25, at_y, label, 11, MUTED))
        at_x += size
    return parts, at_y + 14


def _split(key: str) -> str:
    return key.split(".")[0]


def _metric(key: str) -> str:
    return key.split(".", 1)[-1]


def _curve(key: str, points: Iterable[tuple[float, float]], x: Axis, y: Axis, colour: str, dashes: str) -> str:
    """The line through the finite points; one that stands alone between gaps is a dot."""
    runs: list[list[str]] = [[]]
    for at, value in points:
        if isfinite(value):
            runs[-1].append(f"{number(x.at(at))} {number(y.at(value))}")
        elif runs[-1]:
            runs.append([])
    path = "".join("M" + "L".join(run) for run in runs if len(run) > 1)
    dots = [run[0].split(" ") for run in runs if len(run) == 1]
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    line = f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round"{dash}/>' if path else ""
    marks = "".join(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>' for cx, cy in dots)
    return f'<g class="curve"><title>{escape(key, 300)}</title>{line}{marks}</g>'
