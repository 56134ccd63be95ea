"""Writes down how a run goes between the ends of its epochs, and how it ended: ``steps.jsonl``, which others read while it grows.

A line is a JSON object. ``{"begin": SECONDS}`` opens each start of a run (seconds since 1970), ``{"end": HOW, "message": TEXT}`` closes it;
between them ``{"step", "epoch", "seconds", "rate", "memory", "train.loss", ...}``: epochs done with the part of the one under way, seconds of
training so far, bytes that the process holds, and losses and metrics of the rows since the line before. A resumed run repeats steps: of two
lines with one step the later one holds.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from nnspec.errors import NnspecError, NumbersError
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.run_folder import STEPS
from nnspec.runtime.tally import Sums, Tally

EVERY = 0.5  # seconds between lines, at least
SHARE = 1e-4  # of the time so far, at least, so that a run of weeks leaves no more than one can read


class Recording(Callback):
    """Writes the lines of one run; a disk that is full ends them, and not the run."""

    passive = True

    def __init__(self, folder: Path) -> None:
        self.path = folder / STEPS
        self._file: IO[bytes] | None = None
        self._at = self._began = 0.0  # the last line, the start of this process's part of the run
        self._epoch_at, self._before = 0.0, 0.0  # the start of the epoch under way, seconds of those before it
        self._tally: Tally | None = None
        self._sums: Sums = {}

    def on_start(self, state: State) -> None:
        self._began = self._at = self._epoch_at = time.monotonic()
        self._before = math.fsum(entry.get("seconds", 0.0) for entry in state.history)
        with suppress(OSError):
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  # closed at the end
            if self._file.tell():
                self._file.write(b"\n")  # a line that was cut off ends here
        self._write({"begin": time.time(), "step": state.step})

    def on_step(self, state: State) -> None:
        now = time.monotonic()
        if now - self._at >= max(EVERY, SHARE * (now - self._began)):
            self._at = now
            self._line(state, now)

    def on_epoch(self, state: State) -> None:
        self._epoch_at = time.monotonic()
        self._before += state.history[-1].get("seconds", 0.0)
        self._tally, self._sums = None, {}

    def on_end(self, state: State) -> None:
        how, message = ended(state)
        self._write({"end": how, "message": message, "step": state.step, "at": time.time()})
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self, state: State, now: float) -> None:
        line: dict[str, Any] = {
            "step": state.step,
            "epoch": round(state.epoch + state.batch / state.batches, 6),
            "seconds": round(self._before + now - self._epoch_at, 3),
            "rate": state.rate,
            "memory": held(),
        }
        if state.tally is not None and state.taken:
            if state.tally is not self._tally:
                self._tally, self._sums = state.tally, {}
            line.update({f"train.{name}": value for name, value in state.tally.since(self._sums).items()})
            self._sums = state.tally.sums()
        self._write({key: value if not isinstance(value, float) or math.isfinite(value) else None for key, value in line.items()})

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError:
            self._file.close()
            self._file = None


def ended(state: State) -> tuple[str, str]:
    """How a run ended, in a word (``done``, ``numbers``, ``interrupted`` or ``failed``) and in a sentence."""
    error = state.error
    if error is None:
        return "done", state.stop
    if isinstance(error, NnspecError):
        how = "numbers" if isinstance(error, NumbersError) else "interrupted" if isinstance(error, Interrupted) else "failed"
        return how, error.problems[0].message
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed", type(error).__name__


def held() -> int | None:
    """Bytes of memory that this process holds; where the system does not say, the most that it has held, or nothing."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) if sys.platform == "darwin" else int(most) * 1024
