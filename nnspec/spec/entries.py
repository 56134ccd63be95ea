"""Entries of a list: what kind each is of, what it is called, and how many copies there are of it."""

from __future__ import annotations

from nnspec.spec.nodes import Mapping, Node, Scalar, Sequence


def entry_names(node: Sequence) -> tuple[dict[str, int], dict[str, str]]:
    """Entries by name, and the further copies of repeated ones with the first one's name.

    Default numbers count entries of a kind as written, copies included; behind a repeat of unknown length there are
    none.
    """
    names: dict[str, int] = {}
    further: dict[str, str] = {}
    counts: dict[str, int | None] = {}
    for index, item in enumerate(node.items):
        kind, body = split(item)
        fields = body if isinstance(body, Mapping) else item if not kind and isinstance(item, Mapping) else None
        named = fields.pairs.get("name") if fields else None
        name = named.value if isinstance(named, Scalar) and isinstance(named.value, str) else ""
        if name:
            names[name] = index
        if not kind:
            continue
        count, times = counts.get(kind, 0), copies(fields)
        if count is not None and not name and times != 0:
            names.setdefault(f"{kind}_{count + 1}", index)
        for n in range(2, min(times or 1, 1_000) + 1):
            further[f"{name}_{n}" if name else f"{kind}_{(count or 0) + n}"] = name or f"{kind}_{(count or 0) + 1}"
        counts[kind] = None if count is None or times is None else count + times
    return names, further


def split(node: Node) -> tuple[str, Node | None]:
    """The kind and body of an entry; no kind where it is something else."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value, None
    if isinstance(node, Mapping) and len(node.pairs) == 1:
        return next(iter(node.pairs.items()))
    return "", None


def copies(body: Mapping | None) -> int | None:
    """How many copies there are of an entry; None where only a formula knows."""
    node = body.pairs.get("repeat") if body else None
    if isinstance(node, Mapping):
        lists = [len(v.items) for v in node.pairs.values() if isinstance(v, Sequence)]
        node = node.pairs.get("times")
        if node is None and lists:
            return lists[0]
    elif node is None:
        return 1
    value = node.value if isinstance(node, Scalar) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000 else None
