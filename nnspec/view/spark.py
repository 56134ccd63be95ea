"""Values over epochs in one line of text: blocks of eight heights, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, log

BLOCKS = "▁▂▃▄▅▆▇█"
_LOG_RANGE = 30.0  # as in curves: values that go over more than this are drawn by their logarithms


def lines(series: Sequence[Sequence[float]], width: int = 40) -> list[str]:
    """A line for each series, all in one scale, the longest ``width`` blocks wide; what is not finite is a blank."""
    longest = max(map(len, series), default=0)
    finite = [v for values in series for v in values if isfinite(v)]
    if not finite:
        return [" " * min(len(values), width) for values in series]
    low, high = min(finite), max(finite)
    by_log = low > 0 and high / low >= _LOG_RANGE
    return ["".join(_block(v, low, high, by_log) for v in _thinned(values, longest, width)) for values in series]


def _thinned(values: Sequence[float], longest: int, width: int) -> list[float]:
    """One value for each block: the mean of the finite ones that fall to it."""
    if longest <= width:
        return list(values)
    parts = [values[longest * i // width : longest * (i + 1) // width] for i in range(width)]
    means = []
    for part in parts:
        finite = [v for v in part if isfinite(v)]
        if part:
            means.append(sum(v / len(finite) for v in finite) if finite else float("nan"))
    return means


def _block(value: float, low: float, high: float, by_log: bool) -> str:
    if not isfinite(value):
        return " "
    if by_log:
        value, low, high = log(value), log(low), log(high)
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5  # halves do not overflow
    return BLOCKS[min(7, max(0, int(share * 8)))]
