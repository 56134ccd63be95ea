"""Ctrl-C and SIGTERM: noted while a step runs, and raised where the run, or the model, can be left."""

from __future__ import annotations

import signal
import threading
from importlib import import_module
from types import FrameType
from typing import Any, ClassVar

from nnspec.errors import NnspecError

_signal: Any = import_module("_signal")  # ``signal`` without its enums, which take ten times as long: it is asked at every step


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


class Whole:
    """A context that Ctrl-C does not break into: it is heard when all is written. A second one is a KeyboardInterrupt at once.

    It goes to whoever listened before, by default as a KeyboardInterrupt. Outside of the main thread there is none to be kept off.
    """

    __slots__ = ("_before", "_noted")

    def __init__(self) -> None:
        self._before: Any = None
        self._noted: list[FrameType | None] = []

    def __enter__(self) -> None:
        before = _signal.getsignal(signal.SIGINT)
        if callable(before) and threading.current_thread() is threading.main_thread():  # neither ignored nor another language's
            self._before = before
            _signal.signal(signal.SIGINT, self._note)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            _signal.signal(signal.SIGINT, self._before)
            for frame in self._noted:
                self._before(signal.SIGINT, frame)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted:
            raise KeyboardInterrupt
        self._noted.append(frame)
