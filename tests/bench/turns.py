"""Times calls in turns: each one's share of a noisy machine is the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter, sleep

Call = Callable[[], object]
WARM = 3
REST = 0.02  # seconds between turns, in which the threads of the one before fall asleep


def medians(runs: Mapping[str, Call], repeats: int, seconds: float) -> dict[str, float]:
    """Seconds a call of each: the median of ``repeats`` turns, each of about ``seconds``."""
    times, found = {}, {name: list[float]() for name in runs}
    for name, run in runs.items():
        for _ in range(WARM):
            start = perf_counter()
            run()
        times[name] = max(1, int(seconds / (perf_counter() - start)))
    for turn in range(repeats):
        order = list(runs) if turn % 2 == 0 else list(runs)[::-1]
        for name in order:
            sleep(REST)
            start = perf_counter()
            for _ in range(times[name]):
                runs[name]()
            found[name].append((perf_counter() - start) / times[name])
    return {name: median(values) for name, values in found.items()}


def pin(threads: int) -> None:
    """This process on as many cores as it has threads: the last ones."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
