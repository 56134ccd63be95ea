"""Times the ways that calls of a spec's programs can go, inside these programs, and takes the fastest of each.

What is timed is what runs: a whole program is under the clock, its calls going one way in one variant of it and another in the next, so
that each finds the caches as the calls before it leave them. Variants take turns; a way's time is the least of its turns' medians, and
a whole step's the least median of runs that follow one another: on a busy machine these say most of an idle one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from nnspec.codegen.backend import Executable, results
from nnspec.codegen.tuning import Timed, Tuning
from nnspec.compiler import pass_graph
from nnspec.ir.op import Array
from nnspec.ir.program import Program
from nnspec.passes.take_ways import spelled, take_ways
from nnspec.records import dataclass, replace
from nnspec.runtime import memory
from nnspec.runtime.bench import Kind, filled
from nnspec.runtime.feeding import parted
from nnspec.runtime.following import Following
from nnspec.runtime.programs import Ready
from nnspec.runtime.session import Model

MARGIN = 0.97  # another way than the cost model's is taken where it needs at most this share of its time
GAIN = 0.99  # and all of them are, where a whole step then needs at most this share of its own
BEHIND, SURE = 1.5, 2  # ways that take as much longer than the fastest are timed in so many turns alone
TURNS, RUNS, WARM = 4, 3, 1  # at least so many turns, of so many runs, after some that are not counted
MOST = 1000  # runs of a whole step
SHARE = 0.2  # of the time, for whole steps before and after
Say = Callable[[str], None]


@dataclass(frozen=True)
class Gain:
    """A program before and after: seconds of a step, by the cost model and with the fastest ways; where these gain nothing they are not taken."""

    kind: str
    rows: int
    before: float
    after: float

    @property
    def taken(self) -> bool:
        return self.after <= GAIN * self.before


@dataclass(frozen=True)
class Tuned:
    """What was found: the file, how often each call stands in which programs, and what whole steps gain."""

    tuning: Tuning
    times: Mapping[str, int]
    gains: tuple[Gain, ...]


class _Timing:
    """A program in its variants."""

    def __init__(self, model: Model, kind: str, ready: Ready, rows: int) -> None:
        self.model, self.kind, self.ready, self.rows = model, kind, ready, rows
        self.passed = pass_graph(ready.main, model.backend, model.spec.settings.strict)
        self.ways: dict[str, tuple[str, ...]] = {}  # by call: first that of the cost model
        self.layers: dict[str, dict[str, None]] = {}
        self.times: Counter[str] = Counter()
        for c in self.passed.calls:
            if found := model.backend.ways(c):
                text = spelled(c)
                self.ways[text] = found
                self.times[text] += 1
                self.layers.setdefault(text, {})[c.origin.layer] = None
        self.left = dict(self.ways)  # those that are still timed
        self.found: dict[str, dict[str, float]] = {text: {} for text in self.ways}
        self.ops = {c.op.name for c in self.passed.calls if model.backend.ways(c)}
        self.bound: dict[int, tuple[Program, Executable, Array]] = {}

    @property
    def variants(self) -> int:
        return max((len(ways) for ways in self.left.values()), default=0)

    def variant(self, number: int) -> dict[str, str]:
        """Which way each call goes: not all of them their first, or what one does to caches would be told of the next."""
        return {text: ways[(number + i) % len(ways)] for i, (text, ways) in enumerate(self.left.items())}

    def bind(self, ways: Mapping[str, str], clocked: bool = True) -> tuple[Program, Executable, Array]:
        """The program with its calls going these ways, filled; and where its clock writes."""
        program = self.model.backend.plan(take_ways(self.passed, ways), f"{self.kind} of {self.model.spec.name}")
        seconds = np.zeros(len(program.steps))
        own: Any = self.model.memory
        run = self.model.backend.bind(program, own, seconds if clocked else None)
        for name, held in self.ready.run.inputs.items():
            run.inputs[name][...] = held
        if isinstance(self.ready.run, Following):
            self.ready.run.renew()
        return program, run, seconds

    def turn(self, number: int) -> None:
        """One turn of a variant: the median of each call's time is kept where it is the least so far."""
        program, run, seconds = self.bound.get(number) or self.bind(self.variant(number))
        room = self.model.backend.room()
        if 2 * self.variants * program.peak < (memory.available() if room is None else room.bytes) * memory.SPARE:
            self.bound[number] = program, run, seconds
        runs = []
        for _ in range(WARM + RUNS):
            run.run()
            runs.append(seconds.copy())
        sums: dict[str, list[float]] = {}
        for step, each in zip(program.steps, np.median(runs[WARM:], axis=0), strict=True):
            if step.call.op.name in self.ops and (text := spelled(step.call)) in self.ways:
                sums.setdefault(text, []).append(float(each))
        ways = self.variant(number)
        for text, some in sums.items():
            mean, best = sum(some) / len(some), self.found[text]
            best[ways[text]] = min(best.get(ways[text], mean), mean)

    def leave(self) -> None:
        """Times no more what is far behind."""
        for text, ways in self.left.items():
            found = self.found[text]
            most = BEHIND * min(found.values())
            self.left[text] = tuple(name for i, name in enumerate(ways) if i == 0 or found[name] <= most)
        self.bound.clear()

    def chosen(self) -> Iterator[tuple[str, Timed]]:
        """The fastest way of each call."""
        for text, found in self.found.items():
            first = self.ways[text][0]
            best = min(found, key=lambda name: found[name])
            way = best if found[best] <= MARGIN * found[first] else first
            yield text, Timed(text, way, {name: 1e3 * found[name] for name in self.ways[text]}, tuple(self.layers[text]))

    def gain(self, ways: Mapping[str, str], seconds: float) -> Gain:
        """The whole step by the cost model and by ``ways``, in turns."""
        self.bound.clear()
        runs = [self.bind({}, clocked=False)[1], self.bind(ways, clocked=False)[1]]
        times: list[list[float]] = [[], []]
        end = perf_counter() + seconds
        while (done := len(times[0])) < WARM + 2 * RUNS or perf_counter() < end and done < MOST:
            for run, own in zip(runs, times, strict=True):
                start = perf_counter()
                run.run()
                _wait(run)
                own.append(perf_counter() - start)
        return Gain(self.kind, self.rows, *(min(median(own[i : i + RUNS]) for i in range(WARM, len(own) - RUNS + 1)) for own in times))


def _wait(run: Executable) -> None:
    """Until what was enqueued is done, where a run is only that: its results are read."""
    if hasattr(run, "results"):
        found = results(run).outputs
        found[next(iter(found))]


def tune(model: Model, rows: Mapping[str, Array], kinds: Iterable[tuple[Kind, int]], seconds: float, say: Say) -> Tuned:
    """Times programs, each by its kind and number of rows, on ``rows``, for about so many seconds. Weights stand still: the rate is 0."""
    timings = [t for kind, n in kinds for t in _timings(model, kind, rows, n) if t.ways]
    start, turn = perf_counter(), 0
    while timings and (turn < TURNS or perf_counter() - start < (1 - SHARE) * seconds):
        for t in timings:
            for number in range(t.variants):
                say(f"{t.kind}: turn {turn + 1}, variant {number + 1} of {t.variants}, {perf_counter() - start:.0f} s")
                t.turn(number)
            if turn + 1 == SURE:
                t.leave()
        turn += 1
    calls: dict[str, Timed] = {}
    gains = []
    for t in timings:
        found = dict(t.chosen())
        if any(c.way != c.model for c in found.values()):
            say(f"{t.kind}: before and after")
            gains.append(t.gain({text: c.way for text, c in found.items()}, SHARE * seconds / len(timings)))
            if not gains[-1].taken:
                found = {text: replace(c, way=c.model) for text, c in found.items()}
        calls |= found
    times = sum((t.times for t in timings), Counter[str]())
    machine = dict(model.backend.machine(model.spec.settings.tf32))
    return Tuned(Tuning(model.spec.name, machine, model.threads, calls, version("nnspec")), times, tuple(gains))


def _timings(model: Model, kind: Kind, rows: Mapping[str, Array], n: int) -> Iterator[_Timing]:
    """The programs of a kind for ``n`` rows, which repeat those given."""
    some = {name: np.resize(a, (n, *a.shape[1:])) for name, a in parted(rows, None)[0].items()}
    inputs = {name: a for name, a in some.items() if name in model.spec.built.network.inputs}
    for ready, _ in filled(model, kind, inputs if kind == "infer" else some, n):
        yield _Timing(model, {"train": "training step", "infer": "answer", "score": "evaluation"}[kind], ready, n)
