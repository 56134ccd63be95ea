"""What a person sees of a run: a live line on a terminal, else plain lines; on standard error either way."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from nnspec.errors import printable
from nnspec.runtime.callbacks import Callback, State

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

EVERY = 1.0  # seconds between plain lines, at least
REFRESH = 0.1  # seconds between changes of the live line, at least


def progress(stream: TextIO | None = None, quiet: bool = False) -> Callback:
    """The callback that shows a run: live on a terminal, elsewhere a line an epoch (or one a second), or nothing."""
    stream = stream or sys.stderr
    if quiet:
        return Callback()
    return Live(stream) if stream.isatty() else Plain(stream)


class Pace:
    """How fast it goes, and how long it will take, from what this process has done."""

    def __init__(self, state: State) -> None:
        self.start, self.steps = time.monotonic(), state.step

    def rows_a_second(self, state: State) -> float:
        """Rows trained on, validation included in the time."""
        took = time.monotonic() - self.start
        return (state.step - self.steps) * state.rows / state.batches / took if took > 0 else 0.0

    def left(self, state: State) -> float | None:
        """Seconds to the end of the last epoch, if anything is known."""
        done, to_do = state.step - self.steps, state.epochs * state.batches - state.step
        return (time.monotonic() - self.start) / done * to_do if done else None

    def show(self, state: State, rate: float) -> str:
        """``rate 0.001  12,345 rows/s  1:05 left``."""
        return f"rate {rate:.3g}  {self.rows_a_second(state):,.0f} rows/s  {duration(self.left(state))} left"


def duration(seconds: float | None) -> str:
    """``1:02:03``, ``2:03``."""
    if seconds is None:
        return "-:--"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


def numbers(entry: dict[str, float]) -> str:
    """``loss 0.1234  accuracy 0.9876  validation loss 0.2345``."""
    parts = [(name.removeprefix("train.").replace(".", " "), value) for name, value in entry.items() if "." in name]
    return "  ".join(f"{name} {value:.4g}" for name, value in parts)


def line(state: State, pace: Pace) -> str:
    """An epoch in one line."""
    entry = state.history[-1]
    return f"epoch {state.epoch}/{state.epochs}  {numbers(entry)}  {pace.show(state, entry['rate'])}"


class Plain(Callback):
    """A line an epoch, at most one a second, and always the last."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.shown, self.at = 0, float("-inf")

    def on_start(self, state: State) -> None:
        self.pace, self.shown = Pace(state), state.epoch
        for text in headings(state):
            self.say(text)

    def on_epoch(self, state: State) -> None:
        if time.monotonic() - self.at >= EVERY:
            self.epoch(state)

    def on_end(self, state: State) -> None:
        if state.epoch > self.shown:
            self.epoch(state)
        if state.stop:
            self.say(state.stop)

    def epoch(self, state: State) -> None:
        """Shows the last epoch."""
        self.shown, self.at = state.epoch, time.monotonic()
        self.say(line(state, self.pace))

    def say(self, text: str) -> None:
        """One line, if anybody reads it: a run does not end because its progress cannot be shown."""
        with suppress(OSError):
            print(printable(text), file=self.stream, flush=True)


def headings(state: State) -> list[str]:
    """What is known before the first step."""
    rows, batches, epochs = many(state.rows, "row"), many(state.batches, "batch", "es"), many(state.epochs, "epoch")
    size = f"{rows}, {batches} of {state.batch_size} an epoch, {epochs}"
    start = f"{state.name}: {size}"
    where = f", into {state.folder}" if state.folder else ""
    return [start + where, *resumed(state), *state.notes]


def resumed(state: State) -> list[str]:
    """Where a run goes on, or that it has come to its end before."""
    if state.step and (state.stop or state.epoch >= state.epochs):
        return [f"nothing is left to do: {many(state.epoch, 'epoch')} done before"]
    return [f"resumed at epoch {state.epoch + 1}, batch {state.batch + 1}"] if state.step else []


def many(n: int, what: str, ending: str = "s") -> str:
    """``1 row``, ``1438 rows``."""
    return f"{n} {what}{'' if n == 1 else ending}"


class Live(Plain):
    """A bar over the whole run with the metrics beside it; epochs scroll by above it, at most one a second."""

    passive = True

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.bar: Bar | None = None
        self.moved = float("-inf")

    def on_start(self, state: State) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.pace, self.shown = Pace(state), state.epoch
        console = Console(file=self.stream, highlight=False, markup=False)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}", markup=False),
        )
        self.bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self.task = self.bar.add_task(
            "", total=max(1, state.epochs * state.batches), completed=state.step, text="compiling"
        )
        for text in headings(state):
            self.say(text)
        self.bar.start()
        self.bar.refresh()

    def on_step(self, state: State) -> None:
        now = time.monotonic()
        if now - self.moved >= REFRESH and self.bar is not None:
            self.moved = now
            speed = self.pace.show(state, state.rate)
            at = f"epoch {min(state.epoch + 1, state.epochs)}/{state.epochs}"
            self.bar.update(
                self.task, completed=state.step, description=at, text=f"{numbers(state.metrics)}  {speed}", refresh=True
            )

    def on_end(self, state: State) -> None:
        if self.bar is not None:
            self.bar.stop()
            super().on_end(state)

    def say(self, text: str) -> None:
        """One line above the bar."""
        if self.bar is not None:
            self.bar.console.print(printable(text), soft_wrap=True)
