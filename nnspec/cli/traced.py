"""A spec's graphs and plans without a model: no parameter is allocated for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from nnspec.errors import Problem, SpecError

if TYPE_CHECKING:
    from nnspec.codegen.backend import Backend
    from nnspec.codegen.budget import Kept
    from nnspec.codegen.tuning import Tuning
    from nnspec.compiler import Spec
    from nnspec.ir.graph import Graph
    from nnspec.ir.program import Program

Stage = tuple[str, "Graph"]


def trains(spec: Spec) -> bool:
    """Whether the spec says what is made small, and how."""
    return bool(spec.built.losses) and spec.document.optimizer is not None


def open_axes(spec: Spec) -> list[str]:
    """The named axes of the network's inputs, whose lengths a plan has to know."""
    from nnspec.ir.types import Symbol

    return sorted({str(d) for t in spec.inputs.values() for d in t.shape if isinstance(d, Symbol)})


def trace(spec: Spec, rows: int, sizes: Mapping[str, int], predict: bool = False) -> Graph:
    """The graph of the training step, or of prediction where that is asked for or nothing is trained, before any pass."""
    from nnspec.network.phases import Phase, bound
    from nnspec.network.segments import arrange

    if missing := [name for name in open_axes(spec) if name not in sizes]:
        raise SpecError(Problem(f"the axis '{missing[0]}' has no length here", hint=f"--axis {missing[0]}=64"))
    optimizer = spec.document.optimizer
    segments = arrange(spec.built.network, optimizer, spec.settings.dtype, spec.built.frozen, spec.settings.half)
    phase = Phase(spec.built, segments, optimizer, {})
    types = dict(spec.built.network.inputs)
    if predict or not trains(spec):
        return phase.prediction(bound(types, rows, sizes))
    types |= {t.feed: t.type for t in spec.built.targets if t.type is not None}
    step = phase.gathering if segments.gathers else phase.training
    return step(bound(types, rows, sizes), spec.document.data is not None and spec.document.data.weighted)


def passed(graph: Graph, backend: Backend, strict: bool = False, tuning: Tuning | None = None) -> Iterator[Stage]:
    """The graph before, and after each pass by its name, the ways of a tune file last. Of an answer, what weights alone decide is taken out."""
    from nnspec.codegen.standing import folded
    from nnspec.passes import pipeline
    from nnspec.passes.bound_tiles import bound_tiles
    from nnspec.passes.keep_kernels import keep_kernels

    yield "", graph
    if not strict and not _writes(graph):
        graph = folded(graph).rest
        yield "folded", graph
    graph = keep_kernels(bound_tiles(graph, strict))
    for step in pipeline(partial(backend.claims, strict=strict), backend.loops(strict)):
        graph = step(graph)
        yield step.__name__, graph
    if tuning is not None:
        yield "take_ways", tuning.applied(graph, backend)


def planned(spec: Spec, stages: list[Stage], backend: Backend) -> Program:
    """The program of the last stage, whatever budget the spec has."""
    return backend.plan(stages[-1][1], _title(spec, stages))


def kept(spec: Spec, stages: list[Stage], backend: Backend) -> Kept:
    """The program of the last stage as a run has it: within the budget of a training step."""
    from nnspec.codegen.budget import keep_to

    budget = spec.budget if _writes(stages[0][1]) else None
    return keep_to(budget, stages[-1][1], _title(spec, stages), backend.plan)


def _writes(graph: Graph) -> bool:
    """Whether running it changes weights, or what is gathered for them."""
    from nnspec.passes.schedule import UPDATE

    return any(name.startswith(UPDATE) for name in graph.outputs)


def _title(spec: Spec, stages: list[Stage]) -> str:
    return f"{'training step' if _writes(stages[0][1]) else 'prediction'} of {spec.name}"
