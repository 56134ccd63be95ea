"""Whether the process that writes to a run's folder is there: asked of the system, without touching its lock."""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from pathlib import Path

SLACK = 5.0  # seconds that clocks may be apart


def writes(lock: Path) -> bool:
    """Whether the process that the lock file names is alive, and not a later one of its number."""
    try:
        written = lock.stat().st_mtime
        with open(lock, "rb") as file:
            pid = int(file.read(40))
    except (OSError, ValueError):
        return False
    if pid <= 0 or not _there(pid):
        return False
    began = _began(pid)
    return began is None or began <= written + SLACK


def _there(pid: int) -> bool:
    if sys.platform == "win32":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x00100000, False, pid)  # the right to wait for it, and no other
        if not handle:
            return False
        waits: bool = ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == 0x102
        ctypes.windll.kernel32.CloseHandle(handle)
        return waits
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return _state(pid) != "Z"


def _stat(pid: int) -> list[str] | None:
    """What Linux says of a process, from its state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None


def _state(pid: int) -> str:
    found = _stat(pid)
    return found[0] if found else ""


def _began(pid: int) -> float | None:
    """When a process began, in seconds since 1970, where the system says so."""
    found, boot = _stat(pid), _boot()
    try:
        return boot + int(found[19]) / os.sysconf("SC_CLK_TCK") if found and boot is not None else None
    except (IndexError, ValueError, OSError):
        return None


@cache
def _boot() -> float | None:
    try:
        with open("/proc/uptime", encoding="ascii") as file:
            return time.time() - float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return None
