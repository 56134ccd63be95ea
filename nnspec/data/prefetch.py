"""Makes things ahead in threads, in order: what one thread makes is what any number of them makes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
SPARE = 2  # things made and waiting, beyond one for each thread


class Stopped(BaseException):
    """Raised in a thread whose work nobody wants any more."""


class Worker(threading.Thread):
    """A thread that can be told to stop."""

    stopped = False


def go_on() -> None:
    """Called in the midst of long work: ends the thread where nobody waits for its result."""
    if getattr(threading.current_thread(), "stopped", False):
        raise Stopped


def ahead(make: Callable[[int], T], numbers: range, workers: int) -> Generator[T]:
    """``make(number)`` for every number, in order, by so many threads; with 0 by the caller when it asks.

    At most ``workers + 2`` results wait. What ``make`` raises is raised where its result would come. Closing the
    iterator, or an error in what takes from it, ends the threads before the next thing is begun.
    """
    if workers == 0 or len(numbers) < 2:
        yield from map(make, numbers)
        return
    changed = threading.Condition()
    results: dict[int, tuple[bool, T | BaseException]] = {}
    taken, begun, stopped = 0, 0, False

    def room() -> bool:
        return stopped or begun - taken < workers + SPARE

    def work() -> None:
        nonlocal begun
        while True:
            with changed:
                changed.wait_for(room)
                if stopped or begun >= len(numbers):
                    return
                index, begun = begun, begun + 1
            try:
                made: tuple[bool, T | BaseException] = (True, make(numbers[index]))
            except BaseException as e:  # raised again by the taker
                made = (False, e)
            with changed:
                results[index] = made
                changed.notify_all()

    threads = [Worker(target=work, name=f"nnspec-batches-{i}", daemon=True) for i in range(workers)]
    try:
        for thread in threads:
            thread.start()
        for index in range(len(numbers)):
            with changed:
                changed.wait_for(lambda index=index: index in results)  # type: ignore[misc]  # the default is its type
                good, made = results.pop(index)
                taken = index + 1
                changed.notify_all()
            if not good:
                assert isinstance(made, BaseException)
                raise made
            yield made  # type: ignore[misc]  # a result where it is good
            del made
    finally:
        with changed:
            stopped = True
            changed.notify_all()
        for thread in threads:
            thread.stopped = True
        for thread in threads:
            thread.join()
