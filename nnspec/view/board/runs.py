"""One run as its folder tells it: what it is, how it stands, how far it is and how long it will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path, PurePath
from threading import Lock
from typing import Any, TypeVar

from nnspec.runtime.run_folder import BEST, DATA, LAST, LOCK, METRICS, RECORD, RESULT, SPEC, STEPS, SWEEP
from nnspec.view.board import alive, files
from nnspec.view.board.history import History, numbers, of, plain_number

T = TypeVar("T")
RECENT = 5  # epochs that say how long one takes
ELSEWHERE = 60.0  # seconds without news of a run of another machine
LIVE = ("starting", "running")


def identity(path: Path) -> str:
    """The name that a folder goes by in addresses: it says nothing, and leads nowhere else."""
    return sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:12]


class Run:
    """A folder, looked at again whenever somebody asks; what has not changed is not read again."""

    def __init__(self, path: Path, label: str) -> None:
        self.path, self.label = path, label
        self.id = identity(path)
        self.lock = Lock()  # of what is read into this object, none of the folder's
        self.epochs, self.steps = of(path)
        self._still: int | None = None  # bytes that were there when no process of this machine wrote to it
        self._moved = -math.inf  # when they grew all the same
        self._kept: dict[str, tuple[files.Stamp | None, Any]] = {}

    def _once(self, name: str, read: Callable[[Path], T | None]) -> T | None:
        """What a file holds, read when it has changed."""
        path = self.path / name
        now = files.stamp(path)
        kept = self._kept.get(name)
        if kept is None or kept[0] != now:
            kept = self._kept[name] = (now, read(path) if now is not None else None)
        found: T | None = kept[1]
        return found

    @property
    def record(self) -> dict[str, Any]:
        return self._once(RECORD, files.json_object) or {}

    @property
    def result(self) -> dict[str, Any] | None:
        return self._once(RESULT, files.json_object)

    @property
    def spec(self) -> str | None:
        return self._once(SPEC, files.text)

    @property
    def data(self) -> dict[str, Any] | None:
        return self._once(DATA, files.json_object)

    @property
    def last_epoch(self) -> dict[str, float]:
        return numbers(self._once(METRICS, files.last_object) or {})

    @property
    def last_line(self) -> dict[str, Any]:
        return self._once(STEPS, files.last_object) or {}

    @property
    def trial(self) -> dict[str, str]:
        """What the trial of a sweep that this run is sets; nothing where it is none."""
        trials = (self._once(f"../{SWEEP}", files.json_object) or {}).get("trials")
        for trial in trials if isinstance(trials, list) else ():
            settings = trial.get("settings") if isinstance(trial, dict) else None
            if isinstance(settings, dict) and PurePath(str(trial.get("run"))).name == self.path.name:
                return {str(k)[:300]: str(v)[:300] for k, v in settings.items()}
        return {}

    def state(self) -> tuple[str, str]:
        """``starting``, ``running``, ``finished``, ``numbers``, ``interrupted``, ``failed``, ``dead``, ``saved`` or ``gone``; and a sentence."""
        if not self.path.is_dir():
            return "gone", "the folder is not there any more"
        line, result = self.last_line, self.result
        if result is not None:
            return "finished", str(result.get("stop") or "")[:500]
        writing = self._writes()
        if "end" in line and line["end"] in ("numbers", "interrupted", "failed"):
            return str(line["end"]), str(line.get("message") or "")[:500]
        if writing:
            known = self.last_epoch or "step" in line and "begin" not in line
            return ("running", "") if known else ("starting", "reading data, compiling")
        if not self.record and self.spec is not None:
            return "saved", "a model without a run"
        return "dead", "its process is gone, and it did not say why"

    def _writes(self) -> bool:
        """Whether somebody writes to the folder: a process that its lock names, or one of another machine, whose files grow."""
        if alive.writes(self.path / LOCK):
            self._still = None
            return True
        now = sum(s[1] for name in (METRICS, STEPS) if (s := files.stamp(self.path / name)))
        if self._still is not None and now > self._still:
            self._moved = time.monotonic()
        self._still = now
        return time.monotonic() - self._moved < ELSEWHERE

    def summary(self) -> dict[str, Any]:
        """Everything that one line about the run needs, as plain values."""
        record, entry, line = self.record, self.last_epoch, self.last_line
        state, message = self.state()
        live = numbers({k: v for k, v in line.items() if k not in ("begin", "at")})
        here = live if live.get("step", 0.0) >= entry.get("step", 0.0) else entry
        batches, epochs = _whole(record.get("batches")), _whole(record.get("epochs"))
        step = int(max(entry.get("step", 0.0), live.get("step", 0.0)))
        done = step / batches if batches else entry.get("epoch", 0.0)
        result = self.result or {}
        metrics = numbers(result["metrics"]) if isinstance(result.get("metrics"), dict) else {k: v for k, v in entry.items() if "." in k}
        return {
            "id": self.id, "label": self.label, "name": str(record.get("name") or self.path.name)[:300], "path": str(self.path),
            "settings": self.trial, "state": state, "message": message, "live": state in LIVE,
            "epoch": round(done, 4), "epochs": epochs, "step": step, "steps": batches * epochs if batches and epochs is not None else None,
            "rate": plain_number(here.get("rate", entry.get("rate"))), "memory": plain_number(live.get("memory")),
            "batch": _whole(record.get("batch_size")) or None,
            "eta": self._eta(done, epochs) if state == "running" else None,
            "metrics": {name: plain_number(value) for name, value in metrics.items()},
            "best": result.get("best") if isinstance(result.get("best"), dict) else None,
            "updated": self._updated(), "weights": identity(self.path / str(files.stamp(self.path / LAST))),
            "best_weights": identity(self.path / str(stamp)) if (stamp := files.stamp(self.path / BEST)) else None,
        }  # fmt: skip

    def _updated(self) -> float | None:
        stamps = [s for name in (METRICS, STEPS, RESULT, RECORD) if (s := files.stamp(self.path / name))]
        return max(s[2] for s in stamps) / 1e9 if stamps else None

    def _eta(self, done: float, epochs: int | None) -> float | None:
        """Seconds that are left: by the last epochs where there are any, else by the steps of the first one."""
        if epochs is None or done >= epochs:
            return None
        line, took = numbers(self.last_line), self._seconds_an_epoch()
        if took is None:
            seconds, epoch = line.get("seconds", 0.0), line.get("epoch", 0.0)
            took = seconds / epoch if epoch > 0 and seconds > 0 else None
        updated = self._updated()
        return None if took is None else max(0.0, took * (epochs - done) - max(0.0, time.time() - updated if updated else 0.0))

    def _seconds_an_epoch(self) -> float | None:
        entry = self.last_epoch
        took = entry.get("seconds")
        with self.lock:
            known: History = self.epochs
            held = known.columns.get("took")[-RECENT:] if known.columns.rows else None
        if held is not None and len(held) > 1:
            took = float(held[1:].mean()) if len(held) == known.columns.rows else float(held.mean())  # the first one compiles
        return took if took is not None and took == took else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else None
