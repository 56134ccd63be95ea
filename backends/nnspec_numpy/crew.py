"""Compiled calls that follow one another, or are shared among threads, without Python between them: what to call is a table, bound once.

The helpers are Python threads that stay in compiled code until they are told to stop, so that they take no part in the interpreter's lock and
are known to debuggers and to the end of the process. Where nothing is compiled, or the system is not Linux, ``team`` does it.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import groupby
from threading import Lock, Thread
from typing import TypeAlias

import numpy as np

from nnspec_numpy.llvm import crew as written
from nnspec_numpy.llvm.build import Names, linked
from nnspec_numpy.llvm.call import Call, call
from nnspec_numpy.llvm.cpu import Cpu, chosen
from nnspec_numpy.llvm.library import called
from nnspec_numpy.team import TEAM

Step: TypeAlias = Callable[[], object]
MOMENT = 0.01  # seconds
NAMES = ("sequence", "shared", "ring", "help")


def _module() -> tuple[str, Names]:
    return written.text(platform.machine()), {"": list(NAMES)}


class Crew:
    """So many helpers besides whoever calls; those are begun when a program runs that has parts, and end with the process."""

    def __init__(self, cpu: Cpu) -> None:
        self._engine, _ = linked(called(Crew, cpu), cpu, _module)
        self._sequence, self._shared, ring, self._help = (self._engine.get_function_address(name) for name in NAMES)
        room = np.zeros(written.SIZE + written.LINE, np.uint8)
        start = -room.ctypes.data % written.LINE
        self._words = {word: room[start + at : start + at + 8].view(np.int64) for word, at in written.PLACES.items()}
        self._place = room.ctypes.data + start
        libc = ctypes.CDLL(None)
        for word, function in (("syscall", libc.syscall), ("clock", libc.clock_gettime)):
            self._words[word][0] = ctypes.cast(function, ctypes.c_void_p).value or 0
        self._table = np.array([self._place], np.int64)
        self._ring = call(ring, self._table.ctypes.data)
        self._parts = False  # whether there is anything to share
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))  # never freed: a helper may be within it when the process ends
        self._changing, self._hired, self._closed = Lock(), list[Thread](), False
        CREWS.append(self)
        atexit.register(self._close)
        os.register_at_fork(after_in_child=self._alone)

    def sequence(self, calls: Sequence[Call]) -> Call:
        """All in order, as one call."""
        return self._made(self._sequence, [len(calls)], calls)

    def shared(self, calls: Sequence[Call]) -> Call:
        """All in any order, on several threads where there are helpers."""
        self._parts = True
        return self._made(self._shared, [self._place, len(calls)], calls)

    def _made(self, function: int, head: Sequence[int], calls: Sequence[Call]) -> Call:
        table = np.array([*head, *(n for c in calls for n in (c.function, c.table))], np.int64)
        return call(function, table.ctypes.data, self, table, list(calls))

    def ready(self, helpers: int) -> None:
        """From now on there are so many helpers, or as many as the system gives."""
        if helpers == len(self._hired) or self._closed or not self._parts:
            return
        with self._changing:
            try:
                if helpers < len(self._hired):
                    self._dismiss()
                while len(self._hired) < helpers and not self._closed:
                    helper, name = call(self._help, self._table.ctypes.data), f"nnspec-helper-{len(self._hired) + 1}"
                    thread = Thread(target=helper, name=name, daemon=True)
                    thread.start()
                    self._hired.append(thread)
            except RuntimeError:  # the system gives no more, or the process ends: those that there are do it
                pass
            finally:
                self._words["helpers"][0] = len(self._hired)

    def _dismiss(self) -> None:
        """Tells all helpers to stop, and waits until they have."""
        self._words["helpers"][0] = 0
        self._words["stop"][0] = 1
        try:
            for thread in self._hired:
                while thread.is_alive():
                    self._ring()
                    thread.join(MOMENT)
        finally:  # whoever interrupts: those that are left stay
            self._hired = [t for t in self._hired if t.is_alive()]
            self._words["stop"][0] = 0

    def _close(self) -> None:
        with self._changing:
            self._closed = True
            self._dismiss()

    def _alone(self) -> None:
        """In a process that was forked there is the caller's thread alone, and no job."""
        for word in ("ticket", "left", "claimed", "asleep", "waiting", "helpers", "stop"):
            self._words[word][0] = 0
        self._changing, self._hired = Lock(), []


CREWS: list[Crew] = []  # one, but where the processor is masked anew
_crew = cache(Crew)


def crew() -> Crew | None:
    """The one of this process; None where nothing is compiled, or the system is not Linux on a processor that is known."""
    cpu = chosen()
    return _crew(cpu) if cpu is not None and sys.platform == "linux" and platform.machine() in written.NUMBERS else None


def ready() -> None:
    """Before a program runs: as many helpers as there are threads besides the caller's."""
    for own in CREWS:
        own.ready(TEAM.threads - 1)


def together(runs: Sequence[Step]) -> Step:
    """One callable that runs all, on several threads where there are several."""
    if len(runs) == 1:
        return runs[0]
    calls = [r for r in runs if isinstance(r, Call)]
    own = crew() if len(calls) == len(runs) else None
    return partial(TEAM.run, runs) if own is None else own.shared(calls)


def joined(steps: Sequence[Step]) -> list[Step]:
    """The same steps, those that are compiled and follow one another as one."""
    own, found = crew(), list[Step]()
    for compiled, some in groupby(steps, key=lambda s: isinstance(s, Call)):
        run = list(some)
        calls = [s for s in run if isinstance(s, Call)]
        found += [own.sequence(calls)] if compiled and own is not None and len(calls) > 1 else run
    return found


def sequence(steps: Sequence[Step]) -> Step:
    """One callable that takes the steps in order."""
    fixed = tuple(joined(steps))
    if len(fixed) == 1:
        return fixed[0]

    def run() -> None:
        for step in fixed:
            step()

    return run
