"""How many threads programs use: a team of our own shares tiles, and BLAS runs on one thread.

OpenBLAS splits products by its number of threads, and their last bits depend on it; on small products its threads cost more than
they bring. It is told through its own function, found among the libraries that NumPy has loaded.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nnspec_numpy.team import TEAM


def _spelled(name: str) -> tuple[str, ...]:
    """How builds of OpenBLAS call a function."""
    return tuple(f"{prefix}openblas_{name}{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", ""))


NAMES, CORES = _spelled("set_num_threads"), _spelled("get_corename")


@cache
def _setters() -> tuple[Callable[[int], None], ...]:
    """The function of each OpenBLAS in this process; none where NumPy has another library."""
    found = list(_functions(NAMES))
    for function in found:
        function.argtypes, function.restype = [ctypes.c_int], None
    return tuple(found)


def _functions(names: Sequence[str]) -> Iterator[Any]:
    """Of each library the first function that there is of these names."""
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        if (name := next((n for n in names if hasattr(library, n)), None)) is not None:
            yield library[name]


@cache
def core() -> str:
    """For which processor the first OpenBLAS in this process computes, as ``SkylakeX``."""
    for function in _functions(CORES):
        function.argtypes, function.restype = [], ctypes.c_char_p
        return f"OpenBLAS for {(function() or b'').decode('ascii', 'replace')}"
    return "no OpenBLAS"


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
