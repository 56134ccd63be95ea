"""What a run has measured, as columns of numbers: read once, followed as it grows, and thinned for a picture."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.runtime.run_folder import METRICS, STEPS
from nnspec.view.board.files import Tail, as_object

MOST_COLUMNS, LONGEST_NAME = 256, 300
AXES = ("step", "epoch", "seconds")
Numbers = NDArray[np.float64]
Curve = tuple[list[float | None], list[float | None]]  # places and values


class Columns:
    """Rows of numbers by name; what a row does not have is NaN."""

    def __init__(self) -> None:
        self.rows = 0
        self._held: dict[str, array[float]] = {}

    def clear(self) -> None:
        self.rows = 0
        self._held = {}

    def names(self) -> list[str]:
        return list(self._held)

    def last(self, name: str) -> float:
        held = self._held.get(name)
        return held[-1] if held and len(held) == self.rows else math.nan

    def get(self, name: str) -> Numbers:
        """A copy of one column, as long as there are rows."""
        held = self._held.get(name, array("d"))
        return np.concatenate([np.frombuffer(held, np.float64), np.full(self.rows - len(held), np.nan)]) if held else np.full(self.rows, np.nan)

    def append(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            held = self._held.get(name)
            if held is None:
                if len(self._held) >= MOST_COLUMNS:
                    continue
                held = self._held[name] = array("d")
            if missing := self.rows - len(held):
                held.extend([math.nan] * missing)
            held.append(value)
        self.rows += 1

    def cut(self, rows: int) -> None:
        """Forgets all rows but the first."""
        for held in self._held.values():
            del held[rows:]
        self.rows = min(self.rows, rows)


class History:
    """The lines of one file of a run, ``metrics.jsonl`` or ``steps.jsonl``."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self.columns = Columns()
        self.version = 0
        self.more = False  # lines are there that are not read yet
        self._seconds = 0.0
        self._adds = path.name == METRICS  # its seconds are those of an epoch

    def follow(self) -> None:
        """Reads what has come, or as much of it as takes no long time."""
        anew, lines, self.more = self._tail.read()
        if anew:
            self.columns.clear()
            self._seconds = 0.0
        before = self.columns.rows
        for line in lines:
            if line and (found := as_object(line)) is not None:
                self._take(found)
        self.version += anew or self.columns.rows != before or bool(lines)

    def _take(self, found: dict[str, Any]) -> None:
        row = numbers(found)
        step = row.get("step", math.nan)
        if step != step or "begin" in found or "end" in found:
            return
        if step <= self.columns.last("step"):  # a resumed run takes steps again
            self.columns.cut(int(np.searchsorted(self.columns.get("step"), step)))
            self._seconds = self.columns.last("seconds") if self.columns.rows else 0.0
        if self._adds:
            took = row.get("seconds", 0.0)
            row["took"] = took
            self._seconds += took if took == took else 0.0
            row["seconds"] = self._seconds
        self.columns.append(row)

    def curves(self, by: str, points: int, low: float, high: float) -> dict[str, Curve]:
        """Every measure over an axis between two places of it, by at most about so many points."""
        x = self.columns.get(by)
        first, last = _between(x, low, high)
        skip = (*AXES, "begin", "end", "at")
        found = {name: thinned(x[first:last], self.columns.get(name)[first:last], points) for name in self.columns.names() if name not in skip}
        found["pace"] = thinned(x[first:last], _pace(self.columns)[first:last], points)
        return {name: curve for name, curve in found.items() if any(v is not None for v in curve[1])}


def of(folder: Path) -> tuple[History, History]:
    """The epochs and the steps of a run."""
    return History(folder / METRICS), History(folder / STEPS)


def numbers(found: dict[str, Any]) -> dict[str, float]:
    """What of an object is a number, by name; null is NaN."""
    row = {}
    for name, value in found.items():
        if value is None:
            row[name[:LONGEST_NAME]] = math.nan
        elif isinstance(value, int | float) and not isinstance(value, bool):
            try:
                row[name[:LONGEST_NAME]] = float(value)
            except OverflowError:
                row[name[:LONGEST_NAME]] = math.nan
    return row


def _between(x: Numbers, low: float, high: float) -> tuple[int, int]:
    """The rows between two places, with one beyond either end so that lines reach the edge."""
    if not len(x) or (low == -math.inf and high == math.inf):
        return 0, len(x)
    first, last = np.searchsorted(x, low, "left"), np.searchsorted(x, high, "right")
    return max(0, int(first) - 1), min(len(x), int(last) + 1)


def _pace(columns: Columns) -> Numbers:
    """Seconds a step, between one line and the one before it."""
    step, seconds = columns.get("step"), columns.get("seconds")
    pace = np.full(len(step), np.nan)
    if len(step) > 1:
        steps, took = np.diff(step), np.diff(seconds)
        np.divide(took, steps, out=pace[1:], where=(steps > 0) & (took > 0))
    return pace


def thinned(x: Numbers, y: Numbers, points: int) -> Curve:
    """The least and the greatest of each stretch, in their order, and both ends: no peak is lost."""
    n, half = len(y), max(1, points // 2)
    if n <= 2 * half:
        return plain(x), plain(y)
    stretch = -(-n // half)
    padded = np.full(stretch * -(-n // stretch), np.nan)
    padded[:n] = y
    rows = padded.reshape(-1, stretch)
    starts = np.arange(len(rows)) * stretch
    missing = np.isnan(rows)
    least, most = np.where(missing, np.inf, rows).argmin(1) + starts, np.where(missing, -np.inf, rows).argmax(1) + starts
    kept = np.unique(np.concatenate([least, most, [0, n - 1]]))
    kept = kept[kept < n]
    return plain(x[kept]), plain(y[kept])


def plain(values: Numbers) -> list[float | None]:
    """Numbers for JSON in seven digits, whole ones as they are; what is not finite is null."""
    return [None if v - v != 0 else int(v) if v == int(v) and abs(v) < 1e15 else float(f"{v:.7g}") for v in values.tolist()]


def plain_number(value: float | None) -> float | None:
    """One number for JSON."""
    return None if value is None else plain(np.array([value]))[0]
