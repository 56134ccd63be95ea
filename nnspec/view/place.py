"""Where each vertex of ordered rows stands from left to right.

Segments that ought to be straight join their ends into blocks: the pieces of long edges first, then the main way
through a layer, which is the middle one of its readers (after Brandes and Köpf, 2002). Blocks are set side by side as
far apart as they must be, then each moves towards its neighbours as far as it is free.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from nnspec.records import dataclass, field
from nnspec.view.containers import Vertex
from nnspec.view.rank import Segment

_ROUNDS = 24
_THIN_PULL = 0.15  # a passing edge pulls this much where a layer pulls 1


class Wire(NamedTuple):
    """A segment with the distances of its ends from the left sides of its vertices."""

    segment: Segment
    out: float
    into: float


@dataclass
class _Block:
    left: dict[int, float] = field(default_factory=dict)  # block on the left -> least distance
    right: dict[int, float] = field(default_factory=dict)
    pulls: list[tuple[int, float, float]] = field(default_factory=list)  # other block, where it wants this one, how much


def place(
    rows: Sequence[Sequence[Vertex]],
    wires: Sequence[Wire],
    width: Callable[[Vertex], float],
    apart: Callable[[Vertex, Vertex], float],
) -> dict[Vertex, float]:
    """The left side of every vertex; neighbours of a row keep at least ``apart`` between them; the least is 0."""
    straight = _straight(rows, wires)
    blocks, home, offset = _blocks(rows, straight)
    for row in rows:
        for left, right in zip(row, row[1:], strict=False):
            distance = width(left) + apart(left, right) + offset[left] - offset[right]
            a, b = home[left], home[right]
            blocks[a].right[b] = max(blocks[a].right.get(b, distance), distance)
            blocks[b].left[a] = blocks[a].right[b]
    for wire in wires:
        u, v = wire.segment.upper, wire.segment.lower
        if home[u] != home[v]:
            shift = offset[u] + wire.out - offset[v] - wire.into
            weight = _THIN_PULL if u.thin or v.thin else 1.0
            blocks[home[v]].pulls.append((home[u], shift, weight))
            blocks[home[u]].pulls.append((home[v], -shift, weight))
    x = _settle(blocks)
    places = {vertex: x[home[vertex]] + offset[vertex] for row in rows for vertex in row}
    least = min(places.values(), default=0.0)
    return {vertex: at - least for vertex, at in places.items()}


def main_way(ends: Sequence[Vertex]) -> int | None:
    """Which of the vertices on one side, in their order, the main way goes to: the middle one, if there is one."""
    thick = [index for index, vertex in enumerate(ends) if not vertex.thin]
    return thick[len(thick) // 2] if len(thick) % 2 else None


def _straight(rows: Sequence[Sequence[Vertex]], wires: Sequence[Wire]) -> list[Wire]:
    position = {vertex: index for row in rows for index, vertex in enumerate(row)}
    up, down = defaultdict(list), defaultdict(list)
    for wire in wires:
        down[wire.segment.upper].append(wire)
        up[wire.segment.lower].append(wire)
    for side in down.values():
        side.sort(key=lambda w: (position[w.segment.lower], w.into))
    for side in up.values():
        side.sort(key=lambda w: (position[w.segment.upper], w.out))
    row_of = {vertex: index for index, row in enumerate(rows) for vertex in row}

    def wish(wire: Wire) -> int | None:
        u, v = wire.segment.upper, wire.segment.lower
        if u.thin and v.thin:
            return 0
        lower, upper = [w.segment.lower for w in down[u]], [w.segment.upper for w in up[v]]
        if u.thin or v.thin:
            alone = all(w.thin for w in lower) if v.thin else all(w.thin for w in upper)
            return 2 if alone else None
        middle = main_way(lower), main_way(upper)
        if middle[0] is None or middle[1] is None:
            return None
        return 1 if down[u][middle[0]] is wire and up[v][middle[1]] is wire else None

    wishes = sorted((w, index) for index, wire in enumerate(wires) if (w := wish(wire)) is not None)
    taken_down, taken_up, accepted = set(), set(), []
    kept: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for _, index in wishes:
        wire = wires[index]
        u, v = wire.segment.upper, wire.segment.lower
        if u in taken_down or v in taken_up:
            continue
        pair, near = (position[u], position[v]), kept[row_of[u]]
        at = bisect_left(near, pair)
        if (at and near[at - 1][1] > pair[1]) or (at < len(near) and near[at][1] < pair[1]):
            continue
        insort(near, pair)
        taken_down.add(u)
        taken_up.add(v)
        accepted.append(wire)
    return accepted


def _blocks(rows: Sequence[Sequence[Vertex]], straight: Sequence[Wire]) -> tuple[list[_Block], dict[Vertex, int], dict[Vertex, float]]:
    above = {wire.segment.lower: wire for wire in straight}
    blocks: list[_Block] = []
    home: dict[Vertex, int] = {}
    offset: dict[Vertex, float] = {}
    for row in rows:
        for vertex in row:
            wire = above.get(vertex)
            if wire is None:
                home[vertex], offset[vertex] = len(blocks), 0.0
                blocks.append(_Block())
            else:
                upper = wire.segment.upper
                home[vertex], offset[vertex] = home[upper], offset[upper] + wire.out - wire.into
    return blocks, home, offset


def _settle(blocks: Sequence[_Block]) -> list[float]:
    order = _left_to_right(blocks)
    x = [0.0] * len(blocks)
    for block in order:
        x[block] = max((x[other] + far for other, far in blocks[block].left.items()), default=0.0)
    widest = max(x, default=0.0)
    ends = [widest] * len(blocks)
    for block in reversed(order):
        ends[block] = min((ends[other] - far for other, far in blocks[block].right.items()), default=widest)
    x = [(left + right) / 2 for left, right in zip(x, ends, strict=True)]
    for turn in range(_ROUNDS):
        for block in order if turn % 2 else reversed(order):
            pulls = blocks[block].pulls
            if not pulls:
                continue
            goal = sum((x[other] + shift) * weight for other, shift, weight in pulls) / sum(pull[2] for pull in pulls)
            least = max((x[other] + far for other, far in blocks[block].left.items()), default=-inf)
            most = min((x[other] - far for other, far in blocks[block].right.items()), default=inf)
            x[block] = max(least, min(goal, most))
    return x


def _left_to_right(blocks: Sequence[_Block]) -> list[int]:
    waiting = [len(block.left) for block in blocks]
    ready = [index for index, block in enumerate(blocks) if not block.left]
    for index in ready:
        for other in blocks[index].right:
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    return ready
