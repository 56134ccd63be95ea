"""What two specs differ in: layers, parameters, shapes, what reads what, costs and settings, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nnspec.compiler import Spec
from nnspec.network.graph import Network
from nnspec.records import dataclass
from nnspec.view import describe
from nnspec.view.alignment import Alignment, Node, align, base, counted, tree
from nnspec.view.described import Settled, fields, value_text
from nnspec.view.settings import settings

Change = dict[str, Any]  # {"a": …, "b": …, "default": "a", "b" or "both" where one side does not state it}


@dataclass(frozen=True)
class Differences:
    """``layers`` holds ``added``, ``removed``, ``changed``, ``rewired``, ``repeated`` and ``renamed``; ``settings`` changes by key.

    ``totals`` are told whether they differ or not; ``causes`` are variables of both specs that have other values.
    """

    totals: Mapping[str, Change]
    layers: Mapping[str, list[dict[str, Any]]]
    settings: Mapping[str, Change]
    causes: Mapping[str, Change]

    @property
    def equal(self) -> bool:
        return not self.settings and not any(self.layers.values())

    def to_json(self) -> dict[str, Any]:
        return {"equal": self.equal, "totals": dict(self.totals), "layers": dict(self.layers), "settings": dict(self.settings),
                "vars": dict(self.causes)}  # fmt: skip


def differences(a: Spec, b: Spec, memory: tuple[int | None, int | None] = (None, None)) -> Differences:
    """``memory`` is the bytes of a training step of each, where known."""
    one, other = a.built.network, b.built.network
    found = align(one, other)
    layers = Layers(one, other, found)
    changed = layers.changed()
    causes = {k: change(value_text(a.document.vars[k]), value_text(b.document.vars[k])) for k in a.document.vars
              if k in b.document.vars and value_text(a.document.vars[k]) != value_text(b.document.vars[k])}  # fmt: skip
    return Differences(
        _totals(one, other, memory),
        {
            "repeated": layers.repeated(),
            "removed": layers.alone("a"),
            "added": layers.alone("b"),
            "changed": changed,
            "rewired": layers.rewired(),
            "renamed": [{"a": x, "b": y} for x, y in found.layers.items() if x != y],
        },
        {**_settings(settings(a), settings(b)), **layers.ends(a, b)},
        causes,
    )


def change(a: Any, b: Any, default: str = "") -> Change:
    return {"a": a, "b": b, **({"default": default} if default else {})}


def _totals(a: Network, b: Network, memory: tuple[int | None, int | None]) -> dict[str, Change]:
    one, other = describe.totals(a.nodes.values()), describe.totals(b.nodes.values())
    rows = {name: change(number(getattr(one, name)), number(getattr(other, name))) for name in ("layers", "parameters", "trainable", "flops")}
    return {**rows, "memory": change(*memory)}


def number(value: Any) -> Any:
    """A count; one with symbolic axes is text."""
    return value if isinstance(value, int | float) else str(value)


def _settings(a: Mapping[str, Settled], b: Mapping[str, Settled]) -> dict[str, Change]:
    """Values that differ. Of what only one side has, defaults go without saying."""
    out: dict[str, Change] = {}
    for key in dict.fromkeys((*a, *b)):
        x, y = a.get(key), b.get(key)
        if x is not None and y is not None:
            if not x.equals(y):
                out[key] = change(x.text, y.text, _default(x, y))
        elif (x or y or Settled("", False)).stated:
            out[key] = change(x.text if x else None, y.text if y else None)
    return out


def _default(x: Settled, y: Settled) -> str:
    return "" if x.stated and y.stated else "b" if x.stated else "a" if y.stated else "both"


class Layers:
    """The layers of two networks that have been aligned."""

    def __init__(self, a: Network, b: Network, found: Alignment) -> None:
        self.a, self.b, self.found = a, b, found
        self.back = {y: x for x, y in found.layers.items()}
        self.reads = {"a": _reads(a), "b": _reads(b)}

    def alone(self, side: str) -> list[dict[str, Any]]:
        """Layers of one side; a frame of which nothing is left on the other stands for all inside it."""
        network, pairs = (self.a, self.found.layers) if side == "a" else (self.b, self.back)
        out: list[dict[str, Any]] = []

        def visit(node: Node) -> None:
            gone = [leaf for leaf in node.leaves if leaf.path not in pairs]
            if node.path and len(gone) == len(node.leaves):
                out.append(_told(node))
            elif gone:
                for child in node.children:
                    visit(child)

        visit(tree(network))
        return out

    def changed(self) -> list[dict[str, Any]]:
        """Pairs that differ in fields, in what belongs to every entry, in shape or in parameters."""
        out = []
        for x, y in self.found.layers.items():
            a, b = self.a.nodes[x], self.b.nodes[y]
            told: dict[str, Any] = {"a": x, "b": y, "kind": a["kind"], "line": b["line"]}
            if a["kind"] != b["kind"]:
                told["became"] = b["kind"]
            told["fields"] = _fields(a, b)
            for key in ("shape", "dtype", "parameters", "trainable", "flops"):
                before, after = (_plain(data[key]) for data in (a, b))
                if before != after:
                    told[key] = change(before, after)
            if told["fields"] or len(told) > 5:
                out.append(told)
        return out

    def rewired(self) -> list[dict[str, Any]]:
        """Pairs that read something else, what was put in between or taken out apart."""
        out = []
        for x, y in self.found.layers.items():
            a, b = (self.reads[side].get(path, []) for side, path in (("a", x), ("b", y)))
            before = [{(self.found.layers[s], o) for s, o in self._through("a", *port)} for port in a]
            after = [self._through("b", *port) for port in b]
            lost = [port for port, ends in zip(a, before, strict=True) if ends and not any(ends & other for other in after)]
            new = [port for port, ends in zip(b, after, strict=True) if ends and not any(ends & other for other in before)]
            swapped = not lost and not new and len(a) == len(b) and any(
                p and q and not p & q for p, q in zip(before, after, strict=True)) and not _any_order(self.b.nodes[y]["kind"])  # fmt: skip
            if lost or new or swapped:
                sides = (a, b) if swapped else (lost, new)
                out.append({"a": x, "b": y, "from": change([_port(*p) for p in sides[0]], [_port(*p) for p in sides[1]])})
        return out

    def _through(self, side: str, path: str, output: str) -> set[tuple[str, str]]:
        """The layers with a pair from which a value comes, through those that have none."""
        pairs = self.found.layers if side == "a" else self.back
        ends: set[tuple[str, str]] = set()
        stack, seen = [(path, output)], set[str]()
        while stack:
            at, port = stack.pop()
            if at in pairs:
                ends.add((at, port))
            elif at not in seen:
                seen.add(at)
                stack += self.reads[side].get(at, [])
        return ends

    def repeated(self) -> list[dict[str, Any]]:
        """Frames that hold more or fewer frames of a name than before."""
        nodes = {side: {node.path: node for node in _frames(tree(n))} for side, n in (("a", self.a), ("b", self.b))}
        out = []
        for x, y in self.found.frames.items():
            before, after = counted(nodes["a"][x].children), counted(nodes["b"][y].children)
            out += [{"a": x, "b": y, "of": name, "count": change(before[name], after[name])} for name in dict.fromkeys((*before, *after))
                    if before[name] != after[name] and before[name] and after[name]]  # fmt: skip
        return out

    def ends(self, a: Spec, b: Spec) -> dict[str, Change]:
        """What answers, and what each loss and metric reads, where that is another layer."""
        out: dict[str, Change] = {}
        held: Iterable[tuple[str, list[Any], list[Any]]] = (
            ("outputs", list(self.a.outputs), list(self.b.outputs)),
            ("loss.from", [t.port for t in a.built.losses], [t.port for t in b.built.losses]),
            ("metrics.from", [t.port for t in a.built.metrics], [t.port for t in b.built.metrics]),
        )
        for key, one, other in held:
            before, after = [_port(p.node, p.output) for p in one], [_port(p.node, p.output) for p in other]
            mapped = [_port(self.found.layers.get(p.node, ""), p.output) for p in one]
            if mapped != after and (key == "outputs" or len(before) == len(after)) and (key == "outputs" or not self._follow(one, other)):
                out[key] = change(before, after)
        return out

    def _follow(self, one: list[Any], other: list[Any]) -> bool:
        """Whether each reads an output of its network, the same by number: that the output is another layer is said once."""
        places = [[[p.node for p in n.outputs].index(p.node) if p.node in [q.node for q in n.outputs] else -1 for p in ports]
                  for n, ports in ((self.a, one), (self.b, other))]  # fmt: skip
        return places[0] == places[1] and -1 not in places[0]


def _fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Change]:
    """Fields that differ, and of what every entry may have: ``trainable``, ``init``, ``regularize``, ``learning_rate``, ``share``, ``only``."""
    x, y = _entry(a), _entry(b)
    if a["kind"] == b["kind"]:
        return _settings(x, y)
    common = {key: (x[key], y[key]) for key in x if key in y}
    return {key: change(p.text, q.text, _default(p, q)) for key, (p, q) in common.items() if not p.equals(q)}


def _entry(data: Mapping[str, Any]) -> dict[str, Settled]:
    leaf = data["leaf"]
    if leaf is None:
        return {}
    held = fields(leaf.entry)
    held["trainable"] = Settled(value_text(not leaf.frozen), leaf.frozen)
    held["only"] = Settled(value_text(leaf.only or None), bool(leaf.only))
    held["learning_rate"] = Settled(f"{leaf.rate.value:g}{'x' * leaf.rate.scaled}", leaf.rate.value != 1.0 or not leaf.rate.scaled)
    for p in leaf.params:
        stated = p.name in leaf.init
        held[f"init.{p.name}"] = Settled(value_text(leaf.init[p.name] if stated else p.init), stated)
        penalty = leaf.regularize.get(p.name)
        if penalty is not None:
            held[f"regularize.{p.name}"] = Settled(f"l1 {penalty.l1:g}, l2 {penalty.l2:g}")
    if leaf.weights != leaf.path:
        held["share"] = Settled("true")
    return held


def _told(node: Node) -> dict[str, Any]:
    sums = describe.totals(leaf.data for leaf in node.leaves if leaf.data is not None)
    data = node.data
    inside: dict[str, Any] = {"layers": len(node.leaves), "of": base(node.name)}
    if data is not None:
        stated = describe.fields(data["kind"], data["fields"])
        inside = {"kind": data["kind"], "shape": _plain(data["shape"]), "fields": stated, "line": data["line"]}
    return {"path": node.path, **inside, "parameters": number(sums.parameters), "flops": number(sums.flops)}


def _frames(node: Node) -> Iterable[Node]:
    if node.data is None:
        yield node
        for child in node.children:
            yield from _frames(child)


def _reads(network: Network) -> dict[str, list[tuple[str, str]]]:
    reads: dict[str, list[tuple[int, str, str]]] = {}
    for source, target, position, data in network.edges:
        reads.setdefault(target, []).append((position, source, data["output"]))
    return {target: [(source, output) for _, source, output in sorted(ports)] for target, ports in reads.items()}


def _any_order(kind: str) -> bool:
    return kind in ("add", "multiply", "average", "maximum", "minimum")


def _port(path: str, output: str) -> str:
    return f"{path}.{output}" if output else path


def _plain(value: Any) -> Any:
    return [number(axis) for axis in value] if isinstance(value, tuple) else number(value) if not isinstance(value, str) else value
