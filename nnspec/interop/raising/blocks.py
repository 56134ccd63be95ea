"""Layers that repeat, as blocks: a convolution with its normalisation, equal units one behind the other, stages that differ in a few numbers.

Lists are looked at from the inside out. In each, equal neighbours become one entry with ``repeat``, then neighbours of one form become calls
of a block with arguments, then forms that stand in several places. What a block cannot see, names of the lists around it, stays where it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnspec.interop.raising.alike import Block, Window, closed, form, read, values
from nnspec.interop.raising.draft import Entry
from nnspec.interop.raising.repeats import Apart, repeats
from nnspec.interop.raising.tree import Branches, Call, Item, Layer, size
from nnspec.layers.activations import Activation
from nnspec.spec.write import flow

MOST_ARGUMENTS = 7
FEWEST_PAIRS = 3
NORMS = {"batch_norm": "bn", "group_norm": "gn", "instance_norm": "in", "layer_norm": "ln"}
KERNELS = {"conv": "conv", "depthwise_conv": "depthwise", "conv_transpose": "conv_transpose", "dense": "dense"}
ROUNDS = 3
MOST_COMPARED = 100_000  # items of windows of one form: a chain of thousands stays one, soon
LINE = 110  # characters of lists that a repeat walks


class Blocks:
    """The blocks found so far, by name."""

    narrow = {f"{a}_{b}" for a in KERNELS.values() for b in NORMS.values()}

    def __init__(self, outputs: Sequence[str]) -> None:
        self.found: dict[str, Block] = {}
        self.wide: set[str] = set()  # those of several structures or units
        self.compared = 0
        self.outputs = {o.partition(".")[0] for o in outputs}

    def compress(self, items: list[Item]) -> list[Item]:
        """The same network in fewer lines."""
        items = self.pairs(items)
        for _ in range(ROUNDS):
            before = size(items)
            items = self.inside_out(items, self.equal)
            items = self.inside_out(items, self.of_one_form)
            items = self.elsewhere(items)
            items = self.inside_out(items, self.joined)
            if size(items) == before:
                break
        return items

    def bodies(self) -> dict[str, tuple[dict[str, Any], list[Item]]]:
        """Arguments and layers of each block, those that others call first."""
        return {name: (b.args, b.body) for name, b in self.found.items()}

    def inside_out(self, items: list[Item], work: Callable[[list[Item]], list[Item]]) -> list[Item]:
        """Every list after those inside of it."""
        for item in items:
            if isinstance(item, Branches):
                item.paths = [self.inside_out(p, work) for p in item.paths]
        return work(items)

    def define(self, windows: list[Window], what: str) -> Block | None:
        """The block for windows of one form: one that is there, or a new one; None where it would take too many arguments."""
        for block in self.found.values():
            if all(block.fits(w) for w in windows):
                return block
        name, n = what, 1
        while name in self.found:
            n += 1
            name = f"{what}_{n}"
        block = Block(name, windows)
        if len(block.args) > MOST_ARGUMENTS:
            return None
        self.found[name] = block
        if what not in self.narrow:
            self.wide.add(name)
        return block

    # A layer and what stands behind it

    def pairs(self, items: list[Item]) -> list[Item]:
        """``conv2d, batch_norm, relu`` as ``conv_bn``, where there are several."""
        outside = {n.partition(".")[0] for n in read(items)} | self.outputs
        found: dict[tuple[str, str], list[Window]] = defaultdict(list)
        for part in lists(items):
            for _, _, w in paired(part, outside):
                found[w[0].kind, w[1].kind].append(w)
        blocks: dict[tuple[str, str], Block] = {}
        for (a, b), windows in found.items():
            block = self.define(windows, f"{KERNELS[base(a)]}_{NORMS[b]}") if len(windows) >= FEWEST_PAIRS else None
            if block is not None:
                blocks[a, b] = block

        def work(part: list[Item]) -> list[Item]:
            done = {i: (n, blocks[w[0].kind, w[1].kind].call([w])) for i, n, w in paired(part, outside) if (w[0].kind, w[1].kind) in blocks}
            return replaced(part, done)

        return self.inside_out(items, work)

    # Neighbours

    def equal(self, items: list[Item]) -> list[Item]:
        """Equal windows one behind the other as one call with ``repeat``."""
        apart = Apart(items, self.outputs)
        runs = [r for r in repeats(items, exact=True) if apart(*r)]
        groups: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)
        for r in runs:
            groups[form(items[r[0] : r[0] + r[1]])].append(r)
        done: dict[int, tuple[int, Call]] = {}
        for same in groups.values():
            windows = [items[i : i + p] for i, p, _ in same]
            first = windows[0]
            if len(first) == 1 and isinstance(first[0], Layer):
                for (i, p, k), w in zip(same, windows, strict=True):
                    layer = w[0]
                    assert isinstance(layer, Layer)
                    done[i] = p * k, Call(layer.kind, dict(layer.fields), [[x] for x in items[i : i + k]])
                continue
            if len(first) == 1 and isinstance(first[0], Call):
                for (i, p, k), w in zip(same, windows, strict=True):
                    call = w[0]
                    assert isinstance(call, Call)
                    done[i] = p * k, Call(call.kind, dict(call.fields), [c for x in items[i : i + k] if isinstance(x, Call) for c in x.copies])
                continue
            block = self.define(windows, titled(first, "unit"))
            if block is None:
                continue
            for i, p, k in same:
                done[i] = p * k, block.call([items[i + j * p : i + (j + 1) * p] for j in range(k)])
        return replaced(items, done)

    def of_one_form(self, items: list[Item]) -> list[Item]:
        """Windows of one form one behind the other as calls of a block."""
        while True:
            best: tuple[int, tuple[int, int, int]] | None = None
            apart = Apart(items, self.outputs)
            for r in repeats(items, exact=False):
                i, p, k = r
                if p == 1 and not isinstance(items[i], Branches):
                    continue
                self.compared += p * k
                if self.compared > MOST_COMPARED:
                    return items
                if not apart(i, p, k):
                    continue
                windows = [items[i + j * p : i + (j + 1) * p] for j in range(k)]
                columns = {repr(c) for c in zip(*map(values, windows), strict=True) if any(v != c[0] for v in c)}
                saved = (k - 1) * size(windows[0]) - len(columns) - 2
                if saved > 0 and len(columns) <= MOST_ARGUMENTS + 2 and (best is None or saved > best[0]):
                    best = saved, r
            if best is None:
                return items
            i, p, k = best[1]
            windows = [items[i + j * p : i + (j + 1) * p] for j in range(k)]
            block = self.define(windows, titled(windows[0], "stage"))
            if block is None:
                return items
            items = replaced(items, {i + j * p: (p, block.call([w])) for j, w in enumerate(windows)})

    def joined(self, items: list[Item]) -> list[Item]:
        """Calls of one block one behind the other as one, which walks lists of what differs."""
        made: list[Item] = []
        for item in items:
            last = made[-1] if made else None
            both = joint(last, item) if isinstance(last, Call) and isinstance(item, Call) and item.kind in self.wide else None
            if both is not None:
                made[-1] = both
            else:
                made.append(item)
        return made

    # In several places

    def elsewhere(self, items: list[Item]) -> list[Item]:
        """Structures of one form that stand in several places, the largest first."""
        names = {n.partition(".")[0] for n in read(items)} | self.outputs
        groups: dict[Any, list[Branches]] = defaultdict(list)
        for part in lists(items):
            for item in part:
                if isinstance(item, Branches) and size([item]) >= 4 and closed([item], names - {n.partition(".")[0] for n in read([item])}):
                    groups[form([item])].append(item)
        ranked = sorted((g for g in groups.values() if len(g) > 1), key=lambda g: -size([g[0]]))
        for group in ranked:
            block = self.define([[b] for b in group], titled([group[0]], "unit"))
            if block is not None:
                calls = {id(b): block.call([[b]]) for b in group}
                return self.elsewhere(swapped(items, calls))
        return items


def joint(a: Call, b: Call) -> Call | None:
    """Two calls of a block as one; None where that is no line a person would read."""
    if a.kind != b.kind or b.lists or len(b.copies) != 1 or (not a.lists and len(a.copies) != 1) or a.name or b.name:
        return None
    every = {k: [*a.lists.get(k, [a.fields.get(k)] * len(a.copies)), v] for k, v in b.fields.items()}
    differ = {k: v for k, v in every.items() if any(x != v[0] for x in v)}
    made = Call(a.kind, {k: v[0] for k, v in every.items() if k not in differ}, [*a.copies, *b.copies], differ, usual=a.usual)
    return made if differ and len(flow(differ)) < LINE else None


def base(kind: str) -> str:
    """``conv`` of ``conv2d``."""
    return kind[:-2] if kind[-2:] in ("1d", "2d", "3d") else kind


def paired(items: list[Item], outside: set[str]) -> Iterator[tuple[int, int, list[Any]]]:
    """Where a layer with a kernel stands before a normalisation, and maybe an activation: how many items, and the three as layers."""
    for i, (a, b) in enumerate(zip(items, items[1:], strict=False)):
        if not (isinstance(a, Layer) and isinstance(b, Layer)) or base(a.kind) not in KERNELS or b.kind not in NORMS:
            continue
        if "activation" in a.fields or a.reads or b.reads or a.name in outside or b.name in outside:
            continue
        c = items[i + 2] if i + 2 < len(items) else None
        of: Any = "identity"
        if isinstance(c, Layer) and c.kind in Activation.activations and not (c.reads or c.entry.weights or c.name in outside) and len(c.fields) <= 1:
            of = {c.kind: next(iter(c.fields.values()))} if c.fields else c.kind
        yield i, 2 if of == "identity" else 3, [a, b, Layer("activation", {"of": of}, Entry("activation", {}, []))]


def lists(items: list[Item]) -> Iterator[list[Item]]:
    """Every list, those inside first."""
    for item in items:
        if isinstance(item, Branches):
            for path in item.paths:
                yield from lists(path)
    yield items


def replaced(items: list[Item], done: dict[int, tuple[int, Call]]) -> list[Item]:
    """Items with calls in place of stretches."""
    made: list[Item] = []
    i = 0
    while i < len(items):
        if i in done:
            n, call = done[i]
            made.append(call)
            i += n
        else:
            made.append(items[i])
            i += 1
    return made


def swapped(items: list[Item], calls: dict[int, Call]) -> list[Item]:
    """Items with calls in place of structures, wherever these stand."""
    made: list[Item] = []
    for item in items:
        if id(item) in calls:
            made.append(calls[id(item)])
            continue
        if isinstance(item, Branches):
            item.paths = [swapped(p, calls) for p in item.paths]
        made.append(item)
    return made


def titled(window: Window, usual: str) -> str:
    """A name for a block by what is in it."""
    if any(isinstance(i, Call) and i.kind.startswith(("unit", "residual_unit")) for i in window):
        return "stage"
    if usual == "unit" or any(isinstance(i, Branches) for i in window):
        first = next((i for i in window if isinstance(i, Branches)), None)
        return "unit" if first is None else "residual_unit" if first.kind == "residual" else f"{first.merge}_unit"
    return usual

