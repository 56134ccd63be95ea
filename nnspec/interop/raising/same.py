"""Whether two specs are the same network, layer by layer: what structure and blocks say, and the layers one behind the other that they stand for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nnspec.errors import Place
from nnspec.errors import Source as Text
from nnspec.interop.raising.draft import Draft, Entry, Source
from nnspec.interop.raising.tree import Item, Layer
from nnspec.spec.tensor_formulas import names_of, read

if TYPE_CHECKING:
    from nnspec.compiler import Spec
    from nnspec.network.graph import Leaf, Port

NOWHERE = Place(Text("", ""))


def listed(draft: Draft) -> tuple[list[Item], list[str], dict[str, Entry]]:
    """Every entry as a layer with a name that says by name what it reads; the names of the outputs; which entry has which name."""
    taken = {e.name for e in draft.inputs}
    prefix = "layer"
    while any(name.startswith(f"{prefix}-") for name in taken):
        prefix += "_"
    names = {e: f"{prefix}-{i}" for i, e in enumerate(draft.entries, 1)} | {e: e.name for e in draft.inputs}

    def of(s: Source) -> str:
        return f"{names[s.entry]}.{s.output}" if s.output else names[s.entry]

    items: list[Item] = [Layer(e.kind, dict(e.fields), e, names[e], tuple(map(of, e.inputs))) for e in draft.entries]
    return items, [of(s) for s in draft.outputs.values()], {names[e]: e for e in draft.entries}


def pairs(spec: Spec, reference: Spec) -> list[tuple[Leaf, Leaf]] | None:
    """The layers of a spec, each with the one of the reference that does its work; None where the networks are not the same."""
    mine, theirs = ({path: n["leaf"] for path, n in s.built.network.nodes.items()} for s in (spec, reference))
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    stack = list(zip(spec.built.network.outputs, reference.built.network.outputs, strict=False))
    if len(spec.built.network.outputs) != len(reference.built.network.outputs):
        return None
    while stack:
        a, b = (plain(port, leaves) for port, leaves in zip(stack.pop(), (mine, theirs), strict=True))
        if a.output != b.output:
            return None
        if a.node in found or b.node in taken:
            if found.get(a.node) != b.node:
                return None
            continue
        found[a.node], taken[b.node] = b.node, a.node
        x, y = mine[a.node], theirs[b.node]
        if x is None or y is None:
            if x is not y or a.node != b.node:
                return None
            continue
        if not alike(x, y):
            return None
        stack += zip(x.inputs, y.inputs, strict=True)
    made = [(x, theirs[found[path]]) for path, x in mine.items() if path in found and x is not None]
    left = [x for path, x in mine.items() if path not in found and x is not None and x.own]
    return None if left else made


def plain(port: Port, leaves: dict[str, Any]) -> Port:
    """What stands behind layers that do nothing."""
    leaf = leaves[port.node]
    while leaf is not None and said(leaf).kind == "identity":
        port = leaf.inputs[0]
        leaf = leaves[port.node]
    return port


def said(leaf: Leaf) -> Any:
    """A layer's fields; an activation that a block's argument names is that activation."""
    entry: Any = leaf.entry
    return entry.of if entry.kind == "activation" else entry


def alike(a: Leaf, b: Leaf) -> bool:
    """Whether two layers do the same with what they read, and are given weights of the same shapes."""
    x, y = said(a), said(b)
    if type(x) is not type(y) or len(a.inputs) != len(b.inputs) or a.frozen != b.frozen:
        return False
    if [(p.name, tuple(p.shape)) for p in a.own] != [(p.name, tuple(p.shape)) for p in b.own]:
        return False
    return formula(x.formula) == formula(y.formula) if x.kind == "math" else bool(x == y)


def formula(text: str) -> str:
    """A formula with the numbers of what it reads in place of names."""
    names = {name: i for i, name in enumerate(names_of(read(text, NOWHERE)))}
    return re.sub(r"[A-Za-z_][\w.-]*", lambda m: f"{{{names[m[0]]}}}" if m[0] in names else m[0], text)
