"""How long each step of a program took: told when a step has ended, it writes the time since the one before."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from numpy.typing import NDArray


class Clock:
    """Writes into ``seconds``, an element a step; steps that a run leaves out have 0."""

    def __init__(self, seconds: NDArray[Any]) -> None:
        self._seconds = seconds
        self._own = 0.0
        self._own = self._cost()
        self.begin()

    def begin(self) -> None:
        """A run begins."""
        self._seconds[...] = 0.0
        self._last = perf_counter()

    def ended(self, step: int) -> None:
        """A step has ended."""
        now = perf_counter()
        self._seconds[step] = max(0.0, now - self._last - self._own)
        self._last = perf_counter()

    def _cost(self) -> float:
        """The least that two calls of the clock are apart."""
        if not len(self._seconds):
            return 0.0
        least = 1.0
        self.begin()
        for _ in range(100):
            self.ended(0)
            least = min(least, float(self._seconds[0]))
        return least
