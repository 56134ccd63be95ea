"""A document's network: its inputs, its layers walked, its outputs, and what would otherwise be ignored silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nnspec.data.column import SPLITS
from nnspec.data.inputs import input_columns, input_type
from nnspec.errors import DataError, NnspecError, Place, Problem, SpecError, nearest, one_of
from nnspec.ir.graph import abstract
from nnspec.ir.op import ShapeError
from nnspec.ir.types import BATCH, Dim, DType, TensorType, show, symbol
from nnspec.network.expand import Context, Expander
from nnspec.network.graph import Network, Port
from nnspec.network.moving import frozen
from nnspec.network.scope import Ref, Scope
from nnspec.network.targets import Ends, Target, answer, named_losses, named_metrics, targets
from nnspec.spec import expect, sweep
from nnspec.spec.explain import describe, unknown
from nnspec.spec.load import Document
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence
from nnspec.spec.words import name_problem
from nnspec.training.schedules import Plateau
from nnspec.training.stretches import Stretches, schedules

INPUT_KEYS = ("shape", "dtype", "columns")
DTYPES = ("float32", "int32", "int64")


@dataclass(frozen=True)
class Built:
    """A network with how data reaches it: the columns of each input, and the target of each loss and metric."""

    network: Network
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    losses: tuple[Target, ...] = ()
    metrics: tuple[Target, ...] = ()
    frozen: tuple[frozenset[str], ...] = (frozenset(),)  # the layers that do not move, for each stretch of the schedule

    @property
    def targets(self) -> tuple[Target, ...]:
        """Those of losses, then those of metrics, for which an array is fed."""
        return tuple(t for t in (*self.losses, *self.metrics) if t.feed)

    def answering(self, port: Port) -> Target | None:
        """The loss that says what an output means: one of classes before others."""
        return answer(self.losses, port)


def build(doc: Document) -> Built:
    """The network of a document; raises SpecError with every problem of the document and the network."""
    problems = list(doc.problems)
    network = Network(doc.settings.name, {})
    columns: dict[str, tuple[str, ...]] = {}
    scope = Scope()
    expander = Expander(network, doc.blocks, DType(doc.settings.precision), doc.networks, doc.broken)
    try:
        current, columns = _inputs(doc, network, scope, problems)
        ports = expander.walk(doc.layers, current, Context(scope, doc.env)) if doc.layers is not None and doc.layers.items else ()
    except SpecError as e:
        problems += e.problems
        ports = (Port(""),)
    problems += expander.problems
    if doc.layers is not None and not doc.layers.items:
        problems.append(Problem("the list of layers is empty", doc.layers.place, wanted="at least one layer", rule="bad-value"))
    network.names = {name: ref.ports[0] for name, ref in scope.names.items() if ref.ports}
    ends = len(problems)
    _outputs(doc, network, ports, scope, problems)
    doc.losses, doc.metrics = named_losses(doc.losses), named_metrics(doc.metrics, len(network.outputs) > 1)
    losses, metrics = targets(Ends(doc, network, scope, columns), problems)
    if not expander.problems and doc.layers is not None:
        if len(problems) == ends and not doc.broken:  # what failed reads nothing, and would be one more problem
            _unread(network, [t.port for t in (*losses, *metrics)], problems)
        _unused(doc, expander, problems)
        _uncalled(doc, expander, problems)
    still = frozen(network, doc.schedule, problems) if not expander.problems else (frozenset(),)
    _training(doc, problems)
    _mixup(doc, losses, problems)
    _watches(doc, problems)
    _expects(doc, problems)
    if doc.data is None and "data" in doc.root.pairs:  # what is wrong with the data is said already
        problems = [p for p in problems if p.message != "nothing is called 'data' here"]
    if problems:
        wrong = SpecError if len(problems) > len(doc.bad) else DataError  # in the spec, or in its data alone
        raise wrong(*sorted(problems, key=_order))
    return Built(network, columns, losses, metrics, still)


def _order(problem: Problem) -> tuple[str, int, int]:
    return (problem.place.file, problem.place.line, problem.place.column) if problem.place else ("", 0, 0)


def _inputs(doc: Document, network: Network, scope: Scope, problems: list[Problem]) -> tuple[tuple[Port, ...], dict[str, tuple[str, ...]]]:
    """The network's inputs from ``inputs`` and ``data``."""
    declared, named, places = _declared(doc, problems)
    columns: dict[str, tuple[str, ...]] = {}
    if doc.data is not None:
        try:
            columns = input_columns(doc.data, named, places)
            for name, chosen in columns.items():
                shape, kind = input_type(doc.data, chosen)
                held = TensorType((BATCH, *shape), DType.int64 if kind == "int64" else DType(doc.settings.precision))
                stated = declared.get(name)
                if stated is not None and not _agree(stated, held):
                    problems.append(
                        Problem(
                            f"input '{name}' differs from its data",
                            places.get(name),
                            found=f"{show(held.shape)} of {held.dtype} in the data",
                            wanted=f"{show(stated.shape)} of {stated.dtype}",
                            hint=f"shape: {list(shape)}, or leave it out",
                            rule="input",
                        )
                    )
                declared[name] = held
        except NnspecError as e:
            problems += e.problems
    elif not declared and "data" not in doc.root.pairs and "inputs" not in doc.root.pairs:
        problems.append(
            Problem("the network has no input", doc.root.place, wanted="inputs: {image: {shape: [8, 8, 1]}}, or data", rule="missing-key")
        )
    ports = []
    for name, type in declared.items():
        place = places.get(name)
        port = network.add_input(name, type, place)
        network.inputs[name] = type
        scope.define(name, Ref((port,), place or doc.root.place))
        ports.append(port)
    return tuple(ports) or (Port(""),), columns


def _agree(stated: TensorType, held: TensorType) -> bool:
    same = all(a == b or not isinstance(a, int) for a, b in zip(stated.shape, held.shape, strict=False))
    return len(stated.shape) == len(held.shape) and same and stated.dtype.is_float == held.dtype.is_float


def _declared(doc: Document, problems: list[Problem]) -> tuple[dict[str, TensorType], dict[str, tuple[str, ...] | None], dict[str, Place]]:
    """What ``inputs`` says: types, columns and places by name."""
    types: dict[str, TensorType] = {}
    named: dict[str, tuple[str, ...] | None] = {}
    places: dict[str, Place] = {}
    for name, node in (doc.inputs.pairs if doc.inputs else {}).items():
        assert doc.inputs is not None
        places[name] = doc.inputs.keys[name]
        problems += name_problem(name, places[name], "input")
        if not isinstance(node, MappingNode):
            problems.append(Problem(f"input '{name}' does not fit", node.place, found=describe(node), wanted="{shape: [8, 8, 1]}", rule="bad-value"))
            continue
        problems += [unknown(k, INPUT_KEYS, node.keys[k], f"key of input '{name}'", "unknown-key") for k in node.pairs if k not in INPUT_KEYS]
        try:
            named[name] = _names(node.pairs["columns"]) if "columns" in node.pairs else None
            if "shape" in node.pairs:
                types[name] = TensorType((BATCH, *_shape(node.pairs["shape"])), _dtype(node.pairs.get("dtype"), doc))
            elif doc.data is None and "data" not in doc.root.pairs:
                problems.append(
                    Problem(
                        f"input '{name}' needs 'shape'",
                        node.place,
                        wanted="shape: [8, 8, 1]; axes without a known length by name",
                        rule="missing-key",
                    )
                )
        except SpecError as e:
            problems += e.problems
    return types, named, places


def _dtype(node: Node | None, doc: Document) -> DType:
    if node is None:
        return DType(doc.settings.precision)
    if isinstance(node, Scalar) and node.value in DTYPES:
        return DType(doc.settings.precision) if node.value == "float32" else DType(str(node.value))
    raise SpecError(Problem("'dtype' of an input does not fit", node.place, found=describe(node), wanted=", ".join(DTYPES), rule="bad-value"))


def _shape(node: Node) -> tuple[Dim, ...]:
    items = node.items if isinstance(node, Sequence) else [node]
    shape: list[Dim] = []
    for item in items:
        value = item.value if isinstance(item, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000_000:
            shape.append(value)
        elif isinstance(value, str) and not name_problem(value, item.place, "axis") and value != "batch":
            shape.append(symbol(value))
        else:
            raise SpecError(
                Problem(
                    "an axis of an input does not fit",
                    item.place,
                    found=describe(item),
                    wanted="a length from 1 to 10,000,000, or a name",
                    hint="the batch is never written" if value in ("batch", None, -1) else "",
                    rule="bad-value",
                )
            )
    return tuple(shape)


def _names(node: Node) -> tuple[str, ...]:
    items = node.items if isinstance(node, Sequence) else [node]
    names = tuple(item.value for item in items if isinstance(item, Scalar) and isinstance(item.value, str))
    if len(names) != len(items) or not names:
        raise SpecError(
            Problem("'columns' of an input does not fit", node.place, found=describe(node), wanted="a list of column names", rule="bad-value")
        )
    return names


def _outputs(doc: Document, network: Network, end: tuple[Port, ...], scope: Scope, problems: list[Problem]) -> None:
    ports: list[Port] = []
    names: list[str] = []
    for name, place in doc.outputs:
        try:
            port = scope.one(name, place)
            if name in names:
                raise SpecError(Problem(f"'{name}' stands twice in 'outputs'", place, wanted="each name once", rule="repeated-name"))
            ports.append(port)
            names.append(name)
        except SpecError as e:
            problems += e.problems
    if not doc.outputs:
        ports = list(end)
    problems += [
        Problem(f"the output '{p.node}' is for training only", network.nodes[p.node]["place"], wanted="one that is there in inference", rule="only")
        for p in ports
        if p.only == "training" and p.node in network.nodes
    ]
    if not doc.outputs:
        names = _names_of(ports, scope)
    network.outputs, network.output_names = tuple(ports), tuple(names)


def _names_of(ports: list[Port], scope: Scope) -> list[str]:
    """What the last entry's outputs are called: ``output``, or as ``outputs`` would name them."""
    if len(ports) == 1:
        return ["output"]
    for name, ref in scope.names.items():
        if ref.ports == tuple(ports) and ref.outputs:
            return [f"{name}.{output}" for output in ref.outputs]
    last = [p.node.rsplit("/", 1)[-1] for p in ports]
    return last if len(set(last)) == len(last) else [p.node for p in ports]


def _unread(network: Network, also: list[Port], problems: list[Problem]) -> None:
    """Layers that nothing reads, inputs that feed nothing."""
    reached = network.ancestors(p.node for p in (*network.outputs, *also))
    read_in_vain = {source for source, target, _, _ in network.edges if target not in reached}
    marks: set[tuple[str, int, int]] = set()
    for path, data in network.nodes.items():
        place = data["place"]
        if path in reached or place is None:
            continue
        mark = (place.file, place.line, place.column)
        if mark not in marks and path not in read_in_vain:  # of a chain, its end
            what = f"input '{path}' feeds nothing" if data["kind"] == "input" else f"nothing reads layer '{path}'"
            problems.append(
                Problem(
                    what,
                    place,
                    wanted="a way to an output or a loss",
                    hint="name it in a later layer's from, in outputs, or leave it out",
                    rule="unreachable",
                )
            )
        marks.add(mark)


def _unused(doc: Document, expander: Expander, problems: list[Problem]) -> None:
    """Blocks that nothing calls."""
    for name, block in doc.blocks.items():
        if name not in expander.used and name not in doc.called and not block.included:
            problems.append(
                Problem(
                    f"block '{name}' is never used",
                    block.place,
                    wanted=f"a layer '- {name}: …'",
                    hint="leave it out, or move it to an included file",
                    rule="unused-block",
                )
            )


def _uncalled(doc: Document, expander: Expander, problems: list[Problem]) -> None:
    """Networks that no layer names."""
    for name, network in doc.networks.items():
        if name not in expander.used:
            problems.append(Problem(f"network '{name}' is never used", network.place, wanted=f"a layer '- {name}'", rule="unused-network"))


def _mixup(doc: Document, compared: tuple[Target, ...], problems: list[Problem]) -> None:
    """What mixup makes of class numbers must be something that losses can compare with."""
    if doc.data is None or not doc.data.augment or doc.data.augment[-1].step.kind != "mixup":
        return
    for t in compared:
        y = t.port.type
        if t.type is None or t.type.dtype.is_float or y is None or t.classes is None:
            continue
        shape = (*t.type.shape, len(t.classes)) if y.shape[-1] != 1 else t.type.shape
        kind = t.term.of.kind
        if kind not in ("hinge", "perceptron") and _fits(t, TensorType(shape, y.dtype)):
            continue
        what = f"{kind} cannot take the shares of classes that mixup makes"
        wanted = "cross_entropy or binary_cross_entropy"
        problems.append(Problem(what, t.term.place, found=f"target {', '.join(t.columns)}", wanted=wanted, hint="or leave mixup out", rule="classes"))


def _fits(t: Target, type: TensorType) -> bool:
    assert t.port.type is not None
    try:
        t.term.of.fits(t.port.value if t.port.value is not None else abstract(t.port.type), type)
    except ShapeError:
        return False
    return True


def _training(doc: Document, problems: list[Problem]) -> None:
    """Keys that make no sense without others."""
    for key, needs in (("schedule", "optimizer"), ("optimizer", "loss"), ("metrics", "loss"), ("early_stopping", "epochs")):
        if key in doc.root.pairs and needs not in doc.root.pairs and not (needs == "epochs" and isinstance(doc.schedule, Stretches)):
            problems.append(Problem(f"'{key}' needs '{needs}'", doc.root.keys[key], wanted=f"{needs}: …", rule="missing-key"))


def _watches(doc: Document, problems: list[Problem]) -> None:
    """What early stopping and checkpoints watch must be measured."""
    stopping, keeping = doc.settings.early_stopping, doc.settings.checkpoint
    watched = [("early_stopping", stopping.watch)] if stopping else []
    watched += [("checkpoint", keeping.watch)] if keeping.watch else []
    watched += [("schedule", s.watch) for s in schedules(doc.schedule) if isinstance(s, Plateau)]
    measured = _numbers(doc)
    splits = ["train", "validation"] if doc.data is None or "validation" in doc.data.split.names else ["train"]
    known = [f"{split}.{m}" for split in splits for m in measured]
    for key, watch in watched:
        if watch not in known:
            lost = watch.startswith("validation.") and "validation" not in splits
            hint = "the data has no validation split: split: {train: 0.8, validation: 0.2}" if lost else nearest(watch, known)
            if watch.partition(".")[2] in [t.name for t in doc.metrics if t.of.table]:
                hint = "a table has no best; watch a number"
            problems.append(
                Problem(
                    f"'{key}' watches '{watch}', which is not measured",
                    doc.root.keys.get(key, doc.root.place),
                    wanted=one_of(known),
                    hint=hint,
                    rule="unknown-name",
                )
            )


def _expects(doc: Document, problems: list[Problem]) -> None:
    """What is expected, and what a sweep sorts by, must be measured, on rows that there are."""
    known = measures(doc)
    problems += expect.refuse(doc.root.pairs.get("expect"), doc.settings.expect or {}, known, [t.name for t in doc.metrics if t.of.table])
    node = doc.root.pairs.get("sweep")
    if doc.settings.sweep is not None and isinstance(node, MappingNode):
        problems += sweep.refuse(node, doc.settings.sweep, doc.vars, known)


def _numbers(doc: Document) -> list[str]:
    """The names of everything measured that is one number; of several losses each is told beside their sum."""
    several = [t.name for t in doc.losses] if len(doc.losses) > 1 else []
    return ["loss", *several, *(t.name for t in doc.metrics if not t.of.table)]


def measures(doc: Document) -> list[str]:
    """What a run on the spec's own data measures: ``train.loss``, ``test.accuracy``."""
    unknown_yet = SPLITS if "data" in doc.root.pairs else ()  # where the data are wrong, that is said already
    splits = doc.data.split.names if doc.data else unknown_yet
    names = _numbers(doc) if "loss" in doc.root.pairs else []
    return [f"{split}.{name}" for split in splits for name in names]
