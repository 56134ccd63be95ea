"""A compiled model: parameters, one step, predictions, evaluation. It drives programs and computes nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnspec.codegen.backend import load_backend
from nnspec.compiler import Spec
from nnspec.data.batches import pieces
from nnspec.data.prepare import Preparation
from nnspec.errors import Problem, SpecError
from nnspec.ir.graph import Graph
from nnspec.ir.op import Array
from nnspec.ir.types import TensorType
from nnspec.layers.initializers import default
from nnspec.network.graph import LayerGraph
from nnspec.network.graph import Parameter as Declared
from nnspec.network.phases import bound
from nnspec.network.segments import Segments, arrange
from nnspec.network.targets import Target
from nnspec.runtime import cores
from nnspec.runtime.answers import CHUNK, Answers
from nnspec.runtime.feeding import parted
from nnspec.runtime.feeds import rows_of
from nnspec.runtime.interpreter import HostMemory
from nnspec.runtime.interrupt import Whole
from nnspec.runtime.memory import refuse_parameters, size
from nnspec.runtime.parameter import Parameter
from nnspec.runtime.plateaus import Plateaus
from nnspec.runtime.programs import Programs, alone
from nnspec.runtime.steps import Steps
from nnspec.runtime.tally import Scores
from nnspec.runtime.vectors import begin, read_state, restore_state

if TYPE_CHECKING:
    from nnspec.codegen.tuning import Tuning
    from nnspec.interop.transfer import Loaded
    from nnspec.runtime.trainer import Run


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
    found.refuse_other(model.backend.machine(model.spec.settings.tf32))
    return found


class Model(Steps, Answers):
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
        self.memory = HostMemory(types) if self.interpreted else self.backend.memory(types, spec.settings.tf32)
        self.parameters: Mapping[str, Parameter] = {path: Parameter(self, d) for path, d in declared.items()}
        if start:
            begin(self, lambda path: self._initial(path, declared[path]).astype(dtype.numpy))

    def __repr__(self) -> str:
        count = sum(prod(p.shape) for p in self.parameters.values())
        where = "interpret" if self.interpreted else self.backend.name
        return f"<Model {self.spec.name}: {count:,} parameters, {self.spec.settings.precision} on {where}, step {self.step}>"

    def _repr_html_(self) -> str:
        from nnspec.view.notebook import network_html

        where = "interpret" if self.interpreted else self.backend.name
        return network_html(self.graph, f" · {self.spec.settings.precision} on {where} · step {self.step}")

    def _repr_svg_(self) -> str | None:
        from nnspec.view.notebook import graph_svg

        return graph_svg(self.graph)

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

    def train_batch(self, feeds: Mapping[str, Any]) -> Scores:
        """One step on one batch; the results are those before the update.

        Keys are input names, ``target`` or the target columns' names, and ``sample_weight``. Raises SpecError where they do
        not fit, NumbersError where the step would make a weight NaN or infinite: it is not taken. Ctrl-C is heard when the step
        is whole; a second one breaks into it, and may leave some weights moved and others not.
        """
        arrays, weights = self.feeds(feeds)
        self.lasts(self.spec.document.schedule)
        n = rows_of(arrays)
        stated = self.spec.settings.batch_size if "batch_size" in self.spec.document.root.pairs else 0
        capacity = max(n, stated * self.accumulate)
        with Whole():
            return self.train_step(arrays, self.rate(self.step), capacity, weights)

    def gradients(self, feeds: Mapping[str, Any], phase: str | None = None) -> dict[str, Array]:
        """d loss / d parameter on one batch, in training mode; nothing is updated."""
        if phase is not None:
            raise SpecError(Problem("phases: not in this version", rule="not-in-this-version"))
        arrays, weights = self.feeds(feeds)
        self.lasts()
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
