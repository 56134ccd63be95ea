"""What the page is told of runs: all of them in short, curves of some over each other, and everything of one."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from nnspec.runtime.environment import environment
from nnspec.view.board.inside import Inside
from nnspec.view.board.looks import look, taps
from nnspec.view.board.own import Own
from nnspec.view.board.runs import Run
from nnspec.view.board.shelf import Shelf

if TYPE_CHECKING:
    from nnspec.view.board.app import Asked

ENVIRONMENT = ("backend", "precision", "seed", "threads", "loops", "batch_size", "batches", "choices", "weights", "prepared", "command")


class NoRun(Exception):
    """No run goes by this identity."""


class Answers:
    """Answers over a shelf; a run that is not on it raises NoRun."""

    def __init__(self, shelf: Shelf, own: Own) -> None:
        self.shelf, self.own = shelf, own
        self.inside = Inside(own)

    def _run(self, name: str) -> Run:
        run = self.shelf.get(name)
        if run is None:
            raise NoRun
        return run

    def runs(self) -> dict[str, Any]:
        """All runs in short."""
        return self.shelf.listing()

    def curves(self, names: Sequence[str], seen: Sequence[str], by: str, points: int, span: tuple[float, float]) -> dict[str, Any]:
        """How each run stands, and its curves, but for those whose version the page has seen."""
        told: dict[str, Any] = {}
        for i, name in enumerate(names):
            run = self._run(name)
            known = seen[i] if i < len(seen) else ""
            with run.lock:
                if run.path.is_dir():  # of one that is gone what was read stays
                    run.epochs.follow()
                    run.steps.follow()
                more = run.epochs.more or run.steps.more
                counted = (run.path, run.epochs.version, run.steps.version, by, points, span)
                version = sha256(repr(counted).encode()).hexdigest()[:12]
                told[name] = {"version": version, "more": more}
                if version != known:
                    told[name]["epochs"] = run.epochs.curves(by, points, *span)
                    told[name]["steps"] = run.steps.curves(by, points, *span)
            told[name]["run"] = run.summary()
        return {"runs": told}

    def run(self, name: str) -> dict[str, Any]:
        """Everything of one run that is not a curve."""
        run = self._run(name)
        record, result = run.record, run.result or {}
        tables = result.get("tables")
        return {
            "run": run.summary(),
            "spec": run.spec,
            "environment": {key: record[key] for key in (*environment(), *ENVIRONMENT) if key in record},
            "data": run.data,
            "rows": record.get("data"),
            "tables": tables if isinstance(tables, dict) else {},
            "result": {key: result.get(key) for key in ("metrics", "best", "stop", "epochs")} if result else None,
        }

    def compare(self, names: Sequence[str]) -> dict[str, Any]:
        """What runs differ in. Raises DataError."""
        from nnspec.runtime.comparison import compared, look

        return compared([look(self._run(name).path) for name in names])

    def network(self, name: str) -> dict[str, Any]:
        """The picture of the run's network. Raises NnspecError."""
        from nnspec.view.board.network import pictured

        return pictured(self._run(name))

    def look(self, name: str, what: str, asked: Asked) -> Any:
        """What is inside the run's network. Raises NnspecError."""
        return look(self.inside, self._run(name), what, asked)

    def taps(self, name: str, asked: Asked) -> dict[str, Any]:
        """What the run has written of its inside while it went on. Raises NnspecError."""
        return taps(self._run(name), asked)
