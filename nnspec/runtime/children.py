"""Several calls of the command line at once, each in a process of its own, ended cleanly with this one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from nnspec.records import dataclass
from nnspec.runtime.interrupt import Signals

POLL = 0.02  # seconds between looks at the children
GRACE = 30.0  # seconds in which an interrupted child saves
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Call:
    """A call by a number of its own: the arguments behind ``nnspec``."""

    number: int
    arguments: Sequence[str]


@dataclass(frozen=True)
class Ended:
    """What a call left: its exit status (negative: the signal that ended it), its outputs, how long it took."""

    call: Call
    status: int
    out: str
    err: str
    seconds: float


def run_all(calls: Sequence[Call], jobs: int, threads: int, on_end: Callable[[Ended], None]) -> None:
    """Runs the calls, at most ``jobs`` at once with ``threads`` BLAS threads each; ``on_end`` hears of each that ended.

    Ctrl-C and SIGTERM are passed on: the children save and end, then Interrupted is raised. A second Ctrl-C, or any
    error, kills what still runs.
    """
    waiting, running = deque(calls), list[_Child]()
    with Signals() as signals:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_Child(waiting.popleft(), threads))
                time.sleep(POLL)
                signals.check()
                running = _reaped(running, on_end)
        except BaseException:
            _end(running, on_end)
            raise


def _reaped(running: list[_Child], on_end: Callable[[Ended], None]) -> list[_Child]:
    """Those that still run; the others are told of."""
    left = []
    for child in running:
        if child.process.poll() is None:
            left.append(child)
        else:
            on_end(child.ended())
    return left


def _end(running: list[_Child], on_end: Callable[[Ended], None]) -> None:
    """Asks the children to save and end; kills those that do not, or all where a second Ctrl-C comes."""
    for child in running:
        with suppress(OSError):
            child.process.terminate()
    try:
        until = time.monotonic() + GRACE
        while (running := _reaped(running, on_end)) and time.monotonic() < until:
            time.sleep(POLL)
    finally:
        for child in running:
            child.process.kill()
            child.process.wait()
            child.close()


class _Child:
    """A process that runs one call."""

    def __init__(self, call: Call, threads: int) -> None:
        self.call, self.began = call, time.monotonic()
        self.out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        self.err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": paths}
        command = [sys.executable, "-P", "-m", "nnspec", *call.arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err, env=environment)

    def ended(self) -> Ended:
        """What it left; to be asked once."""
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        self.close()
        return Ended(self.call, self.process.returncode, texts[0], texts[1], time.monotonic() - self.began)

    def close(self) -> None:
        self.out.close()
        self.err.close()
