"""One team of threads for all programs of this process: parts of a step that know nothing of each other are run on it.

Parts are calls that give up the interpreter's lock, as NumPy's products do. Who asks takes part, so that a part is never waited for that nobody
has begun. What the parts are is decided by shapes, never by the number of threads: the same numbers come out for any of these.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from queue import SimpleQueue
from threading import Event, Thread

import numpy as np

Part = Callable[[], object]


class Job:
    """Parts that threads take one after another."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts, self._next, self._ended = parts, count(), count(1)
        self._all = Event()
        self._wrong: BaseException | None = None

    def work(self) -> None:
        """Takes parts until all are taken."""
        while (i := next(self._next)) < len(self._parts):
            try:
                self._parts[i]()
            except BaseException as e:
                self._wrong = e
            if next(self._ended) == len(self._parts):
                self._all.set()

    def wait(self) -> None:
        """Until all have ended, whoever interrupts: until then they write; raises what one of them raised."""
        while not self._all.is_set():
            try:
                self._all.wait()
            except BaseException as e:
                self._wrong = e
        if self._wrong is not None:
            raise self._wrong


class Team:
    """So many threads, the caller's among them; those besides it are begun when first needed, and end with the process."""

    def __init__(self) -> None:
        self.threads = 1
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._begun = 0

    def run(self, parts: Sequence[Part]) -> None:
        """Runs all parts, in any order, on several threads where there are several parts."""
        helpers = min(self.threads, len(parts)) - 1
        if helpers < 1:
            for part in parts:
                part()
            return
        while self._begun < helpers:
            try:
                Thread(target=_help, args=(self._jobs,), name=f"nnspec-{self._begun + 1}", daemon=True).start()
            except RuntimeError:  # the system gives no more, or the process ends: those that there are do it
                helpers = self._begun
                break
            self._begun += 1
        job = Job(parts)
        for _ in range(helpers):
            self._jobs.put(job)
        job.work()
        job.wait()

    def forget(self) -> None:
        """In a process that was forked there is the caller's thread alone."""
        self._jobs, self._begun = SimpleQueue(), 0


def _help(jobs: SimpleQueue[Job]) -> None:
    np.seterr(all="ignore")  # as it is while a program runs; each thread has its own
    while True:
        jobs.get().work()


TEAM = Team()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TEAM.forget)
