"""Lines over each other in a terminal: two by four dots a letter, a colour a line, with an axis on the left."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

STYLES = ("blue", "yellow", "green", "magenta", "cyan", "red", "white")
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column of a letter
_LOG_RANGE = 30.0


def plot(series: Sequence[Sequence[float]], width: int = 64, height: int = 12) -> list[Text]:
    """Rows of text, the uppermost first; where lines meet in one letter the later one has the colour. Gaps are left where nothing is finite."""
    from rich.text import Text

    finite = [v for values in series for v in values if isfinite(v)]
    if not finite:
        return []
    low, high = min(finite), max(finite)
    log = low > 0 and high / low >= _LOG_RANGE
    bits = [[0] * width for _ in range(height)]
    styles = [[""] * width for _ in range(height)]
    longest = max(map(len, series))
    for n, values in enumerate(series):
        before: tuple[int, int] | None = None
        for i, v in enumerate(values):
            if not isfinite(v):
                before = None
                continue
            at = round(i / max(longest - 1, 1) * (2 * width - 1)), round((1 - _share(v, low, high, log)) * (4 * height - 1))
            for x, y in _between(before or at, at):
                bits[y // 4][x // 2] |= _BITS[y % 4][x % 2]
                styles[y // 4][x // 2] = STYLES[n % len(STYLES)]
            before = at
    labels = {0: f"{high:.4g}", height - 1: f"{low:.4g}"}
    left = max(map(len, labels.values()))
    rows = []
    for y in range(height):
        row = Text()
        row.append(f"{labels.get(y, ''):>{left}} {'┤' if y in labels else '│'}", style="dim")
        for x in range(width):
            row.append(chr(0x2800 + bits[y][x]) if bits[y][x] else " ", style=styles[y][x] or "none")
        rows.append(row)
    end = f"{longest}"
    rows.append(Text(f"{'':>{left}} └{'─' * width}", style="dim"))
    rows.append(Text(f"{'':>{left}}  1{' ' * (width - 1 - len(end))}{end}{'  log scale' if log else ''}", style="dim"))
    return rows


def _share(value: float, low: float, high: float, log: bool) -> float:
    if log:
        value, low, high = log10(value), log10(low), log10(high)
    return (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5


def _between(a: tuple[int, int], b: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots of a straight line."""
    steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
    return [(round(a[0] + (b[0] - a[0]) * i / steps), round(a[1] + (b[1] - a[1]) * i / steps)) for i in range(steps + 1)]
