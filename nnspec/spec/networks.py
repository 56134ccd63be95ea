"""``networks``: whole networks that stand in a list of layers under their name, from a file of their own or written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nnspec.errors import Place, Problem, SpecError
from nnspec.records import dataclass, field, replace
from nnspec.spec.blocks import Block, declare
from nnspec.spec.explain import describe, unknown
from nnspec.spec.formulas import substitute
from nnspec.spec.include import DEPTH, include, shipped, twice
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, plain, read_file
from nnspec.spec.transfer import Transfer, transfer
from nnspec.spec.variables import variables
from nnspec.spec.words import name_problem

HOW = ("until", "trainable", "weights", "description")  # what is said of a network, wherever it comes from
FROM_FILE = ("spec", "vars", "inputs", *HOW)
WRITTEN_OUT = ("inputs", "vars", "blocks", "layers", "outputs", "networks", "data", *HOW)
INSTEAD = ("vars", "inputs")  # what is said of a network from a file in place of what stands there
RUN_SPEC = "spec.yaml"  # of a run's folder
Recall = Callable[[Path], Mapping[str, Any] | None]  # what a run's folder knows of its data, for formulas


@dataclass(frozen=True, eq=False)
class Subnetwork:
    """A network as declared. ``data`` is what ``$data`` gives in its formulas; ``file`` the spec that it was read from, if any."""

    name: str
    place: Place
    layers: Sequence
    blocks: Mapping[str, Block] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    vars: Mapping[str, Any] = field(default_factory=dict)
    inputs: MappingNode | None = None
    outputs: tuple[tuple[str, Place], ...] = ()
    networks: Mapping[str, Subnetwork] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None
    until: tuple[str, Place] | None = None
    trainable: bool = True
    weights: Transfer | None = None
    file: Path | None = None
    owns: frozenset[str] = frozenset({"vars", "blocks"})  # of these, what is its own and not of the file around it

    def shapes(self) -> dict[str, tuple[Any, ...] | None]:
        """Its inputs in order: the shape of each where it is stated; names and lengths stand as they were written."""
        found: dict[str, tuple[Any, ...] | None] = {}
        for name, node in (self.inputs.pairs if self.inputs else {}).items():
            shape = plain(node.pairs["shape"]) if isinstance(node, MappingNode) and "shape" in node.pairs else None
            found[name] = shape if isinstance(shape, tuple) or shape is None else (shape,)
        return found


@dataclass
class Reader:
    """Reads the section ``networks`` of a file, and of the files that it names; problems are collected."""

    allowed: tuple[Path, ...]
    named: Callable[[Node | None], Node | None]  # an input written alone gets its name
    recall: Recall
    problems: list[Problem]

    def section(
        self, node: Node | None, file: Path | None, names: Mapping[str, Any], blocks: Mapping[str, Block], trail: tuple[Path, ...]
    ) -> tuple[dict[str, Subnetwork], set[str]]:
        """The networks by name, and the names of those that are wrong."""
        found: dict[str, Subnetwork] = {}
        broken: set[str] = set()
        if node is None:
            return found, broken
        if not isinstance(node, MappingNode):
            self.problems.append(
                Problem("'networks' does not fit", node.place, found=describe(node), wanted="{backbone: {spec: FILE}}", rule="bad-value")
            )
            return found, broken
        for name, body in node.pairs.items():
            place = node.keys[name]
            try:
                if problems := name_problem(name, place, "network"):
                    raise SpecError(*problems)
                if name in blocks:
                    raise SpecError(Problem(f"'{name}' is a block already", place, wanted="another name for the network", rule="repeated-name"))
                found[name] = self.network(name, body, place, file, names, blocks, trail)
            except SpecError as e:
                broken.add(name)
                self.problems += e.problems
        return found, broken

    def network(
        self, name: str, node: Node, place: Place, file: Path | None, names: Mapping[str, Any], blocks: Mapping[str, Block], trail: tuple[Path, ...]
    ) -> Subnetwork:
        """One network. Raises SpecError."""
        if isinstance(node, Scalar) and isinstance(node.value, str):
            node = MappingNode(node.place, {"spec": node}, {"spec": node.place}, True)
        if not isinstance(node, MappingNode) or ("spec" in node.pairs) == ("layers" in node.pairs):
            both = isinstance(node, MappingNode) and "spec" in node.pairs
            raise SpecError(
                Problem(f"network '{name}' does not fit", place, found="'spec' and 'layers'" if both else describe(node),
                        wanted="{spec: FILE, until: LAYER}, or {inputs: {…}, layers: [...]}", rule="bad-value")
            )  # fmt: skip
        known = FROM_FILE if "spec" in node.pairs else WRITTEN_OUT
        if problems := [unknown(k, known, node.keys[k], f"key of network '{name}'", "unknown-key") for k in node.pairs if k not in known]:
            raise SpecError(*problems)
        said = {k: substitute(node.pairs[k], names) for k in (*HOW, "spec") if k in node.pairs}
        folder = file.parent if file else Path.cwd()
        if "spec" in node.pairs:
            instead = {k: substitute(node.pairs[k], names) for k in INSTEAD if k in node.pairs}
            own = self.from_file(name, said["spec"], place, file, trail, instead)
        else:
            own = self.written_out(name, node, place, file, names, blocks, trail)
        trainable = said.get("trainable")
        if trainable is not None and not (isinstance(trainable, Scalar) and isinstance(trainable.value, bool)):
            raise SpecError(Problem(f"'trainable' of network '{name}' does not fit", trainable.place, found=describe(trainable),
                                    wanted="true or false", rule="bad-value"))  # fmt: skip
        return replace(
            own,
            until=_word(said.get("until"), f"'until' of network '{name}'", "the name of a layer, kind_number, or its path"),
            trainable=not isinstance(trainable, Scalar) or bool(trainable.value),
            weights=transfer(said["weights"], folder, f"'weights' of network '{name}'") if "weights" in said else None,
        )

    def from_file(
        self, name: str, node: Node, place: Place, file: Path | None, trail: tuple[Path, ...], instead: Mapping[str, Node]
    ) -> Subnetwork:  # fmt: skip
        """The network of another spec, or of the spec in a run's folder, with some of its variables and inputs ``instead`` of its own; its data,
        loss and training are not looked at."""
        path = self.locate(node, file, trail)
        root = read_file(path)
        if not isinstance(root, MappingNode) or "nnspec" not in root.pairs:
            raise SpecError(Problem("this file is no spec", root.place, wanted="nnspec: 1, then layers: [...]", rule="bad-value"))
        if plain(root.pairs["nnspec"]) != 1:
            raise SpecError(Problem("'nnspec' does not fit", root.pairs["nnspec"].place, found=describe(root.pairs["nnspec"]), wanted="1",
                                    rule="bad-value"))  # fmt: skip
        root = _with(root, instead, name)
        before = len(self.problems)
        names = variables(root.pairs.get("vars"), {}, self.problems)
        blocks = include(root.pairs.get("include"), path, self.allowed, self.problems)
        data = self.recall(path.parent) if path.name == RUN_SPEC else None
        own = self.parts(name, root, place, path, names, blocks, (*trail, path))
        if len(self.problems) > before and not own.broken:
            raise SpecError()
        return replace(own, data=data, file=path)

    def written_out(
        self, name: str, node: MappingNode, place: Place, file: Path | None, names: Mapping[str, Any], blocks: Mapping[str, Block],
        trail: tuple[Path, ...],
    ) -> Subnetwork:  # fmt: skip
        """A network with its layers; it sees the file's variables and blocks, or its own in place of them where it has such keys."""
        own = variables(node.pairs["vars"], {}, self.problems) if "vars" in node.pairs else names
        data = node.pairs.get("data")
        if data is not None and not isinstance(data, MappingNode):
            raise SpecError(Problem(f"'data' of network '{name}' does not fit", data.place, found=describe(data),
                                    wanted="what $data gives in its formulas: {digit: {classes: 10}}", rule="bad-value"))  # fmt: skip
        part = self.parts(name, node, place, file, own, {} if "blocks" in node.pairs else dict(blocks), trail)
        return replace(part, data=plain(data) if data is not None else None, owns=part.owns & node.pairs.keys())

    def parts(
        self, name: str, node: MappingNode, place: Place, file: Path | None, names: Mapping[str, Any], blocks: dict[str, Block],
        trail: tuple[Path, ...],
    ) -> Subnetwork:  # fmt: skip
        """Inputs, blocks, layers and outputs of a mapping: a whole spec, or a network written out."""
        layers = node.pairs.get("layers")
        if not isinstance(layers, Sequence) or not layers.items:
            where = layers.place if layers is not None else node.place
            raise SpecError(Problem(f"network '{name}' has no layers", where, wanted="layers: a list: '- dense: 10' and so on", rule="missing-key"))
        broken = self.blocks(node.pairs.get("blocks"), names, blocks)
        inner, wrong = self.section(node.pairs.get("networks"), file, names, blocks, trail)
        inputs = node.pairs.get("inputs")
        inputs = self.named(substitute(inputs, names)) if inputs is not None else None
        if inputs is not None and not isinstance(inputs, MappingNode):
            raise SpecError(Problem(f"'inputs' of network '{name}' does not fit", inputs.place, found=describe(inputs),
                                    wanted="{image: {shape: [8, 8, 1]}}", rule="bad-value"))  # fmt: skip
        return Subnetwork(name, place, layers, blocks, frozenset((*broken, *wrong)), names, inputs, _outputs(node.pairs.get("outputs"), names), inner)

    def blocks(self, node: Node | None, names: Mapping[str, Any], blocks: dict[str, Block]) -> set[str]:
        """Adds a mapping's blocks to those that are there; the names of those that are wrong."""
        broken: set[str] = set()
        if node is not None and not isinstance(node, MappingNode):
            self.problems.append(
                Problem("'blocks' does not fit", node.place, found=describe(node), wanted="{name: {layers: [...]}}", rule="bad-value")
            )
            return broken
        for name, body in node.pairs.items() if node is not None else ():
            assert isinstance(node, MappingNode)
            try:
                own = declare(name, body, node.keys[name], names)
                if name in blocks:
                    raise SpecError(twice(name, own.place, blocks[name]))
                blocks[name] = own
            except SpecError as e:
                broken.add(name)
                self.problems += e.problems
        return broken

    def locate(self, node: Node, file: Path | None, trail: tuple[Path, ...]) -> Path:
        """The file of a network, in the folders that are allowed, and not one that is being read."""
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or "\x00" in node.value or not node.value:
            raise SpecError(Problem("'spec' of a network does not fit", node.place, found=describe(node), wanted="a path", rule="bad-value"))
        if file is None:
            raise SpecError(Problem("'spec' of a network needs a spec that is a file", node.place, hint="load it from one, or write the layers out",
                                    rule="include"))  # fmt: skip
        for folder in (file.parent, shipped()):
            path = (folder / node.value).resolve()
            path = path / RUN_SPEC if path.is_dir() else path
            if path.is_file():
                break
        else:
            raise SpecError(Problem("the spec of a network is not there", node.place, found=node.value,
                                    wanted="a spec, or the folder of a run; relative to this file", rule="include"))  # fmt: skip
        if not any(path.is_relative_to(root) for root in self.allowed):
            raise SpecError(Problem("the spec of a network lies outside of the spec's folder", node.place, found=node.value,
                                    wanted="a file in the folder of the spec", hint=f"--allow-include {path.parent}", rule="include"))  # fmt: skip
        if path in trail or len(trail) >= DEPTH:
            raise SpecError(Problem("a network holds itself: this is a cycle", node.place, found=" -> ".join(p.name for p in (*trail, path))[:200],
                                    wanted="networks that end", rule="cycle"))  # fmt: skip
        return path


def _with(root: MappingNode, instead: Mapping[str, Node], name: str) -> MappingNode:
    """A spec with values of ``vars`` and ``inputs`` in place of its own. Raises SpecError for what it does not have."""
    for key, given in instead.items():
        held = root.pairs.get(key)
        own = held if isinstance(held, MappingNode) else MappingNode(root.place, {}, {}, True)
        if not isinstance(given, MappingNode):
            raise SpecError(Problem(f"'{key}' of network '{name}' does not fit", given.place, found=describe(given),
                                    wanted="{depth: 18}" if key == "vars" else "{image: {shape: [96, 96, 3]}}", rule="bad-value"))  # fmt: skip
        word = "variable" if key == "vars" else "input"
        strange = [k for k in given.pairs if k not in own.pairs]
        if strange:
            raise SpecError(*(unknown(k, tuple(own.pairs), given.keys[k], f"{word} of network '{name}'", "unknown-key") for k in strange))
        merged = MappingNode(own.place, {**own.pairs, **given.pairs}, {**own.keys, **given.keys}, own.flow)
        root = MappingNode(root.place, {**root.pairs, key: merged}, root.keys, root.flow)
    return root


def _word(node: Node | None, what: str, wanted: str) -> tuple[str, Place] | None:
    if node is None:
        return None
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
        return node.value, node.place
    raise SpecError(Problem(f"{what} does not fit", node.place, found=describe(node), wanted=wanted, rule="bad-value"))


def _outputs(node: Node | None, names: Mapping[str, Any]) -> tuple[tuple[str, Place], ...]:
    if node is None:
        return ()
    node = substitute(node, names)
    items = node.items if isinstance(node, Sequence) else [node]
    return tuple(word for item in items if (word := _word(item, "'outputs'", "a list of names")) is not None)
