"""The programs of a model: made when shapes are first met, kept, filled with a batch, and told what went wrong."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import wraps
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

import numpy as np

from nnspec.codegen.backend import Executable, results
from nnspec.codegen.standing import Parted, folded
from nnspec.compiler import compile_graph, kept_program
from nnspec.errors import Problem
from nnspec.ir.graph import Graph
from nnspec.ir.op import Array
from nnspec.ir.program import Program
from nnspec.ir.types import DType, TensorType
from nnspec.network.class_weights import balancing
from nnspec.network.observing import observing
from nnspec.network.phases import Phase
from nnspec.network.scalars import RATE, SEED, STEP, WEIGHT, loss_weight, updates
from nnspec.records import dataclass
from nnspec.runtime.feeds import Ends, Indexing, check_limits, check_ranges, ends, limits
from nnspec.runtime.following import Following
from nnspec.runtime.interpreter import HostMemory, Interpreted
from nnspec.runtime.memory import refuse
from nnspec.runtime.replay import blame as first_wrong
from nnspec.training.reach import GRADIENT

if TYPE_CHECKING:
    from nnspec.runtime.session import Model

MOST = 16
Method = TypeVar("Method", bound=Callable[..., Any])
COMPARING = ("train", "gather", "score", "gradients", "slopes")  # what is fed targets
ASKED = ("predict", "activations", "values")  # what knows of no loss
BUDGETED = ("train", "gather")  # what the spec's `memory` bounds
ANSWERING = ("predict", "score")  # what leaves the weights as they are


@dataclass(frozen=True)
class Ready:
    """A program that can run, with what its inputs must keep to: ``program`` of ``main``, which is ``graph`` without what weights alone decide."""

    run: Executable | Interpreted
    graph: Graph
    main: Graph
    program: Program | None
    limits: Mapping[Indexing, int]
    ends: tuple[Ends, ...] = ()  # of the targets that it is fed


def alone(method: Method) -> Method:
    """A model's method that one thread at a time is in: from filling a program's memory to reading it, nobody else may write there."""

    @wraps(method)
    def run(model: Model, *args: Any, **kwargs: Any) -> Any:
        with model.programs.lock:
            return method(model, *args, **kwargs)

    return cast(Method, run)


class Programs:
    """What a model runs, by kind and shapes; at most 16 are kept."""

    def __init__(self, model: Model) -> None:
        self.model, self.lock = model, RLock()
        self.tuned = 0, 0  # how many calls with several ways a tune file knew, and how many there were
        _ALL.add(self)
        self._kept: OrderedDict[tuple[Any, ...], Ready] = OrderedDict()
        self._made: dict[frozenset[str], int] = {}  # when what follows from weights was made, counted in writes of states

    def __getstate__(self) -> Model:
        """A copy of a model makes its own programs: those here know addresses of this one's memory."""
        return self.model

    def __setstate__(self, model: Model) -> None:
        Programs.__init__(self, model)

    def phase(self, stretch: int = 0) -> Phase:
        """What the graphs depend on but for shapes; the training step on the stretch of the schedule as well."""
        model, scales = self.model, {}
        if model.preparation is not None:
            for t in model.targets:
                if t.columns:
                    unit = model.preparation.scale(t.columns if len(t.columns) > 1 else t.columns[0])
                    scales[t.feed] = tuple(float(v) for v in np.atleast_1d(unit))
        optimizer = model.spec.document.optimizer
        return Phase(model.spec.built, model.segments, optimizer, scales, model.balance or {}, stretch, model.base(stretch), model.sound)

    def declared(self, kind: str) -> dict[str, TensorType]:
        """The types of what a kind of program is fed."""
        types = dict(self.model.spec.built.network.inputs)
        if kind in COMPARING:
            types.update({t.feed: t.type for t in self.model.targets if t.type is not None})
        return types

    def _title(self, kind: str, rows: int) -> str:
        if kind == "take":
            return f"update of {self.model.spec.name}, {self.model.segments.dtype}"
        what = {"train": "training step", "gather": "micro-batch", "weigh": "weights of classes",
                "score": "evaluation", "predict": "prediction", "gradients": "gradients",
                "activations": "a look at the layers", "slopes": "a look at the gradients",
                "values": "what the layers make", "rows": "answers and losses"}
        return f"{what[kind]} of {self.model.spec.name}, batch {rows}, {self.model.segments.dtype}"

    def graph(self, kind: str, types: Mapping[str, TensorType], weighted: bool, stretch: int) -> Graph:
        """The graph of ops behind a kind of program, before any pass."""
        phase = self.phase(stretch)
        build: dict[str, Callable[[], Graph]] = {
            "train": lambda: phase.training(types, weighted),
            "gather": lambda: phase.gathering(types, weighted),
            "weigh": lambda: phase.weighing(types, weighted),
            "take": lambda: phase.taking(),
            "score": lambda: phase.evaluation(types, weighted),
            "gradients": lambda: phase.derivative(types, weighted),
            "predict": lambda: phase.prediction(types),
            "activations": lambda: observing(phase).activations(types),
            "slopes": lambda: observing(phase).slopes(types, weighted),
            "rows": lambda: observing(phase).rows(types),
            "values": lambda: observing(phase).values(types),
        }
        return build[kind]()

    def ready(self, kind: str, arrays: Mapping[str, Array], rows: int, weighted: bool, stretch: int = 0) -> Ready:
        """The program for arrays of these shapes."""
        shapes = tuple([(name, a.shape[1:], a.dtype) for name, a in arrays.items()])
        key = (kind, weighted, stretch, rows, shapes, self.model.preparation, self.model.sound, *(self.model.balance or {}).items())
        ready = self._kept.get(key)
        if ready is not None:
            self._kept.move_to_end(key)
            return ready
        if kind not in ASKED and self.model.balance is None and balancing(self.model.spec.built):
            from nnspec.runtime.loading import weights_of_classes

            self.model.balance = weights_of_classes(self.model)
            return self.ready(kind, arrays, rows, weighted, stretch)
        types = {name: TensorType((rows, *a.shape[1:]), DType(a.dtype.name)) for name, a in arrays.items()}
        ready = self._kept[key] = self._make(kind, types, rows, weighted, stretch)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return ready

    def _make(self, kind: str, types: Mapping[str, TensorType], rows: int, weighted: bool, stretch: int) -> Ready:
        graph = self.graph(kind, types, weighted, stretch)
        bounds = ends(types, self.model.spec.built.losses) if kind in COMPARING else ()
        if isinstance(self.model.memory, HostMemory):
            return Ready(Interpreted(graph, self.model.memory), graph, graph, None, limits(graph), bounds)
        strict = self.model.spec.settings.strict
        budget = self.model.spec.budget if kind in BUDGETED else None
        parted = folded(graph) if kind in ANSWERING and not strict else Parted(None, graph)
        program = kept_program(parted.rest, self.model.backend, self._title(kind, rows), strict, budget, self.model.tuning)

        if self.model.tuning is not None:
            known, there = self.model.tuning.knows(program, self.model.backend)
            self.tuned = self.tuned[0] + known, self.tuned[1] + there

        def plan(n: int) -> Program:
            other = {name: TensorType((n, *t.shape[1:]), t.dtype) for name, t in types.items()}
            return compile_graph(self.graph(kind, other, weighted, stretch), self.model.backend, "", strict)

        refuse(program, rows, plan if types else None, self.model.backend.room())
        return Ready(self._bound(program, parted), graph, parted.rest, program, limits(graph), bounds)

    def _bound(self, program: Program, parted: Parted) -> Executable:
        """The program over the model's memory, behind what makes its part of the weights."""
        model = self.model
        assert not isinstance(model.memory, HostMemory)
        if parted.first is None:
            return model.backend.bind(program, model.memory)
        first = kept_program(parted.first, model.backend, f"what follows from the weights of {model.spec.name}", model.spec.settings.strict)
        model.memory.hold(parted.made)
        return Following(model.backend.bind(first, model.memory), model.backend.bind(program, model.memory), model.memory, self._made)

    def fill(self, ready: Ready, arrays: Mapping[str, Array], n: int, capacity: int, weights: Array | None) -> None:
        """Writes a batch into a program's inputs; rows that are missing repeat the first at weight 0."""
        check_limits(arrays, ready.limits)
        check_ranges(arrays, ready.ends)
        for name, held in ready.run.inputs.items():
            given = arrays.get(name)
            if given is None:
                continue
            if n < capacity:
                held[:n], held[n:] = given, given[0]
            else:
                held[...] = given
        if WEIGHT in ready.run.inputs:
            held = ready.run.inputs[WEIGHT]
            held[:n] = 1 if weights is None else weights
            held[n:] = 0

    def set(self, ready: Ready, rate: float, step: int, factors: tuple[float, ...] = ()) -> None:
        """The step's scalars; what is asked in pieces draws by the number of the piece."""
        inputs = ready.run.inputs
        values: dict[str, float] = {RATE: rate, STEP: step, SEED: self.model.seed}
        if self.model.segments.counted:
            values |= {updates(s): n for s, n in self.model.updates.items()}
        for n, f in enumerate(factors):
            values[loss_weight(n)] = f
        for name, value in values.items():
            if name in inputs:
                inputs[name][...] = value

    def wrong(self, ready: Ready, inputs: Mapping[str, Array] | None = None) -> str:
        """The first layer of the step that went wrong, by replaying it op by op: the last one, or that of ``inputs``. Nothing where none did."""
        states = {name: self.model.memory.read(name) for name in self.model.memory.types}
        given = results(ready.run).inputs if inputs is None else inputs
        return first_wrong(ready.graph, {**states, **{k: np.array(v) for k, v in given.items()}})

    def refused(self, wrong: str) -> Problem:
        """The error for a step that was not taken."""
        edge = 2.0 ** GRADIENT[self.model.segments.dtype]
        return Problem(
            f"step {self.model.step + 1} would make the weights NaN or infinite; it was not taken"
            if wrong else f"step {self.model.step + 1} was not taken: its numbers are at the edge of their range",
            found=wrong or f"a gradient of {edge:.2g} or more, or a sum that overflows in one order of adding and not in another",
            wanted="finite numbers",
            hint="a smaller learning_rate, clip_norm, or prepared inputs",
            rule="numbers",
        )


_ALL: WeakSet[Programs] = WeakSet()


def _unlock() -> None:
    """In a process that was forked there is the caller's thread alone: what another was in, nobody will leave."""
    for programs in list(_ALL):
        programs.lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
