"""Ctrl-C and SIGTERM: noted while a step runs, and raised where the run can be left."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, ClassVar

from nnspec.errors import NnspecError


class Interrupted(NnspecError):
    """Stopped by Ctrl-C; what was learned is saved where there is a run folder."""

    status: ClassVar[int] = 130


class Terminated(Interrupted):
    """Stopped by SIGTERM."""

    status: ClassVar[int] = 143


KINDS: dict[int, type[Interrupted]] = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


class Signals:
    """A context in which the first SIGINT or SIGTERM is only noted; a second SIGINT is a KeyboardInterrupt at once.

    The handlers from before come back at the end; of one context within another, the outer one hears what the inner one noted
    too late to raise it. Outside of the main thread nothing is handled.
    """

    def __init__(self) -> None:
        self.noted: type[Interrupted] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in KINDS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
            if isinstance(outer := getattr(handler, "__self__", None), Signals) and self.noted is not None:
                outer.noted = self.noted
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.noted = KINDS[number]

    def check(self) -> None:
        """Raises what was noted."""
        if self.noted is not None:
            raise self.noted("interrupted")
