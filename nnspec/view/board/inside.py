"""Looks inside the networks of runs, in this process: models of those that were asked for last, and answers kept until a run has saved again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from nnspec.errors import DataError, Problem
from nnspec.runtime.run_folder import BEST, DATA, LAST, RECORD, SPEC
from nnspec.view.board import files
from nnspec.view.board.runs import Run

if TYPE_CHECKING:
    from nnspec.runtime.observe import Observer

MODELS, ANSWERS = 2, 96  # that are kept
WHICH = {"last": LAST, "best": BEST}
Key = tuple[Any, ...]


class Inside:
    """Observers by run and weights; one run is looked into at a time, by one thread."""

    def __init__(self) -> None:
        self._models: OrderedDict[Key, tuple[Key, Observer]] = OrderedDict()
        self._answers: OrderedDict[Key, tuple[Key, Any]] = OrderedDict()
        self._lock = Lock()  # of what is kept
        self._work = Lock()  # of what computes: a page with many questions does not take all cores

    def ask(self, run: Run, which: str, name: str, args: Key, answer: Callable[[Observer], Any]) -> Any:
        """What an observer of the run answers, as plain values; the same as before where the run has not saved since. Raises NnspecError."""
        key, now = (run.id, which, name, *args), self._stamp(run, which)
        with self._lock:
            kept = self._answers.get(key)
        if kept is not None and kept[0] == now:
            return kept[1]
        with self._work:
            now = self._stamp(run, which)
            with self._lock:  # another may have asked the same meanwhile
                kept = self._answers.get(key)
            if kept is not None and kept[0] == now:
                return kept[1]
            found = answer(self._observer(run, which))
        with self._lock:
            self._answers[key] = now, found
            while len(self._answers) > ANSWERS:
                self._answers.popitem(last=False)
        return found

    def _observer(self, run: Run, which: str) -> Observer:
        from nnspec.runtime.observe import Observer

        key, made = (run.id, which), self._made(run)
        held = self._models.get(key)
        if held is not None and held[0] == made:
            held[1].refresh()
            self._models.move_to_end(key)
            return held[1]
        self._models.pop(key, None)
        if files.stamp(run.path / WHICH[which]) is None:
            hint = "they come with its first checkpoint"
            raise DataError(Problem("the run has saved no weights yet", wanted=WHICH[which], hint=hint, rule="checkpoint"))
        found = Observer(run.path, which, threads=1)
        self._models[key] = made, found
        while len(self._models) > MODELS:
            self._models.popitem(last=False)
        return found

    @staticmethod
    def _made(run: Run) -> Key:
        """What changes when the run is another one."""
        return tuple(files.stamp(run.path / name) for name in (SPEC, RECORD, DATA))

    def _stamp(self, run: Run, which: str) -> Key:
        return (*self._made(run), files.stamp(run.path / WHICH[which]))
