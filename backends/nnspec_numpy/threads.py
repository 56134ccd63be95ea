"""How many threads programs use: a team of our own shares tiles, and BLAS runs on one thread.

OpenBLAS splits products by its number of threads, and their last bits depend on it; on small products its threads cost more than
they bring. It is told through its own function, found among the libraries that NumPy has loaded.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from nnspec_numpy.team import TEAM

NAMES = tuple(f"{prefix}openblas_set_num_threads{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", ""))


@cache
def _setters() -> tuple[Callable[[int], None], ...]:
    """The function of each OpenBLAS in this process; none where NumPy has another library."""
    found = []
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        name = next((n for n in NAMES if hasattr(library, n)), None)
        if name is not None:
            function = library[name]
            function.argtypes, function.restype = [ctypes.c_int], None
            found.append(function)
    return tuple(found)


def _libraries() -> list[str]:
    if sys.platform == "linux":
        lines = Path("/proc/self/maps").read_text().splitlines()
        return sorted({line.split(maxsplit=5)[5] for line in lines if "openblas" in line and line.count(" ") >= 5})
    home = Path(np.__file__).parent
    return [str(p) for folder in (home / ".dylibs", home.parent / "numpy.libs") for p in folder.glob("*openblas*")]


def set_threads(count: int) -> None:
    """From now on, in this process, programs share their large products among ``count`` threads; BLAS itself uses one."""
    for setter in _setters():
        setter(1)
    TEAM.threads = count
