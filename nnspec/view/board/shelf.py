"""Finds runs: in the folders that were named, or all under ``runs/``; those of sweeps and folds stand together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from nnspec.errors import DataError, Problem
from nnspec.runtime.run_folder import FOLDS, LAST, LOCK, METRICS, RECORD, SEVERAL, SPEC, SWEEP
from nnspec.view.board import files
from nnspec.view.board.runs import Run, identity

DEEPEST, MOST = 5, 5000  # folders below a root, and runs in all
A_RUN = (RECORD, METRICS, LAST)


class Shelf:
    """The runs of some folders; what was seen once stays known, so that a page can say that it is gone."""

    def __init__(self, roots: Sequence[Path], given: bool = False) -> None:
        self.roots, self.given = tuple(root.resolve() for root in roots), given
        self._known: dict[str, Run] = {}
        self._groups: dict[str, tuple[str, Path]] = {}  # of a folder of several runs: what it is
        self._lock = Lock()

    def look(self) -> list[Run]:
        """Every run that is there now, in the order of folders."""
        found: list[Run] = []
        groups: dict[str, tuple[str, Path]] = {}
        for root in self.roots:
            for path in _runs(root, groups):
                if len(found) < MOST:
                    found.append(self._of(path, root))
        with self._lock:
            self._groups = groups
        return list(dict.fromkeys(found))

    def get(self, name: str) -> Run | None:
        """A run by its identity: one that was seen before, or is there now."""
        if name not in self._known:
            self.look()
        return self._known.get(name)

    def _of(self, path: Path, root: Path) -> Run:
        name = identity(path)
        with self._lock:
            run = self._known.get(name)
            if run is None:
                inside = path.relative_to(root).as_posix()
                label = inside if inside != "." and len(self.roots) == 1 else os.path.join(path.parent.name, path.name)
                run = self._known[name] = Run(path, label)
        return run

    def listing(self) -> dict[str, Any]:
        """All runs with how they stand, the newest first, and the folders that hold several."""
        runs = self.look()
        told = [{**run.summary(), "group": identity(run.path.parent)} for run in runs]
        told.sort(key=lambda r: (r["updated"] or 0.0, r["path"]), reverse=True)
        with self._lock:
            groups = dict(self._groups)
        several = {key: _group(kind, path) for key, (kind, path) in groups.items()}
        return {"runs": told, "groups": several, "roots": [str(r) for r in self.roots], "given": self.given}


def shelf(given: Sequence[Path], default: Path = Path("runs")) -> Shelf:
    """The shelf of the folders that were named. Raises DataError where one holds no run."""
    for path in given:
        resolved = path.resolve()
        if resolved.is_dir() and (_is_run(resolved) or (resolved / LOCK).is_file() or next(_runs(resolved, {}), None) is not None):
            continue
        found = "there is no such folder" if not path.exists() else "this is a file" if path.is_file() else f"no {RECORD}, nor folders of runs"
        raise DataError(Problem(f"{path} is not the folder of a run", found=found, wanted="a folder that nnspec run has made", rule="run-folder"))
    return Shelf(given or [default], bool(given))


def _is_run(path: Path) -> bool:
    several = any(files.stamp(path / name) for name in SEVERAL)
    return not several and (any(files.stamp(path / name) for name in A_RUN) or _begins(path))


def _begins(path: Path) -> bool:
    """Whether a run has just taken the folder, and written nothing yet; or a model's spec lies there."""
    return files.stamp(path / LOCK) is not None and files.stamp(path / SPEC) is not None


def _runs(folder: Path, groups: dict[str, tuple[str, Path]], depth: int = 0) -> Iterator[Path]:
    """Folders of runs at or below a folder; links are not followed."""
    if _is_run(folder):
        yield folder
        return
    kind = next((word for name, word in ((SWEEP, "sweep"), (FOLDS, "folds")) if files.stamp(folder / name)), None)
    if kind is not None:
        groups[identity(folder)] = (kind, folder)
    if depth >= DEEPEST:
        return
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."))
    except OSError:
        return
    for name in inside:
        yield from _runs(folder / name, groups, depth + 1)


def _group(kind: str, path: Path) -> dict[str, Any]:
    """A folder of several runs."""
    return {"kind": kind, "label": os.path.join(path.parent.name, path.name), "path": str(path)}
