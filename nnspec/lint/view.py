"""A built spec as rules look at it: who reads whom, what stands before and behind a layer, and what losses compare with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property

from nnspec.compiler import Spec
from nnspec.data.column import Declaration
from nnspec.errors import Place
from nnspec.layers.activations import Activate, Activation, Identity
from nnspec.lint.columns import spread
from nnspec.lint.ranges import Range
from nnspec.network.graph import Leaf, Network, Port
from nnspec.network.targets import Target
from nnspec.records import dataclass
from nnspec.spec.load import Document
from nnspec.spec.source import Mapping, Node, Sequence
from nnspec.training.optimizers import Optimizer

PLACES = ("reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze")  # layers that only move numbers
NOTHING = ("identity", *PLACES)  # and those that do nothing
ACTIVATIONS = ("activation", *(kind for kind, made in Activation.registry.items() if issubclass(made, Activation)))
NOISE = ("dropout", "spatial_dropout", "drop_path", "gaussian_noise", "gaussian_dropout")


@dataclass(frozen=True)
class Use:
    """A layer that reads another: at which of its inputs, and which of the other's outputs."""

    reader: Leaf
    position: int
    output: str


class View:
    """A spec for rules; what several of them ask is worked out once."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._spreads: dict[str, Range | None] = {}

    @property
    def document(self) -> Document:
        return self.spec.document

    @property
    def network(self) -> Network:
        return self.spec.built.network

    @property
    def data(self) -> Declaration | None:
        return self.document.data

    @property
    def optimizer(self) -> Optimizer | None:
        return self.document.optimizer

    @property
    def losses(self) -> tuple[Target, ...]:
        return self.spec.built.losses

    @cached_property
    def leaves(self) -> list[Leaf]:
        """Every layer, each after those that it reads."""
        return self.network.leaves

    @cached_property
    def by_path(self) -> dict[str, Leaf]:
        return {leaf.path: leaf for leaf in self.leaves}

    @cached_property
    def uses(self) -> dict[str, list[Use]]:
        """By layer or input, those that read it."""
        found: dict[str, list[Use]] = {}
        for source, target, position, data in self.network.edges:
            found.setdefault(source, []).append(Use(self.by_path[target], position, data["output"]))
        return found

    @cached_property
    def ends(self) -> set[str]:
        """The layers that are outputs, or that a loss or a metric reads."""
        built = self.spec.built
        return {p.node for p in self.network.outputs} | {t.port.node for t in (*built.losses, *built.metrics)}

    @cached_property
    def bounds(self) -> dict[str, Range]:
        """By layer between which numbers its output lies, whatever its weights are."""
        from nnspec.lint.bounds import bounds  # which reads views

        return bounds(self)

    def shape(self, path: str) -> tuple[object, ...]:
        """The shape of a layer's output, without the batch."""
        return tuple(self.network.nodes[path]["shape"])

    def source(self, leaf: Leaf) -> Leaf | None:
        """The layer that a layer's first input comes from."""
        return self.by_path.get(leaf.inputs[0].node) if leaf.inputs else None

    def before(self, leaf: Leaf, through: Collection[str] = NOTHING) -> Leaf | None:
        """The layer before one, those of kinds ``through`` left out; None at an input."""
        found = self.source(leaf)
        while found is not None and _kind(found) in through:
            found = self.source(found)
        return found

    def last(self, port: Port, through: Collection[str] = NOTHING) -> Leaf | None:
        """The layer that makes an output, those of kinds ``through`` left out."""
        leaf = self.by_path.get(port.node)
        return self.before(leaf, through) if leaf is not None and _kind(leaf) in through else leaf

    def readers(self, leaf: Leaf, through: Collection[str] = NOTHING) -> list[Leaf] | None:
        """The layers that read one's output, those of kinds ``through`` left out; None where it is also an output or a loss's."""
        found: list[Leaf] = []
        waiting, seen = [leaf.path], {leaf.path}
        while waiting:
            path = waiting.pop()
            if path in self.ends:
                return None
            for use in self.uses.get(path, ()):
                if use.output:
                    continue  # a parameter of it
                if _kind(use.reader) not in through:
                    found.append(use.reader)
                elif use.reader.path not in seen:
                    seen.add(use.reader.path)
                    waiting.append(use.reader.path)
        return found

    def feeding(self, name: str) -> tuple[str, ...]:
        """The columns of a network's input."""
        return tuple(self.spec.built.columns.get(name, ()))

    def spread(self, name: str) -> Range | None:
        """The least and the largest number of a column as the network sees it, where that is known."""
        if self.data is None or name not in self.data.columns:
            return None
        if name not in self._spreads:
            self._spreads[name] = spread(self.data, name)
        return self._spreads[name]

    def place(self, *keys: str | int) -> Place:
        """Where a value stands in the spec: the key that names it, as far as there is one."""
        node: Node | None = self.document.root
        place = node.place if node is not None else Place(self.document.root.place.source)
        for key in keys:
            if isinstance(node, Mapping) and key in node.pairs:
                place, node = node.keys[str(key)], node.pairs[str(key)]
            elif isinstance(node, Sequence) and isinstance(key, int) and key < len(node.items):
                node = node.items[key]
                place = node.place
            else:
                break
        return place

    def epochs(self) -> int | None:
        """How many epochs a run takes."""
        return self.document.settings.epochs

    @cached_property
    def rows(self) -> int | None:
        """How many rows train, to a row or two."""
        data = self.data
        if data is None:
            return None
        return max(1, round(dict(data.split.parts).get("train", 1.0) * data.drawn))

    @cached_property
    def steps(self) -> int | None:
        """Optimizer steps of an epoch."""
        if self.rows is None:
            return None
        batches = -(-self.rows // self.document.settings.batch_size)
        return -(-batches // (self.optimizer.accumulate if self.optimizer else 1))


def activation(leaf: Leaf) -> Activation | None:
    """The activation that a layer is or ends with."""
    entry = leaf.entry
    found = entry.of if isinstance(entry, Activate) else entry if isinstance(entry, Activation) else getattr(entry, "activation", None)
    return found if isinstance(found, Activation) and not isinstance(found, Identity) else None


def activated_at(leaf: Leaf) -> Place:
    """Where a layer's activation stands."""
    return leaf.keys.get("activation", leaf.place)


def bare(leaf: Leaf) -> bool:
    """Whether a layer is an activation and nothing else."""
    return isinstance(leaf.entry, Activation | Activate)


def noisy(leaf: Leaf) -> bool:
    """Whether a layer changes numbers by chance, in training."""
    return leaf.entry.noise and leaf.entry.kind != "sample_normal"


def weightless(leaf: Leaf) -> bool:
    """Whether a layer only squashes or averages: before a loss what stands in front of it is the output all the same."""
    return (bare(leaf) or leaf.entry.kind.startswith("global_")) and not leaf.params


def at(leaf: Leaf, key: str) -> Place:
    """Where a key of a layer stands, or the layer."""
    return leaf.keys.get(key, leaf.place)


def _kind(leaf: Leaf) -> str:
    entry = leaf.entry
    return "identity" if isinstance(entry, Activate) and isinstance(entry.of, Identity) else entry.kind


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for child in node.pairs.values() if isinstance(node, Mapping) else node.items if isinstance(node, Sequence) else ():
        yield from walk(child)
