"""The graph of layers: a networkx MultiDiGraph with an edge for each use, and what the walk knows about its ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from nnspec.errors import Place
from nnspec.ir.graph import Value
from nnspec.ir.types import BATCH, Dim, Shape, TensorType
from nnspec.layers.initializers import Initializer
from nnspec.layers.layer import Entry, Param
from nnspec.records import dataclass, field

if TYPE_CHECKING:
    import networkx as nx

    from nnspec.network.backbone import Called

    LayerGraph: TypeAlias = nx.MultiDiGraph[str]
else:
    LayerGraph = Any


# How a notebook shows a graph, ``html`` and ``svg``: drawings know graphs, and not the other way about, so the package puts them here.
SHOWN: dict[str, Callable[[Any], str | None]] = {}


def shown(form: str, graph: Any) -> str | None:
    """The graph as a notebook shows it, or None where nothing is known that draws."""
    return SHOWN[form](graph) if form in SHOWN else None


@dataclass(frozen=True)
class Port:
    """An output of a layer, an input of the network, or a parameter of a layer; ``type`` is None where that failed."""

    node: str
    output: str = ""
    type: TensorType | None = None
    batched: bool = True
    only: str = ""  # "training" or "inference" where it is not there in the other
    value: Value | None = field(default=None, compare=False, repr=False)  # as inferred, over abstract inputs

    @property
    def shape(self) -> Shape:
        """The shape without the batch."""
        assert self.type is not None
        return self.type.shape[1:] if self.batched else self.type.shape


@dataclass(frozen=True)
class Rate:
    """A learning rate of a layer's own: a number, or (``scaled``) a factor of the optimizer's."""

    value: float = 1.0
    scaled: bool = True

    def inside(self, outer: Rate) -> Rate:
        """The rate of an entry within another: factors multiply, a number stands for itself."""
        return Rate(self.value * outer.value, outer.scaled) if self.scaled else self


@dataclass(frozen=True)
class Penalty:
    """``l1 sum |w| + l2 sum w^2`` of a parameter, added to the loss."""

    l1: float = 0.0
    l2: float = 0.0


@dataclass(frozen=True)
class Leaf:
    """One layer where it stands: what was built from the spec, kept on its node as ``leaf``.

    ``weights`` is the path of the layer whose parameters it uses: its own, or that of the one it shares with. ``only`` names
    the mode it is there in; where it ``passes``, its first input stands for it in the other.
    """

    path: str
    entry: Entry
    inputs: tuple[Port, ...]
    params: tuple[Param, ...]
    init: Mapping[str, Initializer]
    frozen: bool
    place: Place
    weights: str
    only: str = ""
    passes: bool = False
    rate: Rate = Rate()
    regularize: Mapping[str, Penalty] = field(default_factory=dict)
    keys: Mapping[str, Place] = field(default_factory=dict)  # where each of its keys stands in the spec

    @property
    def own(self) -> tuple[Param, ...]:
        """The parameters that are its own: none where it shares another's."""
        return self.params if self.weights == self.path else ()

    @property
    def batched(self) -> bool:
        """Whether its outputs have rows."""
        return any(p.batched for p in self.inputs) if self.inputs else self.entry.batched

    def built(self, training: bool) -> bool:
        """Whether it is there in a mode."""
        return not self.only or self.only == ("training" if training else "inference")


@dataclass(frozen=True)
class Parameter:
    """A parameter of the network by its path."""

    path: str
    param: Param
    layer: str
    kind: str
    init: Initializer | None
    trainable: bool
    rate: Rate = Rate()
    regularize: Penalty | None = None


@dataclass
class Network:
    """A whole network: its nodes in topological order, and an edge for each use. ``graph`` is all of it as networkx has it."""

    name: str
    inputs: dict[str, TensorType]
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    edges: list[tuple[str, str, int, dict[str, Any]]] = field(default_factory=list)
    outputs: tuple[Port, ...] = ()
    output_names: tuple[str, ...] = ()
    names: dict[str, Port] = field(default_factory=dict)
    parts: dict[str, Called] = field(default_factory=dict)  # whole networks inside, by the path of their first call
    calls: dict[str, tuple[str, Place]] = field(default_factory=dict)  # kind and place of what each frame is made by: a block, a structure, a network

    def add_input(self, name: str, type: TensorType, place: Place | None) -> Port:
        self.nodes[name] = {
            "kind": "input",
            "name": name,
            "shape": type.shape[1:],
            "dtype": str(type.dtype),
            "parameters": 0,
            "trainable": 0,
            "flops": 0,
            "place": place,
            "line": place.line if place else 0,
            "fields": {},
            "frames": (),
            "params": (),
            "leaf": None,
        }
        return Port(name, type=type)

    def add_layer(self, leaf: Leaf, y: Value, flops: int, fields: Mapping[str, Any], frames: tuple[str, ...]) -> Port:
        """A node for a layer, and an edge from each of its inputs; its output."""
        type = y.type
        rows = [(p.name, p.shape, _count(p), p.role, p.trainable and not leaf.frozen) for p in leaf.own]
        self.nodes[leaf.path] = {
            "kind": leaf.entry.kind,
            "name": leaf.path.rsplit("/", 1)[-1],
            "shape": type.shape[1:] if leaf.batched else type.shape,
            "dtype": str(type.dtype),
            "parameters": sum(r[2] for r in rows),
            "trainable": sum(r[2] for r in rows if r[4]),
            "flops": flops,
            "place": leaf.place,
            "line": leaf.place.line,
            "fields": dict(fields),
            "frames": frames,
            "frozen": leaf.frozen,
            "only": leaf.only,
            "shares": "" if leaf.weights == leaf.path else leaf.weights,
            "params": tuple((name, shape, str(type.dtype), role, trains) for name, shape, _, role, trains in rows),
            "leaf": leaf,
        }
        for position, port in enumerate(leaf.inputs):
            data = {"output": port.output, "shape": port.shape if port.type else (), "dtype": str(port.type.dtype) if port.type else ""}
            self.edges.append((port.node, leaf.path, position, data))
        return Port(leaf.path, type=type, batched=leaf.batched, only="" if leaf.passes else leaf.only, value=y)

    @cached_property
    def graph(self) -> LayerGraph:
        """The layers as a networkx graph, made when it is first asked for: importing networkx takes longer than checking a spec."""
        import networkx as nx

        graph: LayerGraph = nx.MultiDiGraph(name=self.name, outputs=tuple(p.node for p in self.outputs), calls=self.calls)
        graph.add_nodes_from(self.nodes.items())
        for source, target, position, data in self.edges:
            graph.add_edge(source, target, key=position, **data)
        for form in ("html", "svg"):
            setattr(graph, f"_repr_{form}_", partial(shown, form, graph))
        return graph

    def ancestors(self, ends: Iterable[str]) -> set[str]:
        """The nodes from which one of ``ends`` can be reached, and these themselves."""
        sources: dict[str, list[str]] = {}
        for source, target, _, _ in self.edges:
            sources.setdefault(target, []).append(source)
        reached: set[str] = set()
        stack = [end for end in ends if end in self.nodes]
        while stack:
            node = stack.pop()
            if node not in reached:
                reached.add(node)
                stack += sources.get(node, [])
        return reached

    @property
    def leaves(self) -> list[Leaf]:
        return [data["leaf"] for data in self.nodes.values() if data["leaf"] is not None]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter and statistic by path, in the order of the spec."""
        return {
            f"{leaf.path}/{p.name}": Parameter(
                f"{leaf.path}/{p.name}",
                p,
                leaf.path,
                leaf.entry.kind,
                leaf.init.get(p.name),
                p.trainable and not leaf.frozen,
                leaf.rate,
                leaf.regularize.get(p.name),
            )
            for leaf in self.leaves
            for p in leaf.own
        }


def _count(p: Param) -> int:
    total = 1
    for d in p.shape:
        total *= d
    return total


def rows(shape: tuple[Dim, ...]) -> Shape:
    """A shape with the batch before it."""
    return (BATCH, *shape)
