"""A spec file read, overridden, checked key by key and taken apart: everything but the network itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from nnspec.data import stored
from nnspec.data.column import Declaration
from nnspec.data.config import Source
from nnspec.data.declare import declare
from nnspec.errors import DataError, NnspecError, Place, Problem, SpecError
from nnspec.layers.activations import Activation
from nnspec.layers.layer import Entry
from nnspec.spec import blocks as block
from nnspec.spec.explain import choose, describe, split, unknown, validate
from nnspec.spec.formulas import substitute
from nnspec.spec.include import include, shipped, twice
from nnspec.spec.model import Kind
from nnspec.spec.networks import Reader, Subnetwork
from nnspec.spec.overrides import apply, new_variables
from nnspec.spec.settings import Settings
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, read_file
from nnspec.spec.transfer import Transfer, transfer
from nnspec.spec.variables import variables
from nnspec.spec.words import name_problem
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.optimizers import Optimizer
from nnspec.training.own import Called, OwnLoss, OwnMeasure, OwnMetric, OwnValue
from nnspec.training.schedules import Constant, Plateau, Schedule
from nnspec.training.stretches import Stretches, stretches

T = TypeVar("T")
PARTS = ("vars", "data", "inputs", "layers", "blocks", "include", "outputs", "loss", "metrics", "optimizer", "schedule", "weights", "networks")
TERM = ("name", "from", "target", "weight")
KINDS = (*Entry.registry, "residual", "branches")


@dataclass(frozen=True)
class Term:
    """A loss or a metric with where it reads: ``source`` an output by name, ``target`` columns or an input by name; both may be left open.

    ``number`` is a target that every row has. ``weight`` may be a schedule, which begins at 1.
    """

    of: Any
    kind: str
    place: Place
    source: tuple[str, Place] | None = None
    target: tuple[tuple[str, Place], ...] = ()
    number: float | None = None
    weight: float | Schedule = 1.0
    name: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)  # of its own fields


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
    allow: tuple[str | Path, ...] = ()

    @property
    def folder(self) -> Path:
        """What paths in the spec are relative to."""
        return self.file.resolve().parent if self.file else Path.cwd()

    @property
    def env(self) -> dict[str, Any]:
        """What formulas outside of blocks see."""
        return {**self.vars, **({"data": self.data.names} if self.data else {})}


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
    problems += [unknown(k, known, root.keys[k], "key of a spec", "unknown-key") for k in root.pairs if k not in known and not k.startswith("x-")]
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
            Problem("the spec does not say its language version", p.place, wanted="nnspec: 1 as its first line", rule="missing-key")
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
    doc.problems += [_taken(doc.blocks.pop(name)) for name in KINDS if name in doc.blocks]
    _declared(doc)
    reader = Reader(allowed, _named, stored.recall, doc.problems)
    doc.networks, broken = reader.section(doc.root.pairs.get("networks"), file, doc.vars, doc.blocks, (file,) if file else ())
    doc.broken |= broken
    doc.problems += [_taken(doc.networks.pop(name)) for name in KINDS if name in doc.networks]


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
            if name in KINDS:
                raise SpecError(_taken(own))
            if name in doc.blocks:
                raise SpecError(twice(name, own.place, doc.blocks[name]))
            doc.blocks[name] = own
        except SpecError as e:
            doc.broken.add(name)
            doc.problems += e.problems


def _taken(b: block.Block | Subnetwork) -> Problem:
    what = "block" if isinstance(b, block.Block) else "network"
    return Problem(f"'{b.name}' is a layer already", b.place, wanted=f"another name for the {what}", rule="repeated-name")


def _resolved(doc: Document, key: str) -> Node | None:
    """A part with its formulas worked out, or None where it is missing or they are wrong."""
    node = doc.root.pairs.get(key)
    if node is None:
        return None
    try:
        return substitute(node, doc.env)
    except SpecError as e:
        doc.problems += e.problems
        return None


def _parts(doc: Document) -> None:
    inputs, layers = _resolved(doc, "inputs"), doc.root.pairs.get("layers")
    if (inputs := _named(inputs)) is not None and isinstance(inputs, MappingNode):
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
    doc.losses = _terms(doc, "loss", Loss)
    doc.metrics = _terms(doc, "metrics", Metric)
    doc.optimizer = _chosen(doc, "optimizer", lambda n: choose(n, Optimizer, "optimizer"))  # type: ignore[type-abstract]
    doc.schedule = _chosen(doc, "schedule", _schedule)
    if isinstance(doc.schedule, Stretches):
        _lengths(doc, doc.schedule)


def _schedule(node: Node) -> Schedule | Stretches:
    if isinstance(node, Sequence):
        return stretches(node)
    schedule: Schedule = choose(node, Schedule, "schedule")  # type: ignore[type-abstract]  # the family, not an instance
    if isinstance(schedule, Constant) and schedule.length is not None:
        raise SpecError(Problem("the length of a constant that stands alone does nothing", node.place, found=f"{schedule.length}",
                                wanted="epochs: 100 at the top, or a list of stretches: [{constant: 100}, …]", rule="bad-value"))  # fmt: skip
    return schedule


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


def _named(inputs: Node | None) -> Node | None:
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


def _terms(doc: Document, key: str, family: type[Any]) -> tuple[Term, ...]:
    """Losses or metrics: one, or a list."""
    node = _resolved(doc, key)
    terms: list[Term] = []
    for item in _list(node):
        try:
            terms.append(_term(item, family, "loss" if key == "loss" else "metric", doc))
        except SpecError as e:
            doc.problems += e.problems
    named = [t for t in terms if t.name]
    doc.problems += [Problem(f"'{t.name}' stands twice in '{key}'", t.place, wanted="a name of its own", rule="repeated-name")
                     for n, t in enumerate(named) if t.name in [other.name for other in named[:n]]]
    return tuple(terms)


def _list(node: Node | None) -> list[Node]:
    """One thing or a list of them; a mapping of several is several."""
    if node is None:
        return []
    if isinstance(node, MappingNode) and len(node.pairs) > 1:
        return [MappingNode(node.keys[k], {k: v}, {k: node.keys[k]}, node.flow) for k, v in node.pairs.items()]
    return list(node.items) if isinstance(node, Sequence) else [node]


def _term(node: Node, family: type[Any], what: str, doc: Document) -> Term:
    common: dict[str, Node] = {}
    places: dict[str, Place] = {}
    if isinstance(node, MappingNode) and len(node.pairs) == 1:
        ((kind, body),) = node.pairs.items()
        if isinstance(body, MappingNode):
            common = {k: v for k, v in body.pairs.items() if k in TERM}
            own = {k: v for k, v in body.pairs.items() if k not in TERM}
            places = {k: v.place for k, v in own.items()}
            node = MappingNode(node.place, {kind: MappingNode(body.place, own, body.keys, body.flow)}, node.keys, node.flow)
    kind, place, fields = split(node, what, [*family.registry, *doc.blocks])
    if kind in doc.broken:
        raise SpecError()  # the block says what is wrong
    of = _own(doc.blocks[kind], fields, place, what, doc) if kind in doc.blocks else choose(node, family, what)
    if what == "metric" and "weight" in common:
        hint = "leave it out: only losses are added up"
        raise SpecError(Problem("a metric has no 'weight'", common["weight"].place, hint=hint, rule="unknown-key"))
    names, number = _ends(common.get("target"))
    return Term(of, kind, node.place, _word(common.get("from"), "from"), names, number, _factor(common.get("weight"), kind),
                _name(common.get("name"), what), places)


def _own(b: block.Block, fields: Node | None, place: Place, what: str, doc: Document) -> Loss | Metric:
    """A block as a loss or a metric; ``reduce`` of a loss is its own."""
    doc.called.add(b.name)
    many = len(b.inputs) or 1
    taken = [name for name in b.args if name in (*TERM, "reduce")]
    if many > 2 or taken:
        found = f"an argument called '{taken[0]}', which every {what} has" if taken else f"{many} inputs"
        wanted = "another name for it" if taken else "inputs: [prediction, target], or one input"
        raise SpecError(Problem(f"block '{b.name}' cannot be a {what}", place, found=found, wanted=wanted, rule="inputs"))
    reduce: dict[str, Any] = {}
    if what == "loss" and isinstance(fields, MappingNode) and "reduce" in fields.pairs:
        node = fields.pairs["reduce"]
        value = node.value if isinstance(node, Scalar) else None
        if value not in ("mean", "sum", "none"):
            raise SpecError(Problem(f"'reduce' of loss '{b.name}' does not fit", node.place, found=describe(node), wanted="mean, sum or none",
                                    rule="bad-value"))
        reduce = {"reduce": value}
        fields = MappingNode(fields.place, {k: v for k, v in fields.pairs.items() if k != "reduce"}, fields.keys, fields.flow)
    called = Called(b.name, fields)
    if what == "metric":
        return (OwnMetric if many == 2 else OwnMeasure)(called=called)
    return (OwnLoss if many == 2 else OwnValue)(called=called, **reduce)


def _name(node: Node | None, what: str) -> str:
    name = _word(node, "name")
    if name is None:
        return ""
    problems = name_problem(*name, what)
    if what == "metric" and name[0] == "loss":
        problems.append(Problem("'loss' is the name of what is made small", name[1], wanted="another name for the metric", rule="repeated-name"))
    if problems:
        raise SpecError(*problems)
    return name[0]


def _factor(node: Node | None, kind: str) -> float | Schedule:
    """``weight`` of a loss: a number, or a schedule that begins at 1."""
    if node is None:
        return 1.0
    if isinstance(node, MappingNode) or (isinstance(node, Scalar) and isinstance(node.value, str)):
        factor = _schedule(node)
        if isinstance(factor, Schedule) and not isinstance(factor, Plateau):
            return factor
        raise SpecError(Problem(f"'weight' of loss '{kind}' cannot wait for a measure", node.place, found="plateau",
                                wanted="a schedule of the step alone: {linear: {to: 0, length: 10}}", rule="bad-value"))  # fmt: skip
    return _number(node, f"'weight' of loss '{kind}'", "a finite number, or a schedule: {linear: {to: 0, length: 10}}")


def _ends(node: Node | None) -> tuple[tuple[tuple[str, Place], ...], float | None]:
    """``target``: names, or a number that every row has."""
    if node is None:
        return (), None
    if isinstance(node, Scalar) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return (), _number(node, "'target'")
    items = node.items if isinstance(node, Sequence) else [node]
    names = tuple((item.value, item.place) for item in items if isinstance(item, Scalar) and isinstance(item.value, str))
    if not names or len(names) != len(items):
        wanted = "a column, a list of columns, an input, or a number"
        raise SpecError(Problem("'target' does not fit", node.place, found=describe(node), wanted=wanted, rule="bad-value"))
    if twice := [name for n, (name, _) in enumerate(names) if name in [other for other, _ in names[:n]]]:
        raise SpecError(Problem(f"'target' names '{twice[0]}' twice", node.place, wanted="each column once", rule="repeated-name"))
    return names, None


def _number(node: Node, what: str, wanted: str = "a finite number") -> float:
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise SpecError(Problem(f"{what} does not fit", node.place, found=describe(node), wanted=wanted, rule="bad-value"))
    return float(value)


def _word(node: Node | None, key: str) -> tuple[str, Place] | None:
    if node is None:
        return None
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value, node.place
    hint = "a loss for each: loss: [{mse: {from: a}}, {mse: {from: b}}]" if isinstance(node, Sequence) else ""
    raise SpecError(Problem(f"'{key}' does not fit", node.place, found=describe(node), wanted="one name", hint=hint, rule="bad-value"))
