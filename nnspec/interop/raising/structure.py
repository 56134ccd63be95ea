"""A graph of layers as lists within one another: what lies between a fork and its merge becomes ``residual`` or ``branches``.

A layer through which every path goes ends a stretch. What stands between two such layers is one layer, or paths side by side that the second
merges, each a list of its own; where it is neither, the layers stand one behind the other and name what they read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nnspec.interop.raising.draft import SOURCES, Draft, Entry, Source
from nnspec.interop.raising.tree import Branches, Item, Layer, layers
from nnspec.layers.layer import Entry as Declared

MERGES = ("add", "multiply", "concat", "average", "maximum")
DEEPEST = 40  # lists within one another


class Names:
    """Names for what is read by name; those of the model where it has good ones."""

    def __init__(self, draft: Draft) -> None:
        self.taken = {e.name for e in draft.inputs}
        self.given: dict[Entry, str] = {e: e.name for e in draft.inputs}
        self.kept: dict[Entry, str] = {}
        heads = Counter(e.name.rstrip("0123456789") for e in draft.entries if e.name)
        for e in draft.entries:
            if heads[e.name.rstrip("0123456789")] * 3 > len(draft.entries):
                continue  # they are numbered
            if e.name and e.name not in self.taken and not numbered(e.name):
                self.taken.add(e.name)
                self.kept[e] = e.name

    def of(self, source: Source) -> str:
        """The name by which an output is read."""
        e = source.entry
        if e not in self.given:
            self.given[e] = self.kept[e] if e in self.kept else self.fresh(e.kind)
        return f"{self.given[e]}.{source.output}" if source.output else self.given[e]

    def fresh(self, kind: str) -> str:
        """A name that is no default name, which would be ``kind_1``."""
        n = 1
        while f"{kind}-{n}" in self.taken:
            n += 1
        self.taken.add(f"{kind}-{n}")
        return f"{kind}-{n}"


def numbered(name: str) -> bool:
    """Whether a name is of the form of default names: an operator or a layer, and a number."""
    head, _, tail = name.rpartition("_")
    return tail.isdigit() or head in Declared.registry or name in Declared.registry


def structured(draft: Draft) -> tuple[list[Item], list[str]]:
    """The whole network as items, and the names of its outputs where it has several."""
    names = Names(draft)
    body = [e for e in draft.entries if e.kind not in SOURCES]
    entry = draft.inputs[0].main if len(draft.inputs) == 1 else None
    walk = _Walk(draft, names)
    items = walk.stretch(body, entry, {s.entry for s in draft.outputs.values()}, 0)
    outputs = [names.of(s) for s in draft.outputs.values()] if len(draft.outputs) > 1 else []
    for e, name in (names.kept | names.given).items():
        if e in walk.nodes:
            walk.nodes[e].name = name
    return items, outputs


class _Walk:
    def __init__(self, draft: Draft, names: Names) -> None:
        self.names = names
        self.called_x = any(e.name == "x" for e in draft.inputs)  # a formula's own word for what stands above it
        self.done: set[Entry] = set()
        self.nodes: dict[Entry, Layer | Branches] = {}

    def stretch(self, body: list[Entry], start: Source | None, ends: set[Entry], depth: int) -> list[Item]:
        """The list behind ``start``; ``ends`` have to stay in sight."""
        items: list[Item] = []
        place = {e: i for i, e in enumerate(body)}
        last = dict(place)  # up to where each is read
        reach = -1  # up to where somebody reads over the heads of those between
        for i, e in enumerate(body):
            for s in e.inputs:
                if s.entry in place:
                    last[s.entry] = i
                elif start is not None and s.entry is start.entry:
                    reach = i
        first, current = 0, start
        for i, e in enumerate(body):
            if reach <= i:
                self.segment(items, body[first : i + 1], current, ends, depth)
                current, first = e.main, i + 1
            reach = max(reach, last[e])
        return items

    def segment(self, items: list[Item], part: list[Entry], start: Source | None, ends: set[Entry], depth: int) -> None:
        """What lies behind one layer up to and with the next through which all paths go."""
        *between, end = part
        moving = [s for s in end.inputs if s.entry.kind not in SOURCES]
        paths = self.parted(between, end, moving, start) if between and start is not None and depth < DEEPEST else None
        if paths is None or ends & set(between):
            self.flat(items, part, start)
            return
        lists = [self.stretch(p, start, set(), depth + 1) for p in paths]
        if end.kind == "add" and len(lists) == 2:
            order = sorted(range(2), key=lambda i: -sum(1 for _ in layers(lists[i])))
            lists, end.inputs = [lists[i] for i in order], [end.inputs[i] for i in order]
            node = Branches("residual", lists)
        else:
            node = Branches("branches", lists, end.kind)
        self.nodes[end] = node
        items.append(node)

    def parted(self, between: list[Entry], end: Entry, moving: list[Source], start: Source | None) -> list[list[Entry]] | None:
        """The paths to a merge, where they have nothing in common but the fork."""
        if end.kind not in MERGES or len(moving) != len(end.inputs) or len(moving) < 2 or end.fields or end.weights:
            return None
        if any(s.output for s in moving) or (start is not None and start.output):
            return None
        inside, seen = set(between), set[Entry]()
        paths: list[list[Entry]] = []
        for s in moving:
            if start is not None and s == start:
                paths.append([])
                continue
            if s.entry not in inside:
                return None
            mine: set[Entry] = set()
            stack = [s.entry]
            while stack:
                e = stack.pop()
                if e in inside and e not in mine:
                    mine.add(e)
                    stack += [v.entry for v in e.inputs]
            if mine & seen:
                return None
            seen |= mine
            paths.append([e for e in between if e in mine])
        return paths if seen == inside and sum(not p for p in paths) <= 1 else None

    def flat(self, items: list[Item], part: Iterable[Entry], start: Source | None) -> None:
        """Layers one behind the other that name what they read where it is not what stands above."""
        above = start
        for e in part:
            sources = [s for s in e.inputs if s.entry.kind in SOURCES]
            fresh = [s for s in sources if s.entry not in self.done]
            reads: tuple[str, ...] = ()
            unclear = e.kind == "math" and self.called_x and above is not None and above.entry.name != "x"
            if not (len(e.inputs) == 1 and e.inputs[0] == above and not fresh) or unclear:
                reads = tuple(self.names.of(s) for s in e.inputs)
            for s in fresh:
                self.done.add(s.entry)
                items.append(self.layer(s.entry, ()))
            items.append(self.layer(e, reads))
            above = e.main

    def layer(self, e: Entry, reads: tuple[str, ...]) -> Layer:
        node = Layer(e.kind, dict(e.fields), e, reads=reads)
        self.nodes[e] = node
        return node
