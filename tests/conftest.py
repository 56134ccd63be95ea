"""Hypothesis draws the same examples every time; object code of tests stays out of the user's cache folder, and tests of it wait for a compiler."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from nnspec.codegen import stored

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("ci")
os.environ.setdefault("NNSPEC_CACHE", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "nnspec"))
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a suite that a script has put in the background; processes that it starts would not hear Ctrl-C either
    signal.signal(signal.SIGINT, signal.default_int_handler)
stored.KEEPS = False  # programs are made anew: tests change how


def pytest_runtest_setup(item: pytest.Item) -> None:
    wide = item.get_closest_marker("wide")
    if not wide and not item.get_closest_marker("compiled"):
        return
    from nnspec_numpy.llvm.cpu import chosen

    cpu = chosen()
    if cpu is None:
        pytest.skip("nothing is compiled here: NNSPEC_CPU=none, or no llvmlite")
    if wide and cpu.width < 32:
        pytest.skip(f"no kernels of convolutions for {cpu}")
