"""Which axes of a shape become which of another with the same elements: ``(8, 5, 5)`` to ``(2, 4, 25)`` is 8 to 2, 4 and 5, 5 to 25."""

from __future__ import annotations

from math import prod
from typing import TypeAlias

Group: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


def regrouped(old: tuple[int, ...], new: tuple[int, ...]) -> list[Group]:
    """Groups of neighbouring axes of equal products, as small as they can be; axes of length 1 are in none."""
    left, right = ([i for i, d in enumerate(s) if d != 1] for s in (old, new))
    groups: list[Group] = []
    while left and right:
        xs, ys = [left.pop(0)], [right.pop(0)]
        while (a := prod(old[i] for i in xs)) != (b := prod(new[i] for i in ys)):
            if a < b:
                xs.append(left.pop(0))
            else:
                ys.append(right.pop(0))
        groups.append((tuple(xs), tuple(ys)))
    return groups


def merged_in_order(perm: tuple[int, ...], shape: tuple[int, ...], groups: list[Group]) -> tuple[int, ...]:
    """``perm`` of all axes, rows first, with those of each group beside one another and in their order; itself where they are."""
    place = {x + 1: group[0] for group in groups for x in group[0]}
    done: list[int] = []
    for a in perm[1:]:
        if a in place and a not in done:
            done += [x + 1 for x in place[a]]
    long = [a for a in perm[1:] if a in place]
    if done == long:
        return perm
    return (perm[0], *(a for a in perm[1:] if a not in place), *done)
