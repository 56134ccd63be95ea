"""Divides rows into parts: pure functions of the seed, the fractions, and the rows' classes, groups or order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.ops.random import counters, philox, stream

Rows = NDArray[np.intp]


def split_rows(
    parts: tuple[tuple[str, float], ...], size: int, seed: int, classes: NDArray[np.int64] | None = None
) -> dict[str, Rows]:
    """The rows of each part, ascending; with ``classes`` (one number a row) each class is divided alone."""
    order = shuffled(seed, "data/split", 0, size)
    groups = np.zeros(size, np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
    order = order[np.argsort(groups[order], kind="stable")]
    counts = np.bincount(groups)
    taken: dict[str, list[Rows]] = {name: [] for name, _ in parts}
    for start, row in zip(np.cumsum(counts) - counts, portions(counts, tuple(f for _, f in parts)), strict=True):
        ends = start + np.cumsum(row)
        for (name, _), end, n in zip(parts, ends, row, strict=True):
            taken[name].append(order[end - n : end])
    return {name: np.sort(np.concatenate(pieces)) for name, pieces in taken.items()}


def ordered_rows(parts: tuple[tuple[str, float], ...], keys: NDArray[Any]) -> dict[str, Rows]:
    """The rows of each part, ascending: the first part has the smallest keys; equal ones go by their number."""
    order = np.argsort(keys, kind="stable")
    ends = np.cumsum(portions(np.array([len(keys)]), tuple(f for _, f in parts))[0])
    return {name: np.sort(piece) for (name, _), piece in zip(parts, np.split(order, ends), strict=False)}


def grouped_rows(
    parts: tuple[tuple[str, float], ...], groups: NDArray[Any], seed: int, classes: NDArray[np.int64] | None = None
) -> dict[str, Rows]:
    """The rows of each part, ascending; rows of equal ``groups`` are in one part, and no part is empty if that can be.

    The largest groups first, of equal ones in an order drawn by the seed, each to the part that lacks most: of rows, or
    with ``classes`` of the group's classes, each relative to its number. Source: Graham, "Bounds on Multiprocessing
    Timing Anomalies", 1969 (longest first).
    """
    number = np.unique(groups, return_inverse=True)[1].reshape(-1)
    strata = np.zeros_like(number) if classes is None else np.unique(classes, return_inverse=True)[1].reshape(-1)
    n, k = int(number.max()) + 1, int(strata.max()) + 1
    table = np.bincount(number * k + strata, minlength=n * k).reshape(n, k).astype(np.float64)
    shares = np.array([f for _, f in parts])
    if (rest := 1.0 - shares.sum()) > 1e-9:
        shares = np.append(shares, rest)
    lacking, relative = np.outer(shares, table.sum(axis=0)), 1.0 / table.sum(axis=0)
    order = shuffled(seed, "data/split", 0, n)
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    chosen = np.zeros(n, np.intp)
    empty = set(range(len(parts)))
    for i, group in enumerate(order.tolist()):
        score = lacking @ (table[group] * relative)
        if n - i <= len(empty):
            score[[part for part in range(len(shares)) if part not in empty]] = -np.inf
        part = int(np.argmax(score))
        chosen[group] = part
        lacking[part] -= table[group]
        empty.discard(part)
    of = chosen[number]
    return {name: np.flatnonzero(of == part) for part, (name, _) in enumerate(parts)}


def rows_of_files(given: tuple[tuple[str, int], ...]) -> dict[str, Rows]:
    """The rows of splits that have files of their own, one after another; those of train, the first, are divided."""
    ends = np.cumsum([n for _, n in given])
    return {name: np.arange(end - n, end) for (name, n), end in zip(given[1:], ends[1:], strict=True)}


def portions(counts: NDArray[np.int64], fractions: tuple[float, ...]) -> NDArray[np.int64]:
    """How many rows of each group go to each part: ``(groups, parts)``.

    By largest remainder; the remainders carry over from group to group, so that every cell and every total is within a
    row of its exact size. What the fractions leave is a part of its own that is cut off at the end.
    """
    rest = max(0.0, 1.0 - sum(fractions))
    shares = np.array([*fractions, rest if rest > 1e-9 else 0.0])
    table = np.zeros((len(counts), len(shares)), np.int64)
    owed = np.zeros(len(shares))
    for row, count in zip(table, counts.tolist(), strict=True):
        exact = count * shares
        row[:] = np.floor(exact + 1e-9)
        owed += exact - row
        left = count - int(row.sum())
        chosen = np.argsort(-np.where(exact - row > 1e-9, owed, -np.inf), kind="stable")[:left]
        row[chosen] += 1
        owed[chosen] -= 1
    return table[:, : len(fractions)]


def shuffled(seed: int, name: str, epoch: int, size: int) -> Rows:
    """The permutation of a named draw: rows sorted by 64 bits of Philox, equal ones by their number."""
    words = philox((seed & 0xFFFFFFFF, stream(name)), counters(size, step=epoch)).astype(np.uint64)
    return np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")
