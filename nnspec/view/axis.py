"""An axis of a chart: values onto places, ticks at round numbers, and long lines thinned without losing a peak."""

from __future__ import annotations

from math import ceil, floor, isfinite, log10

from nnspec.records import dataclass

MOST_POINTS = 1500  # of a line; more are thinned to the extremes of equal stretches


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` onto the picture from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        if high <= low:
            return (self.start + self.end) / 2
        return self.start + (value / 2 - low / 2) / (high / 2 - low / 2) * (self.end - self.start)  # no overflow

    def ticks(self, wanted: int, whole: bool = False) -> list[float]:
        if self.log:
            powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            steps = (1, 2, 5) if self.high / self.low < 1000 else (1,)
            every = max(1, len(powers) // wanted)
            found = [m * 10.0**p for p in powers[::every] for m in steps]
            return [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]
        if not self.high > self.low:
            return [self.low]
        rough = self.high / wanted - self.low / wanted
        power = 10.0 ** floor(log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        if whole:
            step = max(1.0, float(ceil(step)))
        return [n * step for n in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)]


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about ``MOST_POINTS`` points, with the least and the greatest of every stretch, so no peak is lost."""
    stretch = ceil(len(points) * 2 / MOST_POINTS)
    if stretch < 3:
        return points
    kept = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        finite = [point for point in part if isfinite(point[1])]
        ends = {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])} if finite else {part[0]}
        kept += sorted(ends | ({points[-1]} if part[-1] is points[-1] else set()))
    return kept
