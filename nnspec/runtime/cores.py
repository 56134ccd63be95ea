"""How many cores this process may use: those it is allowed to run on, and no more than its control group pays for."""

from __future__ import annotations

import os
from pathlib import Path

QUOTAS = ((Path("/sys/fs/cgroup/cpu.max"),), (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")))
ASKED = "OMP_NUM_THREADS"  # what other libraries are told by, and who sets it means all of them


def threads() -> int:
    """How many threads programs use where nothing says it: one a core, or fewer where ``OMP_NUM_THREADS`` asks for fewer."""
    asked = os.environ.get(ASKED, "")
    most = cores()
    return min(most, int(asked)) if asked.isascii() and asked.isdecimal() and int(asked) else most


def cores() -> int:
    """At least one."""
    given = quota()
    return allowed() if given is None else max(1, min(allowed(), int(given)))


def allowed() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota() -> float | None:
    """Cores that the control group gives, where it gives a number."""
    for files in QUOTAS:
        try:
            most, period = " ".join(f.read_text() for f in files).split()
            if most not in ("max", "-1"):
                return int(most) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            pass
    return None
