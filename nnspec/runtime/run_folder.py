"""The folder of a run: which files it holds, who may write to it, and what a run leaves there."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from nnspec.errors import DataError, Problem, ResourceError, SpecError
from nnspec.runtime.atomic import refused, remove_leftovers, replace

LOCK = ".lock"
SPEC, RECORD, METRICS, STEPS, RESULT = "spec.yaml", "run.json", "metrics.jsonl", "steps.jsonl", "result.json"
PREPARATION, BALANCE, DATA, CURVES, PLAN = "preparation.json", "class_weights.json", "data.json", "curves.svg", "plan.txt"
TUNE = "tune.yaml"
LAST, BEST = "last.safetensors", "best.safetensors"
SWEEP, FOLDS = "sweep.json", "folds.json"  # of folders that hold several runs
SEVERAL = {SWEEP: "a sweep", FOLDS: "a run with folds"}
FILES = (SPEC, RECORD, METRICS, STEPS, RESULT, PREPARATION, BALANCE, DATA, CURVES, PLAN, TUNE, LAST, BEST, SWEEP, FOLDS)
LARGEST = 1 << 28  # bytes of a text file that is read back


def open_run(out: Path | None, name: str, resume: bool = False, root: Path = Path("runs")) -> RunFolder:
    """The folder of a run, locked: ``out``, or the next free ``runs/NAME/NNN``; to resume, the newest of these.

    Raises SpecError where ``out`` holds something and is not to be resumed, or holds something else than a run;
    ResourceError where another process uses it.
    """
    if out is not None:
        return _open(out, resume)
    home = root / (re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".") or "network")
    newest = max((int(p.name) for p in _numbered(home)), default=0)
    if resume and newest:
        return _open(next(p for p in _numbered(home) if int(p.name) == newest), resume)
    while True:
        newest += 1
        path = home / f"{newest:03d}"
        try:
            home.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            if not home.is_dir():
                raise SpecError(Problem(f"{home} is a file", wanted="a folder for runs", rule="run-folder")) from None
            continue  # another process was quicker
        except OSError as e:
            raise refused(path, e) from e
        return RunFolder(path)


def _numbered(home: Path) -> list[Path]:
    return [p for p in home.iterdir() if p.name.isdecimal() and p.is_dir()] if home.is_dir() else []


def _open(path: Path, resume: bool) -> RunFolder:
    try:
        if path.exists() and not path.is_dir():
            raise SpecError(Problem(f"{path} is a file", wanted="a folder for the run", rule="run-folder"))
        path.mkdir(parents=True, exist_ok=True)
        _check(path, resume)
        folder = RunFolder(path)
    except OSError as e:
        raise refused(path, e) from e
    try:
        _check(path, resume)  # again, now that nobody else writes
    except BaseException:
        folder.close()
        raise
    return folder


def _check(path: Path, resume: bool) -> None:
    """A new run wants an empty folder, a resumed one a run's folder or an empty one."""
    held = {p.name for p in path.iterdir()}
    if not held - {LOCK}:
        return
    if not resume:
        raise SpecError(
            Problem(
                f"{path} is not empty",
                found=", ".join(sorted(held - {LOCK})[:5]),
                wanted="a new folder",
                hint="--resume continues the run there" if held & set(FILES) else "",
                rule="run-folder",
            )
        )
    if LOCK not in held and not held & {SPEC, RECORD, LAST}:
        raise SpecError(
            Problem(
                f"{path} is not the folder of a run",
                found=", ".join(sorted(held)[:5]),
                wanted="a folder that nnspec run has made",
                rule="run-folder",
            )
        )


def refuse_several(path: Path) -> None:
    """Raises DataError where a folder holds several runs, and one is wanted."""
    kind = next((word for name, word in SEVERAL.items() if (path / name).is_file()), None)
    if kind is None:
        return
    runs = sorted(str(p) for p in path.iterdir() if (p / RECORD).is_file())
    raise DataError(
        Problem(f"{path} holds {kind}", found=f"{len(runs)} runs", wanted="the folder of one run", hint=", ".join(runs[:6]), rule="run-folder")
    )


class RunFolder:
    """A run's folder, locked against other processes until ``close``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = _locked(path)
        self._metrics: IO[bytes] | None = None
        remove_leftovers(path, FILES)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the folder free."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def last(self) -> Path:
        """The checkpoint that a resumed run continues from."""
        return self.path / LAST

    @property
    def best(self) -> Path:
        """The parameters of the best epoch."""
        return self.path / BEST

    def clear(self) -> None:
        """Removes a run's files, for one that starts anew."""
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)
        for tap in (self.path / "taps").glob("step_*.json*"):
            tap.unlink(missing_ok=True)

    def write(self, name: str, text: str) -> None:
        """Replaces a file as a whole. Raises ResourceError."""
        replace(self.path / name, [text.encode()])

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replaces a file by one JSON object; what is not finite is null. Raises ResourceError."""
        self.write(name, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")

    def read(self, name: str) -> str:
        """A text file of the run. Raises DataError."""
        path = self.path / name
        try:
            if path.stat().st_size > LARGEST:
                raise DataError(
                    Problem(f"{path}: the file is too large", wanted=f"at most {LARGEST >> 20} MiB", rule="run-folder")
                )
            return path.read_text("utf-8")
        except FileNotFoundError:
            raise DataError(
                Problem(f"{path}: the file is not there", wanted="a run's folder with all its files", rule="run-folder")
            ) from None
        except (OSError, UnicodeDecodeError) as e:
            raise DataError(
                Problem(
                    f"{path}: the file cannot be read",
                    found=getattr(e, "strerror", None) or "not UTF-8",
                    rule="run-folder",
                )
            ) from e

    def read_json(self, name: str) -> dict[str, Any]:
        """A file that holds one JSON object. Raises DataError."""
        return _object(self.read(name), f"{self.path / name}")

    def start_metrics(self, epochs: int) -> list[dict[str, float]]:
        """The metrics of the first ``epochs`` epochs; lines after them are cut off, and ``append`` continues there.

        Raises DataError where there are fewer, ResourceError.
        """
        history: list[dict[str, float]] = []
        path = self.path / METRICS
        if epochs:
            lines = self.read(METRICS).splitlines()
            if len(lines) < epochs:
                raise DataError(
                    Problem(
                        f"{path}: the file is cut off",
                        found=f"{len(lines)} epochs",
                        wanted=f"{epochs}, which the checkpoint knows",
                        rule="run-folder",
                    )
                )
            history = [_entry(line, f"{path}:{n}") for n, line in enumerate(lines[:epochs], 1)]
            replace(path, ["".join(f"{line}\n" for line in lines[:epochs]).encode()])
        try:
            self._metrics = open(path, "ab" if epochs else "wb")  # noqa: SIM115  # closed by close()
        except OSError as e:
            raise refused(path, e) from e
        return history

    def append(self, entry: Mapping[str, float]) -> None:
        """One more epoch's metrics, a line of JSON; what is not finite is null. Raises ResourceError."""
        assert self._metrics is not None
        try:
            self._metrics.write(
                json.dumps({k: v if math.isfinite(v) else None for k, v in entry.items()}).encode() + b"\n"
            )
            self._metrics.flush()
        except OSError as e:
            raise refused(self.path / METRICS, e) from e

    def sync_metrics(self) -> None:
        """Makes the metrics last: a checkpoint that counts on them follows. Raises ResourceError."""
        assert self._metrics is not None
        try:
            os.fsync(self._metrics.fileno())
        except OSError as e:
            raise refused(self.path / METRICS, e) from e


def _finite(content: Any) -> Any:
    """What JSON has a form for: numbers that are none are null."""
    if isinstance(content, Mapping):
        return {k: _finite(v) for k, v in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(v) for v in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise DataError(Problem(f"{where}: this is not JSON", found=str(e)[:100], rule="run-folder")) from e
    if not isinstance(content, dict):
        raise DataError(Problem(f"{where}: a JSON object is wanted here", rule="run-folder"))
    return content


def _entry(line: str, where: str) -> dict[str, float]:
    """One line of the metrics."""
    entry = _object(line, where)
    if not all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in entry.values()
    ):
        raise DataError(Problem(f"{where}: a metric is no number", rule="run-folder"))
    return {name: math.nan if value is None else value for name, value in entry.items()}


def _locked(path: Path) -> IO[str]:
    """The open lock file of a folder; the system frees it when the process ends, however it ends."""
    try:
        file = open(path / LOCK, "a+", encoding="utf-8")  # noqa: SIM115  # closed with the folder
    except OSError as e:
        raise refused(path / LOCK, e) from e
    try:
        _lock(file)
    except OSError:
        file.seek(0)
        holder = file.read(40).strip()
        file.close()
        raise ResourceError(
            Problem(
                f"{path} is in use",
                found=f"process {holder} writes to it" if holder.isdecimal() else "another process writes to it",
                wanted="a folder of its own for each run",
                rule="run-folder",
            )
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _lock(file: IO[str]) -> None:
    """Takes the lock, or raises OSError where another process has it."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 20)  # beyond what is written, so that others can read who holds it
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
