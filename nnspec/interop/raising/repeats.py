"""Where windows of a list stand several times one behind the other, found in a time that grows as the list does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from nnspec.interop.raising.alike import defined, form, read, values
from nnspec.interop.raising.tree import Item, Layer

LONGEST = 24  # items of a window


def repeats(items: list[Item], exact: bool) -> Iterator[tuple[int, int, int]]:
    """Where a window stands several times one behind the other: its start, its length, how often; equal ones do not overlap."""
    numbers: dict[Any, int] = {}
    marks = [numbers.setdefault((form([x]), repr(values([x])) if exact else ""), len(numbers)) for x in items]
    begins = {mark for mark, x in zip(marks, items, strict=True) if telling(x)}
    taken: set[int] = set()
    for p in range(1, min(LONGEST, len(items) // 2) + 1):
        many = counted(items, marks, begins, p)
        i = 0
        while i + 2 * p <= len(items):
            k = many[i]
            if k > 1 and telling(items[i]) and not (exact and taken & set(range(i, i + p * k))):
                yield i, p, k
                if exact:
                    taken |= set(range(i, i + p * k))
                    i += p * k - 1
            i += 1


def counted(items: list[Item], marks: list[int], begins: set[int], p: int) -> list[int]:
    """How often the window of ``p`` items at each place stands there one behind the other, from the end of the list to its beginning."""
    many, equal, forms = [1] * len(items), 0, dict[int, Any]()
    for i in range(len(items) - p - 1, -1, -1):
        equal = equal + 1 if marks[i] == marks[i + p] else 0  # items from here on that are as those p behind them
        if equal < p or marks[i] not in begins or i + 2 * p > len(items):
            continue
        for j in (i, i + p):
            if j not in forms:
                forms[j] = form(items[j : j + p])
        if forms[i] == forms[i + p]:
            many[i] = many[i + p] + 1
        forms.pop(i + 2 * p, None)
    return many


def telling(item: Item) -> bool:
    """Whether a window may begin with it: something that has weights, or structure."""
    return not isinstance(item, Layer) or bool(item.entry.weights)


class Apart:
    """Which windows of a list have to do with what is around them through the layer above alone."""

    def __init__(self, items: list[Item], outputs: set[str]) -> None:
        self.items, self.outputs = items, outputs
        self.reads = Counter(n.partition(".")[0] for n in read(items))

    def __call__(self, i: int, p: int, k: int) -> bool:
        """Whether each of ``k`` windows is."""
        return all(self.closed(self.items[j : j + p]) for j in range(i, i + p * k, p))

    def closed(self, window: list[Item]) -> bool:
        """Whether a window reads nothing by a name from outside, and nobody outside reads its own."""
        own, inside = set(defined(window)), Counter(n.partition(".")[0] for n in read(window))
        return all(n in own for n in inside) and not own & self.outputs and all(self.reads[n] == inside[n] for n in own)
