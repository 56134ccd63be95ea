"""One training step: at once, or begun and looked at later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite

from nnspec.codegen.backend import Backend, Memory, Results, results
from nnspec.compiler import check_trainable
from nnspec.errors import NumbersError
from nnspec.ir.op import Array
from nnspec.network.segments import Segments
from nnspec.records import dataclass
from nnspec.runtime.course import Course
from nnspec.runtime.feeding import parted
from nnspec.runtime.gather import gathered_step
from nnspec.runtime.interpreter import HostMemory
from nnspec.runtime.programs import Programs, Ready, alone
from nnspec.runtime.tally import Scores, Tally
from nnspec.training import loss_scale


@dataclass(frozen=True)
class Begun:
    """A step under way; how many were taken before it, and how often each segment had moved. Without a program nothing moves in it."""

    ready: Ready | None
    results: Results | None
    rows: int
    factors: tuple[float, ...]
    step: int
    updates: dict[str, int]


class Steps(Course):
    """A model's training steps on converted arrays."""

    programs: Programs
    backend: Backend
    segments: Segments
    memory: HostMemory | Memory
    interpreted: bool
    step: int
    updates: dict[str, int]
    sound: bool

    @alone
    def train_step(
        self, arrays: Mapping[str, Array], rate: float, capacity: int, weights: Array | None = None, factors: tuple[float, ...] = (),
        tally: Tally | None = None, stretch: int | None = None,
    ) -> Scores:  # fmt: skip
        """One step on converted arrays of at most ``capacity`` rows; what is missing is padded at weight 0.

        With ``accumulate: n`` it is taken over micro-batches of an n-th of ``capacity``. The results are the batch's, or with a
        ``tally`` added to it. ``stretch`` is that of the schedule: what moves. ``sample_weight`` among the arrays is what rows weigh;
        where all of them weigh nothing nothing moves, and the step counts all the same.
        """
        factors = factors or self.factors(self.step)
        arrays, weights = parted(arrays, weights)
        counts = self.tally() if tally is None else tally
        check_trainable(self.spec)
        stretch = self.alike(self.stretch(self.step) if stretch is None else stretch)
        if weights is not None and not weights.any():
            self.step += 1
            return counts.scores()
        if self.accumulate > 1:
            loss = gathered_step(self, arrays, rate, -(-capacity // self.accumulate), weights, factors, stretch, counts)
            return Scores({}, {}) if tally is not None else counts.scores(loss=loss)
        n = len(next(iter(arrays.values())))
        ready = self._enqueue(arrays, weights, rate, capacity, factors, stretch)
        ready = self.settled(ready, lambda: self._enqueue(arrays, weights, rate, capacity, factors, stretch))
        taken, loss = bool(ready.run.outputs["finite"]), float(ready.run.outputs["loss"])
        self.moved(stretch, taken)
        if taken or isfinite(loss):
            counts.add(ready.run.outputs, n, factors)
        return Scores({}, {}) if tally is not None else counts.scores(loss=loss)

    def settled(self, ready: Ready, again: Callable[[], Ready] | None = None) -> Ready:
        """A step as it has run; or, where its gradient was too large to show that all stays finite, run ``again`` with a look at all that it makes.

        From then on every step is looked at so. Raises NumbersError for a step that was not taken, unless the loss scale was too large.
        """
        if bool(ready.run.outputs["finite"]) or self.forgives():
            return ready
        wrong = self.programs.wrong(ready)
        if not wrong and again is not None and self.sound and not self.segments.scaled:
            self.sound = False
            ready = again()
            if bool(ready.run.outputs["finite"]):
                return ready
            self.sound = True
        raise NumbersError(self.programs.refused(wrong))

    def forgives(self) -> bool:
        """Whether a step that was not taken is none that went wrong: gradients were scaled, and are by less from now on."""
        return self.segments.scaled and float(self.memory.read(loss_scale.LABEL)[0]) >= loss_scale.LEAST

    def _enqueue(
        self, arrays: Mapping[str, Array], weights: Array | None, rate: float, capacity: int, factors: tuple[float, ...], stretch: int
    ) -> Ready:
        n = len(next(iter(arrays.values())))
        weighted = weights is not None or n < capacity
        ready = self.programs.ready("train", arrays, capacity, weighted, stretch)
        self.programs.fill(ready, arrays, n, capacity, weights)
        self.programs.set(ready, rate, self.step, factors)
        ready.run.run()
        return ready

    @property
    def late(self) -> bool:
        """Whether a step may begin before the one before it is looked at: ``begin_step`` and ``end_step`` for ``train_step``."""
        return self.backend.late and not self.interpreted and self.accumulate == 1 and not self.segments.scaled

    @alone
    def begin_step(self, arrays: Mapping[str, Array], rate: float, capacity: int, factors: tuple[float, ...], stretch: int) -> Begun:
        """Enqueues a step as ``train_step`` takes it. One more may be begun before ``end_step`` has looked at it."""
        arrays, weights = parted(arrays)
        stretch, before = self.alike(stretch), (self.step, dict(self.updates))
        n = len(next(iter(arrays.values())))
        if weights is not None and not weights.any():
            self.step += 1
            return Begun(None, None, n, factors, *before)
        ready = self._enqueue(arrays, weights, rate, capacity, factors, stretch)
        self.moved(stretch)
        return Begun(ready, results(ready.run), n, factors, *before)

    @alone
    def end_step(self, begun: Begun, tally: Tally) -> None:
        """Waits for a step that was begun, and counts it. Raises NumbersError where it was not taken, nor was one after it."""
        if begun.ready is None or begun.results is None:
            return
        if not bool(begun.results.outputs["finite"]):
            self.step, self.updates = begun.step, begun.updates
            raise NumbersError(self.programs.refused(self.programs.wrong(begun.ready, begun.results.inputs)))
        tally.add(begun.results.outputs, begun.rows, begun.factors)

    def tally(self) -> Tally:
        """What counts losses and metrics."""
        return Tally(self.spec.built)

    def moved(self, stretch: int, taken: bool = True) -> None:
        """Counts a step, and what moved in it."""
        self.step += 1
        if not taken:
            return
        for segment in self.segments.moving(stretch):
            self.updates[segment] += 1
