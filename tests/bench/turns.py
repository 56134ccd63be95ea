"""Times calls in turns: each one's share of a noisy machine is the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

Call = Callable[[], object]
WARM = 3
COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
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


FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # they make OpenBLAS take another processor's kernels


def environment(threads: int | None = None) -> dict[str, str]:
    """That of a process under test: BLAS finds out for itself what processor this is, and uses so many threads, or as many as it wants."""
    root = Path(__file__).resolve().parents[2]
    env = {k: v for k, v in os.environ.items() if k not in (*FORCED, *COUNTS)}
    env |= {k: str(threads) for k in COUNTS} if threads else {}
    return {**env, "PYTHONPATH": os.pathsep.join([str(root), str(root / "backends")])}


def pin(threads: int) -> None:
    """This process on as many cores as it has threads: the last ones."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
