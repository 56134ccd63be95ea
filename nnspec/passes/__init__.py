"""Functions from a graph to a better graph of the same numbers; their order is one tuple."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from nnspec.ir.graph import Graph
from nnspec.ir.verify import verify as check
from nnspec.passes.drop_dead import drop_dead
from nnspec.passes.expand import Claims, expand, never
from nnspec.passes.fold_constants import fold_constants
from nnspec.passes.fuse_linear import fuse_linear
from nnspec.passes.merge_equal import merge_equal
from nnspec.passes.simplify import simplify

__all__ = ["PIPELINE", "Pass", "never", "run_pipeline"]

Pass: TypeAlias = Callable[[Graph], Graph]

PIPELINE: tuple[Pass, ...] = (
    expand,
    fold_constants,
    merge_equal,
    simplify,
    fold_constants,
    merge_equal,
    simplify,
    fuse_linear,
    drop_dead,
)


def run_pipeline(graph: Graph, claims: Claims = never, verify: bool = False) -> Graph:
    """``graph`` after every pass in order; composites that ``claims`` accepts stay whole.

    With ``verify``, the graph is checked before, between and after (AssertionError).
    """
    for step in PIPELINE:
        if verify:
            check(graph)
        graph = expand(graph, claims) if step is expand else step(graph)
    if verify:
        check(graph)
    return graph
