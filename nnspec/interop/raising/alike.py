"""What items have in common: their form, the values that stand in it, and one body for all with arguments where values differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from nnspec.interop.raising.tree import Branches, Call, Item, Layer, inner
from nnspec.layers.layer import Entry as Declared

USUAL: dict[str, Any] = {"stride": 1, "padding": "valid", "dilation": 1, "groups": 1, "bias": True, "activation": "identity", "multiplier": 1}
SPATIAL = ("kernel", "size", "stride", "padding")
STATED = ("filters", "units", "shape", "copies")  # arguments without a default
Values: TypeAlias = tuple[Any, ...]
Window: TypeAlias = "list[Item]"


def usual(kind: str) -> dict[str, Any]:
    """What fields of a layer are where they are left out; the stride of a pool is its size."""
    declared = Declared.registry[kind].model_fields
    return {k: v for k, v in USUAL.items() if k in declared and not (k == "stride" and "size" in declared)}


def keys(item: Layer) -> list[str]:
    """The fields of a layer, with those that are left out where they are as usual."""
    declared = Declared.registry[item.kind].model_fields
    order = [Declared.registry[item.kind].primary, *(k for k in SPATIAL if k in declared), *declared]
    return sorted({*item.fields, *usual(item.kind)}, key=lambda k: order.index(k) if k in order else -1)


def fields(item: Layer) -> dict[str, Any]:
    """All of them."""
    plain = usual(item.kind)
    return {k: item.fields.get(k, plain.get(k)) for k in keys(item)}


def form(items: Sequence[Item], names: dict[str, int] | None = None) -> Any:
    """What items are but for their values; names by the order in which they come. Hashable."""
    names = {} if names is None else names
    found: list[Any] = []
    for item in items:
        if isinstance(item, Layer):
            said = item.fields["formula"] if item.kind == "math" else ""  # its marks stand for what it reads, which no argument could say
            found.append((item.kind, tuple(keys(item)), tuple(_place(n, names) for n in item.reads), said))
        elif isinstance(item, Branches):
            found.append((item.kind, item.merge, tuple(form(p, names) for p in item.paths)))
        else:
            found.append((item.kind, tuple(sorted(item.fields)), tuple(sorted((k, len(v)) for k, v in item.lists.items()))))
        if item.name:
            names.setdefault(item.name, len(names))
    return tuple(found)


def _place(name: str, names: dict[str, int]) -> Any:
    head, _, output = name.partition(".")
    return (names.get(head, -1), output)


def slots(items: Sequence[Item]) -> Iterator[tuple[str, Any]]:
    """The values in items by the names of their fields, in an order that is the same for all of one form."""
    for item in items:
        if isinstance(item, Layer):
            yield from (("activation" if item.kind == "activation" else k, v) for k, v in fields(item).items())
        elif isinstance(item, Branches):
            for path in item.paths:
                yield from slots(path)
        else:
            yield from ((k, item.fields[k]) for k in sorted(item.fields))
            yield from ((k, item.lists[k]) for k in sorted(item.lists))
            if not item.lists:
                yield "copies", len(item.copies)


def values(items: Sequence[Item]) -> list[Any]:
    return [v for _, v in slots(items)]


def closed(items: Sequence[Item], outside: set[str]) -> bool:
    """Whether items read nothing by a name from outside, and nobody outside reads theirs."""
    own = set(defined(items))
    return all(n.partition(".")[0] in own for n in read(items)) and not own & outside


def defined(items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        if item.name:
            yield item.name
        if not isinstance(item, Call):
            for part in inner(item):
                yield from defined(part)


def read(items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Layer):
            yield from item.reads
        elif isinstance(item, Branches):
            for part in item.paths:
                yield from read(part)


class Block:
    """One body for windows of one form. ``args`` have a default, or None where they are always given."""

    def __init__(self, name: str, windows: Sequence[Window]) -> None:
        self.name = name
        self.form = form(windows[0])
        named = [k for k, _ in slots(windows[0])]
        columns = [tuple(column) for column in zip(*(values(w) for w in windows), strict=True)]
        self.columns: dict[str, tuple[int, Values]] = {}  # by argument, the slot that it comes from
        self.spelled: list[Any] = []
        for i, (key, column) in enumerate(zip(named, columns, strict=True)):
            self.spelled.append(column[0] if all(v == column[0] for v in column) else self._argument(i, key, column))
        self.fixed = [c[0] if all(v == c[0] for v in c) else None for c in columns]
        self.args: dict[str, Any] = {}
        for name_, (_, column) in self.columns.items():
            common = Counter(map(repr, column)).most_common(1)[0]
            stated = name_.rstrip("_0123456789") in STATED or common[1] * 2 < len(column)
            self.args[name_] = None if stated else next(v for v in column if repr(v) == common[0])
        self.body = template(windows[0], iter(self.spelled), {n.partition(".")[0] for n in read(windows[0])})

    def _argument(self, i: int, key: str, column: Values) -> str:
        """An argument with these values, one that is there already, or a multiple of it."""
        for name, (_, known) in self.columns.items():
            if known == column:
                return f"${name}"
            if all(type(a) is int and type(b) is int and a > 0 and b % a == 0 for a, b in zip(known, column, strict=True)):
                factors = {b // a for a, b in zip(known, column, strict=True)}
                if len(factors) == 1:
                    return f"$({factors.pop()} * {name})"
        name, n = key, 1
        while name in self.columns:
            n += 1
            name = f"{key}_{n}"
        self.columns[name] = i, column
        return f"${name}"

    def fits(self, window: Window) -> bool:
        """Whether the body says a window, with other arguments maybe."""
        if form(window) != self.form:
            return False
        found = values(window)
        args = {name: found[i] for name, (i, _) in self.columns.items()}
        return all(_said(s, args) == v for s, v in zip(self.spelled, found, strict=True))

    def call(self, windows: list[Window]) -> Call:
        """A call in place of equal windows one behind the other."""
        found = values(windows[0])
        given = {name: found[i] for name, (i, _) in self.columns.items()}
        return Call(self.name, given, windows, usual=self.args)


def _said(spelled: Any, args: dict[str, Any]) -> Any:
    """The value of an argument in a body."""
    if not isinstance(spelled, str) or not spelled.startswith("$"):
        return spelled
    if spelled.startswith("$("):
        factor, _, name = spelled[2:-1].partition(" * ")
        return int(factor) * args[name] if type(args[name]) is int else None
    return args[spelled[1:]]


def template(items: Sequence[Item], spelled: Iterator[Any], names: set[str]) -> list[Item]:
    """Items with other values, and without names that nobody reads."""
    made: list[Item] = []
    for item in items:
        name = item.name if item.name in names else ""
        if isinstance(item, Layer):
            own = {k: next(spelled) for k in keys(item)}
            plain = usual(item.kind)
            kept = {k: v for k, v in own.items() if k not in plain or plain[k] != v}
            if item.kind == "activation" and not str(kept["of"]).startswith("$"):
                made += plain_activation(kept["of"], item)
            else:
                made.append(Layer(item.kind, kept, item.entry, name, item.reads))
        elif isinstance(item, Branches):
            made.append(Branches(item.kind, [template(p, spelled, names) for p in item.paths], item.merge, name))
        else:
            own = {k: next(spelled) for k in sorted(item.fields)}
            lists = {k: next(spelled) for k in sorted(item.lists)}
            times = None if item.lists else next(spelled)
            made.append(Call(item.kind, {k: own[k] for k in item.fields}, item.copies, lists, name, times, item.usual))
    return made


def plain_activation(of: Any, item: Layer) -> list[Item]:
    """An activation that is always the same by its own name; none where it is the identity."""
    if of == "identity":
        return []
    if isinstance(of, str):
        return [Layer(of, {}, item.entry)]
    ((kind, number),) = of.items()
    return [Layer(kind, {Declared.registry[kind].primary or "": number}, item.entry)]
