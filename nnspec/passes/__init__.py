"""Functions from a graph to a better graph of the same numbers; their order is one tuple."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import TypeAlias

from nnspec.ir.graph import Graph
from nnspec.ir.verify import verify as check
from nnspec.passes.drop_dead import drop_dead
from nnspec.passes.expand import Claims, expand, never
from nnspec.passes.fold_constants import fold_constants
from nnspec.passes.fuse_linear import fuse_linear
from nnspec.passes.fuse_loops import fuse_loops
from nnspec.passes.levels import Loops
from nnspec.passes.merge_equal import merge_equal
from nnspec.passes.narrow import narrow
from nnspec.passes.pool_first import pool_first
from nnspec.passes.simplify import simplify

__all__ = ["PIPELINE", "Loops", "Pass", "never", "pipeline", "run_pipeline"]

Pass: TypeAlias = Callable[[Graph], Graph]

PIPELINE: tuple[Pass, ...] = (
    pool_first,
    expand,
    fold_constants,
    merge_equal,
    simplify,
    fold_constants,
    merge_equal,
    simplify,
    fuse_linear,
    drop_dead,
    fuse_loops,
)


def run_pipeline(graph: Graph, claims: Claims = never, loops: Loops | None = None, verify: bool = False) -> Graph:
    """``graph`` after every pass in order; composites that ``claims`` accepts stay whole, ``loops`` says what is fused.

    With ``verify``, the graph is checked before, between and after (AssertionError).
    """
    for step in pipeline(claims, loops):
        if verify:
            check(graph)
        graph = step(graph)
    if verify:
        check(graph)
    return graph


def pipeline(claims: Claims = never, loops: Loops | None = None) -> Iterator[Pass]:
    """The passes for a backend, in order. Where loops are fused, a bias belongs to what follows it, not to the product."""
    for step in PIPELINE:
        if step is expand:
            yield wraps(expand)(partial(expand, claims=claims))
        elif step is fuse_loops:
            if (multiplies := getattr(loops, "multiplies", None)) is not None:
                yield wraps(narrow)(partial(narrow, multiplies=multiplies))
            yield wraps(fuse_loops)(partial(fuse_loops, loops=loops))
        elif step is not fuse_linear or loops is None:
            yield step
