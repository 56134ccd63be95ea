"""Looks inside the networks of runs, in this process: models of those that were asked for last, and answers kept until a run has saved again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from nnspec.errors import DataError, Problem
from nnspec.runtime.run_folder import BEST, DATA, LAST, RECORD, SPEC
from nnspec.view.board import files
from nnspec.view.board.own import Own
from nnspec.view.board.runs import Run

if TYPE_CHECKING:
    from nnspec.runtime.observe import Observer

MODELS, ANSWERS = 2, 96  # that are kept
WHICH = {"last": LAST, "best": BEST}
Key = tuple[Any, ...]


class Inside:
    """Observers by run and weights; one run is looked into at a time, by one thread."""

    def __init__(self, own: Own) -> None:
        self.own = own
        self._models: OrderedDict[Key, tuple[Key, Observer]] = OrderedDict()
        self._refused: dict[Key, tuple[int, list[str]]] = {}  # rows of a person's own: which of them each model was given, and what it did not take
        self._answers: OrderedDict[Key, tuple[Key, Any]] = OrderedDict()
        self._lock = Lock()  # of what is kept
        self._work = Lock()  # of what computes: a page with many questions does not take all cores

    def ask(self, run: Run, which: str, name: str, args: Key, answer: Callable[[Observer, list[str]], Any]) -> Any:
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
            seen, refused = self._observer(run, which)
            found = answer(seen, refused)
        with self._lock:
            self._answers[key] = now, found
            while len(self._answers) > ANSWERS:
                self._answers.popitem(last=False)
        return found

    def _observer(self, run: Run, which: str) -> tuple[Observer, list[str]]:
        """Who looks into these weights, with the rows of a person's own; and why some of these are not there."""
        key = (run.id, which)
        seen, version = self._loaded(run, which, key), self.own.version
        if self._refused.get(key, (-1,))[0] != version:
            self._refused[key] = version, self.own.give(seen)
        return seen, self._refused[key][1]

    def _loaded(self, run: Run, which: str, key: Key) -> Observer:
        from nnspec.runtime.observe import Observer

        made = self._made(run)
        held = self._models.get(key)
        if held is not None and held[0] == made:
            held[1].refresh()
            self._models.move_to_end(key)
            return held[1]
        self._models.pop(key, None)
        self._refused.pop(key, None)
        if files.stamp(run.path / WHICH[which]) is None:
            hint = "they come with its first checkpoint"
            raise DataError(Problem("the run has saved no weights yet", wanted=WHICH[which], hint=hint, rule="checkpoint"))
        found = Observer(run.path, which, threads=1)
        self._models[key] = made, found
        while len(self._models) > MODELS:
            self._refused.pop(self._models.popitem(last=False)[0], None)
        return found

    @staticmethod
    def _made(run: Run) -> Key:
        """What changes when the run is another one."""
        return tuple(files.stamp(run.path / name) for name in (SPEC, RECORD, DATA))

    def _stamp(self, run: Run, which: str) -> Key:
        return (*self._made(run), files.stamp(run.path / WHICH[which]), self.own.version)
