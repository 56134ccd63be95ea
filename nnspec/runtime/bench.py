"""How long a step of a model takes, and how much of it each layer and each step of the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from math import prod
from statistics import median
from time import perf_counter
from typing import Any, Literal

import numpy as np

from nnspec.errors import Problem, ResourceError
from nnspec.ir.op import Array
from nnspec.ir.program import KEPT, STATE, Program, Step
from nnspec.ir.program import Array as Place
from nnspec.ir.types import known
from nnspec.network.phases import bound
from nnspec.network.scalars import KEEP, SHARE
from nnspec.records import dataclass
from nnspec.runtime import memory
from nnspec.runtime.answers import CHUNK
from nnspec.runtime.feeds import limits
from nnspec.runtime.following import Following
from nnspec.runtime.loading import dataset, epochs
from nnspec.runtime.programs import Ready
from nnspec.runtime.session import Model

Kind = Literal["train", "infer", "score"]
CLOCKED = 5  # runs under the clock, at least
WARM = 2


@dataclass(frozen=True)
class Cost:
    """A step of the plan. ``bytes``: every operand and result once. ``way``: how it is computed and why, where there are several ways."""

    name: str
    op: str
    layer: str
    stage: str
    seconds: float
    flops: int
    bytes: int
    way: str = ""


@dataclass(frozen=True)
class Timing:
    """What was measured of a training step, or of an answer to as many rows. ``first`` has compilation in it."""

    kind: Kind
    rows: int
    seconds: float  # the median of a step
    least: float
    first: float
    costs: tuple[Cost, ...]
    memory: Mapping[str, int]  # bytes: parameters, other state, kernels that are kept, work, and all of the program together

    @property
    def flops(self) -> int:
        return sum(c.flops for c in self.costs)

    @property
    def bytes(self) -> int:
        return sum(c.bytes for c in self.costs)

    def layers(self) -> dict[str, list[Cost]]:
        """The costs of each layer, the slowest first; what belongs to none goes by its stage, as ``(update)``."""
        found: dict[str, list[Cost]] = {}
        for c in self.costs:
            found.setdefault(c.layer or f"({c.stage})", []).append(c)
        return dict(sorted(found.items(), key=lambda item: -sum(c.seconds for c in item[1])))


def rows(model: Model, sizes: Mapping[str, int]) -> dict[str, Array]:
    """The first batch of the spec's own data; without data numbers drawn from the seed, for inputs and targets."""
    size = model.spec.settings.batch_size * model.accumulate
    if model.spec.document.data is not None:
        made = epochs(model, dataset(model))
        if made is not None:
            with closing(made.batches(0)) as batches:
                return dict(next(iter(batches)).arrays)
    kind = "train" if model.spec.document.optimizer and model.spec.built.losses else "predict"
    types = bound(model.programs.declared(kind), size, sizes)
    most = limits(model.graph_of(kind, size // model.accumulate, sizes))
    rng = np.random.default_rng(model.seed)
    if (need := memory.size(types)) > memory.available() * memory.SPARE:
        found = f"{memory.show(need)} needed, {memory.show(memory.available())} available"
        raise ResourceError(Problem("the rows alone do not fit into memory", found=found, hint="a smaller --batch", rule="memory"))

    def drawn(name: str) -> Array:
        shape, dtype = known(types[name].shape), types[name].dtype
        if not dtype.is_float:
            return rng.integers(0, most.get(name, 2), shape, dtype.numpy)
        own: Any = dtype.numpy  # single or double
        array = rng.standard_normal(shape, own) if name in model.spec.built.network.inputs else rng.random(shape, own)
        for column in range(shape[-1] if shape else 0):
            if (name, column) in most:  # numbers of rows or columns in a list of entries
                array[..., column] = rng.integers(0, most[name, column], shape[:-1])
        return array

    return {name: drawn(name) for name in types}


def measure(model: Model, kind: Kind, arrays: Mapping[str, Array], repeats: int, seconds: float) -> Timing:
    """A training step (its rate is 0, so that nothing runs away), or an answer; the median of ``repeats`` turns of about ``seconds``."""
    n = len(next(iter(arrays.values())))
    inputs = {name: a for name, a in arrays.items() if name in model.spec.built.network.inputs}
    capacity = -(-n // model.accumulate) * model.accumulate

    def run() -> object:
        return model.train_step(arrays, 0.0, capacity) if kind == "train" else model.predict(inputs, raw=True)

    first = _timed(run, 1)
    turns = _turns(run, repeats, seconds)
    parts = list(filled(model, kind, arrays if kind == "train" else inputs, n))
    costs = tuple(c for ready, times in parts for c in _costs(model, ready, times, repeats))
    return Timing(kind, n, median(turns), min(turns), first, costs, _memory(model, [ready.program for ready, _ in parts]))


def _timed(run: Callable[[], object], times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        run()
    return (perf_counter() - start) / times


def _turns(run: Callable[[], object], repeats: int, seconds: float) -> list[float]:
    for _ in range(WARM):
        once = _timed(run, 1)
    return [_timed(run, max(1, int(seconds / once))) for _ in range(repeats)]


def filled(model: Model, kind: Kind, arrays: Mapping[str, Array], n: int) -> Iterator[tuple[Ready, int]]:
    """The programs of a step, filled, and how often each runs in it."""
    programs, times = model.programs, model.accumulate if kind == "train" else 1
    size = -(-n // times)
    name = "train" if times == 1 else "gather"
    if kind != "train":
        name, times, size = "predict" if kind == "infer" else "score", -(-n // CHUNK), min(n, CHUNK)
    part = {name: a[:size] for name, a in arrays.items()}
    ready = programs.ready(name, part, size, False)
    programs.fill(ready, part, size, size, None)
    programs.set(ready, 0.0, model.step, model.factors(model.step))
    for scalar, value in ((SHARE, 1.0 / times), (KEEP, 0.0)):
        if scalar in ready.run.inputs:
            ready.run.inputs[scalar][...] = value
    yield ready, times
    if name == "gather":
        take = programs.ready("take", {}, 1, False)
        programs.set(take, 0.0, model.step)
        yield take, 1


def _costs(model: Model, ready: Ready, times: int, repeats: int) -> Iterator[Cost]:
    """The steps of a program, each with the median of its time over several runs under the clock."""
    program = ready.program
    assert program is not None and not model.interpreted
    seconds = np.zeros(len(program.steps))
    clocked: Any = model.backend.bind(program, model.memory, seconds)  # type: ignore[arg-type]  # the backend's own memory
    for name, held in ready.run.inputs.items():
        clocked.inputs[name][...] = held
    if isinstance(ready.run, Following):
        ready.run.renew()
    runs = []
    for _ in range(WARM + max(CLOCKED, repeats)):
        clocked.run()
        runs.append(seconds.copy())
    for step, each in zip(program.steps, np.median(runs[WARM:], axis=0), strict=True):
        yield cost(step, float(each), times, model.backend.choice(step))


def cost(step: Step, seconds: float, times: int, way: str) -> Cost:
    """What a step of a plan took that runs so many times, and had to do."""
    op, origin = step.call.op, step.call.origin
    moved = sum(_touched(a) for a in (*step.inputs, *step.outputs))
    flops = op.flops(*(v.type for v in step.call.inputs))
    return Cost(step.outputs[0].name, op.name, origin.layer, origin.stage, times * seconds, times * flops, times * moved, way)


def _touched(a: Place) -> int:
    """Bytes of an array's own elements: what is seen repeatedly counts once, literals not at all."""
    if a.literal:
        return 0
    return prod(n for n, stride in zip(a.shape, a.strides, strict=True) if stride) * a.type.dtype.size


def _memory(model: Model, programs: list[Program | None]) -> dict[str, int]:
    arenas = [p.arenas for p in programs if p is not None]
    parameters = sum(prod(p.shape) * p.dtype.itemsize for p in model.parameters.values())
    held = {name: size for each in arenas for name, size in each.items() if name.startswith(STATE)}
    kept = {name: size for each in arenas for name, size in each.items() if name.startswith(KEPT)}
    own = [sum(size for name, size in each.items() if not name.startswith((STATE, KEPT))) for each in arenas]
    state, made = sum(held.values()), sum(kept.values())
    amounts = {"parameters": parameters, "other state": max(0, state - parameters), "kept kernels": made, "work": sum(own)}
    return {**{name: size for name, size in amounts.items() if size or name != "kept kernels"}, "all": state + made + sum(own)}
