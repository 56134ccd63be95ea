"""Choose the order in which calls run: program order, moved where that lowers the peak of memory.

A call waits for its first reader where waiting keeps nothing alive for it (constants, broadcasts, transposed weights),
and runs at once where it frees more than it makes. Calls that write state come last, after all readers of that state.
The time is that of sorting the calls.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from heapq import heappop, heappush

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import count

UPDATE = "update:"


def schedule(graph: Graph) -> tuple[Call, ...]:
    """All calls of ``graph``, each after those it reads; never a higher ``peak`` than in program order.

    Raises ValueError where a call reads a state and needs its new content too.
    """
    lives = Lives(graph)
    plain = _ordered(lives, dict.fromkeys(graph.calls, 0), hoist=False)
    moved = _ordered(lives, _places(lives), hoist=True)
    return moved if peak(lives, moved) < peak(lives, plain) else plain


class Lives:
    """Whose memory a value is, who reads it, and what is never freed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.root: dict[Value, Value] = {}
        self.readers: dict[Value, list[Call]] = defaultdict(list)  # by root, views left out
        for c in graph.calls:
            for v in c.outputs:
                self.root[v] = self.root[c.inputs[0]] if c.op.view else v
            if not c.op.view:
                for root in dict.fromkeys(self.root[v] for v in c.inputs):
                    self.readers[root].append(c)
        self.kept = {self.root[v] for v in graph.outputs.values()}

    @cached_property
    def writes(self) -> dict[Call, str]:
        """The calls that give states their new content."""
        found = {v.call: name.removeprefix(UPDATE) for name, v in self.graph.outputs.items() if name.startswith(UPDATE)}
        return {c: label for c, label in found.items() if not isinstance(c.op, Input)}

    @cached_property
    def bytes(self) -> dict[Value, int]:
        """How much memory each root takes while it lives; views, constants, inputs and written states take none."""
        return {v: count(v.shape) * v.dtype.size for v, root in self.root.items()
                if v is root and not isinstance(v.op, Input | Constant) and v.call not in self.writes}

    def made(self, c: Call) -> int:
        return sum(self.bytes.get(v, 0) for v in c.outputs)

    def freed(self, c: Call, left: dict[Value, int]) -> int:
        """What nobody needs after ``c``, when ``left`` counts the readers still to come."""
        return sum(self.bytes.get(root, 0) for root in self.reads(c) if left[root] == 1)

    def reads(self, c: Call) -> set[Value]:
        return set() if c.op.view else {self.root[v] for v in c.inputs}

    def left(self) -> dict[Value, int]:
        """How many readers each root has; outputs have one that never comes."""
        return {root: len(self.readers.get(root, ())) + (root in self.kept) for root in set(self.root.values())}


def peak(lives: Lives, order: tuple[Call, ...]) -> int:
    """The most bytes alive at once, leaving out inputs, constants and written states; no result lies in an operand."""
    left, alive, most = lives.left(), 0, 0
    for c in order:
        alive += lives.made(c)
        most = max(most, alive)
        alive -= lives.freed(c, left)
        for root in lives.reads(c):
            left[root] -= 1
        alive -= sum(lives.bytes.get(v, 0) for v in c.outputs if left.get(v) == 0)
    return most


def _places(lives: Lives) -> dict[Call, int]:
    """Where in program order each call should run: its own place, or that of its first reader where waiting is free."""
    places: dict[Call, int] = {}
    wanted: dict[Call, int] = {}  # the first reader's place
    last: dict[Value, int] = {}  # the last reader's place, of each root, as far as it is known
    for i, c in reversed(list(enumerate(lives.graph.calls))):
        target = wanted.get(c, i)
        roots = {lives.root[v] for v in c.inputs}
        places[c] = target if all(last.get(r, -1) >= target or r not in lives.bytes for r in roots) else i
        for v in c.inputs:
            wanted[v.call] = min(wanted.get(v.call, places[c]), places[c])
        for r in roots:
            last[r] = max(last.get(r, -1), places[c])
    return places


def _ordered(lives: Lives, places: dict[Call, int], hoist: bool) -> tuple[Call, ...]:
    """Calls by place and age, each as soon as what it needs is there; with ``hoist``, at once where it frees memory."""
    calls, left = lives.graph.calls, lives.left()
    followers, missing = _edges(lives)
    end, now = len(calls), -1
    queue = [(end if c in lives.writes else places[c], c.serial, c) for c in calls if not missing[c]]
    queue.sort(key=lambda entry: entry[:2])
    order: list[Call] = []
    done: set[Call] = set()

    def ready(c: Call) -> None:
        gains = hoist and c not in lives.writes and lives.freed(c, left) > lives.made(c)
        heappush(queue, (now if gains else end if c in lives.writes else places[c], c.serial, c))

    while queue:
        c = heappop(queue)[2]
        if c in done:
            continue
        done.add(c)
        order.append(c)
        for root in lives.reads(c):
            left[root] -= 1
            if hoist and left[root] == 1 and root in lives.bytes:
                for other in lives.readers[root]:
                    if other not in done and not missing[other]:
                        ready(other)
        for follower in followers[c]:
            missing[follower] -= 1
            if not missing[follower]:
                ready(follower)
    if len(order) < len(calls):
        raise ValueError("a state is read by a call that needs its new content")
    return tuple(order)


def _edges(lives: Lives) -> tuple[dict[Call, list[Call]], dict[Call, int]]:
    """Who must come after each call, and for how many each one waits: for what it reads, and writers for readers."""
    followers: dict[Call, list[Call]] = defaultdict(list)
    missing: dict[Call, int] = {}
    for c in lives.graph.calls:
        before = {v.call for v in c.inputs}
        if c in lives.writes and lives.writes[c] in lives.graph.inputs:
            state = lives.graph.inputs[lives.writes[c]]
            before.update(r for r in lives.readers[state] if r is not c)
        missing[c] = len(before)
        for b in sorted(before, key=lambda b: b.serial):
            followers[b].append(c)
    return followers, missing
