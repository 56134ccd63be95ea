"""A compiled model: parameters, one step, predictions, evaluation. It drives programs and computes nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnspec.codegen.backend import Results, load_backend, results
from nnspec.compiler import Spec, check_trainable
from nnspec.data.batches import pieces
from nnspec.data.prepare import Preparation
from nnspec.errors import NumbersError, Problem, SpecError
from nnspec.ir.graph import Graph
from nnspec.ir.op import Array
from nnspec.ir.types import TensorType
from nnspec.layers.initializers import default
from nnspec.network.graph import LayerGraph
from nnspec.network.graph import Parameter as Declared
from nnspec.network.phases import bound
from nnspec.network.segments import Segments, arrange
from nnspec.network.targets import Target
from nnspec.records import dataclass
from nnspec.runtime import cores
from nnspec.runtime.feeding import Feeder, parted
from nnspec.runtime.feeds import check_names, rows_of
from nnspec.runtime.gather import gathered_step
from nnspec.runtime.interpreter import HostMemory
from nnspec.runtime.interrupt import Whole
from nnspec.runtime.memory import refuse_parameters, size
from nnspec.runtime.parameter import Parameter
from nnspec.runtime.plateaus import Plateaus
from nnspec.runtime.programs import Programs, Ready, alone
from nnspec.runtime.tally import Scores, Tally
from nnspec.runtime.vectors import begin, read_state, restore_state
from nnspec.training import loss_scale
from nnspec.training.schedule import Schedule
from nnspec.training.stretches import Stretches, schedules

if TYPE_CHECKING:
    from nnspec.codegen.tuning import Tuning
    from nnspec.interop.transfer import Loaded
    from nnspec.runtime.trainer import Run

CHUNK = 256


@dataclass(frozen=True)
class Begun:
    """A step under way; how many were taken before it, and how often each segment had moved. Without a program nothing moves in it."""

    ready: Ready | None
    results: Results | None
    rows: int
    factors: tuple[float, ...]
    step: int
    updates: dict[str, int]


def compile(spec: Spec, backend: str = "numpy", precision: str | None = None, seed: int | None = None, threads: int | None = None,
            weights: bool = True, tune: str | Path | None = None) -> Model:  # fmt: skip
    """A model of the spec on a backend, its parameters initialised from the seed.

    ``precision`` and ``seed`` stand for the spec's own. ``backend="interpret"`` runs the ops' references.
    ``weights=False`` leaves out what the spec's ``weights`` would load, for what is restored anyway. ``tune`` is a file that
    ``nnspec tune`` has written on this machine: the calls that it knows go the ways that were the fastest. Raises DataError for another.
    """
    model = Model(spec.with_(precision=precision, seed=seed, threads=threads), backend)
    if tune is not None:
        model.tuning = tuned(tune, model)
    if weights:
        model.transfer()
    return model


def tuned(path: str | Path, model: Model) -> Tuning:
    """The tune file at ``path``, for this machine. Raises DataError."""
    from nnspec.codegen.tuning import read_tuning

    if model.interpreted:
        problem = Problem("a tune file says how programs compute, and the interpreter has none", found=str(path), hint="leave one of the two out")
        raise SpecError(problem)
    found = read_tuning(path)
    found.refuse_other(model.backend.machine())
    return found


class Model:
    """A spec compiled for a backend. Without ``start`` parameters are 0, for who restores them all."""

    def __init__(self, spec: Spec, backend: str = "numpy", start: bool = True) -> None:
        self.spec = spec
        self.interpreted = backend == "interpret"
        self.backend = load_backend("numpy" if self.interpreted else backend)
        self.threads = spec.settings.threads or cores.threads()
        self.backend.set_threads(self.threads)
        self.seed, self.step = spec.settings.seed, 0
        self.sound = True  # whether its state is finite and what steps make: never again where it once was given another
        self.tuning: Tuning | None = None  # which ways calls go that are computed in several
        self.notes: tuple[str, ...] = ()  # what who asks it should know
        self.preparation: Preparation | None = None
        self.pace: tuple[int, int | None] = 1, None  # the steps of an epoch, and the epochs, of the run that it comes from
        self.balance: Mapping[str, tuple[float, ...]] | None = None  # what classes weigh, where the training rows say it
        self.transferred: tuple[Loaded, ...] | None = None  # None: not yet
        self.programs = Programs(self)
        optimizer = spec.document.optimizer
        dtype = spec.settings.dtype
        self.segments: Segments = arrange(spec.built.network, optimizer, dtype, spec.built.frozen, spec.settings.half)
        self.updates = dict.fromkeys(self.segments.learned, 0)  # how often each has moved, where that differs
        self.plateau = Plateaus()
        self.slots: tuple[str, ...] = optimizer.state if optimizer else ()  # what the optimizer keeps for each parameter
        types = self.segments.types(self.slots)
        declared = spec.built.network.parameters
        refuse_parameters(types, sorted(((p, size({p: TensorType(d.param.shape, dtype)})) for p, d in declared.items()), key=lambda x: -x[1]),
                          None if self.interpreted else self.backend.room())
        self.memory = HostMemory(types) if self.interpreted else self.backend.memory(types, spec.settings.math == "tf32")
        self.parameters: Mapping[str, Parameter] = {path: Parameter(self, d) for path, d in declared.items()}
        if start:
            begin(self, lambda path: self._initial(path, declared[path]).astype(dtype.numpy))

    def _initial(self, path: str, declared: Declared) -> Array:
        init = declared.init or default(declared.param.init)
        return init.values(declared.param.shape, self.seed, path)

    def transfer(self) -> None:
        """Loads what the spec's ``weights`` name, once. Raises SpecError, DataError."""
        if self.transferred is None:
            parts = self.spec.built.network.parts.values()
            if self.spec.document.weights is None and all(part.network.weights is None for part in parts):
                self.transferred = ()
                return
            from nnspec.interop.transfer import load_all

            self.transferred = loaded = load_all(self.spec, self.spec.settings.dtype.numpy)
            if loaded:
                self.restore({f"parameters/{path}": values for part in loaded for path, values in part.values.items()})

    @property
    def graph(self) -> LayerGraph:
        """The layers as a networkx graph."""
        return self.spec.graph

    # Parameters and state

    def read(self, path: str) -> Array:
        """A copy of a parameter."""
        place = self.segments.slots[path]
        return self.memory.read(self.segments.answering(place.segment))[place.offset : place.offset + place.size].reshape(place.shape).copy()

    def write(self, path: str, values: Array) -> None:
        """Replaces a parameter."""
        self.restore({f"parameters/{path}": values})

    def state(self) -> dict[str, Array]:
        """Everything that a continuation needs, bit-exact, in canonical layout."""
        return read_state(self)

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes back what ``state`` gave; optimizer state may be left out, and weights that move where they are the averages."""
        restore_state(self, state)

    # Training

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.spec.built.targets

    def rate(self, step: int, per_epoch: int = 1, epochs: int | None = None) -> float:
        """The learning rate of a step, counted from 0."""
        optimizer, schedule = self.spec.document.optimizer, self.spec.document.schedule
        assert optimizer is not None
        total = per_epoch * (epochs if epochs is not None else self.spec.settings.epochs or 1)
        if schedule is None:
            return optimizer.learning_rate
        rate = schedule.rate(step, optimizer.learning_rate, per_epoch, total)
        return self.plateau.cut(schedules(schedule), self.stretch(step, per_epoch), rate)

    def stretch(self, step: int, per_epoch: int = 1) -> int:
        """The number, from 0, of the schedule's stretch that a step is in."""
        schedule = self.spec.document.schedule
        return schedule.at(step, per_epoch)[0] if isinstance(schedule, Stretches) else 0

    def base(self, stretch: int) -> float:
        """The learning rate that a stretch begins with."""
        optimizer, schedule = self.spec.document.optimizer, self.spec.document.schedule
        own = schedule.parts[stretch].own.learning_rate if isinstance(schedule, Stretches) else None
        return own if own is not None else optimizer.learning_rate if optimizer else 1.0

    def train_batch(self, feeds: Mapping[str, Any]) -> Scores:
        """One step on one batch; the results are those before the update.

        Keys are input names, ``target`` or the target columns' names, and ``sample_weight``. Raises SpecError where they do
        not fit, NumbersError where the step would make a weight NaN or infinite: it is not taken. Ctrl-C is heard when the step
        is whole; a second one breaks into it, and may leave some weights moved and others not.
        """
        arrays, weights = self.feeds(feeds)
        self._lasts(self.spec.document.schedule)
        n = rows_of(arrays)
        stated = self.spec.settings.batch_size if "batch_size" in self.spec.document.root.pairs else 0
        capacity = max(n, stated * self.accumulate)
        with Whole():
            return self.train_step(arrays, self.rate(self.step), capacity, weights)

    def _lasts(self, *schedules: Schedule | Stretches | float | None) -> None:
        """Raises SpecError where one is as long as a run whose length nothing says: it would be over after a step."""
        weights = [t.term.weight for t in self.spec.built.losses]
        if self.spec.settings.epochs is None and self.pace == (1, None) and any(getattr(s, "open", False) for s in (*schedules, *weights)):
            root = self.spec.document.root
            place = root.keys.get("schedule" if getattr(next(iter(schedules), None), "open", False) else "loss")
            raise SpecError(Problem("a schedule lasts as long as the run, and nothing says how long that is", place,
                                    wanted="a length of its own: {cosine: {length: 500 steps}}", hint="or epochs: 10; fed from Python a step is one",
                                    rule="missing-key"))  # fmt: skip

    def factors(self, step: int, per_epoch: int | None = None, epochs: int | None = None) -> tuple[float, ...]:
        """What each loss weighs at a step, counted from 0: a number, or a schedule that begins at 1; epochs are those of the run."""
        if per_epoch is None:
            per_epoch, epochs = self.pace
        total = per_epoch * (epochs if epochs is not None else self.spec.settings.epochs or 1)
        weights = (t.term.weight for t in self.spec.built.losses)
        return tuple(w if isinstance(w, float) else w.rate(step, 1.0, per_epoch, total) for w in weights)

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
        stretch = self._alike(self.stretch(self.step) if stretch is None else stretch)
        if weights is not None and not weights.any():
            self.step += 1
            return counts.scores()
        if self.accumulate > 1:
            loss = gathered_step(self, arrays, rate, -(-capacity // self.accumulate), weights, factors, stretch, counts)
            return Scores({}, {}) if tally is not None else counts.scores(loss=loss)
        n = len(next(iter(arrays.values())))
        ready = self._enqueue(arrays, weights, rate, capacity, factors, stretch)
        taken, loss = bool(ready.run.outputs["finite"]), float(ready.run.outputs["loss"])
        if not taken and not self.forgives():
            raise NumbersError(self.programs.blame(ready))
        self._moved(stretch, taken)
        if taken or isfinite(loss):
            counts.add(ready.run.outputs, n, factors)
        return Scores({}, {}) if tally is not None else counts.scores(loss=loss)

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
        stretch, before = self._alike(stretch), (self.step, dict(self.updates))
        n = len(next(iter(arrays.values())))
        if weights is not None and not weights.any():
            self.step += 1
            return Begun(None, None, n, factors, *before)
        ready = self._enqueue(arrays, weights, rate, capacity, factors, stretch)
        self._moved(stretch)
        return Begun(ready, results(ready.run), n, factors, *before)

    @alone
    def end_step(self, begun: Begun, tally: Tally) -> None:
        """Waits for a step that was begun, and counts it. Raises NumbersError where it was not taken, nor was one after it."""
        if begun.ready is None or begun.results is None:
            return
        if not bool(begun.results.outputs["finite"]):
            self.step, self.updates = begun.step, begun.updates
            raise NumbersError(self.programs.blame(begun.ready, begun.results.inputs))
        tally.add(begun.results.outputs, begun.rows, begun.factors)

    def tally(self) -> Tally:
        """What counts losses and metrics."""
        return Tally(self.spec.built)

    def _moved(self, stretch: int, taken: bool = True) -> None:
        """Counts a step, and what moved in it."""
        self.step += 1
        if not taken:
            return
        for segment in self.segments.moving(stretch):
            self.updates[segment] += 1

    def _alike(self, stretch: int) -> int:
        """The first stretch whose programs serve this one too."""
        if not stretch:
            return 0
        frozen = self.spec.built.frozen
        return next((n for n in range(stretch) if (frozen[n], self.base(n)) == (frozen[stretch], self.base(stretch))), stretch)

    @property
    def accumulate(self) -> int:
        """How many batches a step is taken over."""
        optimizer = self.spec.document.optimizer
        return optimizer.accumulate if optimizer else 1

    def gradients(self, feeds: Mapping[str, Any], phase: str | None = None) -> dict[str, Array]:
        """d loss / d parameter on one batch, in training mode; nothing is updated."""
        if phase is not None:
            raise SpecError(Problem("phases: not in this version", rule="not-in-this-version"))
        arrays, weights = self.feeds(feeds)
        self._lasts()
        return self.gradients_of(arrays, weights)

    @alone
    def gradients_of(self, arrays: Mapping[str, Array], weights: Array | None = None) -> dict[str, Array]:
        """``gradients`` on converted arrays."""
        n = rows_of(arrays)
        ready = self.programs.ready("gradients", arrays, n, weights is not None)
        self.programs.fill(ready, arrays, n, n, weights)
        self.programs.set(ready, 0.0, self.step, self.factors(self.step))
        ready.run.run()
        return {name.removeprefix("gradient:"): np.array(a) for name, a in ready.run.outputs.items() if name.startswith("gradient:")}

    @alone
    def score(
        self, rows: Mapping[str, Array], chunk: int = CHUNK, weights: Array | None = None, factors: tuple[float, ...] = ()
    ) -> Scores:
        """The loss and the metrics over any number of rows, in inference: of all of them, never of the pieces they are read in.

        ``sample_weight`` among the rows is what they weigh.
        """
        tally, factors = self.tally(), factors or self.factors(self.step)
        rows, weights = parted(rows, weights)
        n = len(next(iter(rows.values())))
        for start, part in zip(range(0, n, chunk), pieces(rows, chunk), strict=True):
            own = None if weights is None else weights[start : start + chunk]
            size = min(chunk, n - start)
            ready = self.programs.ready("score", part, min(chunk, n), own is not None or size < min(chunk, n))
            if own is not None and not own.any():
                continue
            self.programs.fill(ready, part, size, min(chunk, n), own)
            self.programs.set(ready, 0.0, start // chunk, factors)
            ready.run.run()
            tally.add(ready.run.outputs, size, factors)
        return tally.scores()

    def evaluate(self, data: Mapping[str, Any] | None = None) -> Scores:
        """Loss and metrics on data as for ``train_batch``, or on the spec's test (else validation) split."""
        if data is not None:
            arrays, weights = self.feeds(data)
            rows_of(arrays)
            return self.score(arrays, weights=weights)
        from nnspec.runtime.loading import rows_for_scoring

        return self.score(rows_for_scoring(self))

    def fit(
        self, x: Any = None, y: Any = None, *, sample_weight: Any = None, epochs: int | None = None, out: str | Path | None = None
    ) -> Run:
        """Trains on the spec's own data, epochs and callbacks, or on ``x`` and ``y``, whose rows weigh ``sample_weight``.

        With ``out`` into a run folder.
        """
        from nnspec.runtime.fit import fit as fit_model

        return fit_model(self, x, y, sample_weight, epochs=epochs, out=out)

    # Answers

    @alone
    def predict(self, x: Any, raw: bool = False, network: str | None = None) -> Any:
        """The network's answer for any number of rows: array in, array out; dicts by name where there are several.

        Probabilities where the loss has a link, physical units where the target was prepared; ``raw`` gives the output as it is.
        """
        if network is not None:
            raise SpecError(Problem("networks: not in this version", rule="not-in-this-version"))
        inputs = self.spec.built.network.inputs
        given = dict(x) if isinstance(x, Mapping) else {next(iter(inputs)): x}
        check_names(given, inputs)
        arrays, _ = self._feeder.inputs(given)
        n = rows_of(arrays)
        if n <= CHUNK:
            results = self._answers(arrays, n, n, 0, raw)
        else:
            parts = [self._answers(part, min(CHUNK, n - CHUNK * i), CHUNK, i, raw) for i, part in enumerate(pieces(arrays, CHUNK))]
            results = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        if not raw and self.preparation is not None:
            results = {name: self._physical(name, a) for name, a in results.items()}
        return results if len(results) > 1 else next(iter(results.values()))

    def _answers(self, arrays: Mapping[str, Array], size: int, capacity: int, number: int, raw: bool) -> dict[str, Array]:
        """The outputs for the ``number``-th piece of what is asked, of ``size`` rows."""
        ready = self.programs.ready("predict", arrays, capacity, False)
        self.programs.fill(ready, arrays, size, capacity, None)
        self.programs.set(ready, 0.0, number)
        ready.run.run()
        kind = "raw:" if raw else "output:"
        return {name: np.array(ready.run.outputs[kind + name][:size]) for name in self.spec.built.network.output_names}

    def _physical(self, name: str, array: Array) -> Array:
        """A prediction in the target's own unit."""
        port = dict(zip(self.spec.built.network.output_names, self.spec.built.network.outputs, strict=True))[name]
        target = self.spec.built.answering(port)
        if target is None or self.preparation is None or target.term.of.classes or not target.columns:
            return array
        columns = target.columns if len(target.columns) > 1 else target.columns[0]
        return np.asarray(self.preparation.undo(columns, array), array.dtype)

    def classes(self, name: str | None = None) -> tuple[str, ...] | None:
        """The class names of an output, where the data has them."""
        network = self.spec.built.network
        port = dict(zip(network.output_names, network.outputs, strict=True))[name or network.output_names[0]]
        target = self.spec.built.answering(port)
        return target.classes if target is not None and target.term.of.classes else None

    def save(self, folder: str | Path) -> None:
        """Writes the spec and the weights; ``nnspec.load_model`` reads them."""
        from nnspec.runtime.saving import save_model

        save_model(self, Path(folder))

    # Programs

    def graph_of(self, kind: str, rows: int, sizes: Mapping[str, int] | None = None, stretch: int = 0) -> Graph:
        """The graph of ops behind one of the model's programs (``train``, ``score``, ``predict``, ``gradients``), before any pass.

        Where a step is taken over micro-batches, ``train`` is one of these, and ``take`` the update.
        """
        kind = "gather" if kind == "train" and self.accumulate > 1 else kind
        data = self.spec.document.data
        weighted = kind in ("train", "gather", "weigh", "score") and data is not None and data.weighted
        return self.programs.graph(kind, bound(self.programs.declared(kind), rows, sizes or {}), weighted, stretch)

    def feeds(self, feeds: Mapping[str, Any]) -> tuple[dict[str, Array], Array | None]:
        """A batch's arrays converted and checked, and its row weights where it has some. Raises SpecError."""
        return self._feeder.batch(feeds)

    @property
    def _feeder(self) -> Feeder:
        return Feeder(self.spec.built, self.preparation, self.segments.dtype)
