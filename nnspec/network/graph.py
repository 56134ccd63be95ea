"""The graph of layers: a networkx MultiDiGraph with an edge for each use, and what the walk knows about its ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import networkx as nx

from nnspec.errors import Place
from nnspec.ir.graph import Value
from nnspec.ir.types import BATCH, Dim, Shape, TensorType
from nnspec.layers.initializers import Initializer
from nnspec.layers.layer import Entry, Param

if TYPE_CHECKING:
    LayerGraph: TypeAlias = nx.MultiDiGraph[str]
else:
    LayerGraph = nx.MultiDiGraph  # not generic while running


@dataclass(frozen=True)
class Port:
    """An output of a layer, an input of the network, or a parameter of a layer; ``type`` is None where that failed."""

    node: str
    output: str = ""
    type: TensorType | None = None
    batched: bool = True
    value: Value | None = field(default=None, compare=False, repr=False)  # as inferred, over abstract inputs

    @property
    def shape(self) -> Shape:
        """The shape without the batch."""
        assert self.type is not None
        return self.type.shape[1:] if self.batched else self.type.shape


@dataclass(frozen=True)
class Leaf:
    """One layer where it stands: what was built from the spec, kept on its node as ``leaf``."""

    path: str
    entry: Entry
    inputs: tuple[Port, ...]
    params: tuple[Param, ...]
    init: Mapping[str, Initializer]
    frozen: bool
    place: Place


@dataclass(frozen=True)
class Parameter:
    """A parameter of the network by its path."""

    path: str
    param: Param
    layer: str
    kind: str
    init: Initializer | None
    trainable: bool


@dataclass
class Network:
    """A whole network: ``graph.nodes`` stand in topological order."""

    name: str
    inputs: dict[str, TensorType]
    graph: LayerGraph = field(default_factory=LayerGraph)
    outputs: tuple[Port, ...] = ()
    output_names: tuple[str, ...] = ()
    names: dict[str, Port] = field(default_factory=dict)

    def add_input(self, name: str, type: TensorType, place: Place | None) -> Port:
        self.graph.add_node(
            name,
            kind="input",
            name=name,
            shape=type.shape[1:],
            dtype=str(type.dtype),
            parameters=0,
            trainable=0,
            flops=0,
            place=place,
            line=place.line if place else 0,
            fields={},
            frames=(),
            params=(),
            leaf=None,
        )
        return Port(name, type=type)

    def add_layer(self, leaf: Leaf, y: Value, flops: int, fields: Mapping[str, Any], frames: tuple[str, ...]) -> Port:
        type = y.type
        rows = [(p.name, p.shape, _count(p), p.role, p.trainable and not leaf.frozen) for p in leaf.params]
        self.graph.add_node(
            leaf.path,
            kind=leaf.entry.kind,
            name=leaf.path.rsplit("/", 1)[-1],
            shape=type.shape[1:],
            dtype=str(type.dtype),
            parameters=sum(r[2] for r in rows),
            trainable=sum(r[2] for r in rows if r[4]),
            flops=flops,
            place=leaf.place,
            line=leaf.place.line,
            fields=dict(fields),
            frames=frames,
            frozen=leaf.frozen,
            params=tuple((name, shape, str(type.dtype), role, trains) for name, shape, _, role, trains in rows),
            leaf=leaf,
        )
        for position, port in enumerate(leaf.inputs):
            self.graph.add_edge(
                port.node,
                leaf.path,
                key=position,
                output=port.output,
                shape=port.shape if port.type else (),
                dtype=str(port.type.dtype) if port.type else "",
            )
        return Port(leaf.path, type=type, value=y)

    @property
    def leaves(self) -> list[Leaf]:
        return [data["leaf"] for _, data in self.graph.nodes(data=True) if data["leaf"] is not None]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter and statistic by path, in the order of the spec."""
        return {
            f"{leaf.path}/{p.name}": Parameter(
                f"{leaf.path}/{p.name}", p, leaf.path, leaf.entry.kind, leaf.init.get(p.name), p.trainable and not leaf.frozen
            )
            for leaf in self.leaves
            for p in leaf.params
        }


def _count(p: Param) -> int:
    total = 1
    for d in p.shape:
        total *= d
    return total


def rows(shape: tuple[Dim, ...]) -> Shape:
    """A shape with the batch before it."""
    return (BATCH, *shape)
