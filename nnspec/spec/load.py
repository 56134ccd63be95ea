"""A spec file read, overridden, checked key by key and taken apart: everything but the network itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from nnspec.data import stored
from nnspec.data.augment import Augmentation
from nnspec.data.column import Declaration
from nnspec.data.config import Prepare
from nnspec.data.declare import declare
from nnspec.data.source_kinds import Source
from nnspec.errors import DataError, NnspecError, Place, Problem, SpecError
from nnspec.layers.activations import Activation
from nnspec.layers.layer import Entry
from nnspec.records import dataclass, field
from nnspec.spec import blocks as block
from nnspec.spec import edits
from nnspec.spec.explain import choose, describe, unknown_key, validate
from nnspec.spec.formulas import BROKEN, substitute
from nnspec.spec.include import include, shipped, twice
from nnspec.spec.model import Kind
from nnspec.spec.networks import Reader, Subnetwork
from nnspec.spec.overrides import apply, new_variables
from nnspec.spec.settings import Settings
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, read_file
from nnspec.spec.terms import Own, Term, schedule, terms
from nnspec.spec.transfer import Transfer, transfer
from nnspec.spec.variables import variables
from nnspec.spec.words import FOREIGN, LATER
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.optimizers import Optimizer
from nnspec.training.schedules import Schedule
from nnspec.training.stretches import Stretches

T = TypeVar("T")
PARTS = ("vars", "data", "inputs", "layers", "blocks", "include", "outputs", "loss", "metrics", "optimizer", "schedule", "weights", "networks")
KINDS = (*Entry.registry, "residual", "branches")
MEASURES = (*Activation.activations, *Loss.registry, *Metric.registry)
# Words that are so clearly another library's, or a later version's, that no block goes by them: Linear, swish, lstm; but conv may.
ALIEN = {*LATER, *(word for word, own in FOREIGN.items() if word != word.lower() or own in MEASURES)} - {*KINDS}


@dataclass
class Document:
    """A spec taken apart. ``problems`` holds what is wrong so far; the network adds its own before all are raised."""

    file: Path | None
    root: MappingNode
    settings: Settings
    vars: dict[str, Any] = field(default_factory=dict)
    blocks: dict[str, block.Block] = field(default_factory=dict)
    networks: dict[str, Subnetwork] = field(default_factory=dict)
    data: Declaration | None = None
    inputs: MappingNode | None = None
    layers: Sequence | None = None
    outputs: tuple[tuple[str, Place], ...] = ()
    losses: tuple[Term, ...] = ()
    metrics: tuple[Term, ...] = ()
    optimizer: Optimizer | None = None
    schedule: Schedule | Stretches | None = None
    weights: Transfer | None = None
    problems: list[Problem] = field(default_factory=list)
    bad: list[Problem] = field(default_factory=list)  # what is wrong in a data file, not in the spec
    kept: bool = True  # whether the data's rows are where the declaration came from; a stored model has none
    broken: set[str] = field(default_factory=set)  # blocks whose declaration is wrong
    called: set[str] = field(default_factory=set)  # blocks used as a loss or a metric, and those that they use
    used: set[str] = field(default_factory=set)  # blocks and networks that anything calls, known once the network is built
    allow: tuple[str | Path, ...] = ()

    @property
    def folder(self) -> Path:
        """What paths in the spec are relative to."""
        return self.file.resolve().parent if self.file else Path.cwd()

    @property
    def env(self) -> dict[str, Any]:
        """What formulas outside of blocks see."""
        data = self.data.names if self.data else BROKEN  # where the data are wrong, what reads of them says no more
        return {**self.vars, **({"data": data} if "data" in self.root.pairs or self.data else {})}

    @property
    def whole(self) -> bool:
        """Whether every name that formulas and lists read has a value; where not, what they make is missing without a word."""
        return not self.broken and BROKEN not in self.env.values()


def read_spec(path: str | Path, settings: Mapping[str, object] | None = None, allow: tuple[str | Path, ...] = ()) -> Document:
    """Reads a spec file with overrides; raises SpecError only where nothing can be made of it."""
    file = Path(path)
    root = read_file(file)
    return take_apart(root, file, settings or {}, allow)


def take_apart(
    root: Node, file: Path | None, settings: Mapping[str, object], allow: tuple[str | Path, ...] = (), data: Declaration | None = None
) -> Document:
    """A document from its root node; ``data`` is a declaration made before."""
    if not isinstance(root, MappingNode):
        raise SpecError(Problem("a spec is a mapping", root.place, found=describe(root), wanted="nnspec: 1, then layers: [...]", rule="bad-value"))
    problems = new_variables(root, settings)
    try:
        root = apply(root, settings, _primary, _families())
    except SpecError as e:
        problems += e.problems
    known = [*Settings.model_fields, *PARTS]
    problems += [unknown_key(k, root, known, "key of a spec") for k in root.pairs if k not in known and not k.startswith("x-")]
    doc = Document(file, root, Settings(nnspec=1), problems=problems, allow=allow)
    doc.vars = variables(root.pairs.get("vars"), {}, problems)
    doc.settings = _settings(doc)
    _blocks(doc, allow)
    if data is not None:
        doc.data = data
    elif (node := _resolved(doc, "data")) is not None:
        try:
            doc.data = declare(node, doc.folder, doc.settings.seed)
        except NnspecError as e:
            problems += e.problems
            if isinstance(e, DataError):
                doc.bad += e.problems
    _parts(doc)
    return doc


def _primary(kind: str) -> str | None:
    member = Entry.registry.get(kind)
    return member.primary if member else None


def _families() -> dict[str, Callable[[str], str | None]]:
    """For each key that takes one of a family: the primary field of a kind."""
    families: dict[str, type[Kind]] = {
        "optimizer": Optimizer, "schedule": Schedule, "loss": Loss, "metrics": Metric, "activation": Activation, "data": Source,
        "prepare": Prepare, "augment": Augmentation,
    }  # fmt: skip
    return {key: partial(_primary_of, family) for key, family in families.items()}


def _primary_of(family: type[Kind], kind: str) -> str | None:
    return getattr(family.registry.get(kind), "primary", None)


def _settings(doc: Document) -> Settings:
    """The plain keys; where they are wrong, the defaults, so that the walk can go on."""
    keys = [k for k in doc.root.pairs if k in Settings.model_fields]
    if doc.file is not None and "name" not in keys:
        default = "".join(c if c.isalnum() or c in "_-" else "_" for c in doc.file.stem)[:100] or "network"
    else:
        default = "network"
    pairs: dict[str, Node] = {}
    for key in keys:
        try:
            pairs[key] = substitute(doc.root.pairs[key], doc.vars)
        except SpecError as e:
            doc.problems += e.problems
    node = MappingNode(doc.root.place, pairs, {k: doc.root.keys[k] for k in pairs}, False)
    try:
        settings = validate(Settings, node, doc.root.place, "the spec")
    except SpecError as e:
        doc.problems += [
            Problem("the spec does not say its language version", p.place, wanted="nnspec: 1 as its first line", rule="missing-key",
                    edits=(edits.set_top(p.place, "nnspec", "1"),) if p.place else ())
            if p.rule == "missing-key" and p.wanted.startswith("nnspec:")
            else p
            for p in e.problems
        ]
        good = {k: v for k, v in pairs.items() if _alone(k, v)}
        settings = validate(
            Settings,
            MappingNode(
                doc.root.place, {**good, "nnspec": Scalar(doc.root.place, 1, "1", False)}, dict.fromkeys((*good, "nnspec"), doc.root.place), False
            ),
            doc.root.place,
            "the spec",
        )
    return settings if "name" in pairs else settings.model_copy(update={"name": default})


def _alone(key: str, value: Node) -> bool:
    """Whether one plain key is right by itself."""
    place = value.place
    pairs: dict[str, Node] = {"nnspec": Scalar(place, 1, "1", False), key: value}
    try:
        validate(Settings, MappingNode(place, pairs, dict.fromkeys(pairs, place), False), place, "the spec")
    except SpecError:
        return False
    return key != "nnspec"


def _blocks(doc: Document, allow: tuple[str | Path, ...]) -> None:
    file = doc.file.resolve() if doc.file else None
    allowed = (*((file.parent,) if file else ()), shipped().resolve(), *(Path(a).resolve() for a in allow))
    doc.blocks = include(doc.root.pairs.get("include"), file, allowed, doc.problems)
    doc.problems += [_taken(doc.blocks.pop(name)) for name in list(doc.blocks) if name in KINDS or name in ALIEN]
    _declared(doc)
    reader = Reader(allowed, named, stored.recall, doc.problems)
    doc.networks, broken = reader.section(doc.root.pairs.get("networks"), file, doc.vars, doc.blocks, (file,) if file else ())
    doc.broken |= broken
    doc.problems += [_taken(doc.networks.pop(name)) for name in list(doc.networks) if name in KINDS or name in ALIEN]


def _declared(doc: Document) -> None:
    """The blocks of the spec itself."""
    declared = doc.root.pairs.get("blocks")
    if declared is None:
        return
    if not isinstance(declared, MappingNode):
        doc.problems.append(
            Problem("'blocks' does not fit", declared.place, found=describe(declared), wanted="{name: {args: {…}, layers: [...]}}", rule="bad-value")
        )
        return
    for name, body in declared.pairs.items():
        try:
            own = block.declare(name, body, declared.keys[name], doc.vars)
            if name in KINDS or name in ALIEN:
                raise SpecError(_taken(own))
            if name in doc.blocks:
                raise SpecError(twice(name, own.place, doc.blocks[name]))
            doc.blocks[name] = own
        except SpecError as e:
            doc.broken.add(name)
            doc.problems += e.problems


def _taken(b: block.Block | Subnetwork) -> Problem:
    what = "block" if isinstance(b, block.Block) else "network"
    already = "is a layer already" if b.name in KINDS else "is a word of a later version" if b.name in LATER else "means a layer elsewhere"
    return Problem(f"'{b.name}' {already}", b.place, wanted=f"another name for the {what}", rule="repeated-name")


def _resolved(doc: Document, key: str) -> Node | None:
    """A part with its formulas worked out, or None where it is missing or they are wrong."""
    node = doc.root.pairs.get(key)
    if node is None:
        return None
    try:
        return substitute(node, doc.vars if key == "data" else doc.env)
    except SpecError as e:
        doc.problems += e.problems
        return None


def _parts(doc: Document) -> None:
    inputs, layers = _resolved(doc, "inputs"), doc.root.pairs.get("layers")
    if (inputs := named(inputs)) is not None and isinstance(inputs, MappingNode):
        doc.inputs = inputs
    elif inputs is not None:
        doc.problems.append(
            Problem("'inputs' does not fit", inputs.place, found=describe(inputs), wanted="{image: {shape: [8, 8, 1]}}", rule="bad-value")
        )
    if isinstance(layers, Sequence):
        doc.layers = layers
    else:
        message = "the spec has no layers" if layers is None else "'layers' does not fit"
        doc.problems.append(
            Problem(
                message,
                layers.place if layers else doc.root.place,
                found=describe(layers) if layers else "",
                wanted="a list: '- dense: 10' and so on",
                rule="missing-key",
            )
        )
    doc.weights = _chosen(doc, "weights", lambda n: transfer(n, doc.folder))
    doc.outputs = _outputs(doc, _resolved(doc, "outputs"))
    own = Own(doc.blocks, doc.broken, doc.called)
    doc.losses = terms(_resolved(doc, "loss"), "loss", Loss, own, doc.problems)
    doc.metrics = terms(_resolved(doc, "metrics"), "metrics", Metric, own, doc.problems)
    doc.optimizer = _chosen(doc, "optimizer", lambda n: choose(n, Optimizer, "optimizer"))  # type: ignore[type-abstract]
    doc.schedule = _chosen(doc, "schedule", schedule)
    if isinstance(doc.schedule, Stretches):
        _lengths(doc, doc.schedule)
    largest = doc.settings.dtype.largest
    for key in ("loss", "optimizer", "schedule"):
        if not doc.problems and (node := _resolved(doc, key)) is not None:
            doc.problems += _too_large(node, largest, doc.settings.dtype)


def _too_large(node: Node, largest: float, precision: str) -> list[Problem]:
    """Numbers that the step's arithmetic cannot hold."""
    if isinstance(node, Scalar):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float) or not largest < abs(node.value) < inf:
            return []
        what = f"a number does not fit into {precision}"
        return [Problem(what, node.place, found=describe(node), wanted=f"at most {largest:.3g}", rule="bad-value")]
    children = node.items if isinstance(node, Sequence) else list(getattr(node, "pairs", {}).values())
    return [p for child in children for p in _too_large(child, largest, precision)]


def _lengths(doc: Document, schedule: Stretches) -> None:
    """A run is as long as its stretches where ``epochs`` does not say; one that ends before the last begins is an error."""
    if not schedule.in_epochs:
        return  # how many steps an epoch has is known with the data
    fine = 1_000_000  # steps an epoch: lengths may be parts of one
    total = schedule.epochs(fine)
    if doc.settings.epochs is None and total is not None:
        doc.settings = doc.settings.model_copy(update={"epochs": total})
    elif doc.settings.epochs and (last := schedule.at(doc.settings.epochs * fine - 1, fine)[0] + 1) < len(schedule.parts):
        part = schedule.parts[last]
        doc.problems.append(Problem(f"stretch {last + 1} is never reached", part.place, found=f"epochs: {doc.settings.epochs}",
                                    wanted="epochs left out, or more of them", rule="bad-value"))  # fmt: skip


def named(inputs: Node | None) -> Node | None:
    """``{shape: [8, 8, 1]}`` or ``[8, 8, 1]`` alone is one input: ``image`` where it has three axes, else ``features``."""
    if isinstance(inputs, Sequence):
        inputs = MappingNode(inputs.place, {"shape": inputs}, {"shape": inputs.place}, inputs.flow)
    shape = inputs.pairs.get("shape") if isinstance(inputs, MappingNode) else None
    if inputs is None or shape is None or isinstance(shape, MappingNode):
        return inputs
    name = "image" if isinstance(shape, Sequence) and len(shape.items) == 3 else "features"
    return MappingNode(inputs.place, {name: inputs}, {name: inputs.place}, False)


def _chosen(doc: Document, key: str, read: Callable[[Node], T]) -> T | None:
    node = _resolved(doc, key)
    try:
        return read(node) if node is not None else None
    except SpecError as e:
        doc.problems += e.problems
        return None


def _outputs(doc: Document, node: Node | None) -> tuple[tuple[str, Place], ...]:
    found = []
    for item in node.items if isinstance(node, Sequence) else [node] if node is not None else []:
        if isinstance(item, Scalar) and isinstance(item.value, str):
            found.append((item.value, item.place))
        else:
            doc.problems.append(Problem("'outputs' does not fit", item.place, found=describe(item), wanted="a list of names", rule="bad-value"))
    if node is not None and not found and not (isinstance(node, Sequence) and node.items):
        doc.problems.append(Problem("'outputs' names nothing", node.place, wanted="at least one name", rule="bad-value"))
    return tuple(found)
