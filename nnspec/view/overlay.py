"""Several runs over each other, a panel a metric, as a still picture in SVG that is light or dark as the page around it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

from nnspec.records import dataclass
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.view.axis import Axis, thinned
from nnspec.view.markup import number
from nnspec.view.text import FONT, clean, escape, shorten, width

# Okabe and Ito, "Color Universal Design", 2008; its yellow is too pale for lines on white. Behind them come dashes.
COLOURS = (("#0072b2", "#56a8e0"), ("#d55e00", "#ff8b3d"), ("#009e73", "#2ecf9f"), ("#cc79a7", "#e79cc5"), ("#b07d00", "#f0b429"),
           ("#56b4e9", "#9fd8ff"), ("#4b5563", "#c3cad4"))  # fmt: skip
DASHES = ("", "7 3", "2 3", "9 3 2 3")
_LEFT, _PLOT, _HIGH, _GAP, _LEGEND, _MARGIN, _MOST = 68.0, 520.0, 210.0, 74.0, 220.0, 24.0, 8
_WIDTH = _LEFT + _PLOT + _GAP / 2 + _LEGEND
_LOG_RANGE = 30.0
Values = Sequence[float]


@dataclass(frozen=True)
class Panel:
    """A metric: a line for each run, and behind it a faint one of the same run's training."""

    name: str
    series: Mapping[str, Values]
    behind: Mapping[str, Values]
    log: bool = False


def panels(histories: Mapping[str, Sequence[Mapping[str, float]]], wanted: Iterable[str] = ()) -> list[Panel]:
    """A panel for each metric that is wanted, or for each that the runs have: validation before training, which stands behind it."""
    known = list(dict.fromkeys(name for rows in histories.values() for row in rows for name in row if "." in name))
    kinds = dict.fromkeys(name.split(".", 1)[1] for name in known)
    chosen = list(wanted) or [next(n for n in (f"validation.{k}", f"train.{k}", *known) if n in known) for k in kinds]
    out = []
    for name in dict.fromkeys(chosen[:_MOST]):
        split, _, kind = name.partition(".")
        series = {run: _column(rows, name) for run, rows in histories.items()}
        train = {run: _column(rows, f"train.{kind}") for run, rows in histories.items()} if split == "validation" else {}
        values = [v for column in (*series.values(), *train.values()) for v in column if isfinite(v)]
        log = _falls(kind) and bool(values) and min(values) > 0 and max(values) / min(values) >= _LOG_RANGE
        out.append(Panel(name, series, {run: column for run, column in train.items() if any(map(isfinite, column))}, log))
    return out


def _falls(kind: str) -> bool:
    """Whether it is something that is made small, and may become so by orders of magnitude."""
    own = kind.replace("/", ".").rpartition(".")[2]
    return own == "loss" or any(name in Loss.registry or getattr(Metric.registry.get(name), "better", "") == "less"
                                for name in (own, own.rpartition("_")[0]))  # fmt: skip


def _column(rows: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [float(v) if isinstance(v := row.get(name), int | float) else float("nan") for row in rows]


def draw(shown: Sequence[Panel], title: str = "") -> str:
    """The SVG text: panels below each other over one axis of epochs, and a legend beside them."""
    runs = list(dict.fromkeys(run for panel in shown for run in panel.series))
    longest = max([len(v) for panel in shown for v in panel.series.values()] + [2])
    x = Axis(1.0, float(longest), _LEFT, _LEFT + _PLOT)
    top = 74.0 if title else 44.0
    parts = [_text(_LEFT, 34, shorten(clean(title, 300), _WIDTH - _LEFT - _MARGIN, 16, True), 16, "ink", True)] if title else []
    parts += _legend(runs, shown, top)
    for panel in shown:
        parts += _panel(panel, runs, x, top)
        top += _HIGH + _GAP
    tall = max(top - _GAP + 52, 110 + 20.0 * len(runs))
    size = f'viewBox="0 0 {number(_WIDTH)} {number(tall)}" width="{number(_WIDTH)}" height="{number(tall)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONT}">'
    paper = f'<rect class="paper" x="0.5" y="0.5" width="{number(_WIDTH - 1)}" height="{number(tall - 1)}" rx="13"/>'
    return "\n".join((head, f"<title>{escape(title or 'runs')}</title>", _style(), paper, *filter(None, parts), "</svg>")) + "\n"


def _style() -> str:
    lines = [f".s{n}{{stroke:{light}}}.f{n}{{fill:{light}}}" for n, (light, _) in enumerate(COLOURS)]
    dark = [f".s{n}{{stroke:{deep}}}.f{n}{{fill:{deep}}}" for n, (_, deep) in enumerate(COLOURS)]
    return (
        "<style>.paper{fill:#fff;stroke:#e2e8f0}.ink{fill:#111827}.muted{fill:#5b6472}.grid{stroke:#e8ecf1}.axis{stroke:#9aa5b4;fill:none}"
        ".line{fill:none;stroke-width:2;stroke-linejoin:round}.behind{fill:none;stroke-width:1.2;opacity:.45;stroke-linejoin:round}"
        f"{''.join(lines)}@media (prefers-color-scheme: dark){{.paper{{fill:#0f1722;stroke:#283445}}.ink{{fill:#eef2f7}}"
        f".muted{{fill:#a3afbf}}.grid{{stroke:#222d3d}}.axis{{stroke:#5d6b7e}}{''.join(dark)}}}</style>"
    )


def _text(x: float, y: float, text: str, size: float, kind: str, bold: bool = False) -> str:
    """A line of text that takes the width it was measured to have."""
    if not text:
        return ""
    weight = ' font-weight="700"' if bold else ""
    fixed = f'textLength="{number(width(text, size, bold))}" lengthAdjust="spacingAndGlyphs"'
    return f'<text class="{kind}" x="{number(x)}" y="{number(y)}" font-size="{number(size)}"{weight} {fixed}>{escape(text)}</text>'


def _mark(n: int) -> tuple[str, str]:
    """The class and the dashes of the n-th run."""
    dashes = DASHES[n // len(COLOURS) % len(DASHES)]
    return f"s{n % len(COLOURS)}", f' stroke-dasharray="{dashes}"' if dashes else ""


def _legend(runs: Sequence[str], shown: Sequence[Panel], top: float) -> list[str]:
    x, y = _LEFT + _PLOT + _GAP / 2, top + 8
    parts = []
    for n, run in enumerate(runs):
        colour, dashes = _mark(n)
        parts.append(f'<path class="line {colour}" d="M{number(x)} {number(y - 4)}h22"{dashes}/>')
        parts.append(_text(x + 30, y, shorten(clean(run, 300), _LEGEND - 30 - _MARGIN, 12), 12, "ink"))
        y += 20
    if any(panel.behind for panel in shown):
        parts.append(f'<path class="behind s0" d="M{number(x)} {number(y - 4)}h22"/>')
        parts.append(_text(x + 30, y, "training, faint", 11, "muted"))
    return parts


def _panel(panel: Panel, runs: Sequence[str], x: Axis, top: float) -> list[str]:
    y = _values(panel, top)
    parts = [_text(_LEFT, top - 12, f"{clean(panel.name, 100)}{' (log scale)' if panel.log else ''}", 13, "ink", True)]
    for tick in y.ticks(5):
        at, label = y.at(tick), f"{tick:.4g}"
        parts.append(f'<path class="grid" d="M{number(_LEFT)} {number(at)}h{number(_PLOT)}"/>')
        parts.append(_text(_LEFT - 8 - width(label, 11), at + 4, label, 11, "muted"))
    for tick in x.ticks(8, whole=True):
        label = f"{tick:g}"
        parts.append(f'<path class="axis" d="M{number(x.at(tick))} {number(top + _HIGH)}v4"/>')
        parts.append(_text(x.at(tick) - width(label, 11) / 2, top + _HIGH + 17, label, 11, "muted"))
    parts.append(f'<path class="axis" d="M{number(_LEFT)} {number(top)}v{number(_HIGH)}h{number(_PLOT)}"/>')
    parts.append(_text(_LEFT + _PLOT - width("epoch", 11), top + _HIGH + 32, "epoch", 11, "muted"))
    for kind, lines in (("behind", panel.behind), ("line", panel.series)):
        for n, run in enumerate(runs):
            if run in lines:
                parts.append(_curve(f"{run}: {panel.name}", lines[run], x, y, n, kind))
    return parts


def _values(panel: Panel, top: float) -> Axis:
    values = [v for column in (*panel.series.values(), *panel.behind.values()) for v in column if isfinite(v)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if panel.log:
        return Axis(low / 1.15, min(high * 1.15, 1.7e308), top + _HIGH, top, log=True)
    room = (high / 20 - low / 20) or abs(high) / 10 or 0.5
    return Axis(max(low - room, -1.7e308), min(high + room, 1.7e308), top + _HIGH, top)


def _curve(title: str, values: Values, x: Axis, y: Axis, n: int, kind: str) -> str:
    """The line through the finite values; one that stands alone between gaps is a dot."""
    runs: list[list[str]] = [[]]
    for at, value in thinned([(float(epoch), v) for epoch, v in enumerate(values, 1)]):
        if isfinite(value):
            runs[-1].append(f"{number(x.at(at))} {number(y.at(value))}")
        elif runs[-1]:
            runs.append([])
    colour, dashes = _mark(n)
    path = "".join("M" + "L".join(run) for run in runs if len(run) > 1)
    dots = [run[0].split(" ") for run in runs if len(run) == 1]
    line = f'<path class="{kind} {colour}" d="{path}"{dashes}/>' if path else ""
    marks = "".join(f'<circle class="f{n % len(COLOURS)}" cx="{cx}" cy="{cy}" r="3"/>' for cx, cy in dots)
    return f"<g><title>{escape(title, 300)}</title>{line}{marks}</g>"
