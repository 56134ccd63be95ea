"""Nodes that say together what one op says: suppression whose answer is brought back to a declared number, as our exporter writes it.

ONNX's NonMaxSuppression gives as many boxes as are left, which no layer can: its shape would depend on numbers. Behind it stand a gather, a
scatter and a TopK that make rows of one length of them (``onnx_boxes.py``); all together are read as one node, of a kind that no file holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from nnspec.interop.onnx_read import array_of
from nnspec.ir.op import Array

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

JOINED = "Suppressed"
MOST = 1 << 16  # numbers of a constant that is looked at


class Nodes:
    """A graph's nodes by what they make and who reads it, and its small constants."""

    def __init__(self, graph: GraphProto) -> None:
        self.nodes = list(graph.node)
        self.held = {t.name: t for t in graph.initializer}
        self.readers: dict[str, list[int]] = defaultdict(list)
        self.maker: dict[str, int] = {}
        for i, n in enumerate(self.nodes):
            for name in dict.fromkeys(n.input):
                self.readers[name].append(i)
            self.maker.update((name, i) for name in n.output if name)
        for o in graph.output:
            self.readers[o.name].append(-1)

    def numbers(self, name: str) -> Array | None:
        """A small constant."""
        if name in self.held and name not in self.maker:
            t = self.held[name]
            found: Array | None = array_of(t, name) if prod(t.dims) <= MOST else None
            return found
        i = self.maker.get(name)
        if i is None or self.nodes[i].op_type != "Constant" or len(self.nodes[i].attribute) != 1 or not self.nodes[i].attribute[0].HasField("t"):
            return None
        tensor = self.nodes[i].attribute[0].t
        found = array_of(tensor, name) if prod(tensor.dims) <= MOST else None
        return found

    def equals(self, name: str, wanted: Any) -> bool:
        """Whether a name is a constant of these numbers."""
        found = self.numbers(name) if name else None
        return found is not None and bool(np.array_equal(found.reshape(-1), np.reshape(wanted, -1)))

    def made(self, name: str, kind: str) -> int:
        """The node of a kind that makes a name. Raises LookupError where another does."""
        i = self.maker[name]
        if self.nodes[i].op_type != kind or self.nodes[i].domain not in ("", "ai.onnx"):
            raise LookupError(kind)
        return i

    def read(self, name: str, *kinds: str) -> list[int]:
        """Who reads a name: exactly one node of each of these kinds. Raises LookupError where it is not so."""
        found = self.readers[name]
        if -1 in found or sorted(self.nodes[i].op_type for i in found) != sorted(kinds):
            raise LookupError(name)
        return [next(i for i in found if self.nodes[i].op_type == kind) for kind in kinds]

    def attributes(self, i: int) -> dict[str, Any]:
        from onnx import helper

        return {a.name: helper.get_attribute_value(a) for a in self.nodes[i].attribute}


def idioms(graph: GraphProto) -> Mapping[int, NodeProto | None]:
    """By their numbers: what stands in the place of a node, and nothing for those that go with it."""
    if not any(n.op_type == "NonMaxSuppression" for n in graph.node):
        return {}
    known, found = Nodes(graph), dict[int, "NodeProto | None"]()
    for i, n in enumerate(known.nodes):
        if n.op_type == "NonMaxSuppression" and n.domain in ("", "ai.onnx") and len(n.input) == 5:
            try:
                found.update(suppressed(known, i))
            except LookupError:
                continue  # another network's way to say it
    return found


def wanted(*facts: bool) -> None:
    """Raises LookupError where one is not so."""
    if not all(facts):
        raise LookupError


def suppressed(g: Nodes, i: int) -> dict[int, NodeProto | None]:
    """The best boxes of each row, and how many they are. Raises LookupError where the nodes around are others."""
    from onnx import helper

    nodes, node = g.nodes, g.nodes[i]
    boxes, by_class, most, overlap, least = node.input
    each, share, lowest = (g.numbers(name) for name in (most, overlap, least))
    wanted(each is not None and each.size == 1, share is not None and share.size == 1, not g.attributes(i).get("center_point_box", 0),
           lowest is not None and lowest.size == 1 and float(lowest.reshape(())) == float(np.finfo(np.float32).min))
    (places,) = g.read(node.output[0], "Gather")
    wanted(nodes[places].input[0] == node.output[0], g.equals(nodes[places].input[1], [0, 2]), g.attributes(places).get("axis", 0) == 1)
    scatter, gather = g.read(nodes[places].output[0], "ScatterND", "GatherND")
    alone = nodes[gather].input[0]
    nothing, at, what = nodes[scatter].input
    wanted(not g.attributes(gather).get("batch_dims", 0), nodes[gather].input[1] == at == nodes[places].output[0], what == nodes[gather].output[0],
           g.attributes(scatter).get("reduction", b"none") == b"none")
    g.read(what, "ScatterND")
    g.read(nothing, "ScatterND")
    expand = g.made(nothing, "Expand")
    shape = g.made(nodes[expand].input[1], "Shape")
    wanted(g.equals(nodes[expand].input[0], [-np.inf]), list(nodes[shape].input) == [alone], not nodes[shape].attribute)
    gone = [places, scatter, gather, expand]
    groups = among(g, by_class, alone, gone)
    (top,) = g.read(nodes[scatter].output[0], "TopK")
    k, said = g.numbers(nodes[top].input[1]), g.attributes(top)
    wanted(k is not None and k.size == 1, said.get("axis", -1) in (-1, 1), bool(said.get("largest", 1)), bool(said.get("sorted", 1)))
    assert k is not None and each is not None and share is not None
    wanted(1 <= int(k.reshape(())) <= int(each.reshape(())))
    values, ids = nodes[top].output
    (there,) = g.read(values, "Greater")
    (where,) = g.read(ids, "Where")
    wanted(nodes[there].input[0] == values, g.equals(nodes[there].input[1], [-np.inf]), nodes[where].input[0] == nodes[there].output[0],
           nodes[where].input[1] == ids, g.equals(nodes[where].input[2], [0]))
    gone += [top, there, where]
    count = ""
    if len(g.readers[nodes[there].output[0]]) > 1:
        _, cast = g.read(nodes[there].output[0], "Where", "Cast")
        (total,) = g.read(nodes[cast].output[0], "ReduceSum")
        wanted(g.attributes(cast).get("to") == 6, g.equals(nodes[total].input[1], [1]), not g.attributes(total).get("keepdims", 1))
        gone += [cast, total]
        count = nodes[total].output[0]
    made = helper.make_node(JOINED, [boxes, alone, *groups[:1]], [nodes[where].output[0], count], name=node.name, maximum=int(k.reshape(())),
                            overlap=float(share.reshape(())), groups=groups[1] if groups else 0)
    return {**dict.fromkeys(gone), i: made}


def among(g: Nodes, by_class: str, alone: str, gone: list[int]) -> Sequence[Any]:
    """The boxes' groups and how many there are, where each group is a class; nothing where there is one class."""
    g.read(by_class, "NonMaxSuppression")
    i = g.maker[by_class]
    if g.nodes[i].op_type != "Where":
        unsqueezed(g, by_class, alone)
        gone.append(i)
        return ()
    own, scores, lowest = g.nodes[i].input
    wanted(g.equals(lowest, [-np.inf]))
    unsqueezed(g, scores, alone)
    equal = g.made(own, "Equal")
    wide, classes = g.nodes[equal].input
    found = g.numbers(classes)
    wanted(found is not None and found.ndim == 2 and found.shape[1] == 1, g.equals(classes, np.arange(found.size if found is not None else 0)))
    assert found is not None
    groups = g.nodes[g.made(wide, "Unsqueeze")].input[0]
    unsqueezed(g, wide, groups)
    for name, reader in ((own, "Where"), (scores, "Where"), (wide, "Equal")):
        g.read(name, reader)
    gone += [i, equal, g.maker[scores], g.maker[wide]]
    return groups, int(found.size)


def unsqueezed(g: Nodes, name: str, x: str) -> None:
    """Raises LookupError where a name is not ``x`` with an axis behind the rows."""
    node = g.nodes[g.made(name, "Unsqueeze")]
    wanted(len(node.input) == 2, node.input[0] == x, g.equals(node.input[1], [1]))
