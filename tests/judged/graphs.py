"""Generated cases of sparse matrices: lists of entries beside PyTorch's own scattered sums."""

from __future__ import annotations

import numpy as np
import torch

from tests.judged.cases import Case, Params, T, makes


def added(entries: T, x: T) -> T:
    """Each row's entries times its nodes."""
    found = []
    for r in range(len(x)):
        to, of = entries[r, :, 0].long(), entries[r, :, 1].long()
        terms = x[r][of]
        found.append(torch.zeros_like(x[r]).index_add(0, to, terms))
    return torch.stack(found)


@makes("sparse_matmul")
def sparse_matmul(rng: np.random.Generator, kind: str) -> Case:
    nodes, entries, width = (int(n) for n in rng.integers(1, 7, 3))
    return Case(kind, {}, [(entries, 2), (nodes, width)], lambda e, x, p: added(e, x), ids={0: nodes}, roles=("matrix", "x"))


@makes("graph_dense")
def graph_dense(rng: np.random.Generator, kind: str) -> Case:
    nodes, entries, width, units = (int(n) for n in rng.integers(1, 7, 4))
    bias = bool(rng.random() < 0.7)

    def fn(x: T, e: T, p: Params) -> T:
        return added(e, x @ p("kernel", width, units)) + (p("bias", units) if bias else 0)

    return Case(kind, {"units": units, "bias": bias}, [(nodes, width), (entries, 2)], fn, ids={1: nodes}, roles=("x", "graph"))
