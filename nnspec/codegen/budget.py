"""A program that keeps to a budget of memory: what is cheap to make is made twice until the plan fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nnspec.errors import Place, Problem, ResourceError
from nnspec.ir.graph import Call, Graph
from nnspec.ir.program import Program
from nnspec.passes.recompute import WORK, Recomputed, recompute
from nnspec.records import dataclass

SURE = 0.95  # of the bytes that are alive at once, at least, are those of the plan
Plan = Callable[[Graph, str], Program]


@dataclass(frozen=True)
class Budget:
    """The most bytes that a training step may take, and where a spec says so."""

    bytes: int
    place: Place | None = None


class Kept(NamedTuple):
    """The program, the bytes it would take if nothing were made twice, and the calls that are."""

    program: Program
    before: int
    calls: tuple[Call, ...] = ()


def keep_to(budget: Budget | None, graph: Graph, title: str, plan: Plan) -> Kept:
    """The plan of ``graph``, which went through the passes, computing as little again as the budget asks for.

    Raises ResourceError where it does not fit, with the least that can be reached.
    """
    program = plan(graph, title)
    before = program.peak
    if budget is None or before <= budget.bytes:
        return Kept(program, before)
    fixed = before - program.arenas.get(WORK, 0)
    tried: list[tuple[int, Recomputed]] = []
    planned: dict[Recomputed, int] = {}
    for made in recompute(graph, program):
        tried.append((fixed + int(SURE * made.work), made))
        if tried[-1][0] <= budget.bytes:  # else its plan, which takes longer than the graph, cannot fit
            found = plan(made.graph, title)
            if found.peak <= budget.bytes:
                return Kept(found, before, made.calls)
            planned[made] = found.peak
    best = before
    for sure, made in sorted(tried, key=lambda one: one[0]):
        if sure < best:
            best = min(best, planned.get(made) or plan(made.graph, title).peak)
    least = -(-best // 10**4) / 100
    raise ResourceError(Problem(
        f"the {title or 'training step'} does not fit into its budget of memory", budget.place,
        found=f"{best:,} bytes at best, {before:,} where nothing is recomputed", wanted=f"at most {budget.bytes:,} bytes",
        hint=f"memory: {least:g}MB, or a smaller batch_size with accumulate, which takes the same steps in parts", rule="memory"))
